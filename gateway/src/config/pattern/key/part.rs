//! One part of a key: what of a request it is, in the word of the file.

use std::fmt;
use std::str::FromStr;

use common::names::nearest;
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::expression::{BadExpression, Expression, Kind};
use crate::config::values::{ABOUT_THE_CLIENT, is_forwarded, same_but_for_underscores};

/// Something of a request that it is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"client_address")]
pub enum KeyPart {
    /// The address it came from; of an IPv6 address, so many bits.
    ClientAddress {
        /// 1 to 128.
        ipv6_prefix: u8,
    },
    /// A claim of who is there, by name.
    Claim(String),
    /// The program that an `api_key` step has proven.
    ApiKey,
    /// The only value of a header.
    Header(HeaderName),
    /// The only value of a cookie, by name.
    Cookie(String),
    /// A parameter of the route's path, by name.
    Param(String),
    /// The route.
    Route,
    /// The host that it names.
    Host,
    /// Its method.
    Method,
    /// What an expression says: a text, a whole number or a truth value.
    Expression(Expression),
}

/// Why nothing is counted by a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is none of what there is.
    #[error(
        "requests are counted by `client_address`, `api_key`, `claim.<name>`, `header.<name>`, `cookie.<name>`, \
         `param.<name>`, `route`, `host` or `method`, by several of them in a list, or by `=` and an expression{hint}"
    )]
    Unknown {
        /// What was likely meant.
        hint: &'static str,
    },
    /// A network that there is not.
    #[error(
        "behind `client_address/` stand the bits of an IPv6 address that count, 1 to 128, as in `client_address/56`"
    )]
    Prefix,
    /// No header has the name.
    #[error("a header name has only letters, digits and signs like `-`")]
    Header,
    /// No cookie has the name.
    #[error("the name of a cookie has letters, digits and signs like `-`")]
    Cookie,
    /// `Host`.
    #[error("write `host`; it is in one form whatever the client writes")]
    IsHost,
    /// `Cookie`.
    #[error("write `cookie.<name>` for the one that counts, as in `cookie.session`")]
    IsCookies,
    /// What only a trusted proxy or the gateway itself may say.
    #[error("clients write here what they like; `client_address` is the address that is believed")]
    NotBelieved,
    /// What stands behind the `=` is no expression that a request can be counted by.
    #[error(transparent)]
    Expression(#[from] BadExpression),
}

/// The words that stand alone.
const WORDS: [(&str, KeyPart); 5] = [
    ("client_address", KeyPart::CLIENT_ADDRESS),
    ("api_key", KeyPart::ApiKey),
    ("route", KeyPart::Route),
    ("host", KeyPart::Host),
    ("method", KeyPart::Method),
];

impl KeyPart {
    /// The network that one customer usually has: who has one address of it has all.
    pub const IPV6_PREFIX: u8 = 64;
    /// The whole IPv4 address, or the usual network.
    pub const CLIENT_ADDRESS: Self = Self::ClientAddress { ipv6_prefix: Self::IPV6_PREFIX };

    /// Whether there are requests without it.
    #[must_use]
    pub const fn may_be_missing(&self) -> bool {
        match self {
            Self::Claim(_) | Self::ApiKey | Self::Header(_) | Self::Cookie(_) | Self::Host | Self::Expression(_) => {
                true
            }
            Self::ClientAddress { .. } | Self::Param(_) | Self::Route | Self::Method => false,
        }
    }
}

impl FromStr for KeyPart {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if let Some(expression) = text.strip_prefix('=') {
            return counting(expression.trim());
        }
        if let Some((_, part)) = WORDS.into_iter().find(|(word, _)| *word == text) {
            return Ok(part);
        }
        if let Some(bits) = text.strip_prefix("client_address/") {
            let is_number = bits.bytes().all(|byte| byte.is_ascii_digit()) && !bits.starts_with('0');
            let bits = bits.parse().ok().filter(|bits| is_number && (1..=128).contains(bits));
            return bits.map(|ipv6_prefix| Self::ClientAddress { ipv6_prefix }).ok_or(BadKey::Prefix);
        }
        let unknown = || BadKey::Unknown { hint: meant(text) };
        let (kind, name) = text.split_once('.').ok_or_else(unknown)?;
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        match kind {
            "claim" if is_plain => Ok(Self::Claim(name.to_owned())),
            "param" if is_plain => Ok(Self::Param(name.to_owned())),
            "header" => header(name),
            "cookie" if is_cookie(name) => Ok(Self::Cookie(name.to_owned())),
            "cookie" => Err(BadKey::Cookie),
            _ => Err(unknown()),
        }
    }
}

fn counting(expression: &str) -> Result<KeyPart, BadKey> {
    let expression = Expression::new(expression)?;
    match expression.kind() {
        Kind::Text | Kind::Number | Kind::Bool | Kind::Any => Ok(KeyPart::Expression(expression)),
        found @ (Kind::Bytes | Kind::List | Kind::Null) => {
            Err(BadExpression::Result { found, wanted: "a text, a whole number, `true` or `false`" }.into())
        }
    }
}

fn header(name: &str) -> Result<KeyPart, BadKey> {
    let name: HeaderName = name.parse().map_err(|_| BadKey::Header)?;
    let is = |own: &str| same_but_for_underscores(name.as_str(), own);
    if is("host") {
        Err(BadKey::IsHost)
    } else if is("cookie") {
        Err(BadKey::IsCookies)
    } else if is_forwarded(name.as_str()) || ABOUT_THE_CLIENT.iter().any(|own| is(own.as_str())) {
        Err(BadKey::NotBelieved)
    } else {
        Ok(KeyPart::Header(name))
    }
}

