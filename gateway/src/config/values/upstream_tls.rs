//! What an upstream's targets are spoken to with over TLS, read from the files that say it.

use super::{Authorities, ClientIdentity};

/// Whom the gateway believes, and what it shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamTls {
    /// Whose the targets' certificates may be; those of the system when there is nothing.
    pub authorities: Option<Authorities>,
    /// What the gateway shows, if it shows anything.
    pub identity: Option<ClientIdentity>,
}
