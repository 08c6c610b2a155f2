//! Makes the one DynamoDB client: credentials, time-outs, retries.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, Credentials, ProvideCredentials, Region, SharedCredentialsProvider};
use secrecy::ExposeSecret;

use super::config::{AccessKey, AssumedRole, DynamoConfig};
use super::contention::Contention;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// All attempts and the pauses between them: nobody waits longer for the store.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;
/// DynamoDB answers in milliseconds, so the SDK's default of a second would be most of the operation's time.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing was given, and the SDK found nothing where it looks.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run with a profile or an instance role, \
         or set AWS_ENDPOINT_URL_DYNAMODB to a DynamoDB on this machine"
    )]
    NoCredentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// STS did not lend us the role.
    #[error("cannot assume the role {arn}")]
    RoleNotAssumed {
        /// The role.
        arn: String,
        /// STS' answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A client for the DynamoDB of `config`, with credentials at hand.
pub(super) async fn client(config: &DynamoConfig) -> Result<Client, ConnectError> {
    let sdk = base(config).await;
    let credentials = match &config.role {
        Some(role) => Some(SharedCredentialsProvider::new(assume(role, &sdk).await?)),
        None => sdk.credentials_provider(),
    };
    if let Some(provider) = &credentials {
        provider.provide_credentials().await.map_err(|error| match &config.role {
            Some(role) => ConnectError::RoleNotAssumed { arn: role.arn.clone(), source: error.into() },
            None => ConnectError::NoCredentials(error.into()),
        })?;
    }
    // A retry budget of its own: by default, all clients in the process that name one region share theirs, and one
    // store that is down would leave the others none.
    let budget = RetryPartition::custom("store").build();
    let mut builder = Builder::from(&sdk).retry_classifier(Contention).retry_partition(budget);
    builder.set_credentials_provider(credentials);
    builder.set_endpoint_url(config.endpoint.clone());
    Ok(Client::from_conf(builder.build()))
}

/// The retry policy with another bound on the attempts.
pub(super) fn retries(attempts: u32) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(MAX_BACKOFF)
}

/// What the clients of DynamoDB and of STS have in common.
async fn base(config: &DynamoConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let loader: ConfigLoader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .timeout_config(timeouts)
        .retry_config(retries(ATTEMPTS));
    match &config.access_key {
        Some(key) => loader.credentials_provider(given(key)).load().await,
        // A local DynamoDB wants a signature, but not whose.
        None if config.is_local() => loader.credentials_provider(made_up()).load().await,
        None => loader.load().await,
    }
}

async fn assume(role: &AssumedRole, sdk: &SdkConfig) -> Result<AssumeRoleProvider, ConnectError> {
    let mut sts = sdk.to_builder();
    sts.set_endpoint_url(role.sts_endpoint.clone());
    let mut builder = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&sts.build());
    if let Some(external_id) = &role.external_id {
        builder = builder.external_id(external_id);
    }
    Ok(builder.build().await)
}

fn given(key: &AccessKey) -> Credentials {
    let session_token = key.session_token.as_ref().map(|token| token.expose_secret().to_owned());
    Credentials::new(&key.id, key.secret.expose_secret(), session_token, None, "configuration")
}

fn made_up() -> Credentials {
    Credentials::new("local", "local", None, None, "local store")
}
