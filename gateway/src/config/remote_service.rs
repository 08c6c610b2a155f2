//! A service that the gateway asks about requests.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// Where a service is, and whose its certificate may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteService {
    /// Where.
    pub url: Url,
    /// The authorities that its certificate may be of, each as DER; those of the system when empty.
    pub authorities: Vec<Vec<u8>>,
}

/// A service that says what tokens are worth, and the password with which it is asked.
#[derive(Clone, Debug)]
pub struct IntrospectionService {
    /// Where it is.
    pub service: RemoteService,
    /// The password.
    pub secret: SecretString,
}

impl PartialEq for IntrospectionService {
    fn eq(&self, other: &Self) -> bool {
        self.service == other.service && self.secret.expose_secret() == other.secret.expose_secret()
    }
}
