//! All revocations that count, and the latest of them in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::Utc;
use common::revocations::{Position, Revocation, Revoked};
use tokio::sync::watch;
use uuid::Uuid;

/// How many of the latest are kept in order; who is further behind is told all.
const LATEST: usize = 4096;
/// The most that are kept at once, at some hundred bytes each. What is beyond them is not, and then nobody is told anything,
/// for half of the truth would be taken for all of it, until everything was read again and there was room.
const MOST: usize = 1_000_000;
/// After how long without a look at the store a feed may have missed something.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// All revocations that count. Holds the lock for moments only.
pub(crate) struct Feed {
    epoch: String,
    most: usize,
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
    /// All of it at the moment of that number, while somebody is being told.
    whole: Option<Weak<[Revocation]>>,
    whole_at: u64,
    /// Whether all that the store has was put in.
    is_complete: bool,
    /// Whether something was left out since everything is being read.
    overflows: bool,
    /// When the store was last seen whole.
    seen: Option<Instant>,
    is_closed: bool,
}

/// What somebody who follows is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// All that count, and the place after them.
    All(Arc<[Revocation]>, Position),
    /// What came since, which may be nothing.
    Since(Vec<Revocation>, Position),
    /// Nothing, for not everything is known, or was a moment ago.
    NotReady,
    /// Nothing any more.
    Closed,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self::with_room_for(MOST)
    }

    fn with_room_for(most: usize) -> Self {
        let epoch = Uuid::now_v7().simple().to_string();
        Self { epoch, most, state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Puts in what is new of `revocations`.
    pub(crate) fn add(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let mut state = self.lock();
        let before = state.told;
        for revocation in revocations {
            let before = state.all.get(&revocation.revoked).copied();
            if before.is_none() && !state.has_room(self.most) {
                continue;
            }
            if before.is_none_or(|until| until < revocation.until) {
                state.all.insert(revocation.revoked.clone(), revocation.until);
                state.latest.push_back(revocation);
                state.told += 1;
            }
            if state.latest.len() > LATEST {
                state.latest.pop_front();
            }
        }
        let has_changed = state.told != before;
        drop(state);
        if has_changed {
            self.changed.send_replace(());
        }
    }

    /// Notes that everything the store has is being read.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.drop_expired();
        state.overflows = false;
    }

    /// Notes that everything the store had was put in.
    pub(crate) fn complete(&self) {
        let mut state = self.lock();
        state.drop_expired();
        state.is_complete = !state.overflows;
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
        self.lock().is_fresh()
    }

    /// Told of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether somebody at `position` would be told anything.
    pub(crate) fn has_something_for(&self, position: Option<&Position>) -> bool {
        let state = self.lock();
        !state.is_closed && state.is_complete && (self.known(&state, position).is_some() || state.is_fresh())
    }

    /// What came since `position`; or all, if that is none of this feed or too long ago, unless it is not all any more.
    pub(crate) fn since(&self, position: Option<&Position>) -> Heard {
        let mut state = self.lock();
        if state.is_closed {
            return Heard::Closed;
        }
        if !state.is_complete {
            return Heard::NotReady;
        }
        let place = |number| Position { epoch: self.epoch.clone(), number };
        match self.known(&state, position) {
            Some(known) => Heard::Since(state.latest.iter().skip(known).cloned().collect(), place(state.told)),
            None if state.is_fresh() => {
                let whole = state.whole();
                Heard::All(whole, place(state.whole_at))
            }
            None => Heard::NotReady,
        }
    }

    /// How many of the latest were told before `position`, if all that were told after it are among them.
    fn known(&self, state: &State, position: Option<&Position>) -> Option<usize> {
        let position = position.filter(|position| position.epoch == self.epoch)?;
        let behind = usize::try_from(state.told.checked_sub(position.number)?).ok()?;
        state.latest.len().checked_sub(behind)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < FRESH_FOR)
    }

    /// Whether one more may be kept; notes it if not.
    fn has_room(&mut self, most: usize) -> bool {
        if self.all.len() >= most && !self.overflows {
            self.drop_expired();
        }
        let has_room = self.all.len() < most;
        if !has_room {
            (self.overflows, self.is_complete) = (true, false);
        }
        has_room
    }

    /// All at the moment of `whole_at`; the same for everybody, while what came since is among the latest.
    fn whole(&mut self) -> Arc<[Revocation]> {
        let behind = self.told - self.whole_at;
        if let Some(whole) = self.whole.as_ref().and_then(Weak::upgrade).filter(|_| behind <= self.latest.len() as u64)
        {
            return whole;
        }
        let all = self.all.iter().map(|(revoked, until)| Revocation { revoked: revoked.clone(), until: *until });
        let whole: Arc<[Revocation]> = all.collect();
        (self.whole, self.whole_at) = (Some(Arc::downgrade(&whole)), self.told);
        whole
    }

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
    fn a_feed_that_may_have_missed_something_is_all_for_nobody_and_goes_on_for_who_followed_it() {
        let feed = Feed::new();
        feed.complete();
        let (_, position) = all(&feed);
        feed.lock().seen = Instant::now().checked_sub(FRESH_FOR);
        feed.add([revocation(1)]);
        assert!(matches!(feed.since(Some(&position)), Heard::Since(came, _) if came == [revocation(1)]));
        assert!(feed.has_something_for(Some(&position)));
        let elsewhere = Position { epoch: "another".into(), ..position };
        for stranger in [None, Some(&elsewhere)] {
            assert_eq!(feed.since(stranger), Heard::NotReady);
            assert!(!feed.has_something_for(stranger));
        }
        feed.seen();
        assert!(feed.has_something_for(None));
        assert_eq!(all(&feed).0, 1);
    }

    #[test]
    fn followers_share_what_they_are_told_and_hear_what_came_since() {
        let feed = Feed::new();
        feed.add([revocation(1)]);
        feed.complete();
        let Heard::All(first, position) = feed.since(None) else { panic!("all") };
        feed.add([revocation(2)]);
        let Heard::All(second, same) = feed.since(None) else { panic!("all") };
        assert!(Arc::ptr_eq(&first, &second) && same == position);
        assert!(matches!(feed.since(Some(&same)), Heard::Since(came, _) if came == [revocation(2)]));
        drop((first, second));
        assert_eq!(all(&feed).0, 2);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for_and_then_nothing_is_told_until_they_fit() {
        let feed = Feed::with_room_for(2);
        feed.complete();
        feed.add([revocation(1), Revocation { until: 1, ..revocation(2) }, revocation(3)]);
        assert_eq!(all(&feed).0, 2, "what has expired makes room");
        feed.add([revocation(4), revocation(5)]);
        assert_eq!((feed.since(None), feed.lock().all.len()), (Heard::NotReady, 2));
        feed.complete();
        assert_eq!(feed.since(None), Heard::NotReady, "not all was put in");
        feed.lock().all.clear();
        feed.begin();
        assert_eq!(feed.since(None), Heard::NotReady, "it is being read");
        feed.add([revocation(4), revocation(5)]);
        feed.complete();
        assert_eq!(all(&feed).0, 2);
    }

    #[test]
    fn what_concerns_only_expired_tokens_is_forgotten() {
        let feed = Feed::new();
        feed.add([revocation(1), Revocation { until: 1, ..revocation(2) }]);
        feed.complete();
        assert_eq!(all(&feed).0, 1);
    }
}
