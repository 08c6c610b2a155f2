//! The requests that are measured, as bytes.

use std::sync::Arc;

/// The user whose requests they are.
pub(crate) const USERNAME: &str = "bench_user";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A request, and the status that answers it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) status: u16,
}

/// Which of the two services answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    User,
    Inventory,
}

/// What is compared.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) request: Request,
    pub(crate) service: Service,
    /// Connections that send it at once; a login has few, for more than wait in the queue are refused.
    pub(crate) connections: usize,
    /// Whether it is answered from a catalogue that may be kept for a while.
    pub(crate) lists: bool,
}

/// Every endpoint that is compared, a login as the last. The token is `token`'s.
pub(crate) fn endpoints(token: &str) -> Vec<Endpoint> {
    let mut endpoints = those_beside_logins(token);
    endpoints.push(Endpoint { request: login(), service: Service::User, connections: 8, lists: false });
    endpoints
}

/// The endpoints that logins may hold up.
pub(crate) fn those_beside_logins(token: &str) -> Vec<Endpoint> {
    let endpoint = |request, service| Endpoint { request, service, connections: 32, lists: false };
    let list = get("GET assets, page of 20", "/inventory/assets", None);
    vec![
        Endpoint { lists: true, ..endpoint(list, Service::Inventory) },
        endpoint(get("GET asset", "/inventory/assets/bitcoin", None), Service::Inventory),
        endpoint(get("GET profile", "/profile", Some(token)), Service::User),
        endpoint(order(token), Service::Inventory),
    ]
}

/// A small purchase.
fn order(token: &str) -> Request {
    let body = r#"{"asset_id": "dogecoin", "quantity": "0.01"}"#;
    post("POST order", "/inventory/orders", Some(token), body, 201)
}

/// The user logs in.
pub(crate) fn login() -> Request {
    let body = format!(r#"{{"username": "{USERNAME}", "password": "{PASSWORD}"}}"#);
    post("POST login", "/login", None, &body, 200)
}

/// The user's first request.
pub(crate) fn register() -> Request {
    let body = format!(
        r#"{{"username": "{USERNAME}", "password": "{PASSWORD}", "email": "bench@example.com", "first_name": "Ann", "last_name": "Bench"}}"#
    );
    post("POST register", "/register", None, &body, 201)
}

fn get(name: &'static str, path: &str, token: Option<&str>) -> Request {
    let head = head("GET", path, token);
    Request { name, bytes: format!("{head}\r\n").into_bytes().into(), status: 200 }
}

fn post(name: &'static str, path: &str, token: Option<&str>, body: &str, status: u16) -> Request {
    let (head, length) = (head("POST", path, token), body.len());
    let text = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    Request { name, bytes: text.into_bytes().into(), status }
}

fn head(method: &str, path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n{authorization}")
}
