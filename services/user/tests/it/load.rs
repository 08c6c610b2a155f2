//! Many at once.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Harness, PASSWORD, new_account};

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_register_one_name_at_once_exactly_one_gets_it() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let registrations = (0..16).map(|i| {
        let mut account = new_account(if i % 2 == 0 { "alice" } else { "Alice" });
        account["email"] = json!(format!("alice{i}@example.com"));
        let harness = &harness;
        async move { harness.post("/register", &account).await }
    });
    let mut created = 0;
    for answer in join_all(registrations).await {
        let answer = answer?;
        match answer.status {
            StatusCode::CREATED => created += 1,
            _ => drop(answer.problem(409, "username_taken")),
        }
    }
    assert_eq!(created, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_logins_gets_503_beyond_the_queue_and_everybody_else_is_served() -> anyhow::Result<()> {
    let harness = Harness::start_with(|env| env.with("PASSWORD_WORKERS", "1").with("PASSWORD_QUEUE", "2")).await?;
    let token = harness.account("ann").await?;
    let logins = join_all((0..40).map(|_| harness.login("ann", PASSWORD)));
    let others = join_all((0..20).map(|_| harness.get_as(&token, "/profile")));
    let (logins, others) = futures::join!(logins, others);
    let (mut served, mut refused) = (0, 0);
    for answer in logins {
        let answer = answer?;
        match answer.status {
            StatusCode::OK => served += 1,
            _ => {
                answer.problem(503, "busy");
                assert_eq!(answer.header("retry-after"), Some("1"));
                refused += 1;
            }
        }
    }
    assert!(served >= 3 && refused > 0, "{served} served, {refused} refused");
    for answer in others {
        assert_eq!(answer?.status, StatusCode::OK);
    }
    assert_eq!(harness.metric("password_hashes_rejected_total").await?, f64::from(refused));
    assert_eq!(harness.login("ann", PASSWORD).await?.status, StatusCode::OK, "the storm is over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_a_profile_are_all_kept_or_refused() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let token = harness.account("ann").await?;
    let changes = (0..8).map(|i| {
        let (harness, token) = (&harness, &token);
        async move { harness.put_profile(token, &json!({"first_name": format!("Ann {i}")})).await }
    });
    let mut kept = Vec::new();
    for answer in join_all(changes).await {
        let answer = answer?;
        match answer.status {
            StatusCode::OK => kept.push(answer.json()["first_name"].clone()),
            _ => drop(answer.problem(409, "profile_changed")),
        }
    }
    let now = harness.get_as(&token, "/profile").await?.json()["first_name"].take();
    assert!(kept.contains(&now), "{now} is none of {kept:?}");
    Ok(())
}
