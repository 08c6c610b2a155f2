//! Accounts: found as they were written, and each name and address at most once.

use common::entities::{PasswordHash, PersonName, User};
use common::ids::UserId;
use common::repository::{CreateUserError, UpdateUserError};
use futures::future::join_all;

use super::Subject;
use crate::samples;

/// All of an account, for it has no equality of its own.
fn fields(user: &User) -> impl PartialEq + std::fmt::Debug {
    (
        user.id,
        user.username.clone(),
        user.email.as_str().to_owned(),
        (user.first_name.clone(), user.last_name.clone()),
        user.password_hash.as_str().to_owned(),
        (user.created_at, user.updated_at),
        user.version,
    )
}

async fn stored(subject: &Subject, id: UserId) -> User {
    subject.users.by_id(id).await.expect("read").expect("account")
}

pub(super) async fn created_account_is_found_by_id_and_by_name(subject: &Subject) {
    let user = samples::user();
    subject.users.create(&user).await.expect("create");
    assert_eq!(fields(&stored(subject, user.id).await), fields(&user));
    let by_name = subject.users.by_username(&user.username).await.expect("read").expect("account");
    assert_eq!(fields(&by_name), fields(&user));
}

pub(super) async fn account_that_never_was_is_absent(subject: &Subject) {
    assert!(subject.users.by_id(UserId::new()).await.expect("read").is_none());
    assert!(subject.users.by_username(&samples::username()).await.expect("read").is_none());
}

pub(super) async fn taken_name_is_refused(subject: &Subject) {
    let first = samples::user();
    subject.users.create(&first).await.expect("create");
    let second = User { username: first.username.clone(), ..samples::user() };
    assert!(matches!(subject.users.create(&second).await, Err(CreateUserError::UsernameTaken)));
    let third = User { username: first.username.clone(), email: first.email.clone(), ..samples::user() };
    assert!(matches!(subject.users.create(&third).await, Err(CreateUserError::UsernameTaken)));
}

pub(super) async fn taken_email_is_refused(subject: &Subject) {
    let first = samples::user();
    subject.users.create(&first).await.expect("create");
    let second = User { email: first.email.clone(), ..samples::user() };
    assert!(matches!(subject.users.create(&second).await, Err(CreateUserError::EmailTaken)));
}

pub(super) async fn refused_account_leaves_nothing_behind(subject: &Subject) {
    let first = samples::user();
    subject.users.create(&first).await.expect("create");
    let refused = User { username: first.username.clone(), ..samples::user() };
    subject.users.create(&refused).await.expect_err("taken");
    assert!(subject.users.by_id(refused.id).await.expect("read").is_none());
    let with_its_email = User { email: refused.email.clone(), ..samples::user() };
    subject.users.create(&with_its_email).await.expect("the address is free");
}

pub(super) async fn one_of_many_simultaneous_accounts_gets_the_name(subject: &Subject) {
    let username = samples::username();
    let users: Vec<User> = (0..32).map(|_| User { username: username.clone(), ..samples::user() }).collect();
    let results = join_all(users.iter().map(|user| subject.users.create(user))).await;
    let refused = results.iter().filter(|result| matches!(result, Err(CreateUserError::UsernameTaken))).count();
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), refused), (1, 31));
}

pub(super) async fn one_of_many_simultaneous_accounts_gets_the_email(subject: &Subject) {
    let email = samples::email();
    let users: Vec<User> = (0..32).map(|_| User { email: email.clone(), ..samples::user() }).collect();
    let results = join_all(users.iter().map(|user| subject.users.create(user))).await;
    let refused = results.iter().filter(|result| matches!(result, Err(CreateUserError::EmailTaken))).count();
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), refused), (1, 31));
}

pub(super) async fn update_changes_what_may_change_and_counts_the_version(subject: &Subject) {
    let user = samples::user();
    subject.users.create(&user).await.expect("create");
    let change = User {
        email: samples::email(),
        first_name: PersonName::parse("Ann").expect("name"),
        last_name: PersonName::parse("Other").expect("name"),
        password_hash: PasswordHash::from_phc("$argon2id$other".to_owned()),
        updated_at: samples::moment(60, 1),
        // These two are not for an update to change.
        username: samples::username(),
        created_at: samples::moment(60, 2),
        ..user.clone()
    };
    let expected = User { username: user.username.clone(), created_at: user.created_at, version: 2, ..change.clone() };
    assert_eq!(fields(&subject.users.update(&change).await.expect("update")), fields(&expected));
    assert_eq!(fields(&stored(subject, user.id).await), fields(&expected));
}

pub(super) async fn stale_update_is_refused(subject: &Subject) {
    let user = samples::user();
    subject.users.create(&user).await.expect("create");
    let newer = subject.users.update(&user).await.expect("update");
    assert!(matches!(subject.users.update(&user).await, Err(UpdateUserError::Stale)));
    let from_the_future = User { version: newer.version + 1, ..newer.clone() };
    assert!(matches!(subject.users.update(&from_the_future).await, Err(UpdateUserError::Stale)));
    assert_eq!(fields(&stored(subject, user.id).await), fields(&newer));
}

pub(super) async fn one_of_many_simultaneous_updates_is_written(subject: &Subject) {
    let user = samples::user();
    subject.users.create(&user).await.expect("create");
    let changes: Vec<User> = (0..16).map(|_| User { email: samples::email(), ..user.clone() }).collect();
    let results = join_all(changes.iter().map(|change| subject.users.update(change))).await;
    let written: Vec<&User> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    let stale = results.iter().filter(|result| matches!(result, Err(UpdateUserError::Stale))).count();
    assert_eq!((written.len(), stale), (1, 15));
    assert_eq!(fields(&stored(subject, user.id).await), fields(written[0]));
}

pub(super) async fn changed_email_is_held_and_the_old_one_is_free(subject: &Subject) {
    let user = samples::user();
    subject.users.create(&user).await.expect("create");
    let changed = subject.users.update(&User { email: samples::email(), ..user.clone() }).await.expect("update");
    let with_the_new = User { email: changed.email.clone(), ..samples::user() };
    assert!(matches!(subject.users.create(&with_the_new).await, Err(CreateUserError::EmailTaken)));
    let with_the_old = User { email: user.email, ..samples::user() };
    subject.users.create(&with_the_old).await.expect("the old address is free");
}

pub(super) async fn update_to_a_taken_email_is_refused_and_changes_nothing(subject: &Subject) {
    let (user, other) = (samples::user(), samples::user());
    subject.users.create(&user).await.expect("create");
    subject.users.create(&other).await.expect("create");
    let change = User { email: other.email.clone(), ..user.clone() };
    assert!(matches!(subject.users.update(&change).await, Err(UpdateUserError::EmailTaken)));
    assert_eq!(fields(&stored(subject, user.id).await), fields(&user));
    let with_its_email = User { email: user.email, ..samples::user() };
    assert!(matches!(subject.users.create(&with_its_email).await, Err(CreateUserError::EmailTaken)), "still held");
}

pub(super) async fn update_of_a_missing_account_is_stale(subject: &Subject) {
    assert!(matches!(subject.users.update(&samples::user()).await, Err(UpdateUserError::Stale)));
}
