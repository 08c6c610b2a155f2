//! Limits on Redis as people run it, through the whole gateway, while parts of it die and come back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::revocations::redis::{Publisher, Reader};
use common::revocations::{Revocation, Revoked};
use futures::future::join_all;
use reqwest::Method;
use testkit::{RedisCluster, RedisOptions, RedisSentinels, RedisServer, Upstream, eventually};

use crate::support::{Gateway, PATIENCE};

/// Nothing of which comes back within a test.
const LIMIT: usize = 12;

/// A gateway with this Redis, and a route `/<name>` for each of the policies.
fn gateway(upstream: &Upstream, redis: &str, names: &[String]) -> Gateway {
    let mut limits = String::new();
    let mut routes = String::new();
    for name in names {
        limits += &format!("  {name}: {{ scope: redis, limit: {LIMIT}, window: 24h, key: client_address }}\n");
        routes += &format!(
            "  - {{ name: {name}, match: {{ path: /{name} }}, upstream: u, public: true, \
             middleware: [{{ rate_limit: {{ policies: [{name}] }} }}] }}\n"
        );
    }
    Gateway::start(&format!(
        "redis: {{ {redis} }}\nrate_limits:\n{limits}upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes:\n{routes}",
        upstream.url()
    ))
}

fn names(number: usize) -> Vec<String> {
    (0..number).map(|n| format!("p{n}")).collect()
}

async fn until_up(gateway: &Gateway, up: bool) {
    let wanted = Some(f64::from(u8::from(up)));
    let as_wanted = async || gateway.metric("gateway_redis_up").await == wanted;
    eventually(3 * PATIENCE, "Redis is noticed", as_wanted).await.expect("in time");
}

async fn until_it_knows_of(gateway: &Gateway, gateways: f64) {
    let knows = async || gateway.metric("gateway_redis_live_gateways").await == Some(gateways);
    eventually(PATIENCE, "it knows of the others", knows).await.expect("known");
}

