//! Reads `Cookie` headers, in one way for routes, credentials and what upstreams must not see.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::COOKIE;

/// Names and values of all cookies, with their quotes if they have any (RFC 6265, section 5.4); HTTP/2 may send each in a header
/// of its own. What has no `=` is none.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|value| pairs(value.as_bytes())).filter_map(|pair| {
        let value = pair.get(name(pair).len()..)?;
        Some((name(pair).trim_ascii(), value.strip_prefix(b"=")?.trim_ascii()))
    })
}

/// The values of the cookie `name`, in a form that they share with other parts of a request.
pub(crate) fn named<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = Cow<'h, [u8]>> {
    cookies(headers).filter(move |(own, _)| *own == name.as_bytes()).map(|(_, value)| Cow::Borrowed(value))
}

/// The cookies of one header as they are.
pub(crate) fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';')
}

/// What stands before the first `=` of `pair`, or all of it.
pub(crate) fn name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_of_all_headers_are_read_without_blanks_around_them() {
        let mut headers = HeaderMap::new();
        for value in ["a=1;  b = \"x\" ;c", "=none; d=x=y;e=", ""] {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        let read: Vec<_> = cookies(&headers).collect();
        let text = |text: &'static str| text.as_bytes();
        let wanted = [("a", "1"), ("b", "\"x\""), ("", "none"), ("d", "x=y"), ("e", "")];
        assert_eq!(read, wanted.map(|(name, value)| (text(name), text(value))));
    }
}
