//! What operators see: liveness, readiness, metrics, and the state of the upstreams. Loopback only by default.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use common::telemetry::Chain;
use http::header::{ALLOW, CONTENT_TYPE, ORIGIN};
use http::{Method, Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use crate::middleware::KeysState;
use crate::reply;
use crate::server::{Reloader, Shared};
use crate::upstream::{Pool, TargetState};

/// The application behind the admin listener.
pub(crate) struct Admin {
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
}

/// Where a `POST` has the configuration read again.
const RELOAD_PATH: &str = "/reload";

impl Admin {
    pub(crate) const fn new(shared: Arc<Shared>, reloader: Arc<Reloader>) -> Self {
        Self { shared, reloader }
    }

    /// Does what a `SIGHUP` does, and says what came of it.
    async fn reload(&self, request: &RequestHeader) -> Response<Vec<u8>> {
        if request.method != Method::POST {
            return only("POST");
        }
        // Of a page in a browser on this machine, which is no operator.
        if request.headers.contains_key(ORIGIN) {
            return problem(StatusCode::FORBIDDEN, "forbidden", "Web pages do not reload the configuration.");
        }
        match self.reloader.reload().await {
            Ok(warnings) => json_response(StatusCode::OK, &json!({"status": "reloaded", "warnings": warnings})),
            Err(error) => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, "configuration_refused", &Chain(&error).to_string())
            }
        }
    }

    /// Whether a balancer should send requests here. An upstream, a Redis or an issuer that is out of order is shown but no reason
    /// to take this gateway away: every other one would see the same, and routes without it are served.
    async fn ready(&self) -> Response<Vec<u8>> {
        let draining = self.shared.draining.load(Ordering::Relaxed);
        let snapshot = self.shared.snapshot.load_full();
        let redis = match snapshot.policies.redis() {
            Some(link) => Some(check("redis", link.check().await.map_err(|error| Chain(&error).to_string()))),
            None => None,
        };
        let lost = snapshot.providers.revocations().map(|revocations| revocations.check());
        // Others may follow their source, and then they serve those whom this one would refuse.
        let refuses = matches!(&lost, Some(Err(lost)) if lost.refuses);
        let revocations = lost.map(|lost| check("revocations", lost.map_err(|lost| lost.detail)));
        let keys = snapshot.providers.published_keys();
        let keys = keys.map(|(provider, state)| check(&format!("keys of {provider}"), known(&state)));
        let upstream = |pool: &Arc<Pool>| check(&format!("upstream {}", pool.name()), usable(&pool.targets()));
        let checks: Vec<Value> =
            snapshot.pools.values().map(upstream).chain(redis).chain(revocations).chain(keys).collect();
        let degraded = checks.iter().any(|check| check["status"] != UP);
        let (status, state) = match (draining, refuses, degraded) {
            (true, ..) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, true, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
            (false, false, true) => (StatusCode::OK, "degraded"),
            (false, false, false) => (StatusCode::OK, "ready"),
        };
        json_response(status, &json!({"status": state, "checks": checks}))
    }

    fn upstreams(&self) -> Response<Vec<u8>> {
        let snapshot = self.shared.snapshot.load();
        let pools = snapshot.pools.values().map(|pool| {
            let target = |target: TargetState| {
                let mut shown = json!({"target": target.label, "healthy": target.healthy});
                if let Some(reason) = target.reason {
                    shown["reason"] = (*reason).into();
                }
                shown
            };
            (pool.name().to_owned(), pool.targets().into_iter().map(target).collect::<Value>())
        });
        json_response(StatusCode::OK, &Value::Object(pools.collect()))
    }

    /// Which of the services that are asked about requests have answered the last time, and which issuers when their keys were
    /// fetched. Nobody asks the former without a request, so that this is no reason to take the gateway away.
    fn services(&self) -> Response<Vec<u8>> {
        fn shown<'s>(services: impl Iterator<Item = (&'s str, Option<bool>)>) -> Value {
            let state = |(name, answers): (&str, Option<bool>)| (name.to_owned(), json!({"answers": answers}));
            Value::Object(services.map(state).collect())
        }
        let snapshot = self.shared.snapshot.load();
        let (forward_auth, introspection) = (snapshot.forward_auths.states(), snapshot.providers.introspections());
        let issuer = |(name, state): (&str, KeysState)| {
            let mut shown = json!({"answers": state.last.as_ref().map(Result::is_ok), "keys": state.keys});
            if let Some(Err(problem)) = state.last {
                shown["problem"] = (*problem).into();
            }
            (name.to_owned(), shown)
        };
        let issuers = Value::Object(snapshot.providers.published_keys().map(issuer).collect());
        let state = json!({
            "forward_auth": shown(forward_auth),
            "token_introspection": shown(introspection),
            "jwt_providers": issuers,
        });
        json_response(StatusCode::OK, &state)
    }

    fn revocations(&self) -> Response<Vec<u8>> {
        let snapshot = self.shared.snapshot.load();
        let state = snapshot.providers.revocations().map_or(Value::Null, |revocations| revocations.state());
        json_response(StatusCode::OK, &state)
    }

    fn metrics(&self) -> Response<Vec<u8>> {
        match self.metrics_text() {
            Ok(text) => response(StatusCode::OK, prometheus::TEXT_FORMAT, text.into_bytes()),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The metrics cannot be written; see the log.")
            }
        }
    }

    fn metrics_text(&self) -> prometheus::Result<String> {
        let configured = Registry::new();
        self.shared.metrics.unrouted.register(&configured)?;
        self.shared.snapshot.load().register(&configured)?;
        let mut families = self.shared.registry.gather();
        families.extend(configured.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        if request.uri.path() == RELOAD_PATH {
            return self.reload(request).await;
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return only("GET, HEAD");
        }
        match request.uri.path() {
            "/health" => json_response(StatusCode::OK, &json!({"status": "ok"})),
            "/ready" => self.ready().await,
            "/metrics" => self.metrics(),
            "/upstreams" => self.upstreams(),
            "/services" => self.services(),
            "/revocations" => self.revocations(),
            "/jwks.json" => json_response(StatusCode::OK, &self.shared.snapshot.load().signers.jwks()),
            _ => problem(StatusCode::NOT_FOUND, "no_route", ROUTES),
        }
    }
}

