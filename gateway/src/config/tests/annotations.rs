//! What the annotated file says of its keys that stand behind a `#`: their default, that they are required, or an example.

use super::*;
use crate::config::file::RedisFailureMode;
use crate::upstream::{MOST_STREAMS, PING_INTERVAL};

/// At the end of a line that shows what holds without it.
const MARK: &str = "  # default";

/// At the end of a line whose key its block must have.
const REQUIRED: &str = "  # required";

/// A line with a key, at its place once it stands behind no `#`.
struct Line<'t> {
    number: usize,
    indent: usize,
    /// Without the mark.
    text: &'t str,
    is_commented: bool,
    is_default: bool,
    is_required: bool,
}

impl<'t> Line<'t> {
    /// None where there is no key.
    fn of(number: usize, line: &'t str) -> Option<Self> {
        let (mut rest, mut indent) = (line, 0);
        let blanks = |text: &str| text.len() - text.trim_start_matches(' ').len();
        while let Some(behind) = rest.trim_start_matches(' ').strip_prefix('#') {
            indent += blanks(rest);
            rest = behind.strip_prefix(' ').unwrap_or(behind);
        }
        indent += blanks(rest);
        let is_commented = line.trim_start_matches(' ').starts_with('#');
        let text = rest.trim_start_matches(' ');
        let (text, is_default) = text.strip_suffix(MARK).map_or((text, false), |text| (text, true));
        let (text, is_required) = text.strip_suffix(REQUIRED).map_or((text, false), |text| (text, true));
        let line = Self { number, indent, text, is_commented, is_default, is_required };
        let (key, value) = line.text.trim_start_matches("- ").split_once(':')?;
        let is_key =
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-0123456789".contains(&byte));
        (is_key && (value.is_empty() || value.starts_with(' '))).then_some(line)
    }

    fn is_item(&self) -> bool {
        self.text.starts_with("- ")
    }

    fn key(&self) -> &'t str {
        self.text.trim_start_matches("- ").split(':').next().unwrap_or_default()
    }

    fn value(&self) -> &'t str {
        self.text.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

/// What `text` is decoded to, and what is told of it.
fn decoded(text: &str) -> (String, String) {
    let mut problems = Vec::new();
    let mut root = yaml::parse(text, &mut problems).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
    let file = decode::decode(&mut root, &mut problems).map(|decoded| format!("{:?}", decoded.file));
    let told: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
    (file.unwrap_or_else(|| panic!("{text}: {told:?}")), told.join("\n"))
}

/// The default of a key that may be left out, and whose default is not the file's own affair but that of whoever reads it.
fn read_elsewhere(block: &str, key: &str) -> Option<String> {
    Some(match (block, key) {
        ("upstreams", "max_concurrent_streams") => MOST_STREAMS.to_string(),
        ("upstreams", "ping_interval") => humantime::format_duration(PING_INTERVAL).to_string(),
        ("rate_limits", "algorithm") => "gcra".to_owned(),
        ("rate_limits", "on_redis_failure") if RedisFailureMode::default() == RedisFailureMode::LocalShare => {
            "local_share".to_owned()
        }
        ("rate_limits", "cost") => "1".to_owned(),
        ("rate_limits", "missing_key") => "client_address".to_owned(),
        ("rate_limits", "max_keys") => crate::limit::DEFAULT_MAX_KEYS.to_string(),
        _ => return None,
    })
}

#[test]
fn a_key_is_marked_as_default_or_required_exactly_where_it_is_that() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let lines: Vec<Line<'_>> = text.lines().enumerate().filter_map(|(index, line)| Line::of(index + 1, line)).collect();
    let (mut wrong, mut defaults, mut required) = (Vec::new(), 0, 0);
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.is_commented) {
        // What a variable or a list holds is the reader's own.
        if line.value().is_empty() || line.is_item() || line.value().contains("${") {
            assert!(!line.is_default, "line {}: this has no default", line.number);
            continue;
        }
        let mut around: Vec<&Line<'_>> = Vec::new();
        let mut indent = line.indent;
        for before in lines[..index].iter().rev() {
            if before.indent < indent {
                around.push(before);
                indent = before.indent;
            }
        }
        around.reverse();
        let block: String = around.iter().map(|line| format!("{}{}\n", " ".repeat(line.indent), line.text)).collect();
        let indent = " ".repeat(line.indent);
        let empty = around.last().is_some_and(|last| last.value().is_empty());
        let without = if empty { format!("{block}{indent}{{}}\n") } else { block.clone() };
        let (without, told) = decoded(&without);
        let (with, _) = decoded(&format!("{block}{indent}{}\n", line.text));
        let is_required = told.contains(&format!("the key `{}` is missing", line.key()));
        let elsewhere = around.first().and_then(|block| read_elsewhere(block.key(), line.key()));
        let is_default = match elsewhere {
            Some(default) => default == line.value(),
            None => with == without && !is_required,
        };
        if is_default != line.is_default {
            let says = if is_default { "this is the default and has to be marked" } else { "this is not the default" };
            wrong.push(format!("line {}: {}: {says}", line.number, line.text));
        }
        if is_required != line.is_required {
            let says = if is_required { "is" } else { "is not" };
            wrong.push(format!("line {}: {}: this {says} required", line.number, line.text));
        }
        required += usize::from(is_required);
        defaults += usize::from(is_default);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(defaults > 60 && required > 10, "{defaults} and {required}");
}
