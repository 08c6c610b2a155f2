//! Waits for the first bytes of requests, on many connections at once and for most of their lives.
//!
//! A timer and a listener for the worker's end would be set up and taken down for every request. Here a waiting connection
//! leaves its waker in a list, and one task looks through the list a few times a second: for those whose time is over, and
//! for all of them when the worker closes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use slab::Slab;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// How often the list is looked through, and how much longer than asked for a wait can last.
const TICK: Duration = Duration::from_millis(100);

/// The waits of one worker.
#[derive(Default)]
pub(super) struct Idle {
    waiting: Mutex<Slab<Waiting>>,
    /// Ticks since the beginning.
    now: AtomicU64,
    closing: AtomicBool,
}

struct Waiting {
    /// The tick at which the wait is over.
    until: u64,
    waker: Waker,
}

/// Takes a wait off the list when it ends, however it ends.
struct Place<'i> {
    idle: &'i Idle,
    key: Option<usize>,
}

impl Idle {
    /// Puts the next bytes of `stream` into `buffer`, which is empty. It gets room for `room` bytes only when there are some:
    /// most connections have none for most of their lives.
    ///
    /// Gives their number: 0 when the client closes. None when none came `within` that time, or the worker closes first; what
    /// has come already is still read.
    pub(super) async fn read<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        buffer: &mut BytesMut,
        room: usize,
        within: Duration,
    ) -> Option<io::Result<usize>> {
        let ticks = within.as_millis().div_ceil(TICK.as_millis());
        let until = self.now.load(Ordering::Relaxed).saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX));
        let mut place = Place { idle: self, key: None };
        poll_fn(|cx| {
            buffer.reserve(room);
            match poll_read_buf(Pin::new(&mut *stream), cx, buffer) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending if self.closing.load(Ordering::Acquire) => Poll::Ready(None),
                Poll::Pending if self.now.load(Ordering::Relaxed) > until => Poll::Ready(None),
                Poll::Pending => {
                    *buffer = BytesMut::new();
                    place.wait(until, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the waits whose time is over, for as long as it is polled.
    pub(super) async fn keep_time(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.wake(|waiting| waiting.until < now);
        }
    }

    /// Ends every wait, and those to come.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake(|_| true);
    }

    fn wake(&self, which: impl Fn(&Waiting) -> bool) {
        for (_, waiting) in self.waiting.lock().iter().filter(|(_, waiting)| which(waiting)) {
            waiting.waker.wake_by_ref();
        }
    }
}

impl Place<'_> {
    fn wait(&mut self, until: u64, cx: &Context<'_>) {
        let mut waiting = self.idle.waiting.lock();
        match self.key.and_then(|key| waiting.get_mut(key)) {
            Some(waiting) => waiting.waker.clone_from(cx.waker()),
            None => self.key = Some(waiting.insert(Waiting { until, waker: cx.waker().clone() })),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.idle.waiting.lock().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn bytes_that_come_are_read_and_leave_no_wait_behind() {
        let (idle, mut buffer) = (Idle::default(), BytesMut::new());
        let (mut client, mut stream) = duplex(16);
        let mut read = Box::pin(idle.read(&mut stream, &mut buffer, 16, LONG));
        assert!(read.as_mut().now_or_never().is_none());
        assert_eq!(idle.waiting.lock().len(), 1);
        client.write_all(b"GET").await.expect("writes");
        assert_eq!(read.await.expect("in time").expect("reads"), 3);
        assert_eq!(&buffer[..], b"GET");
        assert!(idle.waiting.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_its_time_is_over_and_not_before() {
        let idle = Idle::default();
        let started = tokio::time::Instant::now();
        let wait = async {
            let (_client, mut stream) = duplex(16);
            idle.read(&mut stream, &mut BytesMut::new(), 16, Duration::from_millis(950)).await
        };
        let read = tokio::select! { read = wait => read, () = idle.keep_time() => unreachable!("keeps time for ever") };
        assert!(read.is_none());
        let waited = started.elapsed();
        assert!((Duration::from_millis(950)..=Duration::from_millis(1200)).contains(&waited), "{waited:?}");
        assert!(idle.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn closing_ends_all_waits_and_still_reads_what_is_there() {
        let idle = Idle::default();
        let (mut client, mut stream) = duplex(16);
        let mut buffer = BytesMut::new();
        let mut read = Box::pin(idle.read(&mut stream, &mut buffer, 16, LONG));
        assert!(read.as_mut().now_or_never().is_none());
        idle.close();
        assert!(read.await.is_none());
        client.write_all(b"x").await.expect("writes");
        let read = idle.read(&mut stream, &mut buffer, 16, LONG).await;
        assert_eq!(read.expect("was there").expect("reads"), 1);
        assert!(idle.read(&mut stream, &mut buffer, 16, LONG).await.is_none(), "no wait begins any more");
    }
}
