//! Where a page ended, as a text that only this service reads.
//!
//! A cursor names the last item of a page by its sort value and id, never by its number, so that items that come or go
//! between two pages shift nothing. It is bound to the list and the filters it was made for, and is refused by any other.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Changes when the meaning of a position changes, so that an older cursor is refused rather than misread.
const VERSION: u8 = 1;

/// No cursor of ours is longer; checked before anything is decoded.
const MAX_BYTES: usize = 512;

/// Enough of a SHA-256 that no two lists meet by chance; nothing secret hangs on it.
const SCOPE_BYTES: usize = 8;

/// The list and the filters that a cursor belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// The scope of the list called `list`, narrowed by `filters`.
    pub fn new(list: &str, filters: &[(&str, String)]) -> Self {
        let mut digest = Sha256::new();
        for part in std::iter::once(list).chain(filters.iter().flat_map(|(name, value)| [*name, value.as_str()])) {
            // The length first, so that no two lists of parts run together into the same bytes.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(BASE64_URL_SAFE_NO_PAD.encode(&digest.finalize()[..SCOPE_BYTES]))
    }

    /// The cursor for the page that follows `position`.
    pub fn seal<P: Serialize>(&self, position: &P) -> String {
        let cursor = serde_json::json!([VERSION, self.0, position]);
        BASE64_URL_SAFE_NO_PAD.encode(cursor.to_string())
    }

    /// The position that `cursor` holds.
    ///
    /// # Errors
    /// When it is no cursor of ours, or one of another list, other filters or another version.
    pub fn open<P: DeserializeOwned>(&self, cursor: &str) -> Result<P, InvalidCursor> {
        if cursor.len() > MAX_BYTES {
            return Err(InvalidCursor);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
        let (version, scope, position): (u8, String, P) = serde_json::from_slice(&json).map_err(|_| InvalidCursor)?;
        if version == VERSION && scope == self.0 { Ok(position) } else { Err(InvalidCursor) }
    }
}

/// The text is no cursor, or not one of this list with these filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to this list with these filters and this order; start again without one")]
pub struct InvalidCursor;

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(filter: &str) -> Scope {
        Scope::new("assets", &[("category", filter.to_owned())])
    }

    #[test]
    fn a_cursor_opens_to_the_position_it_was_sealed_with() {
        let position = ("tether".to_owned(), 7);
        assert_eq!(scope("defi").open(&scope("defi").seal(&position)), Ok(position));
    }

    #[test]
    fn a_cursor_of_another_list_or_other_filters_is_refused() {
        let cursor = scope("defi").seal(&1);
        assert_eq!(scope("meme").open::<u8>(&cursor), Err(InvalidCursor));
        assert_eq!(Scope::new("orders", &[("category", "defi".to_owned())]).open::<u8>(&cursor), Err(InvalidCursor));
        assert_ne!(Scope::new("a", &[("b", "cd".to_owned())]), Scope::new("a", &[("bc", "d".to_owned())]));
    }

    #[test]
    fn rubbish_and_other_versions_are_refused() {
        let scope = scope("defi");
        let of = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
        let other_version = of(serde_json::json!([VERSION + 1, scope.0, 1]).to_string());
        for bad in ["", "!", "e30", "AAAA", "🦀", &"A".repeat(MAX_BYTES + 1), &of("[1]".to_owned()), &other_version] {
            assert_eq!(scope.open::<u8>(bad), Err(InvalidCursor), "{bad:.40}");
        }
    }

    #[test]
    fn a_position_of_another_type_is_refused() {
        assert_eq!(scope("defi").open::<u8>(&scope("defi").seal(&"text")), Err(InvalidCursor));
    }
}
