//! The answers the gateway gives itself, made in one place: problem documents (RFC 9457) with a stable `code`, and what a
//! route answers in place of an upstream.
//!
//! The text of a problem is fixed per situation and tells the client what to do; the cause goes to the log line, never to
//! the client.

mod grpc;
mod reason;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_core::protocols::http::date::get_cached_date;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use serde_json::{Value, json};

use crate::middleware::ResponseHead;
use crate::path::BadPath;
use crate::router::MethodSet;
pub(crate) use grpc::{is_grpc, is_grpc_type};
pub use reason::{BadCertificate, BadCredential, BadToken, Malformation};

/// The header by which a request is found again in every log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The media type of a problem document.
pub(crate) const PROBLEM: &str = "application/problem+json";

/// What a 429 is, in the words of the rate-limit header draft.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// How a token is asked for.
pub(crate) const BEARER: &str = "Bearer realm=\"gateway\"";

/// How a key is asked for. The scheme is of our own making, for there is none registered; but a 401 has to have one (RFC 9110,
/// section 11.6.1).
pub(crate) const API_KEY: &str = "ApiKey realm=\"gateway\"";

/// How a certificate is asked for; of our own making like the one before.
pub(crate) const CLIENT_CERTIFICATE: &str = "ClientCertificate realm=\"gateway\"";

/// Why the gateway answers in place of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request can be read in two ways.
    Ambiguous(Ambiguity),
    /// It is not HTTP.
    Malformed(Malformation),
    /// It is HTTP/2 where that is not spoken.
    Http2NotSpoken,
    /// Its path can be read in two ways.
    BadPath(BadPath),
    /// Its target is too long.
    UriTooLong,
    /// Its headers are too large together.
    HeadersTooLarge,
    /// Its body is too large.
    BodyTooLarge,
    /// It expects something that is not known (RFC 9110, section 10.1.1).
    UnknownExpectation,
    /// No route takes its path.
    NoRoute,
    /// It should come over TLS, and there is no certificate for its host.
    Misdirected,
    /// Routes take its path, but not its method.
    MethodNotAllowed(MethodSet),
    /// It needs a token and has none.
    TokenMissing,
    /// The same where tokens do not stand in `Authorization: Bearer`. This says where they do.
    TokenMissingElsewhere(Arc<str>),
    /// Its token is not to be believed.
    TokenInvalid(BadToken),
    /// Its token was revoked.
    TokenRevoked,
    /// Whether its token was revoked cannot be said.
    RevocationsUnknown,
    /// It needs a key of a program and has none.
    ApiKeyMissing,
    /// Its key is not known.
    ApiKeyInvalid(BadCredential),
    /// It needs a name and a password and has none. The challenge says for what.
    PasswordMissing(HeaderValue),
    /// Its name or its password is wrong.
    PasswordInvalid(HeaderValue, BadCredential),
    /// Too many passwords are to be checked at once.
    PasswordsBusy,
    /// It needs a certificate of its client, who has shown none on the connection.
    CertificateMissing,
    /// The certificate of its client counts no more, or cannot be told to the upstream.
    CertificateInvalid(BadCertificate),
    /// The certificate of its client is none of those that may come.
    CertificateNotPermitted,
    /// It needs a proof of who is there, of whichever kind, and has none. These are the challenges of all kinds.
    CredentialsMissing(Arc<[HeaderValue]>),
    /// It needs several proofs together, and lacks some. These are the challenges of those that it lacks.
    ProofsMissing(Arc<[HeaderValue]>),
    /// Whoever is there may not do this. The challenge says what it would take, as far as the scopes of a token go; there is none
    /// where somebody was known by something else.
    InsufficientScope(Option<HeaderValue>),
    /// An expression of the route does not permit it, whoever asks.
    NotPermitted,
    /// Whether its token is to be believed cannot be said, for the issuer's keys cannot be had.
    KeysUnavailable,
    /// Whether its token is to be believed cannot be said, for its issuer does not say it.
    IntrospectionUnavailable,
    /// Whether it may go on cannot be said, for no service answers that.
    AuthUnavailable,
    /// It is one too many for this policy. When the next may come stands in the headers that its limiter adds.
    QuotaExceeded(Box<str>),
    /// The same where no document is wanted that says so: the answer has no body.
    QuotaExceededBare,
    /// It lacks what a policy counts it by; what that is, unless it is an expression.
    RateLimitKeyMissing(Option<Arc<str>>),
    /// Whether it is one too many cannot be said, and the policy then refuses.
    LimiterUnavailable,
    /// The gateway serves as many connections as it may.
    TooManyConnections,
    /// No target of its upstream is healthy.
    NoHealthyTarget,
    /// Its upstream could not be reached.
    UpstreamUnreachable,
    /// Its upstream did not answer in time.
    UpstreamTimedOut,
    /// Its upstream answered something that is no HTTP, or broke off.
    UpstreamBroken,
    /// The client took too long to send it.
    ClientTimedOut,
    /// A mistake of ours.
    Internal,
}

