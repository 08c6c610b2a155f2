//! What every store must keep to, whatever it is made of: one suite, run on each implementation.

mod assets;
mod orders;
mod revocations;
mod users;

use common::dynamo::embedded::{EmbeddedStore, Place};
use common::dynamo::{DynamoConfig, DynamoRevocations, Store, TablePrefix};
use common::repository::{AssetRepository, OrderRepository, UserRepository};
use tempfile::TempDir;

use crate::samples;

/// The repositories of the store under test, and what keeps it alive.
struct Subject {
    users: Box<dyn UserRepository>,
    assets: Box<dyn AssetRepository>,
    orders: Box<dyn OrderRepository>,
    revocations: DynamoRevocations,
    _embedded: Option<EmbeddedStore>,
    _directory: Option<TempDir>,
}

impl Subject {
    async fn on_dynamo(store: Store, embedded: Option<EmbeddedStore>, directory: Option<TempDir>) -> Self {
        store.ensure_tables().await.expect("tables");
        Self {
            users: Box::new(store.users()),
            assets: Box::new(store.assets()),
            orders: Box::new(store.orders()),
            revocations: store.revocations(),
            _embedded: embedded,
            _directory: directory,
        }
    }

    async fn in_memory() -> Self {
        let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
        Self::on_dynamo(samples::connect(&embedded.endpoint()).await, Some(embedded), None).await
    }

    async fn on_file() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let place = Place::Directory(directory.path().to_owned());
        let embedded = EmbeddedStore::start(place).await.expect("embedded store");
        Self::on_dynamo(samples::connect(&embedded.endpoint()).await, Some(embedded), Some(directory)).await
    }

    /// At the DynamoDB that `TEST_DYNAMODB_ENDPOINT` names, or else in memory.
    async fn at_endpoint() -> Self {
        let Ok(endpoint) = std::env::var("TEST_DYNAMODB_ENDPOINT") else { return Self::in_memory().await };
        let prefix = TablePrefix::parse(&format!("test-{}-", samples::unique())).expect("prefix");
        let store = Store::connect(&DynamoConfig::local(endpoint, prefix)).await.expect("connection");
        Self::on_dynamo(store, None, None).await
    }
}

macro_rules! suite {
    ($($entity:ident { $($rule:ident,)+ })+) => {
        mod in_memory {
            $(mod $entity { $(
                #[tokio::test]
                async fn $rule() {
                    crate::contract::$entity::$rule(&crate::contract::Subject::in_memory().await).await;
                }
            )+ })+
        }

        mod on_file {
            $(mod $entity { $(
                #[tokio::test]
                async fn $rule() {
                    crate::contract::$entity::$rule(&crate::contract::Subject::on_file().await).await;
                }
            )+ })+
        }

        /// With `TEST_DYNAMODB_ENDPOINT`, this is the suite on another DynamoDB than the embedded one.
        #[tokio::test]
        async fn all_rules_hold_on_one_store_after_each_other() {
            let subject = Subject::at_endpoint().await;
            $($($entity::$rule(&subject).await;)+)+
        }
    };
}

suite! {
    users {
        created_account_is_found_by_id_and_by_name,
        account_that_never_was_is_absent,
        taken_name_is_refused,
        taken_email_is_refused,
        refused_account_leaves_nothing_behind,
        one_of_many_simultaneous_accounts_gets_the_name,
        one_of_many_simultaneous_accounts_gets_the_email,
        update_changes_what_may_change_and_counts_the_version,
        stale_update_is_refused,
        one_of_many_simultaneous_updates_is_written,
        changed_email_is_held_and_the_old_one_is_free,
        update_to_a_taken_email_is_refused_and_changes_nothing,
        update_of_a_missing_account_is_stale,
    }
    assets {
        created_asset_is_read_back_exactly,
        asset_that_never_was_is_absent,
        existing_asset_is_not_created_again,
        one_of_many_simultaneous_listings_is_written,
        all_has_every_asset_even_past_one_page,
        newer_price_replaces_the_older,
        price_that_is_not_newer_is_not_set,
        price_of_a_missing_asset_is_not_set,
        extreme_numbers_come_back_as_they_were,
    }
    orders {
        placed_order_is_read_back_and_taken_out_of_stock,
        more_than_is_left_is_refused_with_what_is_left,
        inactive_asset_is_not_for_sale,
        missing_asset_is_not_for_sale,
        changed_price_is_refused,
        refused_order_changes_nothing,
        many_buyers_never_buy_more_than_there_is,
        fractions_add_up_exactly,
        repetition_under_a_key_returns_the_first_order,
        repetition_returns_its_order_though_price_and_stock_have_changed,
        key_of_another_purchase_is_refused,
        keys_of_two_users_are_two_keys,
        refused_order_leaves_its_key_free,
        simultaneous_attempts_under_one_key_place_one_order,
        pages_have_every_order_once_newest_first,
        orders_placed_while_paging_do_not_disturb_later_pages,
        page_of_exactly_the_last_orders_is_the_last,
        order_of_another_user_is_absent,
        price_updates_and_purchases_do_not_disturb_each_other,
    }
    revocations {
        revoked_token_is_revoked,
        token_that_was_not_revoked_is_not,
        revoking_twice_is_harmless,
        revocation_counts_as_long_as_its_record_is_there,
        session_is_revoked_with_all_of_its_tokens,
        tokens_of_a_subject_issued_before_the_moment_are_void,
        of_two_moments_the_later_counts_whatever_comes_last,
        everything_that_counts_is_listed,
        log_has_what_was_written_and_nothing_older,
    }
}
