//! A Redis Cluster: which node has a key, and what happens when it does not have it any more.
//!
//! The keeper asks the nodes every second, and at once when one sends a call on, who has which slots; it keeps one connection
//! to each master. A call goes to the node that has its key's slot. Sent on (MOVED, ASK), it goes on within its deadline, once;
//! to a node that is not known yet if a connection to it is made by then. Each node has a breaker of its own, so one that is
//! away costs only the keys it has, and nothing those that send calls on to it.
//!
//! Why not the client library's cluster connection: any call that is sent on or fails has it ask for the slots anew, and
//! until that has ended, with a connection made to every node or given up, no call of anybody is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::telemetry::Chain;
use futures::future::select_ok;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, ScriptInvocation};
use redis::{ServerErrorKind, Value, from_redis_value};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant as Deadline, sleep_until, timeout};

use super::NoAnswer;
use super::keeper::{self, Finder, PROBE_INTERVAL, jittered};
use super::server::{Live, Server};
use super::settings::LinkSettings;
use super::slot::{SLOTS, slot_of};
use crate::config::values::RedisNode;

/// How often the nodes are asked who has what.
const QUESTION_INTERVAL: Duration = Duration::from_secs(1);
/// The same at least, however many calls are sent on.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// How long a node may take to say, with a connection made to it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Nodes without slots to which calls were sent on; each has a connection until the slots have moved.
const MOST_GUESTS: usize = 8;
/// When one to which no more calls are sent on is forgotten.
const GUESTS_STAY: Duration = Duration::from_secs(5);

/// What requests and the keeper share.
pub(super) struct Cluster {
    timeout: Duration,
    probe_prefix: String,
    map: watch::Sender<Map>,
    /// Nodes that calls were sent on to and that have no slots yet, and when the last was.
    guests: Mutex<BTreeMap<RedisNode, Instant>>,
    /// Has the keeper connect to a new one.
    guest_came: Notify,
    /// Has the keeper ask anew.
    is_old: Notify,
}

enum Map {
    /// The first attempt is still under way: worth waiting for.
    Starting,
    /// Why.
    Unknown(Arc<str>),
    Known(Slots),
}

#[derive(Clone, Default)]
struct Slots {
    /// In the order of the slots.
    ranges: Vec<Range>,
    /// Who has each of them.
    owners: Vec<Arc<Server>>,
    masters: Servers,
    guests: Servers,
}

type Servers = BTreeMap<RedisNode, Arc<Server>>;

/// From the first slot to the last, and who has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    node: RedisNode,
}

/// A server and the connection to it.
type Place = (Arc<Server>, Arc<Live>);

impl Cluster {
    pub(super) fn new(settings: &LinkSettings) -> Arc<Self> {
        Arc::new(Self {
            timeout: settings.timeout,
            probe_prefix: format!("{}:probe", settings.key_prefix()),
            map: watch::Sender::new(Map::Starting),
            guests: Mutex::default(),
            guest_came: Notify::new(),
            is_old: Notify::new(),
        })
    }

