//! Traces in OpenTelemetry's form, for whoever runs a collector; off unless a collector is named.
//!
//! A request leaves what it knows in a bounded queue and goes on; identifiers, JSON and HTTP are the exporter's. What does
//! not fit in is dropped and counted. No span holds what a Pod contains, nor any token: the attributes are an explicit list.

mod context;
mod export;
mod otlp;
mod phases;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use binauthz_core::time::UnixTime;
use tokio::sync::mpsc::{self, Receiver, Sender};

pub(crate) use context::Parent;
pub(crate) use export::export;
pub(crate) use phases::{Phase, Phases};

/// Requests that wait for the exporter. One has about 1 KB; a collector that is away for a moment costs 2 MB.
const QUEUE: usize = 2_048;

/// Where requests leave what is to be told of them.
pub(crate) struct Tracer {
    endpoint: String,
    queue: Sender<Finished>,
    /// The exporter's end, until it starts.
    waiting: Mutex<Option<Receiver<Finished>>>,
    exported: AtomicU64,
    dropped: AtomicU64,
}

/// A request that has been answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finished {
    /// What was done: `admission`, `binaryauthorization.UpdatePolicy`.
    pub(crate) name: String,
    /// Whose call it was part of.
    pub(crate) parent: Option<Parent>,
    pub(crate) ended: UnixTime,
    pub(crate) took: Duration,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    /// Its parts, and when each began and ended after the beginning of the whole.
    pub(crate) parts: Vec<(&'static str, Duration, Duration)>,
    /// It went wrong on our side.
    pub(crate) failed: bool,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Text(String),
    Number(u64),
}

impl Tracer {
    /// A tracer whose exporter posts to `endpoint`; see [`export`].
    pub(crate) fn new(endpoint: &str) -> Tracer {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Tracer {
            endpoint: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
            queue,
            waiting: Mutex::new(Some(waiting)),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a request over; never waits. Where the caller has decided that its trace is not kept, neither is this part.
    pub(crate) fn tell(&self, finished: Finished) {
        if finished.parent.is_some_and(|parent| !parent.is_sampled()) {
            return;
        }
        if self.queue.try_send(finished).is_err() {
            self.dropped(1);
        }
    }

    fn take_queue(&self) -> Option<Receiver<Finished>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn dropped(&self, count: usize) {
        self.dropped
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn exported(&self, count: usize) {
        self.exported
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many requests were exported, and how many were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.exported.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn finished(parent: Option<Parent>) -> Finished {
        Finished {
            name: "admission".to_owned(),
            parent,
            ended: UnixTime::from_micros(2_000_000),
            took: Duration::from_millis(500),
            attributes: vec![
                ("binauthz.verdict", Attribute::Text("deny".to_owned())),
                ("binauthz.images", Attribute::Number(2)),
            ],
            parts: vec![("read", Duration::ZERO, Duration::from_millis(100))],
            failed: false,
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_waits() {
        let tracer = Tracer::new("http://127.0.0.1:1/");
        assert_eq!(tracer.endpoint, "http://127.0.0.1:1/v1/traces");
        for _ in 0..QUEUE + 3 {
            tracer.tell(finished(None));
        }
        assert_eq!(tracer.counts(), (0, 3));
        let unwanted = Parent::read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        tracer.tell(finished(unwanted));
        assert_eq!(
            tracer.counts(),
            (0, 3),
            "it was not to be kept, so it is not missed"
        );
        assert!(tracer.take_queue().is_some() && tracer.take_queue().is_none());
    }
}
