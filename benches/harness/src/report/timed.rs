//! The tables of how long answers take.

use super::header;
use crate::latency::{Latencies, Timing};
use crate::peer::Peer;
use crate::stats::Spread;
use crate::table::{table, whole};

/// What is read from a round.
type Percentile = (&'static str, fn(&Timing) -> f64);

const PERCENTILES: [Percentile; 5] = [
    ("p50", |round| round.own.p50),
    ("p99", |round| round.own.p99),
    ("p99.9", |round| round.own.p999),
    ("p50 by oha", |round| round.oha.p50),
    ("p99 by oha", |round| round.oha.p99),
];

/// Medians of the rounds' percentiles.
pub(crate) fn latencies(all: &[Latencies]) -> String {
    let mut text =
        "How long answers take in µs at a fixed rate: half of what the slowest of these can do, or less where the load \
         and the upstream would keep the other core busy for more than half of the time. Requests are due by the clock and \
         timed from then (open loop), once by the harness and once by `oha`. Median (least–greatest of the rounds).\n"
            .to_owned();
    for Latencies { scenario, rate, rounds } in all {
        let title = format!("{}, {} requests/s", scenario.title, whole(*rate));
        let row = |(peer, rounds): (&Peer, &Vec<Timing>)| -> Vec<String> {
            let cells = PERCENTILES.iter().map(|(_, value)| cell(rounds, *value));
            std::iter::once(peer.title().to_owned()).chain(cells).collect()
        };
        let rows: Vec<_> = rounds.iter().map(row).collect();
        text += &format!("\n{}", table(&header(&title, PERCENTILES.iter().map(|(name, _)| *name)), &rows));
    }
    text
}

fn cell(rounds: &[Timing], value: fn(&Timing) -> f64) -> String {
    let spread = Spread::of(&rounds.iter().map(value).collect::<Vec<_>>());
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{} ({}–{})", whole(median), whole(least), whole(greatest)),
    )
}

#[cfg(test)]
mod tests {
    use super::latencies;
    use crate::latency::{Latencies, Latency, Timing};
    use crate::peer::Peer;
    use crate::scenario;

    #[test]
    fn percentiles_are_told_with_their_spread() {
        let taken = |p99| Latency { p50: 80.0, p99, p999: 1500.0 };
        let round = |p99| Timing { own: taken(p99), oha: taken(p99 + 50.0) };
        let rounds = [(Peer::Gateway, vec![round(200.0), round(900.0), round(300.0)])].into();
        let text = latencies(&[Latencies { scenario: scenario::all().remove(0), rate: 9000.0, rounds }]);
        assert!(text.contains("| plain, 9,000 requests/s | p50 | p99 | p99.9 | p50 by oha | p99 by oha |"), "{text}");
        let row = "| gateway | 80 (80–80) | 300 (200–900) | 1,500 (1,500–1,500) | 80 (80–80) | 350 (250–950) |";
        assert!(text.contains(row), "{text}");
    }
}
