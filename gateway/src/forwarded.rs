//! Whom the gateway believes about where a request comes from.
//!
//! Anybody can write `Forwarded` and `X-Forwarded-For`. They are heard only on a connection of a trusted proxy, and are walked
//! from their end, which that proxy wrote, towards their beginning, as long as each hop is a trusted proxy itself: the first
//! that is none is the client. What stands before it, or before something that is no address, is never believed.

mod chain;

use std::net::IpAddr;

use http::header::{FORWARDED, GetAll};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client_addr::{self, ClientAddr, PeerAddr};
use crate::config::file::{ForwardedHeader, ServerFile};
use crate::config::values::Networks;
use crate::ctx::RequestContext;
use crate::reply::{Ambiguity, REQUEST_ID, Rejection};
use crate::screen::is_authority;
use chain::Hop;

/// The chain of proxies, as they add to it.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host that the client named.
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What the client spoke, `http` or `https`.
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longer than any chain of proxies that somebody runs; more hops are not looked at.
const MOST_HOPS: usize = 32;

/// An id of more bytes, or of others than visible ASCII, is replaced: it goes into every log.
const MOST_ID_BYTES: usize = 128;

/// Who is believed, and where they say it.
#[derive(Debug)]
pub(crate) struct TrustedProxies {
    networks: Networks,
    header: ForwardedHeader,
}

/// What a trusted proxy says of a request, beside who sent it.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// The hops that are believed, from the client to the peer.
    pub chain: HeaderValue,
    /// What the client spoke.
    pub scheme: Option<Scheme>,
    /// The host that the client named.
    pub host: Option<HeaderValue>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Readable on the way.
    Http,
    /// Over TLS.
    Https,
}

/// Notes in `ctx` what a trusted proxy says in `headers` of who sent the request. From anybody else nothing is believed.
///
/// # Errors
/// When it says two things.
pub(crate) fn believe(headers: &HeaderMap, ctx: &mut RequestContext) -> Result<(), Rejection> {
    let trusted = &ctx.snapshot.trusted_proxies;
    if !trusted.networks.contain(ctx.peer.get()) {
        return Ok(());
    }
    if let Some(id) = request_id(headers) {
        ctx.request_id = id.clone();
    }
    let walk = trusted.walk(ctx.peer, headers)?;
    ctx.client = walk.client(ctx.peer);
    ctx.forwarded = walk.told(ctx.peer, headers).map(Box::new);
    Ok(())
}

impl TrustedProxies {
    /// As the file says.
    pub(crate) fn of(server: &ServerFile) -> Self {
        Self { networks: Networks::of(&server.trusted_proxies), header: server.forwarded_header }
    }

    fn walk<'h>(&self, peer: PeerAddr, headers: &'h HeaderMap) -> Result<Walk<'h>, Rejection> {
        let standard = || self.hops(chain::standard(headers.get_all(FORWARDED)), Companions::None);
        let usual = || self.hops(chain::usual(headers.get_all(FORWARDED_FOR)), Companions::Headers);
        match self.header {
            ForwardedHeader::Forwarded => Ok(standard()),
            ForwardedHeader::XForwarded => Ok(usual()),
            ForwardedHeader::Either if !headers.contains_key(FORWARDED) => Ok(usual()),
            ForwardedHeader::Either if !headers.contains_key(FORWARDED_FOR) => Ok(standard()),
            ForwardedHeader::Either => {
                let walk = Walk { companions: Companions::Agreeing, ..standard() };
                let agreed = walk.client(peer) == usual().client(peer);
                if agreed { Ok(walk) } else { Err(Rejection::Ambiguous(Ambiguity::Client)) }
            }
        }
    }

    /// Walks `hops`, the nearest first, up to the first that is no trusted proxy.
    fn hops<'h>(&self, hops: impl Iterator<Item = Option<Hop<'h>>>, companions: Companions) -> Walk<'h> {
        let mut walk = Walk { addrs: Vec::new(), last: None, companions };
        for hop in hops.take(MOST_HOPS) {
            let Some(hop) = hop else { break };
            walk.addrs.push(hop.addr);
            walk.last = Some(hop);
            if !self.networks.contain(hop.addr) {
                break;
            }
        }
        walk
    }
}

/// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` say what the hops themselves do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Companions {
    None,
    Headers,
    /// Only as far as they say the same as the hops: one of the two may be the client's own, and nobody knows which.
    Agreeing,
}

/// The hops that are believed.
struct Walk<'h> {
    /// The nearest first.
    addrs: Vec<IpAddr>,
    /// The farthest, which is the client.
    last: Option<Hop<'h>>,
    companions: Companions,
}

impl Walk<'_> {
    fn client(&self, peer: PeerAddr) -> ClientAddr {
        self.addrs.last().map_or(peer.into(), |addr| ClientAddr::believed(*addr))
    }

    /// None only if an address were no header's value.
    fn told(&self, peer: PeerAddr, headers: &HeaderMap) -> Option<Forwarded> {
        let mut chain = Vec::with_capacity(18 * (self.addrs.len() + 1));
        for addr in self.addrs.iter().rev() {
            client_addr::write(*addr, &mut chain);
            chain.extend_from_slice(b", ");
        }
        client_addr::write(peer.get(), &mut chain);
        let proto = self.said(headers, self.last.and_then(|hop| hop.proto), &FORWARDED_PROTO);
        let named = self.said(headers, self.last.and_then(|hop| hop.host), &FORWARDED_HOST);
        Some(Forwarded {
            chain: HeaderValue::try_from(chain).ok()?,
            scheme: proto.and_then(Scheme::named),
            host: named.and_then(host),
        })
    }

    /// What is believed of what the farthest hop says itself and of what stands in the header `name`.
    fn said<'h>(&self, headers: &'h HeaderMap, itself: Option<&'h str>, name: &HeaderName) -> Option<&'h str> {
        match self.companions {
            Companions::None => itself,
            Companions::Headers => self.companion(headers, name),
            Companions::Agreeing => itself.filter(|own| {
                self.companion(headers, name).is_some_and(|companion| companion.eq_ignore_ascii_case(own))
            }),
        }
    }

    /// What the proxy at the farthest hop has put into the header `name`: as far from the list's end as the hop, or at the
    /// list's beginning where not every proxy adds to it.
    fn companion<'h>(&self, headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
        elements(headers.get_all(name))
            .take(self.addrs.len().max(1))
            .last()
            .and_then(|value| str::from_utf8(value).ok())
    }
}

impl Scheme {
    fn named(name: &str) -> Option<Self> {
        // Some proxies call it by what the client wants to speak next.
        let is = |known: [&str; 2]| known.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(["https", "wss"]) { Some(Self::Https) } else { is(["http", "ws"]).then_some(Self::Http) }
    }
}

/// The elements of a list that may go over several headers, the last first. Empty ones count for nothing (RFC 9110,
/// section 5.6.1.2).
fn elements(lists: GetAll<'_, HeaderValue>) -> impl Iterator<Item = &[u8]> {
    let elements = lists.into_iter().rev().flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn host(text: &str) -> Option<HeaderValue> {
    is_authority(text.as_bytes()).then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// The one id that is fit for a log.
fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut ids = headers.get_all(REQUEST_ID).into_iter();
    let id = ids.next().filter(|_| ids.next().is_none())?;
    // Without what would have to be escaped in a log.
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let fits = (1..=MOST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain);
    fits.then_some(id)
}

#[cfg(test)]
mod tests;
