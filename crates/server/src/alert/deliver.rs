//! Sends what is to be told: channels side by side, the notices of one channel one after the other, so that one that hangs
//! delays no other.
//!
//! What follows from an attempt is written down before the next one, so a process that dies makes one attempt more at most.
//! Everything happens in this one task. Of several servers on one store it is the one that leads that sends; it asks again
//! before each attempt.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_store::{
    Alerted, Attempt, CommitError, DeliveryRow, Found, Lead, MAX_ROWS, MAX_WAITING, Settlement,
};
use tokio::task::JoinSet;

use super::channel::{self, Message, SendError};
use super::clock::micros;
use super::counters::Outcome;
use super::delivery::{Delivery, MOST_WAIT, Step};
use super::incident::Notice;
use super::kept::{self, Unusable};
use crate::app::App;
use crate::listen::Shutdown;

/// Attempts made at once: each has its own channel. One that hangs is over within ten seconds.
const AT_ONCE: usize = 64;
/// How often it is asked what is due by now.
const ROUND: Duration = Duration::from_millis(250);
/// How often the store is asked what waits, should nobody have said so.
const POLL: Duration = Duration::from_secs(30);
/// The wait after something failed.
const RETRY: Duration = Duration::from_secs(1);
/// What a channel is called of which the kind is not known.
const UNKNOWN: &str = "unknown";

/// Sends until the server stops.
pub(crate) async fn deliver(app: Arc<App>, mut shutdown: Shutdown) {
    let mut queue = Queue::default();
    let mut led = None;
    let mut attempts: JoinSet<(String, Option<Delivery>)> = JoinSet::new();
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_new = tokio::select! {
            () = shutdown.begun() => return,
            () = app.alerts.due.notified() => true,
            _ = poll.tick() => true,
            _ = round.tick() => false,
            Some(attempt) = attempts.join_next() => {
                if let Ok((id, next)) = attempt {
                    queue.after(&id, next);
                }
                false
            }
        };
        let lead = app.store.lead();
        let is_other = std::mem::replace(&mut led, lead) != lead;
        let Some(lead) = lead else {
            app.alerts.counters.waiting(0);
            continue;
        };
        if (is_new || is_other)
            && let Err(why) = queue.read(&app).await
        {
            tracing::error!(why, "what is to be delivered cannot be read");
        }
        while attempts.len() < AT_ONCE
            && let Some(delivery) = queue.start((app.clock)())
        {
            attempts.spawn(outlived(Arc::clone(&app), delivery, lead));
        }
        app.alerts.counters.waiting(queue.waiting.len());
    }
}

/// What waits, in the order in which it came up. Its documents stay in the store: 10 000 rows of 300 bytes are 3 MB.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    incident: String,
    is_under_way: bool,
}

impl Queue {
    /// Asks the store what waits.
    async fn read(&mut self, app: &App) -> Result<(), String> {
        let mut rows: Vec<DeliveryRow> = Vec::new();
        while rows.len() <= MAX_WAITING as usize {
            let after = rows.last().map_or(0, |row| row.sequence);
            let page = app.store.waiting_deliveries(after, MAX_ROWS).await;
            let page = page.map_err(|why| why.to_string())?;
            let is_last = page.len() < MAX_ROWS as usize;
            rows.extend(page);
            if is_last {
                break;
            }
        }
        self.replace(rows);
        Ok(())
    }

    /// These wait; what is under way stays so.
    fn replace(&mut self, rows: Vec<DeliveryRow>) {
        let under_way: BTreeSet<String> = self
            .waiting
            .drain(..)
            .filter(|waiting| waiting.is_under_way)
            .map(|waiting| waiting.delivery.id)
            .collect();
        let waiting = rows.into_iter().map(|row| Waiting {
            is_under_way: under_way.contains(&row.id),
            incident: row.incident,
            delivery: Delivery {
                id: row.id,
                channel: row.channel,
                begun: UnixTime::from_micros(row.begun),
                failures: row.failures,
                due: UnixTime::from_micros(row.due),
            },
        });
        self.waiting = waiting.collect();
    }

