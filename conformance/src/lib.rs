//! Judges the program from outside: real `gcloud`, `openssl`, `gpg`, `curl`, `docker-registry` and Google's Python
//! clients talk to a real `binauthz serve` over its ports. Nothing of the program is linked in here.
//!
//! A test asks for a [`Desk`]: a folder of its own, a server of its own, and a shell whose environment points every
//! tool at that server. What the test types into the shell is what a person would type.
//!
//! This crate is test code: a step that cannot be taken ends the test, so it panics freely.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod database;
pub mod desk;
pub mod flood;
pub mod guide;
pub mod journal;
pub mod node;
pub mod receiver;
pub mod registry;
pub mod review;
pub mod server;
pub mod shell;
pub mod tools;

pub use cluster::Cluster;
pub use database::Database;
pub use desk::Desk;
pub use node::Node;
pub use shell::Ran;
