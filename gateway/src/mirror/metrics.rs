//! What has become of copies.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, Result};

/// The handles that copies of one route's requests are counted with.
#[derive(Clone)]
pub(crate) struct MirrorMetrics {
    all: IntCounterVec,
    /// Answered, whatever the answer was.
    pub(super) sent: IntCounter,
    /// No connection, or a broken one.
    pub(super) failed: IntCounter,
    /// Not whole, or not answered, in time.
    pub(super) timed_out: IntCounter,
    /// Not made: there were as many as there may be.
    pub(super) no_room: IntCounter,
    /// Not sent: the body is larger than it may be.
    pub(super) too_large: IntCounter,
}

impl MirrorMetrics {
    /// The handles of the route `name`, at zero.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let opts = Opts::new("gateway_mirrored_requests_total", "Copies of requests, by route and what became of them");
        let all = IntCounterVec::new(opts.const_label("route", name), &["outcome"])?;
        let of = |outcome: &str| all.with_label_values(&[outcome]);
        Ok(Self {
            sent: of("sent"),
            failed: of("failed"),
            timed_out: of("timed_out"),
            no_room: of("no_room"),
            too_large: of("too_large"),
            all,
        })
    }

    /// Puts its series into `registry`.
    ///
    /// # Errors
    /// When it has the series of a route of this name already.
    pub(crate) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.all.clone()))
    }
}
