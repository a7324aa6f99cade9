//! When a notice is sent again, and when never more.

use std::time::Duration;

use binauthz_core::time::UnixTime;

use super::channel::SendError;
use super::clock::micros;

/// The wait after the first failure; each further one waits twice as long.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait: a receiver that comes back is told within five minutes.
pub const MOST_WAIT: Duration = Duration::from_secs(300);
/// After so long nobody is helped by being told: a day.
pub const PATIENCE: Duration = Duration::from_secs(86_400);

/// One notice to one channel, until it was taken or given up. Whoever keeps it writes each step down before the next
/// attempt: a process that dies between an attempt and its step makes one attempt more, and no notice is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id: the same for every attempt, so that a receiver knows a notice it has had.
    pub id: String,
    /// The name of the channel.
    pub channel: String,
    /// When it was first to be sent.
    pub begun: UnixTime,
    /// The attempts that failed.
    pub failures: u32,
    /// When the next attempt is due.
    pub due: UnixTime,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It was taken.
    Done,
    /// It is sent again when it is due.
    Again(Delivery),
    /// It is given up: a dead letter.
    Dead(String),
}

impl Delivery {
    /// A delivery that is due at once.
    pub fn new(id: String, channel: String, now: UnixTime) -> Delivery {
        Delivery {
            id,
            channel,
            begun: now,
            failures: 0,
            due: now,
        }
    }

    /// Whether an attempt is due.
    pub fn is_due(&self, now: UnixTime) -> bool {
        // Never further off than the longest wait, should the clock have been set back.
        now >= self.due || self.due.as_micros().saturating_sub(now.as_micros()) > micros(MOST_WAIT)
    }

    /// What follows from an attempt that ended at `now`.
    pub fn after(mut self, outcome: Result<(), SendError>, now: UnixTime) -> Step {
        let why = match outcome {
            Ok(()) => return Step::Done,
            Err(SendError::Never(why)) => return Step::Dead(why),
            Err(SendError::Later(why)) => why,
        };
        let doublings = self.failures.min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(MOST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.due = UnixTime::from_micros(now.as_micros().saturating_add(micros(wait)));
        let age = self.due.as_micros().saturating_sub(self.begun.as_micros());
        if age > micros(PATIENCE) {
            let hours = PATIENCE.as_secs() / 3_600;
            return Step::Dead(format!(
                "given up after {hours} h and {} attempts: {why}",
                self.failures
            ));
        }
        Step::Again(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn later() -> Result<(), SendError> {
        Err(SendError::Later("there was no answer".into()))
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_end_after_a_day() {
        let mut delivery = Delivery::new("d".into(), "c".into(), at(0));
        let (mut waits, mut now) = (Vec::new(), 0);
        let reason = loop {
            assert!(delivery.is_due(at(now)));
            match delivery.after(later(), at(now)) {
                Step::Again(next) => delivery = next,
                Step::Dead(reason) => break reason,
                Step::Done => panic!("it was not taken"),
            }
            assert!(!delivery.is_due(at(delivery.due.as_seconds() - 1)));
            waits.push(delivery.due.as_seconds() - now);
            now = delivery.due.as_seconds();
        };
        assert_eq!(waits[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(waits[11..].iter().all(|wait| *wait == 300));
        assert!((86_100..=86_400).contains(&now), "{now}");
        assert_eq!(
            reason,
            format!(
                "given up after 24 h and {} attempts: there was no answer",
                waits.len() + 1
            )
        );
    }

    #[test]
    fn what_was_taken_or_never_will_be_is_not_sent_again() {
        let delivery = Delivery::new("d".into(), "c".into(), at(0));
        assert_eq!(delivery.clone().after(Ok(()), at(1)), Step::Done);
        let never = Err(SendError::Never("the answer was 404".into()));
        assert_eq!(
            delivery.clone().after(never, at(1)),
            Step::Dead("the answer was 404".into())
        );
        let Step::Again(again) = delivery.after(later(), at(1)) else {
            panic!("it may go better later");
        };
        assert_eq!((again.id.as_str(), again.failures, again.due), ("d", 1, at(2)));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let mut delivery = Delivery::new("d".into(), "c".into(), at(90_000));
        assert!(delivery.is_due(at(90_000)));
        delivery.due = at(90_300);
        assert!(!delivery.is_due(at(90_000)));
        assert!(delivery.is_due(at(10)));
    }
}
