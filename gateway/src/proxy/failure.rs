//! What follows when a request cannot be sent, or its answer not be read.

use h2::Reason;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue};
use pingora_core::ErrorType as E;
use pingora_core::{Error, ErrorSource};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::ctx::{HeaderEdit, RequestContext};
use crate::reply::{self, Malformation, Rejection};
use crate::server::{TooQuiet, bad_chunks, too_quiet};
use crate::upstream::handshake_failure;

/// With it, the client itself has made the repetition of a request harmless.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether the request may be sent a second time although the first may have arrived: its method or an idempotency key
/// makes that harmless (RFC 9110, section 9.2.2), its body is still at hand, and nothing of an answer has reached the
/// client. Not after a time-out: whoever was too slow once is not asked to do the work twice. What an HTTP/2 upstream has
/// refused, it has not begun.
pub(super) fn is_repeatable(session: &Session, error: &Error, ctx: &RequestContext) -> bool {
    let request = session.req_header();
    let harmless = request.method.is_idempotent() || has_idempotency_key(request, &ctx.header_edits);
    let timed_out = matches!(error.etype(), E::ReadTimedout | E::WriteTimedout);
    (harmless && !timed_out || was_refused(error))
        && *error.esource() == ErrorSource::Upstream
        && !session.as_ref().retry_buffer_truncated()
        && reply::answered(session).is_none()
}

/// Whether the upstream says that it did nothing of the request at all (RFC 9113, section 8.7): it refuses it, or goes away and
/// does not count it among those that it may have begun. Pingora marks more than these as harmless, whatever their method.
fn was_refused(error: &Error) -> bool {
    let refused = |error: &h2::Error| {
        let reason = error.reason().filter(|_| error.is_remote());
        // Requests that were begun get another error when their connection ends.
        error.is_reset() && reason == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(Reason::NO_ERROR)
    };
    error.root_cause().downcast_ref().is_some_and(refused)
}

/// Whether the upstream was sent a key: one that `Connection` names ends at the gateway (RFC 9110, section 7.6.1), and steps
/// may have put one in or taken it away.
fn has_idempotency_key(request: &RequestHeader, edits: &[HeaderEdit]) -> bool {
    let is_named = |value: &HeaderValue| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(IDEMPOTENCY_KEY.as_str().as_bytes()))
    };
    let sent =
        || request.headers.contains_key(IDEMPOTENCY_KEY) && !request.headers.get_all(CONNECTION).iter().any(is_named);
    let edited = edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Remove(name) => (*name == IDEMPOTENCY_KEY).then_some(false),
        HeaderEdit::Set(name, _) | HeaderEdit::Add(name, _) => (*name == IDEMPOTENCY_KEY).then_some(true),
    });
    edited.unwrap_or_else(sent)
}

/// Notes that the target failed, and marks the error for a retry if one is left.
pub(super) fn retry_elsewhere(mut error: Box<Error>, ctx: &mut RequestContext, repeatable: bool) -> Box<Error> {
    // Set either way: Pingora marks some errors as retryable whatever the method.
    let retried =
        ctx.pool().filter(|pool| repeatable && ctx.failed.len() < pool.retries()).map(|pool| pool.metrics().retries());
    error.set_retry(retried.is_some());
    if let Some(retried) = retried {
        retried.inc();
        ctx.failed.extend(ctx.target.take());
    }
    error
}

/// Why a body does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBody {
    /// No head has told how large it is.
    #[error("the body is larger than max_body")]
    TooLarge,
    /// Each part came in time, and the whole does not.
    #[error("the body has not come whole within body_timeout")]
    TooSlow,
}

/// The end of a request whose body is `bad`. It is the client's: where Pingora takes an error for the upstream's, it waits for an
/// answer of one of HTTP/2 all the same, and for as long as that may take.
pub(super) fn bad_body(bad: BadBody) -> Box<Error> {
    let kind = match bad {
        BadBody::TooLarge => E::ReadError,
        BadBody::TooSlow => E::ReadTimedout,
    };
    Error::because(kind, "", bad).into_down()
}

/// What the client is told; none when it is gone.
pub(super) fn rejection(error: &Error) -> Option<Rejection> {
    match error.esource() {
        ErrorSource::Downstream => match error.etype() {
            E::ReadTimedout => Some(Rejection::ClientTimedOut),
            // `ConnectError`: bytes behind its body. The request itself was good, and may have been done.
            // `H2Error`: it takes its request back, whatever the version of HTTP that the upstream speaks.
            E::ConnectError | E::ConnectionClosed | E::H2Error | E::WriteError | E::WriteTimedout => None,
            E::ReadError => match too_quiet(error.root_cause()) {
                Some(TooQuiet::Unanswered) => Some(Rejection::UpstreamTimedOut),
                Some(TooQuiet::Tunnel) => None,
                None => bad_chunks(error.root_cause()).map(Rejection::from),
            },
            _ => Some(Rejection::Malformed(Malformation::Unreadable)),
        },
        ErrorSource::Upstream => Some(match error.etype() {
            E::ConnectTimedout | E::TLSHandshakeTimedout | E::ReadTimedout | E::WriteTimedout => {
                Rejection::UpstreamTimedOut
            }
            E::ConnectRefused
            | E::ConnectNoRoute
            | E::ConnectError
            | E::ConnectProxyFailure
            | E::BindError
            | E::SocketError
            | E::TLSHandshakeFailure
            | E::InvalidCert
            | E::HandshakeError => Rejection::UpstreamUnreachable,
            _ => Rejection::UpstreamBroken,
        }),
        ErrorSource::Internal | ErrorSource::Unset => Some(Rejection::Internal),
    }
}

