//! Tokens that are void before their time, heard of from a service that tells, and in Redis.

use common::revocations::redis::{Publisher, Reader, RedisFailure};
use common::revocations::{HEARTBEAT, Revocation, Revoked};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{RedisCluster, RedisSentinels, RedisServer, Upstream, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Gateway, PATIENCE, code, token};

const TELLING: &str = "source: url, secret: 0d4f1a94c2b85e7733e09a1bd4c65f28, max_staleness: 1s";

/// A service that tells what the test says, to everybody who follows, in the order it was said.
struct Teller {
    url: String,
    lines: watch::Sender<Vec<String>>,
    /// The request line and the headers of each who came.
    came: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Teller {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (lines, (note, came)) = (watch::Sender::new(Vec::new()), mpsc::unbounded_channel());
        let told = lines.clone();
        let task = tokio::spawn(async move {
            let mut followers = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                followers.spawn(tell(client, told.subscribe(), note.clone()));
            }
        });
        Self { url, lines, came, task }
    }

    /// Says `line`, a JSON document, to all who follow and who will.
    fn say(&self, line: &Value) {
        self.lines.send_modify(|lines| lines.push(format!("{line}\n")));
    }

    /// Says that this is all, as number `number`.
    fn complete(&self, number: u64) {
        self.say(&json!({"complete": {"position": format!("e:{number}")}}));
    }

    fn revoke(&self, mut what: Value, number: u64) {
        what["exp"] = json!(4_000_000_000_u64);
        self.say(&json!({"revoked": what}));
        self.complete(number);
    }

    /// Ends all answers; whoever comes from then on is told only what is said from then on.
    fn cut(&self) {
        self.lines.send_replace(Vec::new());
    }

    /// Ends for good.
    fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tell(client: TcpStream, mut lines: watch::Receiver<Vec<String>>, note: mpsc::UnboundedSender<String>) {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    // The test may not want to know.
    let _ = note.send(head);
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
    let mut told = 0;
    loop {
        let new: Vec<String> = match lines.borrow_and_update().get(told..) {
            Some(new) => new.to_vec(),
            None => return,
        };
        told += new.len();
        let text = if new.is_empty() && told > 0 { "{\"alive\":{}}\n".to_owned() } else { new.concat() };
        if client.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), lines.changed()).await;
    }
}

fn file(revocation: &str, upstream: &Upstream) -> String {
    format!(
        "revocation: {{ {revocation} }}\nupstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}]\n",
        upstream.url()
    )
}

fn told_by(teller: &Teller, more: &str) -> String {
    format!("url: \"{}\", {TELLING}{more}", teller.url)
}

/// A token with these claims besides.
fn bearing(claims: &Value) -> String {
    token(|all| {
        for (name, claim) in claims.as_object().into_iter().flatten() {
            all[name] = claim.clone();
        }
    })
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.request(Method::GET, "/x").bearer_auth(token).send().await.expect("an answer").status().as_u16()
}

async fn until_status(gateway: &Gateway, token: &str, wanted: u16) {
    let what = format!("the answer is {wanted}");
    eventually(PATIENCE, &what, async || status(gateway, token).await == wanted).await.expect("in time");
}

