//! Passwords: hashed with Argon2id (RFC 9106), a bounded number at a time.
//!
//! One hash takes 19 MiB and some ten milliseconds of a core. Without a bound, a burst of logins takes the machine's
//! memory and its cores; so there are as many hashes at once as cores, on threads that give way to those which serve
//! requests, a short queue behind them, and beyond that a plain "busy".

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use tokio::sync::{Semaphore, oneshot};

use crate::config::Reader;
use crate::entities::{Password, PasswordHash};

/// How much nicer a hash is than the process: where there is not enough for all, it gets a tenth of an equal share
/// (sched(7)), and so goes on.
#[cfg(target_os = "linux")]
const HASHING_NICENESS: i32 = 10;

/// How many passwords may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingLimits {
    /// Hashed at once; more than there are cores makes none of them faster.
    pub workers: NonZeroUsize,
    /// Waiting to be hashed.
    pub queue: usize,
}

impl HashingLimits {
    /// Callers that wait for one worker; the last of them waits about 16 × 35 ms.
    const QUEUE_PER_WORKER: usize = 16;

    /// Reads `PASSWORD_WORKERS` (as many as there are cores) and `PASSWORD_QUEUE` (16 for each worker).
    ///
    /// One less would not keep others from waiting: it was measured to make no difference (`benches/RESULTS.md`).
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let workers = reader.parsed("PASSWORD_WORKERS", cores);
        let queue = reader.parsed("PASSWORD_QUEUE", workers.get().saturating_mul(Self::QUEUE_PER_WORKER));
        Self { workers, queue }
    }
}

/// Hashes and verifies passwords.
pub struct PasswordHasher {
    argon2: Argon2<'static>,
    /// Compared when there is no account, so that its absence takes as long as a wrong password.
    dummy: PasswordHash,
    /// Callers that run or wait.
    admitted: Arc<Semaphore>,
    /// Callers that run.
    workers: Arc<Semaphore>,
    metrics: PasswordMetrics,
}

/// Why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// As many callers wait as may; the same call may succeed in a second.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash does not come from us, or the cryptographic library failed.
    #[error("the password could not be hashed")]
    Hash(#[source] password_hash::Error),
    /// There is no thread to hash on.
    #[error("no thread can be started to hash the password")]
    NoThread(#[source] io::Error),
    /// The thread that hashed is gone.
    #[error("the password hashing was aborted")]
    Aborted(#[source] oneshot::error::RecvError),
}

struct PasswordMetrics {
    seconds: Histogram,
    in_flight: IntGauge,
    rejected: IntCounter,
}

impl PasswordHasher {
    /// A hasher that keeps to `limits` and shows its work in `registry`.
    ///
    /// # Errors
    /// When the cryptographic library fails, or the registry already has a hasher's metrics.
    pub fn new(limits: HashingLimits, registry: &Registry) -> Result<Self, StartHasherError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters().map_err(StartHasherError::Argon2)?);
        let dummy = hash(&argon2, b"no account has this password").map_err(StartHasherError::Hash)?;
        Ok(Self {
            argon2,
            dummy,
            admitted: Arc::new(Semaphore::new(
                limits.workers.get().saturating_add(limits.queue).min(Semaphore::MAX_PERMITS),
            )),
            workers: Arc::new(Semaphore::new(limits.workers.get().min(Semaphore::MAX_PERMITS))),
            metrics: PasswordMetrics::register(registry)?,
        })
    }

    /// Hashes the password of a new account under a fresh random salt.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] at once when the queue is full.
    pub async fn hash(self: &Arc<Self>, password: Password) -> Result<PasswordHash, PasswordError> {
        self.run(move |hasher| hash(&hasher.argon2, password.expose().as_bytes())).await
    }

    /// Whether `typed` is the password of `stored`. Without a stored hash the answer is no, after the same work.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] at once when the queue is full.
    pub async fn verify(
        self: &Arc<Self>,
        typed: Password,
        stored: Option<PasswordHash>,
    ) -> Result<bool, PasswordError> {
        self.run(move |hasher| {
            let known = stored.is_some();
            let hash = stored.as_ref().unwrap_or(&hasher.dummy);
            match hasher.argon2.verify_password(typed.expose().as_bytes(), hash.as_str()) {
                Ok(()) => Ok(known),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let Ok(admitted) = Arc::clone(&self.admitted).try_acquire_owned() else {
            self.metrics.rejected.inc();
            return Err(PasswordError::Busy);
        };
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_closed| PasswordError::Busy)?;
        let hasher = Arc::clone(self);
        let (done, result) = oneshot::channel();
        // A thread of its own, which costs a thousandth of the hash: the runtime's are for others too, and what has a low
        // priority once keeps it.
        let thread = thread::Builder::new().name("password".to_owned()).spawn(move || {
            // Held by the thread, not by the caller: a caller that hangs up does not make room for one hash more.
            let _permits = (admitted, worker);
            yield_to_requests();
            hasher.metrics.in_flight.inc();
            let started = Instant::now();
            let result = work(&hasher);
            hasher.metrics.seconds.observe(started.elapsed().as_secs_f64());
            hasher.metrics.in_flight.dec();
            // The caller may have hung up.
            let _ = done.send(result);
        });
        thread.map_err(PasswordError::NoThread)?;
        result.await.map_err(PasswordError::Aborted)?.map_err(PasswordError::Hash)
    }
}

/// Why a [`PasswordHasher`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartHasherError {
    /// The parameters are not Argon2's.
    #[error("Argon2 refused its parameters")]
    Argon2(#[source] argon2::Error),
    /// The first hash failed.
    #[error("Argon2 failed")]
    Hash(#[source] password_hash::Error),
    /// The metrics are there already.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

impl PasswordMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0];
        let seconds = HistogramOpts::new("password_hash_seconds", "Time one password hash took").buckets(buckets);
        let metrics = Self {
            seconds: Histogram::with_opts(seconds)?,
            in_flight: IntGauge::new("password_hashes_in_flight", "Password hashes being made")?,
            rejected: IntCounter::new("password_hashes_rejected_total", "Hashes refused because the queue was full")?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.rejected.clone()))?;
        Ok(metrics)
    }
}

