//! What is wrong gets a problem document that says so and shows nothing internal.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common::auth::{Algorithm, SigningSecret, TokenIssuer};
use common::ids::UserId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Harness, PASSWORD, SECRET, answer, new_account};

#[tokio::test]
async fn every_wrong_field_is_named_at_once() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let body = json!({
        "username": "а", // Cyrillic
        "email": "nowhere",
        "password": "short",
        "first_name": "",
        "last_name": 7,
    });
    let problem = harness.post("/register", &body).await?.problem(422, "invalid_fields");
    assert_eq!(fields(&problem), ["username", "email", "password", "first_name", "last_name"]);
    let problem = harness.post("/register", &json!({})).await?.problem(422, "invalid_fields");
    assert_eq!(fields(&problem), ["username", "email", "password", "first_name", "last_name"]);
    let problem = harness.post("/login", &json!({"password": null})).await?.problem(422, "invalid_fields");
    assert_eq!(fields(&problem), ["username", "password"]);
    Ok(())
}

#[tokio::test]
async fn a_password_that_contains_the_name_is_refused() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let mut account = new_account("alice");
    account["password"] = json!("I am Alice in wonderland");
    let problem = harness.post("/register", &account).await?.problem(422, "invalid_fields");
    assert_eq!(problem["errors"], json!([{"field": "password", "detail": "must not contain the user name"}]));
    Ok(())
}

#[tokio::test]
async fn unknown_fields_are_refused_not_ignored() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let mut account = new_account("ann");
    account["role"] = json!("admin");
    account["is_admin"] = json!(true);
    let problem = harness.post("/register", &account).await?.problem(422, "invalid_fields");
    let detail = "is an unknown field; there are username, email, password, first_name, last_name";
    let errors = ["is_admin", "role"].map(|field| json!({"field": field, "detail": detail}));
    assert_eq!(problem["errors"], json!(errors));
    let token = harness.account("ann").await?;
    let problem = harness.put_profile(&token, &json!({"username": "root"})).await?.problem(422, "invalid_fields");
    assert_eq!(fields(&problem), ["username"]);
    // With what is wrong with the others, and with what was likely meant.
    let mut account = new_account("ben");
    account["usrname"] = account["username"].take();
    account["email"] = json!("nowhere");
    let problem = harness.post("/register", &account).await?.problem(422, "invalid_fields");
    assert_eq!(fields(&problem), ["username", "email", "usrname"]);
    assert_eq!(problem["errors"][2]["detail"], "is an unknown field; did you mean `username`?");
    let many: Value = (0..5000).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let problem = harness.post("/login", &many).await?.problem(422, "invalid_fields");
    assert_eq!((fields(&problem).len(), &problem["detail"]), (16, &json!("5002 fields are wrong")));
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_the_json_it_should_be_is_a_400_that_names_no_type_of_ours() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let deep = "[".repeat(50_000);
    for body in ["", "{", "null", "[]", "\"text\"", "{\"username\": \"a\u{0}b\"", "{'username': 1}", &deep] {
        let refused = harness.post_raw("/register", body.to_owned()).await?;
        refused.problem(400, "malformed_json");
        assert!(!refused.text.contains("NewAccount"), "{refused:?}");
    }
    let invalid_utf8 = harness.post_raw("/register", vec![b'{', b'"', 0xFF, 0xFE, b'"', b'}']).await?;
    invalid_utf8.problem(400, "malformed_json");
    Ok(())
}

#[tokio::test]
async fn nul_bytes_and_invisible_characters_are_refused_where_names_are() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    for (field, value) in [
        ("username", "al\u{0}ice"),
        ("username", "al\u{200B}ice"),
        ("username", "\u{202E}ecila"),
        ("email", "a\u{0}@example.com"),
        ("first_name", "A\u{0}nn"),
        ("last_name", "\u{202E}elpmaxE"),
    ] {
        let mut account = new_account("alice");
        account[field] = json!(value);
        let problem = harness.post("/register", &account).await?.problem(422, "invalid_fields");
        assert_eq!(fields(&problem), [field], "{value:?}");
    }
    harness.login("al\u{0}ice", "\u{0}").await?.problem(401, "wrong_credentials");
    Ok(())
}

