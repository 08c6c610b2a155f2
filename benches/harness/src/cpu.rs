//! How much processor time a process has used, from `/proc`.
//!
//! The scheduler counts the sum in nanoseconds but splits it into user and system by sampling; so the sum is taken from
//! `schedstat` and only its division from `stat`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTime {
    /// All of it, in seconds.
    pub(crate) total: f64,
    /// Clock ticks in user mode.
    user_ticks: u64,
    /// Clock ticks in the kernel.
    system_ticks: u64,
}

impl CpuTime {
    /// Of the process `pid` and all its threads.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
        let (user_ticks, system_ticks) = ticks(&stat).context("/proc/PID/stat is not as expected")?;
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may have ended since the directory was listed.
            if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
                total += on_cpu(&text).context("/proc/PID/task/TID/schedstat is not as expected")?;
            }
        }
        Ok(Self { total: total.as_secs_f64(), user_ticks, system_ticks })
    }

    /// What was used from `earlier` to this.
    pub(crate) fn since(self, earlier: Self) -> Used {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(earlier.system_ticks) as f64;
        let total = (self.total - earlier.total).max(0.0);
        let user_share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Used { user: total * user_share, system: total * (1.0 - user_share) }
    }
}

/// Processor time of a span, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Used {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Used {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// What one core has done since the machine began, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CoreTime {
    busy: u64,
    idle: u64,
}

impl CoreTime {
    /// Of the core with this number.
    pub(crate) fn of(core: usize) -> Result<Self> {
        core_ticks(&fs::read_to_string("/proc/stat")?, core).with_context(|| format!("/proc/stat has no core {core}"))
    }

    /// How much of the time from `earlier` to this it was busy, from 0 to 1.
    pub(crate) fn busy_since(self, earlier: Self) -> f64 {
        let busy = self.busy.saturating_sub(earlier.busy) as f64;
        let idle = self.idle.saturating_sub(earlier.idle) as f64;
        if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 }
    }
}

/// The line of a core (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal.
fn core_ticks(stat: &str, core: usize) -> Option<CoreTime> {
    let name = format!("cpu{core}");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, idle, waiting, irq, softirq, steal, ..] = ticks[..] else { return None };
    Some(CoreTime { busy: user + nice + system + irq + softirq + steal, idle: idle + waiting })
}

/// Fields 14 and 15 of `/proc/PID/stat` (proc_pid_stat(5)), counted after the name, which may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The first field of `schedstat`: time on a processor in nanoseconds.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedstat.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CoreTime, CpuTime, core_ticks, on_cpu, ticks};

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 150 250 0 0 20 0 3 0 12345 1 2";
        assert_eq!(ticks(stat), Some((150, 250)));
        assert_eq!(ticks("77 (cut short) S 1"), None);
    }

    #[test]
    fn a_core_is_busy_with_all_but_idling_and_waiting() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 10 1 5 100 4 1 2 1 0 0\ncpu11 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(core_ticks(stat, 1), Some(CoreTime { busy: 20, idle: 104 }));
        assert_eq!(core_ticks(stat, 2), None);
        let later = CoreTime { busy: 50, idle: 114 };
        assert_eq!(later.busy_since(CoreTime { busy: 20, idle: 104 }), 0.75);
    }

    #[test]
    fn time_on_a_processor_is_the_first_field() {
        assert_eq!(on_cpu("1500 20 3\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(on_cpu("\n"), None);
    }

    #[test]
    fn the_sum_is_divided_as_the_ticks_are() {
        let earlier = CpuTime { total: 1.0, user_ticks: 10, system_ticks: 10 };
        let later = CpuTime { total: 3.0, user_ticks: 40, system_ticks: 20 };
        let used = later.since(earlier);
        assert_eq!((used.user, used.system, used.total()), (1.5, 0.5, 2.0));
    }
}
