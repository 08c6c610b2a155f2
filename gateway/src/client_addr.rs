//! Writes a client's address as text, which every request needs for its upstream and for its log line.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

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
}
