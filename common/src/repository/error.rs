//! The ways any store can fail, whatever was asked of it.

use std::error::Error;

/// A store did not do what was asked, for a reason that is not the caller's.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store did not answer, or asked to be left alone; the same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store refused the call: a missing table, a missing permission, a mistake of ours.
    #[error("the store refused the call")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// A stored item cannot be read back as the entity it should be.
    #[error("the stored {entity} is damaged")]
    Damaged {
        /// Which kind of item.
        entity: &'static str,
        /// What is wrong with it; never holds the item's values.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl RepositoryError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused(_) | Self::Damaged { .. } => false,
        }
    }
}
