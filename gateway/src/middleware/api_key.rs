//! Proves which program is there by a key that it was given.
//!
//! Keys are random and long, so a plain hash of one tells nobody the key, and is found like any name: what an answer's time
//! could tell is something of a hash that nobody can choose a key for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use serde_json::{Map, Value};

use super::identity::{Asked, Asking, Authenticator, Proof};
use crate::claim::ClaimHeaders;
use crate::config::Loaded;
use crate::config::file::ApiKeysFile;
use crate::config::values::KnownKey;
use crate::credential::{Found, Place};
use crate::ctx::Identity;
use crate::reply::{API_KEY, BadCredential, Rejection};

/// The claim that has a program's name.
pub(crate) const CLIENT: &str = "client";

/// Those of one configuration, by name.
pub(crate) struct ApiKeys {
    by_name: BTreeMap<String, Arc<ApiKey>>,
}

/// The proof by a key.
pub(crate) struct ApiKey {
    provider: Arc<str>,
    /// Every key's owner, by the hash of the key.
    owners: HashMap<[u8; 32], Arc<Identity>>,
    places: Box<[Place]>,
    headers: ClaimHeaders,
}

impl ApiKeys {
    /// Those of `loaded`. There is nothing to keep over a reload.
    pub(crate) fn compile(loaded: &Loaded) -> Self {
        let keys = |name: &String| loaded.api_keys.get(name).map_or(&[][..], Vec::as_slice);
        let compiled =
            |(name, file): (&String, &ApiKeysFile)| (name.clone(), Arc::new(ApiKey::new(name, file, keys(name))));
        Self { by_name: loaded.file.api_keys.iter().map(compiled).collect() }
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ApiKey>> {
        self.by_name.get(name)
    }

    /// Every header that some owner is told in.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|keys| keys.headers.names())
    }
}

impl ApiKey {
    fn new(provider: &str, file: &ApiKeysFile, keys: &[KnownKey]) -> Self {
        let headers = ClaimHeaders::new(&file.claims_to_headers);
        let owner = |key: &KnownKey| {
            let mut claims = Map::from_iter([(CLIENT.to_owned(), Value::from(&*key.client))]);
            if !key.scopes.is_empty() {
                claims.insert("scope".to_owned(), key.scopes.join(" ").into());
            }
            // The names were checked, so each can be a header.
            let headers = headers.write(&claims).unwrap_or_default();
            (key.sha256, Arc::new(Identity { claims, headers }))
        };
        let header = Place::Header { name: file.header.get().clone(), scheme: None };
        let query = file.query.as_deref().map(|name| Place::Query(name.into()));
        Self {
            provider: provider.into(),
            owners: keys.iter().map(owner).collect(),
            places: [header].into_iter().chain(query).collect(),
            headers,
        }
    }

    /// The key of the request with this `head`; more than one are an error.
    fn key_of<'r>(&self, head: &'r RequestHeader) -> Result<Option<Cow<'r, [u8]>>, ()> {
        let mut key = None;
        for place in &self.places {
            match place.find(head) {
                Found::Nothing => {}
                Found::One(found) if key.is_none() => key = Some(found),
                Found::One(_) | Found::Several => return Err(()),
            }
        }
        Ok(key)
    }
}

impl Authenticator for ApiKey {
    fn ask<'a>(&'a self, head: &'a RequestHeader, _asking: &Asking) -> Asked<'a> {
        let owner = match self.key_of(head) {
            Ok(None) => return Asked::Done(Proof::Absent),
            Ok(Some(key)) => self.owners.get(&KnownKey::hash(&key)).ok_or(BadCredential::Unknown),
            Err(()) => Err(BadCredential::Several),
        };
        Asked::Done(match owner {
            Ok(owner) => Proof::Given(Arc::clone(owner)),
            Err(bad) => Proof::Refused(Rejection::ApiKeyInvalid(bad)),
        })
    }

    fn missing(&self) -> Rejection {
        Rejection::ApiKeyMissing
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(API_KEY)
    }

    fn places(&self) -> &[Place] {
        &self.places
    }

    /// Never: whoever has it is the client.
    fn forwards(&self) -> bool {
        false
    }

    fn of_programs(&self) -> Option<&Arc<str>> {
        Some(&self.provider)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `mobile` changes its key, and has both for a while.
    fn keys(file: Value) -> ApiKey {
        let known = |client: &str, key: &str, scopes: &[&str]| KnownKey {
            client: client.to_owned(),
            sha256: KnownKey::hash(key.as_bytes()),
            scopes: scopes.iter().map(ToString::to_string).collect(),
        };
        let keys =
            [known("mobile", "old", &[]), known("mobile", "new", &["a:read", "a:write"]), known("web", "w", &[])];
        ApiKey::new("k", &serde_json::from_value(file).expect("a block"), &keys)
    }

    fn ask(keys: &ApiKey, target: &str, headers: &[(&'static str, &str)]) -> Result<Option<Arc<Identity>>, Rejection> {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        match keys.ask(&head, &Asking::at(0)) {
            Asked::Done(Proof::Given(identity)) => Ok(Some(identity)),
            Asked::Done(Proof::Absent) => Ok(None),
            Asked::Done(Proof::Refused(rejection)) => Err(rejection),
            Asked::Wait(_) => unreachable!("nothing to wait for"),
        }
    }

    #[test]
    fn every_key_of_a_client_says_who_it_is_and_what_it_may() {
        let keys = keys(json!({"claims_to_headers": {"client": "X-Client", "scope": "X-Scope"}}));
        for (key, claims, headers) in [
            ("old", json!({"client": "mobile"}), 1),
            ("new", json!({"client": "mobile", "scope": "a:read a:write"}), 2),
            ("w", json!({"client": "web"}), 1),
        ] {
            let identity = ask(&keys, "/", &[("X-API-Key", key)]).expect("known").expect("there");
            assert_eq!(Value::Object(identity.claims.clone()), claims);
            assert_eq!(identity.headers.len(), headers);
        }
        let told: Vec<_> = keys.headers.names().map(HeaderName::as_str).collect();
        assert_eq!(told, ["x-client", "x-scope"]);
    }

    #[test]
    fn a_key_that_is_unknown_doubled_or_elsewhere_is_refused_or_none() {
        let header = keys(json!({}));
        let hash: String = KnownKey::hash(b"old").iter().map(|byte| format!("{byte:02x}")).collect();
        for bad in ["", "Old", "old1", "mobile", &hash] {
            assert_eq!(
                ask(&header, "/", &[("X-API-Key", bad)]).map(drop),
                Err(Rejection::ApiKeyInvalid(BadCredential::Unknown)),
                "{bad}"
            );
        }
        let twice = [("X-API-Key", "old"), ("X-API-Key", "old")];
        assert_eq!(ask(&header, "/", &twice).map(drop), Err(Rejection::ApiKeyInvalid(BadCredential::Several)));
        assert!(ask(&header, "/?api_key=old", &[]).expect("none").is_none(), "a query is read only where that is said");
        let query = keys(json!({"header": "X-Key", "query": "api_key"}));
        assert!(ask(&query, "/?api_key=old", &[]).expect("known").is_some());
        assert!(ask(&query, "/", &[("X-Key", "old")]).expect("known").is_some());
        assert!(ask(&query, "/", &[("X-API-Key", "old")]).expect("none").is_none());
        assert_eq!(
            ask(&query, "/?api_key=old", &[("X-Key", "w")]).map(drop),
            Err(Rejection::ApiKeyInvalid(BadCredential::Several))
        );
    }
}
