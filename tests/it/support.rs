//! What the end-to-end tests start and ask.

mod all_in_one;
mod api;
mod echo;
mod gateway;
mod process;
mod services;
mod shop;

pub(crate) use all_in_one::{ANYWHERE, AllInOne};
pub(crate) use api::{Api, expect, expect_problem};
pub(crate) use echo::{Echo, Gate};
pub(crate) use gateway::Gateway;
pub(crate) use process::{PATIENCE, Process};
pub(crate) use services::{SECRET, Services};
pub(crate) use shop::Shop;
