//! Whether a process can do its work now: everything it leans on is asked at once, each within a deadline.

#[cfg(feature = "redis")]
mod redis;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use serde::Serialize;

#[cfg(feature = "redis")]
pub use self::redis::{RedisCheck, RedisSettings, RedisUnavailable};
use crate::telemetry::Chain;

/// The checks of one process.
pub struct Readiness {
    checks: Vec<Check>,
    /// Longest wait for each.
    deadline: Duration,
}

struct Check {
    name: &'static str,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), CheckError>> + Send + Sync>,
}

type CheckError = Box<dyn Error + Send + Sync>;

/// What the checks found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Ready if all checks are.
    pub status: Status,
    /// Each check, in the order they were added.
    pub checks: Vec<CheckReport>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// What was asked.
    pub name: &'static str,
    /// Whether it answered well.
    pub status: Status,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether work can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It can.
    Ready,
    /// It cannot.
    Unready,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { checks: Vec::new(), deadline: Duration::from_secs(1) }
    }
}

impl Readiness {
    /// The same with a check more: `run` is called for each report and must not block.
    #[must_use]
    pub fn with<F, E>(mut self, name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<CheckError>,
    {
        let run = Box::new(move || {
            let answer = run();
            Box::pin(async move { answer.await.map_err(Into::into) }) as BoxFuture<'static, _>
        });
        self.checks.push(Check { name, run });
        self
    }

    /// Runs all checks at the same time; takes at most a second.
    pub async fn report(&self) -> Report {
        let checks = join_all(self.checks.iter().map(|check| check.report(self.deadline))).await;
        let ready = checks.iter().all(|check| check.status == Status::Ready);
        Report { status: if ready { Status::Ready } else { Status::Unready }, checks }
    }
}

impl Check {
    async fn report(&self, deadline: Duration) -> CheckReport {
        let detail = match tokio::time::timeout(deadline, (self.run)()).await {
            Ok(Ok(())) => return CheckReport { name: self.name, status: Status::Ready, detail: None },
            Ok(Err(error)) => {
                tracing::warn!(check = self.name, error = %Chain(error.as_ref()), "not ready");
                error.to_string()
            }
            Err(_elapsed) => {
                tracing::warn!(check = self.name, "not ready: no answer within {deadline:?}");
                format!("no answer within {deadline:?}")
            }
        };
        CheckReport { name: self.name, status: Status::Unready, detail: Some(detail) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn one_silent_and_one_failing_check_make_a_process_unready() {
        let readiness = Readiness { deadline: Duration::from_millis(20), ..Readiness::default() }
            .with("good", || async { Ok::<_, io::Error>(()) })
            .with("silent", std::future::pending::<Result<(), io::Error>>)
            .with("failing", || async { Err(io::Error::other("gone")) });
        let report = serde_json::to_value(readiness.report().await).expect("json");
        let expected = serde_json::json!({"status": "unready", "checks": [
            {"name": "good", "status": "ready"},
            {"name": "silent", "status": "unready", "detail": "no answer within 20ms"},
            {"name": "failing", "status": "unready", "detail": "gone"},
        ]});
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn a_process_that_leans_on_nothing_is_ready() {
        assert_eq!(Readiness::default().report().await, Report { status: Status::Ready, checks: vec![] });
    }
}
