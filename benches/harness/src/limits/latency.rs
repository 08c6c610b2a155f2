//! What a limit in Redis adds to the times of answers, beside the times of a bare `PING` at the same rate.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Shown;
use super::gateway::{Deadline, Gateway, Policy, known, passed_over, request};
use super::redis::Redis;
use super::target::Target;
use crate::bench::{Bench, Cores};
use crate::client::expect_ok;
use crate::cpu::CoreTime;
use crate::latency::percentile;
use crate::open_loop::{Offer, Server, answers, evenly};
use crate::process::on_core;
use crate::stats::Spread;
use crate::table::{table, whole};

const ROUNDS: usize = 20;
/// Requests per second, if both cores then are half idle, and else as many as leave them so.
const RATE: f64 = 4000.0;
/// Beyond, requests queue there, and that is what would be measured.
const MAY_BE_BUSY: f64 = 0.5;
/// With fewer, a round would have too few answers to tell the slowest hundredth.
const LEAST_RATE: f64 = 500.0;
/// The rate is lowered so often at most; the cost of a request grows as they get fewer.
const TRIALS: usize = 6;
const CONNECTIONS: usize = 32;
/// One in a microsecond, so that everything passes.
const LIMIT: &str = "limit: 60000000, window: 1m";
const NO_LIMIT: &str = "no limit";
const EXACT: &str = "`redis`";
const PING: &str = "bare `PING`";
/// How many times a bare `PING` the limit may add.
const TIMES_PING: f64 = 1.3;
/// How far from one the calls of Redis per request may be, without those that gateways make by themselves.
const ONE_CALL: f64 = 0.002;

/// One round, in microseconds, and how busy the busier of the two cores was.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    p50: f64,
    p99: f64,
    busy: f64,
}

/// Who was asked, what came of it, and how often Redis was called for each request.
struct Timed {
    title: String,
    rounds: Vec<Round>,
    calls: f64,
}

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let duration = Duration::from_secs(u64::from(seconds)) / 60;
    let policy = |scope: &str| Policy::new(&format!("`{scope}`"), format!("scope: {scope}, {LIMIT}"));
    let (policies, skipped) = known(bench, vec![Policy::none(), policy("leased"), policy("redis")])?;
    let redis = Redis::start(bench)?;
    let gateways = policies
        .iter()
        .map(|policy| Ok((policy.title.clone(), Gateway::start(bench, policy, Some(redis.shared(Deadline::Long)))?)))
        .collect::<Result<Vec<_>>>()?;
    let http = request("/128", Ipv4Addr::new(203, 0, 113, 1));
    let mut asked: Vec<_> =
        gateways.iter().map(|(title, gateway)| (title.clone(), Server::Http(gateway.addr()), http.clone())).collect();
    asked.push((PING.to_owned(), Server::Redis(redis.addr()), b"PING\r\n".to_vec()));
    let mut timed: Vec<_> =
        asked.iter().map(|(title, ..)| Timed { title: title.clone(), rounds: Vec::new(), calls: 0.0 }).collect();
    let one = |(_, to, request): &(String, Server, Vec<u8>), rate| round(bench.cores, *to, request, (rate, duration));
    // Which also warms them up.
    let rate = bearable(|rate| asked.iter().map(|asked| one(asked, rate)).collect());
    for number in 1..=ROUNDS {
        for (asked, timed) in asked.iter().zip(&mut timed) {
            let calls_before = redis.script_calls()?;
            let round = one(asked, rate)?;
            let calls = redis.script_calls()?.saturating_sub(calls_before);
            timed.calls += calls as f64 / (rate * duration.as_secs_f64() * ROUNDS as f64);
            timed.rounds.push(round);
            let Round { p50, p99, busy } = round;
            eprintln!(
                "    {number}/{ROUNDS} {:14} p50 {p50:>6.0} p99 {p99:>6.0} us, the busier core {:.0} % busy",
                timed.title,
                busy * 100.0
            );
        }
    }
    Ok(Shown {
        text: format!("{}{}", text(&timed, (rate, duration)), passed_over(&skipped)),
        targets: targets(&timed),
        picture: None,
    })
}

