//! Opens a signed token (JWS compact serialization, RFC 7515, section 7.1), and believes nothing in it before its signature.
//!
//! Written here because the usual library knows no `Ed25519` in a token's header, passes over `crit`, and prepares the key
//! anew for every token. The signatures themselves are aws-lc's.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, de};

use super::BadToken;
use super::key::VerifyingKey;

/// That of the longest RSA key, in whole groups of three, as base64 decodes.
const MAX_SIGNATURE_BYTES: usize = (8192_usize / 8).next_multiple_of(3);

/// What counts of a token's header. Where else a key may be found (`jwk`, `jku`, `x5u`) is the sender's word, and ignored.
#[derive(Deserialize)]
struct Header<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
}

/// The payload of `token`, if `key` has signed it.
pub(super) fn open(token: &[u8], key: &VerifyingKey) -> Result<Vec<u8>, BadToken> {
    let (signed, signature) = split_at_dot(token, |bytes| bytes.iter().rposition(|byte| *byte == b'.'))?;
    let (header, payload) = split_at_dot(signed, |bytes| bytes.iter().position(|byte| *byte == b'.'))?;
    let header = BASE64.decode(header).map_err(|_| BadToken::NoJws)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| BadToken::BadHeader)?;
    // An extension that changes what the token means, and that has to be understood: we know none (section 4.1.11).
    if header.crit {
        return Err(BadToken::BadHeader);
    }
    if !key.is_for(&header.alg) {
        return Err(BadToken::OtherAlgorithm);
    }
    // What no key's signature would fit into is none.
    let mut bytes = [0; MAX_SIGNATURE_BYTES];
    let length = BASE64.decode_slice(signature, &mut bytes).map_err(|_| BadToken::NoJws)?;
    if !key.verifies(signed, &bytes[..length]) {
        return Err(BadToken::BadSignature);
    }
    BASE64.decode(payload).map_err(|_| BadToken::NoJws)
}

fn split_at_dot(bytes: &[u8], find: impl Fn(&[u8]) -> Option<usize>) -> Result<(&[u8], &[u8]), BadToken> {
    let (before, after) = bytes.split_at(find(bytes).ok_or(BadToken::NoJws)?);
    Ok((before, &after[1..]))
}

/// Whatever its value, even none.
fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