    /// The next one that is due on a channel that is free. Of one incident a channel is told in order.
    fn start(&mut self, now: UnixTime) -> Option<Delivery> {
        let mut busy: BTreeSet<&str> = BTreeSet::new();
        for waiting in self.waiting.iter().filter(|waiting| waiting.is_under_way) {
            busy.insert(&waiting.delivery.channel);
        }
        let mut before: BTreeSet<(&str, &str)> = BTreeSet::new();
        let next = self.waiting.iter().position(|waiting| {
            let channel = waiting.delivery.channel.as_str();
            before.insert((channel, &waiting.incident))
                && !busy.contains(channel)
                && waiting.delivery.is_due(now)
        })?;
        let waiting = self.waiting.get_mut(next)?;
        waiting.is_under_way = true;
        Some(waiting.delivery.clone())
    }

    /// An attempt is over.
    fn after(&mut self, id: &str, next: Option<Delivery>) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.delivery.id == id) else {
            return;
        };
        match (next, self.waiting.get_mut(place)) {
            (Some(delivery), Some(waiting)) => {
                waiting.delivery = delivery;
                waiting.is_under_way = false;
            }
            _ => {
                self.waiting.remove(place);
            }
        }
    }
}

/// An attempt whose defects end it and nothing else: its notice is tried again, much later.
async fn outlived(app: Arc<App>, delivery: Delivery, lead: Lead) -> (String, Option<Delivery>) {
    let (id, mut later) = (delivery.id.clone(), delivery.clone());
    // A set, so that it ends with whoever waits for it.
    let mut made = JoinSet::new();
    made.spawn({
        let app = Arc::clone(&app);
        async move { attempt(&app, delivery, lead).await }
    });
    if let Some(Ok(next)) = made.join_next().await {
        return (id, next);
    }
    tracing::error!(delivery = id, "an attempt to deliver a notice did not finish");
    let due = (app.clock)().as_micros().saturating_add(micros(MOST_WAIT));
    later.due = UnixTime::from_micros(due);
    (id, Some(later))
}

/// Makes one attempt and writes down what follows; the delivery as it goes on, if it does.
async fn attempt(app: &App, delivery: Delivery, lead: Lead) -> Option<Delivery> {
    let row = loop {
        match app.store.waiting_delivery(&delivery.id).await {
            // Given up meanwhile.
            Ok(None) => return None,
            Ok(Some(row)) => break row,
            Err(why) => tracing::error!(%why, "a notice cannot be read: another attempt follows"),
        }
        tokio::time::sleep(RETRY).await;
    };
    if app.store.lead() != Some(lead) {
        // Another one sends it.
        return Some(delivery);
    }
    let (kind, sent) = send(app, &row).await;
    let (id, name) = (delivery.id.clone(), delivery.channel.clone());
    let failures = delivery.failures.saturating_add(1);
    let reason = sent.as_ref().err().map_or_else(String::new, ToString::to_string);
    let (attempt, outcome, next) = match delivery.after(sent, (app.clock)()) {
        Step::Done => (Attempt::Delivered { id }, Outcome::Delivered, None),
        Step::Again(next) => {
            tracing::warn!(
                delivery = id,
                channel = name,
                failures,
                reason,
                "a notice was not delivered yet"
            );
            let (failures, due) = (next.failures, next.due.as_micros());
            let again = Attempt::Again {
                id,
                failures,
                due,
                reason,
            };
            (again, Outcome::Again, Some(next))
        }
        Step::Dead(reason) => {
            tracing::error!(
                delivery = id,
                channel = name,
                failures,
                reason,
                "a notice was given up"
            );
            let dead = Attempt::Dead { id, failures, reason };
            (dead, Outcome::Dead, None)
        }
    };
    app.alerts.counters.delivery(kind, outcome);
    settle(app, attempt, lead).await;
    next
}

