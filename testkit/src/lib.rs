//! Real servers for the tests: each on a free loopback port, awaited until ready, ended by its own handle.

mod issuer;
mod ports;
mod redis_cluster;
mod redis_sentinels;
mod redis_server;
mod upstream;
mod wait;

pub use issuer::Issuer;
pub use ports::free_port;
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use redis_server::{RedisOptions, RedisServer, RedisTls};
pub use upstream::{Arrived, Behaviour, Upstream};
pub use wait::eventually;
