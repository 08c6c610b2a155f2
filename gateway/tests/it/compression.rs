//! Compressed responses, as clients of every version of HTTP get them.

use std::io::Read as _;

use reqwest::{Client, Method, Version};
use testkit::{Behaviour, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Gateway, PATIENCE};

const ROUTES: &str = r#"
routes:
  - name: r
    match: { path: "/*" }
    upstream: u
    public: true
    middleware: [compress: {}, headers: { request: { remove: [Accept-Encoding] }, response: { set: { X-After: "{host}" } } }]
  - name: fixed
    match: { path: /fixed }
    public: true
    middleware: [compress: { encodings: [gzip] }, respond: { body: "BODY" }]
"#;

fn routes(upstream: &str) -> String {
    format!("upstreams: {{ u: {{ targets: [\"{upstream}\"] }} }}\n{}", ROUTES.replace("BODY", &TEXT.repeat(100)))
}

const TEXT: &str = "the same again and again ";

/// A response of `TEXT` a hundred times, of a known length or in chunks.
fn answer(framing: &str) -> &'static str {
    let body = TEXT.repeat(100);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n";
    let answer = match framing {
        "length" => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        "chunks" => {
            let half = body.len() / 2;
            let (first, rest) = (&body[..half], &body[half..]);
            let (one, two) = (first.len(), rest.len());
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{one:x}\r\n{first}\r\n{two:x}\r\n{rest}\r\n0\r\n\r\n")
        }
        "close" => format!("{}\r\n{body}", head.replace("HTTP/1.1", "HTTP/1.0")),
        _ => unreachable!("{framing}"),
    };
    Box::leak(answer.into_boxed_str())
}

fn decoded(encoding: &str, coded: &[u8]) -> String {
    let mut plain = String::new();
    let read = match encoding {
        "gzip" => flate2::read::GzDecoder::new(coded).read_to_string(&mut plain),
        "br" => brotli::Decompressor::new(coded, 4096).read_to_string(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(coded).expect("a decoder").read_to_string(&mut plain),
        _ => unreachable!("{encoding}"),
    };
    read.unwrap_or_else(|error| panic!("{encoding}: {error}"));
    plain
}

#[tokio::test]
async fn every_client_gets_what_it_takes_however_the_upstream_frames_it() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream.url()));
    for framing in ["length", "chunks", "close"] {
        upstream.behave(Behaviour::Say(answer(framing)));
        for (accepted, encoding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip;q=0.9, br", "br"),
            ("gzip", "gzip"),
            ("zstd;q=0, *;q=0.1", "br"),
        ] {
            let answer = gateway.request(Method::GET, "/x").header("Accept-Encoding", accepted).send().await;
            let answer = answer.expect("an answer");
            let headers = answer.headers().clone();
            assert_eq!(headers["content-encoding"], encoding, "{framing} {accepted}");
            assert_eq!(
                (&headers["etag"], &headers["vary"]),
                (&"W/\"a\"".parse().expect("a value"), &"Accept-Encoding".parse().expect("a value"))
            );
            assert!(!headers.contains_key("content-length"));
            assert_eq!(headers["x-after"], "127.0.0.1", "steps go on");
            let body = answer.bytes().await.expect("a body");
            assert!(body.len() < 300, "{} bytes", body.len());
            assert_eq!(decoded(encoding, &body), TEXT.repeat(100));
            assert!(
                upstream.arrived().pop().expect("a request").header("accept-encoding").is_empty(),
                "the upstream need not"
            );
        }
        let plain = gateway.request(Method::GET, "/x").send().await.expect("an answer");
        assert!(!plain.headers().contains_key("content-encoding"));
        assert_eq!(
            (&plain.headers()["etag"], &plain.headers()["vary"]),
            (&"\"a\"".parse().expect("a value"), &"Accept-Encoding".parse().expect("a value"))
        );
        assert_eq!(plain.text().await.expect("a body"), TEXT.repeat(100));
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_that_ends_with_the_connection() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream.url()));
    for framing in ["length", "chunks"] {
        upstream.behave(Behaviour::Say(answer(framing)));
        let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
        let request = b"GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n";
        client.write_all(request).await.expect("writes");
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("closes").expect("reads");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        assert!(head.contains("content-encoding: gzip") && !head.contains("transfer-encoding"), "{head}");
        assert!(!head.contains("content-length"), "{head}");
        assert_eq!(decoded("gzip", &answer[end + 4..]), TEXT.repeat(100));
    }
}

#[tokio::test]
async fn a_part_is_never_compressed() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream.url()));
    upstream.behave(Behaviour::Say(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab",
    ));
    let part = gateway.request(Method::GET, "/x").header("Accept-Encoding", "gzip").send().await.expect("an answer");
    assert!(!part.headers().contains_key("content-encoding"));
    assert_eq!(part.text().await.expect("a body"), "ab");
}

