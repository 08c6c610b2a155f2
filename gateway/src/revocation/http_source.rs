//! Follows revocations at a user service: lines of JSON in an answer that does not end.

use std::convert::Infallible;
use std::time::Duration;

use common::revocations::{PATH, Position, Revocation, Told};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::Shared;
use super::keeper::SourceFailure;
use super::set::Builder;
use crate::config::values::Target;

/// For a connection, and for the head of the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Some heartbeats; a service that may have missed something keeps silent.
const SILENCE: Duration = Duration::from_secs(3);
/// Lines have about a hundred bytes.
const MOST_LINE_BYTES: usize = 4096;

/// The services that tell the same, and how far one of them was followed.
pub(super) struct HttpSource {
    client: Client,
    targets: Box<[String]>,
    secret: SecretString,
    /// Which is asked next.
    turn: usize,
    position: Option<Position>,
}

impl HttpSource {
    pub(super) fn new(targets: &[Target], secret: &SecretString) -> reqwest::Result<Self> {
        pingora_core::tls::install_default_crypto_provider();
        let client = Client::builder().connect_timeout(DEADLINE).no_proxy().redirect(reqwest::redirect::Policy::none());
        let targets = targets.iter().map(|target| format!("{target}{PATH}")).collect();
        Ok(Self { client: client.build()?, targets, secret: secret.clone(), turn: 0, position: None })
    }

    /// Follows one of the services, from where the one before ended; the next attempt asks the next.
    pub(super) async fn follow(&mut self, shared: &Shared) -> Result<Infallible, SourceFailure> {
        let target = self.targets.get(self.turn % self.targets.len().max(1)).ok_or(SourceFailure::Ended)?;
        let url = match &self.position {
            Some(position) => format!("{target}?since={position}"),
            None => target.clone(),
        };
        self.turn = self.turn.wrapping_add(1);
        let request = self.client.get(url).bearer_auth(self.secret.expose_secret()).send();
        let mut answer = timeout(DEADLINE, request).await.map_err(|_| SourceFailure::Silent(DEADLINE))??;
        if !answer.status().is_success() {
            return Err(SourceFailure::Status(answer.status()));
        }
        let mut lines = Lines::default();
        let mut whole = None;
        loop {
            let mut came = Vec::new();
            let read = lines.read(&mut answer, |told| self.take(told, &mut whole, &mut came, shared)).await;
            shared.add(&came);
            read?;
            if let Err(failure) = shared.has_room() {
                // The place after something that is not known.
                self.position = None;
                return Err(failure);
            }
        }
    }

    fn take(&mut self, told: Told, whole: &mut Option<Builder>, came: &mut Vec<Revocation>, shared: &Shared) {
        match told {
            Told::Reset {} => {
                // Of a snapshot that is cut short, nothing is known.
                self.position = None;
                *whole = Some(Builder::new(shared.max_entries));
            }
            Told::Revoked(revocation) => match whole {
                Some(whole) => whole.add(&revocation),
                None => came.push(revocation),
            },
            Told::Complete { position } => {
                match whole.take() {
                    Some(whole) => shared.replace(whole),
                    None => {
                        shared.add(came);
                        came.clear();
                        shared.heard();
                    }
                }
                self.position = Some(position);
            }
            // In the middle of a set this is none.
            Told::Alive {} if whole.is_some() => {}
            Told::Alive {} => {
                // What came without its end is told again to whoever comes back.
                shared.add(came);
                came.clear();
                shared.heard();
            }
        }
    }
}

/// What came of a line that has not ended.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Waits for more, and hands each line that has ended to `take`.
    async fn read(&mut self, answer: &mut Response, mut take: impl FnMut(Told)) -> Result<(), SourceFailure> {
        let part = timeout(SILENCE, answer.chunk()).await.map_err(|_| SourceFailure::Silent(SILENCE))??;
        let part = part.ok_or(SourceFailure::Ended)?;
        let mut rest = &*part;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.begun.extend_from_slice(line);
            take(serde_json::from_slice(&self.begun).map_err(SourceFailure::NoLine)?);
            self.begun.clear();
            rest = after.get(1..).unwrap_or_default();
        }
        if self.begun.len() + rest.len() > MOST_LINE_BYTES {
            return Err(SourceFailure::LongLine);
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }
}
