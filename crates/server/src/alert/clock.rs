//! The time that windows move by: the wall clock's, without its jumps.

use std::time::Duration;

use binauthz_core::time::UnixTime;

/// What a reading may lie beyond the one before. The engine is asked every second; more than this is a clock that was
/// set, or a machine that slept.
const JUMP: i64 = 60_000_000;
/// What an entry may lie in the future: two machines' clocks differ by less.
const AHEAD: i64 = 5_000_000;

/// Never goes back, and does not follow a jump: neither does a window empty itself because the clock was set forward,
/// nor do an hour's entries fall into one second because it was set back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Microseconds to add to the wall clock.
    offset: i64,
    last_reading: Option<i64>,
    time: Option<i64>,
}

impl Clock {
    /// Takes a reading of the wall clock; the engine's time now.
    pub(super) fn tick(&mut self, now: UnixTime) -> i64 {
        let target = self.read(now);
        let time = self.time.map_or(target, |time| time.max(target));
        self.time = Some(time);
        time
    }

    /// Takes the time of an entry that is seen at `now`; the engine's time now.
    pub(super) fn entry(&mut self, at: UnixTime, now: UnixTime) -> i64 {
        let latest = self.read(now).saturating_add(AHEAD);
        let at = at.as_micros().saturating_add(self.offset).min(latest);
        let time = self.time.map_or(at, |time| time.max(at));
        self.time = Some(time);
        time
    }

    fn read(&mut self, now: UnixTime) -> i64 {
        let now = now.as_micros();
        let step = self.last_reading.map_or(0, |last| now.saturating_sub(last));
        if !(0..=JUMP).contains(&step) {
            self.offset = self.offset.saturating_sub(step);
        }
        self.last_reading = Some(now);
        now.saturating_add(self.offset)
    }
}

/// A period in microseconds.
pub(super) fn micros(period: Duration) -> i64 {
    i64::try_from(period.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[test]
    fn time_goes_on_over_jumps() {
        // Readings of the wall clock, and the time after each.
        for (readings, expected) in [
            (vec![100, 101, 102], vec![100, 101, 102]),
            (vec![100, 90, 91, 92], vec![100, 100, 101, 102]),
            (vec![100, 10_000, 10_001], vec![100, 100, 101]),
            (vec![100, 10_000, 100, 101], vec![100, 100, 100, 101]),
            (vec![100, 150, 200], vec![100, 150, 200]),
        ] {
            let mut clock = Clock::default();
            let times: Vec<i64> = readings
                .iter()
                .map(|now| clock.tick(at(*now)) / 1_000_000)
                .collect();
            assert_eq!(times, expected, "{readings:?}");
        }
    }

    #[test]
    fn an_entry_moves_time_by_at_most_a_little() {
        let mut clock = Clock::default();
        clock.tick(at(100));
        for (entry, now, expected) in [
            (101, 101, 101),
            (50, 101, 101),
            (104, 102, 104),
            (900, 102, 107),
            (107, 108, 107),
        ] {
            assert_eq!(
                clock.entry(at(entry), at(now)) / 1_000_000,
                expected,
                "{entry} at {now}"
            );
        }
    }

    #[test]
    fn entries_of_the_past_keep_their_times_at_the_start() {
        let mut clock = Clock::default();
        assert_eq!(clock.entry(at(10), at(5_000)) / 1_000_000, 10);
        assert_eq!(clock.entry(at(70), at(5_000)) / 1_000_000, 70);
        assert_eq!(clock.tick(at(5_001)) / 1_000_000, 5_001);
    }
}
