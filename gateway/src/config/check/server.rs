//! Checks the blocks `server` and `access_log`.

use std::net::SocketAddr;
use std::time::Duration;

use super::{HOUR, is_deadline, size_is_within, span_is_within};
use crate::config::file::{ForwardedHeader, GatewayFile, ServerFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::ByteSize;

/// The largest body that any route may take.
pub(super) const MOST_BODY: ByteSize = ByteSize::from_kib(64 << 20);

/// Each has its own socket; and each is compared with every other.
const MOST_ADDRESSES: usize = 64;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let top = KeyPath::default();
    check_server(&file.server, &top.key("server"), report);
    if file.access_log.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        report.problem(&top.key("access_log").key("path"), "the path is empty; leave the key out for standard output");
    }
}

fn check_server(server: &ServerFile, at: &KeyPath, report: &mut Report<'_>) {
    let listen = at.key("listen");
    if server.listen.is_empty() {
        report.problem(&listen, "there is no address to listen on");
    }
    let of_tls = server.tls.as_ref().map_or(0, |tls| tls.listen.len());
    if server.listen.len() + server.h2c_listen.len() + of_tls > MOST_ADDRESSES {
        report.problem(&listen, format!("there are more than {MOST_ADDRESSES} addresses"));
    }
    let trusted = at.key("trusted_proxies");
    for (index, _) in server.trusted_proxies.iter().enumerate().filter(|(_, network)| network.is_everybody()) {
        report.warning(&trusted.index(index), "everybody is believed here, whatever address they say they have");
    }
    if server.trusted_proxies.is_empty() && server.forwarded_header != ForwardedHeader::Either {
        report.problem(&at.key("forwarded_header"), "nobody is believed; name the proxies under `trusted_proxies`");
    }
    let over_tls = at.key("tls").key("listen");
    let tls_addrs = server.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    if server.tls.is_some() && tls_addrs.is_empty() {
        report.problem(&over_tls, "there is no address to listen on");
    }
    let plain = server.listen.iter().enumerate().map(|(index, addr)| (listen.index(index), addr));
    let h2c = at.key("h2c_listen");
    let addrs: Vec<(KeyPath, &SocketAddr)> = plain
        .chain(server.h2c_listen.iter().enumerate().map(|(index, addr)| (h2c.index(index), addr)))
        .chain(tls_addrs.iter().enumerate().map(|(index, addr)| (over_tls.index(index), addr)))
        .take(MOST_ADDRESSES)
        .collect();
    for (index, (here, addr)) in addrs.iter().enumerate() {
        let is_taken = |(other, taken): &&(KeyPath, &SocketAddr)| report.is_written(other) && overlap(addr, taken);
        if let Some((_, taken)) = addrs.iter().take(index).find(is_taken) {
            report.problem(here, format!("{addr} cannot be listened on beside {taken}"));
        }
        if report.is_written(&at.key("admin")) && overlap(addr, &server.admin) {
            report.problem(here, format!("{addr} is the admin address; it must not be where clients connect"));
        }
    }
    // A grace of nothing is a choice: stop at once.
    span_is_within(server.shutdown_grace, Duration::ZERO, HOUR, &at.key("shutdown_grace"), report);
    span_is_within(server.shutdown_timeout, Duration::ZERO, HOUR, &at.key("shutdown_timeout"), report);
    for (span, key) in [
        (server.keepalive_timeout, "keepalive_timeout"),
        (server.header_timeout, "header_timeout"),
        (server.body_timeout, "body_timeout"),
        (server.read_timeout, "read_timeout"),
        (server.write_timeout, "write_timeout"),
    ] {
        is_deadline(span, &at.key(key), report);
    }
    size_is_within(server.max_body, ByteSize::from_kib(0), MOST_BODY, &at.key("max_body"), report);
    size_is_within(server.max_uri, ByteSize::from_kib(1), ByteSize::from_kib(64), &at.key("max_uri"), report);
    // Pingora itself takes no more than about 1 MiB.
    size_is_within(server.max_headers, ByteSize::from_kib(1), ByteSize::from_kib(1024), &at.key("max_headers"), report);
}

/// Whether one socket can be bound and then the other cannot. Port 0 is a free port, each time another.
fn overlap(a: &SocketAddr, b: &SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || any)
}
