//! How long nothing may come or go on the connection of a request that asks for a WebSocket.
//!
//! Pingora waits for so long for each part of what an upstream says, and does not know what the client says meanwhile. So for these
//! requests it is told no time, and the waiting is done at the client's connection, by which both directions come: first as long as
//! an answer may take, and once there is a WebSocket as long as that may be silent.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// When something has come or gone last, and how long ago that may be.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// Milliseconds until the next part of an answer; 0 where they are not counted here.
    answer: AtomicU64,
    /// Milliseconds between two parts of what is said in a WebSocket, by whomever; 0 where there is none.
    tunnel: AtomicU64,
    /// Whether somebody else has been asked, whose time begins now.
    is_anew: AtomicBool,
    last: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Whose silence has ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooQuiet {
    /// The upstream's.
    #[error("the upstream has not answered within timeouts.read")]
    Unanswered,
    /// That of both sides of a WebSocket.
    #[error("nothing came either way within timeouts.tunnel")]
    Tunnel,
}

impl Quiet {
    /// Has the upstream answer `within` this time from now on.
    pub(crate) fn answer_within(&self, within: Option<Duration>) {
        self.answer.store(within.map_or(0, millis), Ordering::Relaxed);
        self.is_anew.store(true, Ordering::Relaxed);
    }

    /// Lets both sides be silent for `so_long`, now that they speak to each other.
    pub(crate) fn be_tunnel(&self, so_long: Duration) {
        self.tunnel.store(millis(so_long), Ordering::Relaxed);
    }

    /// Notes that something has come or gone.
    pub(super) fn broken(&mut self) {
        if self.limit().is_some() {
            self.last = Some(Instant::now());
        }
    }

    /// Ready when nothing came or went for too long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<TooQuiet> {
        let Some((limit, whose)) = self.limit() else { return Poll::Pending };
        if self.is_anew.swap(false, Ordering::Relaxed) {
            self.last = None;
        }
        let Some(until) = self.last.get_or_insert_with(Instant::now).checked_add(limit) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            // Set for what was last then; it is moved only when its time comes, not with each part.
            if timer.deadline() >= until {
                return Poll::Ready(whose);
            }
            timer.as_mut().reset(until);
        }
    }

    fn limit(&self) -> Option<(Duration, TooQuiet)> {
        let (tunnel, answer) = (self.tunnel.load(Ordering::Relaxed), self.answer.load(Ordering::Relaxed));
        match (tunnel, answer) {
            (0, 0) => None,
            (0, _) => Some((Duration::from_millis(answer), TooQuiet::Unanswered)),
            _ => Some((Duration::from_millis(tunnel), TooQuiet::Tunnel)),
        }
    }
}

/// No less than one: none is no bound.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl From<TooQuiet> for io::Error {
    fn from(whose: TooQuiet) -> Self {
        Self::new(io::ErrorKind::TimedOut, whose)
    }
}

/// Whose silence has ended a request, if it was that.
pub(crate) fn too_quiet(cause: &(dyn Error + 'static)) -> Option<TooQuiet> {
    cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_was_not_asked_for_may_be_silent_for_ever() {
        let mut quiet = Quiet::default();
        timeout(1000 * SECOND, poll_fn(|cx| quiet.poll_over(cx))).await.expect_err("nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_what_came_last() {
        let mut quiet = Quiet::default();
        quiet.answer_within(Some(3 * SECOND));
        let began = Instant::now();
        for _ in 0..3 {
            timeout(2 * SECOND, poll_fn(|cx| quiet.poll_over(cx))).await.expect_err("not yet");
            quiet.broken();
        }
        assert_eq!(poll_fn(|cx| quiet.poll_over(cx)).await, TooQuiet::Unanswered);
        assert_eq!(began.elapsed().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_asked_next_has_all_of_the_time() {
        let mut quiet = Quiet::default();
        quiet.answer_within(Some(3 * SECOND));
        let first = timeout(2 * SECOND, poll_fn(|cx| quiet.poll_over(cx))).await;
        assert!(first.is_err());
        quiet.answer_within(Some(3 * SECOND));
        let began = Instant::now();
        assert_eq!(poll_fn(|cx| quiet.poll_over(cx)).await, TooQuiet::Unanswered);
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_has_a_time_of_its_own_longer_or_shorter() {
        for (tunnel, expected) in [(1, 1), (100, 100)] {
            let mut quiet = Quiet::default();
            quiet.answer_within(Some(10 * SECOND));
            assert!(poll_fn(|cx| Poll::Ready(quiet.poll_over(cx))).await.is_pending());
            advance(SECOND).await;
            quiet.be_tunnel(tunnel * SECOND);
            quiet.broken();
            let began = Instant::now();
            assert_eq!(poll_fn(|cx| quiet.poll_over(cx)).await, TooQuiet::Tunnel);
            assert_eq!(began.elapsed().as_secs(), expected);
        }
    }

    #[test]
    fn it_is_known_again_by_its_error() {
        let error = io::Error::from(TooQuiet::Tunnel);
        assert_eq!(too_quiet(&error), Some(TooQuiet::Tunnel));
        assert_eq!(too_quiet(&io::Error::from(io::ErrorKind::TimedOut)), None);
    }
}
