//! Revocations: once dead, a token stays dead.

use chrono::{TimeDelta, Utc};
use common::ids::{TokenId, UserId};
use common::repository::{RevocationLog, RevocationRepository};
use common::revocations::{Revocation, Revoked, TokenMarks};

use super::Subject;
use crate::samples::{marks, unique};

fn in_an_hour() -> u64 {
    (Utc::now() + TimeDelta::hours(1)).timestamp().unsigned_abs()
}

async fn revoke(subject: &Subject, revocation: &Revocation) {
    subject.revocations.revoke(revocation).await.expect("revoke");
}

async fn is_revoked(subject: &Subject, token: TokenMarks<'_>) -> bool {
    subject.revocations.is_revoked(token).await.expect("read")
}

pub(super) async fn revoked_token_is_revoked(subject: &Subject) {
    let token = TokenId::new();
    revoke(subject, &Revocation::of_token(token, Utc::now() + TimeDelta::hours(1))).await;
    assert!(is_revoked(subject, marks(token)).await);
}

pub(super) async fn token_that_was_not_revoked_is_not(subject: &Subject) {
    revoke(subject, &Revocation::of_token(TokenId::new(), Utc::now() + TimeDelta::hours(1))).await;
    assert!(!is_revoked(subject, TokenMarks { session: Some("s"), ..marks(TokenId::new()) }).await);
}

pub(super) async fn revoking_twice_is_harmless(subject: &Subject) {
    let token = TokenId::new();
    for _ in 0..2 {
        revoke(subject, &Revocation::of_token(token, Utc::now() + TimeDelta::hours(1))).await;
    }
    assert!(is_revoked(subject, marks(token)).await);
}

// A verifier's leeway may let a token live past the time in it.
pub(super) async fn revocation_counts_as_long_as_its_record_is_there(subject: &Subject) {
    let token = TokenId::new();
    revoke(subject, &Revocation::of_token(token, Utc::now() - TimeDelta::seconds(1))).await;
    assert!(is_revoked(subject, marks(token)).await);
}

pub(super) async fn session_is_revoked_with_all_of_its_tokens(subject: &Subject) {
    let session = unique();
    revoke(subject, &Revocation { revoked: Revoked::Session(session.clone()), until: in_an_hour() }).await;
    for _ in 0..2 {
        assert!(is_revoked(subject, TokenMarks { session: Some(&session), ..marks(TokenId::new()) }).await);
    }
    assert!(!is_revoked(subject, TokenMarks { session: Some(&unique()), ..marks(TokenId::new()) }).await);
}

pub(super) async fn tokens_of_a_subject_issued_before_the_moment_are_void(subject: &Subject) {
    let (ann, now) = (UserId::new(), Utc::now());
    let issued = |issued_at| TokenMarks { subject: ann, issued_at, ..marks(TokenId::new()) };
    assert_eq!(subject.revocations.void_before(ann).await.expect("read"), 0);
    revoke(subject, &Revocation::of_subject(ann, now, now + TimeDelta::hours(1))).await;
    assert!(is_revoked(subject, issued(now.timestamp())).await);
    let before = subject.revocations.void_before(ann).await.expect("read");
    assert_eq!(before, now.timestamp() + 1);
    assert!(!is_revoked(subject, issued(before)).await);
    assert!(!is_revoked(subject, TokenMarks { issued_at: 0, ..marks(TokenId::new()) }).await, "another subject");
}

pub(super) async fn of_two_moments_the_later_counts_whatever_comes_last(subject: &Subject) {
    let (ann, now) = (UserId::new(), Utc::now());
    for seconds in [0, 20, 10] {
        let moment = now + TimeDelta::seconds(seconds);
        revoke(subject, &Revocation::of_subject(ann, moment, moment + TimeDelta::hours(1))).await;
    }
    assert_eq!(subject.revocations.void_before(ann).await.expect("read"), now.timestamp() + 21);
}

pub(super) async fn everything_that_counts_is_listed(subject: &Subject) {
    let now = Utc::now();
    let all = [
        Revocation::of_token(TokenId::new(), now + TimeDelta::hours(1)),
        Revocation { revoked: Revoked::Session(unique()), until: in_an_hour() },
        Revocation::of_subject(UserId::new(), now, now + TimeDelta::hours(1)),
    ];
    for revocation in &all {
        revoke(subject, revocation).await;
    }
    let listed = subject.revocations.all().await.expect("read");
    assert!(all.iter().all(|revocation| listed.contains(revocation)), "{listed:?}");
}

pub(super) async fn log_has_what_was_written_and_nothing_older(subject: &Subject) {
    let began = Utc::now();
    let first = Revocation::of_token(TokenId::new(), began + TimeDelta::hours(1));
    let ann = Revocation::of_subject(UserId::new(), began, began + TimeDelta::hours(1));
    revoke(subject, &first).await;
    revoke(subject, &ann).await;
    let between = Utc::now();
    let second = Revocation { revoked: Revoked::Session(unique()), until: in_an_hour() };
    revoke(subject, &second).await;
    let since = async |moment| subject.revocations.written_since(moment).await.expect("read");
    // From some minutes ago, so that several partitions are read.
    let all = since(began - TimeDelta::minutes(3)).await;
    assert!([&first, &ann, &second].iter().all(|revocation| all.contains(revocation)), "{all:?}");
    let late = since(between).await;
    assert!(late.contains(&second) && !late.contains(&first), "{late:?}");
}
