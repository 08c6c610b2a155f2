//! Brings clients from plain HTTP to TLS, and has their browsers stay there.

use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use crate::config::Loaded;
use crate::config::file::{HstsFile, TlsFile};
use crate::host;
use crate::path::{self, BadPath};
use crate::reply::{Answer, Rejection};
use crate::tls::Tls;

/// The port that `https` means by itself.
const HTTPS_PORT: u16 = 443;

/// Where plain requests are sent.
pub(crate) struct ToHttps {
    /// Has the names of the certificates. Another host could not be shown that this is it, and a client must not be able to
    /// have a redirect to a host of its own made.
    tls: Arc<Tls>,
    /// `:8443`, or nothing for the usual port.
    port: Box<str>,
}

impl ToHttps {
    /// Where `loaded` has plain requests sent, if it has, for the hosts that `tls` has certificates for.
    pub(crate) fn compile(loaded: &Loaded, tls: Option<&Arc<Tls>>) -> Option<Self> {
        let file = loaded.file.server.tls.as_ref().filter(|tls| tls.redirect_http)?;
        Some(Self { tls: Arc::clone(tls?), port: port(file).into() })
    }

    /// Sends `request` to the same place over TLS.
    ///
    /// # Errors
    /// When there is no certificate for the host that it names, or its path is none.
    pub(crate) fn answer(&self, request: &RequestHeader) -> Result<Answer, Rejection> {
        let host = host::named(request).map(str::to_ascii_lowercase).filter(|host| self.tls.is_for(host));
        let host = host.ok_or(Rejection::Misdirected)?;
        // What an encoded slash is, its route says when it comes again.
        let path = path::view(request.uri.path()).map_err(Rejection::BadPath)?.path;
        let (mark, query) = request.uri.query().map_or(("", ""), |query| ("?", query));
        let location = HeaderValue::try_from(format!("https://{host}{}{path}{mark}{query}", self.port));
        let location = location.map_err(|_| Rejection::BadPath(BadPath::ForbiddenByte))?;
        let headers = HeaderMap::from_iter([(LOCATION, location)]);
        Ok(Answer { status: StatusCode::PERMANENT_REDIRECT, headers, body: Bytes::new() })
    }
}

/// Of a listener on a free port nobody knows which that is.
fn port(tls: &TlsFile) -> String {
    let port = tls.redirect_port.or_else(|| tls.listen.first().map(std::net::SocketAddr::port));
    port.filter(|port| ![0, HTTPS_PORT].contains(port)).map(|port| format!(":{port}")).unwrap_or_default()
}

/// What browsers are told with every answer over TLS (RFC 6797, section 6.1).
pub(crate) fn strict_transport_security(file: &HstsFile) -> Option<HeaderValue> {
    let subdomains = if file.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if file.preload { "; preload" } else { "" };
    HeaderValue::try_from(format!("max-age={}{subdomains}{preload}", file.max_age.get().as_secs())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(port: &str, host: &str, target: &str) -> Result<String, Rejection> {
        let tls = crate::tls::tests::showing(&["a.example", "*.b.example"]);
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        request.append_header("Host", host.to_owned()).expect("a header");
        let answer = ToHttps { tls, port: port.into() }.answer(&request)?;
        Ok(answer.headers[LOCATION].to_str().expect("ascii").to_owned())
    }

    #[test]
    fn a_client_is_sent_to_the_same_place_over_tls() {
        for (port, host, target, place) in [
            ("", "a.example", "/", "https://a.example/"),
            ("", "A.Example.:80", "/x?y=z", "https://a.example/x?y=z"),
            (":8443", "x.b.example", "//evil.example/../x", "https://x.b.example:8443/x"),
        ] {
            assert_eq!(sent_to(port, host, target).as_deref(), Ok(place));
        }
    }

    #[test]
    fn nobody_is_sent_to_a_host_without_a_certificate() {
        for host in ["evil.example", "b.example", "x.y.b.example", "a.example.evil.example", "127.0.0.1"] {
            assert_eq!(sent_to("", host, "/"), Err(Rejection::Misdirected), "{host}");
        }
        assert_eq!(sent_to("", "a.example", "*"), Err(Rejection::BadPath(BadPath::NotAbsolute)));
    }
}
