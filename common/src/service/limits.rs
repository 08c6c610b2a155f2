//! How much a service takes on.

use std::num::NonZeroUsize;

use crate::config::Reader;

/// What a service takes on at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections at once; more wait in the system's queue.
    pub connections: NonZeroUsize,
}

impl Limits {
    /// Reads `BODY_LIMIT_BYTES` and `MAX_CONNECTIONS`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let defaults = Self::default();
        Self {
            body_bytes: reader.parsed("BODY_LIMIT_BYTES", defaults.body_bytes),
            connections: reader.parsed("MAX_CONNECTIONS", defaults.connections),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 64 * 1024, connections: const { NonZeroUsize::new(4096).expect("not zero") } }
    }
}
