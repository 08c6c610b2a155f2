//! Proves who is there by name and password (RFC 7617).
//!
//! A check takes tens of milliseconds of a core and some MiB on purpose. So only so many run at once, on threads that serve no
//! requests, a short queue waits for them, and beyond that the answer is "busy". What was found right is remembered for a
//! while, by a keyed hash that is of no use elsewhere. An unknown name costs the same check as a wrong password.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::header::InvalidHeaderValue;
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use prometheus::{IntCounterVec, Opts, Registry};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::identity::{Asked, Asking, Authenticator, Proof};
use super::jwt::ProviderError;
use crate::claim::ClaimHeaders;
use crate::config::Loaded;
use crate::config::file::BasicAuthUsersFile;
use crate::config::values::{IdentityHeader, PasswordHash};
use crate::credential::{Found, Place};
use crate::ctx::Identity;
use crate::reply::{BadCredential, Rejection};

/// Names and passwords that were found right, of one provider.
const MOST_REMEMBERED: usize = 10_000;
/// A longer pair is refused before it is looked at.
const MOST_BYTES: usize = 1024;
/// How long a request waits for its check, which it does behind all of the queue.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those of one configuration, by name.
pub(crate) struct BasicAuthProviders {
    by_name: BTreeMap<String, Arc<BasicAuth>>,
}

/// The proof by name and password.
pub(crate) struct BasicAuth {
    settings: Settings,
    users: HashMap<String, (Arc<PasswordHash>, Arc<Identity>)>,
    /// Checked in place of that of an unknown name; what comes of it does not count.
    dummy: Option<Arc<PasswordHash>>,
    places: [Place; 1],
    headers: ClaimHeaders,
    challenge: HeaderValue,
    checks: Arc<Semaphore>,
    /// Requests whose check runs or waits.
    admitted: AtomicUsize,
    /// When a pair was found right, by its keyed hash.
    right: Cache<[u8; 32], Instant>,
    key: hmac::Key,
    outcomes: IntCounterVec,
}

/// What one is made from; compared to know whether a reload may keep it with what it remembers.
#[derive(Clone, PartialEq)]
struct Settings {
    realm: String,
    users: BTreeMap<String, PasswordHash>,
    checks: usize,
    queue: usize,
    remember: Duration,
    claims_to_headers: BTreeMap<String, IdentityHeader>,
    forward_credentials: bool,
}

impl BasicAuthProviders {
    /// Compiles those of `loaded`, keeping those of `previous` that would come out the same.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Self>) -> Result<Self, ProviderError> {
        let compiled = |(name, file): (&String, &BasicAuthUsersFile)| {
            let settings = Settings::read(file, loaded.passwords.get(name).cloned().unwrap_or_default());
            let namesake = previous.and_then(|previous| previous.by_name.get(name));
            if let Some(kept) = namesake.filter(|namesake| namesake.settings == settings) {
                return Ok((name.clone(), Arc::clone(kept)));
            }
            let counted = namesake.map(|namesake| Ok(namesake.outcomes.clone()));
            let outcomes = counted.unwrap_or_else(|| outcomes(name)).map_err(ProviderError::Metrics)?;
            let made = BasicAuth::new(settings, outcomes).map_err(ProviderError::Realm)?;
            Ok((name.clone(), Arc::new(made)))
        };
        let by_name = loaded.file.basic_auth.iter().map(compiled).collect::<Result<_, _>>()?;
        Ok(Self { by_name })
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<BasicAuth>> {
        self.by_name.get(name)
    }

    /// Every header that some name is told in.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|users| users.headers.names())
    }

    /// Puts the series of all of them into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.by_name.values().try_for_each(|users| registry.register(Box::new(users.outcomes.clone())))
    }
}

/// How the checks of the provider `name` have ended.
fn outcomes(name: &str) -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new("gateway_password_checks_total", "Passwords that were checked, by outcome");
    IntCounterVec::new(opts.const_label("provider", name), &["outcome"])
}

impl Settings {
    fn read(file: &BasicAuthUsersFile, users: BTreeMap<String, PasswordHash>) -> Self {
        Self {
            realm: file.realm.clone(),
            users,
            checks: file.checks,
            queue: file.queue,
            remember: file.remember.get(),
            claims_to_headers: file.claims_to_headers.clone(),
            forward_credentials: file.forward_credentials,
        }
    }
}

/// A name with its password, as they came.
struct Pair<'p> {
    name: &'p str,
    password: &'p [u8],
}

