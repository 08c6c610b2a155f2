//! Tables in Markdown, and how numbers are written in them.

/// A table whose first column is text and whose others are numbers.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![line(header), format!("|---{}|", "|--:".repeat(header.len().saturating_sub(1)))];
    lines.extend(rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
    lines.join("\n") + "\n"
}

fn line(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// A whole number with commas between its thousands.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::{table, whole};

    #[test]
    fn thousands_are_kept_apart() {
        let written = [0.0, 999.4, 1000.0, 1_234_567.0, -1500.0].map(whole);
        assert_eq!(written, ["0", "999", "1,000", "1,234,567", "-1,500"]);
    }

    #[test]
    fn columns_of_numbers_are_aligned_to_the_right() {
        let text = table(&["work", "gateway", "nginx"], &[vec!["plain".into(), "2".into(), "1".into()]]);
        assert_eq!(text, "| work | gateway | nginx |\n|---|--:|--:|\n| plain | 2 | 1 |\n");
    }
}