#[tokio::test]
async fn a_huge_body_is_a_413_whether_its_length_is_announced_or_not() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    harness.post_raw("/register", "x".repeat(65 * 1024)).await?.problem(413, "payload_too_large");
    harness.post_raw("/register", "x".repeat(8 * 1024 * 1024)).await?.problem(413, "payload_too_large");
    let chunks = (0..70).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024]));
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    harness.post_raw("/register", chunked).await?.problem(413, "payload_too_large");
    let mut account = new_account("ann");
    account["first_name"] = json!("x".repeat(60 * 1024));
    harness.post("/register", &account).await?.problem(422, "invalid_fields");
    Ok(())
}

#[tokio::test]
async fn wrong_paths_methods_and_types_get_their_own_problems() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    for path in ["/nowhere", "/profile/", "//profile", "/profile/..%2f..%2fetc", "/%00"] {
        harness.get(path).await?.problem(404, "no_route");
    }
    let refused = answer(harness.request(Method::DELETE, "/profile")).await?;
    refused.problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET, PUT, HEAD"));
    let form = answer(harness.request(Method::POST, "/login").form(&[("username", "ann")])).await?;
    form.problem(415, "unsupported_media_type");
    answer(harness.request(Method::POST, "/login").body("{}")).await?.problem(415, "unsupported_media_type");
    Ok(())
}

#[tokio::test]
async fn only_a_token_of_ours_that_counts_now_is_believed() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let token = harness.account("ann").await?;
    let issue = |secret: &str, algorithm, at| {
        let secret = SigningSecret::new(secret.into()).expect("strong");
        let ours = || "order-processor".to_owned();
        let issuer = TokenIssuer::new(&secret, algorithm, ours(), ours(), Duration::from_secs(60));
        issuer.issue(UserId::new(), "ann", at).expect("signed").token
    };
    let now = Utc::now();
    let (head, payload_and_signature) = token.split_once('.').expect("three parts");
    let (payload, signature) = payload_and_signature.split_once('.').expect("three parts");
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    for (what, forged) in [
        ("expired", issue(SECRET, Algorithm::Hs256, now - TimeDelta::hours(1))),
        ("from the future", issue(SECRET, Algorithm::Hs256, now + TimeDelta::hours(1))),
        ("signed by another secret", issue("00112233445566778899aabbccddeeff", Algorithm::Hs256, now)),
        ("signed by another algorithm", issue(SECRET, Algorithm::Hs512, now)),
        ("alg none", format!("{none}.{payload}.")),
        ("alg none with a signature", format!("{none}.{payload}.{signature}")),
        ("without a signature", format!("{head}.{payload}.")),
        ("with another payload", format!("{head}.{}.{signature}", payload.to_lowercase())),
        ("rubbish", "rubbish".to_owned()),
        ("long rubbish", "x".repeat(9000)),
    ] {
        for request in [harness.request(Method::GET, "/profile"), harness.request(Method::POST, "/logout")] {
            let refused = answer(request.bearer_auth(&forged)).await?;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{what}");
            refused.problem(401, "invalid_token");
            let challenge = refused.header("www-authenticate");
            assert_eq!(challenge, Some(r#"Bearer realm="order-processor", error="invalid_token""#), "{what}");
        }
    }
    for header in ["", "Bearer", "Basic YTpi", &format!("Token {token}")] {
        let refused = answer(harness.request(Method::GET, "/profile").header("authorization", header)).await?;
        refused.problem(401, "missing_token");
    }
    let trusting = harness.request(Method::GET, "/profile").header("x-user-id", UserId::new().to_string());
    answer(trusting).await?.problem(401, "missing_token");
    // A sound token of an account that is not there.
    let unknown = issue(SECRET, Algorithm::Hs256, now);
    harness.get_as(&unknown, "/profile").await?.problem(401, "invalid_token");
    assert_eq!(harness.get_as(&token, "/profile").await?.status, StatusCode::OK, "{PASSWORD}");
    Ok(())
}

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["field"].as_str()).collect()
}
