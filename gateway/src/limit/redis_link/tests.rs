//! Against real servers, sentinels and clusters, whose parts are killed and come back.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use redis::Script;
use testkit::{RedisCluster, RedisOptions, RedisSentinels, RedisServer, RedisTls, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::file::{RedisClusterFile, RedisFile, RedisSentinelFile};
use crate::config::values::{RedisCertificates, RedisNodes, Secret, Span};
use crate::limit::gcra::Gcra;
use crate::limit::log::Window;
use crate::limit::metrics::redis_seconds;
use crate::limit::script::{self, Answer, CountsBy, Line};

mod runtimes;

/// Generous, because a loaded machine is no reason to fail.
const SOON: Duration = Duration::from_secs(60);

/// Something that writes.
static COUNT: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('INCR', KEYS[1])"));

fn open(file: RedisFile) -> RedisLink {
    open_with_deadline(file, Span::from_secs(10))
}

fn open_with_deadline(file: RedisFile, timeout: Span) -> RedisLink {
    let patient = RedisFile { timeout, key_prefix: "test".to_owned(), ..file };
    let settings = LinkSettings::read(&patient);
    RedisLink::open(settings, redis_seconds().expect("a legal name"), &Handle::current(), None).expect("usable")
}

fn at(port: u16) -> RedisFile {
    RedisFile { host: "127.0.0.1".to_owned(), port, ..RedisFile::default() }
}

fn nodes(addrs: &[String]) -> Vec<RedisNodes> {
    vec![addrs.join(",").try_into().expect("nodes")]
}

fn secret(text: &str) -> Option<Secret> {
    Some(serde_saphyr::from_str(&format!("\"{text}\"")).expect("a text"))
}

fn of_sentinels(set: &RedisSentinels) -> RedisSentinelFile {
    let master = RedisSentinels::MASTER.to_owned();
    RedisSentinelFile { master, nodes: nodes(&set.sentinel_addrs()), username: None, password: None }
}

async fn count(link: &RedisLink, key: &str) -> Result<u64, NoAnswer> {
    link.run(&COUNT.key(key)).await
}

async fn until_up(link: &RedisLink) {
    let up = eventually(SOON, "Redis is noticed to be up", async || link.check().await.is_ok()).await;
    assert!(up.is_ok(), "{up:?}: {:?}", link.check().await);
}

async fn until_down(link: &RedisLink) {
    let is_down = async || matches!(link.check().await, Err(NoAnswer::Down(_)));
    eventually(SOON, "Redis is noticed to be down", is_down).await.expect("in time");
}

/// An authority and a certificate of it for 127.0.0.1, with its key.
fn issued() -> (String, String, String) {
    let mut authority = CertificateParams::default();
    // Another name than that of what it issues, which would be its own issuer else.
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&key).expect("signs").pem();
    let own = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&own, &Issuer::new(authority, key)).expect("signs").pem();
    (ca, certificate, own.serialize_pem())
}

