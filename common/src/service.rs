//! Everything that is the same in each HTTP service of ours, so that a service's `api.rs` holds only its routes.
//!
//! `Service::into_endpoint` is the whole way of a request, in order.

mod access;
mod authentication;
mod body;
mod connections;
mod field;
mod limits;
mod operations;
mod problem;
mod process;
mod readiness;
mod rejection;
mod request_id;
mod routes;
mod running;

use std::net::SocketAddr;
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, EndpointExt, Response, Route};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService, ServerObject};
use prometheus::Registry;

pub use self::authentication::{Authenticated, Authenticator};
pub use self::body::Body;
pub use self::field::{Field, FieldValue, Fields};
pub use self::limits::Limits;
pub use self::problem::{FieldError, Problem};
pub use self::process::run;
pub use self::readiness::readiness;
pub use self::request_id::RequestId;
pub use self::running::{BindError, Running};
use crate::health::Readiness;

/// One HTTP service: its own routes, and what they share with every other service's.
pub struct Service<A> {
    /// How it calls itself in logs.
    pub name: &'static str,
    /// How its API document is headed.
    pub title: &'static str,
    /// What its API document says first.
    pub description: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its own routes.
    pub api: A,
    /// Who checks the tokens of its callers.
    pub authenticator: Authenticator,
    /// What it leans on.
    pub readiness: Readiness,
    /// What it measures.
    pub metrics: Registry,
    /// What it takes on at most.
    pub limits: Limits,
    /// What it has beside its API, for other parts of the system: paths that stand in no document.
    pub internal: Vec<(&'static str, BoxEndpoint<'static, Response>)>,
}

/// Why a service did not start to listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The service's metrics have the names of ours.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

impl<A: OpenApi + 'static> Service<A> {
    /// Takes `addr` and is ready to serve: connections wait until [`Running::run_until`].
    ///
    /// # Errors
    /// When the address cannot be had, or a metric's name is taken.
    pub async fn bind(self, addr: SocketAddr) -> Result<Running, ServeError> {
        let (name, connections) = (self.name, self.limits.connections);
        let endpoint = self.into_endpoint()?;
        Ok(Running::bind(name, addr, connections, endpoint).await?)
    }

    /// The way of a request. It enters at the last `around` and comes out there with its answer.
    fn into_endpoint(self) -> Result<impl Endpoint<Output = Response> + 'static, prometheus::Error> {
        let access = Arc::new(access::AccessLog::new(self.name, &self.metrics)?);
        let operations = operations::Operations { readiness: self.readiness, metrics: self.metrics };
        let api = OpenApiService::new((self.api, operations), self.title, self.version)
            .description(self.description)
            // Wherever the document was fetched from.
            .server(ServerObject::new("/"))
            .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"));
        let routes = Arc::new(routes::Routes::of(&api, self.internal.iter().map(|(path, _)| *path)));
        let document = poem::get(api.spec_endpoint());
        let (swagger_ui, redoc) = (api.swagger_ui(), api.redoc());
        let limit = self.limits.body_bytes;

        let all =
            Route::new().nest("/", api).nest("/docs", swagger_ui).nest("/redoc", redoc).at("/openapi.json", document);
        let all = self.internal.into_iter().fold(all, |all, (path, endpoint)| all.at(path, poem::get(endpoint)));
        Ok(all
            .data(Arc::new(self.authenticator))
            // 4. A body is read whole, within a size and a time.
            .around(move |next, request| body::bounded(next, request, limit))
            // 3. Whatever failed below, panics included, becomes a problem document.
            .around({
                let routes = Arc::clone(&routes);
                move |next, request| rejection::answered(next, request, Arc::clone(&routes))
            })
            // 2. The answer is measured and logged.
            .around(move |next, request| access::observed(next, request, Arc::clone(&access), Arc::clone(&routes)))
            // 1. The request gets its id, which every line of the log and the answer then bear.
            .around(request_id::identified))
    }
}

#[cfg(test)]
mod tests;
