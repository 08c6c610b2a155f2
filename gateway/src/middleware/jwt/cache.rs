//! Remembers tokens that were verified, so that a token in use costs a look-up and not a signature.
//!
//! What is found was verified with this provider's keys and rules, for the cache is the provider's own and goes with it. What
//! may change since is the time, so whoever finds something asks for that, and the keys, whose epoch stands with each. Refusals are not remembered: there are
//! more wrong tokens than memory.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::claims::Lifetime;
use super::metrics::CacheMetrics;
use crate::claim::claims_bytes;
use crate::ctx::Identity;
use crate::revocation::Marks;

/// What an entry is reckoned to take when the number of entries to expect is asked for.
const USUAL_ENTRY_BYTES: u64 = 2048;

/// Verified tokens and what they say, within a number of bytes.
///
/// Sharded by hash, with more shards than there are cores where there is room; look-ups share a shard and never wait for each
/// other.
pub(super) struct TokenCache {
    entries: Cache<Token, Verified, ByBytes>,
    metrics: CacheMetrics,
}

/// What a token was found to say.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) identity: Arc<Identity>,
    /// By which it may be revoked.
    pub(super) marks: Marks,
    pub(super) lifetime: Lifetime,
    /// That of the keys by which it was verified.
    pub(super) epoch: u64,
}

struct Token {
    text: Box<[u8]>,
    /// All that its entry takes, reckoned once.
    bytes: u64,
}

/// A token that a request came with.
struct Presented<'t>(&'t [u8]);

#[derive(Clone)]
struct ByBytes;

impl TokenCache {
    /// An empty cache that takes about `bytes` at most.
    pub(super) fn new(bytes: u64, metrics: CacheMetrics) -> Self {
        let entries = usize::try_from(bytes / USUAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        Self { entries: Cache::with_weighter(entries, bytes, ByBytes), metrics }
    }

    /// What `token` was found to say, if it was verified by keys of this `epoch` and is still here. Its time may be over.
    pub(super) fn find(&self, token: &[u8], epoch: u64) -> Option<Verified> {
        let mut found = self.entries.get(&Presented(token));
        if found.as_ref().is_some_and(|found| found.epoch != epoch) {
            self.remove(token);
            found = None;
        }
        if found.is_some() { &self.metrics.hits } else { &self.metrics.misses }.inc();
        found
    }

    /// Keeps what the verified `token` says, as long as there is room.
    pub(super) fn keep(&self, token: &[u8], verified: Verified) {
        let bytes = entry_bytes(token, &verified.identity);
        self.entries.insert(Token { text: token.into(), bytes }, verified);
    }

    /// Forgets `token`.
    pub(super) fn remove(&self, token: &[u8]) {
        self.entries.remove(&Presented(token));
    }
}

/// The last bytes of a token are its signature's, and as good as random: 32 of base64url are 192 bits that nobody but the
/// issuer can choose. So they do for a hash.
fn tail(token: &[u8]) -> &[u8] {
    &token[token.len().saturating_sub(32)..]
}

/// Whether the tokens are the same to the last byte. The tails come first, so that the time this takes tells nothing of a
/// token to somebody who has not got its signature.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    tail(one) == tail(other) && one == other
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(tail(&self.text));
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.text, &other.text)
    }
}

impl Eq for Token {}

impl Hash for Presented<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(tail(self.0));
    }
}

impl Equivalent<Token> for Presented<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        is_same(self.0, &token.text)
    }
}

impl Weighter<Token, Verified> for ByBytes {
    fn weight(&self, token: &Token, _verified: &Verified) -> u64 {
        token.bytes
    }
}

/// About what an entry takes: rather too much than too little, for the bound is against whoever has very many valid tokens.
fn entry_bytes(token: &[u8], identity: &Identity) -> u64 {
    /// A place in the cache, the counts of two `Arc`s, and what an allocator adds.
    const FIXED: usize = 256;
    let header = |(name, value): &(HeaderName, HeaderValue)| 96 + name.as_str().len() + value.len();
    let headers: usize = identity.headers.iter().map(header).sum();
    (FIXED + token.len() + headers + claims_bytes(&identity.claims)) as u64
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;
    use serde_json::{Value, json};

    use super::*;
    use crate::middleware::jwt::claims::Rules;

    const BOUND: u64 = 1 << 20;

    fn cache() -> TokenCache {
        let counter = || IntCounter::new("tokens", "tokens").expect("a counter");
        TokenCache::new(BOUND, CacheMetrics { hits: counter(), misses: counter() })
    }

    fn verified(claims: Value) -> Verified {
        let Value::Object(mut claims) = claims else { unreachable!("a block") };
        claims.extend([("iss".to_owned(), json!("i")), ("aud".to_owned(), json!("a")), ("exp".to_owned(), json!(1))]);
        let lifetime = Rules::new(["i"], ["a"], 0).lifetime(&claims).expect("claims");
        let marks = Marks::of(&claims);
        Verified { identity: Arc::new(Identity { claims, headers: Vec::new() }), marks, lifetime, epoch: 0 }
    }

    fn token(number: usize) -> Vec<u8> {
        format!("header.payload.{number:043}").into_bytes()
    }

    #[test]
    fn any_number_of_valid_tokens_stays_within_the_bound() {
        let cache = cache();
        for number in 0..5000 {
            cache.keep(&token(number), verified(json!({"sub": number})));
            assert!(cache.entries.weight() <= BOUND);
        }
        assert!(cache.entries.len() > 300, "{}", cache.entries.len());
        assert!(cache.find(&token(4999), 0).is_some());
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_drives_nothing_out() {
        let cache = cache();
        cache.keep(&token(0), verified(json!({"sub": 0})));
        let nested: Vec<Value> = (0..1700).map(|_| json!({"a": 1})).collect();
        let large = verified(json!({"all": nested}));
        assert!(entry_bytes(&token(1), &large.identity) > BOUND, "eight KiB of text are a megabyte as a tree");
        cache.keep(&token(1), large);
        assert!(cache.find(&token(1), 0).is_none());
        assert!(cache.find(&token(0), 0).is_some());
    }

    #[test]
    fn what_keys_of_another_epoch_have_verified_is_forgotten() {
        let cache = cache();
        cache.keep(&token(0), verified(json!({})));
        assert!(cache.find(&token(0), 1).is_none());
        assert!(cache.find(&token(0), 0).is_none(), "and stays so");
    }

    #[test]
    fn what_is_removed_is_not_found() {
        let cache = cache();
        cache.keep(&token(0), verified(json!({})));
        cache.remove(&token(1));
        assert!(cache.find(&token(0), 0).is_some());
        cache.remove(&token(0));
        assert!(cache.find(&token(0), 0).is_none());
    }
}