/// [`RATE`], or as much of it as keeps both cores no busier than [`MAY_BE_BUSY`], whoever is asked.
fn bearable(rounds: impl Fn(f64) -> Vec<Result<Round>>) -> f64 {
    let mut rate = RATE;
    for _ in 0..TRIALS {
        // Where something is not answered, it was far too much.
        let busy = |round: Result<Round>| round.map_or(1.0, |round| round.busy);
        let busiest = rounds(rate).into_iter().map(busy).fold(0.0, f64::max);
        eprintln!("    at {rate:.0} requests/s the busier core is {:.0} % busy", busiest * 100.0);
        if busiest <= MAY_BE_BUSY || rate <= LEAST_RATE {
            break;
        }
        rate = (rate * MAY_BE_BUSY / busiest).max(LEAST_RATE);
    }
    rate
}

/// A gateway is asked from the load's core, and Redis from where gateways ask it.
fn round(cores: Cores, to: Server, request: &[u8], (rate, duration): (f64, Duration)) -> Result<Round> {
    let (requests, due) = ([request.to_vec()], evenly(rate, duration));
    let offer = Offer { to, connections: CONNECTIONS, requests: &requests, due: &due };
    let from = if matches!(to, Server::Redis(_)) { cores.proxy } else { cores.load };
    let both = || [cores.proxy, cores.load].into_iter().map(CoreTime::of).collect::<Result<Vec<_>>>();
    let begun = both()?;
    let answers = on_core(from, || answers(offer, Instant::now()))?;
    let busy = both()?.into_iter().zip(begun).map(|(now, begun)| now.busy_since(begun)).fold(0.0, f64::max);
    for answer in &answers {
        expect_ok(answer.status.context("a request was not answered")?)?;
    }
    let mut took: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    took.sort_unstable();
    let at = |share| percentile(&took, share).as_secs_f64() * 1e6;
    Ok(Round { p50: at(0.5), p99: at(0.99), busy })
}

fn text(all: &[Timed], (rate, duration): (f64, Duration)) -> String {
    let none = all.iter().find(|timed| timed.title == NO_LIMIT);
    let row = |timed: &Timed| {
        let value = |of: fn(&Round) -> f64| cell(Spread::of(&timed.rounds.iter().map(of).collect::<Vec<_>>()));
        let more = |of| match none {
            Some(none) if timed.title != NO_LIMIT && timed.title != PING => cell(added(timed, none, of)),
            _ => String::new(),
        };
        vec![
            timed.title.clone(),
            value(|round| round.p50),
            value(|round| round.p99),
            more(|round| round.p50),
            more(|round| round.p99),
            format!("{:.4}", timed.calls),
            value(|round| round.busy * 100.0),
        ]
    };
    format!(
        "{} requests per second (open loop) on {CONNECTIONS} connections to a gateway without a limit, to gateways with one that nothing \
         comes up to, and as many `PING`s on as many connections from the gateway's core to the same Redis, {ROUNDS} rounds of {:.1} s, turn by turn. µs: \
         median (least–greatest of the rounds); what is more is more than without a limit in the same round. Calls are the scripts that Redis has run \
         (`INFO commandstats`), those among them by which each gateway makes itself known once a second.\n\n{}",
        whole(rate),
        duration.as_secs_f64(),
        table(
            &["scope", "p50", "p99", "p50, more", "p99, more", "calls of Redis per request", "busier core, %"],
            &all.iter().map(row).collect::<Vec<_>>()
        )
    )
}

/// By how much more `timed` takes than `none`, round by round.
fn added(timed: &Timed, none: &Timed, of: fn(&Round) -> f64) -> Option<Spread> {
    let each: Vec<_> = timed.rounds.iter().zip(&none.rounds).map(|(with, without)| of(with) - of(without)).collect();
    Spread::of(&each)
}

