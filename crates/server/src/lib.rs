//! The shell around the judge: sockets, the webhook, the API, and what is written down.

#![forbid(unsafe_code)]

mod admission;
pub mod alert;
mod app;
mod audit;
mod auth;
mod control;
mod counting;
mod documents;
mod files;
mod grpc;
mod health;
pub mod listen;
mod logs;
mod metrics;
mod run;
mod settings;

pub use run::{Addresses, Server, StartError, run};
pub use settings::{Flags, InvalidSettings, Retention, Settings};
