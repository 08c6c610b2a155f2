//! Keys that an issuer publishes, changes, withholds and spoils, and what its tokens are worth meanwhile.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Issuer, Upstream, eventually, free_port};

use crate::support::{Gateway, PATIENCE, claims, code};

// The issuers have a thread of their own here, for a gateway asks them while it starts.

/// Longer than the shortest cooldown there is.
const COOLDOWN: Duration = Duration::from_millis(1100);

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name, ".pem"))
    };
}

/// The public key of RFC 7515, appendix A.2, under the name `id`.
fn rsa(id: &str) -> Value {
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})
}

/// The public key of RFC 7515, appendix A.3, under the name `id`.
fn ec(id: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": id,
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A token that is signed by the issuer's RSA key, and calls it `id`.
fn rsa_token(id: &str) -> String {
    let key = EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()).expect("a key");
    sign(Algorithm::RS256, id, &key)
}

/// The same by its elliptic curve.
fn ec_token(id: &str) -> String {
    let key = EncodingKey::from_ec_pem(pem!("rfc7515-a3.private").as_bytes()).expect("a key");
    sign(Algorithm::ES256, id, &key)
}

fn sign(algorithm: Algorithm, id: &str, key: &EncodingKey) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims(), key).expect("signs")
}

/// A file whose provider `p` has its keys from `url`.
fn file(upstream: &Upstream, url: &str, fetch: &str) -> String {
    with_source(upstream, &format!("jwks_url: \"{url}\", jwks_fetch: {{ {fetch} }}"))
}

fn with_source(upstream: &Upstream, source: &str) -> String {
    format!(
        "jwt_providers:\n  p: {{ algorithms: [RS256, ES256], {source}, issuer: us, audience: us, \
         claims_to_headers: {{ sub: X-User-Id }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, middleware: [{{ jwt: {{ provider: p }} }}] }}]\n",
        upstream.url()
    )
}

async fn ask(gateway: &Gateway, token: &str) -> reqwest::Response {
    gateway.request(Method::GET, "/x").bearer_auth(token).send().await.expect("an answer")
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    ask(gateway, token).await.status().as_u16()
}

