//! Counts the gateways that share a Redis: each says there about every second that it lives.
//!
//! What the number is for: while Redis is away, each gateway lets pass its share of a limit. So it falls slowly and rises at
//! once: a Redis that begins anew knows nobody at first, and gateways that were cut off from it come back one by one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use redis::{Script, ScriptInvocation};
use uuid::Uuid;

/// How often each says so.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// When one that does not is forgotten, and how long a lower number must have been heard before it counts.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// No fleet is larger; what says so is broken.
const MOST: u32 = 10_000;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("presence.lua")));

/// One gateway among those that share a Redis.
pub(super) struct Presence {
    id: String,
    key: String,
    number: AtomicU32,
}

/// What has been heard of late.
#[derive(Default)]
pub(super) struct Heard {
    /// Since when the number heard is lower than that which counts, and the highest since.
    lower: Option<(Instant, u32)>,
}

impl Presence {
    /// With an id of its own; until Redis says otherwise there are `assumed` gateways.
    pub(super) fn new(key_prefix: &str, assumed: u32) -> Self {
        let number = AtomicU32::new(assumed.clamp(1, MOST));
        Self { id: Uuid::new_v4().to_string(), key: format!("{key_prefix}:gateways"), number }
    }

    /// How many live, as far as is known; at least this one.
    pub(super) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// The call that says that it lives, or that it ends. It answers with how many live.
    pub(super) fn says(&self, it_lives: bool) -> ScriptInvocation<'static> {
        let mut invocation = SCRIPT.key(&self.key);
        invocation.arg(&self.id).arg(FORGOTTEN_AFTER.as_millis() as u64).arg(u8::from(it_lives));
        invocation
    }

    /// Takes in what Redis said at `now`, or that it said nothing.
    pub(super) fn hear(&self, heard: &mut Heard, said: Option<u32>, now: Instant) {
        let Some(said) = said.map(|said| said.clamp(1, MOST)) else {
            heard.lower = None;
            return;
        };
        if said >= self.number() {
            heard.lower = None;
            return self.number.store(said, Ordering::Relaxed);
        }
        let (since, most) = heard.lower.map_or((now, said), |(since, most)| (since, most.max(said)));
        heard.lower = Some((since, most));
        if now.saturating_duration_since(since) >= FORGOTTEN_AFTER {
            heard.lower = None;
            self.number.store(most, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::aio::MultiplexedConnection;
    use testkit::RedisServer;

    use super::*;

    async fn say(presence: &Presence, it_lives: bool, connection: &mut MultiplexedConnection) -> u32 {
        presence.says(it_lives).invoke_async(connection).await.expect("Redis answers")
    }

    #[tokio::test]
    async fn gateways_are_counted_from_their_first_word_to_their_last() {
        let server = RedisServer::start().await.expect("Redis");
        let mut connection = server.connect().await.expect("a connection");
        let [first, second] = [(); 2].map(|()| Presence::new("test", 1));
        assert_eq!(say(&first, true, &mut connection).await, 1);
        assert_eq!(say(&second, true, &mut connection).await, 2);
        assert_eq!(say(&first, true, &mut connection).await, 2, "the same one again");
        assert_eq!(say(&first, false, &mut connection).await, 1);
        // One that was killed says nothing any more; here it was last heard of long ago.
        redis::cmd("ZADD").arg("test:gateways").arg(1).arg("killed").exec_async(&mut connection).await.expect("added");
        assert_eq!(say(&second, true, &mut connection).await, 1);
        let left: i64 = redis::cmd("PTTL").arg("test:gateways").query_async(&mut connection).await.expect("an answer");
        assert!((1..=5000).contains(&left), "{left} ms");
    }

    #[test]
    fn the_number_rises_at_once_and_falls_only_when_it_stays_low() {
        let presence = Presence::new("test", 3);
        let (mut heard, begun) = (Heard::default(), Instant::now());
        let mut hear = |said, seconds| {
            presence.hear(&mut heard, said, begun + Duration::from_secs(seconds));
            presence.number()
        };
        // A Redis that has lost everything, and then hears of two again.
        assert_eq!([hear(Some(1), 0), hear(Some(2), 4), hear(Some(1), 6)], [3, 3, 2]);
        assert_eq!(hear(Some(7), 7), 7);
        // An interruption begins the wait anew.
        assert_eq!([hear(Some(1), 8), hear(None, 12), hear(Some(1), 14), hear(Some(1), 20)], [7, 7, 7, 1]);
        assert_eq!([hear(Some(0), 21), hear(Some(u32::MAX), 22)], [1, MOST]);
    }
}
