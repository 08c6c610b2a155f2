//! Revocations in Redis: who publishes them and who follows them.
//!
//! There is a sorted set of all that count, by their end; a stream of the latest, numbered without gaps; and a state: an
//! epoch, the last number, how many are in the set, and when somebody has published last. Each publication is one script, so a
//! number is never in one without the other. A Redis that lost its data has no epoch, until a service has put in everything
//! again; so nobody takes an empty set for a whole one. One that lost a part of it (a key was evicted, a replica that was
//! behind took over) loses its epoch with the next publication, for the numbers do not agree. Whoever follows reads the end of the stream first and the set then, which is in no hurry:
//! what came between stands in the stream, and to hear of something twice is harmless.

use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Revocation, Revoked};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("publish.lua")));

/// Revocations in one call of the script, which holds up everybody else for about a millisecond.
const BATCH: usize = 256;
/// Entries of the stream, of a hundred bytes or two each. Who is further behind reads the set again.
const STREAM_LENGTH: usize = 10_000;
/// Entries that are read at once.
const READ_AT_ONCE: usize = 1000;
/// How long a call may take, beyond the time that it waits on purpose.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a reader waits for the next entry before it looks at the state again.
const WAIT: Duration = Duration::from_millis(250);

/// In braces, so that a cluster keeps them together.
const SET: &str = "{order-processor:revocations}:set";
const STREAM: &str = "{order-processor:revocations}:stream";
const STATE: &str = "{order-processor:revocations}:state";

/// Why Redis could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisFailure {
    /// It failed, or refused us.
    #[error("Redis failed")]
    Failed(#[from] RedisError),
    /// It did not answer.
    #[error("Redis did not answer within {0:?}")]
    Silent(Duration),
    /// It has no revocations, or not all: no service has put them in since it began.
    #[error("Redis has not all revocations yet; a user service puts them in")]
    Empty,
    /// What the stream was to tell is no longer there.
    #[error("the stream has been trimmed past our place")]
    FellBehind,
    /// It begins anew.
    #[error("Redis has lost its revocations and got them again")]
    BegunAnew,
    /// No service has said for a while that all is told.
    #[error("no user service has published for {0:?}")]
    NobodyTells(Duration),
}

/// A connection of which answers have a deadline.
async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisFailure> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    within(DEADLINE, connecting).await
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisFailure> {
    match timeout(deadline, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RedisFailure::Silent(deadline)),
    }
}

/// Who publishes.
pub struct Publisher {
    connection: MultiplexedConnection,
    /// The last number that it has seen; it never falls unless something was lost.
    number: i64,
}

