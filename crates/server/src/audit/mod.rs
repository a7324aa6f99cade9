//! The verdict journal: every verdict is on disk before its answer leaves.
//!
//! The control plane's audit rows live in the database beside the change they describe; verdicts are many and have no
//! change beside them, so they have a sink of their own that keeps working when the database does not.

mod aligned;
mod backwards;
mod journal;
mod log;
mod queue;
mod recent;
mod segment;
mod walk;
mod writer;

pub(crate) use journal::{
    Journal, JournalError, JournalSettings, MAXIMUM_RECORD, OpenJournalError, acts_on_display, escape,
};
pub(crate) use walk::{Direction, Line, Position, Way};
