//! The SQLite engine: how a connection is made, how the schema grows, how rows are read and written.

mod alerts;
mod apply;
mod backup;
pub(crate) mod connection;
mod engine;
mod logs;
mod metrics;
pub(crate) mod migrations;
mod read;
mod settle;
mod writer;

pub use backup::{BackupError, backup};
pub(crate) use engine::Engine;
