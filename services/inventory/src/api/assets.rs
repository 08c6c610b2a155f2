//! Assets on the wire: what a list is asked with, and what is answered.

use chrono::{DateTime, Utc};
use common::entities::{Asset, Category};
use common::service::Problem;
use poem_openapi::payload::Json;
use poem_openapi::registry::MetaSchema;
use poem_openapi::{ApiResponse, Object};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use std::time::Duration;

use super::asset_page::PageJson;
use super::parameter::ParameterValue;
use crate::catalogue::{OutOfDate, SearchText, Sort, SortBy};

/// Anybody may keep an answer about the catalogue for as long as we keep it ourselves, and for longer while we are away.
pub(super) const CACHE_CONTROL: &str = "public, max-age=1, stale-if-error=60";

// What serde writes of it is what the document says of it; a test compares the two.
/// An asset in a list.
#[derive(Object, Serialize)]
#[oai(rename = "Asset")]
pub(super) struct AssetItem {
    /// Its identity, like `bitcoin`.
    id: String,
    /// Ticker symbol, like `BTC`.
    symbol: String,
    /// Name as it is shown.
    name: String,
    /// The group it is listed under.
    category: String,
    /// US dollars for one unit.
    price_usd: Decimal,
    /// When that price was true.
    #[serde(serialize_with = "rfc3339")]
    price_updated_at: DateTime<Utc>,
    /// How long ago that was.
    price_age_seconds: u64,
    /// Units that can still be bought.
    available: Decimal,
    /// Whether it can be bought at all.
    active: bool,
}

/// An asset with its description.
#[derive(Object)]
pub(super) struct AssetDetails {
    #[oai(flatten)]
    asset: AssetItem,
    /// One or two sentences.
    description: String,
}

/// The answer to a request for a list.
#[derive(ApiResponse)]
pub(super) enum AssetsAnswer {
    /// A page of the catalogue
    #[oai(status = 200)]
    Page(
        PageJson,
        /// Differs when the catalogue does.
        #[oai(header = "ETag")]
        String,
        /// For how long the page may be kept.
        #[oai(header = "Cache-Control")]
        String,
        /// The next page, if there is one (RFC 8288).
        #[oai(header = "Link")]
        Option<String>,
    ),
    /// The page is still the one that you have
    #[oai(status = 304)]
    NotModified(
        /// The page's tag.
        #[oai(header = "ETag")]
        String,
        /// For how long the page may be kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

/// The answer to a request for one asset.
#[derive(ApiResponse)]
pub(super) enum AssetAnswer {
    /// The asset
    #[oai(status = 200)]
    Asset(
        Json<AssetDetails>,
        /// For how long the answer may be kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

impl AssetItem {
    pub(super) fn of(asset: &Asset, now: DateTime<Utc>) -> Self {
        Self {
            id: asset.id.to_string(),
            symbol: asset.symbol.to_string(),
            name: asset.name.clone(),
            category: asset.category.as_str().to_owned(),
            price_usd: asset.price.as_decimal(),
            price_updated_at: asset.price_updated_at,
            price_age_seconds: age_seconds(asset.price_updated_at, now),
            available: asset.available.as_decimal(),
            active: asset.active,
        }
    }
}

impl AssetDetails {
    pub(super) fn of(asset: Asset, now: DateTime<Utc>) -> Self {
        Self { asset: AssetItem::of(&asset, now), description: asset.description }
    }
}

/// Whole seconds from `moment` to `now`; a moment that is still to come has none behind it.
pub(super) fn age_seconds(moment: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    (now - moment).num_seconds().try_into().unwrap_or(0)
}

fn rfc3339<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&moment.to_rfc3339())
}

/// Whether `if_none_match` (RFC 9110, section 13.1.2) names `tag`.
pub(super) fn names(if_none_match: Option<&str>, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.is_some_and(|tags| tags.trim() == "*" || tags.split(',').any(|other| opaque(other) == opaque(tag)))
}

impl From<OutOfDate> for Problem {
    fn from(error: OutOfDate) -> Self {
        let detail = "The catalogue cannot be read at present; try again";
        Self::unavailable("catalogue_unavailable", detail, Duration::from_secs(1)).caused_by(error)
    }
}

/// Whether assets that can be bought are listed, or the others, or all.
pub(super) struct ActiveFilter(pub(super) Option<bool>);

impl ParameterValue for ActiveFilter {
    fn schema() -> MetaSchema {
        words(["true", "false", "all"], "true")
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self(Some(true))),
            "false" => Ok(Self(Some(false))),
            "all" => Ok(Self(None)),
            _ => Err("must be true, false or all".to_owned()),
        }
    }
}

impl ParameterValue for Sort {
    fn schema() -> MetaSchema {
        words(["name", "-name", "price", "-price", "symbol", "-symbol"], "name")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let word = text.strip_prefix('-').unwrap_or(text);
        let by = [SortBy::Name, SortBy::Price, SortBy::Symbol].into_iter().find(|by| by.as_str() == word);
        let by = by.ok_or("must be name, price or symbol, with a - before it for the opposite order")?;
        Ok(Self { by, descending: text.starts_with('-') })
    }
}

impl ParameterValue for Category {
    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(32), ..MetaSchema::new("string") }
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl ParameterValue for SearchText {
    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(64), ..MetaSchema::new("string") }
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(str::to_owned)
    }
}

/// A bound of prices, in dollars.
impl ParameterValue for Decimal {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("string", "decimal") }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<Self>() {
            Ok(number) if number.is_sign_negative() && !number.is_zero() => Err("must not be negative".to_owned()),
            Ok(number) => Ok(number),
            Err(_) => Err("must be a decimal number, like 0.25".to_owned()),
        }
    }
}

fn words<const N: usize>(words: [&str; N], default: &str) -> MetaSchema {
    MetaSchema {
        enum_items: words.map(Into::into).to_vec(),
        default: Some(default.into()),
        ..MetaSchema::new("string")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_words_are_read_and_others_refused() {
        let sort = <Sort as ParameterValue>::parse;
        assert_eq!(sort("-price"), Ok(Sort { by: SortBy::Price, descending: true }));
        assert_eq!(sort("symbol"), Ok(Sort { by: SortBy::Symbol, descending: false }));
        for bad in ["", "-", "--price", "Price", "price ", "id"] {
            assert!(sort(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        for header in ["*", "W/\"a\"", "\"a\"", "\"b\", W/\"a\""] {
            assert!(names(Some(header), "W/\"a\""), "{header}");
        }
        for header in ["", "\"b\"", "a", "W/\"ab\""] {
            assert!(!names(Some(header), "W/\"a\""), "{header}");
        }
        assert!(!names(None, "W/\"a\""));
    }
}
