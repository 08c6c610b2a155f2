//! Who is asking: accounts, tokens, and headers that claim an identity.

use std::collections::HashMap;

use chrono::Utc;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Echo, Gateway, SECRET, Shop, expect, expect_problem};

/// `{"alg":"none","typ":"JWT"}`
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

#[tokio::test]
async fn a_registered_user_logs_in_and_reads_and_changes_the_profile() -> anyhow::Result<()> {
    let shop = Shop::open(1).await?;
    let api = &shop.api;
    let token = api.sign_up("Ada").await?;

    let profile = expect(api.get_as(&token, "/profile").await?, StatusCode::OK).await?;
    assert_eq!(profile["username"], "ada");
    assert_eq!(profile["email"], "ada@example.com");

    let change = api.request(Method::PUT, "/profile").bearer_auth(&token).json(&json!({"first_name": "Augusta"}));
    expect(change.send().await?, StatusCode::OK).await?;
    let profile = expect(api.get_as(&token, "/profile").await?, StatusCode::OK).await?;
    assert_eq!((&profile["first_name"], &profile["last_name"]), (&json!("Augusta"), &json!("Lovelace")));
    Ok(())
}

#[tokio::test]
async fn a_second_account_of_the_same_name_is_refused_with_409() -> anyhow::Result<()> {
    let shop = Shop::open(1).await?;
    let api = &shop.api;
    expect(api.try_register("grace").await?, StatusCode::CREATED).await?;
    expect_problem(api.try_register("GRACE").await?, StatusCode::CONFLICT).await?;
    Ok(())
}

#[tokio::test]
async fn missing_forged_unsigned_and_expired_tokens_are_rejected_with_401() -> anyhow::Result<()> {
    let shop = Shop::open(1).await?;
    let api = &shop.api;
    let genuine = api.sign_up("alan").await?;
    let forged = sign(&genuine, "another-secret-of-somebody-else-5d8a1", |_| ())?;
    let expired =
        sign(&genuine, SECRET, |claims| drop(claims.insert("exp".into(), json!(Utc::now().timestamp() - 120))))?;
    let foreign = sign(&genuine, SECRET, |claims| drop(claims.insert("aud".into(), json!("another-system"))))?;
    let payload = genuine.split('.').nth(1).unwrap_or_default();

    for path in ["/profile", "/inventory/orders"] {
        let answer = api.get(path).await?;
        assert!(answer.headers().contains_key("www-authenticate"), "{path}");
        expect_problem(answer, StatusCode::UNAUTHORIZED).await?;
        for bad in [&forged, &expired, &foreign, &format!("{UNSIGNED}.{payload}."), "x.y.z", ""] {
            let answer = api.get_as(bad, path).await?;
            expect_problem(answer, StatusCode::UNAUTHORIZED).await?;
        }
        expect(api.get_as(&genuine, path).await?, StatusCode::OK).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_dead_after_logout_and_only_that_one() -> anyhow::Result<()> {
    let shop = Shop::open(1).await?;
    let api = &shop.api;
    let first = api.sign_up("edsger").await?;
    let second = api.log_in("edsger").await?;

    let logout = api.request(Method::POST, "/logout").bearer_auth(&first).send().await?;
    assert!(logout.status().is_success(), "{}", logout.status());

    for path in ["/profile", "/inventory/orders"] {
        expect_problem(api.get_as(&first, path).await?, StatusCode::UNAUTHORIZED).await?;
        expect(api.get_as(&second, path).await?, StatusCode::OK).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_identity_header_of_the_client_never_reaches_the_upstream() -> anyhow::Result<()> {
    let echo = Echo::start().await?;
    let gateway = Gateway::with_config(&format!(
        r#"
jwt_providers:
  accounts:
    algorithm: HS256
    secret: "${{JWT_SECRET_KEY}}"
    issuer: order-processor
    audience: order-processor
    claims_to_headers: {{ sub: X-User-Id }}
upstreams:
  echo: {{ targets: ["{}"] }}
routes:
  - {{ name: open, match: {{ path: /open }}, upstream: echo, public: true }}
  - name: closed
    match: {{ path: /closed }}
    upstream: echo
    middleware: [ {{ jwt: {{ provider: accounts }} }} ]
"#,
        echo.url()
    ))
    .await?;
    let user = Uuid::now_v7().to_string();
    let claims = json!({
        "sub": user, "username": "ada", "jti": Uuid::now_v7(), "iss": "order-processor", "aud": "order-processor",
        "iat": Utc::now().timestamp(), "nbf": Utc::now().timestamp(), "exp": Utc::now().timestamp() + 60,
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key)?;

    for path in ["/open", "/closed"] {
        let request = gateway.api.request(Method::GET, path).bearer_auth(&token);
        let spoofed = request.header("X-User-Id", "root").header("x_user_id", "root").header("X-USER-ID", "admin");
        let head = spoofed.send().await?.text().await?.to_ascii_lowercase();
        assert!(!head.contains("root") && !head.contains("admin"), "{path}: {head}");
        let asserted = head.lines().filter(|line| line.starts_with("x-user-id:")).collect::<Vec<_>>();
        let expected = if path == "/closed" { vec![format!("x-user-id: {user}")] } else { vec![] };
        assert_eq!(asserted, expected, "{path}: {head}");
    }
    Ok(())
}

/// The claims of `token`, changed and signed anew.
fn sign(
    token: &str,
    secret: &str,
    change: impl FnOnce(&mut HashMap<String, serde_json::Value>),
) -> anyhow::Result<String> {
    let mut claims = jsonwebtoken::dangerous::insecure_decode_claims::<HashMap<String, serde_json::Value>>(token)?;
    change(&mut claims);
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
