//! The user service over real sockets, on an embedded store of each test's own.

mod bad_input;
mod contract;
mod failures;
mod flow;
mod harness;
mod load;
mod process;
mod revocations;
