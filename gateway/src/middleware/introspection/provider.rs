//! One issuer that is asked about tokens, with what it has said of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use common::telemetry::Chain;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use prometheus::Registry;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::Found;
use super::answer::{BadAnswer, Rules};
use super::metrics::Metrics;
use crate::caller::{CallFailure, Caller};
use crate::claim::claims_bytes;
use crate::config::file::IntrospectionProviderFile;
use crate::config::{IntrospectionService, Loaded};
use crate::credential::{Place, places};
use crate::last_call::LastCall;
use crate::middleware::identity::Proof;
use crate::middleware::jwt::ProviderError;
use crate::reply::{BadToken, Rejection};

/// A longer token is refused before anybody is asked.
const MOST_TOKEN_BYTES: usize = 8 * 1024;
/// The most bytes of an answer.
const MOST_ANSWER_BYTES: usize = 64 * 1024;
/// How long nobody is asked again about a token after a call about it has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// What an entry is reckoned to take when the number of entries to expect is asked for.
const USUAL_ENTRY_BYTES: u64 = 2048;

/// Those of one configuration, by name.
pub(crate) struct Introspections {
    by_name: BTreeMap<String, Arc<Introspection>>,
}

/// The proof by a token that one issuer is asked about.
pub(crate) struct Introspection {
    name: Box<str>,
    settings: Settings,
    caller: Caller,
    authorization: HeaderValue,
    rules: Rules,
    places: Box<[Place]>,
    answers: Cache<Mark, Entry, ByBytes>,
    key: hmac::Key,
    last_call: LastCall,
    metrics: Metrics,
}

/// A token by its keyed hash: of no use elsewhere, and nobody can choose tokens that share one.
pub(super) type Mark = [u8; 32];

/// What was found out about a token.
#[derive(Clone)]
struct Entry {
    found: Found,
    /// Until when nobody is asked again.
    fresh_until: Instant,
    /// Until when it counts while no answer comes.
    stale_until: Instant,
}

#[derive(Clone)]
struct ByBytes;

/// What one is made from; compared to know whether a reload may keep it with its answers.
#[derive(Clone, PartialEq)]
struct Settings {
    file: IntrospectionProviderFile,
    service: IntrospectionService,
}

/// Why a call has not told what a token is.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Call(#[from] CallFailure),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Bad(#[from] BadAnswer),
}

impl NoAnswer {
    /// What metrics call it.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Call(failure) => failure.outcome(),
            Self::Status(_) => "bad_status",
            Self::Bad(_) => "bad_answer",
        }
    }
}

impl Introspections {
    /// Compiles those of `loaded`, keeping those of `previous` that would come out the same.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Self>) -> Result<Self, ProviderError> {
        let mut by_name = BTreeMap::new();
        for (name, file) in &loaded.file.token_introspection {
            let unfit = || ProviderError::Key(name.clone());
            let service = loaded.introspection.get(name).ok_or_else(unfit)?.clone();
            let settings = Settings { file: file.clone(), service };
            let namesake = previous.and_then(|previous| previous.by_name.get(name));
            let provider = match namesake {
                Some(provider) if provider.settings == settings => Arc::clone(provider),
                _ => {
                    let counted = namesake.map(|provider| Ok(provider.metrics.clone()));
                    let metrics = counted.unwrap_or_else(|| Metrics::new(name)).map_err(ProviderError::Metrics)?;
                    let authorization = authorization(&settings).ok_or_else(unfit)?;
                    let provider = Introspection::new(name, settings, authorization, metrics);
                    Arc::new(provider.map_err(|source| ProviderError::Client { provider: name.clone(), source })?)
                }
            };
            by_name.insert(name.clone(), provider);
        }
        Ok(Self { by_name })
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Introspection>> {
        self.by_name.get(name)
    }

    /// The name of each, and whether the last call has told what a token is; none before the first.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&str, Option<bool>)> {
        self.by_name.iter().map(|(name, provider)| (name.as_str(), provider.last_call.was_answered()))
    }

    /// Every header that some provider's claims are written to.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|provider| provider.rules.headers().names())
    }

    /// Puts the series of every provider into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.by_name.values().try_for_each(|provider| provider.metrics.register(registry))
    }
}

