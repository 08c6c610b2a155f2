//! The gateway as its users meet it: over real sockets, in front of real servers.

mod addresses;
mod admission;
mod compression;
mod credentials;
mod failover;
mod forwarding;
mod grpc;
mod h2c;
mod http2_abuse;
mod http2_upstreams;
mod jwks;
mod lifecycle;
mod matching;
mod pipelining;
mod process;
mod retirement;
mod shaping;
mod streaming;
mod strictness;
mod support;
mod tls;
mod tokens;