/// How many of `requests` to `path` pass; the others get 429, and nobody anything else.
async fn passed(gateways: &[&Gateway], path: &str, requests: usize) -> usize {
    let ask = |n: usize| async move {
        let gateway = gateways[n % gateways.len()];
        gateway.request(Method::GET, path).send().await.expect("an answer").status().as_u16()
    };
    let statuses = join_all((0..requests).map(ask)).await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

#[tokio::test]
async fn a_failover_of_sentinels_answers_nobody_with_an_error_and_limits_are_exact_afterwards() {
    let upstream = Upstream::start().await.expect("starts");
    let mut set = RedisSentinels::start().await.expect("sentinels");
    let redis = format!(
        "sentinel: {{ master: {}, nodes: [\"{}\"] }}, timeout: 2s",
        RedisSentinels::MASTER,
        set.sentinel_addrs().join(",")
    );
    let all = names(4);
    let gateways = [gateway(&upstream, &redis, &all), gateway(&upstream, &redis, &all)];
    let both = [&gateways[0], &gateways[1]];
    for gateway in both {
        until_up(gateway, true).await;
        until_it_knows_of(gateway, 2.0).await;
    }
    assert_eq!(passed(&both, "/p0", 3 * LIMIT).await, LIMIT);

    let master = set.master().await.expect("a master");
    let port = master.port();
    master.kill().expect("killed");
    // Each counts its share while there is no master.
    for gateway in both {
        until_up(gateway, false).await;
    }
    assert_eq!(passed(&both, "/p1", 4 * LIMIT).await, LIMIT, "halves of the limit");
    set.failed_over_from(port).await.expect("another master");
    for gateway in both {
        until_up(gateway, true).await;
    }
    assert_eq!(passed(&both, "/p2", 3 * LIMIT).await, LIMIT);
    let answered_by_redis = r#"gateway_rate_limit_degraded_total{mode="local_share",policy="p2"}"#;
    assert_eq!(both[0].metric(answered_by_redis).await, Some(0.0));
}

#[tokio::test]
async fn a_cluster_that_loses_a_node_answers_nobody_with_an_error_and_limits_are_exact_afterwards() {
    let upstream = Upstream::start().await.expect("starts");
    let mut cluster = RedisCluster::start().await.expect("a cluster");
    let redis = format!("cluster: {{ nodes: [\"{}\"] }}, timeout: 2s", cluster.addrs().join(","));
    // So many that each node has the quotas of some.
    let all = names(24);
    let gateway = gateway(&upstream, &redis, &all);
    until_up(&gateway, true).await;
    for name in &all[..8] {
        assert_eq!(passed(&[&gateway], &format!("/{name}"), 2 * LIMIT).await, LIMIT, "{name}");
    }
    cluster.nodes[1].kill().expect("killed");
    until_up(&gateway, false).await;
    for name in &all[8..16] {
        assert_eq!(passed(&[&gateway], &format!("/{name}"), 2 * LIMIT).await, LIMIT, "{name}");
    }
    let mut stood_in = 0;
    for name in &all[8..16] {
        let series = format!("gateway_rate_limit_degraded_total{{mode=\"local_share\",policy=\"{name}\"}}");
        stood_in += usize::from(gateway.metric(&series).await > Some(0.0));
    }
    assert!((1..8).contains(&stood_in), "{stood_in} of 8 policies were at the node");
    cluster.nodes[1].restart().await.expect("restarted");
    until_up(&gateway, true).await;
    for name in &all[16..] {
        assert_eq!(passed(&[&gateway], &format!("/{name}"), 2 * LIMIT).await, LIMIT, "{name}");
    }
}

#[tokio::test]
async fn in_a_cluster_a_request_that_one_policy_refuses_takes_nothing_from_the_others() {
    let upstream = Upstream::start().await.expect("starts");
    let cluster = RedisCluster::start().await.expect("a cluster");
    let yaml = format!(
        "redis: {{ cluster: {{ nodes: [\"{}\"] }}, timeout: 10s }}\n\
         rate_limits:\n  wide: {{ scope: redis, limit: 10, window: 24h, key: client_address }}\n  \
         wider: {{ scope: redis, limit: 20, window: 24h, key: client_address }}\n  \
         narrow: {{ scope: redis, limit: 2, window: 24h, key: client_address }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes:\n  \
         - {{ name: all, match: {{ path: /all }}, upstream: u, public: true, \
         middleware: [{{ rate_limit: {{ policies: [wide, wider, narrow] }} }}] }}\n  \
         - {{ name: wide, match: {{ path: /wide }}, upstream: u, public: true, \
         middleware: [{{ rate_limit: {{ policies: [wide] }} }}] }}\n",
        cluster.addrs().join(","),
        upstream.url()
    );
    let gateway = Gateway::start(&yaml);
    until_up(&gateway, true).await;
    assert_eq!(passed(&[&gateway], "/all", 6).await, 2);
    // What was taken beside a refusal is given back soon.
    let two_are_taken = async || taken_of_ten(&cluster, "wide").await == 2;
    eventually(PATIENCE, "it is given back", two_are_taken).await.expect("given back");
    let refused = gateway.request(Method::GET, "/all").send().await.expect("an answer");
    let told = refused.headers()["ratelimit"].to_str().expect("text").to_owned();
    assert!(told.contains("\"wide\";r=8") && told.contains("\"narrow\";r=0"), "{told}");
    eventually(PATIENCE, "it is given back", two_are_taken).await.expect("given back");
    assert_eq!(passed(&[&gateway], "/wide", 20).await, 8);
}

/// How many of the ten requests a day are taken of the one quota of a policy.
async fn taken_of_ten(cluster: &RedisCluster, policy: &str) -> u64 {
    const COMES_BACK_IN: u64 = 24 * 60 * 60 * 1000 / 10;
    for node in &cluster.nodes {
        let mut connection = node.connect().await.expect("a connection");
        let pattern = format!("gateway:limit:{policy}:*");
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.expect("keys");
        if let Some(key) = keys.first() {
            let whole_in: u64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.expect("a time");
            return whole_in.div_ceil(COMES_BACK_IN);
        }
    }
    0
}

#[tokio::test]
async fn three_gateways_share_a_limit_while_redis_is_away_and_together_when_it_is_back() {
    let upstream = Upstream::start().await.expect("starts");
    let mut server = RedisServer::start().await.expect("Redis");
    let redis = format!("host: 127.0.0.1, port: {}, timeout: 2s", server.port());
    let all = names(3);
    let gateways = [(); 3].map(|()| gateway(&upstream, &redis, &all));
    let three = [&gateways[0], &gateways[1], &gateways[2]];
    for gateway in three {
        until_it_knows_of(gateway, 3.0).await;
    }
    assert_eq!(passed(&three, "/p0", 3 * LIMIT).await, LIMIT);
    server.kill().expect("killed");
    for gateway in three {
        until_up(gateway, false).await;
    }
    assert_eq!(passed(&three, "/p1", 6 * LIMIT).await, LIMIT);
    assert_eq!(passed(&three[..1], "/p1", LIMIT).await, 0, "its share is used up");
    server.restart().await.expect("restarted");
    for gateway in three {
        until_up(gateway, true).await;
    }
    assert_eq!(passed(&three, "/p2", 3 * LIMIT).await, LIMIT);
}

/// Clients that ask without a pause until they are told to end.
const CLIENTS: usize = 16;

#[tokio::test]
async fn a_redis_that_hangs_or_dies_under_load_costs_each_client_one_deadline_and_nobody_an_error() {
    let upstream = Upstream::start().await.expect("starts");
    let mut server = RedisServer::start().await.expect("Redis");
    let redis = format!("host: 127.0.0.1, port: {}, timeout: 500ms", server.port());
    let gateway = gateway(&upstream, &redis, &names(1));
    until_up(&gateway, true).await;
    let (ends, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async || {
        while !ends.load(Ordering::Relaxed) {
            let status = gateway.get("/p0").await.0;
            assert!(matches!(status, 200 | 429), "{status}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let some_are_answered = async || {
        let before = answered.load(Ordering::Relaxed);
        let more = async || answered.load(Ordering::Relaxed) >= before + 5 * CLIENTS;
        eventually(PATIENCE, "requests are answered", more).await.expect("answered");
    };
    let outages = async {
        some_are_answered().await;
        let late = late_calls(&gateway).await;
        server.stall().expect("stalled");
        until_up(&gateway, false).await;
        some_are_answered().await;
        // Those that were under way, and what came before the third of them had waited; all others went on at once.
        let waited = late_calls(&gateway).await - late;
        assert!(waited <= 2.0 * CLIENTS as f64, "{waited} requests waited");
        server.resume().expect("resumed");
        until_up(&gateway, true).await;
        some_are_answered().await;

        let late = late_calls(&gateway).await;
        server.kill().expect("killed");
        until_up(&gateway, false).await;
        some_are_answered().await;
        assert_eq!(late_calls(&gateway).await - late, 0.0, "a broken connection keeps nobody waiting");
        server.restart().await.expect("restarted");
        until_up(&gateway, true).await;
        // All clients at once come back over the link's own connection, or that of their thread.
        some_are_answered().await;
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut server.connect().await.expect("a connection"))
            .await
            .expect("a list");
        assert!(list.lines().count() <= 3, "the link's, the one of the only thread, and this one: {list}");
        ends.store(true, Ordering::Relaxed);
    };
    tokio::join!(outages, join_all((0..CLIENTS).map(|_| client())));
}

/// Calls that Redis did not answer within a tenth of a second.
async fn late_calls(gateway: &Gateway) -> f64 {
    let (_, text) = gateway.admin("/metrics").await;
    let series = |name: &str| -> f64 {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(of).expect("a number")
    };
    series("gateway_redis_call_duration_seconds_count")
        - series("gateway_redis_call_duration_seconds_bucket{le=\"0.1\"}")
}

#[tokio::test]
async fn the_acl_user_of_the_documentation_hears_revocations() {
    let page = include_str!("../../../docs/redis.md");
    let user = page.lines().find_map(|line| line.strip_prefix("user ")).expect("an example");
    let more = page.split_once("for revocations\n  `").and_then(|(_, rest)| rest.split('`').next()).expect("more");
    let users = vec![format!("{user} {more}")];
    let redis = RedisServer::start_with(RedisOptions { users, ..RedisOptions::default() }).await.expect("Redis");
    let client = |login: &str| redis::Client::open(format!("redis://{login}127.0.0.1:{}", redis.port()));
    let mut publisher = Publisher::connect(&client("").expect("an address")).await.expect("connects");
    let mut reader = Reader::connect(&client("gateway:hush@").expect("an address")).await.expect("connects");
    let of_token = |id: &str| Revocation { revoked: Revoked::Token(id.to_owned()), until: 4_000_000_000 };
    publisher.fill(&[of_token("a")]).await.expect("filled");
    let mut known = Vec::new();
    let mut place = reader.snapshot(|revocation| known.push(revocation)).await.expect("all of them");
    assert_eq!(known, [of_token("a")]);
    publisher.add(&[of_token("b")]).await.expect("added");
    assert_eq!(reader.next(&mut place).await.expect("the next one"), [of_token("b")]);
}
