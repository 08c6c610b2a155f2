//! One proof, whichever of several, and all of several.

use serde_json::{Value, json};

use super::*;
use crate::reply::BadToken;

/// Proves that the header `name` says `right`.
struct Word {
    place: Place,
    claims: Value,
    forwards: bool,
}

fn word(name: &'static str, claims: Value) -> Arc<dyn Authenticator> {
    let place = Place::Header { name: http::HeaderName::from_static(name), scheme: None };
    Arc::new(Word { place, claims, forwards: false })
}

impl Authenticator for Word {
    fn ask<'a>(&'a self, head: &'a RequestHeader, _asking: &Asking) -> Asked<'a> {
        let crate::credential::Found::One(word) = self.place.find(head) else { return Asked::Done(Proof::Absent) };
        let Value::Object(claims) = self.claims.clone() else { unreachable!("a block") };
        let identity = Arc::new(Identity { claims, headers: Vec::new() });
        match &*word {
            b"right" => Asked::Done(Proof::Given(identity)),
            b"slow" => Asked::Wait(Box::pin(async {
                tokio::task::yield_now().await;
                Proof::Given(identity)
            })),
            b"away" => Asked::Done(Proof::Refused(Rejection::KeysUnavailable)),
            _ => Asked::Done(Proof::Refused(Rejection::TokenInvalid(BadToken::BadSignature))),
        }
    }

    fn missing(&self) -> Rejection {
        Rejection::TokenMissing
    }

    fn challenge(&self) -> HeaderValue {
        let Place::Header { name, .. } = &self.place else { unreachable!("a header") };
        HeaderValue::from_str(name.as_str()).expect("a value")
    }

    fn places(&self) -> &[Place] {
        std::slice::from_ref(&self.place)
    }

    fn forwards(&self) -> bool {
        self.forwards
    }
}

