//! Orders on the wire: what is asked for, what is answered, and why not.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::entities::{AssetId, IdempotencyKey, InvalidValue, Order, OrderStatus, Quantity};
use common::repository::{PlaceOrderError, Placed};
use common::service::{Field, FieldError, FieldValue, Fields, Problem};
use poem::http::{HeaderMap, StatusCode};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{ApiResponse, Enum, Object};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::orders::BuyError;

/// The header that names an attempt to buy.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A float keeps this many digits whatever they are; what was sent with more may not be what arrived.
const EXACT_DIGITS: usize = 15;

/// A [`Decimal`] keeps this many digits whatever they are.
const MAX_DIGITS: usize = 28;

/// What is to be bought.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct NewOrder {
    /// Which asset.
    asset_id: Field<AssetIdText>,
    /// How many units.
    quantity: QuantityField,
}

/// What is to be bought, checked.
pub(super) struct Purchase {
    pub(super) asset: AssetId,
    pub(super) quantity: Quantity,
    pub(super) key: Option<IdempotencyKey>,
}

impl NewOrder {
    /// Checks the body and the idempotency key among `headers`.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(super) fn check(self, mut fields: Fields, headers: &HeaderMap) -> Result<Purchase, Problem> {
        let asset = fields.take("asset_id", self.asset_id);
        let quantity = self.quantity.0.map_err(|detail| fields.wrong("quantity", detail)).ok();
        let key = idempotency_key(headers).map_err(|detail| fields.wrong(IDEMPOTENCY_KEY, detail)).ok();
        let purchase = asset.zip(quantity).zip(key);
        fields.finish(purchase.map(|((asset, quantity), key)| Purchase { asset: asset.0, quantity, key }))
    }
}

/// Read from the headers themselves: poem passes over a value that is not ASCII, and one key of several would be taken.
/// Either way a repetition would buy twice.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("is given more than once".to_owned());
    }
    let text = value.to_str().unwrap_or_default();
    IdempotencyKey::parse(text).map(Some).map_err(|error| error.to_string())
}

/// An order.
#[derive(Object)]
#[oai(rename = "Order")]
pub(super) struct OrderItem {
    /// Its identity; later orders sort behind earlier ones.
    id: Uuid,
    /// What was bought.
    asset_id: String,
    /// That asset's symbol at the time.
    symbol: String,
    /// How many units.
    quantity: Decimal,
    /// US dollars for one unit at the time.
    unit_price_usd: Decimal,
    /// US dollars for all.
    total_usd: Decimal,
    /// How far it has come.
    status: Status,
    /// When it was placed.
    created_at: DateTime<Utc>,
}

/// How far an order has come.
#[derive(Enum)]
#[oai(rename = "OrderStatus", rename_all = "lowercase")]
enum Status {
    /// The units are yours.
    Confirmed,
}

/// Some of the caller's orders.
#[derive(Object)]
pub(super) struct OrderPage {
    /// The newest first.
    pub(super) items: Vec<OrderItem>,
    /// The `cursor` of the next page; left out on the last.
    #[oai(skip_serializing_if_is_none)]
    pub(super) next_page: Option<String>,
}

