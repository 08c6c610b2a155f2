//! Texts with gaps that a request fills: `Bearer {header.X-Token}`, `/users/{id}`, `https://{host}/new/{path}{query}`.
//!
//! Each kind of text knows its own gaps, so that a misspelt one is found when the file is read. `{{` and `}}` are braces.

use std::str::FromStr;

use common::names::did_you_mean;
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::path::normalise;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is the same for every request.
    Text(String),
    /// What a request says here.
    Gap(Gap),
}

/// What fills a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The client's address.
    ClientIp,
    /// The request's id.
    RequestId,
    /// The scheme that the request came over.
    Scheme,
    /// The host that the client named, without its port.
    Host,
    /// The path in normal form.
    Path,
    /// What the route's `/*` stands for, without the slash before it.
    Rest,
    /// The query with its `?`, or nothing.
    Query,
    /// The route's name.
    Route,
    /// A parameter of the route's path.
    Param(String),
    /// A claim of the verified token, also one inside of another.
    Claim(String),
    /// A header of the request.
    Header(HeaderName),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// `{` without its `}`, or the other way round.
    #[error("a `{{` has no `}}` or the other way round; a brace itself is written twice")]
    Brace,
    /// Nothing fills this gap.
    #[error("nothing is called `{{{name}}}` here{hint}; there are {known}")]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// What was likely meant.
        hint: String,
        /// What may stand there.
        known: &'static str,
    },
    /// The fixed text has a character that no header value has.
    #[error("a header's value has no line end and no other control character")]
    NoHeaderValue,
    /// The text gives no path in normal form.
    #[error("this gives no path; write one like `/users/{{id}}`, in normal form and without a query")]
    NoPath,
    /// The text leads nowhere.
    #[error(
        "a target begins with `http://`, `https://` or a single `/`, and names a host without user or gap but `{{host}}`"
    )]
    NoTarget,
    /// A query with a gap other than `{query}` at its end.
    #[error("behind `?` stands plain text, and `{{query}}` at its end")]
    BadQuery,
}

/// The value of a header, or of a part of a query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"{client_ip}")]
pub struct ValueTemplate(Vec<Part>);

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"/users/{id}")]
pub struct PathTemplate(Vec<Part>);

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"https://example.com/new/{path}{query}")]
pub struct TargetTemplate {
    /// Scheme and authority; empty when the client stays where it is.
    pub origin: Vec<Part>,
    /// The path.
    pub path: Vec<Part>,
    /// The fixed query, without its `?`.
    pub query: Option<String>,
    /// Whether the request's own query follows.
    pub keeps_query: bool,
}

/// The gaps that are written as one word.
const WORDS: [(&str, Gap); 5] = [
    ("client_ip", Gap::ClientIp),
    ("request_id", Gap::RequestId),
    ("host", Gap::Host),
    ("path", Gap::Path),
    ("route", Gap::Route),
];

impl ValueTemplate {
    const KNOWN: &str =
        "`client_ip`, `request_id`, `host`, `path`, `route`, `param.NAME`, `claim.NAME` and `header.NAME`";

    /// Its pieces.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    fn gap(name: &str) -> Result<Gap, BadTemplate> {
        if let Some((_, gap)) = WORDS.into_iter().find(|(word, _)| *word == name) {
            return Ok(gap);
        }
        let of = |family: &str| name.strip_prefix(family).filter(|name| !name.is_empty());
        if let Some(name) = of("param.") {
            return Ok(Gap::Param(name.to_owned()));
        }
        if let Some(name) = of("claim.") {
            return Ok(Gap::Claim(name.to_owned()));
        }
        if let Some(header) = of("header.").and_then(|name| name.parse().ok()) {
            return Ok(Gap::Header(header));
        }
        let hint = did_you_mean(name, WORDS.iter().map(|(word, _)| *word));
        let family = name.split_once('.').map(|(family, _)| did_you_mean(family, ["param", "claim", "header"]));
        let hint = if hint.is_empty() { family.unwrap_or_default() } else { hint };
        Err(BadTemplate::Unknown { name: name.to_owned(), hint, known: Self::KNOWN })
    }
}

