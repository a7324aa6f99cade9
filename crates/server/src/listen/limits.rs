//! What one listener allows, and the watch kept over each connection.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of one listener. Worst case memory: `connections` × (two 64 KiB TLS buffers + a 32 KiB head) ≈ 160 MB,
/// bodies not counted: their readers have a cap of their own, and those of the webhook one for all of them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; the next one waits in the kernel's queue.
    pub connections: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of an HTTP/1.1 request to the end of its head.
    pub header: Duration,
    /// Without any request, and without progress while one is answered.
    pub idle: Duration,
    /// From the start of a shutdown until open connections are cut. An admission may take 24 s (of the 30 s that the API
    /// server waits at most); Kubernetes kills a Pod 30 s after it asked it to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(26),
        }
    }
}

impl Limits {
    /// How often a connection's watch looks. One timer per connection, none per request.
    pub(super) fn tick(&self) -> Duration {
        (self.header.min(self.idle) / 4).max(Duration::from_millis(10))
    }
}

/// What has moved on a connection; written by its IO and its service, read by its [`Watch`].
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in_at_last_answer: AtomicU64,
    answers: AtomicU64,
    in_flight: AtomicU32,
    http2: AtomicBool,
}

impl Activity {
    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The connection began as HTTP/2 does: from now on its bytes need not belong to any request.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn request_started(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.bytes_in_at_last_answer
            .store(self.bytes_in.load(Ordering::Relaxed), Ordering::Relaxed);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What to do with a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Finish politely (GOAWAY, `connection: close`).
    Finish,
    Cut,
}

/// Judges one connection at every tick by comparing what moved since the last one. It holds no clock.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Moved,
    still: Duration,
    head_pending: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moved {
    bytes_in: u64,
    bytes_out: u64,
    answers: u64,
}

impl Watch {
    /// `elapsed` is the time since the last look. In HTTP/2 a head cannot be told from pings and settings, so only
    /// idleness counts there.
    pub(super) fn look(&mut self, activity: &Activity, limits: &Limits, elapsed: Duration) -> Verdict {
        let now = Moved {
            bytes_in: activity.bytes_in.load(Ordering::Relaxed),
            bytes_out: activity.bytes_out.load(Ordering::Relaxed),
            answers: activity.answers.load(Ordering::Relaxed),
        };
        let in_flight = activity.in_flight.load(Ordering::Relaxed) > 0;
        let pending = now.bytes_in > activity.bytes_in_at_last_answer.load(Ordering::Relaxed);
        self.still = if now == self.last {
            self.still + elapsed
        } else {
            Duration::ZERO
        };
        self.head_pending = if pending && !in_flight && now.answers == self.last.answers {
            self.head_pending + elapsed
        } else {
            Duration::ZERO
        };
        self.last = now;
        let heads = !activity.http2.load(Ordering::Relaxed);
        if heads && self.head_pending >= limits.header {
            return Verdict::Cut;
        }
        match self.still {
            still if still >= limits.idle * 2 => Verdict::Cut,
            still if still >= limits.idle => Verdict::Finish,
            _ => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn looks(activity: &Activity, count: u32, each: impl Fn(&Activity)) -> Vec<Verdict> {
        let (mut watch, limits) = (Watch::default(), Limits::default());
        (0..count)
            .map(|_| {
                each(activity);
                watch.look(activity, &limits, SECOND)
            })
            .collect()
    }

    #[test]
    fn an_idle_connection_is_finished_then_cut() {
        let verdicts = looks(&Activity::default(), 130, |_| {});
        assert_eq!(verdicts[58], Verdict::Keep);
        assert_eq!(verdicts[60], Verdict::Finish);
        assert_eq!(verdicts[125], Verdict::Cut);
    }

    #[test]
    fn a_head_sent_byte_by_byte_is_cut_after_its_deadline() {
        let verdicts = looks(&Activity::default(), 8, |activity| activity.received(1));
        assert_eq!(verdicts[3], Verdict::Keep);
        assert_eq!(verdicts[6], Verdict::Cut);
    }

    #[test]
    fn whoever_asks_for_the_longest_time_is_answered_before_the_drain_is_over() {
        // `Deadlines` leaves a fifth of the 30 s that Kubernetes allows for the way back.
        assert!(Limits::default().drain > SECOND * 24);
    }

    #[test]
    fn busy_connections_are_kept() {
        let exchange = |activity: &Activity| {
            activity.request_started();
            activity.received(100);
            activity.sent(100);
            activity.request_ended();
        };
        assert!(
            looks(&Activity::default(), 300, exchange)
                .iter()
                .all(|v| *v == Verdict::Keep)
        );
        let pings = |activity: &Activity| activity.received(17);
        let http2 = Activity::default();
        http2.speaks_http2();
        assert!(looks(&http2, 300, pings).iter().all(|v| *v == Verdict::Keep));
    }
}
