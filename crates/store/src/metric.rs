//! What follows from the log: counts of log-based metrics.

/// What metrics counted.
#[derive(Debug, Clone)]
pub struct Counted {
    /// What is added.
    pub points: Vec<MetricPoint>,
    /// One value of the one there is and the one that is added.
    pub merge: fn(&str, &str) -> String,
    /// What is forgotten.
    pub forget: Forget,
}

/// What was counted of one series in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricPoint {
    /// Whose series.
    pub metric: String,
    /// Which series of the metric.
    pub series: String,
    /// Minutes since the epoch.
    pub minute: i64,
    /// The value, in its maker's form.
    pub value: String,
}

/// What is forgotten in one settlement; of what is more than [`FORGOTTEN_AT_ONCE`] points, that many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forget {
    /// Points of minutes before this one.
    pub before: i64,
    /// Everything of these metrics.
    pub metrics: Vec<String>,
    /// The oldest of more than so many points.
    pub most_points: i64,
}

/// Points deleted in one transaction, for each reason: 10 000 rows and their index entries take some 50 ms, which is what
/// a commit waits at most.
pub const FORGOTTEN_AT_ONCE: u32 = 10_000;

/// A series that has points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSeriesRow {
    /// For [`Store::metric_points`](crate::Store::metric_points).
    pub id: i64,
    /// Which series of its metric.
    pub series: String,
    /// Its newest minute.
    pub newest: i64,
}
