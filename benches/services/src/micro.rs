//! Criterion's last results as a table.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Every result under `directory`, by name.
pub(crate) fn table(directory: &Path) -> Result<String> {
    let mut found = Vec::new();
    results(directory, &mut found)?;
    found.sort_by_key(|result| result.join("benchmark.json"));
    let mut text = "## Parts, alone\n\n| part | median | 95 % confidence |\n|---|---|---|\n".to_owned();
    for result in found {
        let read = |name: &str| -> Result<Value> { Ok(serde_json::from_str(&fs::read_to_string(result.join(name))?)?) };
        let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
        let name = benchmark.get("full_id").and_then(Value::as_str).context("full_id")?;
        let nanos = |pointer: &str| estimates.pointer(pointer).and_then(Value::as_f64).context("an estimate");
        let (least, most) =
            (nanos("/median/confidence_interval/lower_bound")?, nanos("/median/confidence_interval/upper_bound")?);
        writeln!(text, "| {name} | {} | {} – {} |", span(nanos("/median/point_estimate")?), span(least), span(most))?;
    }
    Ok(text)
}

/// The directories called `new`, which have the last result of one benchmark each.
fn results(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.ends_with("new") {
            found.push(path);
        } else if path.is_dir() {
            results(&path, found)?;
        }
    }
    Ok(())
}

fn span(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.1} ns"),
        ..1e6 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_have_the_unit_that_suits_them() {
        assert_eq!([span(0.5), span(1500.0), span(21_300_000.0)], ["0.5 ns", "1.5 µs", "21.30 ms"]);
    }
}
