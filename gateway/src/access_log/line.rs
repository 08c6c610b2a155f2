//! What is written of one request, and how it becomes JSON.
//!
//! By hand, for every request pays for it: what is known to need no escapes is copied, and numbers are whole ones.

use std::time::Duration;

use super::Timestamp;
use crate::client_addr::{self, ClientAddr};

/// What is written of one request. Never queries, headers or bodies: they hold secrets.
pub(crate) struct Line<'a> {
    /// When its head was read, RFC 3339.
    pub timestamp: Timestamp,
    /// By which it is found again in the services' logs: visible characters, none of them to be escaped.
    pub request_id: &'a str,
    /// Who sent it.
    pub client: ClientAddr,
    /// Its method, a token (RFC 9110, section 9.1), in which nothing is to be escaped.
    pub method: &'a str,
    /// The host it named.
    pub host: &'a str,
    /// Its path in normal form, or as it came when it has none.
    pub path: &'a str,
    /// The route that took it.
    pub route: &'a str,
    /// What was answered; none when the client was gone first.
    pub status: Option<u16>,
    /// Why the gateway answered itself.
    pub rejected: Option<&'static str>,
    /// For which of the causes that this has.
    pub reason: Option<&'static str>,
    /// Which rule has not let it pass.
    pub rule: Option<&'a str>,
    /// The rate limit that refused it.
    pub limited_by: Option<&'a str>,
    /// What answered for a rate limit in the place of Redis.
    pub limit_mode: Option<&'static str>,
    /// The rate limit that would have refused it, if it did more than watch.
    pub would_be_limited_by: Option<&'a str>,
    /// Who sent it, as far as that was proven: the subject of a token or a password, the program of a key.
    pub user: Option<&'a str>,
    /// The upstream that was chosen among several.
    pub upstream: Option<&'a str>,
    /// The target that was asked last.
    pub target: Option<&'a str>,
    /// How often another target was tried.
    pub retries: usize,
    /// How long the last connection took to be made that was made for it.
    pub connect: Option<Duration>,
    /// From there, or from when a connection was at hand, to the head of the upstream's answer.
    pub upstream_time: Option<Duration>,
    /// Body bytes that came.
    pub bytes_in: u64,
    /// Body bytes that went.
    pub bytes_out: u64,
    /// From its head to its last byte out.
    pub duration: Duration,
    /// What went wrong between the gateway and either side.
    pub error: Option<String>,
}

impl Line<'_> {
    /// Puts the line behind `text`, as a JSON object without a line end.
    pub(super) fn write_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"{\"timestamp\":\"");
        text.extend_from_slice(self.timestamp.as_str().as_bytes());
        text.extend_from_slice(b"\",\"request_id\":");
        plain(self.request_id, text);
        text.extend_from_slice(b",\"client\":\"");
        client_addr::write(self.client.get(), text);
        text.extend_from_slice(b"\",\"method\":");
        plain(self.method, text);
        text.extend_from_slice(b",\"host\":");
        string(self.host, text);
        text.extend_from_slice(b",\"path\":");
        string(self.path, text);
        text.extend_from_slice(b",\"route\":");
        string(self.route, text);
        text.extend_from_slice(b",\"status\":");
        match self.status {
            Some(status) => number(u64::from(status), text),
            None => text.extend_from_slice(b"null"),
        }
        for (key, value) in [
            (&b",\"rejected\":"[..], self.rejected),
            (b",\"reason\":", self.reason),
            (b",\"rule\":", self.rule),
            (b",\"limited_by\":", self.limited_by),
            (b",\"limit_mode\":", self.limit_mode),
            (b",\"would_be_limited_by\":", self.would_be_limited_by),
            (b",\"user\":", self.user),
            (b",\"upstream\":", self.upstream),
            (b",\"target\":", self.target),
        ] {
            optional(key, value, text);
        }
        text.extend_from_slice(b",\"retries\":");
        number(self.retries as u64, text);
        for (key, took) in [(&b",\"connect_ms\":"[..], self.connect), (b",\"upstream_ms\":", self.upstream_time)] {
            if let Some(took) = took {
                text.extend_from_slice(key);
                millis(took, text);
            }
        }
        text.extend_from_slice(b",\"bytes_in\":");
        number(self.bytes_in, text);
        text.extend_from_slice(b",\"bytes_out\":");
        number(self.bytes_out, text);
        text.extend_from_slice(b",\"duration_ms\":");
        millis(self.duration, text);
        optional(b",\"error\":", self.error.as_deref(), text);
        text.push(b'}');
    }
}

