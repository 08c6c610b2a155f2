//! One client at the border of a window: how many of his requests pass within one window's length, limiter beside limiter.
//!
//! Two clients ask each limiter. Both open a window with one request and are silent almost to its end. One then asks for
//! more than the limit in its last eighth, and again in the first eighth of the next. The other asks for just the rest of
//! the limit in the last eighth, and then as fast as it comes back, for a window's length: he is refused nothing that he
//! could know of.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::gateway::{Gateway, Policy, known, passed_over, request};
use super::passes::{Pass, curve, most_within, passes};
use super::target::Target;
use super::{Shown, fixed_window, together};
use crate::bench::{Bench, until_it_listens};
use crate::open_loop::{Answer, Offer, Server, answers, evenly};
use crate::peer::free_port;
use crate::process::{Process, joined, on_core};
use crate::svg::lines::{Mark, Panel, lines};
use crate::table::{table, whole};
use crate::template::fill;

/// Requests per second that every limiter lets through in the long run.
const PER_SECOND: u32 = 10;
/// Requests per second in a burst, so that an eighth of a window has more than the limit.
const BURST_PER_SECOND: u32 = PER_SECOND * 10;
/// What each does in the way of the two clients.
const OFFERS: [Way; 2] = [Way::TwoBursts, Way::BurstThenSteady];

/// How a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    TwoBursts,
    BurstThenSteady,
}

/// The limit that all are told.
#[derive(Clone, Copy, Debug)]
struct Limit {
    window: Duration,
    limit: u32,
}

/// Whoever limits, until dropped.
struct Limiter {
    title: String,
    addr: SocketAddr,
    /// The most that it lets through in a window's length, where that is said.
    promise: Option<u32>,
    _process: Option<Process>,
    _gateway: Option<Gateway>,
}

/// What passed in each of the ways.
struct Row {
    title: String,
    promise: Option<u32>,
    passes: Vec<Vec<Pass>>,
}

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let limit = Limit::of(seconds);
    let (limiters, skipped) = limiters(bench, limit)?;
    let (core, start) = (bench.cores.load, together::soon());
    let ask = |addr, way| move || on_core(core, move || offer(addr, way, limit, start));
    let rows = thread::scope(|scope| {
        let asked: Vec<_> =
            limiters.iter().map(|limiter| OFFERS.map(|way| scope.spawn(ask(limiter.addr, way)))).collect();
        let row = |(limiter, ways): (&Limiter, [ScopedJoinHandle<'_, Result<Vec<Answer>>>; 2])| {
            let passed = ways.into_iter().map(|way| passes(&joined(way)?).with_context(|| limiter.title.clone()));
            let (title, promise) = (limiter.title.clone(), limiter.promise);
            Ok(Row { title, promise, passes: passed.collect::<Result<_>>()? })
        };
        limiters.iter().zip(asked).map(row).collect::<Result<Vec<_>>>()
    })?;
    Ok(Shown {
        text: format!("{}{}", text(&rows, limit), passed_over(&skipped)),
        targets: targets(&rows, limit),
        picture: Some(picture(&rows, limit)),
    })
}

impl Limit {
    /// With a window of a sixth of that time.
    fn of(seconds: u32) -> Self {
        let window = (seconds / 6).max(1);
        Self { window: Duration::from_secs(u64::from(window)), limit: PER_SECOND * window }
    }

    /// The part of a window before and behind its border in which bursts come.
    fn eighth(self) -> Duration {
        self.window / 8
    }
}