#[tokio::test]
async fn a_head_is_told_what_a_get_would_be() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream.url()));
    let ask = async |method: Method, accepted: &str| {
        let (head, _) = answer("length").split_once("\r\n\r\n").expect("a head");
        let whole = if method == Method::HEAD { format!("{head}\r\n\r\n").leak() } else { answer("length") };
        upstream.behave(Behaviour::Say(whole));
        let answer = gateway.request(method, "/x").header("Accept-Encoding", accepted).send().await.expect("an answer");
        let name = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned());
        ["content-encoding", "etag", "vary", "content-length"].map(name)
    };
    let [encoding, etag, _, length] = ask(Method::HEAD, "br").await;
    assert_eq!((encoding.as_deref(), etag.as_deref(), length), (Some("br"), Some("W/\"a\""), None));
    assert_eq!(ask(Method::HEAD, "br").await, ask(Method::GET, "br").await);
    let [encoding, etag, _, length] = ask(Method::HEAD, "identity").await;
    assert_eq!((encoding, etag.as_deref(), length.as_deref()), (None, Some("\"a\""), Some("2500")));
}

#[tokio::test]
async fn answers_of_the_gateways_own_are_compressed_too() {
    let gateway = Gateway::start(&routes("http://127.0.0.1:1"));
    let ask = async |path: &str| {
        gateway.request(Method::GET, path).header("Accept-Encoding", "gzip").send().await.expect("an answer")
    };
    let fixed = ask("/fixed").await;
    assert_eq!(fixed.headers()["content-encoding"], "gzip");
    let length = fixed.headers()["content-length"].clone();
    assert_eq!(length.to_str().expect("ascii"), fixed.content_length().expect("one").to_string());
    assert_eq!(decoded("gzip", &fixed.bytes().await.expect("a body")), TEXT.repeat(100));
    let problem = ask("/x").await;
    assert_eq!(problem.status(), 502);
    assert!(!problem.headers().contains_key("content-encoding"), "too small");
    let head =
        gateway.request(Method::HEAD, "/fixed").header("Accept-Encoding", "gzip").send().await.expect("an answer");
    assert_eq!(
        (&head.headers()["content-encoding"], &head.headers()["content-length"]),
        (&"gzip".parse().expect("a value"), &length)
    );
}

#[tokio::test]
async fn what_streams_is_compressed_and_not_held_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gateway = Gateway::start(&routes(&format!("http://{}", listener.local_addr().expect("an address"))));
    for encoding in ["gzip", "br", "zstd"] {
        let request = gateway.request(Method::GET, "/x").header("Accept-Encoding", encoding).send();
        let serve = async {
            let (mut upstream, _) = listener.accept().await.expect("accepts");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(upstream.read_buf(&mut head).await.expect("reads"), 0);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            upstream.write_all(head.as_bytes()).await.expect("writes");
            upstream
        };
        let (mut upstream, answer) = tokio::join!(serve, request);
        let mut answer = answer.expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], encoding);
        // The upstream says the next thing only when the client has the one before.
        let mut coded = Vec::new();
        for said in ["one", "two", "six"] {
            upstream.write_all(format!("3\r\n{said}\r\n").as_bytes()).await.expect("writes");
            let before = coded.len();
            let come = tokio::time::timeout(PATIENCE, answer.chunk()).await.expect("comes").expect("reads");
            coded.extend_from_slice(&come.expect("a part"));
            assert!(coded.len() > before);
        }
        upstream.write_all(b"0\r\n\r\n").await.expect("writes");
        while let Some(part) = answer.chunk().await.expect("reads") {
            coded.extend_from_slice(&part);
        }
        assert_eq!(decoded(encoding, &coded), "onetwosix");
    }
}

#[tokio::test]
async fn an_http_2_client_gets_it_too() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let generated = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("a certificate");
    let (certificate, key) = (dir.path().join("a.pem"), dir.path().join("a.key"));
    std::fs::write(&certificate, generated.cert.pem()).expect("writes");
    std::fs::write(&key, generated.signing_key.serialize_pem()).expect("writes");
    let server = format!(
        "shutdown_timeout: 1s, tls: {{ listen: [\"127.0.0.1:0\"], certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }}",
        certificate.display(),
        key.display()
    );
    let gateway = Gateway::start_with(&server, &routes(&upstream.url()));
    let trusted = reqwest::Certificate::from_pem(generated.cert.pem().as_bytes()).expect("a certificate");
    let client = Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([trusted]);
    let client = client.resolve("a.example", gateway.tls_addr()).build().expect("a client");
    for framing in ["length", "chunks"] {
        upstream.behave(Behaviour::Say(answer(framing)));
        let url = format!("https://a.example:{}/x", gateway.tls_addr().port());
        let answer = client.get(url).header("Accept-Encoding", "br").send().await.expect("an answer");
        assert_eq!((answer.version(), answer.headers()["content-encoding"].as_bytes()), (Version::HTTP_2, &b"br"[..]));
        assert_eq!(decoded("br", &answer.bytes().await.expect("a body")), TEXT.repeat(100));
    }
}