#[tokio::test]
async fn tls_with_a_client_certificate_and_an_acl_user_is_spoken() {
    let (ca, certificate, key) = issued();
    let (other_ca, ..) = issued();
    let tls = Some(RedisTls { certificate: certificate.clone(), key: key.clone(), clients: Some(ca.clone()) });
    // What docs/redis.md says that a gateway needs, and no more.
    let page = include_str!("../../../../docs/redis.md");
    let user = page.lines().find_map(|line| line.strip_prefix("user ")).expect("an example");
    let users = vec![user.replace("~gateway:*", "~test:*")];
    let server = RedisServer::start_with(RedisOptions { tls, users, ..RedisOptions::default() }).await.expect("Redis");
    let shown = |authorities: &str, identity: Option<(String, String)>| RedisFile {
        tls: true,
        username: Some("gateway".to_owned()),
        password: secret("hush"),
        certificates: RedisCertificates {
            authorities: Some(authorities.to_owned()),
            identity: identity.map(|(certificate, key)| (certificate, key.into())),
        },
        ..at(server.tls_port().expect("TLS"))
    };
    let identity = Some((certificate, key));
    let link = open(shown(&ca, identity.clone()));
    until_up(&link).await;
    let hour = Duration::from_secs(3600);
    let gcra = Gcra::new(2, hour, 2, false).expect("a limit").numbers();
    let sliding = Window::new(hour).expect("a window").numbers(2);
    let line = |key: &str, algorithm, numbers| Line {
        key: key.to_owned(),
        counts_by: CountsBy { algorithm, numbers },
        cost: 1,
        only_watches: false,
    };
    let take = async |line: &Line| link.run::<[Answer; 1]>(&script::take(std::slice::from_ref(line))).await;
    for (algorithm, numbers) in [("gcra", gcra), ("sliding_window", sliding)] {
        let own = line(&format!("test:{algorithm}"), algorithm, numbers);
        let mut taken = Vec::new();
        for remaining in [1, 0] {
            let [Answer { decision, at }] = take(&own).await.expect("taken");
            assert_eq!((decision.allowed, decision.remaining), (true, remaining), "{algorithm}");
            taken.push(at);
        }
        let [Answer { decision, .. }] = take(&own).await.expect("refused");
        assert!(!decision.allowed, "{algorithm}");
        // To give back all that there is removes the key.
        for at in taken {
            link.run::<()>(&script::settle(&own, 0, at)).await.expect("given back");
        }
    }
    for it_lives in [true, false] {
        link.run::<u32>(&link.presence.says(it_lives)).await.expect("heard");
    }
    let theirs = take(&line("theirs", "gcra", gcra)).await;
    assert!(matches!(theirs, Err(NoAnswer::Failed(_))), "a key that the user may not touch");
    assert!(matches!(count(&link, "test:key").await, Err(NoAnswer::Failed(_))), "a command that no gateway needs");
    until_down(&open(shown(&other_ca, identity.clone()))).await;
    until_down(&open(shown(&ca, None))).await;
    until_down(&open(RedisFile { password: secret("wrong"), ..shown(&ca, identity) })).await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_down_with_the_first_answer() {
    let server = RedisServer::start().await.expect("Redis");
    let link = open(at(server.port()));
    until_up(&link).await;
    let mut own = server.connect().await.expect("a connection");
    // Nobody answers there, and so the keeper can prove no new connection.
    let nobody = testkit::free_port().expect("a port");
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(nobody).exec_async(&mut own).await.expect("a replica");
    // The keeper's own writes may have met it first.
    assert!(matches!(count(&link, "key").await, Err(NoAnswer::Failed(_) | NoAnswer::Down(_))));
    assert!(matches!(count(&link, "key").await, Err(NoAnswer::Down(_))));
}

#[tokio::test]
async fn the_link_follows_the_master_that_the_sentinels_choose() {
    let options = RedisOptions { password: Some("hush".to_owned()), ..RedisOptions::default() };
    let mut set = RedisSentinels::start_with(options, Some("watch")).await.expect("sentinels");
    let file = RedisFile {
        password: secret("hush"),
        sentinel: Some(RedisSentinelFile { password: secret("watch"), ..of_sentinels(&set) }),
        ..RedisFile::default()
    };
    let link = open(file);
    until_up(&link).await;
    assert_eq!(count(&link, "key").await.expect("counted"), 1);
    let first = set.master().await.expect("a master");
    let port = first.port();
    first.kill().expect("killed");
    until_down(&link).await;
    set.failed_over_from(port).await.expect("another master");
    until_up(&link).await;
    count(&link, "key").await.expect("counted");

    // It comes back as a master, for a moment; nobody asks it.
    let first = set.servers.iter_mut().find(|server| server.port() == port).expect("there");
    first.restart().await.expect("restarted");
    assert!(set.master().await.expect("a master").port() != port);
    until_up(&link).await;
    count(&link, "key").await.expect("counted");
}

#[tokio::test]
async fn a_master_that_the_sentinels_have_given_up_is_left_although_it_answers() {
    let set = RedisSentinels::start().await.expect("sentinels");
    let link = open(RedisFile { sentinel: Some(of_sentinels(&set)), ..RedisFile::default() });
    until_up(&link).await;
    assert_eq!(count(&link, "key").await.expect("counted"), 1);
    // As behind a partition: two that take writes.
    let mut other = set.servers[1].connect().await.expect("a connection");
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut other).await.expect("a master");
    set.rename(set.servers[1].port()).await.expect("renamed");
    let counts_there = async || {
        let _ = count(&link, "there").await;
        let number: Option<u64> = redis::cmd("GET").arg("there").query_async(&mut other.clone()).await.expect("says");
        number.is_some()
    };
    eventually(SOON, "the link leads to the other", counts_there).await.expect("in time");
}

