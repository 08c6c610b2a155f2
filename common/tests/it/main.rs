//! What only a running store can show.

mod contract;
mod durability;
mod embedded;
mod faults;
mod http;
mod roles;
mod samples;
mod stored_items;