/// The answer to a request for a page of orders.
#[derive(ApiResponse)]
pub(super) enum OrdersAnswer {
    /// A page of the caller's orders
    #[oai(status = 200)]
    Page(
        Json<OrderPage>,
        /// Nobody may keep it.
        #[oai(header = "Cache-Control")]
        String,
        /// The next page, if there is one (RFC 8288).
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// The answer to a request for one order.
#[derive(ApiResponse)]
pub(super) enum OrderAnswer {
    /// The order
    #[oai(status = 200)]
    Order(
        Json<OrderItem>,
        /// Nobody may keep it.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

/// The answer to a purchase.
#[derive(ApiResponse)]
pub(super) enum PlacedAnswer {
    /// Bought
    #[oai(status = 201)]
    Now(
        Json<OrderItem>,
        /// Where the order is.
        #[oai(header = "Location")]
        String,
    ),
    /// Bought before, under the same key; nothing was bought now
    #[oai(status = 200)]
    Before(
        Json<OrderItem>,
        /// Where the order is.
        #[oai(header = "Location")]
        String,
        /// Always `true`.
        #[oai(header = "Idempotency-Replayed")]
        bool,
    ),
}

impl From<Order> for OrderItem {
    fn from(order: Order) -> Self {
        Self {
            id: order.id.as_uuid(),
            asset_id: order.asset_id.to_string(),
            symbol: order.symbol.to_string(),
            quantity: order.quantity.as_decimal(),
            unit_price_usd: order.unit_price.as_decimal(),
            total_usd: order.total.as_decimal(),
            status: match order.status {
                OrderStatus::Confirmed => Status::Confirmed,
            },
            created_at: order.created_at,
        }
    }
}

impl From<Placed> for PlacedAnswer {
    fn from(placed: Placed) -> Self {
        let location = |order: &Order| format!("/inventory/orders/{}", order.id);
        match placed {
            Placed::Now(order) => Self::Now(Json(order.clone().into()), location(&order)),
            Placed::Before(order) => Self::Before(Json(order.clone().into()), location(&order), true),
        }
    }
}

/// Another user's order is as absent as one that never was.
pub(super) fn no_such_order() -> Problem {
    Problem::not_found("order_not_found", "You have no order with this id")
}

pub(super) fn no_such_asset() -> Problem {
    Problem::not_found("asset_not_found", "There is no asset with this id")
}

impl From<BuyError> for Problem {
    fn from(error: BuyError) -> Self {
        match error {
            BuyError::UnknownAsset => no_such_asset(),
            BuyError::Total(invalid) => {
                Self::invalid_fields(vec![FieldError { field: "quantity".to_owned(), detail: invalid.to_string() }])
            }
            BuyError::Place(PlaceOrderError::OutOfStock { available }) => {
                Self::conflict("out_of_stock", format!("Only {available} units are left"))
            }
            BuyError::Place(PlaceOrderError::NotForSale) => {
                Self::conflict("not_for_sale", "The asset cannot be bought at present")
            }
            BuyError::Place(PlaceOrderError::PriceChanged) => {
                Self::conflict("price_changed", "The price changed while the order was placed; try again")
            }
            BuyError::Place(PlaceOrderError::KeyReused) => {
                let detail = "This Idempotency-Key was used for another purchase; take a new key for a new purchase";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
            }
            BuyError::Place(PlaceOrderError::Repository(error)) if error.is_retryable() => {
                let detail = "The store did not answer; the order may have been placed all the same. Repeat the request \
                              under the same Idempotency-Key, or look at your orders before you send another";
                Self::unavailable("store_unavailable", detail, Duration::from_secs(1)).caused_by(error)
            }
            BuyError::Place(PlaceOrderError::Repository(error)) => error.into(),
        }
    }
}

/// An asset's id in a body.
struct AssetIdText(AssetId);

impl FieldValue for AssetIdText {
    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(64), example: Some("bitcoin".into()), ..MetaSchema::new("string") }
    }

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        AssetId::parse(text).map(Self)
    }
}

/// A quantity to buy, as a JSON string or number, or what is wrong with it.
struct QuantityField(Result<Quantity, String>);

impl Type for QuantityField {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "quantity".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let either = [MetaSchema::new_with_format("string", "decimal"), MetaSchema::new("number")];
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("More than 0, at most 8 decimal places; with more than 15 digits as a string"),
            one_of: either.map(|schema| MetaSchemaRef::Inline(Box::new(schema))).to_vec(),
            example: Some("0.25".into()),
            ..MetaSchema::ANY
        }))
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for QuantityField {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(match value {
            None | Some(Value::Null) => Err("is missing".to_owned()),
            Some(Value::String(text)) => quantity(&text),
            Some(Value::Number(number)) => {
                let text = number.to_string();
                let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit);
                if number.is_f64() && digits.count() > EXACT_DIGITS {
                    Err("must be sent as a string if it has more than 15 digits".to_owned())
                } else {
                    quantity(&text)
                }
            }
            Some(_) => Err("must be a decimal number, as a string or a number".to_owned()),
        }))
    }
}

/// Needed of a body's field by poem-openapi, for examples in the document.
impl ToJSON for QuantityField {
    fn to_json(&self) -> Option<Value> {
        self.0.as_ref().ok().map(|quantity| quantity.to_string().into())
    }
}

fn quantity(text: &str) -> Result<Quantity, String> {
    let number = decimal(text).ok_or("must be a decimal number, like 0.25, with at most 28 digits")?;
    Quantity::positive(number).map_err(|error| error.to_string())
}

/// The number exactly as it is written. [`Decimal`] itself would round what has more digits than it keeps, and pass over
/// underscores.
fn decimal(text: &str) -> Option<Decimal> {
    let (digits, scientific) = match text.split_once(['e', 'E']) {
        Some((digits, _)) => (digits, true),
        None => (text, false),
    };
    let kept = digits.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS;
    if !kept || text.contains('_') {
        return None;
    }
    if scientific { Decimal::from_scientific(text).ok() } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use common::repository::RepositoryError;

    use super::*;

    #[test]
    fn a_quantity_is_taken_exactly_or_not_at_all() {
        for (written, read) in [("0.25", "0.25"), ("1.50", "1.5"), ("2.5e3", "2500"), ("1E-8", "0.00000001")] {
            assert_eq!(quantity(written).map(|quantity| quantity.to_string()).as_deref(), Ok(read), "{written}");
        }
        let (nines, long) = (format!("0.{}", "9".repeat(32)), format!("1.{}1", "0".repeat(31)));
        for refused in [&nines, &long, &format!("{long}e0"), "1_0", "1_0e0", "1e99", "1.5e-4294967295", "", ".", "e1"] {
            assert!(quantity(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_store_that_does_not_answer_does_not_say_that_nothing_was_bought() {
        let unavailable = RepositoryError::Unavailable("no answer".into());
        let problem = Problem::from(BuyError::from(unavailable));
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(problem.to_string().contains("may have been placed"), "{problem}");
    }
}