    /// Runs a script where its keys are, which are all in one slot, within the deadline. One that is at a node by then is waited
    /// for `patience` longer if `goes_on` says so.
    pub(super) async fn run_past<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        patience: Duration,
        goes_on: impl FnOnce() -> bool + Send,
    ) -> Result<T, NoAnswer> {
        let way = Way::default();
        let mut call = Call { cluster: self, way: &way };
        let mut answer = pin!(script.invoke_async(&mut call));
        let late = || NoAnswer::Deadline(self.timeout);
        let in_time = match timeout(self.timeout, &mut answer).await {
            Ok(answer) => answer.map_err(|error| way.unplaced.lock().take().unwrap_or(NoAnswer::Failed(error))),
            Err(_) => Err(late()),
        };
        // One that knows better who has the key is well.
        let is_sent_on = matches!(&in_time, Err(NoAnswer::Failed(error)) if error.redirect_node().is_some());
        let place = way.place.lock().clone();
        if let Some((server, live)) = place.as_ref().filter(|_| !is_sent_on) {
            server.note(live, &in_time);
        }
        match in_time {
            Err(NoAnswer::Deadline(_)) if place.is_some() && goes_on() => {
                timeout(patience, answer).await.map_err(|_| late())?.map_err(NoAnswer::Failed)
            }
            in_time => in_time,
        }
    }

    /// Whether every slot is had by a node that is up.
    pub(super) fn is_up(&self) -> bool {
        match &*self.map.borrow() {
            Map::Known(slots) => slots.is_whole() && slots.masters.values().all(|server| server.is_up()),
            Map::Starting | Map::Unknown(_) => false,
        }
    }

    /// Whether every slot is had, and every node that has one answers in time.
    pub(super) async fn check(&self) -> Result<(), NoAnswer> {
        let slots = timeout(self.timeout, self.slots()).await;
        let slots = slots.unwrap_or(Err(NoAnswer::Deadline(self.timeout)))?;
        if !slots.is_whole() {
            return Err(NoAnswer::Down("some slots of the cluster are had by no node".into()));
        }
        futures::future::try_join_all(slots.masters.values().map(|server| server.ping())).await.map(drop)
    }

    #[cfg(test)]
    pub(super) fn guests(&self) -> usize {
        match &*self.map.borrow() {
            Map::Known(slots) => slots.guests.len(),
            Map::Starting | Map::Unknown(_) => 0,
        }
    }

    /// Ends it: nobody is to use it any more.
    pub(super) fn end(&self, why: &str) {
        if let Map::Known(slots) = self.map.send_replace(Map::Unknown(why.into())) {
            slots.servers().for_each(|(_, server)| server.end(why));
        }
    }

    /// The present slots; waits for them only at the very beginning.
    async fn slots(&self) -> Result<Slots, NoAnswer> {
        let mut map = self.map.subscribe();
        // The sender is in `self`, so waiting never fails.
        match map.wait_for(|map| !matches!(map, Map::Starting)).await.as_deref() {
            Ok(Map::Known(slots)) => Ok(slots.clone()),
            Ok(Map::Unknown(why)) => Err(NoAnswer::Down(Arc::clone(why))),
            Ok(Map::Starting) | Err(_) => Err(NoAnswer::Down("no node of the cluster has answered yet".into())),
        }
    }

    /// Who has `slot`.
    async fn place_of(&self, slot: u16) -> Result<Place, NoAnswer> {
        let mut map = self.map.subscribe();
        let server = match map.wait_for(|map| !matches!(map, Map::Starting)).await.as_deref() {
            Ok(Map::Known(slots)) => slots.server_of(slot).ok_or("no node of the cluster has the slot".into()),
            Ok(Map::Unknown(why)) => Err(Arc::clone(why)),
            Ok(Map::Starting) | Err(_) => Err("no node of the cluster has answered yet".into()),
        };
        let server = server.map_err(NoAnswer::Down)?;
        let live = server.live().await?;
        Ok((server, live))
    }

    /// The node to which a call was sent on; waits for the keeper to connect to one that is not known yet.
    async fn place_at(&self, node: &RedisNode) -> Result<Place, NoAnswer> {
        let find = |map: &Map| match map {
            Map::Known(slots) => slots.at(node),
            Map::Starting | Map::Unknown(_) => None,
        };
        self.is_old.notify_one();
        if !matches!(&*self.map.borrow(), Map::Known(slots) if slots.masters.contains_key(node)) {
            self.welcome(node);
        }
        let server = self.map.subscribe().wait_for(|map| find(map).is_some()).await.ok().and_then(|map| find(&map));
        let server = server.ok_or_else(|| NoAnswer::Down("a node of the cluster is not known".into()))?;
        let live = server.live().await?;
        Ok((server, live))
    }

    /// Has the keeper connect to `node`, if it does not yet, and stay so while calls are sent on to it.
    fn welcome(&self, node: &RedisNode) {
        let mut guests = self.guests.lock();
        let is_known = guests.contains_key(node);
        if is_known || guests.len() < MOST_GUESTS {
            guests.insert(node.clone(), Instant::now());
        }
        drop(guests);
        if !is_known {
            self.guest_came.notify_one();
        }
    }

    /// A key to write to at the server at `node`; none if that has no slot.
    fn probe_key(&self, node: &RedisNode) -> Option<String> {
        let Map::Known(slots) = &*self.map.borrow() else { return None };
        if !slots.ranges.iter().any(|range| range.node == *node) {
            return None;
        }
        let has = |key: &String| slots.range_of(slot_of(key.as_bytes())).is_some_and(|(_, range)| range.node == *node);
        // Some hundred thousand are enough to meet a node's only slot.
        (0..1_u32 << 20).map(|number| format!("{}:{number}", self.probe_prefix)).find(has)
    }
}