/// What the log line says of `error`: whose it was, of which kind, from which cause. Not its context, for in that Pingora
/// quotes the head that it could not read, with its cookies and tokens; only of a handshake, before which there is none.
pub(super) fn told(error: &Error) -> String {
    let root = error.root_cause();
    let (side, kind) = match too_quiet(root) {
        // Where it is noticed is not whose it is.
        Some(TooQuiet::Unanswered) => return "Upstream ReadTimedout".to_owned(),
        _ => (error.esource().as_str(), error.etype().as_str()),
    };
    if let Some(cause) = handshake_failure(error) {
        return format!("{side} {kind}: {cause}");
    }
    match root.downcast_ref::<Error>() {
        // Over HTTP/2 the end of a request's stream is what over HTTP/1.1 is that of its connection.
        Some(root) if *error.esource() == ErrorSource::Downstream && *root.etype() == E::H2Error => {
            format!("{side} {}", E::ConnectionClosed.as_str())
        }
        Some(root) if root.etype() == error.etype() => format!("{side} {kind}"),
        Some(root) => format!("{side} {kind}: {}", root.etype().as_str()),
        None => format!("{side} {kind}: {root}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_gets_its_own_answer() {
        let upstream = |kind| rejection(&Error::new(kind).into_up());
        assert_eq!(upstream(E::ConnectRefused), Some(Rejection::UpstreamUnreachable));
        assert_eq!(upstream(E::ConnectTimedout), Some(Rejection::UpstreamTimedOut));
        assert_eq!(upstream(E::ReadTimedout), Some(Rejection::UpstreamTimedOut));
        assert_eq!(upstream(E::ConnectionClosed), Some(Rejection::UpstreamBroken));
        let downstream = |kind| rejection(&Error::new(kind).into_down());
        assert_eq!(downstream(E::ReadTimedout), Some(Rejection::ClientTimedOut));
        assert_eq!(downstream(E::ConnectionClosed), None);
        assert_eq!(downstream(E::ConnectError), None);
        assert_eq!(downstream(E::H2Error), None);
        assert_eq!(downstream(E::InvalidHTTPHeader), Some(Rejection::Malformed(Malformation::Unreadable)));
        assert_eq!(rejection(&Error::new(E::InternalError)), Some(Rejection::Internal));
    }

    #[test]
    fn a_key_that_ends_at_the_gateway_makes_no_repetition_harmless() {
        let request = |connection: &str| {
            let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
            request.append_header("Idempotency-Key", "k").expect("a header");
            request.append_header("Connection", connection.to_owned()).expect("a header");
            request
        };
        let bare = RequestHeader::build("POST", b"/", None).expect("a request");
        assert!(has_idempotency_key(&request("keep-alive"), &[]));
        assert!(!has_idempotency_key(&request("close, IDEMPOTENCY-key"), &[]));
        assert!(!has_idempotency_key(&bare, &[]));
        let set = || HeaderEdit::Set(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
        assert!(has_idempotency_key(&bare, &[HeaderEdit::Remove(CONNECTION), set()]));
        assert!(!has_idempotency_key(&request("close"), &[set(), HeaderEdit::Remove(IDEMPOTENCY_KEY)]));
    }

    #[test]
    fn a_log_line_never_quotes_what_was_sent() {
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let broken = Error::because(E::ReadError, "Set-Cookie: hush".to_owned(), cause).into_up();
        assert_eq!(told(&broken), "Upstream ReadError: connection reset");
        assert_eq!(told(&broken.more_context("Set-Cookie: hush")), "Upstream ReadError: connection reset");
        let unread = Error::explain(E::InvalidHTTPHeader, "Authorization: hush".to_owned()).into_down();
        assert_eq!(told(&unread), "Downstream InvalidHTTPHeader");
        let taken_back = Error::explain(E::H2Error, "Client closed H2, reason: CANCEL".to_owned()).into_down();
        assert_eq!(told(&taken_back), "Downstream ConnectionClosed");
        assert_eq!(told(&Error::explain(E::H2Error, "no stream".to_owned()).into_up()), "Upstream H2Error");
    }
}
