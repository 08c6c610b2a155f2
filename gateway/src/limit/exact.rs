//! What counts exactly, here or in Redis.

use prometheus::IntCounter;

use super::gcra::Quotas;
use super::here::Here;
use super::local::LocalTable;
use super::log::{LogTable, Window};
use super::script::CountsBy;

/// The numbers of one policy that is counted exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exact {
    Gcra(Quotas),
    SlidingWindow(Window),
}

impl Exact {
    /// What counts so in this process, with room for `max_keys` keys.
    pub(super) fn table(self, max_keys: usize, no_room: &IntCounter) -> Here {
        match self {
            Self::Gcra(quotas) => Here::Gcra(LocalTable::new(quotas, max_keys, no_room.clone())),
            Self::SlidingWindow(window) => Here::Log(LogTable::new(window, max_keys, no_room.clone())),
        }
    }

    /// What Redis is told of a request whose limit is `limit`.
    pub(super) fn counts_by(self, limit: u32) -> CountsBy {
        match self {
            Self::Gcra(quotas) => CountsBy { algorithm: "gcra", numbers: quotas.of(limit).numbers() },
            Self::SlidingWindow(window) => CountsBy { algorithm: "sliding_window", numbers: window.numbers(limit) },
        }
    }

    /// The most that there can be for a request whose limit is `limit`.
    pub(super) fn most(self, limit: u32) -> u64 {
        match self {
            Self::Gcra(quotas) => quotas.of(limit).burst(),
            Self::SlidingWindow(_) => u64::from(limit),
        }
    }
}
