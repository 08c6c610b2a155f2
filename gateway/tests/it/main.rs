//! The gateway as its users meet it: over real sockets, in front of real servers.

mod admission;
mod credentials;
mod failover;
mod forwarding;
mod jwks;
mod lifecycle;
mod process;
mod retirement;
mod strictness;
mod support;
mod tls;
mod tokens;
