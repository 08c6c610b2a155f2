//! The bytes of the requests that the harness itself sends.

use anyhow::Result;

use crate::bench::Bench;
use crate::scenario::{Scenario, Tokens, Work};

/// The requests of a scenario; those with many tokens take turns.
pub(crate) struct Requests {
    each: Vec<Vec<u8>>,
}

impl Requests {
    /// With as many tokens as the scenario wants of `at_most`.
    pub(crate) fn new(bench: &Bench, scenario: &Scenario, at_most: usize) -> Result<Self> {
        let tokens = match (scenario.work, scenario.tokens) {
            (Work::Plain, _) => return Ok(Self { each: vec![request(scenario, None)] }),
            (Work::Full { algorithm, .. }, Tokens::One | Tokens::NeverRemembered) => {
                bench.tokens.issue(algorithm, 1)?
            }
            (Work::Full { algorithm, .. }, Tokens::Many) => bench.tokens.issue(algorithm, at_most)?,
        };
        Ok(Self { each: tokens.iter().map(|token| request(scenario, Some(token))).collect() })
    }

    /// The request of this number.
    pub(crate) fn numbered(&self, number: usize) -> Vec<u8> {
        self.each[number % self.each.len()].clone()
    }
}

/// The one token of a scenario that has no more, or the first of many.
pub(crate) fn token(bench: &Bench, scenario: &Scenario) -> Result<Option<String>> {
    Ok(match scenario.work {
        Work::Plain => None,
        Work::Full { algorithm, .. } => bench.tokens.issue(algorithm, 1)?.into_iter().next(),
    })
}

/// As wrk writes it.
fn request(scenario: &Scenario, token: Option<&String>) -> Vec<u8> {
    let exchange = scenario.exchange;
    let mut head = format!("{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n", exchange.method(), exchange.path());
    if let Some(token) = token {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    if exchange.sent() > 0 {
        head += &format!("Content-Length: {}\r\n", exchange.sent());
    }
    if scenario.new_connections {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + exchange.sent(), b'x');
    bytes
}
