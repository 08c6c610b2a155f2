//! Asks a service about each request whether it may go on.
//!
//! The service is told the head of the request as it was matched, and who sent it as far as that is sure. A 2xx answer lets
//! it go on with headers that no client can write itself; any other answer is the client's. Only the lack of an answer is a
//! failure, and what happens then is the file's to say: a refusal never becomes a permission.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use common::telemetry::Chain;
use http::header::{CACHE_CONTROL, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;
use prometheus::{IntCounterVec, Opts, Registry};
use quick_cache::sync::Cache;

use super::jwt::ProviderError;
use super::{Flow, Middleware, Step};
use crate::caller::{Answered, CallFailure, Caller};
use crate::client_addr;
use crate::config::file::{ForwardAuthServiceFile, OnAuthError};
use crate::config::{Loaded, RemoteService};
use crate::credential::shown_query;
use crate::ctx::RequestContext;
use crate::forwarded::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO};
use crate::last_call::LastCall;
use crate::reply::{Answer, REQUEST_ID, Rejection};

const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Answers with more are not remembered.
const MOST_REMEMBERED_BYTES: usize = 4096;

/// Those of one configuration, by name.
pub(crate) struct ForwardAuths {
    by_name: BTreeMap<String, Arc<ForwardAuth>>,
}

/// The step that asks one service.
pub(crate) struct ForwardAuth {
    name: Box<str>,
    file: ForwardAuthServiceFile,
    service: RemoteService,
    caller: Caller,
    cache: Option<Answers>,
    last_call: LastCall,
    outcomes: IntCounterVec,
}

/// What an upstream is told.
type Told = Arc<[(HeaderName, HeaderValue)]>;

/// Answers that let requests go on, by what was asked.
struct Answers {
    known: Cache<[u8; 32], (Instant, Told)>,
    key: hmac::Key,
    ttl: Duration,
}

impl ForwardAuths {
    /// Compiles those of `loaded`, keeping those of `previous` that would come out the same.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Self>) -> Result<Self, ProviderError> {
        let mut by_name = BTreeMap::new();
        for (name, file) in &loaded.file.forward_auth {
            let service = loaded.forward_auth.get(name).ok_or_else(|| ProviderError::Key(name.clone()))?;
            let namesake = previous.and_then(|previous| previous.by_name.get(name));
            let step = match namesake {
                Some(step) if step.file == *file && step.service == *service => Arc::clone(step),
                _ => {
                    let counted = namesake.map(|step| Ok(step.outcomes.clone()));
                    let outcomes = counted.unwrap_or_else(|| outcomes(name)).map_err(ProviderError::Metrics)?;
                    let step = ForwardAuth::new(name, file, service, outcomes);
                    Arc::new(step.map_err(|source| ProviderError::Client { provider: name.clone(), source })?)
                }
            };
            by_name.insert(name.clone(), step);
        }
        Ok(Self { by_name })
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ForwardAuth>> {
        self.by_name.get(name)
    }

    /// The name of each, and whether the last request that it was asked about has got an answer; none before the first.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&str, Option<bool>)> {
        self.by_name.iter().map(|(name, step)| (name.as_str(), step.last_call.was_answered()))
    }

    /// Every header that some service tells upstreams something in.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|step| step.file.upstream_headers.iter().map(|header| header.get()))
    }

    /// Puts the series of all of them into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.by_name.values().try_for_each(|step| registry.register(Box::new(step.outcomes.clone())))
    }
}

/// What has come of the questions to the service `name`.
fn outcomes(name: &str) -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new("gateway_forward_auth_requests_total", "Requests that a service was asked about, by outcome");
    IntCounterVec::new(opts.const_label("provider", name), &["outcome"])
}

