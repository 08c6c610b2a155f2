//! What is said of a `revocation` block.

use super::*;

const SECRET: &str = "0d4f1a94c2b85e7733e09a1bd4c65f28";

/// What is said of a file with this block, and a provider `p`.
fn said(block: &str) -> String {
    report(&with(&format!("revocation: {{ {block} }}")))
}

#[test]
fn a_whole_block_has_no_problems_and_an_empty_secret_is_none() {
    let whole =
        format!("source: url, url: \"http://a:1,http://b:2\", secret: {SECRET}, max_staleness: 5s, on_loss: refuse");
    assert_eq!(said(&whole), "");
    let load = |secret: &str| {
        let text = with(&format!("revocation: {{ source: url, url: \"http://a:1\", secret: \"{secret}\" }}"));
        parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"))
    };
    assert!(load(SECRET).file.revocation.is_some());
    for empty in ["", "${NO_SUCH_VARIABLE:-}"] {
        assert!(load(empty).file.revocation.is_none(), "{empty}");
    }
    let redis = with("redis: { host: h }\nrevocation: { source: redis }");
    assert_eq!(report(&redis), "");
}

#[test]
fn whatever_would_leave_void_tokens_alive_is_refused() {
    let url = format!("source: url, url: \"http://a:1\", secret: {SECRET}");
    for (block, problem) in [
        ("source: redis".to_owned(), "needs a `redis` block"),
        (format!("source: redis, secret: {SECRET}"), "only for source `url`"),
        ("source: url, url: \"http://a:1\"".to_owned(), "the key `secret` is missing"),
        (format!("source: url, secret: {SECRET}"), "the key `url` is missing"),
        ("source: url, url: \"http://a:1\", secret: changeme".to_owned(), "too weak"),
        (format!("{url}, providers: [nobody]"), "there is no provider `nobody`"),
        (format!("{url}, max_staleness: 10ms"), "is not between 1s and 1h"),
        (format!("{url}, max_entries: 0"), "revocation.max_entries"),
        (format!("{url}, on_los: refuse"), "on_loss"),
        (format!("{url}, on_loss: open"), "on_loss"),
        ("source: kafka".to_owned(), "revocation.source"),
    ] {
        let said = said(&block);
        assert!(said.contains(problem), "{block}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}
