//! The gateway as its users meet it: over real sockets, in front of real servers.

mod addresses;
mod admission;
mod compression;
mod credentials;
mod failover;
mod forwarding;
mod identity_tokens;
mod jwks;
mod lifecycle;
mod matching;
mod process;
mod retirement;
mod revocation;
mod shaping;
mod strictness;
mod support;
mod tls;
mod tokens;
