//! A picture of the ratios: one row for each scenario, one dot for each peer, with a line from the least to the greatest.

pub(crate) mod lines;

use crate::stats::Spread;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 64.0;
const ROW: f64 = 26.0;
const COLOURS: [&str; 7] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"];

/// A row: its title, and a ratio for each of the series that has one.
pub(crate) type Row = (String, Vec<Option<Spread>>);

/// Ratios on a logarithmic scale, 1 in bold.
pub(crate) fn ratios(title: &str, series: &[&str], rows: &[Row]) -> String {
    let scale = Scale::of(rows);
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + 34.0;
    let mut parts = vec![
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#
        ),
        format!(r#"<rect width="{WIDTH}" height="{height}" fill="white"/>"#),
        text(16.0, 22.0, "start", title, "font-weight=\"bold\" font-size=\"14\""),
    ];
    for (number, name) in series.iter().enumerate() {
        let x = LEFT + 150.0 * number as f64;
        parts.push(format!(r#"<circle cx="{x}" cy="42" r="5" fill="{}"/>"#, colour(number)));
        parts.push(text(x + 10.0, 46.0, "start", name, ""));
    }
    for exponent in scale.least..=scale.greatest {
        let x = scale.place(f64::from(exponent).exp2());
        let width = if exponent == 0 { 2.0 } else { 0.5 };
        parts.push(format!(
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#888" stroke-width="{width}"/>"##
        ));
        parts.push(text(x, bottom + 18.0, "middle", &format!("{} ×", f64::from(exponent).exp2()), ""));
    }
    for (number, (name, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * (number as f64 + 0.5);
        parts.push(text(LEFT - 14.0, y + 4.0, "end", name, ""));
        for (number, spread) in values.iter().enumerate() {
            let Some(Spread { median, least, greatest }) = spread else { continue };
            let (x, from, to) = (scale.place(*median), scale.place(*least), scale.place(*greatest));
            let colour = colour(number);
            parts.push(format!(
                r#"<line x1="{from:.1}" y1="{y}" x2="{to:.1}" y2="{y}" stroke="{colour}" stroke-width="2"/><circle cx="{x:.1}" cy="{y}" r="5" fill="{colour}"/>"#
            ));
        }
    }
    parts.push("</svg>\n".to_owned());
    parts.join("\n")
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

fn text(x: f64, y: f64, anchor: &str, content: &str, attributes: &str) -> String {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    format!(r#"<text x="{x}" y="{y}" text-anchor="{anchor}" {attributes}>{content}</text>"#)
}

/// Powers of two from `least` to `greatest`, over the width of the picture.
struct Scale {
    least: i32,
    greatest: i32,
}

impl Scale {
    /// Wide enough for every row, and for 1.
    fn of(rows: &[Row]) -> Self {
        let all = rows.iter().flat_map(|(_, values)| values.iter().flatten());
        let (least, greatest) =
            all.fold((1.0_f64, 1.0_f64), |(low, high), spread| (low.min(spread.least), high.max(spread.greatest)));
        Self { least: least.log2().floor() as i32, greatest: (greatest.log2().ceil() as i32).max(1) }
    }

    fn place(&self, ratio: f64) -> f64 {
        let share = (ratio.log2() - f64::from(self.least)) / f64::from(self.greatest - self.least);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }
}

#[cfg(test)]
mod tests {
    use super::{LEFT, RIGHT, Scale, WIDTH, ratios};
    use crate::stats::Spread;

    fn rows() -> Vec<super::Row> {
        let spread = Spread { median: 2.0, least: 0.3, greatest: 3.0 };
        vec![("a < b".to_owned(), vec![Some(spread), None])]
    }

    #[test]
    fn scale_holds_every_ratio() {
        let scale = Scale::of(&rows());
        assert_eq!((scale.least, scale.greatest), (-2, 2));
        assert_eq!((scale.place(0.25), scale.place(4.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!(scale.place(1.0), f64::midpoint(LEFT, WIDTH - RIGHT));
    }

    #[test]
    fn picture_has_a_dot_for_each_ratio_and_each_series() {
        let svg = ratios("CPU", &["HAProxy", "nginx"], &rows());
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a &lt; b"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
