//! Redis killed and started anew under load: what clients see meanwhile, and when limits are shared again.

mod seen;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::seen::{Look, Outage, Seen, Span, Times};
use super::gateway::{Deadline, Gateway, Policy, known, passed_over};
use super::redis::Redis;
use super::target::Target;
use super::{Shown, together};
use crate::bench::Bench;
use crate::process::joined;
use crate::svg::lines::{Mark, Panel, lines};
use crate::table::{table, whole};

const GATEWAYS: usize = 3;
/// Requests per second that the limit brings back; all of them may come at once.
const RATE: f64 = 600.0;
/// Requests per second to all gateways together.
const OFFERED: f64 = 1200.0;
/// Between two looks at what the gateways tell.
const LOOK: Duration = Duration::from_millis(50);
/// Within which everything has to be shared again.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// Of all requests, how many failure modes may answer where limits count as shared: on a full machine Redis is late at times.
const FEW: f64 = 0.01;
/// By which the slowest hundredth may take longer while Redis is away.
const LONGER: Duration = Duration::from_millis(15);
/// At the beginning, when the burst passes and connections are new.
const WARM_UP: Duration = Duration::from_secs(2);

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let policy = |scope| Policy::new(&format!("`{scope}`"), format!("scope: {scope}, limit: {RATE:.0}, window: 1s"));
    let (policies, skipped) = known(bench, vec![policy("redis"), policy("leased")])?;
    let mut outages = Vec::new();
    for policy in policies {
        eprintln!("    {}", policy.title);
        outages.push((policy.title.clone(), outage(bench, &policy, seconds)?));
    }
    Ok(Shown {
        text: format!("{}{}", text(&outages), passed_over(&skipped)),
        targets: outages.iter().flat_map(|(title, outage)| targets(title, outage)).collect(),
        picture: Some(picture(&outages)),
    })
}

fn outage(bench: &Bench, policy: &Policy, seconds: u32) -> Result<Outage> {
    let third = Duration::from_secs(u64::from(seconds)) / 3;
    let calm = (third / 2).max(WARM_UP * 2);
    let plan = Times { killed: calm, begun_anew: calm + third, end: calm * 2 + third };
    let mut redis = Redis::start(bench)?;
    let gateways = (0..GATEWAYS)
        .map(|_| Gateway::start(bench, policy, Some(redis.shared(Deadline::Usual))))
        .collect::<Result<Vec<_>>>()?;
    let (core, start) = (bench.cores.load, together::soon());
    thread::scope(|scope| {
        let asked = scope.spawn(|| together::ask(core, &gateways, OFFERED, plan.end, start));
        let watching = scope.spawn(|| watch(&gateways, plan.end, start));
        let times = kill_and_start_anew(&mut redis, plan, start)?;
        Ok(Outage { answers: joined(asked)?, looks: joined(watching)?, times })
    })
}

fn kill_and_start_anew(redis: &mut Redis<'_>, plan: Times, start: Instant) -> Result<Times> {
    let until = |at: Duration| thread::sleep((start + at).saturating_duration_since(Instant::now()));
    until(plan.killed);
    let killed = start.elapsed();
    redis.kill();
    eprintln!("    Redis is killed");
    until(plan.begun_anew);
    let begun_anew = start.elapsed();
    redis.start_anew()?;
    eprintln!("    Redis is started anew");
    Ok(Times { killed, begun_anew, end: plan.end })
}

fn watch(gateways: &[Gateway], end: Duration, start: Instant) -> Result<Vec<Look>> {
    let mut looks = Vec::new();
    while start.elapsed() < end {
        let degraded = gateways.iter().map(Gateway::degraded).sum::<Result<f64>>()?;
        looks.push(Look { at: start.elapsed(), degraded });
        thread::sleep(LOOK);
    }
    Ok(looks)
}

