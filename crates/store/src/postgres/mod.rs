//! The PostgreSQL engine: how a connection is made, how the schema grows, how rows are read and written, and how the other
//! servers on the database learn of it.

mod address;
mod alerts;
mod apply;
mod engine;
mod listener;
mod logs;
mod metrics;
mod migrations;
mod news;
mod read;
mod readers;
mod row;
mod session;
mod settle;
mod tls;
mod writer;

pub use address::{Address, InvalidAddress};
pub(crate) use engine::{Engine, open};
pub(crate) use row::column;
pub(crate) use session::Session;