fn targets(all: &[Timed]) -> Vec<Target> {
    let of = |title: &str| all.iter().find(|timed| timed.title == title);
    let target = || {
        let (none, exact, ping) = (of(NO_LIMIT)?, of(EXACT)?, of(PING)?);
        let more = added(exact, none, |round| round.p99)?.median;
        let calls = exact.calls - none.calls;
        let ping = Spread::of(&ping.rounds.iter().map(|round| round.p99).collect::<Vec<_>>())?.median;
        Some(vec![
            Target {
                what: "`redis`: calls of Redis per request, more than without a limit".into(),
                to_reach: "1".into(),
                measured: format!("{calls:.4}"),
                is_met: (calls - 1.0).abs() <= ONE_CALL,
            },
            Target {
                what: "`redis`: p99 more ÷ p99 of a bare `PING`".into(),
                to_reach: format!("≤ {TIMES_PING}"),
                measured: format!("{:.2} ({} and {} µs)", more / ping, whole(more), whole(ping)),
                is_met: more <= TIMES_PING * ping,
            },
        ])
    };
    target().unwrap_or_default()
}

fn cell(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{} ({}–{})", whole(median), whole(least), whole(greatest)),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;

    use super::{EXACT, NO_LIMIT, PING, Round, Timed, bearable, targets, text};

    fn timed(title: &str, p99: &[f64], calls: f64) -> Timed {
        let rounds = p99.iter().map(|p99| Round { p50: p99 / 2.0, p99: *p99, busy: 0.4 }).collect();
        Timed { title: title.to_owned(), rounds, calls }
    }

    fn met(more: f64, calls: f64) -> Vec<bool> {
        let exact = [400.0 + more, 300.0 + more, 900.0 + more];
        let all =
            [timed(NO_LIMIT, &[400.0, 300.0, 900.0], 0.1), timed(EXACT, &exact, calls), timed(PING, &[100.0; 3], 0.0)];
        targets(&all).iter().map(|target| target.is_met).collect()
    }

    #[test]
    fn limit_is_held_against_a_ping_by_what_it_adds_in_the_same_round() {
        assert_eq!(met(120.0, 1.1), [true, true]);
        assert_eq!(met(140.0, 1.1), [true, false]);
        assert_eq!(met(120.0, 2.1), [false, true]);
        let all =
            [timed(NO_LIMIT, &[400.0, 300.0], 0.0), timed(EXACT, &[500.0, 500.0], 1.0), timed(PING, &[100.0; 2], 0.0)];
        let text = text(&all, (4000.0, Duration::from_secs(1)));
        assert!(
            text.contains(
                "| `redis` | 250 (250–250) | 500 (500–500) | 75 (50–100) | 150 (100–200) | 1.0000 | 40 (40–40) |"
            ),
            "{text}"
        );
    }

    #[test]
    fn rate_is_lowered_until_the_cores_are_half_idle() {
        let cost =
            |micros: f64| move |rate: f64| vec![Ok(Round { p50: 1.0, p99: 2.0, busy: (rate * micros / 1e6).min(1.0) })];
        assert_eq!(bearable(cost(100.0)), 4000.0);
        assert_eq!(bearable(cost(1000.0)), 500.0);
        assert_eq!(bearable(cost(1e6)), 500.0, "that is the least");
        assert_eq!(
            bearable(|rate| if rate > 1500.0 { vec![Err(anyhow!("no answer"))] } else { cost(1.0)(rate) }),
            1000.0
        );
    }

    #[test]
    fn without_a_limit_in_redis_there_is_nothing_to_reach() {
        assert!(targets(&[timed(NO_LIMIT, &[400.0], 0.0), timed(PING, &[100.0], 0.0)]).is_empty());
    }
}
