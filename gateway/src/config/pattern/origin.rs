//! Which web origins may read answers: `https://shop.example.com`, `https://*.example.com` or `*`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::HostPattern;

/// Origins as browsers write them (RFC 6454, section 6.2): in lower case, without a path and without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"https://shop.example.com")]
pub enum OriginPattern {
    /// Every origin.
    Any,
    /// This one.
    Exact(String),
    /// Every one whose host ends so, at any depth: `https://*.example.com` does not take `https://example.com`.
    Wildcard {
        /// With `://`.
        scheme: String,
        /// With its leading dot, and with the port.
        suffix: String,
    },
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is written like `https://shop.example.com`, `https://*.example.com` or `*`, without a path")]
pub struct BadOrigin;

impl OriginPattern {
    /// Whether it takes `origin`, as a browser has written it.
    #[must_use]
    pub fn takes(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own.as_bytes() == origin,
            Self::Wildcard { scheme, suffix } => {
                let host = origin.strip_prefix(scheme.as_bytes()).and_then(|rest| rest.strip_suffix(suffix.as_bytes()));
                // What stands for the star are labels of a host, and nothing that ends a host.
                let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                host.is_some_and(|host| !host.is_empty() && !host.starts_with(b".") && host.iter().all(is_label))
            }
        }
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = BadOrigin;

    fn try_from(text: String) -> Result<Self, BadOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(BadOrigin)?;
        let own_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(BadOrigin),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
            _ => (authority, own_port),
        };
        let port = if port == own_port { String::new() } else { format!(":{port}") };
        if host.ends_with('.') {
            return Err(BadOrigin);
        }
        match host.parse().map_err(|_| BadOrigin)? {
            HostPattern::Exact(host) => Ok(Self::Exact(format!("{scheme}://{host}{port}"))),
            HostPattern::Wildcard(suffix) => {
                Ok(Self::Wildcard { scheme: format!("{scheme}://"), suffix: format!("{suffix}{port}") })
            }
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Wildcard { scheme, suffix } => write!(f, "{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OriginPattern, BadOrigin> {
        OriginPattern::try_from(text.to_owned())
    }

    #[test]
    fn origins_are_kept_as_browsers_write_them() {
        for (written, kept) in [
            ("*", "*"),
            ("HTTPS://Shop.Example.com", "https://shop.example.com"),
            ("https://a.example:443", "https://a.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
        ] {
            assert_eq!(read(written).map(|origin| origin.to_string()), Ok(kept.to_owned()), "{written}");
        }
        for bad in [
            "",
            "null",
            "example.com",
            "https://",
            "https://a.example/",
            "ftp://a",
            "https://*",
            "https://a.*.b",
            "https://a.b.",
        ] {
            assert_eq!(read(bad), Err(BadOrigin), "{bad}");
        }
    }

    #[test]
    fn only_what_is_written_is_taken() {
        let takes = |pattern: &str, origin: &str| read(pattern).expect("an origin").takes(origin.as_bytes());
        assert!(takes("*", "https://anything"));
        assert!(takes("https://a.example", "https://a.example"));
        assert!(takes("https://*.a.example", "https://x.y.a.example"));
        for (pattern, other) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://a.example:8443"),
            ("https://a.example", "https://a.example.evil.example"),
            ("https://a.example", "null"),
            ("https://*.a.example", "https://a.example"),
            ("https://*.a.example", "https://evila.example"),
            ("https://*.a.example", "https://.a.example"),
            ("https://*.a.example", "http://x.a.example"),
            ("https://*.a.example", "https://evil.example/x.a.example"),
            ("https://*.a.example", "https://x.a.example:8443"),
        ] {
            assert!(!takes(pattern, other), "{pattern} {other}");
        }
    }
}
