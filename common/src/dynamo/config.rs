//! Where the store is and who we are there.

use std::net::IpAddr;

use http::Uri;
use secrecy::SecretString;

use crate::entities::InvalidValue;

/// How to reach a DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoConfig {
    /// AWS region; requests are signed for it even where the endpoint is our own.
    pub region: String,
    /// What every table's name begins with.
    pub table_prefix: TablePrefix,
    /// Base URL of a DynamoDB that is not the region's own.
    pub endpoint: Option<String>,
    /// A key given to us; else the SDK looks for one (profile, web identity, container, instance).
    pub access_key: Option<AccessKey>,
    /// The role to act as.
    pub role: Option<AssumedRole>,
}

impl DynamoConfig {
    /// A DynamoDB on this machine, which takes any credentials.
    #[must_use]
    pub fn local(endpoint: impl Into<String>, table_prefix: TablePrefix) -> Self {
        Self {
            region: "us-east-1".to_owned(),
            table_prefix,
            endpoint: Some(endpoint.into()),
            access_key: None,
            role: None,
        }
    }

    /// Whether the endpoint is on this machine: then nobody else makes the tables, and any credentials do.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let host = |endpoint: &String| endpoint.parse::<Uri>().ok()?.host().map(str::to_owned);
        self.endpoint.as_ref().and_then(host).is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
        })
    }
}

/// The beginning of every table's name: at most 200 letters, digits, `-`, `_` or `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePrefix(String);

impl TablePrefix {
    /// DynamoDB takes names up to 255 characters; this leaves room for ours.
    const MAX_LENGTH: usize = 200;

    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.len() <= Self::MAX_LENGTH && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue("must have at most 200 letters, digits, '-', '_' or '.'".to_owned()))
        }
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An AWS access key.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its public half.
    pub id: String,
    /// What requests are signed with.
    pub secret: SecretString,
    /// Comes with temporary keys only.
    pub session_token: Option<SecretString>,
}

/// A role that STS lends us.
#[derive(Clone, Debug)]
pub struct AssumedRole {
    /// Its ARN.
    pub arn: String,
    /// How we are named in CloudTrail.
    pub session_name: String,
    /// The secret word that the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// Base URL of an STS that is not the region's own.
    pub sts_endpoint: Option<String>,
}