/// All that are compared, and those that this gateway does not know.
fn limiters(bench: &Bench, limit: Limit) -> Result<(Vec<Limiter>, Vec<String>)> {
    let Limit { window, limit: quota } = limit;
    let (seconds, tenth) = (window.as_secs(), quota / 10);
    let addr = fixed_window::serve(quota, window)?;
    let title = "fixed windows, a model".to_owned();
    let mut all = vec![Limiter { title, addr, promise: None, _process: None, _gateway: None }];
    for (title, template, program) in [
        ("nginx, `limit_req`", "nginx.limits.conf", "nginx"),
        ("HAProxy, `http_req_rate`", "haproxy.limits.cfg", "haproxy"),
    ] {
        let (addr, process) = peer(bench, template, program, limit).context(title)?;
        all.push(Limiter { title: title.to_owned(), addr, promise: None, _process: Some(process), _gateway: None });
    }
    let policy = |title: &str, more: &str| {
        let settings = format!("scope: local, limit: {quota}, window: {seconds}s{more}");
        Policy::new(&format!("gateway, {title}"), settings)
    };
    let promises = [
        (policy("`sketch`", ", algorithm: sketch"), None),
        (policy("`gcra`", ""), Some(2 * quota)),
        (policy("`gcra`, `burst` a tenth", &format!(", burst: {tenth}")), Some(quota + tenth)),
        (policy("`sliding_window`", ", algorithm: sliding_window"), Some(quota)),
    ];
    let (known, skipped) = known(bench, promises.iter().map(|(policy, _)| policy.clone()).collect())?;
    for (policy, promise) in promises.iter().filter(|(policy, _)| known.contains(policy)) {
        let gateway = Gateway::start(bench, policy, None)?;
        let (title, addr) = (policy.title.clone(), gateway.addr());
        all.push(Limiter { title, addr, promise: *promise, _process: None, _gateway: Some(gateway) });
    }
    Ok((all, skipped))
}

fn peer(bench: &Bench, template: &str, program: &str, limit: Limit) -> Result<(SocketAddr, Process)> {
    let port = free_port()?;
    let values = [
        ("PORT", port.to_string()),
        ("UPSTREAM_PORT", bench.upstream.port().to_string()),
        ("DIRECTORY", bench.directory.display().to_string()),
        ("PER_MINUTE", (PER_SECOND * 60).to_string()),
        ("BURST", (limit.limit - 1).to_string()),
        ("WINDOW", limit.window.as_secs().to_string()),
        ("LIMIT", limit.limit.to_string()),
    ];
    let text = fs::read_to_string(bench.peers().join(template))?;
    let path = bench.directory.join(template);
    fs::write(&path, fill(&text, &values)?)?;
    let mut command = Command::new(program);
    if program == "nginx" {
        command.arg("-p").arg(&bench.directory).arg("-c").arg(&path);
    } else {
        command.arg("-db").arg("-f").arg(&path);
    }
    let process = Process::start(&command, Some(bench.cores.proxy), &bench.directory, &format!("{program}-{port}"))?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until_it_listens(addr).with_context(|| process.errors())?;
    Ok((addr, process))
}

fn offer(addr: SocketAddr, way: Way, limit: Limit, start: Instant) -> Result<Vec<Answer>> {
    let client = match way {
        Way::TwoBursts => Ipv4Addr::new(203, 0, 113, 1),
        Way::BurstThenSteady => Ipv4Addr::new(203, 0, 113, 2),
    };
    let (requests, due) = ([request("/128", client)], schedule(way, limit));
    answers(Offer { to: Server::Http(addr), connections: 4, requests: &requests, due: &due }, start)
}

fn schedule(way: Way, limit: Limit) -> Vec<Duration> {
    let (border, eighth) = (limit.window, limit.eighth());
    let burst = |from: Duration| evenly(f64::from(BURST_PER_SECOND), eighth).into_iter().map(move |at| from + at);
    let before = burst(border.saturating_sub(eighth));
    let mut due = vec![Duration::ZERO];
    match way {
        Way::TwoBursts => due.extend(before.chain(burst(border))),
        Way::BurstThenSteady => {
            due.extend(before.take(limit.limit as usize - 1));
            let rate = f64::from(PER_SECOND);
            // Half way between the moments in which the quota comes back, so that none is asked for a moment too early.
            let half = Duration::from_secs_f64(0.5 / rate);
            due.extend(evenly(rate, border).into_iter().map(|at| border + half + at));
        }
    }
    due
}

