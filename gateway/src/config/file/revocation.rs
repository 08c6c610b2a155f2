//! The shape of `revocation`.

use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::config::values::{Secret, Span, Targets};

/// How the gateway hears of tokens that are void before their time. With `source: url`, an empty secret counts as no block.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationFile {
    /// Who tells.
    pub source: RevocationSource,
    /// The user services, which all tell the same. Only for source `url`.
    pub url: Option<Targets>,
    /// What they know the gateway by. Only for source `url`.
    pub secret: Option<Secret>,
    /// Names under `jwt_providers` whose tokens are looked up; all of them when left out.
    #[serde(default)]
    pub providers: Vec<String>,
    /// How many revocations may count at once; while there are more, tokens are refused with 503.
    #[serde(default = "default_max_entries")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_entries: u32,
    /// For how long what is known counts as the present state after the source was lost.
    #[serde(default = "default_max_staleness")]
    pub max_staleness: Span,
    /// What happens after that.
    #[serde(default)]
    pub on_loss: OnLoss,
}

/// Who tells of revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevocationSource {
    /// The Redis of the `redis` block, in which user services publish.
    Redis,
    /// A user service.
    Url,
}

/// What happens while the source of revocations is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// The last known set goes on to count.
    #[default]
    Keep,
    /// Tokens are refused with 503.
    Refuse,
}

impl RevocationFile {
    /// Whether it stands for no block at all: its secret is empty, as that of a variable that is not set.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let has_secret = |secret: &Secret| !secret.as_secret().expose_secret().is_empty();
        self.source == RevocationSource::Url && !self.secret.as_ref().is_some_and(has_secret)
    }
}

const fn default_max_entries() -> u32 {
    1_000_000
}

const fn default_max_staleness() -> Span {
    Span::from_secs(10)
}
