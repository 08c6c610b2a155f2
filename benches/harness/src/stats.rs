//! What many rounds say together: medians, ratios of one peer to another in the same round, and how far they spread.

/// The middle of several values, and the least and the greatest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Of `values`; none of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = match middle.checked_sub(1).and_then(|lower| sorted.get(lower)) {
            Some(lower) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, upper),
            _ => upper,
        };
        Some(Self { median, least, greatest })
    }
}

/// `ours` to `theirs`, round by round: what slows a round down slows both in it, and the ratio stays.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let each: Vec<f64> =
        ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0).map(|(ours, theirs)| ours / theirs).collect();
    Spread::of(&each)
}

#[cfg(test)]
mod tests {
    use super::{Spread, ratios};

    #[test]
    fn median_of_an_odd_number_is_the_middle_one() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]).expect("three values");
        assert_eq!(spread, Spread { median: 2.0, least: 1.0, greatest: 9.0 });
    }

    #[test]
    fn median_of_an_even_number_lies_between_the_two_middle_ones() {
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 100.0]).expect("four values").median, 3.5);
    }

    #[test]
    fn of_nothing_there_is_nothing_to_say() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn a_slow_round_leaves_the_ratio_alone() {
        let spread = ratios(&[20.0, 60.0, 20.0], &[10.0, 30.0, 10.0]).expect("three rounds");
        assert_eq!(spread, Spread { median: 2.0, least: 2.0, greatest: 2.0 });
    }
}
