//! Brings a request path into the one form that is matched, authorised and forwarded.
//!
//! Two servers that read one path differently are how a rule is walked around (`/admin`, `//admin`, `/x/../admin`,
//! `/%61dmin`). So there is one reading, made before anything looks at the path, and what cannot be read in one way only
//! is refused: an encoded slash, a backslash in any spelling, a control byte, a broken percent-encoding, a dot segment with
//! parameters, an overlong encoding.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// `%` without two hexadecimal digits behind it.
    #[error("the path has a broken percent-encoding")]
    BrokenEncoding,
    /// `%2F`: some servers take it for a slash, some do not.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\` or `%5C`: some servers take it for a slash, some do not.
    #[error("the path has a backslash")]
    Backslash,
    /// A byte that no path may have, plain or encoded: controls, spaces, `#`, and all beyond ASCII unless encoded.
    #[error("the path has a character that is not allowed")]
    ForbiddenByte,
    /// `..;` and `.;`: servlet containers take the parameters off before they resolve the dots, and nobody else does.
    #[error("the path has a dot segment with parameters")]
    DotParameters,
    /// `%C0%AF` and the like: some old servers take it for a slash, and it is no UTF-8 (RFC 3629, section 3).
    #[error("the path has an overlong encoding")]
    Overlong,
}

/// The normal form of `raw`, which is a path without its query: percent-encoded unreserved characters decoded and other
/// encodings in upper case (RFC 3986, section 6.2.2), doubled slashes made one, dot segments resolved (section 5.2.4).
///
/// Borrows when `raw` is in normal form already, as nearly every path is. The result normalises to itself.
///
/// # Errors
/// See [`BadPath`].
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    let mut plain = true;
    let mut previous = b'\0';
    for &byte in raw.as_bytes() {
        match byte {
            b'\\' => return Err(BadPath::Backslash),
            _ if !is_path_byte(byte) => return Err(BadPath::ForbiddenByte),
            // Either is rare and costs the slow way: an encoding, a doubled slash, a segment that begins with a dot.
            b'%' => plain = false,
            b'/' | b'.' if previous == b'/' => plain = false,
            _ => {}
        }
        previous = byte;
    }
    if plain { Ok(Cow::Borrowed(raw)) } else { rebuild(raw).map(Cow::Owned) }
}

fn rebuild(raw: &str) -> Result<String, BadPath> {
    let decoded = decode_unreserved(raw)?;
    let mut normal = String::with_capacity(decoded.len());
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" | "." if last => normal.push('/'),
            "" | "." => {}
            ".." => {
                normal.truncate(normal.rfind('/').unwrap_or(0));
                if last {
                    normal.push('/');
                }
            }
            _ if is_dot_with_parameters(segment) => return Err(BadPath::DotParameters),
            _ => {
                normal.push('/');
                normal.push_str(segment);
            }
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

fn is_dot_with_parameters(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('.') else { return false };
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest.starts_with(';') || rest.starts_with("%3B")
}

fn decode_unreserved(raw: &str) -> Result<String, BadPath> {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw.split('%');
    decoded.push_str(rest.next().unwrap_or_default());
    // The encoded byte that stands directly before the next one, if it is beyond ASCII.
    let mut lead = 0;
    for part in rest {
        let (digits, tail) = part.split_at_checked(2).ok_or(BadPath::BrokenEncoding)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadPath::BrokenEncoding);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| BadPath::BrokenEncoding)?;
        if is_overlong(lead, byte) {
            return Err(BadPath::Overlong);
        }
        lead = if tail.is_empty() { byte } else { 0 };
        match byte {
            b'/' => return Err(BadPath::EncodedSlash),
            b'\\' => return Err(BadPath::Backslash),
            0..=0x1F | 0x7F => return Err(BadPath::ForbiddenByte),
            _ if is_unreserved(byte) => decoded.push(char::from(byte)),
            _ => {
                decoded.push('%');
                decoded.push_str(&digits.to_ascii_uppercase());
            }
        }
        decoded.push_str(tail);
    }
    Ok(decoded)
}

/// Whether these two bytes begin a longer encoding than their character needs.
const fn is_overlong(lead: u8, next: u8) -> bool {
    matches!((lead, next), (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F))
}

/// `unreserved` of RFC 3986, section 2.3: encoded or not, it means the same.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a path as it is (`pchar` and `/`, RFC 3986, section 3.3), and the `[ ] | ^ { } "` and backquote that
/// clients send although they should not and every server reads alike.
pub(crate) const fn is_path_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'?' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in ["/", "/a", "/a/b/", "/inventory/assets/usd-coin", "/a.b/c..d", "/a;b=c/@x:y"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_becomes_one() {
        for (raw, normal) in [
            ("//admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/./admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/x/%2e%2e/admin", "/admin"),
            ("/x/.%2E/admin", "/admin"),
            ("/../../admin", "/admin"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a//b///c", "/a/b/c"),
            ("/a//", "/a/"),
            ("/..", "/"),
            ("/%7euser", "/~user"),
            ("/a%c3%a4", "/a%C3%A4"),
            ("/a%20b", "/a%20b"),
            ("/a;x/...;/.b;c", "/a;x/...;/.b;c"),
            ("/%e0%a4%85%f0%90%80%80%C0b", "/%E0%A4%85%F0%90%80%80%C0b"),
        ] {
            assert_eq!(normalise(raw).as_deref(), Ok(normal), "{raw}");
        }
    }

    #[test]
    fn rfc_3986_examples_of_dot_segments() {
        assert_eq!(normalise("/a/b/c/./../../g").as_deref(), Ok("/a/g"));
        assert_eq!(normalise("/a/..g/b").as_deref(), Ok("/a/..g/b"));
        assert_eq!(normalise("/a/.g").as_deref(), Ok("/a/.g"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (raw, why) in [
            ("", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("admin", BadPath::NotAbsolute),
            ("/a%2Fb", BadPath::EncodedSlash),
            ("/a%2fb", BadPath::EncodedSlash),
            ("/a\\b", BadPath::Backslash),
            ("/a%5cb", BadPath::Backslash),
            ("/a%00", BadPath::ForbiddenByte),
            ("/a%0d%0aX: y", BadPath::ForbiddenByte),
            ("/a%0d%0aX", BadPath::ForbiddenByte),
            ("/a\u{e4}", BadPath::ForbiddenByte),
            ("/a%", BadPath::BrokenEncoding),
            ("/a%4", BadPath::BrokenEncoding),
            ("/a%zz", BadPath::BrokenEncoding),
            ("/a%+1", BadPath::BrokenEncoding),
            ("/a/..;/b", BadPath::DotParameters),
            ("/a/..;x=y", BadPath::DotParameters),
            ("/a/.;/b", BadPath::DotParameters),
            ("/a/%2e.%3b/b", BadPath::DotParameters),
            ("/a%c0%afb", BadPath::Overlong),
            ("/%C0%AE%C0%AE/", BadPath::Overlong),
            ("/%e0%80%af", BadPath::Overlong),
            ("/%f0%80%80%af", BadPath::Overlong),
        ] {
            assert_eq!(normalise(raw), Err(why), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_is_stable_and_unambiguous(raw in "/[a./%2eEfF5cC\\\\0-9]{0,24}") {
            if let Ok(normal) = normalise(&raw) {
                let again = normalise(&normal).expect("a normal form is a path");
                prop_assert_eq!(&*again, &*normal);
                prop_assert!(normal.starts_with('/') && !normal.contains("//"));
                prop_assert!(!normal.split('/').any(|segment| segment == ".." || segment == "."));
            }
        }
    }
}
