//! A refusal as an Event of the cluster: on the controller that made the object, else on the object itself. It leaves what
//! it knows in a bounded queue and goes on; a job of its own talks to the API server.
//!
//! Controllers try again and again, so the same refusal is told once in five minutes, and everything together at most some
//! Events a second: what is not told is counted, and is in the verdict log all the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use binauthz_wire::event;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Kubernetes, guarded};
use crate::app::App;
use crate::guard::connect;
use crate::listen::Shutdown;
use crate::metrics::Text;

/// Refusals that wait. One has at most some 4 KB: 4 MB.
const QUEUE: usize = 1_000;
/// How long the same refusal is not told again.
const QUIET: Duration = Duration::from_secs(300);
/// Refusals remembered for that; one has some 300 bytes. With more of them in five minutes the oldest may be told again.
const REMEMBERED: usize = 10_000;
/// Events at once, and then a second: as many as Kubernetes' own components send.
const BURST: f64 = 25.0;
const PER_SECOND: f64 = 5.0;
/// One call.
const WAIT: Duration = Duration::from_secs(5);

/// A refusal that is to be told.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) cluster: ClusterName,
    pub(crate) time: UnixTime,
    /// The object, and what made it.
    pub(crate) about: event::About,
    /// What makes two refusals the same: the sentence without the name of its record.
    pub(crate) why: String,
    /// The sentence with it.
    pub(crate) message: String,
    /// The name of the record.
    pub(crate) decision: String,
}

pub(super) struct Events {
    queue: Sender<Refusal>,
    /// The job's end, until it starts.
    waiting: Mutex<Option<Receiver<Refusal>>>,
    sent: AtomicU64,
    repeated: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Events {
    pub(super) fn new() -> Events {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Events {
            queue,
            waiting: Mutex::new(Some(waiting)),
            sent: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        let name = "binauthz_refusal_events_total";
        text.family(
            name,
            "counter",
            "Refusals by what became of their Events: sent, told within the last five minutes, too many, not taken",
        );
        for (outcome, count) in [
            ("sent", &self.sent),
            ("repeated", &self.repeated),
            ("dropped", &self.dropped),
            ("failed", &self.failed),
        ] {
            text.row(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
    }
}

impl Kubernetes {
    /// Takes a refusal over; never waits.
    pub(crate) fn tell(&self, refusal: Refusal) {
        if self.events.queue.try_send(refusal).is_err() {
            self.events.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes Events until the shutdown.
pub(crate) async fn emit(app: Arc<App>, mut shutdown: Shutdown) {
    let events = &app.kubernetes.events;
    let waiting = events
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut waiting) = waiting.filter(|_| app.settings.guard.events) else {
        return;
    };
    let mut pace = Pace::new(Instant::now());
    loop {
        let refusal = tokio::select! {
            () = shutdown.begun() => return,
            refusal = waiting.recv() => refusal,
        };
        let Some(refusal) = refusal else { return };
        match pace.allows(&refusal, Instant::now()) {
            Turn::Go => send(&app, &refusal).await,
            Turn::Repeated => drop(events.repeated.fetch_add(1, Ordering::Relaxed)),
            Turn::TooMany => drop(events.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

async fn send(app: &App, refusal: &Refusal) {
    let Some(guarded) = guarded(app, &refusal.cluster) else {
        return;
    };
    let Refusal {
        time,
        about,
        message,
        decision,
        ..
    } = refusal;
    let event = event::write(about, *time, (message, decision));
    let collection = format!("/api/v1/namespaces/{}/events", about.namespace);
    let sent = async {
        let api = connect(app, guarded)?;
        let created = api.create(&collection, &event).await;
        created.map(|_| ()).map_err(|error| error.to_string())
    };
    let events = &app.kubernetes.events;
    let why = match tokio::time::timeout(WAIT, sent).await {
        Ok(Ok(())) => {
            events.sent.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Ok(Err(why)) => why,
        Err(_) => "no answer in time".to_owned(),
    };
    events.failed.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(cluster = %refusal.cluster, why, "an Event of a refusal was not taken");
}

/// What happens with a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Go,
    Repeated,
    TooMany,
}

/// When which refusal was told, and how many more may be.
struct Pace {
    told: HashMap<String, Instant>,
    left: f64,
    at: Instant,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace {
            told: HashMap::new(),
            left: BURST,
            at: now,
        }
    }

    fn allows(&mut self, refusal: &Refusal, now: Instant) -> Turn {
        let key = format!("{} {} {}", refusal.cluster, refusal.about.key(), refusal.why);
        let is_fresh = |told: &Instant| now.duration_since(*told) < QUIET;
        if self.told.get(&key).is_some_and(is_fresh) {
            return Turn::Repeated;
        }
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return Turn::TooMany;
        }
        self.left -= 1.0;
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| is_fresh(told));
        }
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(key, now);
        Turn::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, why: &str) -> Refusal {
        Refusal {
            cluster: "projects/p/locations/l/clusters/c".parse().unwrap(),
            time: UnixTime::from_seconds(0),
            about: event::About {
                namespace: "n".to_owned(),
                kind: "Pod".to_owned(),
                api_version: "v1".to_owned(),
                name: name.to_owned(),
                uid: String::new(),
            },
            why: why.to_owned(),
            message: String::new(),
            decision: String::new(),
        }
    }

    #[test]
    fn the_same_refusal_is_told_once_in_five_minutes() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace.allows(&refusal("a", "x"), start), Turn::Go);
        assert_eq!(pace.allows(&refusal("a", "x"), after(299)), Turn::Repeated);
        assert_eq!(pace.allows(&refusal("a", "y"), after(299)), Turn::Go);
        assert_eq!(pace.allows(&refusal("b", "x"), after(299)), Turn::Go);
        assert_eq!(pace.allows(&refusal("a", "x"), after(300)), Turn::Go);
    }

    #[test]
    fn all_together_have_a_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut turns = |count: usize, now| {
            let turns = (0..count).map(|at| pace.allows(&refusal(&format!("{now:?}-{at}"), ""), now));
            turns.filter(|turn| *turn == Turn::Go).count()
        };
        assert_eq!(turns(100, start), 25);
        assert_eq!(turns(100, start + Duration::from_secs(2)), 10);
        assert_eq!(turns(100, start + Duration::from_secs(600)), 25);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for at in 0..REMEMBERED + 10 {
            // Slow enough that each is told.
            let now = start + Duration::from_millis(200) * u32::try_from(at).unwrap();
            assert_eq!(pace.allows(&refusal(&at.to_string(), ""), now), Turn::Go);
            assert!(pace.told.len() <= REMEMBERED);
        }
    }
}
