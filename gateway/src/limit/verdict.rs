//! What a policy answers.

use std::time::Duration;

use super::lease::Stamp;

/// A policy's answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request may go on.
    pub outcome: Outcome,
    /// What is left of the quota; none when nobody counted.
    pub quota: Option<Quota>,
    /// Who counted, or which failure mode stood in.
    pub answered_by: AnsweredBy,
    /// When Redis has counted it, by Redis' clock, in microseconds since the epoch; none if Redis has not.
    pub at: Option<u64>,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may.
    Allowed,
    /// The quota is used up (429).
    Refused {
        /// When one request would fit again, if no other came in between; never zero.
        retry_after: Duration,
    },
    /// Redis does not answer and the policy fails closed (503).
    Unavailable,
}

/// The state of a key's quota after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The most that `remaining` can be.
    pub limit: u64,
    /// Requests that would be allowed at this moment.
    pub remaining: u64,
    /// Until the whole quota is there again (`gcra`; and `sliding_window`, where that is when the last request leaves the window),
    /// or until the present window ends (`sketch`). Of requests in flight nobody knows, and it is a second.
    pub reset: Duration,
}

/// Who counted, or which failure mode stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// Redis, for all gateways.
    Redis,
    /// Redis, for all gateways: with this lease, or the lack of one.
    Lease(Stamp),
    /// This gateway for itself, by the policy's scope.
    Local,
    /// This gateway for itself, its share of the limit: Redis does not answer.
    LocalShare {
        /// Among so many it was shared.
        gateways: u32,
    },
    /// Nobody: Redis does not answer and the policy fails open.
    Open,
    /// Nobody: Redis does not answer and the policy fails closed.
    Closed,
}

impl AnsweredBy {
    /// Whether what was taken can be given back here.
    pub(super) const fn is_here(self) -> bool {
        matches!(self, Self::Local | Self::LocalShare { .. } | Self::Lease(_))
    }

    /// What logs and metrics call the failure mode that stood in for Redis, if one did.
    #[must_use]
    pub const fn failure_mode(self) -> Option<&'static str> {
        match self {
            Self::Redis | Self::Lease(_) | Self::Local => None,
            Self::LocalShare { .. } => Some("local_share"),
            Self::Open => Some("open"),
            Self::Closed => Some("closed"),
        }
    }
}

/// What one request takes, and of how much: a policy's limit may be another for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// As how many requests it counts.
    pub cost: u32,
    /// Requests per window.
    pub limit: u32,
}

/// What became of one request at one moment, in numbers; times in microseconds from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) allowed: bool,
    pub(super) remaining: u64,
    /// Until the whole quota is there.
    pub(super) reset: u64,
    /// Until the request would fit; 0 if it did.
    pub(super) wait: u64,
}

/// What something that counts says: the two halves of a [`Verdict`] that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) outcome: Outcome,
    pub(super) quota: Quota,
}

impl Decision {
    /// The same in words, of a quota of at most `limit`.
    pub(super) const fn counted(self, limit: u64) -> Counted {
        let outcome = match self.allowed {
            true => Outcome::Allowed,
            false => Outcome::Refused { retry_after: Duration::from_micros(self.wait) },
        };
        Counted { outcome, quota: self.quota(limit) }
    }

    /// What it leaves of that quota.
    pub(super) const fn quota(self, limit: u64) -> Quota {
        Quota { limit, remaining: self.remaining, reset: Duration::from_micros(self.reset) }
    }
}

impl Counted {
    pub(super) const fn by(self, answered_by: AnsweredBy) -> Verdict {
        Verdict { outcome: self.outcome, quota: Some(self.quota), answered_by, at: None }
    }
}
