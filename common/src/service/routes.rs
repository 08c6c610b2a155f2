//! What the routes of a service are called, and which methods each has: read from its OpenAPI document.

use std::collections::HashMap;

use poem::PathPattern;
use poem::http::HeaderValue;
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

/// The routes by the pattern that poem matches them with.
pub(super) struct Routes(HashMap<String, Route>);

struct Route {
    /// The path as it stands in the document, like `/orders/{id}`.
    template: String,
    /// The methods, as the `Allow` header lists them.
    allow: HeaderValue,
}

impl Routes {
    /// Those of `api`, and the paths of `internal`, which are asked with `GET`.
    pub(super) fn of<A: OpenApi>(api: &OpenApiService<A, ()>, internal: impl Iterator<Item = &'static str>) -> Self {
        let document: Value = serde_json::from_str(&api.spec()).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        let documented = paths.into_iter().map(|(path, operations)| {
            let mut methods: Vec<_> = operations.as_object().into_iter().flat_map(|map| map.keys()).cloned().collect();
            if methods.iter().any(|method| method == "get") {
                methods.push("head".to_owned());
            }
            (path, methods.join(", ").to_uppercase())
        });
        let own = ["/docs", "/redoc", "/openapi.json"].into_iter().chain(internal);
        let own = own.map(|path| (path.to_owned(), "GET, HEAD".to_owned()));
        let routes = documented.chain(own).filter_map(|(template, methods)| {
            Some((pattern(&template), Route { template, allow: HeaderValue::try_from(methods).ok()? }))
        });
        Self(routes.collect())
    }

    /// The route's path as documented; `unmatched` if there is none.
    pub(super) fn template(&self, pattern: Option<&PathPattern>) -> &str {
        self.route(pattern).map_or("unmatched", |route| &route.template)
    }

    /// The methods that the route has.
    pub(super) fn allow(&self, pattern: Option<&PathPattern>) -> Option<HeaderValue> {
        self.route(pattern).map(|route| route.allow.clone())
    }

    fn route(&self, pattern: Option<&PathPattern>) -> Option<&Route> {
        self.0.get(pattern?.0.trim_end_matches('/'))
    }
}

/// The pattern that poem-openapi makes of a documented path: the parameters are numbered.
fn pattern(template: &str) -> String {
    let mut parameters = 0_usize..;
    let segments = template.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(_) => format!(":param{}", parameters.next().unwrap_or_default()),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}
