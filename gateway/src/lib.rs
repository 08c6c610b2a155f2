//! A programmable edge gateway on Cloudflare's Pingora.
//!
//! The gateway is a library first: its binary reads two flags and calls [`start`]. To follow a request, read `proxy.rs`
//! (its phases, in order) and `router.rs`. To build a gateway with steps of your own, implement
//! [`middleware::Middleware`] and pass it in [`Options::middleware`]; [`Rehearsal`] is for its tests.

#[cfg(test)]
#[macro_use]
mod test_keys;

mod access_log;
mod admin;
mod caller;
mod claim;
mod client_addr;
pub mod config;
mod cookies;
mod credential;
pub mod ctx;
mod expression;
mod forwarded;
#[doc(hidden)]
pub mod fuzzing;
mod heads;
mod host;
mod http2;
mod https;
mod last_call;
pub mod limit;
mod metrics;
pub mod middleware;
mod mirror;
pub mod path;
mod peer_certificate;
mod proxy;
mod query;
mod rehearsal;
pub mod reply;
mod revocation;
pub mod router;
mod screen;
mod server;
mod snapshot;
mod split;
mod template;
mod tls;
mod upstream;

pub use rehearsal::Rehearsal;
pub use server::{ConfigSource, Options, ReloadError, Running, StartError, start};