impl BasicAuth {
    fn new(settings: Settings, outcomes: IntCounterVec) -> Result<Self, InvalidHeaderValue> {
        let headers = ClaimHeaders::new(&settings.claims_to_headers);
        let user = |(name, hash): (&String, &PasswordHash)| {
            let claims = Map::from_iter([("sub".to_owned(), Value::from(&**name))]);
            // The names were checked, so each can be a header.
            let headers = headers.write(&claims).unwrap_or_default();
            (name.clone(), (Arc::new(hash.clone()), Arc::new(Identity { claims, headers })))
        };
        let dummy = settings.users.values().max_by_key(|hash| hash.by_cost());
        let mut random = [0; 32];
        rand::fill(&mut random);
        Ok(Self {
            users: settings.users.iter().map(user).collect(),
            dummy: dummy.cloned().map(Arc::new),
            places: [Place::authorization("Basic")],
            challenge: HeaderValue::try_from(format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm))?,
            checks: Arc::new(Semaphore::new(settings.checks)),
            admitted: AtomicUsize::new(0),
            right: Cache::new(MOST_REMEMBERED),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random),
            headers,
            outcomes,
            settings,
        })
    }

    /// What the pair is remembered by.
    fn mark(&self, pair: &Pair<'_>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(pair.name.len() as u64).to_be_bytes());
        context.update(pair.name.as_bytes());
        context.update(pair.password);
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    async fn check(&self, name: String, password: Vec<u8>, mark: [u8; 32]) -> Proof {
        let Some(_admitted) = Admitted::enter(&self.admitted, self.settings.checks + self.settings.queue) else {
            return self.refuse("busy", Rejection::PasswordsBusy);
        };
        let user = self.users.get(&name);
        let Some(hash) = user.map(|(hash, _)| hash).or(self.dummy.as_ref()).map(Arc::clone) else {
            return self.refuse("wrong", self.invalid(BadCredential::Unknown));
        };
        let checks = Arc::clone(&self.checks);
        let checked = timeout(PATIENCE, async move {
            let turn = checks.acquire_owned().await.ok()?;
            // The turn ends with the check, also when the request is gone before.
            let check = spawn_blocking(move || {
                let is_right = hash.verifies(&password);
                drop(turn);
                is_right
            });
            check.await.ok()
        });
        match (checked.await, user) {
            (Ok(Some(true)), Some((_, identity))) => {
                if !self.settings.remember.is_zero() {
                    self.right.insert(mark, Instant::now());
                }
                self.outcomes.with_label_values(&["right"]).inc();
                Proof::Given(Arc::clone(identity))
            }
            (Ok(Some(_)), Some(_)) => self.refuse("wrong", self.invalid(BadCredential::Wrong)),
            (Ok(Some(_)), None) => self.refuse("wrong", self.invalid(BadCredential::Unknown)),
            (Ok(None) | Err(_), _) => self.refuse("busy", Rejection::PasswordsBusy),
        }
    }

    fn refuse(&self, outcome: &str, rejection: Rejection) -> Proof {
        self.outcomes.with_label_values(&[outcome]).inc();
        Proof::Refused(rejection)
    }

    fn invalid(&self, why: BadCredential) -> Rejection {
        Rejection::PasswordInvalid(self.challenge.clone(), why)
    }
}

impl Authenticator for BasicAuth {
    fn ask<'a>(&'a self, head: &'a RequestHeader, _asking: &Asking) -> Asked<'a> {
        let [place] = &self.places;
        let sent = match place.find(head) {
            Found::Nothing => return Asked::Done(Proof::Absent),
            Found::Several => return Asked::Done(Proof::Refused(self.invalid(BadCredential::Several))),
            Found::One(sent) => {
                Some(sent).filter(|sent| sent.len() <= MOST_BYTES).and_then(|sent| BASE64.decode(sent).ok())
            }
        };
        let Some(pair) = sent.as_deref().and_then(Pair::read) else {
            return Asked::Done(Proof::Refused(self.invalid(BadCredential::Malformed)));
        };
        let mark = self.mark(&pair);
        if self.right.get(&mark).is_some_and(|since| since.elapsed() < self.settings.remember)
            && let Some((_, identity)) = self.users.get(pair.name)
        {
            return Asked::Done(Proof::Given(Arc::clone(identity)));
        }
        Asked::Wait(Box::pin(self.check(pair.name.to_owned(), pair.password.to_vec(), mark)))
    }

    fn missing(&self) -> Rejection {
        Rejection::PasswordMissing(self.challenge.clone())
    }

    fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    fn places(&self) -> &[Place] {
        &self.places
    }

    fn forwards(&self) -> bool {
        self.settings.forward_credentials
    }
}

impl<'p> Pair<'p> {
    /// What is before the first colon, and what is behind it.
    fn read(bytes: &'p [u8]) -> Option<Self> {
        let (name, password) = bytes.split_at(bytes.iter().position(|byte| *byte == b':')?);
        Some(Self { name: std::str::from_utf8(name).ok()?, password: password.get(1..)? })
    }
}

/// A place among those whose check runs or waits.
struct Admitted<'c>(&'c AtomicUsize);

impl<'c> Admitted<'c> {
    fn enter(count: &'c AtomicUsize, most: usize) -> Option<Self> {
        let entered = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1));
        entered.is_ok().then(|| Self(count))
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
