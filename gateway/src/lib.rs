//! A programmable edge gateway on Cloudflare's Pingora.

pub mod config;
pub mod limit;
