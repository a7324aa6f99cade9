//! The SQLite engine: how a connection is made, how the schema grows, how rows are read and written.

pub(crate) mod alerts;
pub(crate) mod apply;
pub(crate) mod connection;
pub(crate) mod metrics;
pub(crate) mod migrations;
pub(crate) mod read;
pub(crate) mod settle;
pub(crate) mod writer;