impl Slots {
    fn range_of(&self, slot: u16) -> Option<(usize, &Range)> {
        let index = self.ranges.partition_point(|range| range.last < slot);
        self.ranges.get(index).filter(|range| range.first <= slot).map(|range| (index, range))
    }

    fn server_of(&self, slot: u16) -> Option<Arc<Server>> {
        self.owners.get(self.range_of(slot)?.0).cloned()
    }

    fn at(&self, node: &RedisNode) -> Option<Arc<Server>> {
        self.masters.get(node).or_else(|| self.guests.get(node)).cloned()
    }

    fn servers(&self) -> impl Iterator<Item = (&RedisNode, &Arc<Server>)> {
        self.masters.iter().chain(&self.guests)
    }

    fn is_whole(&self) -> bool {
        self.ranges.iter().map(|range| u32::from(range.last - range.first) + 1).sum::<u32>() == u32::from(SLOTS)
    }
}

/// One call of a script, which goes where its keys are.
struct Call<'c> {
    cluster: &'c Cluster,
    way: &'c Way,
}

/// Where a call has come to, also for who only waits for it.
#[derive(Default)]
struct Way {
    /// Where the last command went.
    place: Mutex<Option<Place>>,
    /// Why it could go nowhere.
    unplaced: Mutex<Option<NoAnswer>>,
}

impl Call<'_> {
    fn at(&self, place: Result<Place, NoAnswer>) -> Result<MultiplexedConnection, RedisError> {
        let unplaced = || RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node can be asked"));
        match place {
            Ok(place) => Ok(self.way.place.lock().insert(place).1.connection.clone()),
            Err(why) => {
                *self.way.place.lock() = None;
                *self.way.unplaced.lock() = Some(why);
                Err(unplaced())
            }
        }
    }
}

impl ConnectionLike for Call<'_> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let before = self.way.place.lock().take();
            let place = match (first_key(cmd), before) {
                (Some(key), _) => self.cluster.place_of(slot_of(key)).await,
                // The script itself, for the node that did not know it.
                (None, Some(place)) => Ok(place),
                (None, None) => Err(NoAnswer::Down("a script without keys is at no node".into())),
            };
            let mut connection = self.at(place)?;
            let answer = connection.req_packed_command(cmd).await.and_then(Value::extract_error);
            let sent_on = answer.as_ref().err().and_then(|error| {
                let asks = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
                Some((error.redirect_node()?.0.to_owned(), asks))
            });
            let Some((addr, asks)) = sent_on else { return answer };
            let Some(node) = self.node(&addr) else { return answer };
            // It has answered: that another is late is no fault of its own.
            *self.way.place.lock() = None;
            let place = self.cluster.place_at(&node).await;
            let mut connection = self.at(place)?;
            if !asks {
                return connection.req_packed_command(cmd).await.and_then(Value::extract_error);
            }
            // In one piece, so that no other call comes between the two.
            let mut asking = Pipeline::with_capacity(2);
            asking.cmd("ASKING").add_command(cmd.clone());
            let value = connection.req_packed_commands(&asking, 1, 1).await?.pop();
            value.unwrap_or(Value::Nil).extract_error()
        })
    }

    fn req_packed_commands<'a>(&'a mut self, _: &'a Pipeline, _: usize, _: usize) -> RedisFuture<'a, Vec<Value>> {
        let message = "several commands may have keys at several nodes";
        Box::pin(std::future::ready(Err((ErrorKind::Client, message).into())))
    }

    fn get_db(&self) -> i64 {
        0
    }
}