/// A key that the node of this index has at the beginning, other than those of other numbers.
fn key_at(index: u16, number: u32) -> String {
    let (first, last) = RedisCluster::slots(index);
    let is_there = |key: &String| (first..=last).contains(&slot_of(key.as_bytes()));
    (0..).map(|n| format!("test:{number}:{n}")).find(is_there).expect("many")
}

fn of_cluster(seeds: &[String]) -> RedisFile {
    RedisFile { cluster: Some(RedisClusterFile { nodes: nodes(seeds) }), ..RedisFile::default() }
}

async fn cluster() -> (RedisCluster, RedisLink) {
    let cluster = RedisCluster::start().await.expect("a cluster");
    // One is enough: it knows the others.
    let link = open(of_cluster(&cluster.addrs()[..1]));
    until_up(&link).await;
    (cluster, link)
}

/// Has a fourth node join, which has no slots.
async fn fourth(cluster: &mut RedisCluster) {
    let bus_port = testkit::free_port().expect("a port");
    let lines = vec![
        "cluster-enabled yes".to_owned(),
        "cluster-config-file nodes.conf".to_owned(),
        format!("cluster-port {bus_port}"),
    ];
    let node = RedisServer::start_with(RedisOptions { lines, ..RedisOptions::default() }).await.expect("Redis");
    let mut meet = redis::cmd("CLUSTER");
    meet.arg("MEET").arg("127.0.0.1").arg(node.port()).arg(bus_port);
    meet.exec_async(&mut cluster.nodes[0].connect().await.expect("a connection")).await.expect("met");
    cluster.nodes.push(node);
    let ids = futures::future::try_join_all(cluster.nodes.iter().map(RedisCluster::id_of)).await.expect("ids");
    let all_know_all = async || {
        for node in &cluster.nodes {
            let mut connection = node.connect().await.expect("a connection");
            let mut ask = redis::cmd("CLUSTER");
            let known: String = ask.arg("NODES").query_async(&mut connection).await.expect("an answer");
            let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.expect("an answer");
            let knows = |id: &String| known.lines().any(|line| line.starts_with(id) && !line.contains("handshake"));
            if !ids.iter().all(knows) || !info.contains("cluster_state:ok") {
                return false;
            }
        }
        true
    };
    eventually(SOON, "all know of it", all_know_all).await.expect("in time");
}

#[tokio::test]
async fn a_call_goes_to_the_node_that_has_its_key_and_follows_it() {
    let (cluster, link) = cluster().await;
    for node in 0..3 {
        assert_eq!(count(&link, &key_at(node, 1)).await.expect("counted"), 1, "at node {node}");
    }
    // Moved at once, so that the link cannot know yet.
    let moved = key_at(0, 2);
    cluster.end_move(slot_of(moved.as_bytes()), 1).await.expect("moved");
    assert_eq!(count(&link, &moved).await.expect("sent on"), 1);
    assert_eq!(count(&link, &moved).await.expect("known by now, or sent on"), 2);

    // While it moves, keys that are not there any more are asked for at the other node.
    let moving = key_at(1, 3);
    cluster.begin_to_move(slot_of(moving.as_bytes()), 1, 2).await.expect("moves");
    for expected in 1..=3 {
        assert_eq!(count(&link, &moving).await.expect("asked there"), expected);
    }
    cluster.end_move(slot_of(moving.as_bytes()), 2).await.expect("moved");
    assert_eq!(count(&link, &moving).await.expect("there"), 4);
    assert!(link.is_up());
}

