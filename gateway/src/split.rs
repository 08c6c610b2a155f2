//! Chooses one of several upstreams for a request of a route that is split.
//!
//! Of a client that stays with one, its key decides: weighted rendezvous hashing (Thaler and Ravishankar, 1998; with weights as
//! in Schindelhauer and Schomaker, 2005). Each upstream draws from the key a time until it comes, the sooner the greater its
//! weight, and the first one wins. So shares are as the weights say, every gateway chooses alike without knowing of the others,
//! and a changed weight moves only those clients whose share it is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use prometheus::IntCounter;
use sha2::{Digest as _, Sha256};

use crate::claim::ClaimPath;
use crate::client_addr;
use crate::config::file::{SplitFile, StickyCookieFile, StickyFile};
use crate::cookies;
use crate::credential::Place;
use crate::ctx::RequestContext;
use crate::upstream::Pool;

/// No cookie that the gateway gives is longer; a longer one is somebody else's.
const MOST_COOKIE: usize = 64;

/// The upstreams of a route and who goes to which.
pub(crate) struct Split {
    shares: Box<[Share]>,
    sticky: Sticky,
    forced_by: Option<HeaderName>,
    forced_by_cookie: Option<Box<str>>,
}

/// An upstream that gets a share.
pub(crate) struct Share {
    /// Where requests go then.
    pub(crate) pool: Arc<Pool>,
    weight: f64,
    /// What makes its draws others than those of its neighbours: its name.
    seed: u64,
    /// Counts its requests.
    requests: IntCounter,
}

/// By what a client stays.
enum Sticky {
    /// Each request is drawn anew.
    No,
    Cookie(Cookie),
    Header(HeaderName),
    Claim(ClaimPath),
    Address,
}

struct Cookie {
    name: Box<str>,
    /// What stands behind its value.
    attributes: Box<str>,
}

impl Share {
    /// The share that `weight` is of all of them, for `pool`, whose requests are counted in `requests`.
    pub(crate) fn new(pool: Arc<Pool>, weight: u32, requests: IntCounter) -> Self {
        let seed = hash(pool.name().as_bytes());
        Self { pool, weight: f64::from(weight), seed, requests }
    }
}

impl Split {
    /// `shares`, chosen among as `file` says.
    pub(crate) fn new(file: &SplitFile, shares: Vec<Share>) -> Self {
        let force = file.force.as_ref();
        Self {
            shares: shares.into(),
            sticky: file.sticky.as_ref().map_or(Sticky::No, Sticky::new),
            forced_by: force.and_then(|force| force.header.as_ref()).map(|header| header.get().clone()),
            forced_by_cookie: force.and_then(|force| force.cookie.as_deref()).map(Box::from),
        }
    }

    /// Chooses for the request with this `head`, and notes it in `ctx`, with the cookie that the client gets if it needs one.
    pub(crate) fn choose(&self, head: &RequestHeader, ctx: &mut RequestContext) {
        let chosen = self.forced(head).or_else(|| {
            let key = self.key(head, ctx);
            self.drawn(key)
        });
        if let Some(share) = chosen {
            share.requests.inc();
            ctx.chosen = Some(Arc::clone(&share.pool));
        }
    }

    /// The one that the request asks for itself. What asks for none of them asks for nothing.
    fn forced(&self, head: &RequestHeader) -> Option<&Share> {
        let named = |name: &[u8]| self.shares.iter().find(|share| share.pool.name().as_bytes() == name);
        let by_header = self.forced_by.as_ref().and_then(|header| named(head.headers.get(header)?.as_bytes()));
        by_header.or_else(|| {
            let cookie = self.forced_by_cookie.as_deref()?;
            cookies::named(&head.headers, cookie).find_map(|value| named(&value))
        })
    }