/// A token (RFC 6265, section 4.1.1).
fn is_cookie(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What was likely meant, without a letter of `text`, which may be a secret that stands in the wrong place.
fn meant(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    let kinds = [
        ("claim", "; did you mean `claim.<name>`, as in `claim.sub`?"),
        ("header", "; did you mean `header.<name>`, as in `header.x-api-key`?"),
        ("cookie", "; did you mean `cookie.<name>`, as in `cookie.session`?"),
        ("param", "; did you mean `param.<name>`, as in `param.id`?"),
    ];
    let words = [
        ("client_address", "; did you mean `client_address`?"),
        ("client_ip", "; did you mean `client_address`?"),
        ("remote_address", "; did you mean `client_address`?"),
        ("address", "; did you mean `client_address`?"),
        ("ip", "; did you mean `client_address`?"),
        ("api_key", "; did you mean `api_key`?"),
        ("route", "; did you mean `route`?"),
        ("host", "; did you mean `host`?"),
        ("method", "; did you mean `method`?"),
        ("path", "; did you mean `= path`?"),
        ("query", "; did you mean `= query.<name>`, as in `= query.tenant`?"),
    ];
    let of = |known: &[(&'static str, &'static str)], text: &str| {
        let near = nearest(text, known.iter().map(|(word, _)| *word));
        near.and_then(|near| known.iter().find(|(word, _)| *word == near)).map(|(_, hint)| *hint)
    };
    // As most headers are called that HTTP itself does not know.
    let kind = if text.starts_with("x-") { "header" } else { text.split('.').next().unwrap_or_default() };
    of(&kinds, kind).or_else(|| of(&words, kind)).unwrap_or_default()
}

impl TryFrom<String> for KeyPart {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress { ipv6_prefix: Self::IPV6_PREFIX } => f.write_str("client_address"),
            Self::ClientAddress { ipv6_prefix } => write!(f, "client_address/{ipv6_prefix}"),
            Self::Claim(name) => write!(f, "claim.{name}"),
            Self::ApiKey => f.write_str("api_key"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
            Self::Param(name) => write!(f, "param.{name}"),
            Self::Route => f.write_str("route"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::Expression(expression) => write!(f, "= {expression}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, BadKey> {
        text.parse::<KeyPart>().map(|part| part.to_string())
    }

    #[test]
    fn every_part_is_written_as_it_is_read() {
        for text in [
            "client_address",
            "client_address/56",
            "client_address/128",
            "claim.sub",
            "claim.https://example.com/tenant",
            "api_key",
            "header.x-tenant",
            "header.authorization",
            "cookie.session",
            "param.id",
            "route",
            "host",
            "method",
            "= method + path",
        ] {
            assert_eq!(read(text), Ok(text.to_owned()));
        }
        assert_eq!(
            read("header.X-Tenant"),
            Ok("header.x-tenant".to_owned()),
            "case does not count in names of headers"
        );
        assert_eq!(read("client_address/64"), Ok("client_address".to_owned()), "the usual network");
    }

    #[test]
    fn what_is_no_part_is_refused_with_what_was_likely_meant() {
        for (text, hint) in [
            ("", ""),
            ("tenant", ""),
            ("claims.sub", "`claim.sub`"),
            ("claim.", "`claim.sub`"),
            ("claim. ", "`claim.sub`"),
            ("headers.x-key", "`header.x-api-key`"),
            ("x-api-key", "`header.x-api-key`"),
            ("Client_Address", "`client_address`"),
            ("ip", "`client_address`"),
            ("api-key", "`api_key`"),
            ("params.id", "`param.id`"),
            ("cookies.session", "`cookie.session`"),
            ("query.tenant", "`= query.tenant`"),
        ] {
            let told = read(text).expect_err(text);
            assert!(matches!(told, BadKey::Unknown { .. }), "{text}");
            let told = told.to_string();
            let (_, told) = told.split_once("an expression").expect("what there is comes first");
            assert!(told.contains(hint) && told.is_empty() == hint.is_empty(), "{text}: {told}");
        }
    }

    #[test]
    fn a_network_has_1_to_128_bits() {
        for text in
            ["client_address/", "client_address/0", "client_address/129", "client_address/+8", "client_address/064"]
        {
            assert_eq!(read(text), Err(BadKey::Prefix), "{text}");
        }
    }

    #[test]
    fn what_a_client_is_not_believed_in_and_what_has_a_word_of_its_own_is_no_header() {
        for (text, problem) in [
            ("header.", BadKey::Header),
            ("header.x y", BadKey::Header),
            ("header.Host", BadKey::IsHost),
            ("header.cookie", BadKey::IsCookies),
            ("header.x-forwarded-for", BadKey::NotBelieved),
            ("header.X_Forwarded_User", BadKey::NotBelieved),
            ("header.forwarded", BadKey::NotBelieved),
            ("header.x_real_ip", BadKey::NotBelieved),
            ("cookie.", BadKey::Cookie),
            ("cookie.a=b", BadKey::Cookie),
            ("cookie.a;b", BadKey::Cookie),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
        assert!(matches!(read("= [method]"), Err(BadKey::Expression(_))));
    }
}
