//! Reads an answer of CoinGecko, entry by entry: one that is not sound costs no other its price.

use chrono::{DateTime, TimeDelta, Utc};
use common::entities::{AssetId, Price};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use serde_json::value::RawValue;

/// How far CoinGecko's clock may be ahead of ours. A price from further ahead would keep all later ones out.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// As many as a [`Price`] keeps; CoinGecko gives more for what costs less than a cent.
const DECIMAL_PLACES: u32 = 8;

/// What an answer holds.
#[derive(Debug, Default)]
pub(crate) struct Markets {
    /// Prices that can be used.
    pub(crate) quotes: Vec<Quote>,
    /// Why each of the other entries was set aside.
    pub(crate) rejections: Vec<Rejection>,
}

/// What one asset cost at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quote {
    /// Which asset.
    pub(crate) id: AssetId,
    /// Dollars for one unit.
    pub(crate) price: Price,
    /// When it was true.
    pub(crate) as_of: DateTime<Utc>,
}

/// Why an entry was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rejection {
    /// It is not an object with the members that matter, each of its type.
    Malformed,
    /// It is about an asset that was not asked for.
    UnknownAsset,
    /// It has no price, as CoinGecko says of assets that nobody trades.
    NoPrice,
    /// Its price is not more than 0, beyond all bounds, or less than the smallest amount kept.
    AbsurdPrice,
    /// It does not say when the price was true.
    NoTime,
    /// It says that the price will be true at some later time.
    FromTheFuture,
}

impl Rejection {
    /// The word used in metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownAsset => "unknown_asset",
            Self::NoPrice => "no_price",
            Self::AbsurdPrice => "absurd_price",
            Self::NoTime => "no_time",
            Self::FromTheFuture => "from_the_future",
        }
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: String,
    // The number as it was written: read as a float, 0.1 would no longer be 0.1.
    #[serde(borrow)]
    current_price: Option<&'a RawValue>,
    last_updated: Option<DateTime<Utc>>,
}

impl Markets {
    /// Reads `body`, an answer about the assets `asked` for that came at `now`.
    ///
    /// # Errors
    /// When `body` is no JSON array.
    pub(crate) fn read(body: &[u8], asked: &[AssetId], now: DateTime<Utc>) -> Result<Self, serde_json::Error> {
        let entries: Vec<&RawValue> = serde_json::from_slice(body)?;
        let mut markets = Self::default();
        for entry in entries {
            match quote(entry, asked, now) {
                Ok(quote) => markets.quotes.push(quote),
                Err(rejection) => markets.rejections.push(rejection),
            }
        }
        Ok(markets)
    }

    /// Takes over all of `other`.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.quotes.append(&mut other.quotes);
        self.rejections.append(&mut other.rejections);
    }
}

fn quote(entry: &RawValue, asked: &[AssetId], now: DateTime<Utc>) -> Result<Quote, Rejection> {
    let entry: Entry<'_> = serde_json::from_str(entry.get()).map_err(|_| Rejection::Malformed)?;
    let id = asked.iter().find(|id| id.as_str() == entry.id).ok_or(Rejection::UnknownAsset)?;
    let price = price(entry.current_price.ok_or(Rejection::NoPrice)?)?;
    let as_of = entry.last_updated.ok_or(Rejection::NoTime)?;
    if as_of - now > MAX_AHEAD {
        return Err(Rejection::FromTheFuture);
    }
    Ok(Quote { id: id.clone(), price, as_of })
}

fn price(number: &RawValue) -> Result<Price, Rejection> {
    let text = number.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(Rejection::Malformed);
    }
    let number = if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { text.parse::<Decimal>() };
    let number = number.map_err(|_| Rejection::AbsurdPrice)?;
    let rounded = number.round_dp_with_strategy(DECIMAL_PLACES, RoundingStrategy::MidpointNearestEven);
    Price::new(rounded).map_err(|_| Rejection::AbsurdPrice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T10:00:00Z".parse().expect("time")
    }

    fn read(body: &str) -> Result<Markets, serde_json::Error> {
        let asked = ["bitcoin", "tether"].map(|id| AssetId::parse(id).expect("id"));
        Markets::read(body.as_bytes(), &asked, now())
    }

    fn read_price(number: &str) -> Result<String, Rejection> {
        let body =
            format!(r#"[{{"id":"bitcoin","current_price":{number},"last_updated":"2026-11-22T09:59:30.123Z"}}]"#);
        let markets = read(&body).expect("array");
        markets.quotes.first().map(|quote| quote.price.to_string()).ok_or_else(|| markets.rejections[0])
    }

    #[test]
    fn prices_are_taken_as_they_are_written() {
        for (written, read) in [
            ("103250.42", "103250.42"),
            ("0.1", "0.1"),
            ("1", "1"),
            ("1.2e-7", "0.00000012"),
            ("1.5E+3", "1500"),
            ("9007199254740.993e-1", "900719925474.0993"),
            ("0.000010125000001", "0.00001013"),
            ("1e12", "1000000000000"),
        ] {
            assert_eq!(read_price(written).as_deref(), Ok(read), "{written}");
        }
    }

    #[test]
    fn absurd_prices_are_set_aside() {
        for absurd in ["0", "-1", "-1e-3", "1e13", "1e400", "1e-9", "1e-40", "0.000000001", &"9".repeat(60)] {
            assert_eq!(read_price(absurd), Err(Rejection::AbsurdPrice), "{absurd}");
        }
        assert_eq!(read_price("null"), Err(Rejection::NoPrice));
        for malformed in ["\"103250\"", "true", "[1]", "{}"] {
            assert_eq!(read_price(malformed), Err(Rejection::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_bad_entry_costs_no_other_its_price() {
        let markets = read(
            r#"[7, null, {}, {"id":5},
                {"id":"unheard-of","current_price":1,"last_updated":"2026-11-22T09:00:00Z"},
                {"id":"bitcoin","current_price":1,"last_updated":"2026-11-22T10:06:00Z"},
                {"id":"bitcoin","current_price":1,"last_updated":"yesterday"},
                {"id":"bitcoin","current_price":1},
                {"id":"tether","current_price":1.0002,"last_updated":"2026-11-22T10:04:00Z","roi":{"times":1}}]"#,
        )
        .expect("array");
        assert_eq!(markets.quotes.len(), 1);
        assert_eq!(markets.quotes[0].id.as_str(), "tether");
        use Rejection::{FromTheFuture, Malformed, NoTime, UnknownAsset};
        let rejections = [Malformed, Malformed, Malformed, Malformed, UnknownAsset, FromTheFuture, Malformed, NoTime];
        assert_eq!(markets.rejections, rejections);
    }

    #[test]
    fn anything_but_an_array_is_an_error() {
        for body in ["", "{}", "null", "[1", "<html>", r#"{"status":{"error_code":429}}"#, "[{\"id\":\"bitcoin\""] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
