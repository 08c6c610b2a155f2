//! Opens a signed token (JWS compact serialization, RFC 7515, section 7.1), and believes nothing in it before its signature.
//!
//! Written here because the usual library knows no `Ed25519` in a token's header, passes over `crit`, and prepares the key
//! anew for every token. The signatures themselves are aws-lc's.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, de};

use super::key_set::KeySet;
use crate::reply::BadToken;

/// That of the longest RSA key, in whole groups of three, as base64 decodes.
const MAX_SIGNATURE_BYTES: usize = (8192_usize / 8).next_multiple_of(3);

/// What counts of a token's header. Where else a key may be found (`jwk`, `jku`, `x5u`) is the sender's word, and ignored.
#[derive(Deserialize)]
struct Header<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    #[serde(borrow)]
    kid: Option<Text<'h>>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
}

/// Borrowed where it has no escapes, as inside of an `Option` nothing else would be.
#[derive(Deserialize)]
struct Text<'h>(#[serde(borrow)] Cow<'h, str>);

/// The payload of `token`, if one of `keys` has signed it, and it is the one that the token names.
pub(super) fn open(token: &[u8], keys: &KeySet) -> Result<Vec<u8>, BadToken> {
    let (signed, signature) = split_at_dot(token, |bytes| bytes.iter().rposition(|byte| *byte == b'.'))?;
    let (header, payload) = split_at_dot(signed, |bytes| bytes.iter().position(|byte| *byte == b'.'))?;
    let header = BASE64.decode(header).map_err(|_| BadToken::NoJws)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| BadToken::BadHeader)?;
    // An extension that changes what the token means, and that has to be understood: we know none (section 4.1.11).
    if header.crit {
        return Err(BadToken::BadHeader);
    }
    // What no key's signature would fit into is none.
    let mut bytes = [0; MAX_SIGNATURE_BYTES];
    let length = BASE64.decode_slice(signature, &mut bytes).map_err(|_| BadToken::NoJws)?;
    keys.verify(&header.alg, header.kid.as_ref().map(|id| &*id.0), signed, &bytes[..length])?;
    BASE64.decode(payload).map_err(|_| BadToken::NoJws)
}

/// What `token` calls the key that it is signed with; nothing is known of whether that is so.
pub(super) fn key_id(token: &[u8]) -> Option<String> {
    let header = BASE64.decode(token.split(|byte| *byte == b'.').next()?).ok()?;
    let header: Header<'_> = serde_json::from_slice(&header).ok()?;
    Some(header.kid?.0.into_owned())
}

fn split_at_dot(bytes: &[u8], find: impl Fn(&[u8]) -> Option<usize>) -> Result<(&[u8], &[u8]), BadToken> {
    let (before, after) = bytes.split_at(find(bytes).ok_or(BadToken::NoJws)?);
    Ok((before, &after[1..]))
}

/// Whatever its value, even none.
fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
