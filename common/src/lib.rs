//! What the gateway and the services share.
//!
//! Each feature of the crate opens one layer, and no layer knows the ones above it:
//! `dynamo ─► repository ─► entities ─► ids`, `repository ─► revocations ─► ids` and `auth ─► revocations`. The gateway takes none of the store's layers, so it
//! never compiles the AWS SDK.

pub mod auth;
pub mod config;
pub mod health;
pub mod ids;
pub mod names;
pub mod revocations;
pub mod signals;
pub mod telemetry;

#[cfg(feature = "dynamo")]
pub mod dynamo;
#[cfg(feature = "dynamo")]
pub mod entities;
#[cfg(feature = "dynamo")]
pub mod repository;
#[cfg(feature = "service")]
pub mod service;
