//! The host a route takes: `api.example.com` or `*.example.com`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

/// A host without its port, in lower case and without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"api.example.com")]
pub enum HostPattern {
    /// This host; an IPv6 address has its brackets.
    Exact(String),
    /// Every host that ends so, at any depth: `.example.com` for `*.example.com`, which does not take `example.com`.
    Wildcard(String),
}

/// Why a text is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// `*` anywhere but as the whole first label.
    #[error("`*` can only be the whole first label, as in `*.example.com`; leave `hosts` out to take every host")]
    MisplacedStar,
    /// A port is no part of what routes are chosen by.
    #[error("a host is written without a port; a route takes it on every port")]
    Port,
    /// Neither a host name (RFC 1123, section 2.1) nor an address.
    #[error("a host is a name of letters, digits, `-` and `.`, or an address; write international names as `xn--…`")]
    NotAHost,
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let text = text.to_ascii_lowercase();
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let address: IpAddr = address.parse().map_err(|_| BadHost::NotAHost)?;
            return if address.is_ipv6() { Ok(Self::Exact(format!("[{address}]"))) } else { Err(BadHost::NotAHost) };
        }
        if text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            return Err(BadHost::Port);
        }
        match text.strip_prefix("*.") {
            Some(below) => name(below).map(|name| Self::Wildcard(format!(".{name}"))),
            None => name(&text).map(Self::Exact),
        }
    }
}

fn name(text: &str) -> Result<String, BadHost> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.contains('*') {
        return Err(BadHost::MisplacedStar);
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if text.len() <= 253 && text.split('.').all(label) { Ok(text.to_owned()) } else { Err(BadHost::NotAHost) }
}

impl TryFrom<String> for HostPattern {
    type Error = BadHost;

    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_in_their_normal_form() {
        let read = |text: &str| text.parse::<HostPattern>();
        assert_eq!(read("API.Example.com."), Ok(HostPattern::Exact("api.example.com".to_owned())));
        assert_eq!(read("*.Example.com"), Ok(HostPattern::Wildcard(".example.com".to_owned())));
        assert_eq!(read("[0:0::1]"), Ok(HostPattern::Exact("[::1]".to_owned())));
        assert_eq!(read("127.0.0.1"), Ok(HostPattern::Exact("127.0.0.1".to_owned())));
    }

    #[test]
    fn what_no_host_header_can_be_is_refused() {
        for (text, problem) in [
            ("", BadHost::NotAHost),
            ("*", BadHost::MisplacedStar),
            ("a.*.com", BadHost::MisplacedStar),
            ("*a.com", BadHost::MisplacedStar),
            ("example.com:8080", BadHost::Port),
            ("a..b", BadHost::NotAHost),
            ("-a.com", BadHost::NotAHost),
            ("müller.de", BadHost::NotAHost),
            ("http://a.com", BadHost::NotAHost),
            ("[127.0.0.1]", BadHost::NotAHost),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(problem), "{text}");
        }
    }
}
