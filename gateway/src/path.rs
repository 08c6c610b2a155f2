//! Brings a request path into the one form that is matched, authorised and forwarded.
//!
//! Two servers that read one path differently are how a rule is walked around (`/admin`, `//admin`, `/x/../admin`,
//! `/%61dmin`). So there is one reading, made before anything looks at the path, and what cannot be read in one way only
//! is refused: an encoded slash, a backslash in any spelling, a control byte, a broken percent-encoding, a dot segment with
//! parameters, an overlong encoding.
//!
//! A route may take encoded slashes and backslashes all the same ([`SlashPolicy`]). A path is therefore matched with them kept as
//! data of their segment, encoded, and the route that takes it says what they are. Where they are slashes, the path is matched
//! anew with them, and belongs to the route that takes it then, if that says the same; so no spelling leads past a route.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// `..` or `.` beside one of those two: where it leads depends on what that is taken for.
    #[error("the path has a dot segment beside an encoded slash or a backslash")]
    HiddenDots,
    /// It belongs to one route as it is, and to another when its encoded slashes or backslashes are taken for slashes.
    #[error("the path leads elsewhere when it is decoded")]
    LeadsElsewhere,
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

/// What an encoded slash, or a backslash, in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlashPolicy {
    /// A mistake: 400.
    #[default]
    Reject,
    /// Data of its segment, which goes on encoded.
    Keep,
    /// A slash.
    Decode,
}

/// A path in normal form, in which encoded slashes and backslashes are data: `%2F` and `%5C`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'r> {
    /// The path.
    pub path: Cow<'r, str>,
    /// Whether there is a `%2F` in it.
    pub has_encoded_slash: bool,
    /// Whether there is a `%5C` in it.
    pub has_backslash: bool,
}

impl View<'_> {
    /// What the path is for a route with these policies, and whether it has to be matched anew.
    ///
    /// # Errors
    /// When the path has something that one of the policies rejects, or that would be a dot segment to whoever decodes it.
    pub fn under(self, encoded_slash: SlashPolicy, backslash: SlashPolicy) -> Result<Taken, BadPath> {
        let slash = if self.has_encoded_slash { encoded_slash } else { SlashPolicy::Keep };
        let back = if self.has_backslash { backslash } else { SlashPolicy::Keep };
        match (slash, back) {
            (SlashPolicy::Reject, _) => return Err(BadPath::EncodedSlash),
            (_, SlashPolicy::Reject) => return Err(BadPath::Backslash),
            (SlashPolicy::Keep, SlashPolicy::Keep) => {}
            _ => {
                let mut decoded = self.path.into_owned();
                if slash == SlashPolicy::Decode {
                    decoded = decoded.replace(ENCODED_SLASH, "/");
                }
                if back == SlashPolicy::Decode {
                    decoded = decoded.replace(ENCODED_BACKSLASH, "/");
                }
                let path = resolve(&decoded)?;
                return if has_hidden_dots(&path) { Err(BadPath::HiddenDots) } else { Ok(Taken::Anew(path)) };
            }
        }
        let is_plain = !self.has_encoded_slash && !self.has_backslash;
        if is_plain || !has_hidden_dots(&self.path) { Ok(Taken::AsItIs) } else { Err(BadPath::HiddenDots) }
    }
}

/// What becomes of a path on the route that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It stays.
    AsItIs,
    /// It is this one, and may belong to another route.
    Anew(String),
}

/// What `path`, in which these are data, is to servers that take encoded slashes, backslashes or both for slashes.
pub(crate) fn decodings(path: &str) -> impl Iterator<Item = Result<String, BadPath>> {
    [("/", ENCODED_BACKSLASH), (ENCODED_SLASH, "/"), ("/", "/")].into_iter().filter_map(move |(slash, back)| {
        let decoded = path.replace(ENCODED_SLASH, slash).replace(ENCODED_BACKSLASH, back);
        (decoded != path).then(|| resolve(&decoded))
    })
}

const ENCODED_SLASH: &str = "%2F";
const ENCODED_BACKSLASH: &str = "%5C";

/// Whether a segment would have dot segments in it if what is encoded were a slash: an upstream might take it so after all.
fn has_hidden_dots(path: &str) -> bool {
    let pieces = path.split('/').flat_map(|segment| segment.split(ENCODED_SLASH));
    pieces
        .flat_map(|piece| piece.split(ENCODED_BACKSLASH))
        .any(|piece| matches!(piece, "." | "..") || is_dot_with_parameters(piece))
}

/// The normal form of `raw`, which is a path without its query: percent-encoded unreserved characters decoded and other
/// encodings in upper case (RFC 3986, section 6.2.2), doubled slashes made one, dot segments resolved (section 5.2.4).
///
/// Borrows when `raw` is in normal form already, as nearly every path is. The result normalises to itself.
///
/// # Errors
/// See [`BadPath`].
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, BadPath> {
    let View { path, has_encoded_slash, has_backslash } = view(raw)?;
    match (has_encoded_slash, has_backslash) {
        (false, false) => Ok(path),
        (true, _) => Err(BadPath::EncodedSlash),
        (false, true) => Err(BadPath::Backslash),
    }
}

