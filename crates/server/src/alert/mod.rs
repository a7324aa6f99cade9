//! Alerts: from log entries to incidents.
//!
//! [`engine`], and what it uses, is pure: entries and the time are arguments, and what is to be told comes back as [`Notice`]s.
//! [`channel`] sends them.

pub mod channel;
mod clock;
pub mod condition;
pub mod delivery;
pub mod engine;
pub mod incident;
pub mod series;

pub use engine::{Engine, Watched};
pub use incident::{Incident, Notice, State};