/// Name and password as HTTP Basic has them, each encoded as in a form before (RFC 6749, section 2.3.1).
fn authorization(settings: &Settings) -> Option<HeaderValue> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let secret = settings.service.secret.expose_secret();
    let pair = format!("{}:{}", encoded(&settings.file.client_id), encoded(secret));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Introspection {
    fn new(name: &str, settings: Settings, authorization: HeaderValue, metrics: Metrics) -> reqwest::Result<Self> {
        let mut random = [0; 32];
        rand::fill(&mut random);
        let file = &settings.file;
        let bytes = file.cache.bytes();
        let entries = usize::try_from(bytes / USUAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        Ok(Self {
            name: name.into(),
            caller: Caller::new(&settings.service.service, file.timeout.get(), file.max_concurrent)?,
            authorization,
            rules: Rules::new(file),
            places: places(&file.token_from),
            answers: Cache::with_weighter(entries, bytes, ByBytes),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random),
            last_call: LastCall::never(),
            metrics,
            settings,
        })
    }

    /// Where its tokens may stand.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether the upstream sees the token.
    pub(super) const fn forwards_token(&self) -> bool {
        self.settings.file.forward_token
    }

    /// What `token` is known by, if it can be one (RFC 6750, section 2.1).
    pub(super) fn presented(&self, token: &[u8]) -> Option<Mark> {
        if token.is_empty() || token.len() > MOST_TOKEN_BYTES || !token.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(hmac::sign(&self.key, token).as_ref());
        Some(mark)
    }

    /// What is known of the token at `now`, in seconds since 1970, without asking.
    pub(super) fn remembered(&self, mark: &Mark, now: u64) -> Option<Proof> {
        let entry = self.answers.get(mark).filter(|entry| Instant::now() < entry.fresh_until)?;
        self.metrics.remembered.inc();
        Some(self.proof(&entry, now))
    }

    /// The same after the issuer was asked, by this request or by another with the same token.
    pub(super) async fn find_out(&self, token: &[u8], mark: &Mark, now: u64) -> Proof {
        let before = self.answers.remove_if(mark, |entry| entry.fresh_until <= Instant::now());
        let joined = timeout(self.settings.file.timeout.get(), self.answers.get_value_or_guard_async(mark)).await;
        let entry = match joined {
            Ok(Ok(entry)) => entry,
            Ok(Err(place)) => {
                let entry = self.ask(token, before.map(|(_, entry)| entry), now).await;
                // If it was driven out meanwhile, the next request asks again.
                let _ = place.insert(entry.clone());
                entry
            }
            Err(_) => return Proof::Refused(Rejection::IntrospectionUnavailable),
        };
        self.proof(&entry, now)
    }

    async fn ask(&self, token: &[u8], before: Option<Entry>, now: u64) -> Entry {
        let answered = self.call(token, now).await;
        self.tell_of_outages(answered.as_ref().err());
        let (asked, file) = (Instant::now(), &self.settings.file);
        match answered {
            Ok(found @ Found::Active(..)) => {
                self.metrics.called("active");
                let fresh_until = asked + file.ttl.get();
                Entry { found, fresh_until, stale_until: fresh_until + file.stale_if_error.get() }
            }
            Ok(found) => {
                self.metrics.called("inactive");
                let fresh_until = asked + file.negative_ttl.get();
                Entry { found, fresh_until, stale_until: fresh_until }
            }
            Err(failure) => {
                self.metrics.called(failure.outcome());
                let is_of_use = |entry: &Entry| matches!(entry.found, Found::Active(..)) && asked < entry.stale_until;
                match before.filter(is_of_use) {
                    Some(entry) => {
                        self.metrics.stale.inc();
                        Entry { fresh_until: (asked + PAUSE).min(entry.stale_until), ..entry }
                    }
                    None => Entry { found: Found::Unknown, fresh_until: asked + PAUSE, stale_until: asked },
                }
            }
        }
    }

    async fn call(&self, token: &[u8], now: u64) -> Result<Found, NoAnswer> {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let token: String = form_urlencoded::byte_serialize(token).collect();
        let body = format!("token={token}&token_type_hint=access_token");
        let is_answer = |status| status == StatusCode::OK;
        let answered = self.caller.ask(Method::POST, headers, Some(body), MOST_ANSWER_BYTES, is_answer).await?;
        if !is_answer(answered.status) {
            return Err(NoAnswer::Status(answered.status));
        }
        Ok(self.rules.judge(&answered.body, now)?)
    }

    /// What `entry` proves at `now`: no answer makes a token count longer than it says itself.
    fn proof(&self, entry: &Entry, now: u64) -> Proof {
        match &entry.found {
            Found::Active(identity, ends) if ends.is_none_or(|ends| now < ends) => Proof::Given(Arc::clone(identity)),
            Found::Active(..) => Proof::Refused(Rejection::TokenInvalid(BadToken::Expired)),
            Found::Inactive(why) => Proof::Refused(Rejection::TokenInvalid(*why)),
            Found::Unknown => Proof::Refused(Rejection::IntrospectionUnavailable),
        }
    }

    fn tell_of_outages(&self, failure: Option<&NoAnswer>) {
        let was_failing = self.last_call.note(failure.is_some());
        match failure {
            Some(failure) if !was_failing => {
                tracing::error!(provider = &*self.name, error = %Chain(failure), "tokens cannot be checked");
            }
            None if was_failing => tracing::info!(provider = &*self.name, "tokens can be checked again"),
            _ => {}
        }
    }
}

impl Weighter<Mark, Entry> for ByBytes {
    fn weight(&self, _mark: &Mark, entry: &Entry) -> u64 {
        /// A place in the cache, the counts of two `Arc`s, and what an allocator adds.
        const FIXED: usize = 320;
        let identity = match &entry.found {
            Found::Active(identity, _) => {
                let header = |(name, value): &(HeaderName, HeaderValue)| 96 + name.as_str().len() + value.len();
                identity.headers.iter().map(header).sum::<usize>() + claims_bytes(&identity.claims)
            }
            Found::Inactive(_) | Found::Unknown => 0,
        };
        (FIXED + identity) as u64
    }
}
