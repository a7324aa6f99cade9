//! Log-based metrics: entries of the log, counted as they become durable.
//!
//! A job reads both journals forward. What it counted and how far it came are one transaction, so whatever ends the
//! process, a line is counted once. [`tally`] is the counting itself and pure; with no metric defined nothing runs.

mod definition;
mod job;
mod points;
mod tally;
mod value;

pub(crate) use definition::Definition;
pub(crate) use job::count_entries;
pub(crate) use points::{Refused, series_of};

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::changes::Changes;
use crate::metrics::Text;

/// Metrics of all projects together. Every entry may be held against each of them: at some microseconds each that is a
/// few milliseconds.
pub(crate) const MOST_METRICS: u32 = 1_000;

/// What the job and everybody else have in common.
#[derive(Debug, Default)]
pub(crate) struct LogMetrics {
    /// Metrics were made, changed or deleted.
    pub(crate) changed: Changes,
    totals: Mutex<BTreeMap<Name, Totals>>,
}

/// Of a metric: its project's id and its own.
type Name = (String, String);

/// Since the server started.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    counted: u64,
    overflowed: u64,
}

impl LogMetrics {
    /// These are the metrics there are.
    fn define(&self, names: impl Iterator<Item = Name>) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut *totals);
        *totals = names
            .map(|name| (name.clone(), known.get(&name).copied().unwrap_or_default()))
            .collect();
    }

    fn add(&self, name: &Name, counted: u64, overflowed: u64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let total = totals.entry(name.clone()).or_default();
        total.counted += counted;
        total.overflowed += overflowed;
    }

    /// Writes the rows: two for each metric, so at most 2 000.
    pub(crate) fn write(&self, text: &mut Text) {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut family = |name, help, value: fn(&Totals) -> u64| {
            text.family(name, "counter", help);
            for ((project, metric), total) in &totals {
                let labels = [("project", project.as_str()), ("metric", metric.as_str())];
                text.named_row(name, &labels, value(total));
            }
        };
        family(
            "binauthz_log_metric_total",
            "Entries counted by a log-based metric",
            |total| total.counted,
        );
        family(
            "binauthz_log_metric_overflow_total",
            "Entries counted in the one series of a log-based metric that has too many",
            |total| total.overflowed,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_outlive_a_change_and_not_their_metric() {
        let metrics = LogMetrics::default();
        let name = |id: &str| ("p".to_owned(), id.to_owned());
        metrics.define([name("a"), name("b")].into_iter());
        metrics.add(&name("a"), 2, 1);
        metrics.define([name("a"), name("c\"\n")].into_iter());
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.finish();
        for line in [
            "binauthz_log_metric_total{project=\"p\",metric=\"a\"} 2\n",
            "binauthz_log_metric_overflow_total{project=\"p\",metric=\"a\"} 1\n",
            "binauthz_log_metric_total{project=\"p\",metric=\"c\\\"\\n\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("metric=\"b\""), "{text}");
    }
}
