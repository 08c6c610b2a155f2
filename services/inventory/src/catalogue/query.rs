//! Which assets a list shows, and in which order.

use common::entities::Asset;
use common::entities::{AssetId, Category, Price};
use rust_decimal::Decimal;

use crate::cursor::{InvalidCursor, Scope};

/// Filters and order of a list.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Only this category.
    pub(crate) category: Option<Category>,
    /// Only prices of at least this many dollars.
    pub(crate) min_price: Option<Decimal>,
    /// Only prices of at most this many dollars.
    pub(crate) max_price: Option<Decimal>,
    /// Only names and symbols that contain this.
    pub(crate) text: Option<SearchText>,
    /// Only assets that can be bought, or only those that cannot; `None` for both.
    pub(crate) active: Option<bool>,
    /// In which order.
    pub(crate) sort: Sort,
}

impl Query {
    /// What this list's cursors are bound to. The page's length is no part of it: it may change from page to page.
    fn scope(&self) -> Scope {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let number = |value: Option<Decimal>| value.map(|number| number.normalize().to_string()).unwrap_or_default();
        Scope::new(
            "assets",
            &[
                ("category", text(self.category.as_ref().map(Category::as_str))),
                ("min_price", number(self.min_price)),
                ("max_price", number(self.max_price)),
                ("q", text(self.text.as_ref().map(|text| text.0.as_str()))),
                ("active", self.active.map(|active| active.to_string()).unwrap_or_default()),
                ("sort", self.sort.by.as_str().to_owned()),
                ("descending", self.sort.descending.to_string()),
            ],
        )
    }

    /// The cursor for what follows `position`.
    pub(super) fn cursor_after(&self, position: &Position) -> String {
        let key = match &position.key {
            SortKey::Name(text) | SortKey::Symbol(text) => text.clone(),
            SortKey::Price(price) => price.to_string(),
        };
        self.scope().seal(&(key, position.id.as_str()))
    }

    /// Where the list goes on behind `cursor`.
    ///
    /// # Errors
    /// When the cursor is not one of this list.
    pub(crate) fn position_of(&self, cursor: &str) -> Result<Position, InvalidCursor> {
        let (key, id): (String, String) = self.scope().open(cursor)?;
        let key = match self.sort.by {
            SortBy::Name => SortKey::Name(key),
            SortBy::Symbol => SortKey::Symbol(key),
            SortBy::Price => {
                let price = key.parse().ok().and_then(|number| Price::new(number).ok());
                SortKey::Price(price.ok_or(InvalidCursor)?)
            }
        };
        Ok(Position { key, id: AssetId::parse(&id).map_err(|_| InvalidCursor)? })
    }

    /// Whether `asset` passes all filters but the text, for which the snapshot keeps folded names.
    pub(super) fn admits(&self, asset: &Asset) -> bool {
        let price = asset.price.as_decimal();
        self.active.is_none_or(|active| asset.active == active)
            && self.category.as_ref().is_none_or(|category| asset.category == *category)
            && self.min_price.is_none_or(|min| price >= min)
            && self.max_price.is_none_or(|max| price <= max)
    }
}

/// The order of a list; equal values are ordered by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    /// By what.
    pub(crate) by: SortBy,
    /// Whether the greatest comes first.
    pub(crate) descending: bool,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortBy {
    /// Name, without regard to case.
    Name,
    /// Symbol, without regard to case.
    Symbol,
    /// Price of one unit.
    Price,
}

impl SortBy {
    /// The word for it on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Symbol => "symbol",
            Self::Price => "price",
        }
    }
}

/// A place between two assets of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The sort value before it.
    pub(super) key: SortKey,
    /// The id before it.
    pub(super) id: AssetId,
}

/// What an asset is sorted by, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SortKey {
    /// The folded name.
    Name(String),
    /// The folded symbol.
    Symbol(String),
    /// The price.
    Price(Price),
}

/// A text to search for: 1 to 64 characters, folded to lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchText(String);

impl SearchText {
    const MAX_CHARS: usize = 64;

    /// Trims, folds and checks `text`.
    ///
    /// # Errors
    /// Says that it is empty or too long.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text.chars().take(Self::MAX_CHARS + 1).count() {
            0 => Err("must not be empty"),
            length if length > Self::MAX_CHARS => Err("must have at most 64 characters"),
            _ => Ok(Self(text.to_lowercase())),
        }
    }

    /// Whether `folded`, which is in lower case, contains the text.
    pub(super) fn is_in(&self, folded: &str) -> bool {
        folded.contains(&self.0)
    }
}