    /// The one that comes first for `key`; none of those without weight.
    fn drawn(&self, key: u64) -> Option<&Share> {
        let time = |share: &Share| -uniform(mixed(key ^ share.seed)).ln() / share.weight;
        let weighted = self.shares.iter().filter(|share| share.weight > 0.0);
        weighted.min_by(|a, b| time(a).total_cmp(&time(b)))
    }

    /// What the client is known by. One without header or claim is known by its address.
    fn key(&self, head: &RequestHeader, ctx: &mut RequestContext) -> u64 {
        let text: Option<Cow<'_, [u8]>> = match &self.sticky {
            Sticky::No => return rand::random(),
            Sticky::Cookie(cookie) => return cookie.key(head, ctx),
            Sticky::Header(name) => head.headers.get(name).map(|value| value.as_bytes().into()),
            Sticky::Claim(path) => ctx
                .identity
                .as_ref()
                .and_then(|identity| identity.claim_at(path))
                .map(|claim| claim.into_owned().into_bytes().into()),
            Sticky::Address => None,
        };
        match text {
            Some(text) => hash(&text),
            None => {
                let mut address = Vec::with_capacity(16);
                client_addr::write(ctx.client.get(), &mut address);
                hash(&address)
            }
        }
    }
}

/// What of a request is for the gateway's choice alone, so that no upstream sees it: the cookie that the gateway has given, and
/// what asks for an upstream by its name.
pub(crate) fn hidden(file: &SplitFile) -> impl Iterator<Item = Place> {
    let sticky = file.sticky.as_ref().and_then(|sticky| sticky.cookie.as_ref()).filter(|cookie| !cookie.forward);
    let force = file.force.as_ref().filter(|force| !force.forward);
    let header = force.and_then(|force| force.header.as_ref());
    let header = header.map(|header| Place::Header { name: header.get().clone(), scheme: None });
    let cookies = sticky.map(|cookie| &cookie.name).into_iter().chain(force.and_then(|force| force.cookie.as_ref()));
    header.into_iter().chain(cookies.map(|name| Place::Cookie(name.as_str().into())))
}

impl Sticky {
    fn new(file: &StickyFile) -> Self {
        match (&file.cookie, &file.header, &file.claim) {
            (Some(cookie), ..) => Self::Cookie(Cookie::new(cookie)),
            (None, Some(header), _) => Self::Header(header.get().clone()),
            (None, None, Some(claim)) => Self::Claim(ClaimPath::new(claim)),
            (None, None, None) => Self::Address,
        }
    }
}

impl Cookie {
    fn new(file: &StickyCookieFile) -> Self {
        let mut attributes = "; Path=/; HttpOnly; SameSite=Lax".to_owned();
        if let Some(max_age) = file.max_age {
            let _ = write!(attributes, "; Max-Age={}", max_age.get().as_secs());
        }
        Self { name: file.name.as_str().into(), attributes: attributes.into() }
    }

    /// The key in the request's cookie, or a new one that goes out with the answer. It says nothing and proves nothing: who
    /// makes one up is drawn like everybody else.
    fn key(&self, head: &RequestHeader, ctx: &mut RequestContext) -> u64 {
        let known = |value: &Cow<'_, [u8]>| (1..=MOST_COOKIE).contains(&value.len());
        if let Some(value) = cookies::named(&head.headers, &self.name).find(known) {
            return hash(&value);
        }
        let value = format!("{:016x}", rand::random::<u64>());
        let secure = if ctx.is_https() { "; Secure" } else { "" };
        // The check lets only names pass that can stand here.
        ctx.cookie = HeaderValue::try_from(format!("{}={value}{}{secure}", self.name, self.attributes)).ok();
        hash(value.as_bytes())
    }
}

/// The same for the same text on every gateway of every version.
fn hash(text: &[u8]) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Spreads what differs in one bit over all of them (the finaliser of SplitMix64; Steele, Lea and Flood, 2014).
const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Between 0 and 1, and neither of them.
fn uniform(bits: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    ((bits >> 11) as f64 + 0.5) / STEPS
}

#[cfg(test)]
mod tests;
