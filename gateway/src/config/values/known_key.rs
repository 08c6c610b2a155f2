//! A key of a program, known by its hash alone.

use aws_lc_rs::digest;

/// A key of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Whose.
    pub client: String,
    /// The SHA-256 of the key.
    pub sha256: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
}

/// Why a line or a block is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No SHA-256.
    #[error("a hash has 64 hexadecimal digits; make one with: printf %s \"$KEY\" | ./dev.sh run gateway hash-key")]
    Hash,
    /// The hash of an empty text, which comes of an empty variable.
    #[error("this is the hash of nothing at all; was the variable empty?")]
    Empty,
    /// A name that headers and logs could not show.
    #[error("a client's name has 1 to 100 visible ASCII characters, without spaces and commas")]
    Client,
    /// A scope that no token could have.
    #[error("a scope has visible ASCII characters only, without spaces, `\"` and `\\`")]
    Scope,
}

impl KnownKey {
    /// The key of `client` with the hash that is written `hash`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(client: &str, hash: &str, scopes: &[String]) -> Result<Self, BadKey> {
        if !(1..=100).contains(&client.len()) || !client.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(BadKey::Client);
        }
        if !scopes.iter().all(|scope| is_scope(scope)) {
            return Err(BadKey::Scope);
        }
        let sha256 = from_hex(hash).ok_or(BadKey::Hash)?;
        if sha256 == Self::hash(b"") {
            return Err(BadKey::Empty);
        }
        Ok(Self { client: client.to_owned(), sha256, scopes: scopes.to_vec() })
    }

    /// The hash of `key`.
    #[must_use]
    pub fn hash(key: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
        hash
    }
}

/// RFC 6749, section 3.3.
pub(crate) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_key_is_known_by_its_hash_in_either_case() {
        for hash in [ABC.to_owned(), ABC.to_uppercase()] {
            assert_eq!(KnownKey::new("mobile", &hash, &[]).map(|key| key.sha256), Ok(KnownKey::hash(b"abc")));
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let bad = |client: &str, hash: &str, scope: &str| {
            KnownKey::new(client, hash, &[scope.to_owned()]).expect_err("refused")
        };
        for hash in ["", "abc", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &ABC.replacen("ba", "+a", 1)] {
            assert_eq!(bad("a", hash, "s"), BadKey::Hash, "{hash}");
        }
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(bad("a", nothing, "s"), BadKey::Empty);
        for client in ["", "a b", "a,b", "é", "a\n", &"x".repeat(101)] {
            assert_eq!(bad(client, ABC, "s"), BadKey::Client, "{client}");
        }
        for scope in ["", "a b", "a\"", "\\", "é"] {
            assert_eq!(bad("a", ABC, scope), BadKey::Scope, "{scope}");
        }
    }
}
