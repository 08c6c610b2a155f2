//! Revocations: once dead, a token stays dead.

use chrono::{TimeDelta, Utc};
use common::ids::TokenId;

use super::Subject;

pub(super) async fn revoked_token_is_revoked(subject: &Subject) {
    let token = TokenId::new();
    subject.revocations.revoke(token, Utc::now() + TimeDelta::hours(1)).await.expect("revoke");
    assert!(subject.revocations.is_revoked(token).await.expect("read"));
}

pub(super) async fn token_that_was_not_revoked_is_not(subject: &Subject) {
    subject.revocations.revoke(TokenId::new(), Utc::now() + TimeDelta::hours(1)).await.expect("revoke");
    assert!(!subject.revocations.is_revoked(TokenId::new()).await.expect("read"));
}

pub(super) async fn revoking_twice_is_harmless(subject: &Subject) {
    let token = TokenId::new();
    for _ in 0..2 {
        subject.revocations.revoke(token, Utc::now() + TimeDelta::hours(1)).await.expect("revoke");
    }
    assert!(subject.revocations.is_revoked(token).await.expect("read"));
}

// A verifier's leeway may let a token live past the time in it.
pub(super) async fn revocation_counts_as_long_as_its_record_is_there(subject: &Subject) {
    let token = TokenId::new();
    subject.revocations.revoke(token, Utc::now() - TimeDelta::seconds(1)).await.expect("revoke");
    assert!(subject.revocations.is_revoked(token).await.expect("read"));
}