/// The same, with encoded slashes and backslashes kept as data.
///
/// # Errors
/// See [`BadPath`].
pub fn view(raw: &str) -> Result<View<'_>, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    let mut plain = true;
    let mut previous = b'\0';
    for &byte in raw.as_bytes() {
        match byte {
            b'\\' => plain = false,
            _ if !is_path_byte(byte) => return Err(BadPath::ForbiddenByte),
            // Either is rare and costs the slow way: an encoding, a doubled slash, a segment that begins with a dot.
            b'%' => plain = false,
            b'/' | b'.' if previous == b'/' => plain = false,
            _ => {}
        }
        previous = byte;
    }
    if plain {
        return Ok(View { path: Cow::Borrowed(raw), has_encoded_slash: false, has_backslash: false });
    }
    let decoded = decode_unreserved(raw)?;
    let path = resolve(&decoded)?;
    let has = |encoding: &str| {
        let kept = path.matches(encoding).count();
        // In `/a%2Fb/../c`, what the dots take away depends on what it is.
        if kept == decoded.matches(encoding).count() { Ok(kept > 0) } else { Err(BadPath::HiddenDots) }
    };
    let has_encoded_slash = has(ENCODED_SLASH)?;
    let has_backslash = has(ENCODED_BACKSLASH)?;
    Ok(View { path: Cow::Owned(path), has_encoded_slash, has_backslash })
}

/// `decoded` without doubled slashes and dot segments.
fn resolve(decoded: &str) -> Result<String, BadPath> {
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
    push_plain(rest.next().unwrap_or_default(), &mut decoded);
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
            0..=0x1F | 0x7F => return Err(BadPath::ForbiddenByte),
            _ if is_unreserved(byte) => decoded.push(char::from(byte)),
            _ => {
                decoded.push('%');
                decoded.push_str(&digits.to_ascii_uppercase());
            }
        }
        push_plain(tail, &mut decoded);
    }
    Ok(decoded)
}

/// Whether these two bytes begin a longer encoding than their character needs.
const fn is_overlong(lead: u8, next: u8) -> bool {
    matches!((lead, next), (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F))
}

/// Puts what has no encodings behind `decoded`, its backslashes encoded.
fn push_plain(text: &str, decoded: &mut String) {
    let mut pieces = text.split('\\');
    decoded.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        decoded.push_str(ENCODED_BACKSLASH);
        decoded.push_str(piece);
    }
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

    #[test]
    fn a_policy_says_what_an_encoded_slash_is() {
        use SlashPolicy::{Decode, Keep, Reject};
        let under = |raw: &str, slash, back| view(raw).and_then(|view| view.under(slash, back));
        let anew = |path: &str| Ok(Taken::Anew(path.to_owned()));
        for (raw, slash, back, taken) in [
            ("/a/b", Reject, Reject, Ok(Taken::AsItIs)),
            ("/a%2Fb", Reject, Keep, Err(BadPath::EncodedSlash)),
            ("/a%5cb", Keep, Reject, Err(BadPath::Backslash)),
            ("/a\\b", Decode, Reject, Err(BadPath::Backslash)),
            ("/a%2fb", Keep, Reject, Ok(Taken::AsItIs)),
            ("/a\\b", Reject, Keep, Ok(Taken::AsItIs)),
            ("/a%2fb", Decode, Reject, anew("/a/b")),
            ("/a%5cb\\c", Reject, Decode, anew("/a/b/c")),
            ("/a%2f%2Fb%2f", Decode, Reject, anew("/a/b/")),
            ("/a%2f..%2fb", Decode, Reject, anew("/b")),
            ("/a/%2e%2e%2fb", Decode, Reject, anew("/b")),
            ("/a%2fb%5cc", Decode, Keep, anew("/a/b%5Cc")),
            ("/a%2f..%5cc", Decode, Keep, Err(BadPath::HiddenDots)),
            ("/a%2f..%2fb", Keep, Reject, Err(BadPath::HiddenDots)),
            ("/a/..%2fb", Keep, Reject, Err(BadPath::HiddenDots)),
            ("/a/..%5c..%5cb", Reject, Keep, Err(BadPath::HiddenDots)),
            ("/a%2Fb/../c", Keep, Keep, Err(BadPath::HiddenDots)),
            ("/a%2Fb/../c", Decode, Decode, Err(BadPath::HiddenDots)),
            ("/a\\b/../c", Keep, Decode, Err(BadPath::HiddenDots)),
            ("/a%2f..%2fb", Reject, Keep, Err(BadPath::EncodedSlash)),
            ("/a%252Fb", Reject, Reject, Ok(Taken::AsItIs)),
            ("/a%252Fb", Decode, Decode, Ok(Taken::AsItIs)),
        ] {
            assert_eq!(under(raw, slash, back), taken, "{raw} {slash:?} {back:?}");
        }
        assert_eq!(view("/a\\b%5cc%2fd").map(|view| view.path.into_owned()).as_deref(), Ok("/a%5Cb%5Cc%2Fd"));
    }

    proptest! {
        #[test]
        fn whatever_a_policy_takes_is_in_normal_form(raw in "/[a./%2eEfF5cC\\\\0-9]{0,24}") {
            use SlashPolicy::{Decode, Keep};
            for (slash, back) in [(Keep, Keep), (Decode, Keep), (Keep, Decode), (Decode, Decode)] {
                let Ok(seen) = view(&raw) else { continue };
                let path = seen.path.clone().into_owned();
                let path = match seen.under(slash, back) {
                    Err(_) => continue,
                    Ok(Taken::AsItIs) => path,
                    Ok(Taken::Anew(path)) => path,
                };
                let again = view(&path).expect("a path");
                prop_assert_eq!(&*again.path, &*path);
                prop_assert!(!has_hidden_dots(&path) && !path.contains("//"));
                prop_assert!(slash == Keep || !again.has_encoded_slash);
                prop_assert!(back == Keep || !again.has_backslash);
            }
        }

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
