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

/// The parts of an admission: until the request is understood, until there is a verdict, until that is on disk. Their
/// borders are where the clock is looked at in any case.
pub(crate) const PHASES: [&str; 3] = ["read", "judge", "record"];

/// Durations, sorted by [`LATENCY_BOUNDS`].
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = LATENCY_BOUNDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(LATENCY_BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The buckets (not cumulated, one more than [`LATENCY_BOUNDS`]) and the sum in seconds.
    fn read(&self) -> (Vec<u64>, f64) {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        (buckets.collect(), sum.as_secs_f64())
    }
}

/// All counters of the data plane.
#[derive(Debug)]
pub(crate) struct Counters {
    verdicts: Vec<AtomicU64>,
    latency: Histogram,
    phases: [Histogram; PHASES.len()],
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
            latency: Histogram::default(),
            phases: Default::default(),
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
        self.latency.add(latency);
    }

    /// Counts how long the phases of an admission took.
    pub(super) fn phases(&self, durations: [Duration; PHASES.len()]) {
        for (histogram, duration) in self.phases.iter().zip(durations) {
            histogram.add(duration);
        }
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

    /// How often each effect let something through or refused it, also where that was never: whoever watches a number
    /// grow must have seen it before.
    pub(crate) fn outcomes(&self) -> Vec<(&'static str, bool, u64)> {
        let mut outcomes = Vec::with_capacity(EFFECTS.len() * 2);
        for (effect, name) in EFFECTS.into_iter().enumerate() {
            for admitted in [false, true] {
                let cells =
                    self.verdicts.iter().enumerate().filter(|(cell, _)| {
                        cell / 2 % EFFECTS.len() == effect && (cell % 2 == 1) == admitted
                    });
                let count = cells.map(|(_, counter)| counter.load(Ordering::Relaxed)).sum();
                outcomes.push((name, admitted, count));
            }
        }
        outcomes
    }

    /// The histogram's buckets (not cumulated, one more than [`LATENCY_BOUNDS`]) and the sum in seconds.
    pub(crate) fn latency(&self) -> (Vec<u64>, f64) {
        self.latency.read()
    }

    /// The same of each phase.
    pub(crate) fn phase_latencies(&self) -> [(&'static str, (Vec<u64>, f64)); PHASES.len()] {
        std::array::from_fn(|index| (PHASES[index], self.phases[index].read()))
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
        AtomicU64::new(self.latency.read().0.iter().sum())
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
        let outcomes = counters.outcomes();
        assert_eq!((outcomes[0], outcomes.len()), (("ENFORCED", false, 2), 8));
        assert!(outcomes[1..].iter().all(|(_, _, count)| *count == 0));
        let (buckets, _) = counters.latency();
        assert_eq!((buckets[5], buckets[12]), (1, 1));
        counters.phases([1, 2, 20].map(Duration::from_millis));
        let [read, _, record] = counters.phase_latencies();
        assert_eq!((read.0, read.1.0[3], read.1.1), ("read", 1, 0.001));
        assert_eq!((record.0, record.1.0[7], record.1.1), ("record", 1, 0.02));
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
