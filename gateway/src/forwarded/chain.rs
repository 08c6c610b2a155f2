//! Reads the chain of proxies from its end to its beginning.
//!
//! From the end, for that is the part which a trusted proxy wrote: whatever a client has put before it, like a quote that is
//! never closed, must not reach behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use http::header::GetAll;

use super::elements;

/// One proxy's word on whom it got a request from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop<'h> {
    pub(super) addr: IpAddr,
    /// What was spoken to the proxy.
    pub(super) proto: Option<&'h str>,
    /// Which host it was asked for.
    pub(super) host: Option<&'h str>,
}

/// The hops of `X-Forwarded-For`, the nearest first; `None` is one that names no address.
pub(super) fn usual(lists: GetAll<'_, HeaderValue>) -> impl Iterator<Item = Option<Hop<'_>>> {
    elements(lists).map(|element| {
        let text = str::from_utf8(element).ok()?;
        // There is no standard for it; most write IPv6 bare, some with a port and then in brackets.
        let addr = text.parse().ok().or_else(|| node(text))?;
        Some(Hop { addr: addr.to_canonical(), proto: None, host: None })
    })
}

/// The hops of `Forwarded` (RFC 7239), the nearest first; `None` is one that names no address or is not written as it must.
pub(super) fn standard(lists: GetAll<'_, HeaderValue>) -> impl Iterator<Item = Option<Hop<'_>>> {
    let elements = lists.into_iter().rev().flat_map(|list| QuotedElements(Some(list.as_bytes())));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).map(hop)
}

/// The elements of a list with quoted strings in it, the last first.
struct QuotedElements<'h>(Option<&'h [u8]>);

impl<'h> Iterator for QuotedElements<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let list = self.0?;
        let mut quoted = false;
        // A quote that is escaped ends a string too, which takes nothing of what follows; `hop` refuses the backslash.
        let comma = list.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let (front, element) = match comma.and_then(|at| list.split_at_checked(at)) {
            Some((front, rest)) => (Some(front), rest.strip_prefix(b",").unwrap_or(rest)),
            None => (None, list),
        };
        self.0 = front;
        Some(element)
    }
}

/// `for=192.0.2.43;proto=http;by=203.0.113.43` (section 4).
fn hop(element: &[u8]) -> Option<Hop<'_>> {
    let mut rest = str::from_utf8(element).ok()?.trim_start_matches(';');
    let (mut addr, mut proto, mut host) = (None, None, None);
    loop {
        let (name, value) = rest.split_once('=')?;
        let (value, behind) = value_of(value)?;
        let place = match name {
            name if name.eq_ignore_ascii_case("for") => Some(&mut addr),
            name if name.eq_ignore_ascii_case("proto") => Some(&mut proto),
            name if name.eq_ignore_ascii_case("host") => Some(&mut host),
            // `by`, and what is invented later.
            name if !name.is_empty() && name.bytes().all(is_token_byte) => None,
            _ => return None,
        };
        // Each may stand there once.
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return None;
        }
        let behind = behind.trim_ascii_start();
        // Pairs may be left out between their semicolons.
        rest = behind.trim_start_matches([';', ' ', '\t']);
        if rest.is_empty() {
            break;
        }
        if !behind.starts_with(';') {
            return None;
        }
    }
    Some(Hop { addr: node(addr?)?.to_canonical(), proto, host })
}

/// The token or quoted string that `text` begins with, and what stands behind it.
fn value_of(text: &str) -> Option<(&str, &str)> {
    if let Some(string) = text.strip_prefix('"') {
        let (value, behind) = string.split_once('"')?;
        return if value.contains('\\') { None } else { Some((value, behind)) };
    }
    let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(value, _)| !value.is_empty())
}

/// An address and perhaps a port (section 6); `unknown` and `_hidden` are none. Only IPv6 has brackets.
fn node(text: &str) -> Option<IpAddr> {
    let (addr, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (addr, behind) = text.split_once(']')?;
            (IpAddr::V6(addr.parse::<Ipv6Addr>().ok()?), behind)
        }
        None => {
            let (addr, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (IpAddr::V4(addr.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(addr)
}

/// A number, or a name that hides one (`_x`).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty() && hidden.bytes().all(is_token_byte),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::FORWARDED;
    use proptest::prelude::*;

    use super::*;

    fn nearest(element: &str) -> Option<Hop<'_>> {
        hop(element.as_bytes())
    }

    #[test]
    fn the_forms_of_rfc_7239_are_read() {
        for (element, addr) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("FOR=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=\"[2001:db8:cafe::17]:_gazonk\"", "2001:db8:cafe::17"),
            ("for=\"[::ffff:192.0.2.43]\"", "192.0.2.43"),
            ("by=203.0.113.60;for=192.0.2.60", "192.0.2.60"),
            (";for=192.0.2.60;; by=x;", "192.0.2.60"),
            ("secret=\"a,b;c\"; for=192.0.2.60", "192.0.2.60"),
        ] {
            assert_eq!(nearest(element).map(|hop| hop.addr.to_string()).as_deref(), Some(addr), "{element}");
        }
        let whole = nearest("for=192.0.2.60;proto=https;by=203.0.113.43;host=\"a.b:80\"").expect("a hop");
        assert_eq!((whole.proto, whole.host), (Some("https"), Some("a.b:80")));
    }

    #[test]
    fn what_names_no_address_or_is_written_otherwise_is_no_hop() {
        for element in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=",
            "for",
            "192.0.2.43",
            "for=192.0.2.43:80",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[192.0.2.43]\"",
            "for=\"[2001:db8::1]:\"",
            "for=\"[2001:db8::1]x\"",
            "for=\"[fe80::1%eth0]\"",
            "for=192.0.2.043",
            "for=192.0.2.43;for=192.0.2.44",
            "for=192.0.2.43 proto=http",
            "for = 192.0.2.43",
            "=x;for=192.0.2.43",
            "for=\"192.0.2.43",
            "for=\"192.0.2.43\\\"\"",
            "f\u{f6}r=192.0.2.43",
        ] {
            assert_eq!(nearest(element), None, "{element}");
        }
    }

    proptest! {
        /// Whatever comes before it.
        #[test]
        fn the_last_element_of_a_list_is_read_alone(before in "[ -~]{0,24}", quoted: bool) {
            let last = if quoted { "for=\"[2001:db8::1]:80\"" } else { "for=192.0.2.1" };
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, HeaderValue::from_str(&format!("{before}, {last}")).expect("a value"));
            prop_assert_eq!(standard(headers.get_all(FORWARDED)).next(), Some(hop(last.as_bytes())));
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = hop(&bytes);
            prop_assert!(QuotedElements(Some(&bytes)).count() <= bytes.len() + 1);
        }
    }
}
