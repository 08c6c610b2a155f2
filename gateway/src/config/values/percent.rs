//! A part of all: `5%`, `0.1%`.

use schemars::JsonSchema;
use serde::Deserialize;

/// More than none and at most all, to a thousandth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"5%")]
pub struct Percent(#[schemars(with = "String")] u32);

/// The text is no part of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part is written like `5%` or `0.1%`: more than 0%, at most 100%, with up to three places")]
pub struct BadPercent;

/// What a percent has.
const THOUSANDTHS: u32 = 1000;

impl Percent {
    /// 100%.
    #[must_use]
    pub const fn all() -> Self {
        Self(100 * THOUSANDTHS)
    }

    /// Of a hundred thousand, how many.
    #[must_use]
    pub const fn of_hundred_thousand(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Percent {
    type Error = BadPercent;

    fn try_from(text: String) -> Result<Self, BadPercent> {
        let number = text.strip_suffix('%').ok_or(BadPercent)?;
        let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(places, 3) {
            return Err(BadPercent);
        }
        let whole: u32 = whole.parse().map_err(|_| BadPercent)?;
        let places: u32 = format!("{places:0<3}").parse().map_err(|_| BadPercent)?;
        let thousandths = whole * THOUSANDTHS + places;
        if (1..=Self::all().0).contains(&thousandths) { Ok(Self(thousandths)) } else { Err(BadPercent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_all_is_more_than_none_and_at_most_all() {
        let read = |text: &str| Percent::try_from(text.to_owned()).map(Percent::of_hundred_thousand);
        for (text, parts) in [("100%", 100_000), ("5%", 5_000), ("0.1%", 100), ("0.001%", 1), ("12.34%", 12_340)] {
            assert_eq!(read(text), Ok(parts), "{text}");
        }
        for text in ["", "5", "%", "0%", "0.000%", "101%", "100.001%", "-1%", "+1%", "1.2345%", ".5%", "5.%", "1e1%"] {
            assert_eq!(read(text), Err(BadPercent), "{text}");
        }
    }
}
