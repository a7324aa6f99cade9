//! A metric as the counting knows it.

use binauthz_core::time::UnixTime;
use binauthz_store::Resource;
use binauthz_wire::json::{self, Limits};
use binauthz_wire::logging::metric::{LogMetric, TYPE_PREFIX, read_metric};

use crate::logs::Needle;

/// A log-based metric that is there.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// Its name for the points. One that was deleted and made again has another.
    pub(crate) key: String,
    /// Its project's id.
    pub(crate) project: String,
    /// What it says.
    pub(crate) metric: LogMetric,
    /// What was received up to then is not counted.
    pub(super) created: UnixTime,
}

/// What metrics count.
pub(super) fn needle(definitions: &[Definition]) -> Needle {
    let counting = definitions.iter().filter(|one| !one.metric.disabled);
    Needle::new(counting.map(|one| (one.project.as_str(), &one.metric.filter)))
}

impl Definition {
    /// The metric of a stored resource, if it can be read.
    pub(crate) fn of(row: &Resource) -> Option<Definition> {
        let value = json::parse(row.document.as_bytes(), Limits::API).ok()?;
        Some(Definition {
            key: format!("{}@{}", row.name, row.created),
            project: row.parent.strip_prefix("projects/")?.to_owned(),
            metric: read_metric(value).ok()?,
            created: UnixTime::from_micros(row.created),
        })
    }

    /// `logging.googleapis.com/user/NAME`
    pub(crate) fn metric_type(&self) -> String {
        format!("{TYPE_PREFIX}{}", self.metric.name)
    }

    pub(super) fn name(&self) -> (String, String) {
        (self.project.clone(), self.metric.name.clone())
    }
}
