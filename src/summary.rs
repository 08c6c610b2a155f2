//! What a newcomer is told once everything runs: what is where, and three lines to try.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What runs where.
pub(crate) struct Summary {
    /// Where clients connect.
    pub(crate) gateway: SocketAddr,
    /// Where metrics and state are shown.
    pub(crate) admin: SocketAddr,
    /// Where the user service listens.
    pub(crate) user_service: SocketAddr,
    /// Where the inventory service listens.
    pub(crate) inventory_service: SocketAddr,
    /// Which DynamoDB is used.
    pub(crate) store: String,
    /// Where the gateway's configuration comes from.
    pub(crate) config: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [gateway, admin, user, inventory] =
            [self.gateway, self.admin, self.user_service, self.inventory_service].map(url);
        writeln!(f, "order-processor {} runs; Ctrl-C stops it", env!("CARGO_PKG_VERSION"))?;
        writeln!(f)?;
        writeln!(f, "  gateway            {gateway}")?;
        writeln!(f, "  admin              {admin}/metrics")?;
        writeln!(f, "  user service       {user}/docs")?;
        writeln!(f, "  inventory service  {inventory}/docs")?;
        writeln!(f, "  store              {}", self.store)?;
        writeln!(f, "  configuration      {}", self.config)?;
        writeln!(f)?;
        writeln!(f, "Try it:")?;
        writeln!(f)?;
        for line in tour(&gateway) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// Registers, logs in and orders through the gateway at `base`. The same lines stand in the README.
fn tour(base: &str) -> [String; 3] {
    const JSON: &str = "-H 'Content-Type: application/json'";
    [
        format!(
            r#"curl -sS {base}/register {JSON} -d '{{"username": "ada", "email": "ada@example.com", "password": "correct horse battery", "first_name": "Ada", "last_name": "Lovelace"}}'"#
        ),
        format!(
            r#"TOKEN=$(curl -sS {base}/login {JSON} -d '{{"username": "ada", "password": "correct horse battery"}}' | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')"#
        ),
        format!(
            r#"curl -sS {base}/inventory/orders -H "Authorization: Bearer $TOKEN" {JSON} -d '{{"asset_id": "bitcoin", "quantity": "0.5"}}'"#
        ),
    ]
}

/// An address as a person on this machine types it.
fn url(addr: SocketAddr) -> String {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => format!("http://localhost:{}", addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("http://localhost:{}", addr.port()),
        _ => format!("http://{addr}"),
    }
}

/// An address at which this machine reaches what listens on `addr`.
pub(crate) fn reachable(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_same_tour() {
        let readme = include_str!("../README.md");
        for line in tour("http://localhost:8080") {
            assert!(readme.lines().any(|shown| shown == line), "the README lacks: {line}");
        }
    }

    #[test]
    fn unspecified_addresses_are_shown_and_reached_on_this_machine() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(url(addr("0.0.0.0:8080")), "http://localhost:8080");
        assert_eq!(url(addr("[::]:8080")), "http://localhost:8080");
        assert_eq!(url(addr("10.0.0.7:8080")), "http://10.0.0.7:8080");
        assert_eq!(reachable(addr("0.0.0.0:8000")), "http://127.0.0.1:8000");
        assert_eq!(reachable(addr("[::]:8000")), "http://[::1]:8000");
    }
}
