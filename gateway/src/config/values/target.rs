//! Where an upstream's requests are sent: `http://host:port`.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Whether TLS is spoken (`https`).
    pub tls: bool,
    /// Host name in lower case, or address; an IPv6 address has its brackets.
    pub host: String,
    /// Port; 80 or 443 when the URL has none.
    pub port: u16,
}

/// One or more targets in one text, with commas between them, so that one variable can hold a whole pool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"http://127.0.0.1:8000")]
pub struct Targets(Vec<Target>);

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Nothing between two commas, or nothing at all.
    #[error("a target is missing; write it like http://127.0.0.1:8000")]
    Empty,
    /// No URL with a scheme and a host.
    #[error("a target is written like http://127.0.0.1:8000")]
    NotAUrl,
    /// A scheme that no upstream is reached by.
    #[error("a target's scheme is `http` or `https`")]
    Scheme,
    /// A port outside of 1 to 65535.
    #[error("a target's port is a number from 1 to 65535")]
    Port,
    /// Something after the port.
    #[error("a target has no path and no query; requests keep their own")]
    Path,
    /// `user:password@` before the host.
    #[error("a target has no user and no password")]
    UserInfo,
}

impl Targets {
    /// Each target, in the order of the text; never none.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }
}

impl TryFrom<String> for Targets {
    type Error = BadTarget;

    fn try_from(text: String) -> Result<Self, BadTarget> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if text.is_empty() {
            return Err(BadTarget::Empty);
        }
        let uri: Uri = text.parse().map_err(|_| BadTarget::NotAUrl)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(BadTarget::Scheme),
            None => return Err(BadTarget::NotAUrl),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(BadTarget::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(BadTarget::UserInfo);
        }
        if uri.path_and_query().is_some_and(|path| path != "/") || text.contains('#') {
            return Err(BadTarget::Path);
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if tls { 443 } else { 80 }),
            Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0),
            None => None,
        };
        Ok(Self { tls, host: authority.host().to_ascii_lowercase(), port: port.ok_or(BadTarget::Port)? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, BadTarget> {
        Targets::try_from(text.to_owned()).map(|targets| targets.iter().map(Target::to_string).collect())
    }

    #[test]
    fn one_text_can_hold_a_pool() {
        assert_eq!(
            read("http://A:1, https://b,http://[::1]:8000/"),
            Ok(vec!["http://a:1".to_owned(), "https://b:443".to_owned(), "http://[::1]:8000".to_owned()])
        );
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for (text, problem) in [
            ("", BadTarget::Empty),
            ("http://a:1,", BadTarget::Empty),
            ("localhost:8000", BadTarget::NotAUrl),
            ("http://", BadTarget::NotAUrl),
            ("http://a b", BadTarget::NotAUrl),
            ("ftp://a:1", BadTarget::Scheme),
            ("http://a:0", BadTarget::Port),
            ("http://a:70000", BadTarget::Port),
            ("http://a:", BadTarget::Port),
            ("http://a:1/api", BadTarget::Path),
            ("http://a:1?x=1", BadTarget::Path),
            ("http://a:1/#x", BadTarget::Path),
            ("http://me:pw@a:1", BadTarget::UserInfo),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
    }
}
