//! Services that demand the gateway's word need not trust the network.

use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Api, Echo, Gateway, SECRET, Services, expect, expect_problem};

const SHARED: &str = "0d4f1a94c2b85e7733e09a1bd4c65f28";
const DEMANDED: [(&str, &str); 2] = [("IDENTITY_TOKEN_KEY", SHARED), ("IDENTITY_TOKEN_ALGORITHM", "HS256")];

/// A gateway before both services and an upstream that shows what it was sent, under the name of the user service.
async fn gateway(services: &Services, echo: &Echo) -> anyhow::Result<Gateway> {
    Gateway::with_config(&format!(
        r#"
identity_tokens:
  internal: {{ algorithm: HS256, secret: {SHARED} }}
jwt_providers:
  accounts: {{ algorithm: HS256, secret: {SECRET}, issuer: order-processor, audience: order-processor }}
upstreams:
  user-service: {{ targets: ["{}"] }}
  inventory-service: {{ targets: ["{}"] }}
  echo: {{ targets: ["{}"] }}
middleware: [ {{ jwt: {{ provider: accounts }} }} ]
routes:
  - {{ name: user, match: {{ path: /* }}, upstream: user-service, middleware: [ {{ identity_token: {{ signer: internal }} }} ] }}
  - {{ name: shop, match: {{ path: /inventory/* }}, upstream: inventory-service, middleware: [ {{ identity_token: {{ signer: internal }} }} ] }}
  - name: seen
    match: {{ path: /seen/* }}
    upstream: echo
    middleware: [ {{ rewrite: {{ strip_prefix: /seen }} }}, {{ identity_token: {{ signer: internal, audience: user-service }} }} ]
"#,
        services.user.url,
        services.inventory_urls(),
        echo.url(),
    ))
    .await
}

#[tokio::test]
async fn what_did_not_come_through_the_gateway_is_refused_and_what_was_seen_is_of_no_use_elsewhere()
-> anyhow::Result<()> {
    let (echo, services) = (Echo::start().await?, Services::start_with(1, &DEMANDED).await?);
    let gateway = gateway(&services, &echo).await?;
    let (direct, shop) = (Api::at(services.user.url.clone()), Api::at(services.inventory[0].url.clone()));
    let token = direct.sign_up("ada").await?;
    let bob = direct.sign_up("bob").await?;
    expect(gateway.api.get_as(&token, "/profile").await?, StatusCode::OK).await?;
    expect(gateway.api.get_as(&token, "/inventory/orders").await?, StatusCode::OK).await?;
    for (api, path) in [(&direct, "/profile"), (&shop, "/inventory/orders")] {
        let spoofed = api.request(Method::GET, path).bearer_auth(&token).header("X-User-Id", "root");
        expect_problem(spoofed.send().await?, StatusCode::UNAUTHORIZED).await?;
    }

    // Somebody on the way sees what goes to the user service.
    let head = gateway.api.get_as(&token, "/seen/profile").await?.text().await?;
    let seen = head.lines().find_map(|line| line.strip_prefix("x-identity-token: ")).unwrap_or_default().to_owned();
    let with = |api: &Api, method, path: &str, bearer: &str, word: &str| {
        api.request(method, path).bearer_auth(bearer).header("X-Identity-Token", word)
    };
    let same = with(&direct, Method::GET, "/profile", &token, &seen).json(&json!({}));
    expect(same.send().await?, StatusCode::OK).await?;
    for other in [
        with(&direct, Method::PUT, "/profile", &token, &seen).json(&json!({"first_name": "Eve"})),
        with(&direct, Method::POST, "/logout", &token, &seen),
        with(&direct, Method::GET, "/profile", &bob, &seen),
        with(&shop, Method::GET, "/inventory/orders", &token, &seen),
        with(&direct, Method::GET, "/profile", &token, &forged(&seen, |claims| claims["exp"] = json!(1))?),
        with(&direct, Method::GET, "/profile", &token, &forged(&seen, |claims| claims["aud"] = json!("others"))?),
        with(&direct, Method::GET, "/profile", &token, ""),
    ] {
        expect_problem(other.send().await?, StatusCode::UNAUTHORIZED).await?;
    }
    Ok(())
}

/// The same with other claims, signed with the very secret: only the claims are wrong.
fn forged(token: &str, change: impl FnOnce(&mut Value)) -> anyhow::Result<String> {
    let mut claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token)?;
    change(&mut claims);
    let header = Header { typ: Some("identity+jwt".to_owned()), ..Header::default() };
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SHARED.as_bytes()))?)
}
