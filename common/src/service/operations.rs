//! The routes that every service has for those who run it.

use poem::http::StatusCode;
use poem_openapi::payload::{PlainText, Response};
use poem_openapi::types::Any;
use poem_openapi::{OpenApi, Tags, payload::Json};
use prometheus::Registry;

use super::Problem;
use crate::health::{Readiness, Report, Status};
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
    async fn health(&self) -> Json<Any<serde_json::Value>> {
        Json(Any(serde_json::json!({"status": "ok"})))
    }

    /// Can the service do its work?
    ///
    /// 200 if everything it leans on answers, else 503; the body says what does not.
    #[oai(path = "/ready", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Response<Json<Any<Report>>> {
        let report = self.readiness.report().await;
        let status = match report.status {
            Status::Ready => StatusCode::OK,
            Status::Unready => StatusCode::SERVICE_UNAVAILABLE,
        };
        Response::new(Json(Any(report))).status(status)
    }

    /// What has been measured, in Prometheus' text format.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self) -> Result<Response<PlainText<String>>, Problem> {
        let text = metrics::render(&self.metrics).map_err(Problem::internal)?;
        let text = String::from_utf8(text).map_err(Problem::internal)?;
        Ok(Response::new(PlainText(text)).header("Content-Type", metrics::CONTENT_TYPE))
    }
}
