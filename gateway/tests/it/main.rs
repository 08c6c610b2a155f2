//! The gateway as its users meet it: over real sockets, in front of real servers.

mod addresses;
mod admission;
mod compression;
mod credentials;
mod expressions;
mod failover;
mod forward_auth;
mod forwarding;
mod hostile;
mod http2;
mod introspection;
mod jwks;
mod lifecycle;
mod matching;
mod mutual_tls;
mod pki;
mod process;
mod retirement;
mod revocation;
mod shaping;
mod split;
mod strictness;
mod support;
mod tls;
mod tokens;
mod websockets;