/// Whether one of a pool's targets gets requests; else why none does.
fn usable(targets: &[TargetState]) -> Result<(), String> {
    if targets.iter().any(|target| target.healthy) {
        return Ok(());
    }
    let why = |target: &TargetState| Some(format!("{}: {}", target.label, target.reason.as_deref()?));
    match targets {
        [] => Err("no target has an address".to_owned()),
        targets => Err(targets.iter().filter_map(why).collect::<Vec<_>>().join(", ")),
    }
}

/// Whether tokens of an issuer can be checked; else why not.
fn known(state: &KeysState) -> Result<(), String> {
    match &state.last {
        _ if state.keys > 0 => Ok(()),
        Some(Err(problem)) => Err(format!("its tokens are answered with 503, for no keys are known: {problem}")),
        Some(Ok(())) => Err("the issuer publishes no keys that can be used".to_owned()),
        None => Err("the keys are being fetched".to_owned()),
    }
}

const UP: &str = "up";
const ROUTES: &str =
    "There are /health, /ready, /metrics, /upstreams, /services, /revocations, /jwks.json and, for POST, /reload.";

fn check(name: &str, found: Result<(), String>) -> Value {
    match found {
        Ok(()) => json!({"name": name, "status": UP}),
        Err(detail) => json!({"name": name, "status": "down", "detail": detail}),
    }
}

/// Says which `methods` a path takes.
fn only(methods: &'static str) -> Response<Vec<u8>> {
    let detail = format!("This path takes {methods} only.");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &detail);
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(methods));
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    response(status, "application/json", body.to_string().into_bytes())
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Vec<u8>> {
    response(status, reply::PROBLEM, reply::problem(status, code, detail).to_string().into_bytes())
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}
