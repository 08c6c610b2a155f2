//! What a request counts as.
//!
//! The bytes of one part alone are the key. Of several, each stands behind its length, so that no two requests that differ in
//! a part can count as one. Up to 64 bytes nothing is allocated.

mod network;
mod part;
mod provers;

use std::sync::Arc;

use pingora_http::RequestHeader;
use smallvec::SmallVec;

use crate::config::file::{MissingKey, RouteFile};
use crate::config::pattern::{KeyPart, RateLimitKey};
use crate::ctx::RequestContext;
use crate::reply::Rejection;
use part::Part;
pub(crate) use provers::told_apart;

/// Begins what is no text, and nothing that has a length before it; no text has this byte.
const NO_TEXT: u8 = 0xFF;

/// What one request counts as.
pub(super) type CountsAs = SmallVec<[u8; 64]>;

/// What requests are counted by, ready to be read of one.
pub(crate) struct Key {
    parts: Box<[Part]>,
    without: Without,
}

/// A request has not all that it is counted by.
pub(super) struct Lacking {
    part: usize,
}

/// What becomes of requests that lack a part.
enum Without {
    Address {
        ipv6_prefix: u8,
    },
    Shared,
    /// The parts as clients are told of them.
    Refused(Box<[Option<Arc<str>>]>),
    Skipped,
}

impl Key {
    /// The key that is written like this, on `route`. With `told_apart`, what one provider says is not what another says.
    ///
    /// None when the route lacks a parameter, which the check finds first.
    pub(crate) fn new(key: &RateLimitKey, missing: MissingKey, told_apart: bool, route: &RouteFile) -> Option<Self> {
        let parts = key.parts().iter().map(|part| Part::new(part, told_apart, route)).collect::<Option<_>>()?;
        let without = match missing {
            MissingKey::ClientAddress => Without::Address { ipv6_prefix: key.ipv6_prefix() },
            MissingKey::Share => Without::Shared,
            MissingKey::Skip => Without::Skipped,
            MissingKey::Refuse => Without::Refused(key.parts().iter().map(told).collect()),
        };
        Some(Self { parts, without })
    }

    /// What the request with this `head` counts as.
    ///
    /// # Errors
    /// The part that it lacks.
    pub(super) fn of(&self, head: &RequestHeader, ctx: &RequestContext) -> Result<CountsAs, Lacking> {
        let mut counts_as = CountsAs::new();
        let is_joined = self.parts.len() > 1;
        for (number, part) in self.parts.iter().enumerate() {
            let before = counts_as.len();
            if is_joined {
                counts_as.push(0);
            }
            if part.put(head, ctx, &mut counts_as).is_none() {
                return Err(Lacking { part: number });
            }
            if is_joined {
                let length = counts_as.len() - before - 1;
                counts_as
                    .get_mut(before)
                    .into_iter()
                    .for_each(|place| *place = u8::try_from(length).unwrap_or(NO_TEXT));
            }
        }
        Ok(counts_as)
    }

    /// What a request counts as that lacks a part; none if it is not counted.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn without(&self, lacking: &Lacking, ctx: &RequestContext) -> Result<Option<CountsAs>, Rejection> {
        let mut counts_as = CountsAs::new();
        match &self.without {
            Without::Address { ipv6_prefix } => part::put_address(ctx, *ipv6_prefix, &mut counts_as),
            // Alone it is no address, no text, and no part with its length.
            Without::Shared => counts_as.push(NO_TEXT),
            Without::Skipped => return Ok(None),
            Without::Refused(parts) => {
                return Err(Rejection::RateLimitKeyMissing(parts.get(lacking.part).cloned().flatten()));
            }
        }
        Ok(Some(counts_as))
    }
}

/// A part as clients are told that it is missing; how an expression is written is nothing for them.
fn told(part: &KeyPart) -> Option<Arc<str>> {
    let is_expression = matches!(part, KeyPart::Expression(_));
    (!is_expression).then(|| part.to_string().into())
}

#[cfg(test)]
mod tests;
