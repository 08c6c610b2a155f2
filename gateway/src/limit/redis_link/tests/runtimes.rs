//! Calls from several runtimes, as from the threads that proxy.

use std::collections::BTreeSet;

use tokio::runtime::Runtime;

use super::*;

/// Something that calls from a thread of its own.
struct Caller {
    /// None once it has ended.
    runtime: Option<Runtime>,
    link: Arc<RedisLink>,
}

impl Caller {
    fn of(link: &Arc<RedisLink>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: Some(runtime.expect("a runtime")), link: Arc::clone(link) }
    }

    async fn count(&self) -> Result<u64, NoAnswer> {
        let link = Arc::clone(&self.link);
        let runtime = self.runtime.as_ref().expect("it has not ended");
        runtime.spawn(async move { count(&link, "key").await }).await.expect("it runs")
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // To wait for it is not allowed here.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// The connections that others have to `server`, by the number that it gives each; the oldest first.
async fn connections(server: &RedisServer) -> BTreeSet<u64> {
    let mut own = server.connect().await.expect("a connection");
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut own).await.expect("an answer");
    let others = list.lines().filter(|line| !line.contains("cmd=client"));
    others.map(|line| line.split(['=', ' ']).nth(1).and_then(|id| id.parse().ok()).expect("an id")).collect()
}

async fn until_there_are(number: usize, server: &RedisServer, caller: &Caller) {
    let are_there = async || {
        caller.count().await.expect("counted");
        connections(server).await.len() == number
    };
    eventually(SOON, "each has its connection", are_there).await.expect("in time");
}

#[tokio::test]
async fn each_runtime_that_calls_has_a_connection_of_its_own_until_it_ends() {
    let server = RedisServer::start().await.expect("Redis");
    let link = Arc::new(open(at(server.port())));
    until_up(&link).await;
    let keepers = connections(&server).await;
    assert_eq!(keepers.len(), 1);
    let (one, other) = (Caller::of(&link), Caller::of(&link));
    until_there_are(2, &server, &one).await;
    until_there_are(3, &server, &other).await;
    drop(one);
    until_there_are(2, &server, &other).await;
    drop(other);
    let is_alone = async || connections(&server).await == keepers;
    eventually(SOON, "only the keeper's is left", is_alone).await.expect("in time");
    let Reach::One(server) = &link.reach else { panic!("one server") };
    eventually(SOON, "they are forgotten", async || server.runtimes_without().is_empty()).await.expect("in time");
    assert!(link.is_up(), "that a runtime ends is no fault of Redis'");
}

#[tokio::test]
async fn a_connection_that_breaks_costs_its_runtime_one_call_and_nobody_else_any() {
    let server = RedisServer::start().await.expect("Redis");
    let link = Arc::new(open(at(server.port())));
    until_up(&link).await;
    let keepers = connections(&server).await;
    let caller = Caller::of(&link);
    until_there_are(2, &server, &caller).await;
    let present = connections(&server).await;
    let broken = *present.difference(&keepers).next().expect("the caller's");
    let mut own = server.connect().await.expect("a connection");
    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(broken).exec_async(&mut own).await.expect("killed");
    let failed = AtomicUsize::new(0);
    let has_another = async || {
        failed.fetch_add(usize::from(caller.count().await.is_err()), Ordering::Relaxed);
        count(&link, "other").await.expect("counted");
        let now = connections(&server).await;
        now.len() == 2 && !now.contains(&broken)
    };
    eventually(SOON, "it has another", has_another).await.expect("in time");
    assert!(failed.load(Ordering::Relaxed) <= 1, "{failed:?}");
    assert!(connections(&server).await.is_superset(&keepers), "the server was never given up");
}