/// An answer of the gateway's own with which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says in short.
    pub status: StatusCode,
    /// Its headers but for length, date and the request's id.
    pub headers: HeaderMap,
    /// What it says at length.
    pub body: Bytes,
}

/// In which way a request can be read in two ways (RFC 9112, sections 3.2, 6.1, 6.3 and 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// A `Content-Length` other than a single number.
    Length,
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthAndEncoding,
    /// A `Transfer-Encoding` other than a single `chunked`.
    TransferEncoding,
    /// A `Transfer-Encoding` in HTTP/1.0.
    OldTransferEncoding,
    /// No `Host`, more than one, or one that is no host name.
    Host,
    /// `Forwarded` beside an `X-Forwarded-For` that names another client (RFC 7239, section 7.4).
    Client,
}

/// How long a client is asked to stay away when there is no server or no place for it, in seconds. The next health check
/// has usually been made by then.
const RETRY_OUTAGE_AFTER: u64 = 2;

impl Rejection {
    /// Status, stable code and the sentence for the client.
    #[must_use]
    pub const fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Ambiguous(Ambiguity::Length) => {
                (S::BAD_REQUEST, "ambiguous_framing", "The only Content-Length taken is a single number.")
            }
            Self::Ambiguous(Ambiguity::LengthAndEncoding) => {
                (S::BAD_REQUEST, "ambiguous_framing", "Content-Length and Transfer-Encoding must not be sent together.")
            }
            Self::Ambiguous(Ambiguity::TransferEncoding) => {
                (S::BAD_REQUEST, "ambiguous_framing", "The only Transfer-Encoding taken is a single `chunked`.")
            }
            Self::Ambiguous(Ambiguity::OldTransferEncoding) => {
                (S::BAD_REQUEST, "ambiguous_framing", "HTTP/1.0 has no Transfer-Encoding; send HTTP/1.1.")
            }
            Self::Ambiguous(Ambiguity::Host) => {
                (S::BAD_REQUEST, "bad_host", "The request must name exactly one valid host.")
            }
            Self::Ambiguous(Ambiguity::Client) => {
                (S::BAD_REQUEST, "ambiguous_client", "Forwarded and X-Forwarded-For must not name different clients.")
            }
            Self::Malformed(_) => (S::BAD_REQUEST, "malformed_request", "The request is not valid HTTP."),
            Self::BadPath(BadPath::EncodedSlash | BadPath::Backslash | BadPath::LeadsElsewhere) => {
                (S::BAD_REQUEST, "bad_path", "The path must not have an encoded slash or a backslash.")
            }
            Self::BadPath(BadPath::HiddenDots) => (
                S::BAD_REQUEST,
                "bad_path",
                "The path must not have `.` or `..` beside an encoded slash or a backslash.",
            ),
            Self::Http2NotSpoken => (
                S::BAD_REQUEST,
                "http2_not_spoken",
                "HTTP/2 is not spoken here; send HTTP/1.1, or agree on HTTP/2 in a TLS handshake (ALPN).",
            ),
            Self::BadPath(_) => (S::BAD_REQUEST, "bad_path", "The path is not a valid URI path."),
            Self::UriTooLong => (S::URI_TOO_LONG, "uri_too_long", "The request target is too long."),
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The request headers are too large together.")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is too large."),
            Self::UnknownExpectation => {
                (S::EXPECTATION_FAILED, "unknown_expectation", "The only Expect taken is `100-continue`.")
            }
            Self::NoRoute => (S::NOT_FOUND, "no_route", "Nothing is served under this path."),
            Self::Misdirected => {
                (S::MISDIRECTED_REQUEST, "misdirected_request", "Come over https, to a host that is served here.")
            }
            Self::MethodNotAllowed(_) => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method; see Allow.")
            }
            Self::TokenMissing => {
                (S::UNAUTHORIZED, "missing_token", "Send an access token as `Authorization: Bearer <token>`.")
            }
            Self::TokenMissingElsewhere(_) => (S::UNAUTHORIZED, "missing_token", "Send an access token."),
            Self::TokenInvalid(_) => {
                (S::UNAUTHORIZED, "invalid_token", "The access token is not valid or no longer valid; log in again.")
            }
            Self::TokenRevoked => (S::UNAUTHORIZED, "invalid_token", "The access token was revoked; log in again."),
            Self::RevocationsUnknown => (
                S::SERVICE_UNAVAILABLE,
                "revocations_unavailable",
                "Tokens cannot be checked at the moment; try again soon.",
            ),
            Self::ApiKeyMissing => (S::UNAUTHORIZED, "missing_api_key", "Send the key that your program was given."),
            Self::ApiKeyInvalid(_) => (S::UNAUTHORIZED, "invalid_api_key", "The key is not known or no longer known."),
            Self::PasswordMissing(_) => (S::UNAUTHORIZED, "missing_password", "Send your name and your password."),
            Self::PasswordInvalid(..) => (S::UNAUTHORIZED, "invalid_password", "The name or the password is wrong."),
            Self::PasswordsBusy => {
                (S::SERVICE_UNAVAILABLE, "passwords_busy", "Too many log in at the moment; try again soon.")
            }
            Self::CertificateMissing => {
                (S::UNAUTHORIZED, "missing_certificate", "Connect over TLS with the certificate that you were given.")
            }
            Self::CertificateInvalid(_) => {
                (S::UNAUTHORIZED, "invalid_certificate", "Your certificate is not valid or no longer valid.")
            }
            Self::CertificateNotPermitted => (
                S::FORBIDDEN,
                "certificate_not_permitted",
                "What your certificate says is not enough for this request.",
            ),
            Self::CredentialsMissing(_) => {
                (S::UNAUTHORIZED, "missing_credentials", "Say who you are in one of the ways of WWW-Authenticate.")
            }
            Self::ProofsMissing(_) => {
                (S::UNAUTHORIZED, "missing_credentials", "Say who you are in each of the ways of WWW-Authenticate.")
            }
            Self::InsufficientScope(_) => {
                (S::FORBIDDEN, "insufficient_scope", "What was proved of the sender is not enough for this request.")
            }
            Self::NotPermitted => (S::FORBIDDEN, "not_permitted", "This request is not permitted."),
            Self::KeysUnavailable => {
                (S::SERVICE_UNAVAILABLE, "keys_unavailable", "Tokens cannot be checked at the moment; try again soon.")
            }
            Self::IntrospectionUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "introspection_unavailable",
                "Tokens cannot be checked at the moment; try again soon.",
            ),
            Self::AuthUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "auth_unavailable",
                "Whether you may do this cannot be said now; try again soon.",
            ),
            Self::QuotaExceeded(_) | Self::QuotaExceededBare => {
                (S::TOO_MANY_REQUESTS, "quota_exceeded", "Too many requests; try again later.")
            }
            Self::RateLimitKeyMissing(_) => (
                S::BAD_REQUEST,
                "rate_limit_key_missing",
                "The request lacks, or has twice, what its quota is counted by; see `missing`.",
            ),
            Self::LimiterUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "limiter_unavailable",
                "Quotas cannot be checked at the moment; try again soon.",
            ),
            Self::TooManyConnections => {
                (S::SERVICE_UNAVAILABLE, "too_many_connections", "There are too many connections; try again soon.")
            }
            Self::NoHealthyTarget => {
                (S::SERVICE_UNAVAILABLE, "no_healthy_upstream", "The service is out of order; try again soon.")
            }
            Self::UpstreamUnreachable => {
                (S::BAD_GATEWAY, "upstream_unreachable", "The service could not be reached; try again soon.")
            }
            Self::UpstreamTimedOut => (S::GATEWAY_TIMEOUT, "upstream_timed_out", "The service did not answer in time."),
            Self::UpstreamBroken => {
                (S::BAD_GATEWAY, "upstream_broken", "The service gave no answer that could be read.")
            }
            Self::ClientTimedOut => (S::REQUEST_TIMEOUT, "request_timed_out", "The request did not arrive in time."),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side."),
        }
    }

    /// The stable code, for the log and the metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.describe().1
    }

    fn headers(&self, mut add: impl FnMut(HeaderName, HeaderValue)) {
        match self {
            Self::MethodNotAllowed(methods) => {
                let names: Vec<String> = methods.iter().map(|method| method.to_string()).collect();
                if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
                    add(ALLOW, value);
                }
            }
            // RFC 6750, section 3: no error code where the client has not tried to authenticate.
            Self::TokenMissing | Self::TokenMissingElsewhere(_) => {
                add(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER))
            }
            Self::ApiKeyMissing | Self::ApiKeyInvalid(_) => add(WWW_AUTHENTICATE, HeaderValue::from_static(API_KEY)),
            Self::CertificateMissing | Self::CertificateInvalid(_) => {
                add(WWW_AUTHENTICATE, HeaderValue::from_static(CLIENT_CERTIFICATE));
            }
            Self::CredentialsMissing(challenges) | Self::ProofsMissing(challenges) => {
                challenges.iter().for_each(|challenge| add(WWW_AUTHENTICATE, challenge.clone()));
            }
            Self::PasswordMissing(challenge)
            | Self::PasswordInvalid(challenge, _)
            | Self::InsufficientScope(Some(challenge)) => {
                add(WWW_AUTHENTICATE, challenge.clone());
            }
            Self::TokenInvalid(_) => {
                add(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gateway\", error=\"invalid_token\""));
            }
            Self::TokenRevoked => {
                let told = "Bearer realm=\"gateway\", error=\"invalid_token\", error_description=\"revoked\"";
                add(WWW_AUTHENTICATE, HeaderValue::from_static(told));
            }
            Self::NoHealthyTarget
            | Self::TooManyConnections
            | Self::KeysUnavailable
            | Self::RevocationsUnknown
            | Self::AuthUnavailable
            | Self::IntrospectionUnavailable
            | Self::PasswordsBusy => {
                add(RETRY_AFTER, HeaderValue::from(RETRY_OUTAGE_AFTER));
            }
            _ => {}
        }
    }

    /// The problem document, unless none is wanted.
    fn body(&self, request_id: &str) -> Option<Bytes> {
        if matches!(self, Self::QuotaExceededBare) {
            return None;
        }
        let (status, code, detail) = self.describe();
        let mut problem = problem(status, code, detail);
        problem["request_id"] = request_id.into();
        if let Self::TokenMissingElsewhere(detail) = self {
            problem["detail"] = (**detail).into();
        }
        if let Self::QuotaExceeded(policy) = self {
            problem["type"] = QUOTA_EXCEEDED.into();
            problem["violated-policies"] = [&**policy].into_iter().collect();
        }
        if let Self::RateLimitKeyMissing(Some(part)) = self {
            problem["missing"] = part.to_string().into();
        }
        Some(Bytes::from(problem.to_string()))
    }
}

