//! Which port a test server listens on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// A TCP port of the loopback address that was free a moment ago.
///
/// Another process may take it before the caller does: whoever binds it must be ready to ask for another.
///
/// # Errors
/// When the system has no port left.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    Ok(listener.local_addr()?.port())
}
