//! The inventory service: a catalogue of assets that anybody may read, and orders of those who are logged in.
//!
//! A request can be followed in `api.rs` and one use-case file: `catalogue.rs` or `orders.rs`. Beside the requests runs
//! `prices.rs`, which keeps the catalogue's prices up to date.

mod api;
mod catalogue;
mod coingecko;
pub mod config;
pub mod cursor;
mod orders;
mod prices;
mod seed;
mod start;

pub use config::{Config, VARIABLES};
pub use start::{StartError, start};
