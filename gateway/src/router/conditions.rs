//! Asks whether the conditions of a route hold.
//!
//! A field that a request has more than once fits if one of its values does: servers differ in which of them they read.

use std::borrow::Cow;
use std::cmp::Reverse;

use prometheus::IntCounter;

use super::Asked;
use crate::config::pattern::{Condition, Predicate, Test};
use crate::cookies;
use crate::expression::{self, Offer};
use crate::query;

/// All of these must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    all: Box<[Condition]>,
    /// One and the same for the same conditions, in whatever order they are written.
    text: Box<str>,
    /// Counts expressions that had no answer.
    doubts: Option<IntCounter>,
}

impl Conditions {
    /// The conditions in `all`.
    #[must_use]
    pub fn of(all: Vec<Condition>) -> Self {
        let mut texts: Vec<String> = all.iter().map(Condition::to_string).collect();
        texts.sort_unstable();
        Self { all: all.into(), text: texts.join("\n").into(), doubts: None }
    }

    /// The same, counting in `doubts` the expressions that had no answer for a request; they are then taken not to hold.
    #[must_use]
    pub fn counting(self, doubts: IntCounter) -> Self {
        Self { doubts: Some(doubts), ..self }
    }

    fn ask(&self, predicate: &Predicate, asked: &Asked<'_>) -> bool {
        expression::holds(predicate.expression(), &offered(asked)).unwrap_or_else(|_| {
            self.doubts.iter().for_each(IntCounter::inc);
            false
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What goes before what at one place: the more conditions, the sooner; and of as many, one and the same whatever the order
    /// in the file.
    pub(crate) fn rank(&self) -> (Reverse<usize>, &str) {
        (Reverse(self.all.len()), &self.text)
    }

    pub(super) fn hold(&self, asked: &Asked<'_>) -> bool {
        self.all.iter().all(|condition| match condition {
            Condition::Header(name, test) => {
                holds(test, asked.headers.get_all(name).iter().map(|value| Cow::Borrowed(value.as_bytes())))
            }
            Condition::Query(name, test) => holds(test, query::named(asked.query.unwrap_or_default(), name)),
            Condition::Cookie(name, test) => holds(test, cookies::named(asked.headers, name)),
            Condition::Client(networks) => networks.contain(asked.client.get()),
            Condition::Expression(predicate) => self.ask(predicate, asked),
        })
    }
}

fn offered<'a>(asked: &Asked<'a>) -> Offer<'a> {
    let Asked { host, path, method, query, headers, client } = *asked;
    Offer { method, host, path, query, headers, client, params: None, identity: None, prover: None }
}

fn holds<'v>(test: &Test, mut values: impl Iterator<Item = Cow<'v, [u8]>>) -> bool {
    match test {
        Test::Value(wanted) => values.any(|value| *value == *wanted.as_bytes()),
        Test::Regex(regex) => values.any(|value| regex.fits(&value)),
        Test::Present(wanted) => values.next().is_some() == *wanted,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use serde_json::{Value, json};

    use super::*;
    use crate::client_addr::PeerAddr;
    use crate::config::file::MatchFile;

    struct Request {
        query: Option<&'static str>,
        headers: HeaderMap,
        client: IpAddr,
    }

    fn request(query: Option<&'static str>, headers: &[(&'static str, &'static str)]) -> Request {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        Request { query, headers: map, client: IpAddr::from([192, 0, 2, 7]) }
    }

    fn hold(condition: &Value, request: &Request) -> bool {
        let mut block = condition.clone();
        block["path"] = "/*".into();
        let block: MatchFile = serde_json::from_value(block).expect("a match");
        Conditions::of(block.conditions()).hold(&Asked {
            host: "a",
            path: "/",
            method: &Method::GET,
            query: request.query,
            headers: &request.headers,
            client: PeerAddr::new(request.client).into(),
        })
    }

    #[test]
    fn a_header_is_asked_for_its_value_its_form_or_its_presence() {
        let twice = request(None, &[("x-beta", "0"), ("x-beta", "1")]);
        let none = request(None, &[("x-other", "1")]);
        for (test, of_twice, of_none) in [
            (json!({"name": "X-Beta", "value": "1"}), true, false),
            (json!({"name": "x-beta", "value": "2"}), false, false),
            (json!({"name": "x-beta", "value": "0, 1"}), false, false),
            (json!({"name": "x-beta", "regex": "[1-9]"}), true, false),
            (json!({"name": "x-beta", "regex": "[2-9]"}), false, false),
            (json!({"name": "x-beta", "present": true}), true, false),
            (json!({"name": "x-beta", "present": false}), false, true),
        ] {
            let condition = json!({"headers": [test]});
            assert_eq!(hold(&condition, &twice), of_twice, "{condition}");
            assert_eq!(hold(&condition, &none), of_none, "{condition}");
        }
        assert!(hold(&json!({"headers": [{"name": "x", "value": ""}]}), &request(None, &[("x", "")])));
    }

    #[test]
    fn a_query_is_read_decoded_and_in_any_order() {
        for (query, test, holds) in [
            (Some("a=1&b=2"), json!({"name": "b", "value": "2"}), true),
            (Some("a=1&b=2"), json!({"name": "B", "value": "2"}), false),
            (Some("%62=%32"), json!({"name": "b", "value": "2"}), true),
            (Some("b=x+y%2Bz"), json!({"name": "b", "value": "x y+z"}), true),
            (Some("b=1&b=2"), json!({"name": "b", "value": "2"}), true),
            (Some("b=12"), json!({"name": "b", "value": "1"}), false),
            (Some("b=12"), json!({"name": "b", "regex": "[0-9]+"}), true),
            (Some("b=1x"), json!({"name": "b", "regex": "[0-9]+"}), false),
            (Some("b"), json!({"name": "b", "present": true}), true),
            (Some("b"), json!({"name": "b", "value": ""}), true),
            (Some("ab=1"), json!({"name": "b", "present": true}), false),
            (Some(""), json!({"name": "b", "present": false}), true),
            (None, json!({"name": "b", "present": false}), true),
            (None, json!({"name": "b", "present": true}), false),
            (Some("b=%ff"), json!({"name": "b", "value": "\u{fffd}"}), true),
        ] {
            assert_eq!(hold(&json!({"query": [test]}), &request(query, &[])), holds, "{query:?} {test}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_in_any_header() {
        let request = request(None, &[("cookie", "a=1; canary=yes;b=\"q\""), ("cookie", "last=x=y ")]);
        for (test, holds) in [
            (json!({"name": "canary", "value": "yes"}), true),
            (json!({"name": "Canary", "value": "yes"}), false),
            (json!({"name": "nary", "present": true}), false),
            (json!({"name": "can", "present": true}), false),
            (json!({"name": "a", "value": "1"}), true),
            (json!({"name": "b", "value": "\"q\""}), true),
            (json!({"name": "last", "regex": "x=."}), true),
            (json!({"name": "none", "present": false}), true),
        ] {
            assert_eq!(hold(&json!({"cookies": [test]}), &request), holds, "{test}");
        }
    }

    #[test]
    fn a_client_is_looked_up_in_all_ranges() {
        let request = request(None, &[]);
        assert!(hold(&json!({"client": ["10.0.0.0/8", "192.0.2.0/24"]}), &request));
        assert!(!hold(&json!({"client": ["10.0.0.0/8", "::/0"]}), &request));
    }

    #[test]
    fn all_conditions_must_hold() {
        let request = request(Some("q=1"), &[("x-beta", "1")]);
        let (beta, q) = (json!({"name": "x-beta", "value": "1"}), json!({"name": "q", "value": "1"}));
        assert!(hold(&json!({"headers": [beta], "query": [q]}), &request));
        assert!(!hold(&json!({"headers": [beta, {"name": "x-more", "present": true}], "query": [q]}), &request));
        assert!(!hold(&json!({"headers": [beta], "client": ["::1"]}), &request));
    }
}
