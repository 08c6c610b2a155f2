//! Asks the system for as many open files as the connections need.
//!
//! Shells start programs with room for about a thousand, and let them ask for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything but connections: listeners, logs, the runtimes, the link to Redis, probes.
const BESIDE_CONNECTIONS: u64 = 256;

/// Raises the limit of open files to what `connections` client connections need, each with one to an upstream, as far as
/// the system allows. Says in the log how far that is when it is not enough.
pub(super) fn make_room(connections: u32) {
    let wanted = 2 * u64::from(connections) + BESIDE_CONNECTIONS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let granted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(granted), maximum });
    let granted = if raised.is_ok() { Some(granted) } else { current };
    if let Some(granted) = granted.filter(|granted| *granted < wanted) {
        tracing::warn!(
            "server.max_connections asks for {wanted} open files and the system allows {granted}: raise its limit \
             (ulimit -n), or lower max_connections"
        );
    }
}