#[tokio::test]
async fn a_node_that_is_away_costs_the_keys_that_it_has_and_no_others() {
    let (mut cluster, link) = cluster().await;
    cluster.nodes[2].kill().expect("killed");
    let lost = key_at(2, 1);
    eventually(SOON, "it is down", async || matches!(count(&link, &lost).await, Err(NoAnswer::Down(_))))
        .await
        .expect("noticed");
    assert!(!link.is_up());
    for (number, node) in [(1, 0), (1, 1)] {
        assert_eq!(count(&link, &key_at(node, number)).await.expect("counted"), 1, "at node {node}");
    }
    cluster.nodes[2].restart().await.expect("restarted");
    until_up(&link).await;
    assert_eq!(count(&link, &lost).await.expect("counted"), 1);
}

#[tokio::test]
async fn calls_are_sent_on_to_a_node_that_was_not_known_and_it_is_forgotten_again() {
    let (mut cluster, link) = cluster().await;
    fourth(&mut cluster).await;
    let Reach::Cluster(own) = &link.reach else { panic!("a cluster") };
    let moving = key_at(0, 1);
    cluster.begin_to_move(slot_of(moving.as_bytes()), 0, 3).await.expect("moves");
    assert_eq!(count(&link, &moving).await.expect("asked there"), 1);
    assert_eq!(own.guests(), 1);
    // It is none of those that have slots.
    cluster.nodes[3].kill().expect("killed");
    assert!(link.is_up());
    link.check().await.expect("all that have slots answer");
    eventually(SOON, "it is forgotten", async || own.guests() == 0).await.expect("in time");
}

#[tokio::test]
async fn a_node_that_sends_calls_on_to_one_that_hangs_stays_up() {
    let (mut cluster, _) = cluster().await;
    fourth(&mut cluster).await;
    let link = open_with_deadline(of_cluster(&cluster.addrs()[..1]), Span::from_secs(1));
    until_up(&link).await;
    let moving = key_at(0, 1);
    cluster.begin_to_move(slot_of(moving.as_bytes()), 0, 3).await.expect("moves");
    cluster.nodes[3].stall().expect("stalled");
    let answers = futures::future::join_all((0..8).map(|_| count(&link, &moving))).await;
    // What was a fault of the first node would have taken it down with the third answer.
    let stays = count(&link, &key_at(0, 2)).await;
    cluster.nodes[3].resume().expect("goes on");
    assert!(answers.iter().all(|answer| matches!(answer, Err(NoAnswer::Deadline(_)))), "{answers:?}");
    assert!(!matches!(stays, Err(NoAnswer::Down(_))), "{stays:?}");
}

/// At one server, and at a node of a cluster.
#[tokio::test]
async fn an_answer_that_is_late_is_heard_by_who_waits_on_and_a_failure_all_the_same() {
    let (server, (cluster, _)) = (RedisServer::start().await.expect("Redis"), cluster().await);
    let key = key_at(0, 1);
    for (server, file) in [(&server, at(server.port())), (&cluster.nodes[0], of_cluster(&cluster.addrs()[..1]))] {
        let link = open_with_deadline(file, Span::from_secs(1));
        until_up(&link).await;
        server.stall().expect("stalled");
        let goes_on = || {
            assert_eq!(link.seconds().get_sample_count(), 1, "measured is how long requests wait, and no more");
            server.resume().expect("goes on");
            true
        };
        let heard = link.run_past::<u64>(&COUNT.key(&key), SOON, goes_on).await;
        assert_eq!(heard.expect("an answer"), 1);
        until_up(&link).await;
        server.stall().expect("stalled");
        let late = count(&link, &key).await;
        assert!(matches!(late, Err(NoAnswer::Deadline(_))), "{late:?}");
        for _ in 0..2 {
            let _ = link.run_past::<u64>(&COUNT.key(&key), Duration::ZERO, || true).await;
        }
        let down = count(&link, &key).await;
        server.resume().expect("goes on");
        assert!(matches!(down, Err(NoAnswer::Down(_))), "{down:?}");
    }
}

/// What accepts connections and never says anything.
fn silent() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let addr = listener.local_addr().expect("bound").to_string();
    (listener, addr)
}

