//! The whole system as its users meet it: real processes, real sockets, a real Redis, the embedded DynamoDB.

mod all_in_one;
mod config_reload;
mod identity;
mod identity_tokens;
mod instances;
mod purchases;
mod quotas;
mod revocation;
mod start;
mod support;
mod tour;
