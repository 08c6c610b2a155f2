//! What measurements look like on paper: one function for each section of `RESULTS.md`.

mod comparison;
mod counted;
mod timed;

pub(crate) use comparison::{comparison, picture};
pub(crate) use counted::{Counts, instructions, memory, soak, syscalls};
pub(crate) use timed::latencies;

use crate::stats::Spread;

/// A ratio and how far it spreads.
fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{median:.2} ({least:.2}–{greatest:.2})"),
    )
}

/// Titles of columns behind the first.
fn header<'h>(first: &'h str, rest: impl IntoIterator<Item = &'h str>) -> Vec<&'h str> {
    std::iter::once(first).chain(rest).collect()
}