/// Gives the present thread a low priority. A hash keeps a core busy for longer than a hundred other requests take, and
/// each of those would wait for it; they cost it little.
fn yield_to_requests() {
    // On Linux the thread's alone, elsewhere the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(HASHING_NICENESS) {
        tracing::debug!(%error, "hashing at the usual priority");
    }
}

/// 19 MiB, two passes, one lane: the first of the equal choices in OWASP's Password Storage Cheat Sheet.
fn parameters() -> Result<Params, argon2::Error> {
    Params::new(19 * 1024, 2, 1, None)
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Result<PasswordHash, password_hash::Error> {
    argon2.hash_password(password).map(|hash| PasswordHash::from_phc(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Arc<PasswordHasher> {
        let limits = HashingLimits { workers: NonZeroUsize::MIN, queue: 3 };
        Arc::new(PasswordHasher::new(limits, &Registry::new()).expect("starts"))
    }

    fn password(text: &str) -> Password {
        Password::parse(text).expect("valid")
    }

    #[tokio::test]
    async fn only_the_right_password_matches_its_hash() {
        let hasher = hasher();
        let hash = hasher.hash(password("correct horse battery")).await.expect("hashed");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let verify = |text: &str| hasher.verify(Password::typed(text), Some(hash.clone()));
        assert!(verify("correct horse battery").await.expect("verified"));
        assert!(!verify("correct horse batterx").await.expect("verified"));
    }

    #[tokio::test]
    async fn an_absent_account_costs_one_hash_and_never_matches() {
        let hasher = hasher();
        let known = hasher.verify(Password::typed("no account has this password"), None).await.expect("verified");
        assert!(!known);
        assert_eq!(hasher.metrics.seconds.get_sample_count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_hash_gives_way_and_the_threads_that_serve_requests_do_not() {
        let niceness = || rustix::process::getpriority_process(None).expect("a priority");
        let before = niceness();
        let hashing = hasher().run(move |_| Ok(niceness())).await.expect("run");
        assert_eq!(hashing, (before + HASHING_NICENESS).min(19));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn beyond_the_queue_callers_are_told_busy_and_the_queue_is_served() {
        let hasher = hasher();
        let callers = (0..8).map(|_| hasher.verify(Password::typed("x"), None));
        let results = futures::future::join_all(callers).await;
        let busy = results.iter().filter(|result| matches!(result, Err(PasswordError::Busy))).count();
        assert_eq!((busy, results.len() - busy), (4, 4));
        assert_eq!(hasher.metrics.rejected.get(), 4);
        assert!(hasher.verify(Password::typed("x"), None).await.is_ok(), "the queue is free again");
    }
}