async fn until_ready(gateway: &Gateway, wanted: &str) {
    eventually(PATIENCE, wanted, async || gateway.admin("/ready").await.1.contains(wanted)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_void_by_itself_by_its_session_and_by_its_subject_though_it_is_known() {
    let (upstream, mut teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.complete(0);
    let gateway = Gateway::start(&file(&told_by(&teller, ""), &upstream));
    let came = teller.came.recv().await.expect("it follows");
    assert!(came.starts_with("GET /internal/revocations HTTP/1.1\r\n"), "{came}");
    assert!(came.contains("uthorization: Bearer 0d4f1a94c2b85e7733e09a1bd4c65f28\r\n"), "{came}");
    let own = bearing(&json!({"jti": "t1", "iat": 1000}));
    let of_session = bearing(&json!({"jti": "t2", "sid": "s1", "iat": 1000}));
    let of_ann = bearing(&json!({"jti": "t3", "sub": "ann", "iat": 999}));
    let later = bearing(&json!({"jti": "t4", "sub": "ann", "iat": 1000}));
    let of_bob = bearing(&json!({"jti": "t5", "sub": "bob", "iat": 1}));
    for _ in 0..2 {
        for token in [&own, &of_session, &of_ann, &later, &of_bob] {
            assert_eq!(status(&gateway, token).await, 200);
        }
    }
    teller.revoke(json!({"jti": "t1"}), 1);
    until_status(&gateway, &own, 401).await;
    let refused = gateway.request(Method::GET, "/x").bearer_auth(&own).send().await.expect("an answer");
    let challenge = refused.headers()["www-authenticate"].to_str().expect("text").to_owned();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    let body = refused.text().await.expect("a body");
    assert_eq!(code(&body), "invalid_token");
    assert!(body.contains("revoked"), "{body}");
    teller.revoke(json!({"sid": "s1"}), 2);
    until_status(&gateway, &of_session, 401).await;
    teller.revoke(json!({"sub": {"id": "ann", "before": 1000}}), 3);
    until_status(&gateway, &of_ann, 401).await;
    for token in [&later, &of_bob] {
        assert_eq!(status(&gateway, token).await, 200);
    }
    gateway.shows("gateway_revocations_entries", 3.0).await;
    gateway.shows("gateway_revocations_applied_total", 3.0).await;
    gateway.shows("gateway_revocations_connected", 1.0).await;
    let state: Value = serde_json::from_str(&gateway.admin("/revocations").await.1).expect("json");
    assert_eq!((&state["entries"], &state["connected"]), (&json!(3), &json!(true)), "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_whole_set_no_token_passes() {
    let (upstream, teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.say(&json!({"revoked": {"jti": "other", "exp": 4_000_000_000_u64}}));
    let gateway = Gateway::start(&file(&told_by(&teller, ""), &upstream));
    let token = bearing(&json!({"jti": "t"}));
    let answer = gateway.request(Method::GET, "/x").bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(code(&answer.text().await.expect("a body")), "revocations_unavailable");
    let (ready, said) = gateway.admin("/ready").await;
    assert!(ready == 503 && said.contains("not known yet"), "{ready} {said}");
    teller.complete(1);
    until_status(&gateway, &token, 200).await;
    until_ready(&gateway, "\"ready\"").await;
    assert!(!upstream.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_source_is_lost_the_last_set_counts_and_a_reload_keeps_it() {
    let (upstream, teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.revoke(json!({"jti": "void"}), 1);
    let gateway = Gateway::start(&file(&told_by(&teller, ""), &upstream));
    let (void, alive) = (bearing(&json!({"jti": "void"})), bearing(&json!({"jti": "alive"})));
    assert_eq!((status(&gateway, &void).await, status(&gateway, &alive).await), (401, 200));
    teller.end();
    until_ready(&gateway, "revocation source lost").await;
    assert_eq!(gateway.admin("/ready").await.0, 200, "degraded");
    gateway.shows("gateway_revocations_connected", 0.0).await;
    let age = async || gateway.metric("gateway_revocations_age_seconds").await;
    eventually(PATIENCE, "it is too old", async || age().await > Some(1.0)).await.expect("in time");
    assert_eq!((status(&gateway, &void).await, status(&gateway, &alive).await), (401, 200));
    gateway.reload(&file(&told_by(&teller, ", max_entries: 7"), &upstream)).expect("taken");
    assert_eq!((status(&gateway, &void).await, status(&gateway, &alive).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_on_loss_refuse_no_token_passes_once_the_set_is_too_old_until_it_is_heard_of_again() {
    let (upstream, teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.complete(0);
    let gateway = Gateway::start(&file(&told_by(&teller, ", on_loss: refuse"), &upstream));
    let token = bearing(&json!({"jti": "t"}));
    assert_eq!(status(&gateway, &token).await, 200);
    // Answers, but does not say that it knows of anything.
    teller.cut();
    until_status(&gateway, &token, 503).await;
    let (ready, said) = gateway.admin("/ready").await;
    assert!(ready == 503 && said.contains("\"unready\"") && said.contains("revocation source lost"), "{ready} {said}");
    teller.say(&json!({"alive": {}}));
    until_status(&gateway, &token, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_it_goes_on_where_it_was() {
    let (upstream, mut teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.revoke(json!({"jti": "before"}), 6);
    let gateway = Gateway::start(&file(&told_by(&teller, ""), &upstream));
    let first = teller.came.recv().await.expect("it follows");
    assert!(!first.contains("since="), "{first}");
    teller.cut();
    let second = teller.came.recv().await.expect("it comes back");
    assert!(second.starts_with("GET /internal/revocations?since=e:6 HTTP/1.1\r\n"), "{second}");
    teller.revoke(json!({"jti": "after"}), 7);
    until_status(&gateway, &bearing(&json!({"jti": "after"})), 401).await;
    assert_eq!(status(&gateway, &bearing(&json!({"jti": "before"}))).await, 401);
    gateway.shows("gateway_revocations_snapshots_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_more_than_there_may_be_no_token_passes_until_they_fit() {
    let (upstream, teller) = (Upstream::start().await.expect("starts"), Teller::start().await);
    teller.say(&json!({"reset": {}}));
    teller.revoke(json!({"jti": "1"}), 1);
    let gateway = Gateway::start(&file(&told_by(&teller, ", max_entries: 2"), &upstream));
    let token = bearing(&json!({"jti": "t"}));
    assert_eq!(status(&gateway, &token).await, 200);
    teller.revoke(json!({"jti": "2"}), 2);
    teller.revoke(json!({"jti": "3"}), 3);
    until_status(&gateway, &token, 503).await;
    until_ready(&gateway, "max_entries").await;
    teller.cut();
    teller.say(&json!({"reset": {}}));
    teller.revoke(json!({"jti": "3"}), 4);
    until_status(&gateway, &token, 200).await;
    assert_eq!(status(&gateway, &bearing(&json!({"jti": "3"}))).await, 401);
}

fn of_token(id: impl ToString) -> Revocation {
    Revocation { revoked: Revoked::Token(id.to_string()), until: 4_000_000_000 }
}

fn client(redis: &RedisServer) -> redis::Client {
    redis::Client::open(format!("redis://127.0.0.1:{}", redis.port())).expect("an address")
}

async fn publisher(redis: &RedisServer) -> Publisher {
    Publisher::connect(&client(redis)).await.expect("connects")
}

/// A service that says all the time that it lives, until this is dropped.
fn living(redis: &RedisServer) -> JoinSet<()> {
    let (client, mut living) = (client(redis), JoinSet::new());
    living.spawn(async move {
        loop {
            if let Ok(mut publisher) = Publisher::connect(&client).await {
                while publisher.tell(&[]).await.is_ok() {
                    tokio::time::sleep(HEARTBEAT).await;
                }
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
    });
    living
}

fn in_redis(redis: &RedisServer, upstream: &Upstream) -> String {
    let block = format!("redis: {{ host: 127.0.0.1, port: {} }}\n", redis.port());
    block + &file("source: redis, max_staleness: 1s", upstream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_hear_in_redis_and_a_redis_that_lost_everything_is_believed_only_when_it_is_filled_again() {
    let (upstream, mut redis) = (Upstream::start().await.expect("starts"), RedisServer::start().await.expect("Redis"));
    publisher(&redis).await.fill(&[of_token("early")]).await.expect("filled");
    let _living = living(&redis);
    let gateways = [Gateway::start(&in_redis(&redis, &upstream)), Gateway::start(&in_redis(&redis, &upstream))];
    let token = |id: &str| bearing(&json!({"jti": id}));
    for gateway in &gateways {
        assert_eq!((status(gateway, &token("early")).await, status(gateway, &token("late")).await), (401, 200));
    }
    publisher(&redis).await.tell(&[of_token("late")]).await.expect("told");
    for gateway in &gateways {
        until_status(gateway, &token("late"), 401).await;
    }
    redis.restart().await.expect("is back, empty");
    for gateway in &gateways {
        until_ready(gateway, "not all revocations yet").await;
        assert_eq!(status(gateway, &token("late")).await, 401, "the last known set goes on to count");
    }
    let told = publisher(&redis).await.tell(&[of_token("new")]).await;
    assert!(matches!(told, Err(RedisFailure::Empty)), "who publishes has to fill it first: {told:?}");
    publisher(&redis).await.fill(&[of_token("late"), of_token("new")]).await.expect("filled");
    for gateway in &gateways {
        until_status(gateway, &token("new"), 401).await;
        assert_eq!((status(gateway, &token("late")).await, status(gateway, &token("early")).await), (401, 200));
    }
    redis.kill().expect("ends");
    for gateway in &gateways {
        until_ready(gateway, "revocation source lost").await;
        assert_eq!((status(gateway, &token("new")).await, status(gateway, &token("early")).await), (401, 200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_followed_to_the_master_that_sentinels_choose() {
    let (upstream, mut set) =
        (Upstream::start().await.expect("starts"), RedisSentinels::start().await.expect("sentinels"));
    let master = set.master().await.expect("a master");
    let port = master.port();
    publisher(master).await.fill(&[of_token("early")]).await.expect("filled");
    let first = living(master);
    let nodes = set.sentinel_addrs().join(",");
    let redis = format!("redis: {{ sentinel: {{ master: {}, nodes: [\"{nodes}\"] }} }}\n", RedisSentinels::MASTER);
    let gateway = Gateway::start(&(redis + &file("source: redis, max_staleness: 1s", &upstream)));
    let token = |id: &str| bearing(&json!({"jti": id}));
    assert_eq!((status(&gateway, &token("early")).await, status(&gateway, &token("late")).await), (401, 200));

    set.master().await.expect("a master").kill().expect("killed");
    drop(first);
    set.failed_over_from(port).await.expect("another master");
    let master = set.master().await.expect("a master");
    let _living = living(master);
    publisher(master).await.add(&[of_token("late")]).await.expect("told");
    until_status(&gateway, &token("late"), 401).await;
    assert_eq!((status(&gateway, &token("early")).await, status(&gateway, &token("other")).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_followed_at_the_node_of_a_cluster_that_has_them() {
    let upstream = Upstream::start().await.expect("starts");
    let cluster = RedisCluster::start().await.expect("a cluster");
    let mut connection = cluster.nodes[0].connect().await.expect("connects");
    let mut ask = redis::cmd("CLUSTER");
    let slot: u16 = ask.arg("KEYSLOT").arg(Reader::KEY).query_async(&mut connection).await.expect("a slot");
    let has_it = |index: &u16| (RedisCluster::slots(*index).0..=RedisCluster::slots(*index).1).contains(&slot);
    let owner = &cluster.nodes[usize::from((0..3).find(has_it).expect("somebody has it"))];
    publisher(owner).await.fill(&[of_token("early")]).await.expect("filled");
    let _living = living(owner);
    // Told of one that does not have them, where another does.
    let other = cluster.nodes.iter().find(|node| node.port() != owner.port()).expect("others");
    let redis = format!("redis: {{ cluster: {{ nodes: [\"127.0.0.1:{}\"] }} }}\n", other.port());
    let gateway = Gateway::start(&(redis + &file("source: redis, max_staleness: 1s", &upstream)));
    let token = |id: &str| bearing(&json!({"jti": id}));
    assert_eq!((status(&gateway, &token("early")).await, status(&gateway, &token("late")).await), (401, 200));
    publisher(owner).await.tell(&[of_token("late")]).await.expect("told");
    until_status(&gateway, &token("late"), 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fell_behind_the_stream_reads_everything_again() {
    let (upstream, redis) = (Upstream::start().await.expect("starts"), RedisServer::start().await.expect("Redis"));
    publisher(&redis).await.fill(&[]).await.expect("filled");
    let _living = living(&redis);
    let gateway = Gateway::start(&in_redis(&redis, &upstream));
    let token = bearing(&json!({"jti": "missed"}));
    assert_eq!(status(&gateway, &token).await, 200);
    // As if it had been published and trimmed while nobody read.
    let mut connection = redis.connect().await.expect("connects");
    let mut moment = redis::pipe();
    moment.atomic();
    moment.zadd("{order-processor:revocations}:set", r#"{"jti":"missed"}"#, 4_000_000_000_u64);
    moment.hincr("{order-processor:revocations}:state", "number", 1);
    moment.hincr("{order-processor:revocations}:state", "count", 1);
    moment.exec_async(&mut connection).await.expect("written");
    until_status(&gateway, &token, 401).await;
    eventually(PATIENCE, "it has read twice", async || {
        gateway.metric("gateway_revocations_snapshots_total").await == Some(2.0)
    })
    .await
    .expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_published_while_the_set_is_read_is_lost() {
    const MANY: usize = 3000;
    let redis = RedisServer::start().await.expect("Redis");
    publisher(&redis).await.fill(&[]).await.expect("filled");
    let mut writer = publisher(&redis).await;
    let writing = tokio::spawn(async move {
        for number in 0..MANY {
            writer.tell(&[of_token(number)]).await.expect("told");
        }
    });
    let mut reading = JoinSet::new();
    for _ in 0..4 {
        let client = client(&redis);
        reading.spawn(async move {
            let mut reader = Reader::connect(&client).await.expect("connects");
            let mut heard = std::collections::HashSet::new();
            let snapshot = reader.snapshot(|revocation| heard.extend([revocation.revoked]));
            let mut place = snapshot.await.expect("read");
            while heard.len() < MANY {
                let came = reader.next(&mut place).await.expect("read");
                heard.extend(came.into_iter().map(|revocation| revocation.revoked));
            }
        });
    }
    let all = tokio::time::timeout(PATIENCE, reading.join_all()).await;
    assert!(all.is_ok(), "somebody waits in vain for one that was lost");
    writing.await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told_that_its_place_is_gone() {
    let redis = RedisServer::start().await.expect("Redis");
    let mut reader = Reader::connect(&client(&redis)).await.expect("connects");
    assert!(matches!(reader.snapshot(|_| ()).await, Err(RedisFailure::Empty)), "nobody has filled it");
    let mut publisher = publisher(&redis).await;
    publisher.fill(&[of_token(0)]).await.expect("filled");
    let place = reader.snapshot(|_| ()).await.expect("read");
    publisher.tell(&[of_token(1), of_token(1), of_token(2)]).await.expect("told");
    let mut followed = place.clone();
    assert_eq!(reader.next(&mut followed).await.expect("read"), [of_token(1), of_token(2)]);
    let mut connection = redis.connect().await.expect("connects");
    let trim = redis::cmd("XTRIM").arg("{order-processor:revocations}:stream").arg("MAXLEN").arg(1).to_owned();
    trim.exec_async(&mut connection).await.expect("trimmed");
    assert!(matches!(reader.next(&mut place.clone()).await, Err(RedisFailure::FellBehind)));
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("emptied");
    assert!(matches!(reader.next(&mut followed.clone()).await, Err(RedisFailure::Empty)));
    publisher.fill(&[of_token(2)]).await.expect("filled");
    assert!(matches!(reader.next(&mut followed).await, Err(RedisFailure::BegunAnew)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_has_published_for_a_while_is_not_taken_for_a_whole_set() {
    let redis = RedisServer::start().await.expect("Redis");
    let mut publisher = publisher(&redis).await;
    publisher.fill(&[of_token(0)]).await.expect("filled");
    let mut connection = redis.connect().await.expect("connects");
    let mut silence = redis::cmd("HINCRBY");
    silence.arg("{order-processor:revocations}:state").arg("told").arg(-60);
    silence.exec_async(&mut connection).await.expect("written");
    let mut reader = Reader::connect(&client(&redis)).await.expect("connects");
    assert!(matches!(reader.snapshot(|_| ()).await, Err(RedisFailure::NobodyTells(_))));
    publisher.add(&[of_token(1)]).await.expect("added");
    assert!(matches!(reader.snapshot(|_| ()).await, Err(RedisFailure::NobodyTells(_))), "it may not be all");
    publisher.tell(&[]).await.expect("told");
    let mut count = 0;
    reader.snapshot(|_| count += 1).await.expect("whole");
    assert_eq!(count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_evicted_or_lost_by_a_failover_is_noticed_and_put_in_again() {
    let redis = RedisServer::start().await.expect("Redis");
    let all = [of_token(0), of_token(1)];
    let evicted = redis::cmd("DEL").arg("{order-processor:revocations}:set").to_owned();
    let state = "{order-processor:revocations}:state";
    // The set was evicted; a replica that was behind by one took over.
    let mut behind = redis::pipe();
    behind.atomic().zrem("{order-processor:revocations}:set", r#"{"jti":"1"}"#);
    behind.hincr(state, "number", -1).hincr(state, "count", -1);
    for lose in [redis::pipe().add_command(evicted).clone(), behind] {
        let mut publisher = publisher(&redis).await;
        publisher.fill(&all).await.expect("filled");
        publisher.tell(&[]).await.expect("nothing is lost");
        let mut reader = Reader::connect(&client(&redis)).await.expect("connects");
        let mut place = reader.snapshot(|_| ()).await.expect("whole");
        let mut connection = redis.connect().await.expect("connects");
        lose.exec_async(&mut connection).await.expect("lost");
        assert!(matches!(publisher.tell(&[]).await, Err(RedisFailure::Empty)), "it fills Redis again");
        assert!(matches!(reader.snapshot(|_| ()).await, Err(RedisFailure::Empty)), "half of it is no set");
        assert!(matches!(reader.next(&mut place).await, Err(RedisFailure::Empty)));
        publisher.fill(&all).await.expect("filled");
        let mut count = 0;
        reader.snapshot(|_| count += 1).await.expect("whole");
        assert_eq!(count, 2);
        assert!(matches!(reader.next(&mut place).await, Err(RedisFailure::BegunAnew)));
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("emptied");
    }
}

/// The examples of `docs/revocation.md` in this language, each by its lines.
fn examples(language: &str) -> Vec<Vec<String>> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/revocation.md")).expect("the page");
    let begins = format!("```{language}\n");
    let blocks = page.split(&*begins).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| block.lines().map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_page_shows_over_http_is_understood() {
    let upstream = Upstream::start().await.expect("starts");
    let teller = Teller::start().await;
    let gateway = Gateway::start(&file(&told_by(&teller, ""), &upstream));
    let examples = examples("ndjson");
    let [first, later] = &*examples else { panic!("two examples: {examples:?}") };
    let say = |lines: &[String]| lines.iter().for_each(|line| teller.say(&serde_json::from_str(line).expect("json")));
    let jti = |id: &str| bearing(&json!({"jti": id}));
    assert_eq!(status(&gateway, &jti("t-1")).await, 503, "nothing is known yet");
    say(first);
    until_status(&gateway, &jti("t-1"), 401).await;
    assert_eq!(status(&gateway, &bearing(&json!({"sid": "s-1"}))).await, 401);
    assert_eq!(status(&gateway, &bearing(&json!({"sub": "bob", "iat": 1_767_225_599}))).await, 401);
    assert_eq!(status(&gateway, &bearing(&json!({"sub": "bob", "iat": 1_767_225_600}))).await, 200);
    assert_eq!(status(&gateway, &jti("t-2")).await, 200);
    say(later);
    until_status(&gateway, &jti("t-2"), 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_page_shows_in_redis_is_understood() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    let mut connection = redis.connect().await.expect("a connection");
    let examples = examples("redis");
    let [commands] = &*examples else { panic!("one example: {examples:?}") };
    for command in commands {
        let mut words = command.split(' ');
        let mut call = redis::cmd(words.next().expect("a command"));
        for word in words {
            call.arg(if word == "publish.lua" {
                include_str!("../../../common/src/revocations/publish.lua")
            } else {
                word
            });
        }
        let answer: i64 = call.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(answer > 0, "{command}");
    }
    let settings = format!("redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}\n", redis.port());
    let gateway = Gateway::start(&(settings + &file("source: redis", &upstream)));
    until_status(&gateway, &bearing(&json!({"jti": "t-1"})), 401).await;
    assert_eq!(status(&gateway, &bearing(&json!({"sub": "bob"}))).await, 401);
    assert_eq!(status(&gateway, &bearing(&json!({"jti": "t-2"}))).await, 200);
}
