//! What the gateway must make of any bytes at all.
//!
//! One function for each target of `./dev.sh fuzz`, or of `cargo fuzz` (see `Cargo.toml`); it panics where the gateway breaks a
//! promise. The tests run them over the tables of hostile requests, so that what was found once is tried on every change.

#![forbid(unsafe_code)]

mod chunks;
mod config;
mod heads;
mod paths;
mod requests;
mod routes;
mod seeds;
mod tokens;

pub use chunks::chunks;
pub use config::config;
pub use heads::heads;
pub use paths::paths;
pub use requests::requests;
pub use routes::routes;
pub use seeds::plant;
pub use tokens::tokens;