impl Call<'_> {
    /// Where a call was sent on to; without a host it is that of the node that says so.
    fn node(&self, addr: &str) -> Option<RedisNode> {
        let (host, port) = addr.rsplit_once(':')?;
        let port = port.parse().ok()?;
        if !host.is_empty() {
            return Some(RedisNode { host: host.to_owned(), port });
        }
        let (server, _) = self.way.place.lock().clone()?;
        let Map::Known(slots) = &*self.cluster.map.borrow() else { return None };
        let same = slots.servers().find(|(_, own)| Arc::ptr_eq(own, &server));
        same.map(|(node, _)| RedisNode { host: node.host.clone(), port })
    }
}

/// The first key of a script's call (`EVALSHA`, its hash, the number of keys, the keys).
fn first_key(cmd: &Cmd) -> Option<&[u8]> {
    let mut args = cmd.args_iter().map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        // Calls of scripts have no others.
        _ => b"0".as_slice(),
    });
    let is_call = args.next() == Some(b"EVALSHA".as_slice());
    let has_keys = args.nth(1).is_some_and(|number| number != b"0");
    args.next().filter(|_| is_call && has_keys)
}

/// Who has `slot`, asked of whichever of `seeds` answers first.
pub(super) async fn owner_of(slot: u16, seeds: &[RedisNode], settings: &LinkSettings) -> Result<RedisNode, RedisError> {
    let ranges = ask_anew(seeds.iter(), settings).await?;
    let owner = ranges.into_iter().find(|range| (range.first..=range.last).contains(&slot));
    owner.map(|range| range.node).ok_or_else(|| (ErrorKind::Client, "no node of the cluster has the slot").into())
}

/// The cluster's keeper: knows who has which slots, and keeps one connection to each.
pub(super) async fn keep(cluster: &Arc<Cluster>, seeds: &[RedisNode], settings: &LinkSettings) {
    let mut keepers = Keepers { running: BTreeMap::new(), tasks: JoinSet::new() };
    for turn in 0_usize.. {
        let asked = Deadline::now();
        let known = match ask(cluster, seeds, settings, turn).await {
            Ok(ranges) => {
                keepers.follow(cluster, ranges, settings);
                true
            }
            Err(cause) => !cluster.map.send_if_modified(|map| {
                let is_known = matches!(map, Map::Known(_));
                if !is_known {
                    *map = Map::Unknown(Chain(&cause).to_string().into());
                }
                !is_known
            }),
        };
        let mut next = Deadline::now() + jittered(if known { QUESTION_INTERVAL } else { PROBE_INTERVAL });
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                // Calls wait for it that have no time to ask first.
                () = cluster.guest_came.notified() => keepers.follow_the_same(cluster, settings),
                () = cluster.is_old.notified() => next = next.min(asked + LEAST_PAUSE),
            }
        }
    }
}