/// A problem document (RFC 9457) without the id of its request.
pub(crate) fn problem(status: StatusCode, code: &str, detail: &str) -> Value {
    json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    })
}

/// Answers the request in `session` with `rejection`, its head and body amended by `amend`.
///
/// # Errors
/// When the client is gone.
pub(crate) async fn reject(
    session: &mut Session,
    rejection: &Rejection,
    request_id: &HeaderValue,
    amend: impl FnOnce(&RequestHeader, &mut ResponseHead<'_>, &mut Bytes),
) -> Result<()> {
    if is_grpc(session.req_header()) {
        return grpc::reject(session, rejection, request_id, amend).await;
    }
    let (status, ..) = rejection.describe();
    let body = rejection.body(request_id.to_str().unwrap_or_default());
    let mut head = head(status, request_id);
    if body.is_some() {
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    }
    head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    rejection.headers(|name, value| {
        // There may be several challenges, and of all else there is one.
        if name == WWW_AUTHENTICATE {
            head.headers.append(name, value);
        } else {
            head.headers.insert(name, value);
        }
    });
    end_with(session, head, body.unwrap_or_default(), amend).await
}

/// Answers the request in `session` with `answer`, its head and body amended by `amend`.
///
/// # Errors
/// When the client is gone.
pub(crate) async fn answer(
    session: &mut Session,
    answer: Answer,
    request_id: &HeaderValue,
    amend: impl FnOnce(&RequestHeader, &mut ResponseHead<'_>, &mut Bytes),
) -> Result<()> {
    let mut head = head(answer.status, request_id);
    head.headers.extend(answer.headers);
    end_with(session, head, answer.body, amend).await
}

/// `rejection` as it goes over the wire where there is no session to answer in, without its body if that was not asked for, and
/// how many bytes of it are body.
pub(crate) fn closing(rejection: &Rejection, request_id: &str, head_only: bool) -> (Vec<u8>, usize) {
    let (status, ..) = rejection.describe();
    let document = rejection.body(request_id);
    let has_document = document.is_some();
    let body = document.unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {status}\r\n").into_bytes();
    let mut add = |name: HeaderName, value: HeaderValue| {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    };
    add(DATE, get_cached_date());
    if has_document {
        add(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    }
    add(CONTENT_LENGTH, HeaderValue::from(body.len()));
    add(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add(CONNECTION, HeaderValue::from_static("close"));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        add(REQUEST_ID, id);
    }
    rejection.headers(add);
    answer.extend_from_slice(b"\r\n");
    if head_only {
        return (answer, 0);
    }
    answer.extend_from_slice(&body);
    (answer, body.len())
}

/// Answers the request in `session` with 200 and `body` as JSON.
///
/// # Errors
/// When the client is gone.
pub(crate) async fn json(session: &mut Session, body: &'static str, request_id: &HeaderValue) -> Result<()> {
    let mut head = head(StatusCode::OK, request_id);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    send(session, head, Bytes::from_static(body.as_bytes())).await
}

/// What the request in `session` was answered with, by whomever. Interim responses (`100 Continue`) are no answer yet.
pub(crate) fn answered(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status)
}

fn head(status: StatusCode, request_id: &HeaderValue) -> Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = status;
    head.headers.reserve(8);
    head.headers.insert(REQUEST_ID, request_id.clone());
    head
}

async fn end_with(
    session: &mut Session,
    mut head: Parts,
    mut body: Bytes,
    amend: impl FnOnce(&RequestHeader, &mut ResponseHead<'_>, &mut Bytes),
) -> Result<()> {
    let has_content = has_content(head.status);
    if has_content {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    amend(session.req_header(), &mut ResponseHead { status: head.status, headers: &mut head.headers }, &mut body);
    if has_content {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    // What is left of the request's body is not waited for: the connection ends instead.
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
    send(session, head, body).await
}

/// Whether an answer of this status says something at length (RFC 9110, section 6.4.1).
const fn has_content(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 100..=199 | 204 | 304)
}

async fn send(session: &mut Session, head: Parts, body: Bytes) -> Result<()> {
    let status = head.status;
    let header = Box::new(ResponseHeader::from(head));
    if session.req_header().method == http::Method::HEAD || !has_content(status) {
        return session.write_response_header(header, true).await;
    }
    session.write_response_header(header, false).await?;
    session.write_response_body(Some(body), true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_quota_names_the_policy_and_the_registered_type() {
        let rejection = Rejection::QuotaExceeded("per-user".into());
        let body: Value = serde_json::from_slice(&rejection.body("id-1").expect("a document")).expect("json");
        assert_eq!(body["type"], QUOTA_EXCEEDED);
        assert_eq!(body["violated-policies"], json!(["per-user"]));
        assert_eq!(body["status"], 429);
        assert_eq!(body["request_id"], "id-1");
    }

    #[test]
    fn a_missing_token_and_a_bad_one_are_challenged_differently() {
        let challenge = |rejection: Rejection| {
            let mut found = None;
            rejection.headers(|name, value| found = (name == WWW_AUTHENTICATE).then_some(value));
            found.expect("a challenge").to_str().expect("ascii").to_owned()
        };
        assert!(!challenge(Rejection::TokenMissing).contains("error"));
        assert!(challenge(Rejection::TokenInvalid(BadToken::Expired)).contains("error=\"invalid_token\""));
    }

    #[test]
    fn every_challenge_stands_in_a_header_of_its_own() {
        let challenges = ["Bearer", "Basic realm=\"a\""].map(HeaderValue::from_static);
        let (answer, _) = closing(&Rejection::CredentialsMissing(challenges.into()), "id", true);
        let answer = String::from_utf8(answer).expect("text");
        assert_eq!(answer.matches("www-authenticate: ").count(), 2, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
