//! Checks what routes ask for beside host, path and method.

use http::HeaderValue;

use super::expressions::{self, Moment};
use super::shape::is_asserted;
use crate::config::file::{FieldMatchFile, GatewayFile, HeaderMatchFile, MatchFile, MatchHeader};
use crate::config::pattern::{Condition, HostMatch, PathMatch, RegexPattern};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// Each is asked of every request that comes to the route's place.
const MOST_CONDITIONS: usize = 16;

/// Expressions of hosts and paths, which are compiled into one.
const MOST_REGEXES: usize = 1000;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let routes = KeyPath::default().key("routes");
    let mut regexes = 0;
    for (index, route) in file.routes.iter().enumerate() {
        let at = routes.index(index).key("match");
        let block = &route.matches;
        for (index, header) in block.headers.iter().enumerate() {
            check_header(header, file, &at.key("headers").index(index), report);
        }
        for (key, fields) in [("query", &block.query), ("cookies", &block.cookies)] {
            for (index, field) in fields.iter().enumerate() {
                check_field(field, key == "cookies", &at.key(key).index(index), report);
            }
        }
        if let Some(predicate) = &block.expression {
            expressions::check(predicate.expression(), &Moment::Matching, file, &at.key("expression"), report);
        }
        check_together(block, &at, report);
        let before = regexes;
        regexes += block.hosts.iter().filter(|host| matches!(host, HostMatch::Regex(_))).count();
        regexes += usize::from(matches!(block.path, PathMatch::Regex(_)));
        if before <= MOST_REGEXES && regexes > MOST_REGEXES {
            report.problem(&at, format!("there are more than {MOST_REGEXES} regular expressions of hosts and paths"));
        }
    }
}

fn check_header(header: &HeaderMatchFile, file: &GatewayFile, at: &KeyPath, report: &mut Report<'_>) {
    is_the_clients(&header.name, file, &at.key("name"), report);
    one_test(&header.value, &header.regex, header.present, at, report);
    if let Some(value) = &header.value {
        let is_value = HeaderValue::from_str(value).is_ok() && value.trim_ascii() == value;
        if !is_value {
            report.problem(&at.key("value"), "no header has this value; it has visible ASCII, and no space around it");
        }
    }
}

/// Tells when clients are not meant to say what something here is chosen by.
pub(super) fn is_the_clients(header: &MatchHeader, file: &GatewayFile, at: &KeyPath, report: &mut Report<'_>) {
    if is_asserted(header.get().as_str(), file) {
        report.problem(at, "clients write here what they like; only upstreams get it from what the gateway knows");
    }
}

fn check_field(file: &FieldMatchFile, is_cookie: bool, at: &KeyPath, report: &mut Report<'_>) {
    let fits =
        |text: &str| text.trim_ascii() == text && !text.contains(';') && text.bytes().all(|b| !b.is_ascii_control());
    if file.name.is_empty() {
        report.problem(&at.key("name"), "the name is empty");
    } else if is_cookie && (!fits(&file.name) || file.name.contains('=')) {
        report.problem(&at.key("name"), "no cookie has this name");
    }
    one_test(&file.value, &file.regex, file.present, at, report);
    if is_cookie && file.value.as_deref().is_some_and(|value| !fits(value)) {
        report.problem(&at.key("value"), "no cookie has this value");
    }
}

fn one_test(
    value: &Option<String>,
    regex: &Option<RegexPattern>,
    present: Option<bool>,
    at: &KeyPath,
    report: &mut Report<'_>,
) {
    let written = [value.is_some(), regex.is_some(), present.is_some()].into_iter().filter(|written| *written).count();
    if written != 1 && report.is_written(at) {
        report.problem(at, "exactly one of `value`, `regex` and `present` is wanted here");
    }
}

/// What a route asks for at once must be possible.
fn check_together(block: &MatchFile, at: &KeyPath, report: &mut Report<'_>) {
    let lists = [("headers", block.headers.len()), ("query", block.query.len()), ("cookies", block.cookies.len())];
    let keys = lists.iter().flat_map(|(key, len)| (0..*len).map(|index| at.key(key).index(index)));
    // In the order of `MatchFile::conditions`.
    let client = (!block.client.is_empty()).then(|| at.key("client"));
    let keys = keys.chain(client).chain([at.key("expression")]);
    let all: Vec<(KeyPath, Condition)> = keys.zip(block.conditions()).collect();
    if all.len() > MOST_CONDITIONS {
        report.problem(at, format!("a route has at most {MOST_CONDITIONS} conditions"));
        return;
    }
    for (index, (here, condition)) in all.iter().enumerate() {
        let before = || all.iter().take(index);
        if !report.is_written(here) {
            continue;
        }
        if before().any(|(_, other)| other == condition) {
            report.problem(here, "this condition stands in the list already");
        } else if let Some((other, _)) = before().find(|(_, other)| other.excludes(condition)) {
            let line = report.line(other);
            report.problem(here, format!("no value is meant to fit this and the condition in line {line}"));
        }
    }
}
