//! Accounts: register, log in, profile, log out.
//!
//! A request goes from `api` (every route) through `accounts` (what each does) to the store. The library is here
//! for the all-in-one and the tests; `main.rs` is the process. What is
//! revoked is told to others by `revocations`.

mod accounts;
mod api;
mod config;
mod revocations;
mod start;

pub use config::{Config, VARIABLES};
pub use start::{StartError, start};