/// What `require` says of a request with these headers, and whom it finds.
async fn ask(require: &Require, headers: &[(&'static str, &str)]) -> Result<Option<Value>, Rejection> {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a request");
    for (name, value) in headers {
        head.append_header(*name, *value).expect("a header");
    }
    let file = "upstreams: { u: { targets: ['http://127.0.0.1:1'] } }\n\
                routes: [{ name: r, match: { path: / }, upstream: u, public: true }]";
    let env = common::config::Env::default();
    let loaded = crate::config::parse(file, std::path::Path::new("f"), &env).expect("a configuration");
    let rehearsal = crate::Rehearsal::of(&loaded, Vec::new()).await.expect("compiles");
    let mut ctx = rehearsal.request([127, 0, 0, 1].into());
    let flow = match require.on_request(&mut head, &mut ctx) {
        Step::Done(flow) => flow,
        Step::Wait(flow) => flow.await,
    };
    match flow {
        Flow::Continue => Ok(ctx.identity.map(|identity| Value::Object(identity.claims.clone()))),
        Flow::Reply(rejection) => Err(rejection),
        Flow::Answer(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn one_proof_is_asked_for_and_nobody_passes_only_where_that_is_said() {
    let require = Require::one(word("a", json!({"by": "a"})), false);
    assert_eq!(ask(&require, &[("a", "right")]).await, Ok(Some(json!({"by": "a"}))));
    assert_eq!(ask(&require, &[("a", "slow")]).await, Ok(Some(json!({"by": "a"}))));
    assert_eq!(ask(&require, &[]).await, Err(Rejection::TokenMissing));
    let optional = Require::one(word("a", json!({})), true);
    assert_eq!(ask(&optional, &[]).await, Ok(None));
    assert_eq!(
        ask(&optional, &[("a", "wrong")]).await,
        Err(Rejection::TokenInvalid(BadToken::BadSignature)),
        "a bad proof is not none"
    );
}

#[tokio::test]
async fn of_several_ways_the_first_that_holds_counts() {
    let require = Require::any_of([[word("a", json!({"by": "a"}))].into(), [word("b", json!({"by": "b"}))].into()]);
    for (headers, found) in [
        (&[("a", "right")][..], "a"),
        (&[("b", "right")], "b"),
        (&[("a", "right"), ("b", "right")], "a"),
        (&[("a", "wrong"), ("b", "right")], "b"),
        (&[("a", "right"), ("b", "wrong")], "a"),
        (&[("a", "away"), ("b", "slow")], "b"),
    ] {
        assert_eq!(ask(&require, headers).await, Ok(Some(json!({"by": found}))), "{headers:?}");
    }
    let challenges: Arc<[HeaderValue]> = ["a", "b"].map(HeaderValue::from_static).into();
    assert_eq!(ask(&require, &[]).await, Err(Rejection::CredentialsMissing(challenges)));
    assert_eq!(ask(&require, &[("b", "wrong")]).await, Err(Rejection::TokenInvalid(BadToken::BadSignature)));
    assert_eq!(ask(&require, &[("a", "away"), ("b", "wrong")]).await, Err(Rejection::KeysUnavailable), "the first bad");
}

#[tokio::test]
async fn of_one_way_every_proof_is_needed() {
    let both = [word("a", json!({"by": "a", "x": 1})), word("b", json!({"by": "b", "scope": "all", "client": "c"}))];
    let require = Require::any_of([both.into()]);
    // What the second may is not what the first may; a program's name is known beside its user.
    let found = json!({"by": "a", "x": 1, "client": "c"});
    assert_eq!(ask(&require, &[("a", "right"), ("b", "right")]).await, Ok(Some(found.clone())));
    assert_eq!(ask(&require, &[("a", "slow"), ("b", "slow")]).await, Ok(Some(found)));
    for alone in ["a", "b"] {
        // That one is answered as if it were asked for alone.
        assert_eq!(ask(&require, &[(alone, "right")]).await, Err(Rejection::TokenMissing), "{alone}");
    }
    let challenges: Arc<[HeaderValue]> = ["a", "b"].map(HeaderValue::from_static).into();
    assert_eq!(ask(&require, &[]).await, Err(Rejection::ProofsMissing(challenges)));
    let of_three = Require::any_of([["a", "b", "c"].map(|name| word(name, json!({}))).into()]);
    let without_a: Arc<[HeaderValue]> = ["b", "c"].map(HeaderValue::from_static).into();
    assert_eq!(ask(&of_three, &[("a", "right")]).await, Err(Rejection::ProofsMissing(without_a)));
    assert_eq!(
        ask(&of_three, &[("a", "right"), ("c", "right")]).await,
        Err(Rejection::TokenMissing),
        "only b is missing"
    );
    assert_eq!(
        ask(&require, &[("a", "right"), ("b", "wrong")]).await,
        Err(Rejection::TokenInvalid(BadToken::BadSignature))
    );
}

#[tokio::test]
async fn a_step_without_any_proof_lets_nobody_pass() {
    for require in [Require::any_of([]), Require::any_of([[].into()])] {
        assert!(matches!(ask(&require, &[("a", "right")]).await, Err(Rejection::CredentialsMissing(_))));
    }
}

#[test]
fn authorization_is_hidden_only_by_a_proof_that_stood_there() {
    let shown = word("a", json!({}));
    let place = Place::Header { name: http::header::AUTHORIZATION, scheme: None };
    let own = Arc::new(Word { place, claims: json!({}), forwards: false }) as Arc<dyn Authenticator>;
    for (authenticator, hides) in [(shown, false), (own, true)] {
        let mut so_far = SoFar::default();
        so_far.note(
            &*authenticator,
            Proof::Given(Arc::new(Identity { claims: Default::default(), headers: Vec::new() })),
        );
        assert_eq!(so_far.hides_authorization, hides);
    }
}

#[test]
fn what_no_way_forwards_is_hidden_whichever_way_was_taken() {
    let at =
        |place: Place, forwards: bool| Arc::new(Word { place, claims: json!({}), forwards }) as Arc<dyn Authenticator>;
    let authorization = || Place::authorization("Bearer");
    assert_eq!(hidden(&[at(authorization(), true)]), None);
    let seen = |authenticators: &[Arc<dyn Authenticator>]| hidden(authenticators).map(|hidden| hidden.headers().len());
    assert_eq!(seen(&[at(authorization(), false)]), Some(1));
    assert_eq!(seen(&[at(authorization(), false), at(authorization(), true)]), None, "that is for each request");
    let key = || Place::Header { name: http::HeaderName::from_static("x-api-key"), scheme: None };
    assert_eq!(seen(&[at(authorization(), true), at(key(), false)]), Some(1));
    let query = hidden(&[at(Place::Query("token".into()), true)]).expect("never forwarded");
    assert_eq!(query.shown_query("token=x").as_deref(), Some(""));
}
