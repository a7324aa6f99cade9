//! Many numbers in one value.

/// How many there were, their mean and spread, and how many of them lie in each bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// How many.
    pub count: i64,
    /// Their mean.
    pub mean: f64,
    /// The sum of the squares of their distances from it.
    pub squared_deviation: f64,
    /// The bounds of their buckets, ascending; empty without buckets.
    pub bounds: Vec<f64>,
    /// How many are in each bucket: one more than bounds.
    pub bucket_counts: Vec<i64>,
}

impl Distribution {
    /// No numbers yet, to be sorted by these bounds.
    pub fn empty(bounds: Vec<f64>) -> Distribution {
        let buckets = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
        Distribution {
            bounds,
            bucket_counts: vec![0; buckets],
            ..Distribution::default()
        }
    }

    /// Adds a number, which is finite. A bucket holds its lower bound and not its upper one.
    pub fn add(&mut self, number: f64) {
        self.count = self.count.saturating_add(1);
        // Welford's way: nothing large is ever taken from something large.
        let distance = number - self.mean;
        self.mean += distance / real(self.count);
        self.squared_deviation += distance * (number - self.mean);
        let bucket = self.bounds.partition_point(|bound| *bound <= number);
        if let Some(count) = self.bucket_counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds the numbers of another. Where their buckets differ none are left.
    pub fn merge(&mut self, other: &Distribution) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        let (own, theirs) = (real(self.count), real(other.count));
        let distance = other.mean - self.mean;
        self.mean += distance * theirs / (own + theirs);
        self.squared_deviation +=
            other.squared_deviation + distance * distance * own * theirs / (own + theirs);
        self.count = self.count.saturating_add(other.count);
        if self.bounds != other.bounds {
            self.bounds.clear();
            self.bucket_counts.clear();
        }
        for (count, more) in self.bucket_counts.iter_mut().zip(&other.bucket_counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// The number below which so many of a hundred lie, as far as buckets tell; nothing without buckets. Within a bucket
    /// numbers are taken to lie evenly; those of the two outer ones, on the bound.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let (lowest, highest) = (*self.bounds.first()?, *self.bounds.last()?);
        let wanted = real(self.count) * percent / 100.0;
        let (mut below, mut lower) = (0.0, lowest);
        for (index, count) in self.bucket_counts.iter().enumerate() {
            let inside = real(*count);
            let upper = self.bounds.get(index).copied().unwrap_or(highest);
            if inside > 0.0 && below + inside >= wanted {
                let part = ((wanted - below) / inside).clamp(0.0, 1.0);
                return Some(lower + (upper - lower) * part);
            }
            below += inside;
            lower = upper;
        }
        None
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 numbers are more than a disk holds entries"
)]
fn real(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Distribution {
        let mut distribution = Distribution::empty(vec![0.0, 10.0, 20.0]);
        numbers.iter().for_each(|number| distribution.add(*number));
        distribution
    }

    #[test]
    fn numbers_are_sorted_into_buckets() {
        let distribution = of(&[-1.0, 0.0, 9.9, 10.0, 20.0, 1e9]);
        assert_eq!(distribution.bucket_counts, [1, 2, 1, 2]);
        assert_eq!(distribution.count, 6);
        let distribution = of(&[2.0, 4.0, 6.0]);
        assert_eq!((distribution.mean, distribution.squared_deviation), (4.0, 8.0));
    }

    #[test]
    fn a_merge_is_as_if_all_had_been_added() {
        let (mut one, other) = (of(&[1.0, 2.0]), of(&[3.0, 4.0, 15.0]));
        one.merge(&other);
        let all = of(&[1.0, 2.0, 3.0, 4.0, 15.0]);
        assert_eq!((one.count, &one.bucket_counts), (5, &all.bucket_counts));
        assert!((one.mean - all.mean).abs() < 1e-9);
        assert!((one.squared_deviation - all.squared_deviation).abs() < 1e-9);
        one.merge(&Distribution::default());
        assert_eq!(one.count, 5);
        let mut none = Distribution::default();
        none.merge(&all);
        assert_eq!(none, all);
    }

    #[test]
    fn other_buckets_make_none() {
        let mut one = of(&[1.0]);
        let mut other = Distribution::empty(vec![5.0]);
        other.add(3.0);
        one.merge(&other);
        assert_eq!((one.count, one.mean), (2, 2.0));
        assert_eq!((one.bounds.len(), one.bucket_counts.len()), (0, 0));
        assert_eq!(one.percentile(50.0), None);
    }

    #[test]
    fn percentiles_lie_within_their_buckets() {
        let distribution = of(&[1.0, 2.0, 3.0, 4.0, 15.0, 15.0, 15.0, 15.0]);
        for (percent, expected) in [(0.0, 0.0), (25.0, 5.0), (50.0, 10.0), (75.0, 15.0), (100.0, 20.0)] {
            assert_eq!(distribution.percentile(percent), Some(expected), "{percent}");
        }
        assert_eq!(of(&[-5.0]).percentile(50.0), Some(0.0));
        assert_eq!(of(&[99.0]).percentile(50.0), Some(20.0));
        assert_eq!(of(&[]).percentile(50.0), None);
    }
}