#[tokio::test]
async fn nodes_that_hang_delay_nobody_who_asks_the_others_too() {
    let cluster = RedisCluster::start().await.expect("a cluster");
    let hanging = [(); 6].map(|()| silent());
    let mut seeds: Vec<String> = hanging.iter().map(|(_, addr)| addr.clone()).collect();
    seeds.extend_from_slice(&cluster.addrs()[..1]);
    let settings = LinkSettings::read(&of_cluster(&seeds));
    // One after the other they would take six seconds.
    let connected = timeout(Duration::from_secs(5), settings.connect_for("key")).await;
    assert!(matches!(connected, Ok(Ok(_))));
}

/// A Redis whose every answer comes `late`, and how many connections were made to it.
async fn slow(server: &RedisServer, late: Duration) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (port, to) = (listener.local_addr().expect("bound").port(), server.port());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (mut asks, mut hears) = client.into_split();
                let (mut says, mut is_asked) =
                    TcpStream::connect(("127.0.0.1", to)).await.expect("a connection").into_split();
                let questions = tokio::io::copy(&mut asks, &mut is_asked);
                let answers = async {
                    let mut piece = [0; 4096];
                    while let Ok(length @ 1..) = says.read(&mut piece).await {
                        sleep(late).await;
                        if hears.write_all(&piece[..length]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! { _ = questions => {}, () = answers => {} }
            });
        }
    });
    (port, connections)
}

#[tokio::test]
async fn a_redis_that_is_slower_than_the_deadline_stays_down() {
    let server = RedisServer::start().await.expect("Redis");
    let (port, connections) = slow(&server, Duration::from_millis(300)).await;
    let link = open_with_deadline(at(port), Span::from_millis(20));
    // Each but the last has been proved, or was not.
    let tried = async || {
        assert!(!link.is_up());
        connections.load(Ordering::Relaxed) > 3
    };
    eventually(SOON, "it is tried again", tried).await.expect("in time");
}

#[tokio::test]
async fn calls_that_nobody_made_are_not_measured() {
    let link = open(at(testkit::free_port().expect("a port")));
    until_down(&link).await;
    assert!(matches!(count(&link, "key").await, Err(NoAnswer::Down(_))));
    assert_eq!(link.seconds().get_sample_count(), 0);
    let server = RedisServer::start().await.expect("Redis");
    let link = open(at(server.port()));
    count(&link, "key").await.expect("counted");
    assert_eq!(link.seconds().get_sample_count(), 1);
}

#[tokio::test]
async fn keys_go_into_one_call_where_they_are_in_one_slot() {
    let (_cluster, link) = cluster().await;
    let groups = |keys: &[&str]| link.groups(keys.iter().map(|key| key.as_bytes()));
    assert_eq!(groups(&["a"]), None);
    assert_eq!(groups(&["{t}a", "{t}b"]), None);
    let (here, there) = (key_at(0, 1), key_at(1, 1));
    let groups = groups(&[&there, &here, &there]).expect("apart");
    assert_eq!(groups, [vec![1], vec![0, 2]]);
    let one = open(at(1));
    assert_eq!(one.groups([b"a".as_slice(), b"b"].into_iter()), None, "one server has them all");
}

#[tokio::test]
async fn gateways_know_how_many_they_are_and_an_orderly_end_is_told() {
    let server = RedisServer::start().await.expect("Redis");
    let mut links: Vec<RedisLink> = (0..3).map(|_| open(at(server.port()))).collect();
    let knows = |link: &RedisLink, number: u32| link.live_gateways() == number;
    eventually(SOON, "all know of each other", async || links.iter().all(|link| knows(link, 3))).await.expect("known");
    links.remove(0).leave().await;
    let mut own = server.connect().await.expect("a connection");
    let present: usize = redis::cmd("ZCARD").arg("test:gateways").query_async(&mut own).await.expect("an answer");
    assert_eq!(present, 2, "at once");
    eventually(SOON, "the others know", async || links.iter().all(|link| knows(link, 2))).await.expect("known");

    let never_seen = RedisFile { expected_gateways: 7, ..at(testkit::free_port().expect("a port")) };
    assert_eq!(open(never_seen).live_gateways(), 7);
}
