//! What is kept of a series and of a minute, and its form in the store.

use std::collections::BTreeMap;

use binauthz_wire::json::{Object, Value as Json};
use binauthz_wire::logging::metric::{Buckets, take_buckets, write_buckets};
use binauthz_wire::monitoring::distribution::Distribution;
use binauthz_wire::monitoring::time_series::PointValue;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What tells a series from others of its metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeriesKey {
    /// The metric's labels.
    pub(super) metric: Vec<(String, String)>,
    /// What it is about.
    pub(super) resource: String,
    /// That thing's labels.
    pub(super) labels: Vec<(String, String)>,
    /// How its numbers are sorted; a metric that sorts otherwise from now on goes on in another series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    buckets: Option<serde_json::Value>,
}

impl SeriesKey {
    pub(super) fn new(
        metric: Vec<(String, String)>,
        resource: String,
        labels: Vec<(String, String)>,
        buckets: Option<&Buckets>,
    ) -> SeriesKey {
        SeriesKey {
            metric,
            resource,
            labels,
            buckets: buckets.map(write_buckets),
        }
    }

    pub(super) fn to_text(&self) -> String {
        json!(self).to_string()
    }

    pub(super) fn from_text(text: &str) -> Option<SeriesKey> {
        serde_json::from_str(text).ok()
    }

    /// The bounds that its numbers are sorted by.
    pub(super) fn bounds(&self) -> Vec<f64> {
        let Some(buckets) = &self.buckets else {
            return Vec::new();
        };
        let object = Json::from(json!({ "bucketOptions": buckets }));
        let taken = Object::new(object, "").and_then(|mut object| take_buckets(&mut object));
        taken
            .ok()
            .flatten()
            .map_or_else(Vec::new, |buckets| buckets.bounds())
    }
}

/// What was counted of a series in a minute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Counted {
    /// So many entries.
    Entries(i64),
    /// The numbers taken out of them.
    Numbers(Numbers),
}

/// A distribution without its bounds, and only with the buckets that hold something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    count: i64,
    mean: f64,
    deviation: f64,
    buckets: BTreeMap<usize, i64>,
}

impl From<&Distribution> for Numbers {
    fn from(distribution: &Distribution) -> Numbers {
        let counts = distribution.bucket_counts.iter().copied().enumerate();
        Numbers {
            count: distribution.count,
            mean: distribution.mean,
            deviation: distribution.squared_deviation,
            buckets: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

impl Numbers {
    fn moments(&self) -> Distribution {
        Distribution {
            count: self.count,
            mean: self.mean,
            squared_deviation: self.deviation,
            ..Distribution::default()
        }
    }

    fn merge(&mut self, other: &Numbers) {
        let mut moments = self.moments();
        moments.merge(&other.moments());
        self.count = moments.count;
        self.mean = moments.mean;
        self.deviation = moments.squared_deviation;
        for (bucket, count) in &other.buckets {
            let own = self.buckets.entry(*bucket).or_default();
            *own = own.saturating_add(*count);
        }
    }
}

impl Counted {
    /// Adds what else was counted. A metric counts either entries or numbers, for as long as it is there.
    pub(super) fn merge(&mut self, other: &Counted) {
        match (self, other) {
            (Counted::Entries(count), Counted::Entries(more)) => *count = count.saturating_add(*more),
            (Counted::Numbers(numbers), Counted::Numbers(more)) => numbers.merge(more),
            _ => {}
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Counted::Entries(count) => count.to_string(),
            Counted::Numbers(numbers) => json!(numbers).to_string(),
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Counted> {
        if let Ok(count) = text.parse() {
            return Some(Counted::Entries(count));
        }
        serde_json::from_str(text).ok().map(Counted::Numbers)
    }

    /// The value of a point, with the bounds of its series.
    pub(super) fn into_value(self, bounds: &[f64]) -> PointValue {
        match self {
            Counted::Entries(count) => PointValue::Int64(count),
            Counted::Numbers(numbers) => {
                let mut distribution = Distribution {
                    bounds: bounds.to_vec(),
                    ..numbers.moments()
                };
                let buckets = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
                distribution.bucket_counts = (0..buckets)
                    .map(|bucket| numbers.buckets.get(&bucket).copied().unwrap_or_default())
                    .collect();
                PointValue::Distribution(distribution)
            }
        }
    }
}

/// One stored value of two. What cannot be read is lost, and not what is added to it.
pub(super) fn merge(known: &str, added: &str) -> String {
    match (Counted::from_text(known), Counted::from_text(added)) {
        (Some(mut known), Some(added)) => {
            known.merge(&added);
            known.to_text()
        }
        (None, Some(added)) => added.to_text(),
        (_, None) => known.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[f64]) -> Counted {
        let mut distribution = Distribution::empty(vec![0.0, 10.0]);
        numbers.iter().for_each(|number| distribution.add(*number));
        Counted::Numbers(Numbers::from(&distribution))
    }

    #[test]
    fn values_are_merged_in_their_stored_form() {
        assert_eq!(merge("2", "3"), "5");
        assert_eq!(merge("nonsense", "3"), "3");
        assert_eq!(merge("2", "nonsense"), "2");
        let both = merge(&numbers(&[1.0, 3.0]).to_text(), &numbers(&[20.0]).to_text());
        let value = Counted::from_text(&both).unwrap().into_value(&[0.0, 10.0]);
        let PointValue::Distribution(found) = value else {
            panic!("{value:?}")
        };
        assert_eq!((found.count, found.mean), (3, 8.0));
        assert_eq!(found.bucket_counts, [0, 2, 1]);
        assert_eq!(
            Counted::from_text("17").unwrap().into_value(&[]),
            PointValue::Int64(17)
        );
    }

    #[test]
    fn a_series_is_read_as_it_was_written() {
        let buckets = Buckets::Linear {
            count: 2,
            width: 5.0,
            offset: 1.0,
        };
        let labels = vec![("a\"".to_owned(), "ü".to_owned())];
        let key = SeriesKey::new(labels.clone(), "r".to_owned(), labels, Some(&buckets));
        let read = SeriesKey::from_text(&key.to_text()).unwrap();
        assert_eq!((&read, read.bounds()), (&key, vec![1.0, 6.0, 11.0]));
        let plain = SeriesKey::new(vec![], "r".to_owned(), vec![], None);
        assert!(plain.bounds().is_empty() && !plain.to_text().contains("buckets"));
        assert_eq!(SeriesKey::from_text("{}"), None);
    }
}
