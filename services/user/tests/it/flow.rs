//! What people do with their account, from the registration to the end of their token.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Harness, PASSWORD, answer, new_account};

#[tokio::test]
async fn an_account_is_registered_used_and_logged_out_of() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let registered = harness.post("/register", &new_account("Ann")).await?;
    assert_eq!(registered.status, StatusCode::CREATED);
    let account = registered.json();
    assert_eq!((&account["username"], &account["email"]), (&json!("ann"), &json!("ann@example.com")));
    assert!(!registered.text.contains("password") && !registered.text.contains("argon2"), "{registered:?}");

    let login = harness.login("ann", PASSWORD).await?;
    assert_eq!((login.status, login.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let token = login.json();
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("bearer"), &json!(3600)));
    let token = token["access_token"].as_str().expect("a token");

    let profile = harness.get_as(token, "/profile").await?;
    assert_eq!((profile.status, profile.header("cache-control")), (StatusCode::OK, Some("no-store")));
    assert_eq!(profile.json(), account);

    let changed = harness.put_profile(token, &json!({"first_name": "Anna", "email": "ANNA@example.com"})).await?;
    assert_eq!(changed.status, StatusCode::OK);
    let changed = changed.json();
    assert_eq!((&changed["first_name"], &changed["last_name"]), (&json!("Anna"), &json!("Example")));
    assert_eq!(changed["email"], "anna@example.com");
    assert_eq!(harness.get_as(token, "/profile").await?.json(), changed);

    assert_eq!(harness.logout(token).await?.status, StatusCode::NO_CONTENT);
    harness.get_as(token, "/profile").await?.problem(401, "invalid_token");
    harness.logout(token).await?.problem(401, "invalid_token");
    Ok(())
}

#[tokio::test]
async fn logging_out_ends_one_token_and_no_other() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let first = harness.account("ann").await?;
    let second = harness.login("ann", PASSWORD).await?.json()["access_token"].take();
    harness.logout(&first).await?;
    let second = second.as_str().expect("a token");
    assert_eq!(harness.get_as(second, "/profile").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_taken_name_or_address_is_a_conflict_however_it_is_written() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let token = harness.account("alice").await?;
    for look_alike in ["alice", "ALICE", " Alice ", "ａｌｉｃｅ"] {
        let mut account = new_account("other");
        account["username"] = json!(look_alike);
        harness.post("/register", &account).await?.problem(409, "username_taken");
    }
    let mut account = new_account("bob");
    account["email"] = json!("Alice@EXAMPLE.com");
    harness.post("/register", &account).await?.problem(409, "email_taken");

    harness.account("bob").await?;
    let change = harness.put_profile(&token, &json!({"email": "bob@example.com"})).await?;
    change.problem(409, "email_taken");
    Ok(())
}

#[tokio::test]
async fn an_address_that_was_given_up_can_be_taken_by_another() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let token = harness.account("ann").await?;
    harness.put_profile(&token, &json!({"email": "new@example.com"})).await?;
    let mut account = new_account("bob");
    account["email"] = json!("ann@example.com");
    assert_eq!(harness.post("/register", &account).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_one_and_the_same_answer_for_the_same_work() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    harness.account("ann").await?;
    let mut documents = Vec::new();
    for (username, password) in
        [("ann", "not the password"), ("nobody", PASSWORD), ("no such/name", PASSWORD), ("ann", ""), ("", "")]
    {
        let before = harness.metric("password_hash_seconds_count").await?;
        let refused = harness.login(username, password).await?;
        let mut problem = refused.problem(401, "wrong_credentials");
        problem["request_id"].take();
        documents.push((problem, refused.header("www-authenticate").map(str::to_owned)));
        let hashes = harness.metric("password_hash_seconds_count").await? - before;
        assert_eq!(hashes, 1.0, "{username:?} {password:?}");
    }
    documents.dedup();
    assert_eq!(documents.len(), 1, "{documents:?}");
    Ok(())
}

#[tokio::test]
async fn a_password_counts_however_its_characters_are_composed() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let mut account = new_account("zoe");
    account["password"] = json!("Zoe\u{308} and the horses");
    assert_eq!(harness.post("/register", &account).await?.status, StatusCode::CREATED);
    assert_eq!(harness.login("zoe", "Zo\u{EB} and the horses").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn the_callers_request_id_comes_back_in_answers_and_problems() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    for path in ["/health", "/profile", "/nowhere"] {
        let answered = answer(harness.request(Method::GET, path).header("x-request-id", "trace-42")).await?;
        assert_eq!(answered.header("x-request-id"), Some("trace-42"), "{path}");
        if answered.status != StatusCode::OK {
            assert_eq!(answered.json()["request_id"], "trace-42");
        }
    }
    let own = harness.get("/health").await?;
    assert!(own.header("x-request-id").is_some_and(|id| id.len() == 36), "{own:?}");
    Ok(())
}
