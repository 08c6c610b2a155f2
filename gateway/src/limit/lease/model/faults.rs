//! What can go wrong in a world, and what can be left out of the protocol.

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) lost_per_mille: u32,
    pub(super) late_per_mille: u32,
    /// By which the clocks of gateways may differ in rate from Redis'.
    pub(super) drift_ppm: i64,
    pub(super) gateways_die: bool,
    /// So many of those that pass turn out not to have been spent.
    pub(super) unspent_per_mille: u32,
    pub(super) clock_is_set: bool,
}

/// What is left out of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    BurstIsWhole,
}

impl Faults {
    pub(super) const fn all() -> Self {
        Self {
            lost_per_mille: 30,
            late_per_mille: 60,
            drift_ppm: 15_000,
            gateways_die: true,
            unspent_per_mille: 20,
            clock_is_set: true,
        }
    }

    pub(super) const fn none() -> Self {
        Self {
            lost_per_mille: 0,
            late_per_mille: 0,
            drift_ppm: 0,
            gateways_die: false,
            unspent_per_mille: 0,
            clock_is_set: false,
        }
    }
}
