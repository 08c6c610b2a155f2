//! The gateway's configuration file: read, checked whole, and handed on typed.

pub mod file;
pub mod pattern;
pub mod problems;
pub mod values;
