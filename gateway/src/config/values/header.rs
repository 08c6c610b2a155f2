//! Headers that the file names: those by which the gateway tells an upstream who is asking, and those that steps change.

use http::header::{AUTHORIZATION, FORWARDED};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

/// A header that only the gateway may assert, and that means nothing else to HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"X-User-Id")]
pub struct IdentityHeader(HeaderName);

/// Why a text cannot name an identity header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// A character that no header name has (RFC 9110, section 5.1).
    #[error("a header name has only letters, digits and `-`")]
    Illegal,
    /// A header that frames, routes or authenticates the message itself.
    #[error("this header has a meaning of its own in HTTP; use one like `X-User-Id`")]
    Reserved,
}

impl IdentityHeader {
    const RESERVED: [&str; 24] = [
        "accept",
        "authorization",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "from",
        "host",
        "keep-alive",
        "origin",
        "range",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    /// Whole families: hop-by-hop and pseudo proxy credentials, body metadata, conditions, the chain of proxies.
    const RESERVED_PREFIXES: [&str; 6] = ["accept-", "content-", "if-", "proxy-", "sec-", "x-forwarded-"];

    /// The header's name.
    #[must_use]
    pub const fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for IdentityHeader {
    type Error = BadHeader;

    fn try_from(text: String) -> Result<Self, BadHeader> {
        // An underscore is refused although RFC 9110 has it: servers read `X_User_Id` and `X-User-Id` as one.
        let name: HeaderName = text.parse().map_err(|_| BadHeader::Illegal)?;
        if !name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(BadHeader::Illegal);
        }
        let reserved = Self::RESERVED.contains(&name.as_str())
            || Self::RESERVED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        if reserved { Err(BadHeader::Reserved) } else { Ok(Self(name)) }
    }
}

/// A header that a credential may come in: `Authorization`, or one that means nothing else to HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"X-API-Key")]
pub struct CredentialHeader(HeaderName);

impl CredentialHeader {
    /// `X-API-Key`, where keys of programs usually are.
    #[must_use]
    pub const fn api_key() -> Self {
        Self(HeaderName::from_static("x-api-key"))
    }

    /// The header's name.
    #[must_use]
    pub const fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for CredentialHeader {
    type Error = BadHeader;

    fn try_from(text: String) -> Result<Self, BadHeader> {
        if text.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
            return Ok(Self(AUTHORIZATION));
        }
        IdentityHeader::try_from(text).map(|header| Self(header.0))
    }
}

/// What only a trusted proxy or the gateway itself may say, and no client is one.
pub(crate) const ABOUT_THE_CLIENT: [HeaderName; 9] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
    IDENTITY_TOKEN,
    IS_COPY,
];

/// What of that the gateway itself does not say either: only a step of the file may.
pub(crate) const NEVER_SAID: [HeaderName; 3] =
    [FORWARDED, HeaderName::from_static("x-forwarded-port"), HeaderName::from_static("x-real-ip")];

/// With what begins everything that proxies say of a client.
const FORWARDED_FAMILY: &str = "x-forwarded-";

/// Whether `name`, in lower case, is one of the family of which clients are not believed, in any spelling.
pub(crate) fn is_forwarded(name: &str) -> bool {
    name.get(..FORWARDED_FAMILY.len()).is_some_and(|start| same_but_for_underscores(start, FORWARDED_FAMILY))
}

/// In which the gateway says, signed, who asks.
pub(crate) const IDENTITY_TOKEN: HeaderName = HeaderName::from_static(common::auth::IDENTITY_TOKEN_HEADER);

/// Tells a copy of a request from the request itself.
pub(crate) const IS_COPY: HeaderName = HeaderName::from_static("x-mirrored");

/// Whether `name` is `asserted`, or what servers with CGI habits take for it. Both are in lower case.
pub(crate) fn same_but_for_underscores(name: &str, asserted: &str) -> bool {
    name.len() == asserted.len() && name.bytes().zip(asserted.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// A header that a step may change: none that frames the message, or is about the connection it comes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"X-Team")]
pub struct EditableHeader(HeaderName);

/// Why a text cannot name a header that a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEdit {
    /// A character that no header name has (RFC 9110, section 5.1).
    #[error("this is no header name; it has letters, digits and signs like `-`")]
    Illegal,
    /// Which host upstreams are told.
    #[error("this header frames the message; which `Host` an upstream is sent, `host` of that upstream says")]
    Host,
    /// A header of the message's frame or of the connection.
    #[error("this header frames the message or belongs to its connection; the gateway alone sets it")]
    Framing,
}

impl EditableHeader {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// The header's name.
    #[must_use]
    pub const fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for EditableHeader {
    type Error = BadEdit;

    fn try_from(text: String) -> Result<Self, BadEdit> {
        let name: HeaderName = text.parse().map_err(|_| BadEdit::Illegal)?;
        let plain = name.as_str().replace('_', "-");
        if plain == "host" {
            return Err(BadEdit::Host);
        }
        if Self::FRAMING.contains(&plain.as_str()) { Err(BadEdit::Framing) } else { Ok(Self(name)) }
    }
}

/// The value of a header, the same for every request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"text/plain; charset=utf-8")]
pub struct FixedValue(HeaderValue);

/// The text can be no header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header's value has no line end and no other control character")]
pub struct BadValue;

impl FixedValue {
    /// The value.
    #[must_use]
    pub const fn get(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<String> for FixedValue {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        HeaderValue::try_from(text).map(Self).map_err(|_| BadValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_mean_something_else_are_refused() {
        let read = |text: &str| IdentityHeader::try_from(text.to_owned());
        assert_eq!(read("X-User-Id").map(|header| header.get().to_string()), Ok("x-user-id".to_owned()));
        for reserved in ["Host", "authorization", "Content-Length", "TE", "Proxy-Authorization", "X-Forwarded-For"] {
            assert_eq!(read(reserved), Err(BadHeader::Reserved), "{reserved}");
        }
        let credential = |text: &str| CredentialHeader::try_from(text.to_owned());
        assert_eq!(credential("authorization").map(|header| header.get().clone()), Ok(AUTHORIZATION));
        assert_eq!(credential("Cookie"), Err(BadHeader::Reserved));
        assert_eq!(credential("X_API_Key"), Err(BadHeader::Illegal));
        for illegal in ["", "X User", "X_User_Id", "X-User:", "Ä"] {
            assert_eq!(read(illegal), Err(BadHeader::Illegal), "{illegal}");
        }
    }

    #[test]
    fn what_frames_a_message_is_not_edited() {
        let read = |text: &str| EditableHeader::try_from(text.to_owned());
        for good in ["X-Team", "content-type", "Authorization", "x_team"] {
            assert!(read(good).is_ok(), "{good}");
        }
        for framing in
            ["Connection", "transfer-encoding", "Content-Length", "Upgrade", "TE", "Trailer", "Content_Length"]
        {
            assert_eq!(read(framing), Err(BadEdit::Framing), "{framing}");
        }
        assert_eq!(read("Host"), Err(BadEdit::Host));
        for illegal in ["", "a b", "a:", "Ä"] {
            assert_eq!(read(illegal), Err(BadEdit::Illegal), "{illegal}");
        }
        assert_eq!(FixedValue::try_from("a\r\nb".to_owned()), Err(BadValue));
    }
}
