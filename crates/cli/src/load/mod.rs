//! A load driver: asks so many at once, at a steady rate or as fast as answers come, and counts how long answers took and what
//! went wrong. What is asked is the caller's. The measurements of `benches` drive with it, too.

mod histogram;
mod plot;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use histogram::Histogram;
pub use plot::svg;
use tokio::{task::JoinSet, time::sleep_until};

/// Kinds of faults that are told apart; the rest is one kind. Each has one sentence as an example.
const KINDS_MAX: usize = 16;
const OTHER: &str = "other";

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests that wait for an answer at the same time.
    pub at_once: usize,
    /// When it is enough.
    pub until: Until,
    /// Requests begun in a second; without it each begins when an answer has come.
    pub per_second: Option<f64>,
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So many were asked.
    Requests(u64),
    /// So long was asked; what has begun is waited for.
    Elapsed(Duration),
}

/// Why an answer was not what it should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is counted as.
    pub kind: String,
    /// What happened, with the names and the numbers of this one.
    pub sentence: String,
}

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// How long the good answers took.
    pub waits: Histogram,
    /// What went wrong: by kind how often, and the sentence of the first.
    pub faults: BTreeMap<String, (u64, String)>,
    /// How long all of it took.
    pub took: Duration,
}

impl Came {
    /// Good answers in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.waits.count() as f64 / self.took.as_secs_f64()
    }

    /// How many answers were not good.
    #[must_use]
    pub fn faulty(&self) -> u64 {
        self.faults.values().map(|(count, _)| count).sum()
    }

    /// Adds what another part of the same measurement came to.
    pub fn add(&mut self, other: &Came) {
        self.waits.add(&other.waits);
        self.took += other.took;
        for (kind, (count, sentence)) in &other.faults {
            self.fault(kind, *count, sentence);
        }
    }

    fn fault(&mut self, kind: &str, count: u64, sentence: &str) {
        let is_room = self.faults.len() < KINDS_MAX || self.faults.contains_key(kind);
        let kind = if is_room { kind } else { OTHER };
        let entry = self.faults.entry(kind.to_owned());
        entry.or_insert_with(|| (0, sentence.to_owned())).0 += count;
    }
}

