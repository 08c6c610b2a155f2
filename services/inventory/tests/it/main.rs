//! The inventory service over real sockets, on an embedded store.

mod coingecko;
mod harness;
mod listing;
mod operations;
mod ordering;
mod pricing;