fn text(rows: &[Row], limit: Limit) -> String {
    let cells = |row: &Row| {
        let most = |way: usize, span| row.passes.get(way).map_or(0, |passes| most_within(passes, span));
        let worst = most(0, limit.window).max(most(1, limit.window));
        [most(0, limit.eighth() * 2), most(0, limit.window), most(1, limit.window), worst]
            .map(|most| format!("{most} ({:.2})", most as f64 / f64::from(limit.limit)))
    };
    let each: Vec<_> = rows.iter().map(|row| std::iter::once(row.title.clone()).chain(cells(row)).collect()).collect();
    format!(
        "A limit of {} requests in {} s. Two clients open a window with one request and keep silent until shortly before its end. \
         One asks for more than the limit in its last eighth, and again in the first eighth of the next (two bursts); the other \
         for just the rest of the limit, and then as fast as it comes back (burst, then steady). The most that has passed \
         within any such span, and that divided by the limit. nginx counts by the leaky bucket, here with the whole quota as its \
         burst; HAProxy estimates the rate of two periods and counts what it refuses too, which keeps a client out who goes on \
         asking; the fixed windows begin with a client's first request (`INCR` and `EXPIRE`, APISIX's `limit-count`) and are \
         modelled by the harness. `gcra` lets through in any window the limit and its burst, which is the limit where nothing \
         is said; `sliding_window` the limit.\n\n{}",
        limit.limit,
        limit.window.as_secs(),
        table(
            &[
                "most that passed",
                "two bursts: within a quarter",
                "two bursts: within a window",
                "burst, then steady: within a window",
                "the most",
            ],
            &each
        )
    )
}

fn targets(rows: &[Row], limit: Limit) -> Vec<Target> {
    let target = |row: &Row| {
        let promise = row.promise?;
        let most = row.passes.iter().map(|passes| most_within(passes, limit.window)).max().unwrap_or(0);
        Some(Target {
            what: format!("{}: within any {} s", row.title, limit.window.as_secs()),
            to_reach: format!("≤ {}", whole(f64::from(promise))),
            measured: whole(most as f64),
            is_met: most <= promise as usize,
        })
    };
    rows.iter().filter_map(target).collect()
}

fn picture(rows: &[Row], limit: Limit) -> String {
    let panel = |(way, title): (usize, &str)| Panel {
        title: title.to_owned(),
        series: rows
            .iter()
            .map(|row| row.passes.get(way).map(|passes| curve(passes, limit.window * 2)).unwrap_or_default())
            .collect(),
        marks: vec![Mark { at: limit.window.as_secs_f64(), what: "border of the windows".to_owned() }],
    };
    let ways = ["requests that have passed: two bursts", "requests that have passed: a burst, then steady"];
    let names: Vec<_> = rows.iter().map(|row| row.title.replace('`', "")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let title = format!("A limit of {} in {} s at the border of a window", limit.limit, limit.window.as_secs());
    lines(&title, &names, &ways.into_iter().enumerate().map(panel).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Limit, Row, Way, schedule, targets, text};
    use crate::limits::passes::Pass;

    fn passed(due: Vec<Duration>) -> Vec<Pass> {
        due.into_iter().map(|due| Pass { due, answered: due }).collect()
    }

    #[test]
    fn one_way_asks_for_more_than_the_limit_on_both_sides_of_the_border_and_the_other_for_the_limit() {
        let limit = Limit::of(60);
        assert_eq!((limit.window, limit.limit), (Duration::from_secs(10), 100));
        let two = schedule(Way::TwoBursts, limit);
        assert!(two.is_sorted());
        assert_eq!(two.iter().filter(|due| **due < limit.window).count(), 1 + 125);
        assert_eq!(two.iter().filter(|due| **due >= limit.window).count(), 125);
        let steady = schedule(Way::BurstThenSteady, limit);
        assert!(steady.is_sorted());
        assert_eq!(steady.iter().filter(|due| **due < limit.window).count(), 100);
        assert_eq!(steady.iter().filter(|due| **due >= limit.window).count(), 100);
    }

    #[test]
    fn whoever_lets_more_through_than_promised_has_missed() {
        let limit = Limit { window: Duration::from_secs(1), limit: 2 };
        let ms = |all: &[u64]| passed(all.iter().map(|ms| Duration::from_millis(*ms)).collect());
        let row = |promise| Row {
            title: "x".into(),
            promise: Some(promise),
            passes: vec![ms(&[0, 990, 1001]), ms(&[0, 10, 20, 30])],
        };
        let met: Vec<_> = targets(&[row(3), row(4)], limit).iter().map(|target| target.is_met).collect();
        assert_eq!(met, [false, true]);
        let text = text(&[row(4)], limit);
        assert!(text.contains("| x | 2 (1.00) | 2 (1.00) | 4 (2.00) | 4 (2.00) |"), "{text}");
    }
}
