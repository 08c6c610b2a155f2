//! A service that the gateway asks about requests.

use reqwest::Url;

/// Where a service is, and whose its certificate may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteService {
    /// Where.
    pub url: Url,
    /// The authorities that its certificate may be of, each as DER; those of the system when empty.
    pub authorities: Vec<Vec<u8>>,
}