/// The keepers of the nodes; they end with this.
struct Keepers {
    running: BTreeMap<RedisNode, (Arc<Server>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Keepers {
    /// Puts `ranges` in the place of what was known, and has a keeper for each node of them and for the guests.
    fn follow(&mut self, cluster: &Arc<Cluster>, ranges: Vec<Range>, settings: &LinkSettings) {
        let server = |node: &RedisNode| match self.running.get(node) {
            Some((server, _)) => Arc::clone(server),
            None => Server::new(node.to_string(), settings.timeout),
        };
        let with_server = |node: &RedisNode| (node.clone(), server(node));
        let nodes: BTreeSet<&RedisNode> = ranges.iter().map(|range| &range.node).collect();
        let masters: Servers = nodes.into_iter().map(with_server).collect();
        let mut asked = cluster.guests.lock();
        asked.retain(|guest, last| !masters.contains_key(guest) && last.elapsed() < GUESTS_STAY);
        let guests: Servers = asked.keys().map(with_server).collect();
        drop(asked);
        // Before the keepers begin: they look there for a key to write to.
        let owners = ranges.iter().filter_map(|range| masters.get(&range.node).cloned()).collect();
        let slots = Slots { ranges, owners, masters, guests };
        cluster.map.send_replace(Map::Known(slots.clone()));
        self.running.retain(|node, (server, keeper)| {
            let stays = slots.at(node).is_some();
            if !stays {
                keeper.abort();
                server.end("it has no slots of the cluster any more");
            }
            stays
        });
        for (node, server) in slots.servers() {
            if !self.running.contains_key(node) {
                let keeper = keep_node(Arc::clone(cluster), node.clone(), Arc::clone(server), settings.clone());
                self.running.insert(node.clone(), (Arc::clone(server), self.tasks.spawn(keeper)));
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Has a keeper for guests who came since.
    fn follow_the_same(&mut self, cluster: &Arc<Cluster>, settings: &LinkSettings) {
        let ranges = match &*cluster.map.borrow() {
            Map::Known(slots) => slots.ranges.clone(),
            Map::Starting | Map::Unknown(_) => return,
        };
        self.follow(cluster, ranges, settings);
    }
}

async fn keep_node(cluster: Arc<Cluster>, node: RedisNode, server: Arc<Server>, settings: LinkSettings) {
    keeper::keep(&server, Finder::At(node.clone()), &settings, || cluster.probe_key(&node)).await;
}

/// Who has which slots, said by a node that is up, each in turn, or else by any.
async fn ask(
    cluster: &Cluster,
    seeds: &[RedisNode],
    settings: &LinkSettings,
    turn: usize,
) -> Result<Vec<Range>, RedisError> {
    let known: Vec<(RedisNode, Arc<Server>)> = match &*cluster.map.borrow() {
        Map::Known(slots) => slots.masters.iter().map(|(node, own)| (node.clone(), Arc::clone(own))).collect(),
        Map::Starting | Map::Unknown(_) => Vec::new(),
    };
    for (node, server) in known.iter().cycle().skip(turn % known.len().max(1)).take(known.len()) {
        let Some(mut connection) = server.connection() else { continue };
        if let Ok(Ok(ranges)) = timeout(ANSWERS_WITHIN, ask_over(&mut connection, node)).await {
            return Ok(ranges);
        }
    }
    ask_anew(seeds.iter().chain(known.iter().map(|(node, _)| node)), settings).await
}

/// The same over connections that are made for the question, to all at once: those that are away delay nobody.
async fn ask_anew(nodes: impl Iterator<Item = &RedisNode>, settings: &LinkSettings) -> Result<Vec<Range>, RedisError> {
    let answers: Vec<_> = nodes
        .map(|node| {
            Box::pin(async move {
                let answer =
                    timeout(ANSWERS_WITHIN, async { ask_over(&mut settings.connect(node).await?, node).await });
                let late = || (ErrorKind::Io, "a node of the cluster did not answer in time").into();
                answer.await.unwrap_or_else(|_| Err(late()))
            })
        })
        .collect();
    if answers.is_empty() {
        return Err((ErrorKind::Client, "there is no node to ask").into());
    }
    select_ok(answers).await.map(|(ranges, _)| ranges)
}

async fn ask_over(connection: &mut MultiplexedConnection, asked: &RedisNode) -> Result<Vec<Range>, RedisError> {
    let entries: Vec<Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
    let mut ranges: Vec<Range> = entries.into_iter().filter_map(|entry| range(entry, asked)).collect();
    ranges.sort_by_key(|range| range.first);
    let none = || (ErrorKind::Client, "a node knows nobody who has slots of the cluster").into();
    if ranges.is_empty() { Err(none()) } else { Ok(ranges) }
}

/// What one entry says: the first slot, the last, and the master's host, port and more, then its replicas'.
fn range(entry: Value, asked: &RedisNode) -> Option<Range> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let first: u16 = from_redis_value(parts.next()?).ok()?;
    let last: u16 = from_redis_value(parts.next()?).ok()?;
    let Some(Value::Array(master)) = parts.next() else { return None };
    let mut master = master.into_iter();
    let host: Option<String> = from_redis_value(master.next()?).ok()?;
    let port: u16 = from_redis_value(master.next()?).ok()?;
    // Nothing means the host that was asked; a question mark, that nobody knows.
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.host.clone());
    (first <= last && last < SLOTS && host != "?").then_some(Range { first, last, node: RedisNode { host, port } })
}