/// Asks, with the number of each request, until it is enough.
///
/// With a rate, an answer's time counts from when the request was due, not from when there was room for it: otherwise a server
/// that stops for a second would be asked less in that second and seem quick.
pub async fn drive<F>(load: Load, ask: impl Fn(u64) -> F + Clone + Send + 'static) -> Came
where
    F: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let run = Arc::new(Run {
        load,
        began: Instant::now(),
        next: AtomicU64::new(0),
        came: Mutex::default(),
    });
    let mut workers = JoinSet::new();
    for _ in 0..load.at_once {
        let (run, ask) = (Arc::clone(&run), ask.clone());
        workers.spawn(async move {
            while let Some((number, due)) = run.due() {
                // Timers are late by up to a millisecond, which is nobody's answer.
                let from = match due > Instant::now() {
                    true => {
                        sleep_until(due.into()).await;
                        Instant::now()
                    }
                    false => due,
                };
                let outcome = ask(number).await;
                run.add(from.elapsed(), outcome);
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            let fault = Fault {
                kind: "crashed".to_owned(),
                sentence: error.to_string(),
            };
            run.add(Duration::ZERO, Err(fault));
        }
    }
    let mut came = std::mem::take(&mut *run.came());
    came.took = run.began.elapsed();
    let late = run.planned().saturating_sub(run.next.load(Ordering::Relaxed));
    if late > 0 {
        let sentence = "the answers before took so long that these were not sent in time: ask less often, or more at once";
        came.fault("not sent", late, sentence);
    }
    came
}

struct Run {
    load: Load,
    began: Instant,
    next: AtomicU64,
    came: Mutex<Came>,
}

impl Run {
    /// The next request and when it is due; none when it was enough.
    fn due(&self) -> Option<(u64, Instant)> {
        let now = Instant::now();
        if let Until::Elapsed(length) = self.load.until
            && now >= self.began + length
        {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.load.per_second {
            Some(rate) => self.began + Duration::from_secs_f64(number as f64 / rate),
            None => now,
        };
        let is_wanted = match self.load.until {
            Until::Requests(requests) => number < requests,
            Until::Elapsed(length) => due < self.began + length,
        };
        is_wanted.then_some((number, due))
    }

    /// How many should have been sent, where that is known beforehand.
    fn planned(&self) -> u64 {
        match (self.load.until, self.load.per_second) {
            (Until::Elapsed(length), Some(rate)) => (length.as_secs_f64() * rate) as u64,
            _ => 0,
        }
    }

    fn came(&self) -> std::sync::MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, wait: Duration, outcome: Result<(), Fault>) {
        let mut came = self.came();
        match outcome {
            Ok(()) => came.waits.record(wait),
            Err(fault) => came.fault(&fault.kind, 1, &fault.sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(until: Until, per_second: Option<f64>) -> Load {
        Load {
            at_once: 4,
            until,
            per_second,
        }
    }

    #[tokio::test]
    async fn so_many_are_asked_each_once() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let numbers = Arc::clone(&asked);
        let came = drive(load(Until::Requests(100), None), move |number| {
            numbers.lock().expect("unpoisoned").push(number);
            std::future::ready(Ok(()))
        })
        .await;
        let mut asked = asked.lock().expect("unpoisoned").clone();
        asked.sort_unstable();
        assert_eq!(asked, (0..100).collect::<Vec<_>>());
        assert_eq!((came.waits.count(), came.faulty()), (100, 0));
    }

    #[tokio::test]
    async fn a_rate_is_kept_and_lateness_counts() {
        let rate = load(Until::Elapsed(Duration::from_millis(300)), Some(100.0));
        let came = drive(rate, |_| std::future::ready(Ok(()))).await;
        assert_eq!((came.waits.count(), came.faulty()), (30, 0));
        // One at once, each 60 ms where one is due each 10 ms.
        let slow = Load { at_once: 1, ..rate };
        let came = drive(slow, |_| async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Ok(())
        })
        .await;
        assert!(came.waits.max() > Duration::from_millis(150), "{came:?}");
        let sent = came.waits.count();
        let (late, sentence) = came.faults.get("not sent").expect("some were too late");
        assert!(sent <= 6 && *late >= 23, "{came:?}");
        assert!(sentence.contains("ask less often"), "{sentence}");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_counted_by_kind_and_takes_no_time() {
        let came = drive(load(Until::Requests(100), None), |number| {
            let kind = if number % 2 == 0 { "even" } else { "odd" };
            std::future::ready(match number % 4 {
                3 => Ok(()),
                _ => Err(Fault {
                    kind: kind.to_owned(),
                    sentence: format!("number {number}"),
                }),
            })
        })
        .await;
        let counts: Vec<(&str, u64)> = came
            .faults
            .iter()
            .map(|(kind, (n, _))| (kind.as_str(), *n))
            .collect();
        assert_eq!(counts, [("even", 50), ("odd", 25)]);
        assert_eq!((came.waits.count(), came.faulty()), (25, 75));
    }

    #[tokio::test]
    async fn kinds_without_end_are_one_kind() {
        let came = drive(load(Until::Requests(100), None), |number| {
            std::future::ready(Err(Fault {
                kind: format!("kind {number}"),
                sentence: String::new(),
            }))
        })
        .await;
        assert_eq!((came.faults.len(), came.faulty()), (KINDS_MAX + 1, 100));
    }

    #[tokio::test]
    async fn a_crash_is_a_fault() {
        let came = drive(load(Until::Requests(1), None), |_| async { panic!("as a test") }).await;
        assert_eq!(came.faulty(), 1, "{came:?}");
    }
}
