//! What a measurement is held against.

use crate::table::table;

/// Something to reach, and whether it was.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) to_reach: String,
    pub(super) measured: String,
    pub(super) is_met: bool,
}

/// One row for each; what was missed stands out.
pub(super) fn table_of(targets: &[Target]) -> String {
    let row = |target: &Target| {
        let measured = if target.is_met { target.measured.clone() } else { format!("**{}, missed**", target.measured) };
        vec![target.what.clone(), target.to_reach.clone(), measured]
    };
    if targets.is_empty() {
        return String::new();
    }
    table(&["target", "to reach", "measured"], &targets.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::{Target, table_of};

    #[test]
    fn missed_target_stands_out() {
        let target = |is_met| Target {
            what: "5xx".into(),
            to_reach: "0".into(),
            measured: if is_met { "0" } else { "7" }.into(),
            is_met,
        };
        let text = table_of(&[target(true), target(false)]);
        assert!(text.ends_with("| 5xx | 0 | 0 |\n| 5xx | 0 | **7, missed** |\n"), "{text}");
        assert_eq!(table_of(&[]), "");
    }
}
