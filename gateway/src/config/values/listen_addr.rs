//! Where a listener is opened: an address and a port.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ListenAddr(SocketAddr);

/// Why a text says no place to listen. None quotes it: it may have come from a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadListenAddr {
    #[error(
        "an address is missing; write 0.0.0.0:8080 for all of this machine, or 127.0.0.1:8080 for this machine alone"
    )]
    NoAddress,
    #[error("a listener has an address and no name; write 127.0.0.1:8080 for this machine alone")]
    Localhost,
    #[error(
        "a listener has an address and no name; write it like 127.0.0.1:8080, or 0.0.0.0:8080 for all of this machine"
    )]
    Name,
    #[error("a port is missing; write it like 127.0.0.1:8080 or [::1]:8080")]
    NoPort,
}

impl TryFrom<String> for ListenAddr {
    type Error = BadListenAddr;

    fn try_from(text: String) -> Result<Self, BadListenAddr> {
        if let Ok(addr) = text.parse() {
            return Ok(Self(addr));
        }
        let is_port = |text: &str| text.parse::<u16>().is_ok();
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        Err(match text.rsplit_once(':') {
            _ if bare.parse::<IpAddr>().is_ok() => BadListenAddr::NoPort,
            Some(("" | "*", port)) if is_port(port) => BadListenAddr::NoAddress,
            Some((host, port)) if is_port(port) && host.eq_ignore_ascii_case("localhost") => BadListenAddr::Localhost,
            None if is_port(&text) => BadListenAddr::NoAddress,
            _ => BadListenAddr::Name,
        })
    }
}

/// Reads one.
///
/// # Errors
/// Says what is wanted in its place.
pub(in crate::config) fn one<'d, D: Deserializer<'d>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    ListenAddr::deserialize(deserializer).map(|addr| addr.0)
}

/// Reads several.
///
/// # Errors
/// Says what is wanted in the place of the first that is none.
pub(in crate::config) fn several<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    Vec::deserialize(deserializer).map(|addrs| addrs.into_iter().map(|ListenAddr(addr)| addr).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_what_to_write() {
        let read = |text: &str| ListenAddr::try_from(text.to_owned()).map(|addr| addr.0.to_string());
        for good in ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0"] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        for (bad, why) in [
            (":8080", BadListenAddr::NoAddress),
            ("*:8080", BadListenAddr::NoAddress),
            ("8080", BadListenAddr::NoAddress),
            ("localhost:8080", BadListenAddr::Localhost),
            ("gateway.example:8080", BadListenAddr::Name),
            ("127.0.0.1:99999", BadListenAddr::Name),
            ("", BadListenAddr::Name),
            ("127.0.0.1", BadListenAddr::NoPort),
            ("::1", BadListenAddr::NoPort),
            ("::1:8080", BadListenAddr::NoPort),
            ("[::1]", BadListenAddr::NoPort),
        ] {
            assert_eq!(read(bad), Err(why), "{bad}");
        }
    }
}
