//! How long things took, counted so that it needs no more room the more there are.

use std::time::Duration;

/// Microseconds up to here have a place each.
const EXACT: u64 = 256;
/// Places in each doubling beyond: what is read back is at most 1/128 too much.
const PLACES: u64 = 128;
/// From 2^8 to 2^36 microseconds, nineteen hours.
const DOUBLINGS: u64 = 28;
/// 3,840 counts of 8 bytes: 30 KiB.
const COUNTS: usize = (EXACT + PLACES * DOUBLINGS) as usize;

/// Counts of durations.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; COUNTS],
            count: 0,
            sum: Duration::ZERO,
            max: Duration::ZERO,
        }
    }
}

/// Where a number of microseconds is counted.
fn place(micros: u64) -> usize {
    let doubling = u64::from(micros.max(EXACT - 1).ilog2()) - 7;
    // 128 to 255 once shifted, or the number itself.
    let place = doubling * PLACES + (micros >> doubling);
    usize::try_from(place).unwrap_or(usize::MAX).min(COUNTS - 1)
}

/// The most microseconds that are counted there.
fn most(place: usize) -> u64 {
    let place = place as u64;
    let doubling = (place / PLACES).saturating_sub(1);
    ((place - doubling * PLACES + 1) << doubling) - 1
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(place(micros)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += duration;
        self.max = self.max.max(duration);
    }

    /// Counts all that another one did.
    pub fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What they took on average.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let mean = self.sum.as_nanos() / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// What the longest took.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// What this share of them, from 0 to 1, did not exceed; too much by less than 1 %.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(most(place)).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_the_place_that_says_so() {
        let mut last = 0;
        for micros in
            (0..100_000).chain((17..37).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]))
        {
            let place = place(micros);
            assert!(place >= last, "{micros}");
            last = place;
            if micros < 1 << 36 {
                let most = most(place);
                assert!(most >= micros, "{micros} → {most}");
                assert!(most - micros <= micros / 128, "{micros} → {most}");
            }
        }
        assert_eq!(place(u64::MAX), COUNTS - 1);
        // No two neighbours have the same border.
        let borders: Vec<u64> = (0..COUNTS).map(most).collect();
        assert!(borders.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::default();
        let mut all = Vec::new();
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let micros = (state >> 40) % (1 << (1 + (state >> 33) % 24));
            all.push(micros);
            histogram.record(Duration::from_micros(micros));
        }
        all.sort_unstable();
        for (share, place) in [(0.0, 0), (0.5, 4_999), (0.9, 8_999), (0.99, 9_899), (1.0, 9_999)] {
            let (exact, found) = (all[place], histogram.percentile(share).as_micros() as u64);
            assert!(
                (exact..=exact + exact / 128).contains(&found),
                "{share}: {found} for {exact}"
            );
        }
        let mean = all.iter().sum::<u64>() / 10_000;
        assert_eq!(histogram.mean().as_micros() as u64, mean);
        assert_eq!(histogram.max(), Duration::from_micros(all[9_999]));
    }

    #[test]
    fn two_added_are_as_if_counted_together() {
        let (mut one, mut other, mut both) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for micros in 0..1_000 {
            let part = if micros % 3 == 0 { &mut one } else { &mut other };
            part.record(Duration::from_micros(micros * 7));
            both.record(Duration::from_micros(micros * 7));
        }
        one.add(&other);
        assert_eq!(one.counts, both.counts);
        assert_eq!((one.count, one.sum, one.max), (both.count, both.sum, both.max));
    }

    #[test]
    fn of_nothing_everything_is_zero() {
        let none = Histogram::default();
        assert_eq!(
            (none.percentile(0.5), none.mean(), none.max()),
            Default::default()
        );
    }
}
