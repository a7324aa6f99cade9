//! What was counted: one series for each set of labels, in buckets of a second.
//!
//! These are not the points of [`crate::counting`], which are of minutes, by the time that an entry says, and on the disk: a
//! window of 60 seconds moves by the second, and what was decided is not changed by an entry that comes late.

use std::collections::{BTreeMap, VecDeque};

use binauthz_wire::monitoring::Series;
use binauthz_wire::monitoring::policy::Aligner;

/// Series of one metric; entries that would make one more are not counted. 100 metrics of 1 000 series with some labels
/// are 50 MB.
pub const MAX_SERIES: usize = 1_000;
/// A second, and a minute, in microseconds.
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// What tells a series from others of its metric.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Key {
    /// The metric's labels.
    pub metric_labels: Vec<(String, String)>,
    /// What it is about.
    pub resource_type: String,
    /// That thing's labels.
    pub resource_labels: Vec<(String, String)>,
}

/// The series of one metric.
#[derive(Debug)]
pub struct Counted {
    /// Its project's id.
    pub project: String,
    /// Its type.
    pub metric_type: String,
    series: BTreeMap<Key, VecDeque<(i64, u64)>>,
}

impl Counted {
    /// A metric that nothing was counted of.
    pub fn new(project: &str, metric_type: &str) -> Counted {
        Counted {
            project: project.to_owned(),
            metric_type: metric_type.to_owned(),
            series: BTreeMap::new(),
        }
    }

    /// Counts one at `time`, which does not go back; whether there was room for it.
    pub fn count(&mut self, key: Key, time: i64) -> bool {
        if !self.series.contains_key(&key) && self.series.len() >= MAX_SERIES {
            return false;
        }
        let second = time.div_euclid(SECOND);
        let buckets = self.series.entry(key).or_default();
        match buckets.back_mut() {
            Some((last, count)) if *last >= second => *count += 1,
            _ => buckets.push_back((second, 1)),
        }
        true
    }

    /// Takes a series up that is known from before, without any point.
    pub fn know(&mut self, key: Key) {
        if self.series.len() < MAX_SERIES {
            self.series.entry(key).or_default();
        }
    }

    /// Forgets what is older than `horizon` microseconds. A series remains: that it has no points is something to know.
    pub fn forget(&mut self, time: i64, horizon: i64) {
        let oldest = time.saturating_sub(horizon).div_euclid(SECOND);
        for buckets in self.series.values_mut() {
            while buckets.front().is_some_and(|(second, _)| *second < oldest) {
                buckets.pop_front();
            }
        }
    }

    /// The series by their keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.series.keys()
    }

    /// The series as filters see it.
    pub fn series<'a>(&'a self, key: &'a Key) -> Series<'a> {
        Series {
            project: &self.project,
            metric_type: &self.metric_type,
            metric_labels: &key.metric_labels,
            resource_type: &key.resource_type,
            resource_labels: &key.resource_labels,
        }
    }

    /// What the points of `(time - period, time]` make; nothing if there are none.
    pub fn value(&self, key: &Key, (time, period): (i64, i64), aligner: Aligner) -> Option<f64> {
        let buckets = self.series.get(key)?;
        let end = time.div_euclid(SECOND);
        let seconds = (period / SECOND).max(1);
        let inside = buckets
            .iter()
            .filter(|(second, _)| *second > end.saturating_sub(seconds) && *second <= end);
        let mut minutes: BTreeMap<i64, f64> = BTreeMap::new();
        for (second, count) in inside {
            #[expect(
                clippy::cast_precision_loss,
                reason = "2^53 entries are more than a disk holds"
            )]
            let count = *count as f64;
            *minutes.entry((end - second) / (MINUTE / SECOND)).or_default() += count;
        }
        if minutes.is_empty() {
            return None;
        }
        let points = minutes.values().copied();
        let sum: f64 = points.clone().sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a day has 1 440 minutes and 86 400 seconds"
        )]
        let (length, of_points) = (seconds as f64, minutes.len() as f64);
        Some(match aligner {
            Aligner::None | Aligner::Delta | Aligner::Sum => sum,
            Aligner::Rate => sum / length,
            Aligner::Min => points.fold(f64::INFINITY, f64::min),
            Aligner::Max => points.fold(f64::NEG_INFINITY, f64::max),
            Aligner::Mean => sum / of_points,
            Aligner::Count => of_points,
            // No condition has one of these: counts have no percentiles.
            Aligner::Percentile99 | Aligner::Percentile95 | Aligner::Percentile50 | Aligner::Percentile05 => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(seconds: &[i64]) -> (Counted, Key) {
        let (mut counted, key) = (Counted::new("p", "m"), Key::default());
        for second in seconds {
            assert!(counted.count(key.clone(), second * SECOND));
        }
        (counted, key)
    }

    #[test]
    fn points_are_aligned() {
        let (counted, key) = counted(&[1, 1, 30, 61, 100]);
        let period = |seconds: i64| seconds * SECOND;
        for (time, seconds, aligner, expected) in [
            (1, 60, Aligner::None, Some(2.0)),
            (60, 60, Aligner::Sum, Some(3.0)),
            // The window is open at its beginning.
            (61, 60, Aligner::Sum, Some(2.0)),
            (100, 120, Aligner::Delta, Some(5.0)),
            (100, 100, Aligner::Rate, Some(0.05)),
            (100, 120, Aligner::Max, Some(3.0)),
            (100, 120, Aligner::Min, Some(2.0)),
            (100, 120, Aligner::Mean, Some(2.5)),
            (100, 120, Aligner::Count, Some(2.0)),
            (0, 60, Aligner::Sum, None),
            (160, 60, Aligner::Sum, None),
        ] {
            let value = counted.value(&key, (time * SECOND, period(seconds)), aligner);
            assert_eq!(value, expected, "{aligner:?} over {seconds} s at {time}");
        }
    }

    #[test]
    fn old_points_are_forgotten_and_their_series_is_not() {
        let (mut counted, key) = counted(&[1, 50]);
        counted.forget(100 * SECOND, 60 * SECOND);
        assert_eq!(
            counted.value(&key, (100 * SECOND, 200 * SECOND), Aligner::Sum),
            Some(1.0)
        );
        counted.forget(900 * SECOND, 60 * SECOND);
        assert_eq!(
            counted.value(&key, (900 * SECOND, 900 * SECOND), Aligner::Sum),
            None
        );
        assert_eq!(counted.keys().count(), 1);
    }

    #[test]
    fn there_is_a_most_series() {
        let mut counted = Counted::new("p", "m");
        let key = |number: usize| Key {
            resource_type: number.to_string(),
            ..Key::default()
        };
        assert!((0..MAX_SERIES).all(|number| counted.count(key(number), 0)));
        assert!(!counted.count(key(MAX_SERIES), 0));
        assert!(counted.count(key(0), 0));
    }
}