impl FromStr for ValueTemplate {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let parts = parts(text, Self::gap)?;
        let legal = |part: &Part| match part {
            Part::Text(text) => HeaderValue::from_str(text).is_ok(),
            Part::Gap(_) => true,
        };
        if parts.iter().all(legal) { Ok(Self(parts)) } else { Err(BadTemplate::NoHeaderValue) }
    }
}

impl PathTemplate {
    /// Its pieces.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    fn gap(name: &str) -> Result<Gap, BadTemplate> {
        if name == "path" {
            return Ok(Gap::Rest);
        }
        let is_parameter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.is_empty() && name.chars().all(is_parameter) {
            return Ok(Gap::Param(name.to_owned()));
        }
        let known = "the route's parameters, and `path` for what its `/*` stands for";
        Err(BadTemplate::Unknown { name: name.to_owned(), hint: String::new(), known })
    }
}

impl FromStr for PathTemplate {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let parts = parts(text, Self::gap)?;
        if is_path(&parts) { Ok(Self(parts)) } else { Err(BadTemplate::NoPath) }
    }
}

impl FromStr for TargetTemplate {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let (text, keeps_query) = match text.strip_suffix("{query}") {
            Some(before) => (before, true),
            None => (text, false),
        };
        let (text, query) = match text.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (text, None),
        };
        // What a URI may have there, and never a gap.
        let is_query_byte = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        if !query.unwrap_or_default().bytes().all(is_query_byte) {
            return Err(BadTemplate::BadQuery);
        }
        let (origin, path) = if text.starts_with('/') {
            ("", text)
        } else {
            let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
            let scheme = scheme.ok_or(BadTemplate::NoTarget)?;
            text.split_at(text[scheme.len()..].find('/').map_or(text.len(), |slash| scheme.len() + slash))
        };
        let path = parts(if path.is_empty() { "/" } else { path }, PathTemplate::gap)?;
        if !is_path(&path) {
            return Err(BadTemplate::NoTarget);
        }
        Ok(Self { origin: origin_parts(origin)?, path, query: query.map(str::to_owned), keeps_query })
    }
}

/// The parts of `https://{host}:8443`. Anything else in the place of a host, a request could lead elsewhere by.
fn origin_parts(text: &str) -> Result<Vec<Part>, BadTemplate> {
    let Some((scheme, authority)) = text.split_once("://") else { return Ok(Vec::new()) };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, format!(":{port}")),
        _ => (authority, String::new()),
    };
    if host == "{host}" {
        let mut parts = vec![Part::Text(format!("{scheme}://")), Part::Gap(Gap::Host)];
        parts.extend((!port.is_empty()).then_some(Part::Text(port)));
        return Ok(parts);
    }
    match host.parse::<super::HostPattern>() {
        Ok(super::HostPattern::Exact(host)) => Ok(vec![Part::Text(format!("{scheme}://{host}{port}"))]),
        _ => Err(BadTemplate::NoTarget),
    }
}

/// Whether requests make a path in normal form of `parts`, as far as that can be known without one.
fn is_path(parts: &[Part]) -> bool {
    let example: String = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Gap(_) => "x",
        })
        .collect();
    normalise(&example).is_ok_and(|normal| normal == example)
}

fn parts(text: &str, gap: impl Fn(&str) -> Result<Gap, BadTemplate>) -> Result<Vec<Part>, BadTemplate> {
    let mut parts = Vec::new();
    let mut fixed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        fixed.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some((double, behind)) = brace.split_at_checked(2).filter(|(double, _)| matches!(*double, "{{" | "}}")) {
            fixed.push_str(&double[..1]);
            rest = behind;
            continue;
        }
        let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let (name, behind) = inside.filter(|(name, _)| !name.contains('{')).ok_or(BadTemplate::Brace)?;
        if !fixed.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut fixed)));
        }
        parts.push(Part::Gap(gap(name)?));
        rest = behind;
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        parts.push(Part::Text(fixed));
    }
    Ok(parts)
}

