//! Which claims there can be where a step asks for one.

use std::collections::BTreeSet;

use common::names::did_you_mean;

use crate::config::file::{MiddlewareFile, ProofKind};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::peer_certificate;

/// What the steps before some point may find out of who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Claims {
    /// Nobody is asked.
    #[default]
    None,
    /// These and no others.
    These(BTreeSet<&'static str>),
    /// Whatever an issuer writes into its tokens.
    Any,
}

impl Claims {
    /// What `steps` may find out.
    pub(super) fn of<'f>(steps: impl IntoIterator<Item = &'f MiddlewareFile>) -> Self {
        steps.into_iter().flat_map(MiddlewareFile::ways).fold(Self::None, |claims, way| claims.or(Self::of_way(&way)))
    }

    /// What the first of a way says, and the name of a program that comes second.
    fn of_way(way: &[(ProofKind, &str)]) -> Self {
        let own = |kind: &ProofKind| match kind {
            ProofKind::Jwt | ProofKind::Introspection => Self::Any,
            ProofKind::ApiKey => Self::These(BTreeSet::from(["client", "scope"])),
            ProofKind::BasicAuth => Self::These(BTreeSet::from(["sub"])),
            ProofKind::ClientCertificate => Self::These(BTreeSet::from(peer_certificate::CLAIMS)),
        };
        let Some(((first, _), others)) = way.split_first() else { return Self::None };
        let client = others.iter().any(|(kind, _)| *kind == ProofKind::ApiKey);
        own(first).or(if client { Self::These(BTreeSet::from(["client"])) } else { Self::None })
    }

    /// What `self` or `other` finds out.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::None, claims) | (claims, Self::None) => claims,
            (Self::These(mut own), Self::These(others)) => {
                own.extend(others);
                Self::These(own)
            }
        }
    }

    /// Why a request never has the claim `name` here; none if it may.
    pub(super) fn problem(&self, name: &str) -> Option<String> {
        match self {
            Self::Any => None,
            Self::None => Some("no step before this one asks who is there".to_owned()),
            Self::These(known) if known.contains(name) => None,
            Self::These(known) => {
                let hint = did_you_mean(name, known.iter().copied());
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                Some(format!(
                    "nobody who is asked here says the claim `{name}`{hint}; there is {}",
                    known.join(" and ")
                ))
            }
        }
    }

    /// Tells when a request never has the claim `name` here.
    pub(super) fn check(&self, name: &str, at: &KeyPath, report: &mut Report<'_>) {
        if let Some(problem) = self.problem(name) {
            report.problem(at, problem);
        }
    }
}
