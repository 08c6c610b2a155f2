//! The tables and the picture of the comparison under full load.

use std::collections::BTreeMap;

use super::{header, ratio};
use crate::compare::Compared;
use crate::load::Round;
use crate::peer::Peer;
use crate::stats::{Spread, ratios};
use crate::svg;
use crate::table::{table, whole};

/// Below this share of its core, a proxy was not what limited the requests per second.
const SATURATED: f64 = 0.85;

/// Ratios, processor time, requests per second, and what could not be measured.
pub(crate) fn comparison(all: &[Compared]) -> String {
    let peers = peers(all);
    let others = others(&peers);
    let titles = |peers: &[Peer]| peers.iter().map(|peer| peer.title()).collect::<Vec<_>>();
    let rows = |cell: &dyn Fn(&Compared, Peer) -> String, peers: &[Peer]| -> Vec<Vec<String>> {
        let measured = all.iter().filter(|compared| compared.is_measured());
        let row = |compared: &Compared| {
            let cells = peers.iter().map(|peer| cell(compared, *peer));
            std::iter::once(compared.scenario.title.to_owned()).chain(cells).collect()
        };
        measured.map(row).collect()
    };
    [
        "Processor time per request, the gateway's to each peer's: median (least–greatest of the rounds). Below 1 the gateway \
         needs less. Under the full chain, nginx checks no token and the empty Pingora only proxies.\n"
            .to_owned(),
        table(&header("gateway ÷", titles(&others)), &rows(&|compared, peer| ratio(cpu_ratio(compared, peer)), &others)),
        "Processor time per request in µs: median, of it user + system.\n".to_owned(),
        table(&header("CPU µs", titles(&peers)), &rows(&cpu, &peers)),
        format!(
            "Requests per second of one core. Where a proxy used less than {:.0} % of its core, so that the load or the \
             upstream was the limit, its share stands behind.\n",
            SATURATED * 100.0
        ),
        table(&header("requests/s", titles(&peers)), &rows(&requests, &peers)),
        missing(all),
    ]
    .join("\n")
}

/// The ratios of processor time, drawn.
pub(crate) fn picture(all: &[Compared]) -> String {
    let others = others(&peers(all));
    let rows: Vec<svg::Row> = all
        .iter()
        .filter(|compared| compared.is_measured())
        .map(|compared| {
            let values = others.iter().map(|peer| cpu_ratio(compared, *peer)).collect();
            (compared.scenario.title.to_owned(), values)
        })
        .collect();
    let series: Vec<_> = others.iter().map(|peer| peer.title()).collect();
    svg::ratios("Processor time per request: gateway ÷ peer (less is better)", &series, &rows)
}

fn peers(all: &[Compared]) -> Vec<Peer> {
    Peer::ALL.into_iter().filter(|peer| all.iter().any(|compared| compared.outcomes.contains_key(peer))).collect()
}

fn others(peers: &[Peer]) -> Vec<Peer> {
    peers.iter().copied().filter(|peer| *peer != Peer::Gateway).collect()
}

fn cpu_ratio(compared: &Compared, peer: Peer) -> Option<Spread> {
    let of = |peer| Some(compared.rounds(peer)?.iter().map(|round| round.cpu()).collect::<Vec<_>>());
    ratios(&of(Peer::Gateway)?, &of(peer)?)
}

fn median(compared: &Compared, peer: Peer, value: fn(Round) -> f64) -> Option<f64> {
    let values: Vec<_> = compared.rounds(peer)?.iter().copied().map(value).collect();
    Some(Spread::of(&values)?.median)
}

fn cpu(compared: &Compared, peer: Peer) -> String {
    let of = |value| median(compared, peer, value);
    let cell = || {
        let (all, user, system) = (of(Round::cpu)?, of(|round| round.user)?, of(|round| round.system)?);
        Some(format!("{all:.1} ({user:.0} + {system:.0})"))
    };
    cell().unwrap_or_else(|| "–".to_owned())
}

fn requests(compared: &Compared, peer: Peer) -> String {
    let of = |value| median(compared, peer, value);
    let cell = || {
        let (requests, busy) = (of(|round| round.requests_per_second)?, of(|round| round.busy)?);
        let note = if busy < SATURATED { format!(" ({:.0} %)", busy * 100.0) } else { String::new() };
        Some(format!("{}{note}", whole(requests)))
    };
    cell().unwrap_or_else(|| "–".to_owned())
}

/// Who could not do what, and why; one line for all whose reason is the same.
fn missing(all: &[Compared]) -> String {
    let mut lines = Vec::new();
    for Compared { scenario, outcomes } in all {
        let mut reasons: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
        for (peer, outcome) in outcomes {
            if let Err(why) = outcome {
                reasons.entry(why).or_default().push(peer.title());
            }
        }
        for (why, peers) in reasons {
            let who = if peers.len() == outcomes.len() { "all".to_owned() } else { peers.join(", ") };
            lines.push(format!("- {}, {who}: {why}", scenario.title));
        }
    }
    if lines.is_empty() { String::new() } else { format!("Not measured:\n\n{}\n", lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{comparison, picture};
    use crate::compare::Compared;
    use crate::load::Round;
    use crate::peer::Peer;
    use crate::scenario;

    fn rounds(cpu: &[f64], busy: f64) -> Vec<Round> {
        let round = |cpu: &f64| {
            let requests_per_second = 1e6 / cpu;
            Round { requests: requests_per_second, requests_per_second, user: cpu / 4.0, system: cpu * 0.75, busy }
        };
        cpu.iter().map(round).collect()
    }

    fn compared() -> Vec<Compared> {
        let outcomes = [
            (Peer::Gateway, Ok(rounds(&[40.0, 80.0, 40.0], 0.99))),
            (Peer::Haproxy, Ok(rounds(&[20.0, 50.0, 20.0], 0.5))),
            (Peer::Nginx, Err("it does not start".to_owned())),
        ];
        vec![Compared { scenario: scenario::all().remove(0), outcomes: outcomes.into() }]
    }

    #[test]
    fn ratios_costs_and_what_is_missing_are_told() {
        let text = comparison(&compared());
        for expected in [
            "| gateway ÷ | HAProxy | nginx |",
            "| plain | 2.00 (1.60–2.00) | – |",
            "| plain | 40.0 (10 + 30) | 20.0 (5 + 15) | – |",
            "| plain | 25,000 | 50,000 (50 %) | – |",
            "- plain, nginx: it does not start",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn picture_shows_the_ratio_to_each_peer() {
        let svg = picture(&compared());
        assert!(svg.contains(">HAProxy<") && svg.contains(">plain<"), "{svg}");
    }
}
