//! Asks who is there, in one way or in several, and keeps the answer for all that comes after.
//!
//! Each way is an [`Authenticator`]. What of a request has been shown by none of them is nobody's word: the first way whose
//! proofs all hold counts, and where none does, a bad proof is answered before a missing one.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::HeaderValue;
use pingora_http::RequestHeader;

use super::api_key::CLIENT;
use super::{Flow, Middleware, Step};
use crate::credential::{Found, Hidden, Place};
use crate::ctx::{Identity, Program, Prover, RequestContext};
use crate::peer_certificate::PeerCertificate;
use crate::reply::Rejection;

/// One way to prove who is there.
pub(crate) trait Authenticator: Send + Sync {
    /// Looks for a proof in the request with this `head`, and checks it.
    fn ask<'a>(&'a self, head: &'a RequestHeader, asking: &Asking) -> Asked<'a>;

    /// What somebody without a proof is told.
    fn missing(&self) -> Rejection;

    /// What `WWW-Authenticate` says of it then.
    fn challenge(&self) -> HeaderValue;

    /// Whether there is nothing in the request that could be a proof.
    fn is_absent(&self, head: &RequestHeader, _asking: &Asking) -> bool {
        self.places().iter().all(|place| place.find(head) == Found::Nothing)
    }

    /// Where the proof may stand.
    fn places(&self) -> &[Place];

    /// Whether the upstream may see it.
    fn forwards(&self) -> bool;

    /// The provider, if it is one of the keys of programs.
    fn of_programs(&self) -> Option<&Arc<str>> {
        None
    }
}

/// What proofs are checked by, beside the head.
pub(crate) struct Asking {
    /// When the head was read, in seconds since 1970.
    pub(crate) now: u64,
    /// What the client has shown on its connection.
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
}

impl Asking {
    fn of(ctx: &RequestContext) -> Self {
        Self { now: ctx.unix_time(), certificate: ctx.certificate.clone() }
    }

    /// That of a request that came at `now` on a plain connection.
    #[cfg(test)]
    pub(crate) const fn at(now: u64) -> Self {
        Self { now, certificate: None }
    }
}

/// What came of a question, now or later.
pub(crate) enum Asked<'a> {
    Done(Proof),
    /// It has to wait for something with a deadline of its own.
    Wait(BoxFuture<'a, Proof>),
}

/// A proof of who is there.
pub(crate) enum Proof {
    /// It holds.
    Given(Arc<Identity>),
    /// There is none.
    Absent,
    /// It does not hold, or that cannot be said.
    Refused(Rejection),
}

/// The step that asks for proofs: all of one of its ways.
pub(crate) struct Require {
    ways: Box<[Way]>,
    /// Whether nobody may pass too.
    optional: bool,
    /// What somebody is told who has none of them.
    missing: Rejection,
    /// Who has checked the proofs of each way; of several the first, which says who it is.
    provers: Box<[Arc<Prover>]>,
}

/// Proofs that are needed together.
pub(crate) type Way = Box<[Arc<dyn Authenticator>]>;

impl Require {
    /// Asks for the proof of `authenticator`; with `optional`, nobody passes too.
    pub(crate) fn one(authenticator: Arc<dyn Authenticator>, optional: bool) -> Self {
        let missing = authenticator.missing();
        Self { ways: [[authenticator].into()].into(), optional, missing, provers: Box::default() }
    }

