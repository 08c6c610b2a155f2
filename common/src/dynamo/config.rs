//! Where the store is and who we are there.

use std::net::IpAddr;

use http::Uri;
use secrecy::SecretString;

use crate::config::Reader;
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
    /// Whether tables that are missing are made at the start; else whoever runs the account makes them.
    pub create_tables: bool,
}

impl DynamoConfig {
    const DEFAULT_REGION: &str = "us-east-1";

    /// Reads `DYNAMODB_REGION`, `DYNAMODB_TABLE_PREFIX`, `AWS_ENDPOINT_URL_DYNAMODB`, `DYNAMODB_CREATE_TABLES` (true for
    /// an endpoint on this machine, where nobody else makes them), the variables of an access key
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`) and those of a role to assume (`AWS_ROLE_ARN`,
    /// `AWS_ROLE_SESSION_NAME`, `AWS_ROLE_EXTERNAL_ID`, `AWS_ENDPOINT_URL_STS`).
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let region = reader.text("DYNAMODB_REGION", Self::DEFAULT_REGION);
        let endpoint = Self::endpoint(reader, "AWS_ENDPOINT_URL_DYNAMODB");
        let sts_endpoint = Self::endpoint(reader, "AWS_ENDPOINT_URL_STS");
        let access_key = AccessKey::read(reader);
        // With a web identity the SDK assumes the role itself.
        let arn = reader.optional("AWS_ROLE_ARN").filter(|_| reader.optional("AWS_WEB_IDENTITY_TOKEN_FILE").is_none());
        let role = arn.map(|arn| AssumedRole {
            arn,
            session_name: reader.text("AWS_ROLE_SESSION_NAME", "order-processor"),
            external_id: reader.optional("AWS_ROLE_EXTERNAL_ID"),
            sts_endpoint,
        });
        let create_tables = reader.flag("DYNAMODB_CREATE_TABLES", endpoint.as_deref().is_some_and(is_on_this_machine));
        match TablePrefix::parse(&reader.text("DYNAMODB_TABLE_PREFIX", "order-processor-")) {
            Ok(table_prefix) => Some(Self { region, table_prefix, endpoint, access_key, role, create_tables }),
            Err(invalid) => {
                reader.problem("DYNAMODB_TABLE_PREFIX", invalid);
                None
            }
        }
    }

    fn endpoint(reader: &mut Reader<'_>, name: &str) -> Option<String> {
        let endpoint = reader.optional(name)?;
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        if !endpoint.parse::<Uri>().is_ok_and(|uri| is_http(&uri)) {
            reader.problem(name, format_args!("is {endpoint:?}: must be a URL like http://localhost:8000"));
        }
        Some(endpoint)
    }

    /// A DynamoDB on this machine, which takes any credentials.
    #[must_use]
    pub fn local(endpoint: impl Into<String>, table_prefix: TablePrefix) -> Self {
        Self {
            region: Self::DEFAULT_REGION.to_owned(),
            table_prefix,
            endpoint: Some(endpoint.into()),
            access_key: None,
            role: None,
            create_tables: true,
        }
    }

    /// Whether the endpoint is on this machine: then any credentials do.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.endpoint.as_deref().is_some_and(is_on_this_machine)
    }
}

fn is_on_this_machine(endpoint: &str) -> bool {
    let host = endpoint.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
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

impl AccessKey {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let session_token = reader.secret("AWS_SESSION_TOKEN");
        match (reader.optional("AWS_ACCESS_KEY_ID"), reader.secret("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Some(Self { id, secret, session_token }),
            (Some(_), None) => {
                reader.problem("AWS_SECRET_ACCESS_KEY", "is not set, but AWS_ACCESS_KEY_ID is; set both or none");
                None
            }
            (None, Some(_)) => {
                reader.problem("AWS_ACCESS_KEY_ID", "is not set, but AWS_SECRET_ACCESS_KEY is; set both or none");
                None
            }
            (None, None) => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[test]
    fn half_an_access_key_an_unusable_endpoint_and_prefix_are_all_reported() {
        let env = Env::default()
            .with("AWS_ACCESS_KEY_ID", "AKIA")
            .with("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000")
            .with("DYNAMODB_TABLE_PREFIX", "a b");
        let mut reader = Reader::new(&env);
        let config = DynamoConfig::read(&mut reader);
        let error = reader.finish(config).expect_err("three problems").to_string();
        assert_eq!(error.lines().count(), 3, "{error}");
    }

    #[test]
    fn the_defaults_are_those_of_the_documents() {
        let config = DynamoConfig::read(&mut Reader::new(&Env::default())).expect("nothing is required");
        assert_eq!((config.region.as_str(), config.table_prefix.as_str()), ("us-east-1", "order-processor-"));
        assert!(config.endpoint.is_none() && config.access_key.is_none() && config.role.is_none());
    }

    #[test]
    fn endpoint_is_local_only_on_the_loopback_interface() {
        let prefix = || TablePrefix::parse("").expect("prefix");
        for local in ["http://127.0.0.1:8000", "http://127.3.2.1", "http://LOCALHOST:1/", "https://[::1]:8000"] {
            assert!(DynamoConfig::local(local, prefix()).is_local(), "{local}");
        }
        for remote in ["http://dynamodb:8000", "https://10.0.0.1", "http://localhost.example.com", "nonsense", ""] {
            assert!(!DynamoConfig::local(remote, prefix()).is_local(), "{remote}");
        }
        assert!(!DynamoConfig { endpoint: None, ..DynamoConfig::local("", prefix()) }.is_local());
    }

    #[test]
    fn tables_are_made_on_this_machine_and_elsewhere_only_if_asked_for() {
        let creates = |endpoint: &str, asked: &str| {
            let env = Env::default().with("AWS_ENDPOINT_URL_DYNAMODB", endpoint).with("DYNAMODB_CREATE_TABLES", asked);
            DynamoConfig::read(&mut Reader::new(&env)).map(|config| config.create_tables)
        };
        assert_eq!(creates("http://localhost:8000", ""), Some(true));
        assert_eq!(creates("http://localhost:8000", "false"), Some(false));
        assert_eq!(creates("http://dynamodb:8000", ""), Some(false));
        assert_eq!(creates("http://dynamodb:8000", "true"), Some(true));
        assert_eq!(creates("", ""), Some(false), "AWS itself");
    }

    #[test]
    fn table_prefix_is_checked() {
        for bad in ["a b", "a/b", "ä", &"a".repeat(201)] {
            assert!(TablePrefix::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TablePrefix::parse("order-processor-").expect("valid").as_str(), "order-processor-");
    }
}
