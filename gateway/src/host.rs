//! Which host a request is for.

use http::header::HOST;
use memchr::memrchr;
use pingora_http::RequestHeader;

/// The host the client named, without its port and without its final dot; none in an HTTP/1.0 request without `Host`.
pub(crate) fn named(request: &RequestHeader) -> Option<&str> {
    let authority = request.headers.get(HOST)?.to_str().ok()?;
    let colon = memrchr(b':', authority.as_bytes());
    let host = match colon.and_then(|colon| authority.split_at_checked(colon)) {
        // The colons of `[::1]` are no port's.
        Some((host, port)) if port.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_named_without_port_and_final_dot() {
        let request = |host: &str| {
            let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
            request.append_header("Host", host.to_owned()).expect("a header");
            request
        };
        for (sent, is) in [("a.b:80", "a.b"), ("a.b.", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a", "a")] {
            assert_eq!(named(&request(sent)), Some(is));
        }
        assert_eq!(named(&RequestHeader::build("GET", b"/", None).expect("a request")), None);
    }
}