fn spans(times: Times) -> [(&'static str, Span); 3] {
    [
        ("before", (WARM_UP, times.killed)),
        ("away", (times.killed, times.begun_anew)),
        ("back", (times.begun_anew, times.end)),
    ]
}

fn text(outages: &[(String, Outage)]) -> String {
    let row = |title: &str, outage: &Outage, (name, span): (&str, Span)| {
        let seen = outage.seen_in(span);
        let per_second = |count: usize| whole(count as f64 / seconds(span).max(1e-9));
        vec![
            format!("{title}, {name}"),
            per_second(seen.passed),
            per_second(seen.refused),
            whole(seen.failed as f64),
            whole(seen.lost as f64),
            format!("{:.2}", seen.milliseconds(0.5)),
            format!("{:.2}", seen.milliseconds(0.99)),
            format!("{:.2}", outage.slowest_second(span)),
        ]
    };
    let rows: Vec<_> =
        outages.iter().flat_map(|(title, outage)| spans(outage.times).map(|span| row(title, outage, span))).collect();
    let away = outages.first().map_or(0.0, |(_, outage)| seconds((outage.times.killed, outage.times.begun_anew)));
    let degraded: Vec<_> =
        outages.iter().map(|(title, outage)| format!("{} ({title})", whole(outage.degraded()))).collect();
    format!(
        "{GATEWAYS} gateways share a limit of {} requests per second and are asked for {} by one client. Redis is killed (SIGKILL), and \
         started anew, empty, {away:.0} s later; the limit has the failure mode that it has when nothing is said. Failure modes have \
         answered {} requests. Limits are shared again when they answer fewer than one in a hundred. Before: without the first {} s, in which the burst passes.\n\n{}",
        whole(RATE),
        whole(OFFERED),
        degraded.join(", "),
        WARM_UP.as_secs(),
        table(
            &[
                "Redis",
                "200 per s",
                "429 per s",
                "5xx",
                "others and none",
                "p50 ms",
                "p99 ms",
                "p99 of the slowest second, ms"
            ],
            &rows
        )
    )
}

fn seconds((from, to): Span) -> f64 {
    to.saturating_sub(from).as_secs_f64()
}

fn targets(title: &str, outage: &Outage) -> Vec<Target> {
    let times = outage.times;
    let away = (times.killed, times.begun_anew);
    let seen = outage.seen_in((Duration::ZERO, Duration::MAX));
    let bad = seen.failed + seen.lost;
    let longer = outage.slowest_second(away) - outage.slowest_second((WARM_UP, times.killed));
    let passed = outage.passed_within(away) as f64;
    let may_pass = (RATE * (1.0 + seconds(away))).floor();
    let back = outage.back_after(OFFERED * FEW);
    vec![
        Target {
            what: format!("{title}: answers 5xx, others than 200 and 429, and none"),
            to_reach: "0".into(),
            measured: format!("{} of {}", whole(bad as f64), whole(outage.answers.len() as f64)),
            is_met: bad == 0,
        },
        Target {
            what: format!("{title}: p99 of the slowest second, away against before"),
            to_reach: format!("≤ {} ms more", LONGER.as_millis()),
            measured: format!("{longer:.1} ms more"),
            is_met: longer <= LONGER.as_secs_f64() * 1e3,
        },
        Target {
            what: format!("{title}: passed while Redis was away, against one burst and what the rate brings"),
            to_reach: format!("≤ {}", whole(may_pass)),
            measured: whole(passed),
            is_met: passed <= may_pass,
        },
        Target {
            what: format!("{title}: shared again after Redis was started"),
            to_reach: format!("≤ {} s", BACK_WITHIN.as_secs()),
            measured: back.map_or_else(|| "not at all".into(), |back| format!("{:.2} s", back.as_secs_f64())),
            is_met: back.is_some_and(|back| back <= BACK_WITHIN),
        },
    ]
}

fn picture(outages: &[(String, Outage)]) -> String {
    let panels: Vec<_> = outages.iter().flat_map(|(title, outage)| panels(&title.replace('`', ""), outage)).collect();
    let title = format!("{GATEWAYS} gateways share a limit of {RATE:.0} per second, Redis is killed and started anew");
    lines(&title, &["200", "429", "5xx, others, none", "p99"], &panels)
}

fn panels(title: &str, outage: &Outage) -> [Panel; 2] {
    let times = outage.times;
    let seconds = outage.by_second((Duration::ZERO, times.end));
    let line = |value: fn(&Seen) -> f64| {
        seconds.iter().enumerate().map(|(second, seen)| (second as f64 + 0.5, value(seen))).collect::<Vec<_>>()
    };
    let mark = |at: Duration, what: &str| Mark { at: at.as_secs_f64(), what: what.to_owned() };
    let marks = || {
        let back = outage.back_after(OFFERED * FEW).map(|after| mark(times.begun_anew + after, "shared again"));
        [mark(times.killed, "Redis is killed"), mark(times.begun_anew, "")].into_iter().chain(back).collect()
    };
    [
        Panel {
            title: format!("{title}: answers per second"),
            series: vec![
                line(|seen| seen.passed as f64),
                line(|seen| seen.refused as f64),
                line(|seen| (seen.failed + seen.lost) as f64),
            ],
            marks: marks(),
        },
        Panel {
            title: format!("{title}: p99 of each second, ms"),
            series: vec![vec![], vec![], vec![], line(|seen| seen.milliseconds(0.99))],
            marks: marks(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Look, Outage, RATE, Times, targets};
    use crate::open_loop::Answer;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn answer(due: u64, took: u64, status: u16) -> Answer {
        Answer { due: MS(due), took: MS(took), status: Some(status) }
    }

    fn met(answers: &[Answer]) -> Vec<bool> {
        let look = |at, degraded| Look { at: MS(at), degraded };
        let outage = Outage {
            answers: answers.to_vec(),
            looks: vec![look(3000, 0.0), look(5000, 50.0), look(6100, 50.0), look(9000, 50.0)],
            times: Times { killed: MS(4000), begun_anew: MS(6000), end: MS(10_000) },
        };
        targets("x", &outage).iter().map(|target| target.is_met).collect()
    }

    #[test]
    fn single_failure_is_one_too_many() {
        let mut all: Vec<_> = (0..100).map(|number| answer(number * 100, 1, 200)).collect();
        assert_eq!(met(&all), [true, true, true, true]);
        all[50] = answer(5000, 30, 503);
        assert_eq!(met(&all), [false, false, true, true]);
    }

    #[test]
    fn more_than_the_limit_is_too_much_while_redis_is_away_too() {
        let mut all = vec![answer(5000, 1, 200); RATE as usize * 3];
        assert_eq!(met(&all), [true, true, true, true]);
        all.push(answer(5000, 1, 200));
        assert_eq!(met(&all), [true, true, false, true]);
    }
}