/// Sends it, once; the kind of its channel, and what came of it.
async fn send(app: &App, row: &DeliveryRow) -> (&'static str, Result<(), SendError>) {
    let never = |why: String| Err(SendError::Never(why));
    let Ok(notice) = serde_json::from_str::<Notice>(&row.document) else {
        return (UNKNOWN, never("what was to be told cannot be read".to_owned()));
    };
    let opened = kept::channel(&app.store, &*app.master.hold().await, &row.channel).await;
    let channel = match opened {
        Ok(channel) => channel,
        Err(Unusable::Store(why)) => return (UNKNOWN, Err(SendError::Later(why.to_string()))),
        Err(why) => return (UNKNOWN, never(why.to_string())),
    };
    let kind = channel.kind.kind;
    if !channel.enabled {
        return (kind, never("the channel is disabled".to_owned()));
    }
    let Some(way) = channel::of(&channel, &app.poster) else {
        return (kind, never(format!("notices cannot be sent by `{kind}` yet")));
    };
    let message = Message {
        delivery: &row.id,
        now: (app.clock)(),
        notice: &notice,
    };
    (kind, way.send(&message).await)
}

/// Writes down what came of an attempt. While the store cannot, its channel waits: otherwise it would be told again and
/// again. That a notice was taken is a fact, whoever leads by now; what else came of it is for whoever leads to say.
async fn settle(app: &App, attempt: Attempt, lead: Lead) {
    let is_fact = matches!(attempt, Attempt::Delivered { .. });
    loop {
        let settlement = Settlement {
            lead: (!is_fact).then_some(lead),
            cursor: None,
            found: Found::Alerts(Alerted {
                now: (app.clock)().as_micros(),
                attempts: vec![attempt.clone()],
                ..Alerted::default()
            }),
        };
        match app.store.settle(settlement).await {
            Ok(()) => return,
            Err(why @ CommitError::Stale { .. }) => {
                return tracing::warn!(%why, "another server sends notices now");
            }
            Err(why) => {
                tracing::error!(%why, "what came of a notice cannot be written: another attempt follows")
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, channel: &str, incident: &str, due: i64) -> DeliveryRow {
        DeliveryRow {
            sequence: 0,
            id: id.into(),
            project: "p".into(),
            channel: channel.into(),
            incident: incident.into(),
            begun: 0,
            failures: 0,
            due: due * 1_000_000,
            document: String::new(),
            died: None,
            reason: String::new(),
        }
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn started(queue: &mut Queue, now: i64) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(delivery) = queue.start(at(now)) {
            ids.push(delivery.id);
        }
        ids
    }

    #[test]
    fn channels_are_told_side_by_side_and_each_in_order() {
        let mut queue = Queue::default();
        let rows = || {
            vec![
                row("1", "a", "i", 0),
                row("2", "a", "i", 0),
                row("3", "a", "j", 0),
                row("4", "b", "i", 0),
                row("5", "c", "i", 9),
            ]
        };
        queue.replace(rows());
        assert_eq!(started(&mut queue, 1), ["1", "4"]);
        assert_eq!(started(&mut queue, 1), [""; 0]);
        // What is read again is not started twice.
        queue.replace(rows());
        assert_eq!(started(&mut queue, 1), [""; 0]);
        // The first waits for its next attempt: what follows it about the same incident waits too, others do not.
        let later = Delivery {
            due: at(20),
            ..Delivery::new("1".into(), "a".into(), at(0))
        };
        queue.after("1", Some(later));
        assert_eq!(started(&mut queue, 2), ["3"]);
        queue.after("3", None);
        assert_eq!(started(&mut queue, 2), [""; 0]);
        assert_eq!(started(&mut queue, 20), ["1", "5"]);
        queue.after("1", None);
        assert_eq!(started(&mut queue, 20), ["2"]);
        queue.after("2", None);
        queue.after("4", None);
        queue.after("5", None);
        queue.after("5", None);
        assert!(queue.waiting.is_empty());
    }
}
