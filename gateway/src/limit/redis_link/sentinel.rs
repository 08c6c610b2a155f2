//! Asks sentinels which server is the master.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError};
use tokio::time::timeout;

use super::settings::{LinkSettings, Login, Place};
use crate::config::values::RedisNode;

/// How long each may take to say.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// Sentinels, each with a connection that is kept.
pub(super) struct Sentinels {
    settings: LinkSettings,
    asked: Vec<Sentinel>,
}

struct Sentinel {
    node: RedisNode,
    login: Login,
    /// What it calls the master.
    master: String,
    connection: Option<MultiplexedConnection>,
}

impl Sentinels {
    /// Those that `settings` know; there are none where it does not say `sentinel`.
    pub(super) fn new(settings: &LinkSettings) -> Self {
        let asked = match &settings.place {
            Place::Master { name, sentinels, login } => {
                let (login, master) = (login.clone(), name.clone());
                let sentinel = |node: &RedisNode| Sentinel {
                    node: node.clone(),
                    login: login.clone(),
                    master: master.clone(),
                    connection: None,
                };
                sentinels.iter().map(sentinel).collect()
            }
            Place::One(_) | Place::Cluster(_) => Vec::new(),
        };
        Self { settings: settings.clone(), asked }
    }

    /// The server that most of those that answer call the master. Whether it is one, writing to it shows.
    ///
    /// # Errors
    /// When none of them names one.
    pub(super) async fn master(&mut self) -> Result<RedisNode, RedisError> {
        let answers = self.asked.iter_mut().map(|sentinel| sentinel.names(&self.settings));
        let mut votes: HashMap<RedisNode, usize> = HashMap::new();
        let mut failure = None;
        for answer in join_all(answers).await {
            match answer {
                Ok(node) => *votes.entry(node).or_default() += 1,
                Err(error) => failure = Some(error),
            }
        }
        let chosen = votes.into_iter().max_by_key(|(_, number)| *number).map(|(node, _)| node);
        let nobody = || (ErrorKind::EmptySentinelList, "there is no sentinel to ask").into();
        chosen.ok_or_else(|| failure.unwrap_or_else(nobody))
    }
}

impl Sentinel {
    async fn names(&mut self, settings: &LinkSettings) -> Result<RedisNode, RedisError> {
        let answer = timeout(ANSWERS_WITHIN, self.ask(settings)).await;
        let answer = answer.unwrap_or_else(|_| Err((ErrorKind::Io, "a sentinel did not answer in time").into()));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn ask(&mut self, settings: &LinkSettings) -> Result<RedisNode, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(settings.connect_as(&self.node, &self.login).await?),
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let named: Option<(String, u16)> = question.query_async(connection).await?;
        let unknown = || (ErrorKind::MasterNameNotFoundBySentinel, "a sentinel knows no master of this name").into();
        named.map(|(host, port)| RedisNode { host, port }).ok_or_else(unknown)
    }
}
