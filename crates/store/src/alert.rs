//! What follows from the log: incidents, and notices on their way. Settled apart from the changes of the API.

/// Notices that wait to be sent; of more the oldest are given up. With documents of 2 KB these are 20 MB.
pub const MAX_WAITING: u32 = 10_000;
/// Dead letters that are kept; of more the oldest are forgotten.
pub const MAX_DEAD_LETTERS: u32 = 10_000;
/// How long a dead letter is kept, in microseconds: 30 days.
pub const KEEP_DEAD_LETTERS: i64 = 30 * DAY;
/// Incidents that have ended and are kept; of more the oldest are forgotten.
pub const MAX_CLOSED_INCIDENTS: u32 = 10_000;
/// How long an incident that has ended is kept, in microseconds: as long as verdicts are.
pub const KEEP_CLOSED_INCIDENTS: i64 = 400 * DAY;
const DAY: i64 = 86_400 * 1_000_000;

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: String,
    /// The project it is of.
    pub project: String,
    /// The name of its policy.
    pub policy: String,
    /// When it began.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Opaque JSON text.
    pub document: String,
}

/// A notice to one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its place in the order in which notices came up; assigned by the store, whatever a caller writes here.
    pub sequence: i64,
    /// Its id.
    pub id: String,
    /// The project it is of.
    pub project: String,
    /// The name of the channel.
    pub channel: String,
    /// The id of the incident that it tells of.
    pub incident: String,
    /// When it was first to be sent.
    pub begun: i64,
    /// The attempts that failed.
    pub failures: u32,
    /// When the next attempt is due.
    pub due: i64,
    /// Opaque JSON text: what is told.
    pub document: String,
    /// When it was given up; then it is a dead letter.
    pub died: Option<i64>,
    /// Why it was given up, or why the last attempt failed.
    pub reason: String,
}

/// What became of a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was taken, and is forgotten.
    Delivered {
        /// The delivery's id.
        id: String,
    },
    /// It is sent again.
    Again {
        /// The delivery's id.
        id: String,
        /// How many attempts failed so far.
        failures: u32,
        /// When the next attempt is due.
        due: i64,
        /// Why this one failed.
        reason: String,
    },
    /// It is given up: a dead letter.
    Dead {
        /// The delivery's id.
        id: String,
        /// How many attempts failed.
        failures: u32,
        /// Why.
        reason: String,
    },
}

/// What alerts found in the log, and what becomes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerted {
    /// When it is settled, in microseconds since the epoch.
    pub now: i64,
    /// Incidents as they are now.
    pub incidents: Vec<IncidentRow>,
    /// New deliveries.
    pub deliveries: Vec<DeliveryRow>,
    /// What became of earlier ones. One that is gone meanwhile is no error.
    pub attempts: Vec<Attempt>,
}

/// Whether an incident goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentState {
    /// Those that go on.
    Open,
    /// Those that have ended.
    Closed,
}

/// Which incidents of a project to list, the newest first.
#[derive(Debug, Clone)]
pub struct IncidentQuery {
    /// The project.
    pub project: String,
    /// Only those in this state.
    pub state: Option<IncidentState>,
    /// Only those that began before this one: its beginning and its id.
    pub before: Option<(i64, String)>,
    /// At most this many; never more than [`MAX_ROWS`](crate::MAX_ROWS).
    pub limit: u32,
}

/// Which dead letters of a project to list, the newest first.
#[derive(Debug, Clone)]
pub struct DeadLetterQuery {
    /// The project.
    pub project: String,
    /// Only those that came up before the one of this sequence.
    pub before: Option<i64>,
    /// At most this many; never more than [`MAX_ROWS`](crate::MAX_ROWS).
    pub limit: u32,
}
