//! How much time an admission has: what the API server grants, less a margin for the way back.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use crate::trace::Phases;

/// Kubernetes' own default for `timeoutSeconds`, used where the request does not say.
const DEFAULT: Duration = Duration::from_secs(10);
/// Kubernetes allows no more.
const LONGEST: Duration = Duration::from_secs(30);
/// A request that grants less could only ever be answered with a denial.
const SHORTEST: Duration = Duration::from_millis(100);

/// When the parts of one admission must be over; and when they were, if somebody wants to know.
#[derive(Debug)]
pub(super) struct Deadlines {
    start: Instant,
    budget: Duration,
    phases: Phases,
}

impl Deadlines {
    /// From the `timeout` parameter of the query. The answer leaves 20 % (at least 0.5 s, at most half) before the
    /// API server stops waiting: an answer that arrives late counts as none.
    pub(super) fn new(query: Option<&str>, start: Instant) -> Self {
        let granted = query
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")))
            .and_then(duration)
            .unwrap_or(DEFAULT)
            .clamp(SHORTEST, LONGEST);
        let margin = (granted / 5).max(Duration::from_millis(500)).min(granted / 2);
        Self {
            start,
            budget: granted - margin,
            phases: Phases::default(),
        }
    }

    /// With a stopwatch.
    pub(super) fn watched(mut self, phases: Phases) -> Self {
        self.phases = phases;
        self
    }

    /// The stopwatch.
    pub(super) fn phases(&self) -> &Phases {
        &self.phases
    }

    /// The request must have been read whole.
    pub(super) fn read(&self) -> Instant {
        self.start + self.budget / 2
    }

    /// Evidence must have been gathered. Under break-glass nobody shall wait for a verdict that changes nothing.
    pub(super) fn gather(&self, break_glass: bool) -> Instant {
        self.start
            + if break_glass {
                self.budget / 2
            } else {
                self.budget * 3 / 4
            }
    }

    /// There must be a decision, so that time is left to record it.
    pub(super) fn judged(&self) -> Instant {
        self.start + self.budget * 9 / 10
    }

    /// The answer must be on its way.
    pub(super) fn answer(&self) -> Instant {
        self.start + self.budget
    }

    /// When the request came in.
    pub(super) fn start(&self) -> Instant {
        self.start
    }
}

/// What comes of it until then. It has one turn before there is a timer: most of what an admission waits for is there.
pub(super) async fn by<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let first = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout_at(deadline, future).await,
    }
}

/// A Go duration such as `10s`, `1m30s`, `9.987654321s`, `300ms`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3_600.0),
    ];
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        let table = [
            ("10s", Some(10_000)),
            ("1m0s", Some(60_000)),
            ("9.5s", Some(9_500)),
            ("300ms", Some(300)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("10x", None),
            ("1e9s", None),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_there_needs_no_timer_and_what_never_comes_ends_in_time() {
        let now = Instant::now();
        assert_eq!(by(now, std::future::ready(1)).await.unwrap(), 1);
        by(now + Duration::from_secs(60), tokio::task::yield_now())
            .await
            .unwrap();
        let soon = now + Duration::from_millis(20);
        by(soon, std::future::pending::<()>()).await.unwrap_err();
        assert!(Instant::now() >= soon);
    }

    #[tokio::test]
    async fn the_answer_leaves_before_the_api_server_stops_waiting() {
        let start = Instant::now();
        let table = [
            (Some("timeout=10s"), 8_000),
            (Some("a=b&timeout=2s"), 1_500),
            (Some("timeout=1s"), 500),
            (Some("timeout=300ms"), 150),
            (Some("timeout=0s"), 50),
            (Some("timeout=24h"), 24_000),
            (Some("timeout=nonsense"), 8_000),
            (None, 8_000),
        ];
        for (query, millis) in table {
            let deadlines = Deadlines::new(query, start);
            assert_eq!(
                deadlines.answer() - start,
                Duration::from_millis(millis),
                "{query:?}"
            );
            assert!(
                deadlines.gather(true) < deadlines.gather(false)
                    && deadlines.gather(false) < deadlines.answer()
            );
        }
    }
}
