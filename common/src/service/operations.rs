//! The routes that every service has for those who run it.

use poem_openapi::payload::{Json, PlainText, Response};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, Tags};
use prometheus::Registry;

use super::Problem;
use crate::health::{self, Readiness};
use crate::telemetry::metrics;

/// Answers for the process itself.
pub(super) struct Operations {
    pub(super) readiness: Readiness,
    pub(super) metrics: Registry,
}

#[derive(Tags)]
enum Tag {
    /// For those who run the service
    Operations,
}

#[OpenApi(tag = "Tag::Operations")]
impl Operations {
    /// Is the process alive?
    ///
    /// Asks nobody else, so that a store that is down does not make an orchestrator restart the service.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> Alive {
        Alive::Ok(Json(Health { status: Life::Ok }))
    }

    /// Can the service do its work?
    #[oai(path = "/ready", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Ready {
        let report = self.readiness.report().await;
        match report.status {
            health::Status::Ready => Ready::Ready(Json(report.into())),
            health::Status::Unready => Ready::Unready(Json(report.into())),
        }
    }

    /// What has been measured, in Prometheus' text format.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self) -> Result<Response<PlainText<String>>, Problem> {
        let text = metrics::render(&self.metrics).map_err(Problem::internal)?;
        let text = String::from_utf8(text).map_err(Problem::internal)?;
        Ok(Response::new(PlainText(text)).header("Content-Type", metrics::CONTENT_TYPE))
    }
}

#[derive(ApiResponse)]
enum Alive {
    /// It is.
    #[oai(status = 200)]
    Ok(Json<Health>),
}

#[derive(Object)]
struct Health {
    status: Life,
}

#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum Life {
    Ok,
}

#[derive(ApiResponse)]
enum Ready {
    /// Everything it leans on answers.
    #[oai(status = 200)]
    Ready(Json<Report>),
    /// Something it leans on does not answer.
    #[oai(status = 503)]
    Unready(Json<Report>),
}

#[derive(Object)]
#[oai(rename = "Readiness")]
struct Report {
    status: Status,
    checks: Vec<Check>,
}

#[derive(Enum)]
#[oai(rename = "ReadinessStatus", rename_all = "lowercase")]
enum Status {
    Ready,
    Unready,
}

/// One thing that the service leans on.
#[derive(Object)]
#[oai(rename = "ReadinessCheck", skip_serializing_if_is_none)]
struct Check {
    name: String,
    status: Status,
    /// What is wrong.
    detail: Option<String>,
}

impl From<health::Report> for Report {
    fn from(report: health::Report) -> Self {
        let checks = report.checks.into_iter().map(|check| Check {
            name: check.name.to_owned(),
            status: check.status.into(),
            detail: check.detail,
        });
        Self { status: report.status.into(), checks: checks.collect() }
    }
}

impl From<health::Status> for Status {
    fn from(status: health::Status) -> Self {
        match status {
            health::Status::Ready => Self::Ready,
            health::Status::Unready => Self::Unready,
        }
    }
}
