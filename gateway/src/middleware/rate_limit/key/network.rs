//! Which addresses count as one client.

use std::net::IpAddr;

use crate::client_addr::ClientAddr;

/// The client's network, in 16 bytes: an IPv4 address whole, and so many bits of an IPv6 address.
pub(super) fn network(client: ClientAddr, ipv6_prefix: u8) -> [u8; 16] {
    match client.get().to_canonical() {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => {
            let host_bits = u32::from(128_u8.saturating_sub(ipv6_prefix));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            (u128::from(addr) & mask).to_be_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::client_addr::PeerAddr;

    #[test]
    fn clients_are_counted_by_network() {
        for (addr, prefix, counts_as) in [
            ("192.0.2.7", 64, "::ffff:192.0.2.7"),
            ("192.0.2.7", 1, "::ffff:192.0.2.7"),
            ("::ffff:192.0.2.7", 64, "::ffff:192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("a001:db8::6", 1, "8000::"),
        ] {
            let client = PeerAddr::new(addr.parse().expect("an address")).into();
            let counts_as: Ipv6Addr = counts_as.parse().expect("an address");
            assert_eq!(Ipv6Addr::from(network(client, prefix)), counts_as, "{addr}/{prefix}");
        }
    }
}
