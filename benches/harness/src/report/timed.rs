//! The tables of how long answers take.

use super::header;
use crate::latency::{Latencies, Latency};
use crate::peer::Peer;
use crate::stats::Spread;
use crate::table::{table, whole};

/// What is read from a round.
type Percentile = (&'static str, fn(&Latency) -> f64);

const PERCENTILES: [Percentile; 3] =
    [("p50", |latency| latency.p50), ("p99", |latency| latency.p99), ("p99.9", |latency| latency.p999)];

/// Medians of the rounds' percentiles.
pub(crate) fn latencies(all: &[Latencies]) -> String {
    let mut text =
        "How long answers take in µs at a fixed rate, half of what the slowest of these can do: requests are due by \
                    the clock and timed from then (open loop). Median (least–greatest of the rounds).\n"
            .to_owned();
    for Latencies { scenario, rate, rounds } in all {
        let title = format!("{}, {} requests/s", scenario.title, whole(*rate));
        let row = |(peer, rounds): (&Peer, &Vec<Latency>)| -> Vec<String> {
            let cells = PERCENTILES.iter().map(|(_, value)| cell(rounds, *value));
            std::iter::once(peer.title().to_owned()).chain(cells).collect()
        };
        let rows: Vec<_> = rounds.iter().map(row).collect();
        text += &format!("\n{}", table(&header(&title, PERCENTILES.iter().map(|(name, _)| *name)), &rows));
    }
    text
}

fn cell(rounds: &[Latency], value: fn(&Latency) -> f64) -> String {
    let spread = Spread::of(&rounds.iter().map(value).collect::<Vec<_>>());
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{} ({}–{})", whole(median), whole(least), whole(greatest)),
    )
}

#[cfg(test)]
mod tests {
    use super::latencies;
    use crate::latency::{Latencies, Latency};
    use crate::peer::Peer;
    use crate::scenario;

    #[test]
    fn percentiles_are_told_with_their_spread() {
        let round = |p99| Latency { p50: 80.0, p99, p999: 1500.0 };
        let rounds = [(Peer::Gateway, vec![round(200.0), round(900.0), round(300.0)])].into();
        let text = latencies(&[Latencies { scenario: scenario::all().remove(0), rate: 9000.0, rounds }]);
        assert!(text.contains("| plain, 9,000 requests/s | p50 | p99 | p99.9 |"), "{text}");
        assert!(text.contains("| gateway | 80 (80–80) | 300 (200–900) | 1,500 (1,500–1,500) |"), "{text}");
    }
}
