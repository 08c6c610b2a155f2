//! Lines over time, in panels one below the other that share their time and their series.

use super::{COLOURS, colour, text};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
/// Below the title; the names of the series follow.
const TOP: f64 = 36.0;
const NAMES_IN_A_LINE: usize = 4;
const NAME: f64 = 200.0;
const LINE: f64 = 18.0;
const PANEL: f64 = 200.0;
const BETWEEN: f64 = 46.0;
/// Of the last line, and by how much more for each one before it.
const THINNEST: f64 = 1.5;
const THICKER: f64 = 0.7;
/// Steps of a scale are one of these times a power of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// Points of so many seconds and values; where a series has none, it is not drawn.
pub(crate) type Line = Vec<(f64, f64)>;

/// One of the pictures, with a line for each series.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Line>,
    pub(crate) marks: Vec<Mark>,
}

/// A moment that is pointed out.
pub(crate) struct Mark {
    pub(crate) at: f64,
    pub(crate) what: String,
}

/// The panels, over the seconds from 0 to the last point of any of them.
pub(crate) fn lines(title: &str, names: &[&str], panels: &[Panel]) -> String {
    let names_in = names.len().div_ceil(NAMES_IN_A_LINE) as f64 * LINE;
    let top_of = |number: usize| TOP + names_in + BETWEEN * 0.7 + (PANEL + BETWEEN) * number as f64;
    let height = top_of(panels.len());
    let mut parts = vec![
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="sans-serif" font-size="12">"#
        ),
        format!(r#"<rect width="{WIDTH}" height="{height:.0}" fill="white"/>"#),
        text(16.0, 22.0, "start", title, "font-weight=\"bold\" font-size=\"14\""),
    ];
    for (number, name) in names.iter().enumerate() {
        let x = 16.0 + NAME * (number % NAMES_IN_A_LINE) as f64;
        let y = TOP + LINE * ((number / NAMES_IN_A_LINE) as f64 + 0.5);
        parts.push(format!(
            r#"<line x1="{x}" y1="{y}" x2="{}" y2="{y}" stroke="{}" stroke-width="3"{}/>"#,
            x + 18.0,
            colour(number),
            dashes(number)
        ));
        parts.push(text(x + 24.0, y + 4.0, "start", name, ""));
    }
    let all = |of: fn(&(f64, f64)) -> f64, panels: &[Panel]| {
        panels.iter().flat_map(|panel| panel.series.iter().flatten()).map(of).fold(0.0, f64::max)
    };
    let across = Scale { most: all(|(seconds, _)| *seconds, panels), from: LEFT, to: WIDTH - RIGHT };
    for (number, panel) in panels.iter().enumerate() {
        let top = top_of(number);
        let up = Scale { most: all(|(_, value)| *value, std::slice::from_ref(panel)), from: top + PANEL, to: top };
        parts.extend(draw(panel, &across, &up));
    }
    parts.push("</svg>\n".to_owned());
    parts.join("\n")
}

fn draw(panel: &Panel, across: &Scale, up: &Scale) -> Vec<String> {
    let (top, bottom) = (up.to, up.from);
    let mut parts = vec![text(LEFT, top - 8.0, "start", &panel.title, "font-weight=\"bold\"")];
    for value in up.steps() {
        let y = up.place(value);
        parts.push(format!(r##"<line x1="{LEFT}" y1="{y:.1}" x2="{}" y2="{y:.1}" stroke="#ddd"/>"##, WIDTH - RIGHT));
        parts.push(text(LEFT - 8.0, y + 4.0, "end", &format!("{value}"), ""));
    }
    for value in across.steps() {
        parts.push(text(across.place(value), bottom + 16.0, "middle", &format!("{value} s"), ""));
    }
    for Mark { at, what } in &panel.marks {
        let x = across.place(*at);
        parts.push(format!(
            r##"<line x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}" stroke="#888" stroke-dasharray="4 3"/>"##
        ));
        parts.push(text(x + 4.0, top + 10.0, "start", what, "fill=\"#666\" font-size=\"11\""));
    }
    for (number, line) in panel.series.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let points: Vec<_> = line.iter().map(|(x, y)| format!("{:.1},{:.1}", across.place(*x), up.place(*y))).collect();
        parts.push(format!(
            r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="{:.1}"{}/>"#,
            points.join(" "),
            colour(number),
            // The first ones are the widest, so that those that lie on each other are all seen.
            THINNEST + THICKER * (panel.series.len() - 1 - number) as f64,
            dashes(number)
        ));
    }
    parts
}

/// Where colours come again, lines are dashed.
fn dashes(number: usize) -> &'static str {
    if number < COLOURS.len() { "" } else { r#" stroke-dasharray="6 3""# }
}

/// From 0 at `from` to `most` at `to`.
struct Scale {
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        if self.most > 0.0 { self.from + (self.to - self.from) * value / self.most } else { self.from }
    }

    /// Round values, some four to eight of them.
    fn steps(&self) -> Vec<f64> {
        if self.most <= 0.0 {
            return vec![0.0];
        }
        let power = 10.0_f64.powf((self.most / 8.0).log10().floor());
        let step = STEPS.iter().map(|step| step * power).find(|step| self.most / step <= 8.0).unwrap_or(self.most);
        // A little more, so that the last one is not lost to rounding.
        (0..=(self.most / step + 1e-9) as usize).map(|number| (number as f64 * step * 1e6).round() / 1e6).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Panel, Scale, lines};

    #[test]
    fn steps_are_round_and_few() {
        let steps = |most| Scale { most, from: 0.0, to: 1.0 }.steps();
        assert_eq!(steps(20.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(steps(0.7), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
        assert_eq!(steps(0.0), [0.0]);
    }

    #[test]
    fn values_are_placed_in_proportion() {
        let scale = Scale { most: 4.0, from: 100.0, to: 0.0 };
        assert_eq!([0.0, 1.0, 4.0].map(|value| scale.place(value)), [100.0, 75.0, 0.0]);
    }

    #[test]
    fn each_series_has_a_line_in_each_panel_that_has_points_of_it() {
        let panel = |series| Panel { title: "a < b".into(), series, marks: vec![Mark { at: 1.0, what: "now".into() }] };
        let line = vec![(0.0, 0.0), (2.0, 3.0)];
        let svg = lines("Time", &["x", "y"], &[panel(vec![line.clone(), line.clone()]), panel(vec![line, vec![]])]);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("a &lt; b") && svg.contains(">now<") && svg.contains(">2 s<"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
