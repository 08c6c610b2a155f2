//! Decimal amounts of money and of assets. Never floats: 0.1 + 0.2 is 0.3.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

use super::InvalidValue;

/// Decimal places kept everywhere: one hundred-millionth, as in the smallest unit of Bitcoin.
const SCALE: u32 = 8;

/// Larger prices and quantities are taken for mistakes; their product still fits a DynamoDB number (38 digits).
const MAX: Decimal = Decimal::from_parts(0xD4A5_1000, 0xE8, 0, false, 0); // 10^12

macro_rules! decimal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Decimal);

        impl $name {
            /// The number.
            #[must_use]
            pub const fn as_decimal(self) -> Decimal {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

decimal!(
    /// US dollars for one unit of an asset: more than 0, at most 10^12, at most 8 decimal places.
    Price
);
decimal!(
    /// Units of an asset: 0 to 10^12, at most 8 decimal places.
    Quantity
);
decimal!(
    /// US dollars for a whole order, rounded half to even at 8 decimal places.
    Amount
);

impl Price {
    /// Checks `number`.
    ///
    /// # Errors
    /// Says which bound `number` breaks.
    pub fn new(number: Decimal) -> Result<Self, InvalidValue> {
        let price = check(number)?;
        if price.is_zero() { Err(InvalidValue::new("must be more than 0")) } else { Ok(Self(price)) }
    }

    /// What `quantity` units cost.
    ///
    /// # Errors
    /// When the product is over 10^12 dollars, or rounds to nothing.
    pub fn times(self, quantity: Quantity) -> Result<Amount, InvalidValue> {
        let total = self
            .0
            .checked_mul(quantity.0)
            .map(|total| total.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven))
            .filter(|total| *total <= MAX)
            .ok_or_else(|| InvalidValue::new("makes the order's total too large"))?;
        if total.is_zero() {
            return Err(InvalidValue::new("makes the order's total less than the smallest amount"));
        }
        Ok(Amount(total.normalize()))
    }
}

impl Quantity {
    /// None at all.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Checks `number`.
    ///
    /// # Errors
    /// Says which bound `number` breaks.
    pub fn new(number: Decimal) -> Result<Self, InvalidValue> {
        check(number).map(Self)
    }

    /// Checks `number` as a quantity to buy, which is not nothing.
    ///
    /// # Errors
    /// Says which bound `number` breaks.
    pub fn positive(number: Decimal) -> Result<Self, InvalidValue> {
        let quantity = Self::new(number)?;
        if quantity.0.is_zero() { Err(InvalidValue::new("must be more than 0")) } else { Ok(quantity) }
    }
}

impl Amount {
    /// Takes over an amount that the store kept.
    ///
    /// # Errors
    /// Says which bound `number` breaks.
    pub fn new(number: Decimal) -> Result<Self, InvalidValue> {
        check(number).map(Self)
    }
}

fn check(number: Decimal) -> Result<Decimal, InvalidValue> {
    let number = number.normalize();
    if number.is_sign_negative() && !number.is_zero() {
        return Err(InvalidValue::new("must not be negative"));
    }
    if number > MAX {
        return Err(InvalidValue::new("must be at most 1000000000000"));
    }
    if number.scale() > SCALE {
        return Err(InvalidValue::new("must have at most 8 decimal places"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("decimal")
    }

    #[test]
    fn bounds_are_kept() {
        assert!(Price::new(decimal("0")).is_err());
        assert!(Price::new(decimal("-1")).is_err());
        assert!(Price::new(decimal("0.000000001")).is_err());
        assert!(Price::new(decimal("1000000000000")).is_ok());
        assert!(Price::new(decimal("1000000000000.1")).is_err());
        assert!(Quantity::new(decimal("0")).is_ok());
        assert!(Quantity::positive(decimal("0.00")).is_err());
        assert!(Quantity::positive(decimal("1.500000000000")).is_ok(), "trailing zeros are no decimal places");
    }

    #[test]
    fn total_is_exact_and_bounded() {
        let total = |price, quantity| {
            let price = Price::new(decimal(price)).expect("price");
            price.times(Quantity::positive(decimal(quantity)).expect("quantity")).map(|total| total.to_string())
        };
        assert_eq!(total("0.1", "3").expect("total"), "0.3");
        assert_eq!(total("65000.12345678", "0.5").expect("total"), "32500.06172839");
        assert_eq!(total("0.00000003", "0.5").expect("total"), "0.00000002", "half to even");
        assert!(total("1000000000000", "1000000000000").is_err());
        assert!(total("0.00000001", "0.00000001").is_err());
    }
}
