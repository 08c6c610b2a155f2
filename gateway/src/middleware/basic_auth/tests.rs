//! Names and passwords, right and wrong, and how many are checked at once.

use serde_json::json;

use super::*;
use crate::config::values::password_hash::tests::{ARGON2ID, BCRYPT};

/// `ann` and `Zoë` have the same password, by different hashes.
fn provider(settings: Value) -> BasicAuth {
    let mut file = json!({"realm": "staff", "claims_to_headers": {"sub": "X-User"}});
    for (name, value) in settings.as_object().expect("a block") {
        file[name] = value.clone();
    }
    let hash = |text| PasswordHash::new(text).expect("a hash");
    let users = BTreeMap::from([("ann".to_owned(), hash(ARGON2ID)), ("Zoë".to_owned(), hash(BCRYPT))]);
    let settings = Settings::read(&serde_json::from_value(file).expect("a block"), users);
    BasicAuth::new(settings, outcomes("staff").expect("legal")).expect("a realm")
}

fn head(authorization: &str) -> RequestHeader {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a request");
    if !authorization.is_empty() {
        head.append_header("Authorization", authorization).expect("a header");
    }
    head
}

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64.encode(pair))
}

async fn ask(users: &BasicAuth, authorization: &str) -> Result<Option<Arc<Identity>>, Rejection> {
    let head = head(authorization);
    let proof = match users.ask(&head, &Asking::at(0)) {
        Asked::Done(proof) => proof,
        Asked::Wait(proof) => proof.await,
    };
    match proof {
        Proof::Given(identity) => Ok(Some(identity)),
        Proof::Absent => Ok(None),
        Proof::Refused(rejection) => Err(rejection),
    }
}

fn counted(users: &BasicAuth, outcome: &str) -> u64 {
    users.outcomes.with_label_values(&[outcome]).get()
}

#[tokio::test]
async fn a_right_password_says_who_it_is_and_is_checked_once() {
    let users = provider(json!({}));
    for (name, checks) in [("ann", 1), ("Zoë", 2)] {
        for _ in 0..3 {
            let identity = ask(&users, &basic(&format!("{name}:open sesame"))).await.expect("right").expect("there");
            assert_eq!(identity.claims["sub"], name);
            assert_eq!(identity.headers[0].1.as_bytes(), name.as_bytes());
            assert_eq!(counted(&users, "right"), checks);
        }
    }
    let forgetful = provider(json!({"remember": "0s"}));
    for checks in 1..3 {
        ask(&forgetful, &basic("ann:open sesame")).await.expect("right");
        assert_eq!(counted(&forgetful, "right"), checks);
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_refused_in_one_way_and_never_remembered() {
    let users = provider(json!({}));
    ask(&users, &basic("ann:open sesame")).await.expect("right");
    let invalid = || Err("invalid_password");
    let told = |rejection: Rejection| rejection.code();
    for _ in 0..2 {
        for pair in
            ["ann:open", "ann:", "ann:open sesame:", ":open sesame", "bob:open sesame", "Ann:open sesame", "ann"]
        {
            assert_eq!(ask(&users, &basic(pair)).await.map(drop).map_err(told), invalid(), "{pair}");
        }
    }
    let why = async |header: &str| ask(&users, header).await.map(drop).map_err(|rejection| rejection.reason());
    assert_eq!(why(&basic("ann:open")).await, Err(Some("wrong_password")), "the log alone is told");
    assert_eq!(why(&basic("bob:open sesame")).await, Err(Some("unknown")));
    assert_eq!(why("Basic !").await, Err(Some("no_credential")));
    assert_eq!(counted(&users, "wrong"), 14, "an unknown name is checked like a known one");
    for broken in ["Basic", "Basic ", "Basic !", "Basic YW5u", &basic(&"a".repeat(2000))] {
        let expected = if broken == "Basic" { Ok(()) } else { invalid() };
        assert_eq!(ask(&users, broken).await.map(drop).map_err(told), expected, "{broken}");
    }
    assert!(ask(&users, "Bearer x").await.expect("another scheme").is_none());
    assert!(ask(&users, "").await.expect("nothing").is_none());
}

#[tokio::test]
async fn two_pairs_that_read_alike_are_not_taken_for_each_other() {
    let users = provider(json!({}));
    let mark = |name, password: &str| users.mark(&Pair { name, password: password.as_bytes() });
    assert_ne!(mark("ann", "x:y"), mark("annx", ":y"));
    assert_ne!(mark("a", "b"), mark("", "ab"));
    assert_ne!(
        provider(json!({})).mark(&Pair { name: "a", password: b"b" }),
        mark("a", "b"),
        "the key is each one's own"
    );
}

#[tokio::test]
async fn beyond_the_queue_the_answer_is_busy_at_once() {
    let users = provider(json!({"checks": 1, "queue": 1, "remember": "0s"}));
    let turn = Arc::clone(&users.checks).acquire_owned().await.expect("open");
    let head = head(&basic("ann:open sesame"));
    let waiting = || match users.ask(&head, &Asking::at(0)) {
        Asked::Wait(proof) => proof,
        Asked::Done(_) => panic!("it is checked"),
    };
    let (mut first, mut second) = (waiting(), waiting());
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    assert_eq!(ask(&users, &basic("ann:open sesame")).await.map(drop), Err(Rejection::PasswordsBusy));
    drop(second);
    drop(turn);
    assert!(matches!(first.await, Proof::Given(_)));
    assert_eq!(users.admitted.load(Ordering::Acquire), 0, "who has given up waits no more");
}

#[test]
fn the_challenge_names_the_realm_and_the_charset() {
    assert_eq!(provider(json!({})).challenge(), "Basic realm=\"staff\", charset=\"UTF-8\"");
}
