//! `logging.googleapis.com`: log entries, and Google's query language over them.
//!
//! An entry is a tree of [`Node`]s, and a [`Query`] walks it. The same walk answers about an entry of which some parts
//! are not known ([`Veil`]): with [`Truth::Unknown`] where they matter. So whoever keeps a short form of an entry can
//! leave the whole one unread when the short one settles the question.

mod compare;
mod demand;
mod entry;
pub(crate) mod extract;
mod fields;
mod functions;
mod literal;
pub mod metric;
mod node;
mod query;
mod read;
mod search;
mod subject;
mod view;

pub use demand::Demand;
pub use entry::{Entry, Payload};
pub use extract::Extractor;
pub use literal::fold;
pub use node::{Node, Severity, Truth, Veil};
pub use query::{Query, TimeBounds};
pub use read::{Defaults, MAX_ENTRY, WrittenEntry, read_entry, read_stored};

#[cfg(test)]
mod tests;