impl ForwardAuth {
    fn new(
        name: &str,
        file: &ForwardAuthServiceFile,
        service: &RemoteService,
        outcomes: IntCounterVec,
    ) -> reqwest::Result<Self> {
        let cache = file.cache.as_ref().map(|cache| {
            let mut random = [0; 32];
            rand::fill(&mut random);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &random);
            Answers { known: Cache::new(cache.entries), key, ttl: cache.ttl.get() }
        });
        Ok(Self {
            name: name.into(),
            caller: Caller::new(service, file.timeout.get(), file.max_concurrent)?,
            file: file.clone(),
            service: service.clone(),
            cache,
            last_call: LastCall::never(),
            outcomes,
        })
    }

    fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[outcome]).inc();
    }

    /// What the service says to `question`, which is remembered by `mark`.
    async fn ask(&self, mut question: HeaderMap, mark: Option<[u8; 32]>, ctx: &mut RequestContext) -> Flow {
        question.insert(REQUEST_ID, ctx.request_id.clone());
        let most = usize::try_from(self.file.max_body.bytes()).unwrap_or(usize::MAX);
        let answered = self.caller.ask(Method::GET, question, None, most, |status| !status.is_success()).await;
        self.tell_of_outages(answered.as_ref().err());
        match answered {
            Ok(answered) if answered.status.is_success() => {
                self.count("allowed");
                let told = self.told(&answered.headers);
                if let (Some(cache), Some(mark)) = (&self.cache, mark) {
                    cache.keep(mark, &told);
                }
                ctx.request_headers.extend(told.iter().cloned());
                Flow::Continue
            }
            // Of what is no answer (101 Switching Protocols, as it were) nothing can be made.
            Ok(answered) if !matches!(answered.status.as_u16(), 300..=599) => {
                self.count("bad_status");
                Flow::Reply(Rejection::AuthUnavailable)
            }
            Ok(answered) => {
                self.count("denied");
                Flow::Answer(Box::new(self.answer(answered)))
            }
            Err(failure) => {
                self.count(failure.outcome());
                // One that is too large was a refusal, and stays one.
                let is_refusal = matches!(failure, CallFailure::TooLarge(_));
                match self.file.on_error {
                    OnAuthError::Allow if !is_refusal => Flow::Continue,
                    OnAuthError::Allow | OnAuthError::Refuse => Flow::Reply(Rejection::AuthUnavailable),
                }
            }
        }
    }

    /// What the service is told, but for the request's id. None never: what was read from a request can stand in another.
    fn question(&self, head: &RequestHeader, ctx: &RequestContext) -> Option<HeaderMap> {
        let mut question = HeaderMap::with_capacity(self.file.request_headers.len() + 8);
        for header in &self.file.request_headers {
            let name = header.get();
            if ctx.snapshot.asserted_headers.covers(name.as_str()) {
                // What the gateway has found out, in place of what the client says.
                let own = ctx.identity.iter().flat_map(|identity| &identity.headers).chain(&ctx.request_headers);
                for (_, value) in own.filter(|(own, _)| own == name) {
                    question.append(name.clone(), value.clone());
                }
            } else {
                for value in head.headers.get_all(name) {
                    question.append(name.clone(), value.clone());
                }
            }
        }
        question.insert(FORWARDED_METHOD, HeaderValue::from_str(head.method.as_str()).ok()?);
        let path = ctx.path.as_deref().unwrap_or_else(|| head.uri.path());
        let uri = match shown_query(head, ctx) {
            Some(query) => HeaderValue::try_from(format!("{path}?{query}")),
            None => HeaderValue::from_str(path),
        };
        question.insert(FORWARDED_URI, uri.ok()?);
        let forwarded = ctx.forwarded.as_deref();
        let host = forwarded.and_then(|forwarded| forwarded.host.as_ref()).or_else(|| head.headers.get(HOST));
        if let Some(host) = host {
            question.insert(FORWARDED_HOST, host.clone());
        }
        question.insert(FORWARDED_PROTO, HeaderValue::from_static(if ctx.is_https() { "https" } else { "http" }));
        let chain = match forwarded {
            Some(forwarded) => forwarded.chain.clone(),
            None => {
                let mut text = Vec::with_capacity(16);
                client_addr::write(ctx.peer.get(), &mut text);
                HeaderValue::from_bytes(&text).ok()?
            }
        };
        question.insert(FORWARDED_FOR, chain);
        Some(question)
    }

    /// What of an answer's `headers` the upstream is told; of a header that is there more than once, one with all values.
    fn told(&self, headers: &HeaderMap) -> Told {
        let of = |name: &HeaderName| {
            let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let value = (!values.is_empty()).then(|| HeaderValue::from_bytes(&values.join(&b", "[..])))?;
            Some((name.clone(), value.ok()?))
        };
        self.file.upstream_headers.iter().filter_map(|header| of(header.get())).collect()
    }

    /// What the client gets of a refusal.
    fn answer(&self, answered: Answered) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for header in &self.file.client_headers {
            let name = header.get();
            let mut values = answered.headers.get_all(name).iter();
            if let Some(first) = values.next() {
                headers.insert(name.clone(), first.clone());
            }
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
        Answer { status: answered.status, headers, body: answered.body }
    }

    fn tell_of_outages(&self, failure: Option<&CallFailure>) {
        let was_failing = self.last_call.note(failure.is_some());
        match failure {
            Some(failure) if !was_failing => {
                tracing::error!(provider = &*self.name, error = %Chain(failure), "no answer whether requests may go on");
            }
            None if was_failing => tracing::info!(provider = &*self.name, "answers again whether requests may go on"),
            _ => {}
        }
    }
}

impl Middleware for ForwardAuth {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let Some(question) = self.question(head, ctx) else {
            return Step::Done(Flow::Reply(Rejection::Internal));
        };
        let mark = self.cache.as_ref().map(|cache| cache.mark(&question));
        if let Some(told) = self.cache.as_ref().zip(mark.as_ref()).and_then(|(cache, mark)| cache.find(mark)) {
            self.count("remembered");
            ctx.request_headers.extend(told.iter().cloned());
            return Step::Done(Flow::Continue);
        }
        Step::Wait(Box::pin(self.ask(question, mark, ctx)))
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

impl Answers {
    /// What `question` is remembered by: all of it, for the service may have decided by anything that it was told.
    fn mark(&self, question: &HeaderMap) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for (name, value) in question {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn find(&self, mark: &[u8; 32]) -> Option<Told> {
        let (since, told) = self.known.get(mark)?;
        (since.elapsed() < self.ttl).then_some(told)
    }

    fn keep(&self, mark: [u8; 32], told: &Told) {
        let bytes: usize = told.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes <= MOST_REMEMBERED_BYTES {
            self.known.insert(mark, (Instant::now(), Arc::clone(told)));
        }
    }
}
