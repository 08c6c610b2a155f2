//! Checks the pools under `upstreams`.

use std::collections::HashSet;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::{DAY, HOUR, is_deadline, may_be_never, span_is_within};
use crate::config::file::{GatewayFile, HealthCheckFile, UpstreamFile, UpstreamProtocol};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::Target;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    for (name, upstream) in &file.upstreams {
        let at = KeyPath::default().key("upstreams").key(name);
        check_targets(upstream, &at.key("targets"), report);
        check_protocol(upstream, &at, report);
        let timeouts = &upstream.timeouts;
        for (span, key) in
            [(timeouts.connect, "connect"), (timeouts.read, "read"), (timeouts.write, "write"), (timeouts.idle, "idle")]
        {
            is_deadline(span, &at.key("timeouts").key(key), report);
        }
        span_is_within(timeouts.tunnel, Duration::from_millis(1), DAY, &at.key("timeouts").key("tunnel"), report);
        if let Some(health_check) = &upstream.health_check {
            check_health_check(health_check, &at.key("health_check"), report);
        }
    }
}

fn check_targets(upstream: &UpstreamFile, at: &KeyPath, report: &mut Report<'_>) {
    if upstream.targets.is_empty() {
        report.problem(at, "an upstream needs at least one target");
    }
    let mut seen: HashSet<&Target> = HashSet::new();
    for (index, targets) in upstream.targets.iter().enumerate() {
        let here = at.index(index);
        let own = targets.iter().filter(|_| report.is_written(&here));
        if own.filter(|target| !seen.insert(target)).count() > 0 {
            report.problem(&here, format!("`{}` has a target that stands in this list already", report.shown(&here)));
        }
    }
}

fn check_protocol(upstream: &UpstreamFile, at: &KeyPath, report: &mut Report<'_>) {
    let protocol = at.key("protocol");
    let (mut targets, targets_at) = (upstream.all_targets().peekable(), at.key("targets"));
    let is_plain = targets.peek().is_some() && targets.all(|target| !target.tls) && report.is_written(&targets_at);
    if upstream.protocol == UpstreamProtocol::Auto && is_plain {
        report.problem(&protocol, "no target speaks TLS, in whose handshake it would choose; write `http1` or `http2`");
    }
    if let Some(interval) = upstream.ping_interval {
        may_be_never(interval, Duration::from_secs(1), HOUR, &at.key("ping_interval"), report);
    }
    for (is_there, key, problem) in [
        (upstream.max_concurrent_streams.is_some(), "max_concurrent_streams", "HTTP/1.1 has no streams"),
        (upstream.ping_interval.is_some(), "ping_interval", "HTTP/1.1 has no pings"),
    ] {
        if upstream.protocol == UpstreamProtocol::Http1 && is_there && report.is_written(&protocol) {
            let message = format!("{problem}; add `protocol: http2` or `auto`, or leave this out");
            report.problem(&at.key(key), message);
        }
    }
}

fn check_health_check(health_check: &HealthCheckFile, at: &KeyPath, report: &mut Report<'_>) {
    let path = &health_check.path;
    if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
        report
            .problem(&at.key("path"), format!("`{}` is no path; write it like /health", report.shown(&at.key("path"))));
    }
    let (interval, timeout) = (at.key("interval"), at.key("timeout"));
    is_deadline(health_check.interval, &interval, report);
    is_deadline(health_check.timeout, &timeout, report);
    if health_check.timeout > health_check.interval && report.is_written(&interval) {
        report.problem(
            &timeout,
            format!(
                "a probe may take {} and the next one begins after {}; make `timeout` at most `interval`",
                health_check.timeout, health_check.interval
            ),
        );
    }
}