impl Publisher {
    /// A publisher on the Redis of `client`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(client: &Client) -> Result<Self, RedisFailure> {
        Ok(Self { connection: connect(client).await?, number: 0 })
    }

    /// Puts in all of `revocations`, which are all that count, and says then that they are there. Safe to repeat, and to do
    /// in several services at once.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn fill(&mut self, revocations: &[Revocation]) -> Result<(), RedisFailure> {
        self.publish("fill", revocations).await?;
        let mut say = redis::cmd("HSETNX");
        // Another one each time, so that readers see that what they know was lost in between.
        say.arg(STATE).arg("epoch").arg(Uuid::now_v7().to_string());
        within(DEADLINE, say.exec_async(&mut self.connection)).await
    }

    /// Tells of `revocations`, which may be none: then only that this service lives.
    ///
    /// # Errors
    /// [`RedisFailure::Empty`] when Redis has lost what it had.
    pub async fn tell(&mut self, revocations: &[Revocation]) -> Result<(), RedisFailure> {
        self.publish("tell", revocations).await
    }

    /// Tells of `revocations`, and not that these are all: others may have written more.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub async fn add(&mut self, revocations: &[Revocation]) -> Result<(), RedisFailure> {
        self.publish("add", revocations).await
    }

    async fn publish(&mut self, how: &str, revocations: &[Revocation]) -> Result<(), RedisFailure> {
        let mut rest = revocations;
        loop {
            let (batch, others) = rest.split_at(rest.len().min(BATCH));
            let mut call = PUBLISH.key(SET);
            call.key(STREAM).key(STATE).arg(STREAM_LENGTH).arg(how).arg(self.number);
            for revocation in batch {
                // Never fails: texts and numbers alone.
                let member = serde_json::to_string(&revocation.revoked).unwrap_or_default();
                call.arg(member).arg(revocation.until);
            }
            let number: i64 = within(DEADLINE, call.invoke_async(&mut self.connection)).await?;
            if number < 0 {
                return Err(RedisFailure::Empty);
            }
            self.number = number;
            rest = others;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Where a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    epoch: String,
    /// The last number that was read.
    number: u64,
    /// The stream's own name of that entry.
    entry: String,
}

/// Who follows.
pub struct Reader {
    connection: MultiplexedConnection,
}

/// What the state says.
struct State {
    epoch: Option<String>,
    number: Option<u64>,
    told: Option<u64>,
    now: u64,
    /// Whether the set is as large as whoever published last has left it.
    is_whole: bool,
}

type StateReply = ((Option<String>, Option<u64>, Option<u64>, Option<u64>), (u64, u64), u64);
type Entries = Vec<(String, Vec<String>)>;

impl Reader {
    /// How long nobody may publish until a reader believes that nobody tells any more: some heartbeats of a service.
    pub const SILENCE: Duration = Duration::from_secs(3);
    /// A key that is where all others are.
    pub const KEY: &str = STATE;

    /// A reader on the Redis of `client`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(client: &Client) -> Result<Self, RedisFailure> {
        Ok(Self { connection: connect(client).await? })
    }

    /// A reader over the connection that `connecting` gives, which leads to the server that has [`Self::KEY`] and gives up no
    /// call by itself.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn connect_by(
        connecting: impl Future<Output = Result<MultiplexedConnection, RedisError>>,
    ) -> Result<Self, RedisFailure> {
        Ok(Self { connection: within(DEADLINE, connecting).await? })
    }

    /// All that count, each handed to `take`, and the place after which more come.
    ///
    /// # Errors
    /// When Redis does not answer, or has not all of them, or nobody has said for a while that it has.
    pub async fn snapshot(&mut self, mut take: impl FnMut(Revocation)) -> Result<Place, RedisFailure> {
        let place = self.end_of_stream().await?;
        self.state().await?.is_told()?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(SET).arg(cursor).arg("COUNT").arg(READ_AT_ONCE);
            let (next, page): (u64, Vec<(String, u64)>) =
                within(DEADLINE, scan.query_async(&mut self.connection)).await?;
            for (member, until) in page {
                if let Some(revocation) = read(&member, until) {
                    take(revocation);
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        // What was lost meanwhile would be missing in what was read.
        let state = self.state().await?;
        state.is_told()?;
        match &state.epoch {
            Some(epoch) if *epoch != place.epoch => Err(RedisFailure::BegunAnew),
            Some(_) if state.is_whole => Ok(place),
            _ => Err(RedisFailure::Empty),
        }
    }

    /// What came after `place`, which is moved on; waits for a moment when there is nothing.
    ///
    /// # Errors
    /// [`RedisFailure::FellBehind`] and [`RedisFailure::BegunAnew`] when a snapshot is needed.
    pub async fn next(&mut self, place: &mut Place) -> Result<Vec<Revocation>, RedisFailure> {
        let state = self.state().await?;
        match &state.epoch {
            Some(epoch) if *epoch == place.epoch => {}
            Some(_) => return Err(RedisFailure::BegunAnew),
            None => return Err(RedisFailure::Empty),
        }
        let mut read_on = redis::cmd("XREAD");
        read_on.arg("COUNT").arg(READ_AT_ONCE).arg("BLOCK").arg(WAIT.as_millis() as u64);
        read_on.arg("STREAMS").arg(STREAM).arg(&place.entry);
        let read_on = read_on.query_async(&mut self.connection);
        let streams: Option<Vec<(String, Entries)>> = within(DEADLINE + WAIT, read_on).await?;
        let entries: Entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
        if entries.is_empty() && state.number.unwrap_or_default() > place.number {
            return Err(RedisFailure::FellBehind);
        }
        let mut came = Vec::with_capacity(entries.len());
        for (entry, fields) in entries {
            let [_, number, _, member, _, until] = fields.as_slice() else { return Err(RedisFailure::FellBehind) };
            if number.parse::<u64>() != Ok(place.number + 1) {
                return Err(RedisFailure::FellBehind);
            }
            came.extend(until.parse().ok().and_then(|until| read(member, until)));
            (place.number, place.entry) = (place.number + 1, entry);
        }
        if came.is_empty() {
            state.is_told()?;
        }
        Ok(came)
    }

    /// The last number and the last entry, of one moment.
    async fn end_of_stream(&mut self) -> Result<Place, RedisFailure> {
        let mut moment = redis::pipe();
        moment.atomic().cmd("HMGET").arg(STATE).arg("epoch").arg("number");
        moment.cmd("XREVRANGE").arg(STREAM).arg("+").arg("-").arg("COUNT").arg(1);
        let moment = moment.query_async(&mut self.connection);
        let ((epoch, number), last): ((Option<String>, Option<u64>), Entries) = within(DEADLINE, moment).await?;
        let epoch = epoch.ok_or(RedisFailure::Empty)?;
        // An empty stream: whatever comes is later.
        let entry = last.into_iter().next().map_or_else(|| "0-0".to_owned(), |(entry, _)| entry);
        Ok(Place { epoch, number: number.unwrap_or_default(), entry })
    }

    async fn state(&mut self) -> Result<State, RedisFailure> {
        let mut moment = redis::pipe();
        moment.atomic().cmd("HMGET").arg(STATE).arg("epoch").arg("number").arg("told").arg("count");
        moment.cmd("TIME").cmd("ZCARD").arg(SET);
        let moment = moment.query_async(&mut self.connection);
        let ((epoch, number, told, count), (now, _), entries): StateReply = within(DEADLINE, moment).await?;
        Ok(State { epoch, number, told, now, is_whole: count.unwrap_or_default() == entries })
    }
}

impl State {
    /// Whether somebody has published a moment ago.
    fn is_told(&self) -> Result<(), RedisFailure> {
        let silent = Duration::from_secs(self.now.saturating_sub(self.told.unwrap_or_default()));
        if silent > Reader::SILENCE { Err(RedisFailure::NobodyTells(silent)) } else { Ok(()) }
    }
}

/// What stands in Redis and is none of ours is passed over.
fn read(member: &str, until: u64) -> Option<Revocation> {
    let revoked: Option<Revoked> = serde_json::from_str(member).ok();
    if revoked.is_none() {
        tracing::warn!("something in the set of revocations is none");
    }
    Some(Revocation { revoked: revoked?, until })
}
