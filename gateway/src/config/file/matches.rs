//! The block `match` of a route: which requests it takes.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::{Condition, HostMatch, PathMatch, Predicate, RegexPattern, Test};
use crate::config::values::{ABOUT_THE_CLIENT, Network, Networks, RouteMethod};

/// Which requests a route takes. The most specific route wins, wherever it stands in the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchFile {
    /// Host names, exact or `*.example.com`, or `~` and a regular expression; every host when left out.
    #[serde(default)]
    pub hosts: Vec<HostMatch>,
    /// `/exact`, `/with/{parameter}`, or `/prefix/*`, which also takes `/prefix` itself; or `~` and a regular expression.
    pub path: PathMatch,
    /// Methods; every method when left out. `GET` includes `HEAD`.
    #[serde(default)]
    pub methods: Vec<RouteMethod>,
    /// What must hold of headers.
    #[serde(default)]
    pub headers: Vec<HeaderMatchFile>,
    /// What must hold of the query's parameters.
    #[serde(default)]
    pub query: Vec<FieldMatchFile>,
    /// What must hold of cookies.
    #[serde(default)]
    pub cookies: Vec<FieldMatchFile>,
    /// Where the client must be; everywhere when left out.
    #[serde(default)]
    pub client: Vec<Network>,
    /// What else must hold, as an expression (CEL) of `method`, `host`, `path`, `query`, `headers`, `cookies` and `client_ip`.
    pub expression: Option<Predicate>,
}

/// What must hold of a header: one of `value`, `regex` and `present`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatchFile {
    /// Its name.
    pub name: MatchHeader,
    /// What one of its values is.
    pub value: Option<String>,
    /// What fits the whole of one of its values.
    pub regex: Option<RegexPattern>,
    /// Whether it is there at all.
    pub present: Option<bool>,
}

/// What must hold of a parameter or cookie: one of `value`, `regex` and `present`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldMatchFile {
    /// Its name, in which case counts.
    pub name: String,
    /// What one of its values is, decoded.
    pub value: Option<String>,
    /// What fits the whole of one of its values.
    pub regex: Option<RegexPattern>,
    /// Whether it is there at all.
    pub present: Option<bool>,
}

/// A header that clients may write as they like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"X-Beta")]
pub struct MatchHeader(HeaderName);

/// Why routes cannot be chosen by a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMatchHeader {
    /// A character that no header name has.
    #[error("a header name has only letters, digits and signs like `-`")]
    Illegal,
    /// `Host`.
    #[error("write the host under `hosts`")]
    Host,
    /// `Cookie`.
    #[error("write the cookie under `cookies`")]
    Cookie,
    /// What only a trusted proxy or the gateway itself may say.
    #[error("clients write here what they like, so nothing is chosen by it; `client` is the address that is believed")]
    NotBelieved,
}

impl MatchHeader {
    /// The header's name.
    #[must_use]
    pub const fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for MatchHeader {
    type Error = BadMatchHeader;

    fn try_from(text: String) -> Result<Self, BadMatchHeader> {
        let name: HeaderName = text.parse().map_err(|_| BadMatchHeader::Illegal)?;
        match name.as_str().replace('_', "-").as_str() {
            "host" => Err(BadMatchHeader::Host),
            "cookie" => Err(BadMatchHeader::Cookie),
            name if ABOUT_THE_CLIENT.iter().any(|own| *own == name) => Err(BadMatchHeader::NotBelieved),
            name if name.starts_with("x-forwarded-") => Err(BadMatchHeader::NotBelieved),
            _ => Ok(Self(name)),
        }
    }
}

impl MatchFile {
    /// All that must hold beside host, path and method.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        let header = |file: &HeaderMatchFile| {
            Condition::Header(file.name.0.clone(), test(&file.value, &file.regex, file.present))
        };
        let field = |file: &FieldMatchFile| (file.name.clone(), test(&file.value, &file.regex, file.present));
        let headers = self.headers.iter().map(header);
        let query = self.query.iter().map(field).map(|(name, test)| Condition::Query(name, test));
        let cookies = self.cookies.iter().map(field).map(|(name, test)| Condition::Cookie(name, test));
        let client = (!self.client.is_empty()).then(|| Condition::Client(Networks::of(&self.client)));
        let expression = self.expression.clone().map(Condition::Expression);
        headers.chain(query).chain(cookies).chain(client).chain(expression).collect()
    }
}

/// The check makes sure that exactly one is written.
fn test(value: &Option<String>, regex: &Option<RegexPattern>, present: Option<bool>) -> Test {
    match (value, regex) {
        (Some(value), _) => Test::Value(value.clone()),
        (None, Some(regex)) => Test::Regex(regex.clone()),
        (None, None) => Test::Present(present.unwrap_or(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_believed_of_nobody_choose_no_route() {
        let read = |text: &str| MatchHeader::try_from(text.to_owned());
        assert_eq!(read("X-Beta").map(|header| header.0.to_string()).as_deref(), Ok("x-beta"));
        for (text, problem) in [
            ("", BadMatchHeader::Illegal),
            ("X Beta", BadMatchHeader::Illegal),
            ("HOST", BadMatchHeader::Host),
            ("Cookie", BadMatchHeader::Cookie),
            ("X-Forwarded-Proto", BadMatchHeader::NotBelieved),
            ("X_Forwarded_For", BadMatchHeader::NotBelieved),
            ("Forwarded", BadMatchHeader::NotBelieved),
            ("X-Identity-Token", BadMatchHeader::NotBelieved),
            ("X_Mirrored", BadMatchHeader::NotBelieved),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
    }
}