fn optional(key: &[u8], value: Option<&str>, text: &mut Vec<u8>) {
    if let Some(value) = value {
        text.extend_from_slice(key);
        string(value, text);
    }
}

/// A JSON string (RFC 8259, section 7). Hardly any value has something to escape.
fn string(value: &str, text: &mut Vec<u8>) {
    // Without short cuts, so that the processor looks at many bytes at once.
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if value.bytes().fold(false, |any, byte| any | is_special(byte)) {
        text.push(b'"');
        value.bytes().for_each(|byte| if is_special(byte) { escape(byte, text) } else { text.push(byte) });
        text.push(b'"');
    } else {
        plain(value, text);
    }
}

/// A JSON string of a value that has nothing to escape.
fn plain(value: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    text.extend_from_slice(value.as_bytes());
    text.push(b'"');
}

fn escape(byte: u8, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |digit: u8| HEX[usize::from(digit & 0xF)];
    text.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]);
}

fn number(value: u64, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds with three places.
fn millis(duration: Duration, text: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(micros / 1000, text);
    let places = micros % 1000;
    text.extend([b'.'].into_iter().chain([100, 10, 1].map(|power| b'0' + (places / power % 10) as u8)));
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::client_addr::PeerAddr;

    pub(crate) fn line() -> Line<'static> {
        Line {
            timestamp: Timestamp::of(SystemTime::UNIX_EPOCH),
            request_id: "id",
            client: PeerAddr::new(Ipv4Addr::LOCALHOST.into()).into(),
            method: "GET",
            host: "h",
            path: "/\"x",
            route: "r",
            status: Some(200),
            rejected: None,
            reason: None,
            rule: None,
            limited_by: None,
            limit_mode: None,
            would_be_limited_by: None,
            user: None,
            upstream: None,
            target: None,
            retries: 0,
            connect: None,
            upstream_time: None,
            bytes_in: 0,
            bytes_out: 2,
            duration: Duration::from_micros(1500),
            error: None,
        }
    }

    fn written(line: &Line<'_>) -> Value {
        let mut text = Vec::new();
        line.write_to(&mut text);
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()))
    }

    #[test]
    fn every_field_has_its_name() {
        let line = Line {
            rejected: Some("no_route"),
            rule: Some("admins"),
            reason: Some("expired"),
            limited_by: Some("api"),
            limit_mode: Some("local_share"),
            would_be_limited_by: Some("new"),
            user: Some("ann"),
            upstream: Some("canary"),
            target: Some("127.0.0.1:1"),
            connect: Some(Duration::from_micros(250)),
            upstream_time: Some(Duration::from_micros(1250)),
            error: Some("Upstream ReadError".to_owned()),
            ..line()
        };
        let expected = json!({
            "timestamp": "1970-01-01T00:00:00.000Z", "request_id": "id", "client": "127.0.0.1", "method": "GET",
            "host": "h", "path": "/\"x", "route": "r", "status": 200, "rejected": "no_route",
            "reason": "expired", "rule": "admins", "limited_by": "api", "limit_mode": "local_share", "would_be_limited_by": "new",
            "user": "ann", "upstream": "canary", "target": "127.0.0.1:1", "retries": 0, "connect_ms": 0.25, "upstream_ms": 1.25,
            "bytes_in": 0, "bytes_out": 2, "duration_ms": 1.5,
            "error": "Upstream ReadError",
        });
        assert_eq!(written(&line), expected);
        assert_eq!(written(&Line { status: None, ..self::line() })["status"], Value::Null);
    }

    proptest! {
        #[test]
        fn whatever_was_sent_stands_in_the_line_as_it_was(path: String, user: String, micros in 0..u64::MAX / 1000) {
            let line = Line { path: &path, user: Some(&user), duration: Duration::from_micros(micros), ..line() };
            let written = written(&line);
            prop_assert_eq!(&written["path"], &path);
            prop_assert_eq!(&written["user"], &user);
            let duration = written["duration_ms"].as_f64().expect("a number");
            prop_assert!((duration - micros as f64 / 1e3).abs() <= duration * 1e-9);
        }
    }
}
