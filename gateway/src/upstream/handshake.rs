//! Why a TLS handshake with a target has failed.

use pingora_core::{Error, ErrorType as E};

/// What is told of one at most; a certificate may have names without end.
const MOST_TOLD: usize = 300;

/// Why the handshake that ended with `error` has failed, in the words of the TLS library; none when it was no handshake. Pingora
/// has them within a text of its own, in which there is nothing of a request.
pub(crate) fn handshake_failure(error: &Error) -> Option<&str> {
    let mut root = error;
    // The last cause of all is the address that was connected from.
    while let Some(inner) = root.cause.as_ref().and_then(|cause| cause.downcast_ref::<Box<Error>>()) {
        root = inner;
    }
    if !matches!(root.etype(), E::TLSHandshakeFailure | E::InvalidCert | E::HandshakeError) {
        return None;
    }
    let told = root.context.as_ref()?.as_str();
    let told = told.rsplit_once(", SNI: ").map_or(told, |(told, _)| told);
    let told = ["cause: ", "failed: "].iter().find_map(|mark| told.split_once(mark)).map_or(told, |(_, cause)| cause);
    let end = told.char_indices().nth(MOST_TOLD).map_or(told.len(), |(end, _)| end);
    told.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_in_what_pingora_says_and_only_of_a_handshake() {
        let why = |kind, context: &str| {
            let error = Error::explain(kind, context.to_owned()).into_up().more_context("connecting");
            handshake_failure(&error).map(str::to_owned)
        };
        let said = "TLS connect() failed:  TLSHandshakeFailure context: tls connect error cause: invalid peer certificate: \
                    UnknownIssuer, SNI: a.example";
        assert_eq!(why(E::TLSHandshakeFailure, said).as_deref(), Some("invalid peer certificate: UnknownIssuer"));
        let plain = "TLS connect() failed: it is over, SNI: a.example";
        assert_eq!(why(E::TLSHandshakeFailure, plain).as_deref(), Some("it is over"));
        assert_eq!(why(E::InvalidCert, "per-peer CA list is empty").as_deref(), Some("per-peer CA list is empty"));
        assert_eq!(why(E::InvalidHTTPHeader, "Authorization: hush"), None);
        let long = why(E::TLSHandshakeFailure, &"ä".repeat(1000)).expect("a cause");
        assert_eq!(long.chars().count(), MOST_TOLD);
    }
}
