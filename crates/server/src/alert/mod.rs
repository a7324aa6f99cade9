//! Alerts: from log entries to incidents, and from incidents to people.
//!
//! [`engine`], and what it uses, is pure: entries and the time are arguments, and what is to be told comes back as [`Notice`]s.
//! [`watch`](mod@watch) feeds it from the log and writes down what comes back; [`deliver`](mod@deliver) sends that by a
//! [`channel`].

pub mod channel;
mod clock;
pub mod condition;
mod counters;
mod deliver;
pub mod delivery;
pub mod engine;
pub mod incident;
pub(crate) mod kept;
pub mod series;
pub(crate) mod shipped;
mod watch;
mod watched;

pub(crate) use deliver::deliver;
pub use engine::{Engine, Watched};
pub use incident::{Incident, Notice, State};
pub(crate) use watch::watch;

use tokio::sync::Notify;

use counters::Counters;

use crate::changes::Changes;

/// What the jobs of alerts and others share.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    /// Something that is watched was changed.
    pub(crate) changed: Changes,
    /// There is something to deliver.
    pub(crate) due: Notify,
    pub(crate) counters: Counters,
}
