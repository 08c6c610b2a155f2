//! What can be bought.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{InvalidValue, Price, Quantity};

/// One asset of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// Its identity, which is also its id at CoinGecko.
    pub id: AssetId,
    /// Ticker symbol.
    pub symbol: Symbol,
    /// Name as it is shown.
    pub name: String,
    /// One or two sentences.
    pub description: String,
    /// The group it is listed under.
    pub category: Category,
    /// Price of one unit.
    pub price: Price,
    /// When that price was true.
    pub price_updated_at: DateTime<Utc>,
    /// Units that can still be bought.
    pub available: Quantity,
    /// Whether it can be bought at all.
    pub active: bool,
    /// When it was listed.
    pub created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An asset's id: 1 to 64 of `a-z 0-9 -`, like `bitcoin` or `usd-coin`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetId(String);

impl AssetId {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says that `text` is no asset id.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        slug(text, 64).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ticker symbol: 1 to 16 letters, digits, `.`, `_` or `-`, in upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symbol(String);

impl Symbol {
    /// Raises and checks `text`.
    ///
    /// # Errors
    /// Says that `text` is no symbol.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let valid = (1..=16).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if valid {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(InvalidValue::new("must have 1 to 16 letters, digits, '.', '_' or '-'"))
        }
    }

    /// The symbol as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The group an asset is listed under: 1 to 32 of `a-z 0-9 -`, like `stablecoin`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Category(String);

impl Category {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says that `text` is no category.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        slug(text, 32).map(Self)
    }

    /// The category as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn slug(text: &str, max_length: usize) -> Result<String, InvalidValue> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=max_length).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::new(format!("must have 1 to {max_length} of the characters a-z, 0-9 and '-'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_slugs() {
        assert!(AssetId::parse("usd-coin").is_ok());
        for bad in ["", "Bitcoin", "a b", "../x", "a/b", "ä", "a\0"] {
            assert!(AssetId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn symbols_are_upper_case() {
        assert_eq!(Symbol::parse("btc").expect("valid").as_str(), "BTC");
        assert!(Symbol::parse("B T").is_err());
    }
}
