//! A page of assets as JSON, joined from pieces that were ready before the request.
//!
//! Writing the same assets anew was more than half of what a request cost. Of an asset only the age of its price depends
//! on the moment; all else stays as long as the snapshot does.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::entities::Asset;
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;

use super::assets::{AssetItem, age_seconds};

/// What an age stands behind. No text has it within: there a quote is escaped.
const AGE: &str = r#""price_age_seconds":"#;

/// Room for [`AGE`], an age and a comma.
const AGE_LENGTH: usize = AGE.len() + 12;

/// Some of the catalogue.
#[derive(Object)]
struct AssetPage {
    /// In the order asked for.
    items: Vec<AssetItem>,
    /// The `cursor` of the next page; left out on the last.
    #[oai(skip_serializing_if_is_none)]
    next_page: Option<String>,
}

/// An [`AssetPage`] as JSON.
pub(super) struct PageJson(String);

/// An [`AssetItem`] as JSON, but for its age.
pub(crate) struct AssetJson {
    before_age: Box<str>,
    after_age: Box<str>,
    price_updated_at: DateTime<Utc>,
}

impl PageJson {
    /// The page of `items` as it is `now`, and `next_page`, the cursor of the next.
    pub(super) fn new(items: &[Arc<AssetJson>], next_page: Option<&str>, now: DateTime<Utc>) -> Self {
        let length = |item: &Arc<AssetJson>| item.before_age.len() + AGE_LENGTH + item.after_age.len();
        let around = 64 + next_page.map_or(0, str::len);
        let mut json = String::with_capacity(around + items.iter().map(length).sum::<usize>());
        json += r#"{"items":["#;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json += &item.before_age;
            json += AGE;
            json += itoa::Buffer::new().format(age_seconds(item.price_updated_at, now));
            json += &item.after_age;
        }
        json.push(']');
        if let Some(cursor) = next_page {
            // Base64url, of which JSON escapes nothing.
            json += r#","next_page":""#;
            json += cursor;
            json.push('"');
        }
        json.push('}');
        Self(json)
    }
}

impl From<&Asset> for AssetJson {
    fn from(asset: &Asset) -> Self {
        let price_updated_at = asset.price_updated_at;
        let item = AssetItem::of(asset, price_updated_at);
        let json = serde_json::to_string(&item).expect("texts, numbers and a truth value are JSON");
        let (before_age, after_age) = json.split_once(AGE).expect("an item has an age");
        let after_age = after_age.trim_start_matches('0');
        Self { before_age: before_age.into(), after_age: after_age.into(), price_updated_at }
    }
}

impl Payload for PageJson {
    const CONTENT_TYPE: &'static str = <Json<AssetPage> as Payload>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        <Json<AssetPage> as Payload>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        AssetPage::schema_ref()
    }

    fn register(registry: &mut Registry) {
        AssetPage::register(registry);
    }
}

impl IntoResponse for PageJson {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use common::entities::{AssetId, Category, Price, Quantity, Symbol};
    use poem_openapi::types::ToJSON;
    use rust_decimal::Decimal;
    use serde_json::Value;

    use super::*;

    fn moment() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 120).expect("a moment")
    }

    fn asset(name: &str) -> Asset {
        Asset {
            id: AssetId::parse("bitcoin").expect("id"),
            symbol: Symbol::parse("btc").expect("symbol"),
            name: name.to_owned(),
            description: "Not in a list.".to_owned(),
            category: Category::parse("layer-1").expect("category"),
            price: Price::new(Decimal::new(10_325_042, 2)).expect("price"),
            price_updated_at: moment(),
            available: Quantity::new(Decimal::new(1, 8)).expect("quantity"),
            active: true,
            created_at: moment(),
            updated_at: moment(),
        }
    }

    /// Checks that the page of `assets` is written as the document says, and in the order of its fields.
    #[track_caller]
    fn assert_written(assets: &[Asset], next_page: Option<&str>, now: DateTime<Utc>) {
        let ready: Vec<_> = assets.iter().map(|asset| Arc::new(AssetJson::from(asset))).collect();
        let PageJson(json) = PageJson::new(&ready, next_page, now);
        let items = assets.iter().map(|asset| AssetItem::of(asset, now)).collect();
        let page = AssetPage { items, next_page: next_page.map(str::to_owned) };
        assert_eq!(serde_json::from_str::<Value>(&json).ok(), page.to_json(), "{json}");
    }

    #[test]
    fn a_page_is_written_as_it_is_documented() {
        let names = ["Bitcoin \"é\"", r#""price_age_seconds":0"#, "back\\slash \u{1}"];
        let assets = names.map(asset);
        for next_page in [None, Some("WzEsIm5hbWUiXQ-_")] {
            for count in 0..=assets.len() {
                assert_written(&assets[..count], next_page, moment());
            }
        }
    }

    #[test]
    fn the_age_of_a_price_is_that_of_the_request() {
        for age in [TimeDelta::zero(), TimeDelta::seconds(7), TimeDelta::days(40_000), TimeDelta::milliseconds(-1)] {
            assert_written(&[asset("Bitcoin")], None, moment() + age);
        }
    }
}
