//! The gateway as its users meet it: over real sockets, in front of real servers.

mod addresses;
mod admission;
mod compression;
mod credentials;
mod expressions;
mod failover;
mod forwarding;
mod jwks;
mod lifecycle;
mod matching;
mod mirroring;
mod paths;
mod process;
mod retirement;
mod shaping;
mod split;
mod strictness;
mod support;
mod tls;
mod tokens;
