//! Which host upstreams are told that requests are for.

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::HostPattern;
use crate::config::values::Target;

/// Which host an upstream is told that a request is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"target")]
pub enum UpstreamHost {
    /// The one that the client has named.
    #[default]
    Preserve,
    /// That of the target's URL.
    Target,
    /// Always this one.
    Named(HeaderValue),
}

/// Why a text is no host for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUpstreamHost {
    /// A single word, which may as well be one of ours misspelt.
    #[error(
        "write `preserve` (what the client named), `target` (what the target's URL names) or a host like api.example.com; \
         one without a dot has its port, like minio:9000"
    )]
    Word,
    /// Neither a host name nor an address, perhaps with a port.
    #[error("a host is a name or an address, perhaps with a port: api.example.com or minio:9000")]
    NotAHost,
}

impl UpstreamHost {
    /// What `target` is told; none where it is what the client has named.
    ///
    /// # Errors
    /// When the target's host cannot stand in a header.
    pub fn of(&self, target: &Target) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
        Ok(match self {
            Self::Preserve => None,
            Self::Target => {
                let usual = if target.tls { 443 } else { 80 };
                // As browsers write it, and signatures have it: without the port that goes without saying.
                let port = if target.port == usual { String::new() } else { format!(":{}", target.port) };
                Some(HeaderValue::try_from(format!("{}{port}", target.host))?)
            }
            Self::Named(host) => Some(host.clone()),
        })
    }
}

impl TryFrom<String> for UpstreamHost {
    type Error = BadUpstreamHost;

    fn try_from(text: String) -> Result<Self, BadUpstreamHost> {
        match &*text {
            "preserve" => return Ok(Self::Preserve),
            "target" => return Ok(Self::Target),
            _ => {}
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port_of(port)?)),
            _ => (&*text, None),
        };
        match host.parse() {
            Ok(HostPattern::Exact(name)) if port.is_some() || name.contains(['.', ':']) => {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                HeaderValue::try_from(format!("{name}{port}")).map(Self::Named).map_err(|_| BadUpstreamHost::NotAHost)
            }
            Ok(HostPattern::Exact(_)) => Err(BadUpstreamHost::Word),
            _ => Err(BadUpstreamHost::NotAHost),
        }
    }
}

/// The port that `digits` are.
fn port_of(digits: &str) -> Result<u16, BadUpstreamHost> {
    // Rust reads a sign too.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_number && *port != 0);
    port.ok_or(BadUpstreamHost::NotAHost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(host: &str, target: &str) -> Result<Option<String>, BadUpstreamHost> {
        let host = UpstreamHost::try_from(host.to_owned())?;
        let target: Target = target.parse().expect("a target");
        Ok(host.of(&target).expect("can be told").map(|host| host.to_str().expect("ascii").to_owned()))
    }

    #[test]
    fn a_target_is_told_the_clients_host_its_own_or_always_the_same() {
        for (host, target, is) in [
            ("preserve", "https://a.example", None),
            ("target", "https://a.example", Some("a.example")),
            ("target", "https://a.example:8443", Some("a.example:8443")),
            ("target", "https://a.example:80", Some("a.example:80")),
            ("target", "http://a.example:80", Some("a.example")),
            ("target", "http://[::1]:9000", Some("[::1]:9000")),
            ("Api.Example.com", "http://a.example", Some("api.example.com")),
            ("minio:9000", "http://a.example", Some("minio:9000")),
            ("[::1]", "http://a.example", Some("[::1]")),
            ("127.0.0.1:80", "http://a.example", Some("127.0.0.1:80")),
            ("a.example:0080", "http://a.example", Some("a.example:80")),
        ] {
            assert_eq!(told(host, target), Ok(is.map(str::to_owned)), "{host} {target}");
        }
    }

    #[test]
    fn what_may_be_a_misspelt_word_is_no_host() {
        for word in ["preserv", "Target", "minio"] {
            assert_eq!(told(word, "http://a"), Err(BadUpstreamHost::Word), "{word}");
        }
        for bad in [
            "",
            "*.example.com",
            "a.example:",
            "a.example:0",
            "a.example:99999",
            "a.example:-1",
            "minio:+9000",
            "http://a.example",
            "a b.c",
            "me@a.b",
        ] {
            assert_eq!(told(bad, "http://a"), Err(BadUpstreamHost::NotAHost), "{bad}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_told_its_host_is_not_told_the_clients_instead() {
        let target = Target { tls: false, host: "a\r\nb".to_owned(), port: 80 };
        assert!(UpstreamHost::Target.of(&target).is_err());
        assert_eq!(UpstreamHost::Preserve.of(&target).expect("is not told"), None);
    }
}
