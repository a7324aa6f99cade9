//! What is known of the state behind answers that may have been lost: bounds that only move forward.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A change counts on every server within a second, and some time for a machine on which everything starts again and
/// again.
const SPREADS: Duration = Duration::from_millis(2_500);

/// When the database was away, and until when.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<(Instant, Option<Instant>)>);

impl Gaps {
    pub(super) fn begin(&mut self, now: Instant) {
        self.0.push((now, None));
    }

    pub(super) fn end(&mut self, now: Instant) {
        if let Some(last) = self.0.last_mut() {
            last.1 = Some(now);
        }
    }

    /// What was answered by then is known to every server at this time: since then the database was there for long
    /// enough without a break. None, if there is no such time.
    pub(super) fn settled(&self, mut at: Instant) -> Option<Instant> {
        for (away, back) in self.0.iter().rev() {
            if *away >= at {
                continue;
            }
            match back {
                Some(back) if *back + SPREADS <= at => break,
                _ => at = *away,
            }
        }
        at.checked_sub(SPREADS)
    }
}

/// A number that one writer raises: which values others may see.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// When each was sent, and when it was answered, if it was.
    written: BTreeMap<u64, (Instant, Option<Instant>)>,
}

impl Register {
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        self.written.insert(number, (now, None));
    }

    pub(super) fn answered(&mut self, number: u64, now: Instant) {
        if let Some(written) = self.written.get_mut(&number) {
            written.1 = Some(now);
        }
    }

    /// The least and the greatest number that may be seen by whoever knows what was answered at `known`, and is told at
    /// `told`.
    pub(super) fn bounds(&self, known: Option<Instant>, told: Instant) -> (u64, u64) {
        let is_known =
            |answered: &Option<Instant>| matches!((answered, known), (Some(at), Some(known)) if *at <= known);
        let least = self.written.iter().rev().find(|(_, (_, at))| is_known(at));
        let greatest = self.written.iter().rev().find(|(_, (sent, _))| *sent <= told);
        (
            least.map_or(0, |(number, _)| *number),
            greatest.map_or(0, |(number, _)| *number),
        )
    }

    pub(super) fn answered_and_sent(&self) -> (usize, usize) {
        let answered = self.written.values().filter(|(_, at)| at.is_some()).count();
        (answered, self.written.len())
    }
}

/// An image, and what is known of its attestation.
#[derive(Debug, Clone)]
pub(super) struct Attested {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) made: Instant,
    /// When its removal was sent, and when it was answered.
    pub(super) removal: Option<(Instant, Option<Instant>)>,
}

impl Attested {
    /// Whether a verdict that was asked for when `known` was known to all, and given at `told`, must or may admit it.
    pub(super) fn expected(&self, known: Option<Instant>, told: Instant) -> Expected {
        let is_known = |at: Instant| known.is_some_and(|known| at <= known);
        match self.removal {
            Some((_, Some(removed))) if is_known(removed) => Expected::Denied,
            Some((sent, _)) if sent <= told => Expected::Either,
            _ if is_known(self.made) => Expected::Admitted,
            _ => Expected::Either,
        }
    }
}

/// What a verdict may be. A denial for want of evidence is never wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Admitted,
    Denied,
    Either,
}

/// The states of a version of a key, in the one order in which it goes through them here.
pub(super) const STATES: [&str; 3] = ["ENABLED", "DISABLED", "DESTROY_SCHEDULED"];

/// How far a version has come: at least, as was answered or seen, and at most, as was sent.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) least: usize,
    pub(super) most: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_is_settled_had_the_database_for_long_enough() {
        let start = Instant::now() + Duration::from_secs(100);
        let spread = SPREADS.as_millis() as u64;
        let mut gaps = Gaps::default();
        assert_eq!(gaps.settled(at(start, 5_000)), Some(at(start, 5_000 - spread)));
        gaps.begin(at(start, 10_000));
        // It is away: what counts is what was settled before.
        assert_eq!(gaps.settled(at(start, 10_500)), Some(at(start, 10_000 - spread)));
        gaps.end(at(start, 11_000));
        assert_eq!(
            gaps.settled(at(start, 11_000 + spread - 1)),
            Some(at(start, 10_000 - spread))
        );
        assert_eq!(gaps.settled(at(start, 11_000 + spread)), Some(at(start, 11_000)));
        // Before the gap nothing is known of it.
        assert_eq!(gaps.settled(at(start, 9_000)), Some(at(start, 9_000 - spread)));
    }

    #[test]
    fn a_register_shows_what_was_answered_to_what_was_sent() {
        let start = Instant::now();
        let mut register = Register::default();
        assert_eq!(register.bounds(Some(start), start), (0, 0));
        register.sent(1, at(start, 10));
        register.answered(1, at(start, 20));
        register.sent(2, at(start, 30));
        for (known, told, expected) in [
            (None, 40, (0, 2)),
            (Some(19), 25, (0, 1)),
            (Some(20), 25, (1, 1)),
            (Some(40), 45, (1, 2)),
        ] {
            let known = known.map(|known| at(start, known));
            assert_eq!(register.bounds(known, at(start, told)), expected, "{known:?}");
        }
        assert_eq!(register.answered_and_sent(), (1, 2));
    }

    #[test]
    fn an_attestation_counts_once_it_is_settled_and_until_its_removal_is_sent() {
        let start = Instant::now();
        let mut image = Attested {
            number: 1,
            name: String::new(),
            made: at(start, 10),
            removal: None,
        };
        let expected =
            |image: &Attested, known: u64, told: u64| image.expected(Some(at(start, known)), at(start, told));
        assert_eq!(expected(&image, 9, 50), Expected::Either);
        assert_eq!(expected(&image, 10, 50), Expected::Admitted);
        image.removal = Some((at(start, 60), None));
        assert_eq!(expected(&image, 10, 59), Expected::Admitted);
        assert_eq!(expected(&image, 50, 60), Expected::Either);
        image.removal = Some((at(start, 60), Some(at(start, 70))));
        assert_eq!(expected(&image, 69, 80), Expected::Either);
        assert_eq!(expected(&image, 70, 80), Expected::Denied);
    }
}
