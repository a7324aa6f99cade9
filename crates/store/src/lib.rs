//! What binauthz remembers.
//!
//! One [`Store`] holds resources (opaque JSON documents under a name), occurrences (indexed by note and
//! digest), sealed private keys, API tokens and the audit log. There is exactly one way to write
//! what a caller asked for: [`Store::commit`], which takes the audit row together with the changes it reports, so a
//! change without its audit row cannot be expressed. What follows from the log by itself (incidents,
//! notices on their way, what metrics counted) is settled with [`Store::settle`]. A commit that was answered is on disk; a
//! commit that failed left nothing behind.
//!
//! Two engines do this: a SQLite file of one process, and a PostgreSQL database that several servers share. Both pass the
//! whole acceptance suite.
//!
//! The store knows nothing of the APIs whose documents it keeps, of cryptography or of policy.
#![forbid(unsafe_code)]

mod alert;
mod change;
mod error;
mod logs;
mod metric;
mod news;
mod postgres;
mod queue;
mod rows;
mod settlement;
mod sqlite;
mod store;
mod transfer;

#[cfg(any(test, feature = "test-support"))]
pub mod acceptance;

pub use alert::{
    Alerted, Attempt, DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow, IncidentState,
    KEEP_CLOSED_INCIDENTS, KEEP_DEAD_LETTERS, MAX_CLOSED_INCIDENTS, MAX_DEAD_LETTERS, MAX_WAITING,
};
pub use change::{ABSENT, Change, Commit, Committed};
pub use error::{CommitError, OpenError, PostgresError, Unavailable};
pub use logs::{LogCheckpointRow, Logged, MergedRow};
pub use metric::{Counted, FORGOTTEN_AT_ONCE, Forget, MetricPoint, MetricSeriesRow};
pub use news::{Changed, News, Touched};
pub use postgres::{Address, InvalidAddress};
pub use rows::{
    Age, AuditOrder, AuditQuery, AuditRow, Kind, ListQuery, MAX_AUDIT_DETAIL, MAX_DOCUMENT, MAX_ROWS,
    NewResource, OccurrenceQuery, OccurrenceRow, OccurrenceScope, Resource, TokenRow,
};
pub use settlement::{CursorMove, Found, Lead, Reader, Settlement};
pub use sqlite::{BackupError, backup};
pub use store::Store;
pub use transfer::{TransferError, Transferred, transfer};