macro_rules! from_text {
    ($($template:ty),*) => {$(
        impl TryFrom<String> for $template {
            type Error = BadTemplate;

            fn try_from(text: String) -> Result<Self, BadTemplate> {
                text.parse()
            }
        }
    )*};
}

from_text!(ValueTemplate, PathTemplate, TargetTemplate);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn a_value_is_fixed_text_with_gaps() {
        let read = |text: &str| text.parse::<ValueTemplate>().map(|template| template.0);
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("a {{b}}"), Ok(vec![text("a {b}")]));
        assert_eq!(
            read("{client_ip}; {claim.sub}{header.X-Team} on {param.id}"),
            Ok(vec![
                Part::Gap(Gap::ClientIp),
                text("; "),
                Part::Gap(Gap::Claim("sub".to_owned())),
                Part::Gap(Gap::Header(HeaderName::from_static("x-team"))),
                text(" on "),
                Part::Gap(Gap::Param("id".to_owned())),
            ])
        );
    }

    #[test]
    fn what_no_value_can_be_is_refused_with_what_was_meant() {
        let problem = |text: &str| text.parse::<ValueTemplate>().expect_err(text).to_string();
        for bad in ["{", "}", "a{b", "a}b", "{a{b}", "{{}"] {
            assert_eq!(bad.parse::<ValueTemplate>(), Err(BadTemplate::Brace), "{bad}");
        }
        assert!(problem("{clientip}").starts_with("nothing is called `{clientip}` here; did you mean `client_ip`?"));
        assert!(problem("{claims.sub}").contains("did you mean `claim`?"));
        assert!(problem("{claim.}").contains("there are `client_ip`"));
        assert!(problem("{header.a b}").contains("nothing is called"));
        assert_eq!("a\nb".parse::<ValueTemplate>(), Err(BadTemplate::NoHeaderValue));
    }

    #[test]
    fn a_path_is_in_normal_form_whatever_fills_its_gaps() {
        for good in ["/", "/users/{id}/profile", "/v2/{path}", "/{a}.{b}", "/a%20b"] {
            assert!(good.parse::<PathTemplate>().is_ok(), "{good}");
        }
        for bad in ["", "a", "{id}", "//a", "/a/../b", "/a?b", "/a b", "/a%2Fb", "/%41", "/a#b", "/\u{e4}"] {
            assert_eq!(bad.parse::<PathTemplate>(), Err(BadTemplate::NoPath), "{bad}");
        }
        assert!("/{Id}".parse::<PathTemplate>().is_err());
    }

    #[test]
    fn a_target_names_its_host_or_the_one_that_was_asked() {
        let target: TargetTemplate = "https://{host}:8443/new/{path}?a=b{query}".parse().expect("a target");
        assert_eq!(target.origin, [text("https://"), Part::Gap(Gap::Host), text(":8443")]);
        assert_eq!(target.path, [text("/new/"), Part::Gap(Gap::Rest)]);
        assert_eq!((target.query.as_deref(), target.keeps_query), (Some("a=b"), true));
        let target: TargetTemplate = "http://Example.com".parse().expect("a target");
        assert_eq!((&*target.origin, &*target.path), (&[text("http://example.com")][..], &[text("/")][..]));
        assert!("/new".parse::<TargetTemplate>().expect("a target").origin.is_empty());
        for bad in [
            "",
            "new",
            "//evil.example/",
            "ftp://a/",
            "https://",
            "https:///a",
            "https://{id}/",
            "https://a.{host}/",
            "https://{host}.evil.example/",
            "https://u@a.example/",
            "https://{header.x}/",
            "https://*.example.com/",
            "/a#b",
        ] {
            assert_eq!(bad.parse::<TargetTemplate>(), Err(BadTemplate::NoTarget), "{bad}");
        }
        for bad in ["/a?x={path}", "/a?b c", "/a{query}?b{query}x"] {
            assert!(bad.parse::<TargetTemplate>().is_err(), "{bad}");
        }
    }
}
