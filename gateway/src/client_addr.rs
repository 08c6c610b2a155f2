//! Two addresses that must not be swapped: whose connection it is, and who asked. And how an address is written as text,
//! which every request needs for its upstream and for its log line.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// Whose connection a request came on: the one address that nobody can make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(IpAddr);

/// Who asked, as far as that is believed: the peer, or whom a trusted proxy names. Limits, logs and routes go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(IpAddr);

impl PeerAddr {
    /// Stands for an address that the system does not know.
    pub(crate) const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// The peer at `addr`; an IPv4 address in an IPv6 one is the IPv4 address.
    #[must_use]
    pub const fn new(addr: IpAddr) -> Self {
        Self(addr.to_canonical())
    }

    /// The bare address.
    #[must_use]
    pub const fn get(self) -> IpAddr {
        self.0
    }
}

impl ClientAddr {
    /// The client that a trusted proxy names.
    pub(crate) const fn believed(addr: IpAddr) -> Self {
        Self(addr)
    }

    /// The bare address.
    #[must_use]
    pub const fn get(self) -> IpAddr {
        self.0
    }
}

/// Who asks for nobody else.
impl From<PeerAddr> for ClientAddr {
    fn from(peer: PeerAddr) -> Self {
        Self(peer.0)
    }
}

/// Puts `addr` behind `text`, as everybody writes it.
pub(crate) fn write(addr: IpAddr, text: &mut Vec<u8>) {
    match addr {
        IpAddr::V4(addr) => write_dotted(addr, text),
        // Writing to a vector cannot fail.
        IpAddr::V6(addr) => drop(write!(text, "{addr}")),
    }
}

/// The formatting of the standard library costs ten times as much.
fn write_dotted(addr: Ipv4Addr, text: &mut Vec<u8>) {
    for (position, octet) in addr.octets().into_iter().enumerate() {
        if position > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_told_as_the_standard_library_tells_them(addr: IpAddr) {
            let mut text = b"<".to_vec();
            write(addr, &mut text);
            prop_assert_eq!(text, format!("<{addr}").into_bytes());
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let peer = PeerAddr::new("::ffff:192.0.2.7".parse().expect("an address"));
        assert_eq!(ClientAddr::from(peer).get(), IpAddr::from([192, 0, 2, 7]));
    }
}
