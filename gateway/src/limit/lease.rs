//! Leased limits: tokens of a key are taken from Redis in batches, ahead of need, and spent here without any call.
//!
//! The quota of a key is one GCRA in Redis, as with scope `redis`, from which each gateway takes what it needs for the next
//! part of a second (a lease). Over all gateways together no more passes than the policy's rate `r` and burst `B` allow, in
//! any span of time, exactly; and a key that is busy costs a call in hundreds of requests.
//!
//! **Why never more.** A token counts in Redis when it is taken, and may be spent until `τ` later (`Terms::life`). What is
//! spent within `[s, t]` was therefore taken within `[s − τ, t]`. A GCRA with burst `B'` lets at most `B' + (t − s + τ) × r`
//! be taken in that span; with `B' = B − ⌈r × τ⌉` these are at most `B + (t − s) × r`, which is what conforms to `r` and `B`.
//! A gateway counts a lease's life from *before* it sent the call, on its own monotonic clock, so no two clocks are ever
//! compared, and it stops a little early (`Terms::spendable`), so that clocks may differ in rate by more than a per cent. The
//! request for which a call is made is spent by the call itself, at the moment when Redis takes it, as with scope `redis`.
//!
//! **What is given back.** To take back `n` tokens from the TAT as if they had never been taken is *not* safe: some of what
//! they added may have run off since, and who gives and takes in turns would make Redis forget leases that are still out. Let
//! `G` be what Redis counts as used, and `S` what it would be if it had been asked only for tokens that are spent in the end. A
//! return of `n` tokens of age `a` is therefore worth `n × interval − a`, if that is more than nothing: then
//! `G − S ≥ Σ max(0, nᵢ × intervalᵢ − aᵢ)`, over all that will be given back, always holds. (Taking adds the same to both sides.
//! While `S` is above zero the left side stands still and the right one falls; while `S` is zero both fall, the right one at
//! least as fast, or it is zero already. Giving back takes from the left what it takes from the right.) So `G ≥ S`, and what is
//! spent conforms. Tokens leave the gateway's own hands before they are given back, and a return is sent once at most: one
//! that is lost is a waste, no more. One that comes late is older, by Redis' clock, and so worth less.
//!
//! **What is wasted**: the tokens of a gateway that dies, of an answer that is lost (one that is only late goes back), and of a
//! lease that is not spent in time. Each is one lease: what the key needed within some `τ` at that gateway.
//!
//! **When clocks are set.** A step back of Redis' clock only makes keys wait. A step forward by `Δ` adds `Δ × r` to what may
//! be taken, as with scope `redis`, and since leases are out, it is felt up to `τ` later. Should it be set back while a return
//! is under way, that return may be worth more by what it was under way.

mod batch;
mod demand;
mod holding;
mod metrics;
mod pace;
mod script;
mod table;
mod terms;

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod model;

use super::gcra::Gcra;

pub use self::batch::Stamp;
pub(super) use self::metrics::LeaseMetrics;
pub(super) use self::table::{AtOnce, LeaseTable};

/// How many of a quota's requests may come at once if it is leased; none where nothing of it can be.
pub(super) fn burst_of(gcra: Gcra) -> Option<u64> {
    let terms = terms::Terms::of(gcra);
    terms.can_be_leased().then_some(terms.burst)
}

/// Whether it saves calls to lease this quota.
pub(super) fn is_of_use(gcra: Gcra) -> bool {
    terms::Terms::of(gcra).are_of_use()
}
