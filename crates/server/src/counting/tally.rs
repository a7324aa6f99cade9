//! The counting: from lines to what is added to the points.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use binauthz_core::time::UnixTime;
use binauthz_store::MetricPoint;
use binauthz_wire::logging::Entry;
use binauthz_wire::monitoring::distribution::Distribution;

use super::definition::Definition;
use super::value::{Counted, Numbers, SeriesKey};
use crate::logs::{Needle, Seen, labels, project_of};

/// Series of one metric; what would make one more is counted in the series of the overflow. 1 000 metrics of 1 000
/// series are known by 8 bytes each: 8 MB.
pub(super) const MOST_SERIES: usize = 1_000;
/// As at Google, an entry counts for the minute of its own time if that is within a day before its arrival and ten
/// minutes after it.
const EARLY_MICROS: i64 = 86_400_000_000;
const LATE_MICROS: i64 = 600_000_000;
const MINUTE_MICROS: i64 = 60_000_000;
/// The label that only the series of the overflow has.
const OVERFLOW: &str = "overflow";

/// Which series there are, by hashes that nobody outside can aim at.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    hasher: RandomState,
    metrics: HashMap<String, HashSet<u64>>,
}

impl Known {
    /// There is this series.
    pub(super) fn learn(&mut self, metric: &str, series: &str) {
        let hash = self.hasher.hash_one(series);
        self.metrics.entry(metric.to_owned()).or_default().insert(hash);
    }

    /// Whether there is this series, or room for it; then it is known from now on.
    pub(super) fn admit(&mut self, metric: &str, series: &str) -> bool {
        let hash = self.hasher.hash_one(series);
        let known = self.metrics.entry(metric.to_owned()).or_default();
        known.contains(&hash) || (known.len() < MOST_SERIES && known.insert(hash))
    }
}

/// What some lines come to.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    definitions: &'a [Definition],
    known: &'a mut Known,
    points: BTreeMap<(usize, String, i64), Counted>,
    /// Entries of each metric, and those of them in the overflow.
    pub(super) counts: Vec<(u64, u64)>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(definitions: &'a [Definition], known: &'a mut Known) -> Tally<'a> {
        Tally {
            known,
            points: BTreeMap::new(),
            counts: vec![(0, 0); definitions.len()],
            definitions,
        }
    }

    /// Counts a line of a journal.
    pub(super) fn line(&mut self, seen: Seen<'_>, needle: &Needle) {
        seen.entries(needle, |entry| {
            self.entry(&entry, seen.arrival);
            None::<()>
        });
    }

    fn entry(&mut self, entry: &Entry<'_>, arrival: UnixTime) {
        let time = entry.time().as_micros();
        let late = arrival.as_micros().saturating_sub(time);
        if !(-LATE_MICROS..=EARLY_MICROS).contains(&late) {
            return;
        }
        let project = entry.log_name().and_then(project_of);
        let definitions = self.definitions;
        for (index, definition) in definitions.iter().enumerate() {
            let metric = &definition.metric;
            let is_its =
                project == Some(&definition.project) && !metric.disabled && arrival > definition.created;
            if is_its
                && metric.filter.test(entry)
                && let Some(counted) = counted(definition, entry)
            {
                self.count(index, entry, counted, time.div_euclid(MINUTE_MICROS));
            }
        }
    }

    fn count(&mut self, index: usize, entry: &Entry<'_>, counted: Counted, minute: i64) {
        let Some(definition) = self.definitions.get(index) else {
            return;
        };
        let series = series(definition, entry).to_text();
        let has_room = self.known.admit(&definition.key, &series);
        let series = if has_room {
            series
        } else {
            overflow(definition).to_text()
        };
        if let Some((all, overflowed)) = self.counts.get_mut(index) {
            *all += 1;
            *overflowed += u64::from(!has_room);
        }
        match self.points.entry((index, series, minute)) {
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().merge(&counted),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(counted);
            }
        }
    }

    /// What is added to the points.
    pub(super) fn into_points(self) -> (Vec<MetricPoint>, Vec<(u64, u64)>) {
        let definitions = self.definitions;
        let point = |((index, series, minute), counted): ((usize, String, i64), Counted)| {
            Some(MetricPoint {
                metric: definitions.get(index)?.key.clone(),
                series,
                minute,
                value: counted.to_text(),
            })
        };
        (self.points.into_iter().filter_map(point).collect(), self.counts)
    }
}

/// What an entry adds; nothing where no number can be taken out of it.
fn counted(definition: &Definition, entry: &Entry<'_>) -> Option<Counted> {
    let Some(of) = &definition.metric.distribution else {
        return Some(Counted::Entries(1));
    };
    let mut distribution = Distribution::empty(of.sorted_by().bounds());
    distribution.add(of.number(entry)?);
    Some(Counted::Numbers(Numbers::from(&distribution)))
}

fn series(definition: &Definition, entry: &Entry<'_>) -> SeriesKey {
    let extractors = definition.metric.labels.iter();
    let labels = labels::extracted(extractors.map(|label| (&label.key, &label.extractor)), entry);
    let (resource, resource_labels) = labels::resource(entry);
    SeriesKey::new(labels, resource, resource_labels, buckets(definition).as_ref())
}

/// The series of what would make too many.
fn overflow(definition: &Definition) -> SeriesKey {
    SeriesKey::new(
        vec![(OVERFLOW.to_owned(), "true".to_owned())],
        "global".to_owned(),
        vec![("project_id".to_owned(), definition.project.clone())],
        buckets(definition).as_ref(),
    )
}

fn buckets(definition: &Definition) -> Option<binauthz_wire::logging::metric::Buckets> {
    definition.metric.distribution.as_ref().map(|of| of.sorted_by())
}

#[cfg(test)]
mod tests;
