//! A provider with a cache beside one without: whatever is asked, when, and how often, both say the same.

use std::sync::LazyLock;

use jsonwebtoken::{DecodingKey, Validation, get_current_timestamp};
use proptest::prelude::*;

use super::*;

/// Tokens that differ in who, from when, and until when.
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let token = |number: u64| {
        token(|claims| {
            claims["sub"] = json!(format!("user-{number}"));
            claims["nbf"] = json!(NOW + number % 7 * 10);
            claims["exp"] = json!(NOW + number % 11 * 10);
        })
    };
    (0..100).map(token).collect()
});

/// One request: which token, changed how, and when.
#[derive(Clone, Debug)]
struct Request {
    token: usize,
    change: Option<(prop::sample::Index, u8)>,
    now: u64,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let change = prop_oneof![4 => Just(None), 1 => any::<(prop::sample::Index, u8)>().prop_map(Some)];
    // Few tokens are asked for often, and all of them are more than the cache has room for.
    let token = prop_oneof![3 => 0..8usize, 1 => 0..100usize];
    let request = (token, change, NOW - 20..NOW + 130).prop_map(|(token, change, now)| Request { token, change, now });
    prop::collection::vec(request, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_cache_never_says_what_a_fresh_check_would_not(requests in requests(), leeway in 0..20u64) {
        let leeway = format!("{leeway}s");
        let cached = provider(&secret(), json!({"leeway": leeway, "cache": "64KiB"}));
        let fresh = provider(&secret(), json!({"leeway": leeway, "cache": "0B"}));
        for Request { token, change, now } in requests {
            let mut token = TOKENS[token].clone().into_bytes();
            if let Some((at, byte)) = change {
                let at = at.index(token.len());
                token[at] = byte;
            }
            let (said, right) = (cached.identify(&token, now), fresh.identify(&token, now));
            match (said, right) {
                (Ok(said), Ok(right)) => {
                    prop_assert_eq!(&said.identity.claims, &right.identity.claims);
                    prop_assert_eq!(&said.identity.headers, &right.identity.headers);
                    prop_assert_eq!(said.marks, right.marks);
                }
                (said, right) => prop_assert_eq!(said.map(drop), right.map(drop)),
            }
        }
    }

    #[test]
    fn whatever_comes_as_a_token_is_answered(
        bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[A-Za-z0-9_-]{0,40}[.]?[A-Za-z0-9_-]{0,40}[.]?[A-Za-z0-9_-]{0,60}",
    ) {
        prop_assert!(with_secret().identify(&bytes, NOW).is_err());
        prop_assert!(with_secret().identify(text.as_bytes(), NOW).is_err());
    }

    /// The other library is asked about the same tokens. It reads the clock itself, so times stay clear of this second.
    #[test]
    fn another_library_believes_the_same_tokens(
        begins in prop::option::of(-500..500i64), ends in -500..500i64, iss in "us|them", aud in "us|them",
        change in prop::option::of(any::<(prop::sample::Index, u8)>()),
    ) {
        prop_assume!(ends.abs() > 100 && begins.is_none_or(|begins| begins.abs() > 100));
        let now = get_current_timestamp();
        let at = |offset: i64| now.saturating_add_signed(offset);
        let mut token = token(|claims| {
            *claims = json!({"sub": "ann", "iss": iss, "aud": aud, "exp": at(ends), "nbf": begins.map(at)});
        }).into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(token.len());
            token[at] = byte;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&["us"]);
        validation.set_audience(&["us"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        let theirs = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_secret(SECRET.as_bytes()), &validation);
        prop_assert_eq!(with_secret().identify(&token, now).is_ok(), theirs.is_ok());
    }
}

#[test]
fn a_token_is_verified_once_and_counts_until_its_time_is_over() {
    let metrics = CacheMetrics::new("us").expect("a legal name");
    let (hits, misses) = (metrics.hits.clone(), metrics.misses.clone());
    let file = json!({"algorithm": "HS256", "issuer": "us", "audience": "us", "leeway": "5s"});
    let file = serde_json::from_value(file).expect("a provider");
    let settings = Settings::read(&file, &secret());
    let keys = Keys::fixed(&settings).expect("fits");
    let provider = JwtProvider::new(settings, keys, metrics);
    let token = token(|claims| claims["exp"] = json!(NOW + 2));
    let at = |now| provider.identify(token.as_bytes(), now).map_err(bad);
    let first = at(NOW).expect("valid");
    let second = at(NOW + 1).expect("valid");
    assert!(Arc::ptr_eq(&first.identity, &second.identity), "nothing was made anew");
    assert_eq!((hits.get(), misses.get()), (1, 1));
    assert!(at(NOW + 6).is_ok(), "within the leeway");
    assert_eq!(at(NOW + 7).expect_err("over"), BadToken::Expired);
    assert_eq!((hits.get(), misses.get()), (3, 1));
    assert_eq!(at(NOW + 7).expect_err("over"), BadToken::Expired);
    assert_eq!((hits.get(), misses.get()), (3, 2), "it was forgotten");
    assert!(at(NOW).is_ok(), "a clock that was put back makes it valid again");
}

#[test]
fn refusals_are_not_remembered() {
    let provider = with_secret();
    let early = token(|claims| claims["nbf"] = json!(NOW + 5));
    assert_eq!(provider.identify(early.as_bytes(), NOW).map_err(bad).expect_err("early"), BadToken::NotYetValid);
    assert!(provider.identify(early.as_bytes(), NOW + 5).is_ok());
}

#[test]
fn a_token_with_the_end_of_a_known_one_is_another_token() {
    let provider = with_secret();
    let (known, other) = (token(|_| {}), token(|claims| claims["sub"] = json!("admin")));
    identify(&provider, &known).expect("valid");
    let (_, signature) = known.rsplit_once('.').expect("a signature");
    let (forged, _) = other.rsplit_once('.').expect("a signature");
    assert_eq!(identify(&provider, &format!("{forged}.{signature}")).expect_err("forged"), BadToken::BadSignature);
}
