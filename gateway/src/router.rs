//! Decides which route a request belongs to.
//!
//! The most specific route wins. The host comes first: exact, then wildcard, then regex, then any. Then the path: segment by
//! segment literal, then parameter, then prefix; and behind them all regex. Then the route with more conditions. A route that
//! does not take the method, or whose conditions do not hold, lets the next one try. Only a `priority` goes before all
//! this. The order in the file is never used, so moving a block cannot change traffic.

mod conditions;
mod label;
mod level;
mod methods;
mod trie;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use http::{HeaderMap, Method};

use crate::config::pattern::{HostMatch, PathMatch};
use crate::ctx::ClientAddr;
pub use conditions::Conditions;
use level::{Level, LevelBuilder};
pub use methods::MethodSet;

/// Finds routes. The cost of a look-up grows with the number of the path's segments, not with the number of routes.
#[derive(Debug)]
pub struct Router<R> {
    /// One for each priority, the highest first. Most files have one.
    levels: Box<[Level<R>]>,
}

/// What routes are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// In lower case, without port.
    pub host: &'r str,
    /// In normal form.
    pub path: &'r str,
    /// As it was sent.
    pub method: &'r Method,
    /// As it was sent, without the `?`.
    pub query: Option<&'r str>,
    /// As they were sent.
    pub headers: &'r HeaderMap,
    /// Who asks.
    pub client: ClientAddr,
}

/// What a request leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteMatch<'r, R> {
    /// This route.
    Route(&'r R),
    /// Some route takes all of it but its method.
    OtherMethods(MethodSet),
    /// No route takes it.
    None,
}

/// Which requests a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'p> {
    /// None at all means every host.
    pub hosts: &'p [HostMatch],
    /// The paths.
    pub path: &'p PathMatch,
    /// The methods.
    pub methods: MethodSet,
    /// What else must hold.
    pub conditions: &'p Conditions,
    /// The higher, the sooner.
    pub priority: i32,
}

/// Puts a router together.
#[derive(Debug)]
pub struct RouterBuilder<R> {
    levels: BTreeMap<Reverse<i32>, LevelBuilder<R>>,
}

impl<R> Default for RouterBuilder<R> {
    fn default() -> Self {
        Self { levels: BTreeMap::new() }
    }
}

impl<R: Clone> RouterBuilder<R> {
    /// Adds a route.
    pub fn add(&mut self, pattern: &Pattern<'_>, route: &R) {
        self.levels.entry(Reverse(pattern.priority)).or_default().add(pattern, route);
    }

    /// The router of all routes that were added.
    ///
    /// # Errors
    /// When the regular expressions of its routes are too large together.
    pub fn build(self) -> Result<Router<R>, regex::Error> {
        let levels = self.levels.into_values().map(LevelBuilder::build).collect::<Result<_, _>>()?;
        Ok(Router { levels })
    }
}

impl<R> Router<R> {
    /// The route that takes what is asked.
    #[must_use]
    pub fn find(&self, asked: &Asked<'_>) -> RouteMatch<'_, R> {
        let mut others = MethodSet::EMPTY;
        match self.levels.iter().find_map(|level| level.find(asked, &mut others)) {
            Some(route) => RouteMatch::Route(route),
            None if others == MethodSet::EMPTY => RouteMatch::None,
            None => RouteMatch::OtherMethods(others),
        }
    }
}

#[cfg(test)]
mod tests;
