//! Verdicts, counted by words from fixed sets: nothing a user writes becomes a label.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use binauthz_core::decision::{Decision, Effect, Reason};

const REASONS: usize = Reason::CODES.len();
/// Those of a decision, and `ADVICE`: an enforced denial that was given as a warning only.
const EFFECTS: [&str; 4] = ["ENFORCED", "DRY_RUN", "BREAK_GLASS", "ADVICE"];
/// Upper bounds of the latency histogram, in seconds; the last bucket has none.
pub(crate) const LATENCY_BOUNDS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// All counters of the data plane.
#[derive(Debug)]
pub(crate) struct Counters {
    verdicts: Vec<AtomicU64>,
    latency: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_micros: AtomicU64,
    warm: AtomicU64,
    cold: AtomicU64,
    unrecorded: AtomicU64,
    unrecorded_break_glass: AtomicU64,
    panics: AtomicU64,
    refused: AtomicU64,
}

/// How often one kind of verdict was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VerdictCount {
    pub(crate) reason: &'static str,
    pub(crate) effect: &'static str,
    pub(crate) admitted: bool,
    pub(crate) count: u64,
}

/// As what a verdict is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted(usize);

impl Counted {
    /// A verdict as `advice` or as what it says.
    pub(super) fn of(decision: &Decision, advice: bool) -> Self {
        let code = decision.reason_code();
        let reason = Reason::CODES
            .iter()
            .position(|known| *known == code)
            .unwrap_or(REASONS - 1);
        let (effect, admitted) = match decision.effect() {
            _ if advice && !decision.admitted() => (3, true),
            Effect::Enforced => (0, decision.admitted()),
            Effect::DryRun => (1, decision.admitted()),
            Effect::BrokenGlass { .. } => (2, decision.admitted()),
        };
        Self((reason * EFFECTS.len() + effect) * 2 + usize::from(admitted))
    }

    /// Its reason, its effect, and whether it let in.
    pub(super) fn words(self) -> (&'static str, &'static str, bool) {
        let (kind, admitted) = (self.0 / 2, self.0 % 2 == 1);
        (
            Reason::CODES[kind / EFFECTS.len()],
            EFFECTS[kind % EFFECTS.len()],
            admitted,
        )
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            verdicts: (0..REASONS * EFFECTS.len() * 2)
                .map(|_| AtomicU64::new(0))
                .collect(),
            latency: [const { AtomicU64::new(0) }; LATENCY_BOUNDS.len() + 1],
            latency_micros: AtomicU64::new(0),
            warm: AtomicU64::new(0),
            cold: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            unrecorded_break_glass: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a verdict.
    pub(super) fn verdict(&self, counted: Counted, latency: Duration) {
        if let Some(counter) = self.verdicts.get(counted.0) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = latency.as_secs_f64();
        let bucket = LATENCY_BOUNDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(LATENCY_BOUNDS.len());
        self.latency[bucket].fetch_add(1, Ordering::Relaxed);
        self.latency_micros.fetch_add(
            u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// The verdicts given at least once.
    pub(crate) fn verdicts(&self) -> Vec<VerdictCount> {
        let mut counts = Vec::new();
        for (cell, counter) in self.verdicts.iter().enumerate() {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                let (reason, effect, admitted) = Counted(cell).words();
                counts.push(VerdictCount {
                    reason,
                    effect,
                    admitted,
                    count,
                });
            }
        }
        counts
    }

    /// The histogram's buckets (not cumulated, one more than [`LATENCY_BOUNDS`]) and the sum in seconds.
    pub(crate) fn latency(&self) -> (Vec<u64>, f64) {
        let buckets = self
            .latency
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        (
            buckets,
            Duration::from_micros(self.latency_micros.load(Ordering::Relaxed)).as_secs_f64(),
        )
    }

    /// Everything that is a single number, with its name.
    pub(crate) fn singles(&self) -> [(&'static str, u64); 7] {
        [
            ("evidence_warm", &self.warm),
            ("evidence_cold", &self.cold),
            ("unrecorded", &self.unrecorded),
            ("unrecorded_break_glass", &self.unrecorded_break_glass),
            ("panics", &self.panics),
            ("refused_requests", &self.refused),
            ("verdicts", &self.latency_count()),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }

    fn latency_count(&self) -> AtomicU64 {
        AtomicU64::new(
            self.latency
                .iter()
                .map(|bucket| bucket.load(Ordering::Relaxed))
                .sum(),
        )
    }

    pub(super) fn evidence(&self, warm: bool) {
        let counter = if warm { &self.warm } else { &self.cold };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unrecorded(&self, break_glass: bool) {
        let counter = if break_glass {
            &self.unrecorded_break_glass
        } else {
            &self.unrecorded
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that never reached a verdict: bad path, method, size or JSON.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use binauthz_core::decide::refuse;
    use binauthz_core::workload::BreakGlass;

    use super::*;

    #[test]
    fn counts_by_reason_effect_and_outcome() {
        let counters = Counters::new();
        counters.verdict(
            Counted::of(&refuse(Reason::Deadline, None), false),
            Duration::from_millis(3),
        );
        counters.verdict(
            Counted::of(&refuse(Reason::Deadline, None), false),
            Duration::from_secs(60),
        );
        let expected = VerdictCount {
            reason: "DEADLINE",
            effect: "ENFORCED",
            admitted: false,
            count: 2,
        };
        assert_eq!(counters.verdicts(), [expected]);
        let (buckets, _) = counters.latency();
        assert_eq!((buckets[5], buckets[12]), (1, 1));
    }

    #[test]
    fn advice_is_no_denial_and_what_passes_anyway_is_no_advice() {
        let counters = Counters::new();
        let opened = BreakGlass::read(Some("true"), None);
        counters.verdict(Counted::of(&refuse(Reason::Deadline, None), true), Duration::ZERO);
        counters.verdict(
            Counted::of(&refuse(Reason::Deadline, opened.as_ref()), true),
            Duration::ZERO,
        );
        let counted: Vec<_> = counters
            .verdicts()
            .iter()
            .map(|row| (row.effect, row.admitted, row.count))
            .collect();
        assert_eq!(counted, [("BREAK_GLASS", true, 1), ("ADVICE", true, 1)]);
    }
}
