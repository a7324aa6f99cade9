//! What alerts have come to, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use binauthz_core::time::UnixTime;
use binauthz_wire::monitoring::channel::DESCRIPTORS;

use crate::metrics::Text;

/// What became of an attempt to deliver a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Delivered,
    Again,
    Dead,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Again => "again",
            Outcome::Dead => "dead",
        }
    }
}

/// What is counted. The kinds of channels are words of this program.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    began: AtomicU64,
    ended: AtomicU64,
    open: AtomicU64,
    waiting: AtomicU64,
    /// When the log was last watched to its end, in microseconds; 0 before.
    caught_up: AtomicI64,
    deliveries: Mutex<BTreeMap<(&'static str, Outcome), u64>>,
}

impl Counters {
    pub(super) fn began(&self) {
        self.began.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn open(&self, incidents: usize) {
        self.open
            .store(u64::try_from(incidents).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn waiting(&self, deliveries: usize) {
        self.waiting
            .store(u64::try_from(deliveries).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn caught_up(&self, now: UnixTime) {
        self.caught_up.store(now.as_micros(), Ordering::Relaxed);
    }

    pub(super) fn delivery(&self, kind: &'static str, outcome: Outcome) {
        let mut rows = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        *rows.entry((kind, outcome)).or_default() += 1;
    }

    /// Writes the rows.
    pub(crate) fn write(&self, text: &mut Text, now: UnixTime) {
        let open = self.open.load(Ordering::Relaxed);
        let name = "binauthz_alert_incidents";
        text.single(name, "gauge", "Incidents that go on", open);
        let name = "binauthz_alert_incidents_total";
        text.family(
            name,
            "counter",
            "Incidents that began and that ended since the start",
        );
        for (state, count) in [("open", &self.began), ("closed", &self.ended)] {
            text.row(name, &[("state", state)], count.load(Ordering::Relaxed));
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        let help = "Notices that were not taken yet";
        text.single("binauthz_alert_deliveries_waiting", "gauge", help, waiting);
        // Every row is there from the start: whoever watches a number grow must have seen it before.
        let kinds = DESCRIPTORS.iter().map(|descriptor| descriptor.kind);
        let outcomes = [Outcome::Delivered, Outcome::Again, Outcome::Dead];
        let mut rows: BTreeMap<(&'static str, Outcome), u64> = kinds
            .flat_map(|kind| outcomes.map(|outcome| ((kind, outcome), 0)))
            .collect();
        rows.extend(
            self.deliveries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter(),
        );
        let name = "binauthz_alert_deliveries_total";
        text.family(
            name,
            "counter",
            "Attempts to deliver a notice, by what became of them",
        );
        for ((kind, outcome), count) in rows {
            let labels = [("channel_type", kind), ("outcome", outcome.as_str())];
            text.row(name, &labels, count);
        }
        let caught_up = self.caught_up.load(Ordering::Relaxed);
        let name = "binauthz_alert_lag_seconds";
        let help = "How long ago the log was last watched to its end; absent before that happened";
        text.family(name, "gauge", help);
        if caught_up > 0 {
            let lag = now.as_micros().saturating_sub(caught_up).max(0);
            #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
            text.row(name, &[], lag as f64 / 1e6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_shown() {
        let counters = Counters::default();
        let shown = |now: i64| {
            let mut text = Text::default();
            counters.write(&mut text, UnixTime::from_seconds(now));
            text.finish()
        };
        assert!(!shown(10).contains("\nbinauthz_alert_lag_seconds "));
        assert!(shown(10).contains("{channel_type=\"slack\",outcome=\"dead\"} 0\n"));
        counters.began();
        counters.began();
        counters.ended();
        counters.open(1);
        counters.waiting(3);
        counters.caught_up(UnixTime::from_micros(8_500_000));
        counters.delivery("slack", Outcome::Again);
        counters.delivery("slack", Outcome::Again);
        counters.delivery("unknown", Outcome::Dead);
        let text = shown(10);
        for line in [
            "binauthz_alert_incidents 1\n",
            "binauthz_alert_incidents_total{state=\"open\"} 2\n",
            "binauthz_alert_incidents_total{state=\"closed\"} 1\n",
            "binauthz_alert_deliveries_waiting 3\n",
            "binauthz_alert_deliveries_total{channel_type=\"slack\",outcome=\"again\"} 2\n",
            "binauthz_alert_deliveries_total{channel_type=\"unknown\",outcome=\"dead\"} 1\n",
            "binauthz_alert_lag_seconds 1.5\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        // A clock that was set back is no lag.
        assert!(shown(5).contains("binauthz_alert_lag_seconds 0\n"));
    }
}
