//! All revocations that count, and the latest of them in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use common::revocations::{Position, Revocation, Revoked};
use tokio::sync::watch;
use uuid::Uuid;

/// How many of the latest are kept in order; who is further behind is told all.
const LATEST: usize = 4096;
/// The most that count at once, at some hundred bytes each. Beyond them nobody is told anything, for half of the truth would
/// be taken for all of it.
const MOST: usize = 1_000_000;
/// After how long without a look at the store a feed may have missed something.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// All revocations that count. Holds the lock for moments only.
pub(crate) struct Feed {
    epoch: String,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// Everything that counts, and until when.
    all: HashMap<Revoked, u64>,
    /// The last of `told`.
    latest: VecDeque<Revocation>,
    /// How many were told.
    told: u64,
    /// Whether all that the store has was put in.
    is_complete: bool,
    /// When the store was last seen whole.
    seen: Option<Instant>,
    is_closed: bool,
}

/// What somebody who follows is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// All that count, and the place after them.
    All(Vec<Revocation>, Position),
    /// What came since, which may be nothing.
    Since(Vec<Revocation>, Position),
    /// Nothing, for not everything is known.
    NotReady,
    /// Nothing any more.
    Closed,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { epoch: Uuid::now_v7().simple().to_string(), state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Puts in what is new of `revocations`.
    pub(crate) fn add(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let mut state = self.lock();
        let before = state.told;
        for revocation in revocations {
            if state.all.get(&revocation.revoked).is_none_or(|until| *until < revocation.until) {
                state.all.insert(revocation.revoked.clone(), revocation.until);
                state.latest.push_back(revocation);
                state.told += 1;
            }
            if state.latest.len() > LATEST {
                state.latest.pop_front();
            }
        }
        if state.all.len() > MOST {
            state.drop_expired();
        }
        let has_changed = state.told != before;
        drop(state);
        if has_changed {
            self.changed.send_replace(());
        }
    }

    /// Notes that everything the store had was put in.
    pub(crate) fn complete(&self) {
        let mut state = self.lock();
        state.drop_expired();
        state.is_complete = true;
        state.seen = Some(Instant::now());
        drop(state);
        self.changed.send_replace(());
    }

    /// Notes that everything that was written until now was put in.
    pub(crate) fn seen(&self) {
        self.lock().seen = Some(Instant::now());
    }

    /// Tells nothing any more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.send_replace(());
    }

    /// Whether what others have written is known until a moment ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().seen.is_some_and(|seen| seen.elapsed() < FRESH_FOR)
    }

    /// Told of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What came since `position`, or all, if that is none of this feed or too long ago.
    pub(crate) fn since(&self, position: Option<&Position>) -> Heard {
        let state = self.lock();
        if state.is_closed {
            return Heard::Closed;
        }
        if !state.is_complete || state.all.len() > MOST {
            return Heard::NotReady;
        }
        let here = Position { epoch: self.epoch.clone(), number: state.told };
        let behind = position.filter(|position| position.epoch == self.epoch);
        let behind = behind.and_then(|position| state.told.checked_sub(position.number));
        let behind = behind.and_then(|behind| usize::try_from(behind).ok());
        match behind.and_then(|behind| state.latest.len().checked_sub(behind)) {
            Some(known) => Heard::Since(state.latest.iter().skip(known).cloned().collect(), here),
            None => {
                let all = state.all.iter();
                let all = all.map(|(revoked, until)| Revocation { revoked: revoked.clone(), until: *until });
                Heard::All(all.collect(), here)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_expired(&mut self) {
        let now = Utc::now().timestamp().unsigned_abs();
        self.all.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(token: u64) -> Revocation {
        Revocation { revoked: Revoked::Token(token.to_string()), until: u64::MAX }
    }

    fn all(feed: &Feed) -> (usize, Position) {
        match feed.since(None) {
            Heard::All(all, position) => (all.len(), position),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_is_told_anything_before_everything_is_known() {
        let feed = Feed::new();
        feed.add([revocation(1)]);
        assert_eq!(feed.since(None), Heard::NotReady);
        assert!(!feed.is_fresh());
        feed.complete();
        assert_eq!(all(&feed).0, 1);
        assert!(feed.is_fresh());
        feed.close();
        assert_eq!(feed.since(None), Heard::Closed);
    }

    #[test]
    fn who_comes_back_is_told_what_came_since_and_nothing_twice() {
        let feed = Feed::new();
        feed.complete();
        let (_, position) = all(&feed);
        feed.add([revocation(1), revocation(2), revocation(1)]);
        let Heard::Since(came, next) = feed.since(Some(&position)) else { panic!("the place is known") };
        assert_eq!(came, [revocation(1), revocation(2)]);
        let Heard::Since(came, _) = feed.since(Some(&next)) else { panic!("the place is known") };
        assert_eq!(came, []);
    }

    #[test]
    fn who_is_too_far_behind_or_comes_from_another_feed_is_told_all() {
        let feed = Feed::new();
        feed.complete();
        let (_, position) = all(&feed);
        feed.add((0..=LATEST as u64).map(revocation));
        assert!(matches!(feed.since(Some(&position)), Heard::All(all, _) if all.len() == LATEST + 1));
        let elsewhere = Position { epoch: "another".into(), ..position };
        assert!(matches!(feed.since(Some(&elsewhere)), Heard::All(..)));
        let of_the_future = Position { number: u64::MAX, ..all(&feed).1 };
        assert!(matches!(feed.since(Some(&of_the_future)), Heard::All(..)));
    }

    #[test]
    fn what_concerns_only_expired_tokens_is_forgotten() {
        let feed = Feed::new();
        feed.add([revocation(1), Revocation { until: 1, ..revocation(2) }]);
        feed.complete();
        assert_eq!(all(&feed).0, 1);
    }
}
