//! What a limit costs the whole gateway under full load, turn by turn.

use anyhow::{Context, Result};

use super::Shown;
use super::gateway::{Deadline, Gateway, Policy, known, passed_over};
use super::redis::Redis;
use super::target::Target;
use crate::bench::Bench;
use crate::load::{self, Round};
use crate::scenario::{self, Scenario};
use crate::stats::{Spread, ratios};
use crate::table::{table, whole};

const ROUNDS: usize = 6;
/// One in a microsecond, so that everything passes.
const LIMIT: &str = "limit: 60000000, window: 1m";
/// What leased limits have to leave of the requests per second.
const LEASED_AT_LEAST: f64 = 0.95;

/// A gateway under load and what its rounds have shown.
struct Loaded {
    title: String,
    gateway: Gateway,
    rounds: Vec<Round>,
}

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let each = (seconds / 12).max(1);
    let policy = |scope: &str| Policy::new(&format!("`{scope}`"), format!("scope: {scope}, {LIMIT}"));
    let (policies, skipped) = known(bench, vec![Policy::none(), policy("local"), policy("leased"), policy("redis")])?;
    let redis = Redis::start(bench)?;
    let start = |policy: &Policy| {
        let gateway = Gateway::start(bench, policy, Some(redis.shared(Deadline::Long)))?;
        Ok(Loaded { title: policy.title.clone(), gateway, rounds: Vec::new() })
    };
    let mut loaded = policies.iter().map(start).collect::<Result<Vec<_>>>()?;
    let scenario = plain()?;
    for number in 0..=ROUNDS {
        // The first round of all is for warming up.
        let seconds = if number == 0 { 1 } else { each };
        for Loaded { title, gateway, rounds } in &mut loaded {
            let round = load::round(bench, &scenario, &gateway.running, seconds, 1)?;
            if number > 0 {
                eprintln!(
                    "    {number}/{ROUNDS} {title:14} {:>8.0} requests/s {:>7.1} us/request, core {:.0} % busy",
                    round.requests_per_second,
                    round.cpu(),
                    round.busy * 100.0
                );
                rounds.push(round);
            }
        }
    }
    let rounds: Vec<_> = loaded.into_iter().map(|Loaded { title, rounds, .. }| (title, rounds)).collect();
    Ok(Shown {
        text: format!("{}{}", text(&rounds, each), passed_over(&skipped)),
        targets: targets(&rounds),
        picture: None,
    })
}

fn plain() -> Result<Scenario> {
    scenario::all().into_iter().find(|scenario| scenario.name == "plain").context("there is no scenario plain")
}

fn text(all: &[(String, Vec<Round>)], seconds: u32) -> String {
    let row = |(title, rounds): &(String, Vec<Round>)| {
        let median = |value: fn(&Round) -> f64| Spread::of(&rounds.iter().map(value).collect::<Vec<_>>());
        let whole_of = |spread: Option<Spread>| spread.map_or_else(|| "–".into(), |spread| whole(spread.median));
        vec![
            title.clone(),
            whole_of(median(|round| round.requests_per_second)),
            spread(of_none(all, rounds, |round| round.requests_per_second)),
            median(|round| round.cpu()).map_or_else(|| "–".into(), |spread| format!("{:.1}", spread.median)),
            spread(of_none(all, rounds, |round| round.cpu())),
            median(|round| round.busy * 100.0).map_or_else(|| "–".into(), |spread| whole(spread.median)),
        ]
    };
    format!(
        "A gateway with one limit, by the client's address, that nothing comes up to: 64 connections of one client, {ROUNDS} rounds of \
         {seconds} s each, turn by turn. Redis shares the other core with the load and the upstream, so that with `redis` it is \
         that core which is full. Ratios are of the same round: median (least–greatest).\n\n{}",
        table(
            &["scope", "requests/s", "÷ no limit", "CPU µs", "÷ no limit", "core busy, %"],
            &all.iter().map(row).collect::<Vec<_>>()
        )
    )
}

/// To the gateway without a limit, which is the first.
fn of_none(all: &[(String, Vec<Round>)], rounds: &[Round], value: fn(&Round) -> f64) -> Option<Spread> {
    let (_, none) = all.first()?;
    ratios(&rounds.iter().map(value).collect::<Vec<_>>(), &none.iter().map(value).collect::<Vec<_>>())
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{median:.3} ({least:.3}–{greatest:.3})"),
    )
}

fn targets(all: &[(String, Vec<Round>)]) -> Vec<Target> {
    let target = |(title, rounds): &(String, Vec<Round>)| {
        let ratio = of_none(all, rounds, |round| round.requests_per_second)?.median;
        (title == "`leased`").then(|| Target {
            what: "`leased`: requests/s ÷ those without a limit".into(),
            to_reach: format!("≥ {LEASED_AT_LEAST:.2}"),
            measured: format!("{ratio:.3}"),
            is_met: ratio >= LEASED_AT_LEAST,
        })
    };
    all.iter().filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::{plain, targets, text};
    use crate::load::Round;

    fn rounds(requests: &[f64]) -> Vec<Round> {
        let round = |requests: &f64| {
            let cpu = 1e6 / requests;
            Round {
                requests: *requests,
                requests_per_second: *requests,
                user: cpu / 2.0,
                system: cpu / 2.0,
                busy: 0.99,
            }
        };
        requests.iter().map(round).collect()
    }

    #[test]
    fn each_is_held_against_the_gateway_without_a_limit_in_the_same_round() {
        let all = [
            ("no limit".to_owned(), rounds(&[40_000.0, 20_000.0, 50_000.0])),
            ("`leased`".to_owned(), rounds(&[38_000.0, 19_200.0, 46_000.0])),
        ];
        let text = text(&all, 5);
        assert!(
            text.contains("| `leased` | 38,000 | 0.950 (0.920–0.960) | 26.3 | 1.053 (1.042–1.087) | 99 |"),
            "{text}"
        );
        let targets = targets(&all);
        assert_eq!(targets.iter().map(|target| target.is_met).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn load_is_that_of_plain_proxying() {
        plain().expect("a scenario");
    }
}