    /// Asks for all proofs of one of `ways`, whichever a request has.
    pub(crate) fn any_of(ways: impl IntoIterator<Item = Way>) -> Self {
        let ways: Box<[Way]> = ways.into_iter().collect();
        let mut challenges: Vec<HeaderValue> = Vec::new();
        for challenge in ways.iter().flatten().map(|authenticator| authenticator.challenge()) {
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        Self {
            ways,
            optional: false,
            missing: Rejection::CredentialsMissing(challenges.into()),
            provers: Box::default(),
        }
    }

    /// The same, remembering of each request by which of `provers` it was let in: one for each way, in their order.
    pub(crate) fn known_as(self, provers: impl IntoIterator<Item = Prover>) -> Self {
        Self { provers: provers.into_iter().map(Arc::new).collect(), ..self }
    }

    /// Every proof that it may ask for.
    pub(crate) fn authenticators(&self) -> impl Iterator<Item = &Arc<dyn Authenticator>> {
        self.ways.iter().flatten()
    }

    /// Who is to be asked next; nobody when all of a way or none at all was given.
    fn next(&self, so_far: &SoFar) -> Option<&dyn Authenticator> {
        Some(&**self.ways.get(so_far.way)?.get(so_far.proofs)?)
    }

    /// What stands in the request where only other ways than `won` have their proofs, and an `Authorization` in which `won`
    /// has found none. It was refused, or nobody has looked at it, and an upstream could take it for what the gateway has
    /// checked.
    fn unproven(&self, won: usize, head: &RequestHeader) -> Option<Box<Hidden>> {
        let is_proven =
            |place: &Place| self.ways.get(won).is_some_and(|way| way.iter().any(|own| own.places().contains(place)));
        let mut hidden = Hidden::default();
        for place in self.ways.iter().flatten().flat_map(|authenticator| authenticator.places()) {
            // In another scheme, it is as little proven.
            let is_there = match place {
                Place::Header { name, .. } if place.is_authorization() => {
                    let mut own = self.ways.get(won).into_iter().flatten().flat_map(|own| own.places());
                    let is_read = own.any(|own| own.is_authorization() && own.find(head) != Found::Nothing);
                    !is_read && head.headers.contains_key(name)
                }
                _ => !is_proven(place) && place.find(head) != Found::Nothing,
            };
            if is_there {
                hidden.add(place);
            }
        }
        (!hidden.is_empty()).then(|| Box::new(hidden))
    }

    /// What somebody is told who has not all proofs of any way: of a single way, which of them are missing.
    fn missing(&self, so_far: &SoFar, head: &RequestHeader, asking: &Asking) -> Rejection {
        let [way] = &*self.ways else { return self.missing.clone() };
        let Some((first, rest)) = way.get(so_far.held..).and_then(|unproven| unproven.split_first()) else {
            return self.missing.clone();
        };
        let others = rest.iter().filter(|authenticator| authenticator.is_absent(head, asking));
        let mut challenges = vec![first.challenge()];
        challenges.extend(others.map(|authenticator| authenticator.challenge()));
        match *challenges {
            [_] => first.missing(),
            _ => Rejection::ProofsMissing(challenges.into()),
        }
    }

    fn decide(&self, so_far: SoFar, head: &RequestHeader, asking: &Asking, ctx: &mut RequestContext) -> Flow {
        match so_far {
            SoFar { given: Some(identity), program, hides_authorization, way, .. } => {
                if self.ways.len() > 1 {
                    ctx.unproven = self.unproven(way, head);
                }
                ctx.identity = Some(identity);
                ctx.proven_by = self.provers.get(way).map(Arc::clone);
                ctx.program = program;
                ctx.hide_authorization |= hides_authorization;
                Flow::Continue
            }
            SoFar { refused: Some(rejection), .. } => Flow::Reply(rejection),
            _ if self.optional => Flow::Continue,
            so_far => Flow::Reply(self.missing(&so_far, head, asking)),
        }
    }
}

impl Middleware for Require {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let head = &*head;
        let asking = Asking::of(ctx);
        let mut so_far = SoFar::default();
        while let Some(authenticator) = self.next(&so_far) {
            match authenticator.ask(head, &asking) {
                Asked::Done(proof) => so_far.note(authenticator, proof),
                Asked::Wait(proof) => {
                    return Step::Wait(Box::pin(async move {
                        so_far.note(authenticator, proof.await);
                        while let Some(authenticator) = self.next(&so_far) {
                            let proof = match authenticator.ask(head, &asking) {
                                Asked::Done(proof) => proof,
                                Asked::Wait(proof) => proof.await,
                            };
                            so_far.note(authenticator, proof);
                        }
                        self.decide(so_far, head, &asking, ctx)
                    }));
                }
            }
        }
        Step::Done(self.decide(so_far, head, &asking, ctx))
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

/// How far the questions of one request have come.
#[derive(Default)]
struct SoFar {
    /// The way that is tried.
    way: usize,
    /// How many of its proofs were given.
    proofs: usize,
    /// How many of the way before were.
    held: usize,
    /// Whom they identify.
    given: Option<Arc<Identity>>,
    /// The program that a key beside the first proof is of.
    program: Option<Program>,
    hides_authorization: bool,
    /// What the first bad proof was refused with.
    refused: Option<Rejection>,
}

impl SoFar {
    fn note(&mut self, authenticator: &dyn Authenticator, proof: Proof) {
        match proof {
            Proof::Given(identity) => {
                self.given = Some(match self.given.take() {
                    Some(first) => {
                        let together = Arc::new(together(&first, &identity));
                        if let (None, Some(provider)) = (&self.program, authenticator.of_programs()) {
                            self.program = Some(Program { identity, provider: Arc::clone(provider) });
                        }
                        together
                    }
                    None => identity,
                });
                self.hides_authorization |=
                    !authenticator.forwards() && authenticator.places().iter().any(Place::is_authorization);
                self.proofs += 1;
            }
            Proof::Absent | Proof::Refused(_) => {
                if let Proof::Refused(rejection) = proof {
                    self.refused.get_or_insert(rejection);
                }
                self.held = self.proofs;
                (self.way, self.proofs, self.given, self.hides_authorization) = (self.way + 1, 0, None, false);
                self.program = None;
            }
        }
    }
}

/// Both identities as one. Who it is and what they may is what the first says alone: no permission of a program becomes one
/// of its user. Of the second, upstreams are told, and its name is known if it is a program's.
fn together(first: &Identity, second: &Identity) -> Identity {
    let mut claims = first.claims.clone();
    if let (false, Some(client)) = (claims.contains_key(CLIENT), second.claims.get(CLIENT)) {
        claims.insert(CLIENT.to_owned(), client.clone());
    }
    let mut headers = first.headers.clone();
    let is_new = |name| !first.headers.iter().any(|(own, _)| own == name);
    headers.extend(second.headers.iter().filter(|(name, _)| is_new(name)).cloned());
    Identity { claims, headers }
}

/// What must be hidden from the upstream of a route whose steps may ask these `authenticators`, whichever of them a request
/// satisfies. `Authorization` is seen by some upstreams and not by others; where one of them may show it, that is decided
/// on each request.
pub(crate) fn hidden<'a>(authenticators: impl IntoIterator<Item = &'a Arc<dyn Authenticator>>) -> Option<Box<Hidden>> {
    let (mut hidden, mut shown) = (Hidden::default(), false);
    for authenticator in authenticators {
        for place in authenticator.places() {
            let forwards = authenticator.forwards();
            if !forwards || matches!(place, Place::Query(_)) {
                hidden.add(place);
            }
            shown |= forwards && place.is_authorization();
        }
    }
    if shown {
        hidden.show_authorization();
    }
    (!hidden.is_empty()).then(|| Box::new(hidden))
}

#[cfg(test)]
mod tests;
