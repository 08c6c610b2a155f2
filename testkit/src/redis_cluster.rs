//! A real Redis Cluster of three masters.

use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;

use crate::{RedisOptions, RedisServer, eventually, free_port};

const READY_WITHIN: Duration = Duration::from_secs(60);
const NODES: u16 = 3;
const SLOTS: u16 = 16384;

/// Three masters without replicas that share the slots; all are killed when it is dropped.
pub struct RedisCluster {
    /// The nodes; each has a third of the slots, in their order.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes, shares the slots out, and waits until every node says that all is well. While a node is away, the slots
    /// of the others go on to be served.
    ///
    /// # Errors
    /// Says what does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..NODES {
            let bus_port = free_port()?;
            let lines = vec![
                "cluster-enabled yes".to_owned(),
                "cluster-config-file nodes.conf".to_owned(),
                "cluster-node-timeout 2000".to_owned(),
                "cluster-require-full-coverage no".to_owned(),
                format!("cluster-port {bus_port}"),
            ];
            nodes.push(RedisServer::start_with(RedisOptions { lines, ..RedisOptions::default() }).await?);
            bus_ports.push(bus_port);
        }
        let cluster = Self { nodes };
        for (index, node) in (0..NODES).zip(&cluster.nodes) {
            let mut connection = node.connect().await?;
            let (first, last) = Self::slots(index);
            cluster_command(&["ADDSLOTSRANGE", &first.to_string(), &last.to_string()], &mut connection).await?;
            // Before it knows anybody.
            cluster_command(&["SET-CONFIG-EPOCH", &(index + 1).to_string()], &mut connection).await?;
        }
        for (node, bus_port) in cluster.nodes.iter().zip(bus_ports) {
            for other in &cluster.nodes {
                let (port, bus_port) = (node.port().to_string(), bus_port.to_string());
                let meet = ["MEET", "127.0.0.1", &port, &bus_port];
                cluster_command(&meet, &mut other.connect().await?).await?;
            }
        }
        eventually(READY_WITHIN, "the cluster is whole", async || cluster.is_whole().await).await?;
        Ok(cluster)
    }

    /// Where the nodes are, each as `host:port`.
    #[must_use]
    pub fn addrs(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect()
    }

    /// The first and the last slot of the node of this index at the beginning.
    #[must_use]
    pub const fn slots(index: u16) -> (u16, u16) {
        let share = SLOTS / NODES;
        (index * share, if index + 1 == NODES { SLOTS - 1 } else { (index + 1) * share - 1 })
    }

    /// What a node calls itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn id_of(node: &RedisServer) -> anyhow::Result<String> {
        Ok(redis::cmd("CLUSTER").arg("MYID").query_async(&mut node.connect().await?).await?)
    }

    /// Begins to move `slot`: where a key of it is not at its node any more, clients are sent on to ask the other one.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn begin_to_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        let (from, to) = (self.node(from)?, self.node(to)?);
        let (slot, from_id, to_id) = (slot.to_string(), Self::id_of(from).await?, Self::id_of(to).await?);
        cluster_command(&["SETSLOT", &slot, "IMPORTING", &from_id], &mut to.connect().await?).await?;
        cluster_command(&["SETSLOT", &slot, "MIGRATING", &to_id], &mut from.connect().await?).await
    }

    /// Gives `slot` to another node, whatever is in it.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn end_move(&self, slot: u16, to: usize) -> anyhow::Result<()> {
        let id = Self::id_of(self.node(to)?).await?;
        let others = self.nodes.iter().enumerate().filter(|(index, _)| *index != to).map(|(_, node)| node);
        for node in std::iter::once(self.node(to)?).chain(others) {
            cluster_command(&["SETSLOT", &slot.to_string(), "NODE", &id], &mut node.connect().await?).await?;
        }
        Ok(())
    }

    fn node(&self, index: usize) -> anyhow::Result<&RedisServer> {
        self.nodes.get(index).context("there is no such node")
    }

    /// Whether every node knows all, and says that all slots are served.
    pub async fn is_whole(&self) -> bool {
        let is_well = async |node: &RedisServer| -> anyhow::Result<bool> {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut node.connect().await?).await?;
            let has = |line: &str| info.lines().any(|own| own == line);
            let known = format!("cluster_known_nodes:{NODES}");
            Ok(has("cluster_state:ok") && has(&format!("cluster_slots_ok:{SLOTS}")) && has(&known))
        };
        for node in &self.nodes {
            if !is_well(node).await.unwrap_or_default() {
                return false;
            }
        }
        true
    }
}

async fn cluster_command(words: &[&str], connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    redis::cmd("CLUSTER").arg(words).exec_async(connection).await.with_context(|| format!("CLUSTER {words:?}"))
}