async fn fetched(gateway: &Gateway, outcome: &str) -> Option<f64> {
    gateway.metric(&format!(r#"gateway_jwks_fetches_total{{outcome="{outcome}",provider="p"}}"#)).await
}

async fn cached(gateway: &Gateway) -> (Option<f64>, Option<f64>) {
    let series = |name: &str| format!(r#"gateway_token_cache_{name}_total{{provider="p"}}"#);
    (gateway.metric(&series("hits")).await, gateway.metric(&series("misses")).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn published_keys_are_there_at_the_start_and_each_verifies_its_own_tokens() {
    let (upstream, issuer) =
        (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r"), ec("e")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), ""));
    for (token, expected) in [(rsa_token("r"), 200), (ec_token("e"), 200), (rsa_token("e"), 401), (ec_token("r"), 401)]
    {
        assert_eq!(status(&gateway, &token).await, expected);
    }
    assert_eq!(upstream.arrived().len(), 2);
    assert!(upstream.arrived().iter().all(|request| request.header("x-user-id") == ["ann"]));
    assert_eq!(issuer.fetches(), 1, "a name that is known costs no fetch, whatever is signed under it");
    gateway.shows(r#"gateway_jwks_keys{provider="p"}"#, 2.0).await;
    assert!(gateway.metric(r#"gateway_jwks_age_seconds{provider="p"}"#).await.expect("an age") < 60.0);
    assert_eq!(fetched(&gateway, "ok").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rotation_costs_no_request() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("old")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), ""));
    assert_eq!(status(&gateway, &rsa_token("old")).await, 200);
    issuer.publish(&set(&[rsa("old"), ec("new")]));
    issuer.hold();
    let token = ec_token("new");
    let waiting: Vec<_> =
        (0..20).map(|_| tokio::spawn(gateway.request(Method::GET, "/x").bearer_auth(&token).send())).collect();
    eventually(PATIENCE, "the issuer is asked", async || issuer.fetches() == 2).await.expect("asked");
    assert_eq!(status(&gateway, &rsa_token("old")).await, 200, "nobody else waits");
    issuer.let_go();
    for answer in waiting {
        assert_eq!(answer.await.expect("runs").expect("an answer").status(), 200);
    }
    assert_eq!(issuer.fetches(), 2, "all of them shared one fetch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_of_unknown_kids_causes_one_fetch() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), "cooldown: 1h"));
    let flood: Vec<_> = (0..200)
        .map(|number| {
            let token = rsa_token(&format!("made-up-{number}"));
            tokio::spawn(gateway.request(Method::GET, "/x").bearer_auth(token).send())
        })
        .collect();
    for answer in flood {
        assert_eq!(answer.await.expect("runs").expect("an answer").status(), 401);
    }
    assert_eq!(issuer.fetches(), 2, "the one of the start, and one more");
    assert_eq!(status(&gateway, &rsa_token("r")).await, 200);
    assert_eq!(upstream.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kid_that_was_asked_for_in_vain_is_not_asked_for_again_after_the_cooldown() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), "cooldown: 1s"));
    let made_up = rsa_token("made-up");
    assert_eq!(status(&gateway, &made_up).await, 401);
    assert_eq!(issuer.fetches(), 2);
    // Another name shows that the cooldown is over.
    let mut number = 0;
    while issuer.fetches() == 2 {
        number += 1;
        assert_eq!(status(&gateway, &rsa_token(&format!("other-{number}"))).await, 401);
    }
    // Nor is the next one begun by it: only by a name that is new.
    tokio::time::sleep(COOLDOWN).await;
    assert_eq!(status(&gateway, &made_up).await, 401);
    assert_eq!(issuer.fetches(), 3, "it is known to be of nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_of_a_removed_key_is_refused_although_it_was_cached() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), "cooldown: 1s"));
    let token = rsa_token("r");
    for _ in 0..2 {
        assert_eq!(status(&gateway, &token).await, 200);
    }
    assert_eq!(cached(&gateway).await, (Some(1.0), Some(1.0)));
    issuer.publish(&set(&[rsa("r"), ec("e")]));
    assert_eq!(status(&gateway, &ec_token("e")).await, 200);
    assert_eq!(status(&gateway, &token).await, 200);
    assert_eq!(cached(&gateway).await.0, Some(1.0), "with another set every token is verified anew");
    issuer.publish(&set(&[ec("e"), ec("e2")]));
    eventually(PATIENCE, "the set is fetched", async || status(&gateway, &ec_token("e2")).await == 200)
        .await
        .expect("fetched");
    assert_eq!(status(&gateway, &token).await, 401);
    assert_eq!(status(&gateway, &ec_token("e")).await, 200, "those of the keys that stay are verified anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_outage_of_the_issuer_costs_no_request_until_the_set_is_too_old() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let patient = Gateway::start(&file(&upstream, &issuer.url(), "refresh: 1s, stale_for: 1h"));
    let strict = Gateway::start(&file(&upstream, &issuer.url(), "refresh: 1s, stale_for: 0s"));
    issuer.hang_up();
    let token = rsa_token("r");
    assert_eq!(status(&strict, &token).await, 200);
    eventually(PATIENCE, "the set ends", async || status(&strict, &token).await == 503).await.expect("ends");
    let answer = ask(&strict, &token).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(code(&answer.text().await.expect("a body")), "keys_unavailable");
    strict.shows(r#"gateway_jwks_keys{provider="p"}"#, 0.0).await;
    eventually(PATIENCE, "a fetch fails", async || fetched(&patient, "unreachable").await >= Some(1.0))
        .await
        .expect("fails");
    assert_eq!(status(&patient, &token).await, 200);
    assert_eq!(status(&patient, &rsa_token("new")).await, 503, "nobody can say whether it is good");
    issuer.publish(&set(&[rsa("r")]));
    eventually(PATIENCE, "the issuer is back", async || status(&strict, &token).await == 200).await.expect("back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_without_the_issuer_answers_503_until_it_is_there() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start("").await.expect("starts"));
    issuer.hang_up();
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), ""));
    let answer = ask(&gateway, &rsa_token("r")).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer.text().await.expect("a body"))),
        (503, "keys_unavailable".to_owned())
    );
    let (ready, said) = gateway.admin("/ready").await;
    assert!(
        ready == 200 && said.contains("\"degraded\"") && said.contains("keys of p"),
        "others would ask too: {said}"
    );
    let shown = async || -> Value { serde_json::from_str(&gateway.admin("/services").await.1).expect("json") };
    let state = shown().await["jwt_providers"]["p"].clone();
    assert_eq!((&state["answers"], &state["keys"]), (&json!(false), &json!(0)));
    assert!(state["problem"].is_string(), "{state}");
    assert_eq!(gateway.request(Method::GET, "/x").send().await.expect("an answer").status(), 401);
    issuer.publish(&set(&[rsa("r")]));
    eventually(PATIENCE, "keys arrive", async || status(&gateway, &rsa_token("r")).await == 200).await.expect("arrive");
    let (ready, said) = gateway.admin("/ready").await;
    assert!(ready == 200 && said.contains("\"ready\""), "{said}");
    assert_eq!(shown().await["jwt_providers"]["p"], json!({"answers": true, "keys": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_last_good_set_on_the_disk_serves_a_start_without_the_issuer() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("keys.json");
    let kept = |url: &str| file(&upstream, url, &format!("cache_file: \"{}\"", copy.display()));
    drop(Gateway::start(&kept(&issuer.url())));
    issuer.hang();
    let gateway = Gateway::start(&kept(&issuer.url()));
    assert_eq!(status(&gateway, &rsa_token("r")).await, 200);
    issuer.hang_up();
    let other = Gateway::start(&kept(&format!("{}/other", issuer.base())));
    assert_eq!(status(&other, &rsa_token("r")).await, 503, "it is not the copy of this place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_of_no_use_changes_nothing() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let (issuer, elsewhere) = (issuer.expect("starts"), Issuer::start(&set(&[ec("e")])).await.expect("starts"));
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), "refresh: 1s, timeout: 500ms, cooldown: 1s"));
    let in_the_clear = format!("Location: http://keys.example:{}/\r\n", free_port().expect("a port"));
    let spoil: [(&str, &dyn Fn()); 7] = [
        ("bad_set", &|| issuer.publish("<html>not here</html>")),
        ("bad_set", &|| issuer.publish(&set(&[json!({"kty": "oct", "k": "c2VjcmV0", "kid": "e", "alg": "HS256"})]))),
        ("bad_set", &|| issuer.publish(&set(&[]))),
        ("too_large", &|| issuer.publish(&format!("{}{}", set(&[ec("e")]), " ".repeat(1 << 20)))),
        ("bad_status", &|| issuer.answer("500 Internal Server Error", "", &set(&[ec("e")]))),
        ("unreachable", &|| issuer.answer("302 Found", &in_the_clear, "")),
        ("timed_out", &|| issuer.hang()),
    ];
    for (outcome, spoil) in spoil {
        let before = fetched(&gateway, outcome).await.unwrap_or(0.0);
        spoil();
        // A key that is not there has the issuer asked; so does time.
        eventually(PATIENCE, outcome, async || {
            assert_ne!(status(&gateway, &ec_token("e")).await, 200, "{outcome}");
            fetched(&gateway, outcome).await > Some(before)
        })
        .await
        .expect("fetched");
        assert_eq!(status(&gateway, &rsa_token("r")).await, 200, "{outcome}");
    }
    issuer.answer("302 Found", &format!("Location: {}\r\n", elsewhere.url()), "");
    eventually(PATIENCE, "a redirect is followed on this machine", async || {
        status(&gateway, &ec_token("e")).await == 200
    })
    .await
    .expect("followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_come_over_tls_only_from_whom_the_authorities_vouch_for() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let write = |name: &str, text: String| std::fs::write(Path::new(&path(name)), text).expect("writes");
    for name in ["own", "other"] {
        let generated = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        write(name, generated.cert.pem());
        write(&format!("{name}.key"), generated.signing_key.serialize_pem());
    }
    let tls = format!(
        "tls: {{ listen: [\"127.0.0.1:0\"], certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }}",
        path("own"),
        path("own.key")
    );
    let front = Gateway::start_with(
        &tls,
        &format!(
            "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
            issuer.base()
        ),
    );
    let url = format!("https://localhost:{}/keys", front.tls_addr().port());
    for (authority, expected) in [("own", 200), ("other", 503)] {
        let gateway = Gateway::start(&file(&upstream, &url, &format!("ca_file: \"{}\"", path(authority))));
        assert_eq!(status(&gateway, &rsa_token("r")).await, expected, "{authority}");
    }
    let gateway = Gateway::start(&file(&upstream, &url, ""));
    assert_eq!(status(&gateway, &rsa_token("r")).await, 503, "nor do the system's authorities know it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_keeps_the_keys_of_a_place_that_has_not_changed() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let yaml = file(&upstream, &issuer.url(), "");
    let gateway = Gateway::start(&yaml);
    let token = rsa_token("r");
    assert_eq!(status(&gateway, &token).await, 200);
    issuer.hang_up();
    gateway.reload(&format!("{yaml}middleware: []\n")).expect("taken");
    assert_eq!(status(&gateway, &token).await, 200);
    assert_eq!(cached(&gateway).await, (Some(1.0), Some(1.0)), "nor is anything forgotten");
    gateway.reload(&yaml.replace("X-User-Id", "X-Subject")).expect("taken");
    assert_eq!(status(&gateway, &token).await, 200);
    assert_eq!(upstream.arrived().pop().expect("a request").header("x-subject"), ["ann"]);
    assert_eq!(issuer.fetches(), 1);
    gateway.reload(&yaml.replace("/keys", "/others")).expect("taken, although the issuer is away");
    assert_eq!(status(&gateway, &token).await, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_that_changes_how_keys_are_fetched_keeps_them_while_the_issuer_is_away() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&set(&[rsa("r"), ec("e")])).await.expect("starts");
    let yaml = file(&upstream, &issuer.url(), "refresh: 5m");
    let gateway = Gateway::start(&yaml);
    let (first, second) = (rsa_token("r"), ec_token("e"));
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 200));
    issuer.hang_up();
    let slower = yaml.replace("refresh: 5m", "refresh: 10m");
    gateway.reload(&slower).expect("taken");
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 200));
    let one = slower.replace("[RS256, ES256]", "[ES256]");
    gateway.reload(&one).expect("taken");
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (401, 200), "RS256 is not accepted");
    gateway.reload(&slower).expect("taken");
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 200));
    gateway.reload(&slower.replace("refresh: 10m", "refresh: 10m, allow_insecure_http: true")).expect("taken");
    assert_eq!(status(&gateway, &first).await, 503, "what was believed of another source is not inherited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_that_names_no_key_is_refused_once_there_are_two_it_could_be_of() {
    let (upstream, issuer) = (Upstream::start().await.expect("starts"), Issuer::start(&set(&[rsa("r")])).await);
    let issuer = issuer.expect("starts");
    let gateway = Gateway::start(&file(&upstream, &issuer.url(), "cooldown: 1s"));
    let key = EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()).expect("a key");
    let nameless = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &key).expect("signs");
    assert_eq!(status(&gateway, &nameless).await, 200);
    issuer.publish(&set(&[rsa("r"), rsa("s")]));
    tokio::time::sleep(COOLDOWN).await;
    assert_eq!(status(&gateway, &rsa_token("s")).await, 200, "the new key is fetched");
    assert_eq!(status(&gateway, &nameless).await, 401, "although it was cached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_set_in_a_file_is_read_again_at_each_reload() {
    let upstream = Upstream::start().await.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    std::fs::write(&path, set(&[rsa("r"), ec("e")])).expect("writes");
    let yaml = with_source(&upstream, &format!("jwks_file: \"{}\"", path.display()));
    let gateway = Gateway::start(&yaml);
    let (first, second) = (rsa_token("r"), ec_token("e"));
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 200));
    assert_eq!(status(&gateway, &ec_token("other")).await, 401, "and nobody is asked for it");
    std::fs::write(&path, set(&[ec("e")])).expect("writes");
    gateway.reload(&yaml).expect("taken");
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (401, 200));
    std::fs::write(&path, set(&[])).expect("writes");
    gateway.reload(&yaml).expect_err("no key is left");
    assert_eq!(status(&gateway, &second).await, 200);
}
