//! Ranges of addresses: what one is written as, and many of them to look addresses up in.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

/// A range written as `10.0.0.0/8` or `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"10.0.0.0/8")]
pub struct Network(#[schemars(with = "String")] IpNet);

/// Why a text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Neither a range nor an address.
    #[error("a range of addresses is written like `10.0.0.0/8` or `2001:db8::/32`; one address may stand alone")]
    NotANetwork,
    /// Bits behind the prefix, as in `10.1.2.3/8`: who wrote it may have meant the one address or all of them.
    #[error(
        "the address has bits behind the prefix; write the first address of the range, or no prefix for one address"
    )]
    StrayBits,
    /// IPv4 within IPv6, which no client has: its address is taken for the IPv4 address.
    #[error("write the IPv4 range itself, without `::ffff:`")]
    Mapped,
}

impl Network {
    /// Whether it has `addr`, in its canonical form.
    #[must_use]
    pub fn has(self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }

    /// Whether it has every address of its kind.
    #[must_use]
    pub fn is_everybody(self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| single()).map_err(|_| BadNetwork::NotANetwork)?;
        if network.trunc() != network {
            return Err(BadNetwork::StrayBits);
        }
        let is_mapped = matches!(network.addr(), IpAddr::V6(addr) if addr.to_ipv4_mapped().is_some());
        if is_mapped && network.prefix_len() >= 96 { Err(BadNetwork::Mapped) } else { Ok(Self(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Any number of ranges. To look an address up costs the logarithm of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// In the order of their addresses, and none within another.
    ranges: Box<[IpNet]>,
}

impl Networks {
    /// The addresses of all `networks`; two lists of the same addresses are equal.
    #[must_use]
    pub fn of(networks: &[Network]) -> Self {
        let mut ranges = IpNet::aggregate(&networks.iter().map(|network| network.0).collect());
        ranges.sort_unstable_by_key(IpNet::network);
        Self { ranges: ranges.into() }
    }

    /// Whether there is no address in them.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `addr`, in its canonical form, is in one of them.
    #[must_use]
    pub fn contain(&self, addr: IpAddr) -> bool {
        let behind = self.ranges.partition_point(|range| range.network() <= addr);
        behind.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|range| range.contains(&addr))
    }

    /// Whether no address is in both.
    #[must_use]
    pub fn are_apart_from(&self, other: &Self) -> bool {
        // Of two ranges that meet, one has the first address of the other.
        let none_in = |ranges: &[IpNet], of: &Self| !ranges.iter().any(|range| of.contain(range.network()));
        none_in(&self.ranges, other) && none_in(&other.ranges, self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ranges.iter().try_for_each(|range| write!(f, "{range} "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Network, BadNetwork> {
        Network::try_from(text.to_owned())
    }

    fn networks(texts: &[&str]) -> Networks {
        Networks::of(&texts.iter().map(|text| read(text).expect("a network")).collect::<Vec<_>>())
    }

    #[test]
    fn a_range_has_a_prefix_and_an_address_may_stand_alone() {
        for (text, written) in [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.7", "192.0.2.7/32"), ("::1", "::1/128")] {
            assert_eq!(read(text).map(|network| network.to_string()).as_deref(), Ok(written));
        }
        for (text, problem) in [
            ("", BadNetwork::NotANetwork),
            ("10/8", BadNetwork::NotANetwork),
            ("10.0.0.0/33", BadNetwork::NotANetwork),
            ("example.com", BadNetwork::NotANetwork),
            ("10.0.0.1/8", BadNetwork::StrayBits),
            ("::ffff:10.0.0.0/104", BadNetwork::Mapped),
            ("::ffff:10.0.0.1", BadNetwork::Mapped),
        ] {
            assert_eq!(read(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn lists_of_the_same_addresses_are_equal() {
        assert_eq!(networks(&["10.0.0.0/8", "10.1.0.0/16"]), networks(&["10.128.0.0/9", "10.0.0.0/9"]));
        assert_ne!(networks(&["10.0.0.0/8"]), networks(&["10.0.0.0/9"]));
    }

    #[test]
    fn lists_meet_where_one_has_an_address_of_the_other() {
        let all = networks(&["0.0.0.0/0"]);
        assert!(!all.are_apart_from(&networks(&["10.0.0.1"])) && !networks(&["10.0.0.1"]).are_apart_from(&all));
        assert!(all.are_apart_from(&networks(&["::/0"])));
        assert!(networks(&["10.0.0.0/9"]).are_apart_from(&networks(&["10.128.0.0/9"])));
    }

    proptest! {
        #[test]
        fn an_address_is_found_exactly_where_a_range_has_it(
            ranges in prop::collection::vec((any::<[u8; 2]>(), 0..=32u8, any::<bool>()), 0..12), asked: [u8; 2], v6: bool
        ) {
            let of = |high: [u8; 2], v6: bool| match v6 {
                true => IpAddr::from([0x20, 1, high[0] & 3, high[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                false => IpAddr::from([high[0] & 3, high[1], 0, 0]),
            };
            let list: Vec<Network> = ranges.iter()
                .map(|(high, prefix, v6)| Network(IpNet::new(of(*high, *v6), *prefix).expect("a prefix").trunc()))
                .collect();
            let asked = of(asked, v6);
            prop_assert_eq!(Networks::of(&list).contain(asked), list.iter().any(|range| range.0.contains(&asked)));
        }
    }
}
