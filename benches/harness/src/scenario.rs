//! What is measured: the work a proxy does, over which connections, with which bodies.

use crate::tokens::Algorithm;

/// One row of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// By which `--scenario` finds it.
    pub(crate) name: &'static str,
    /// What the table says.
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    pub(crate) connections: usize,
    pub(crate) exchange: Exchange,
    /// Whether each request comes on a connection of its own.
    pub(crate) new_connections: bool,
    pub(crate) tokens: Tokens,
    pub(crate) transport: Transport,
}

/// What is done with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Routed and passed on.
    Plain,
    /// Route, token, limit per client address, request id, metrics, JSON access log.
    Full { algorithm: Algorithm, limits: Limits },
}

/// Where requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    Local,
    Redis,
}

/// What goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    Get128,
    Get16k,
    Get1m,
    Upload64k,
}

impl Exchange {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Get128 | Self::Get16k | Self::Get1m => "GET",
            Self::Upload64k => "POST",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Get128 => "/128",
            Self::Get16k => "/16k",
            Self::Get1m => "/1m",
            Self::Upload64k => "/upload",
        }
    }

    /// Bytes of the request's body.
    pub(crate) fn sent(self) -> usize {
        match self {
            Self::Get128 | Self::Get16k | Self::Get1m => 0,
            Self::Upload64k => 64 * 1024,
        }
    }
}

/// Which tokens clients have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// One, so that whatever a proxy remembers of it helps.
    One,
    /// As many as `--tokens` says, taking turns.
    Many,
    /// One that the gateway is told not to remember.
    NeverRemembered,
}

/// What carries the requests. TLS is 1.3 with an ECDSA P-256 certificate, AES-256-GCM and X25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http1,
    /// HTTP/1.1 over TLS; every handshake is a whole one.
    Tls,
    /// HTTP/1.1 over TLS; each connection takes up the session of the one before.
    TlsResumed,
    /// HTTP/2 over TLS, on each connection so many requests at once.
    Http2 {
        streams: usize,
    },
}

/// Every scenario, in the table's order.
pub(crate) fn all() -> Vec<Scenario> {
    let plain = Scenario {
        name: "plain",
        title: "plain",
        work: Work::Plain,
        connections: 64,
        exchange: Exchange::Get128,
        new_connections: false,
        tokens: Tokens::One,
        transport: Transport::Http1,
    };
    let full = |name, title, algorithm| Scenario { name, title, work: local(algorithm), ..plain.clone() };
    let many = |name, title, algorithm| Scenario { tokens: Tokens::Many, ..full(name, title, algorithm) };
    let uncached =
        |name, title, algorithm| Scenario { tokens: Tokens::NeverRemembered, ..full(name, title, algorithm) };
    let hs256 = full("hs256", "full chain, HS256", Algorithm::Hs256);
    let rs256 = full("rs256", "full chain, RS256", Algorithm::Rs256);
    let redis = Work::Full { algorithm: Algorithm::Hs256, limits: Limits::Redis };
    vec![
        plain.clone(),
        Scenario { name: "plain-1", title: "plain, 1 connection", connections: 1, ..plain.clone() },
        Scenario { name: "plain-1000", title: "plain, 1,000 connections", connections: 1000, ..plain.clone() },
        Scenario { name: "plain-16k", title: "plain, 16 KiB replies", exchange: Exchange::Get16k, ..plain.clone() },
        Scenario { name: "plain-1m", title: "plain, 1 MiB replies", exchange: Exchange::Get1m, ..plain.clone() },
        Scenario {
            name: "plain-upload",
            title: "plain, 64 KiB uploads",
            exchange: Exchange::Upload64k,
            ..plain.clone()
        },
        Scenario { name: "plain-new", title: "plain, new connections", new_connections: true, ..plain.clone() },
        hs256.clone(),
        uncached("hs256-uncached", "full chain, HS256, no token cache", Algorithm::Hs256),
        rs256.clone(),
        many("rs256-many", "full chain, RS256, many tokens", Algorithm::Rs256),
        uncached("rs256-uncached", "full chain, RS256, no token cache", Algorithm::Rs256),
        full("es256", "full chain, ES256", Algorithm::Es256),
        uncached("es256-uncached", "full chain, ES256, no token cache", Algorithm::Es256),
        full("eddsa", "full chain, EdDSA", Algorithm::EdDsa),
        Scenario { name: "rs256-1", title: "full chain, RS256, 1 connection", connections: 1, ..rs256.clone() },
        Scenario {
            name: "rs256-1000",
            title: "full chain, RS256, 1,000 connections",
            connections: 1000,
            ..rs256.clone()
        },
        Scenario {
            name: "rs256-upload",
            title: "full chain, RS256, 64 KiB uploads",
            exchange: Exchange::Upload64k,
            ..rs256
        },
        Scenario { name: "redis", title: "full chain, HS256, limits in Redis", work: redis, ..hs256 },
        Scenario { name: "tls", title: "TLS 1.3", transport: Transport::Tls, ..plain.clone() },
        Scenario {
            name: "tls-new",
            title: "TLS 1.3, new connections",
            transport: Transport::Tls,
            new_connections: true,
            ..plain.clone()
        },
        Scenario {
            name: "tls-resumed",
            title: "TLS 1.3, new connections, resumed",
            transport: Transport::TlsResumed,
            new_connections: true,
            ..plain.clone()
        },
        Scenario {
            name: "h2",
            title: "HTTP/2 over TLS 1.3, 8 connections of 8 streams",
            connections: 8,
            transport: Transport::Http2 { streams: 8 },
            ..plain
        },
    ]
}

fn local(algorithm: Algorithm) -> Work {
    Work::Full { algorithm, limits: Limits::Local }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Transport, Work, all};

    #[test]
    fn names_tell_scenarios_apart() {
        let names: HashSet<_> = all().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn tls_comes_with_plain_work_because_that_is_what_the_peers_configurations_do() {
        let tls = |work| all().iter().any(|scenario| scenario.transport != Transport::Http1 && scenario.work == work);
        assert!(tls(Work::Plain) && all().iter().all(|one| one.work == Work::Plain || !tls(one.work)));
    }
}
