//! Watches the log: what is found in it becomes incidents and deliveries, in one transaction with how far the log was
//! watched.
//!
//! So nothing is lost when the process dies, and nothing is found twice: what was not settled is read again, and what was
//! is not. Nobody waits for this job; it reads what is on disk already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_store::{
    Alerted, AuditOrder, AuditQuery, CommitError, CursorMove, DeliveryRow, Found, IncidentRow, MAX_ROWS,
    Reader, Settlement,
};
use binauthz_wire::yaml::acts_on_display;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::incident::{Notice, State};
use super::watched::Watching;
use crate::app::App;
use crate::listen::Shutdown;
use crate::logs::{Cursor, Follower, Journals, Needle, Reached, Seen};

/// How often the log is looked at. A look that finds nothing new takes two locks and no disk.
const ROUND: Duration = Duration::from_millis(100);
/// How often conditions are evaluated when nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// How often it is asked whether policies changed without this process's having changed them.
const POLL: Duration = Duration::from_secs(30);
/// Where the log goes on is written this often, if nothing was found: what came meanwhile is read again after a crash.
const SAVE: Duration = Duration::from_secs(10);
/// Notices of one settlement: with 16 channels each these are 16 000 rows, which take a second.
const MOST_NOTICES: usize = 1_000;
/// The wait after something failed.
const RETRY: Duration = Duration::from_secs(1);

/// Watches until the server stops.
///
/// Where the log was never watched, that begins at `ends`.
pub(crate) async fn watch(app: Arc<App>, ends: Reached, mut shutdown: Shutdown) {
    loop {
        let begun = Watcher::begin(&app, ends, shutdown.clone()).await;
        let watched = match begun {
            Ok(mut watcher) => watcher.run().await,
            Err(why) => Err(why),
        };
        match watched {
            Ok(()) => return,
            Err(why) => tracing::error!(why, "the log is not watched for alerts: another attempt follows"),
        }
        tokio::select! {
            () = shutdown.begun() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// How far the log was watched, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    cursor: Cursor,
    /// The time that the log had come to, in microseconds.
    time: i64,
}

/// What looks at lines; it moves to a thread that may block and back.
struct Sight {
    engine: Engine,
    needle: Needle,
    follower: Follower,
    clock: fn() -> UnixTime,
    /// Whatever was recorded before this time was seen.
    time: UnixTime,
}

impl Sight {
    /// Takes the next lines before `ends`; what is to be told for them. Blocks on the disk.
    fn look(&mut self, ends: Reached) -> std::io::Result<Vec<Notice>> {
        self.follower.look(&self.needle, ends)?;
        let mut notices = Vec::new();
        while notices.len() < MOST_NOTICES
            && let Some(found) = self.follower.next()
        {
            let at = (found.arrival, (self.clock)());
            let engine = &mut self.engine;
            let told = found
                .seen()
                .entries(&self.needle, |entry| Some(engine.observe(&entry, at)));
            notices.extend(told.into_iter().flatten());
            self.time = self.time.max(found.arrival);
        }
        Ok(notices)
    }

    /// Takes what an earlier process has seen, from `since` on and before `until`. Blocks on the disk.
    fn recall(&mut self, journals: &Journals, since: UnixTime, until: Reached) -> std::io::Result<()> {
        let mut earlier = Follower::new(journals, Reached::near(journals, since)?);
        while earlier.is_behind(until) {
            earlier.look(&self.needle, until)?;
            while let Some(found) = earlier.next() {
                self.recall_line(found.seen(), since);
            }
        }
        Ok(())
    }

    fn recall_line(&mut self, seen: Seen<'_>, since: UnixTime) {
        if seen.arrival < since {
            return;
        }
        let at = (seen.arrival, (self.clock)());
        let engine = &mut self.engine;
        seen.entries(&self.needle, |entry| {
            engine.recall(&entry, at);
            Some(())
        });
    }
}

/// The job's state between two rounds.
struct Watcher {
    app: Arc<App>,
    /// There but while a thread has it.
    sight: Option<Box<Sight>>,
    pending: Alerted,
    /// Incidents that go on, as they were last written.
    written: BTreeMap<String, Notice>,
    /// The cursor as it is in the store, and the place it says.
    settled: Option<String>,
    saved: Reached,
    saved_at: Instant,
    ticked_at: Instant,
    polled_at: Instant,
    /// The newest row of the audit log when policies were last read, and how often they had been changed here.
    read_at: Option<i64>,
    changes: u64,
    shutdown: Shutdown,
}

impl Watcher {
    /// Goes on where an earlier process was.
    async fn begin(app: &Arc<App>, ends: Reached, shutdown: Shutdown) -> Result<Watcher, String> {
        let text = |why: &dyn std::fmt::Display| why.to_string();
        let (journals, now) = (Journals::of(app), (app.clock)());
        let settled = app.store.cursor(Reader::Alerts).await;
        let settled = settled.map_err(|why| text(&why))?;
        let (place, time) = match &settled {
            None => (ends, now),
            Some(kept) => {
                let kept: Kept = serde_json::from_str(kept).map_err(|why| text(&why))?;
                (
                    kept.cursor.place(&journals),
                    UnixTime::from_micros(kept.time).min(now),
                )
            }
        };
        let changes = app.alerts.changed.count();
        let read_at = newest_call(app).await?;
        let watching = Watching::load(&app.store).await.map_err(|why| text(&why))?;
        let mut engine = Engine::new(|| uuid::Uuid::now_v7().to_string());
        let needle = watching.needle();
        engine.count(watching.metrics);
        engine.watch(watching.policies, time);
        let look_back = engine.look_back();
        let mut sight = Box::new(Sight {
            engine,
            needle,
            follower: Follower::new(&journals, place),
            clock: app.clock,
            time,
        });
        if look_back > 0 {
            let since = UnixTime::from_micros(time.as_micros().saturating_sub(look_back));
            sight = blocking(move || {
                sight.recall(&journals, since, place)?;
                Ok(sight)
            })
            .await?;
        }
        let mut watcher = Watcher {
            app: Arc::clone(app),
            sight: None,
            pending: Alerted::default(),
            written: BTreeMap::new(),
            settled,
            saved: ends,
            saved_at: Instant::now(),
            ticked_at: Instant::now(),
            polled_at: Instant::now(),
            read_at,
            changes,
            shutdown,
        };
        watcher.take_up(&mut sight, (time, now)).await?;
        watcher.sight = Some(sight);
        watcher.settle().await?;
        Ok(watcher)
    }

    /// Takes the incidents up that go on. Those whose policy is gone end.
    async fn take_up(&mut self, sight: &mut Sight, (time, now): (UnixTime, UnixTime)) -> Result<(), String> {
        let mut notices = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.app.store.open_incidents(&after, MAX_ROWS).await;
            let page = page.map_err(|why| why.to_string())?;
            let is_last = page.len() < MAX_ROWS as usize;
            after = page.last().map_or(after, |row| row.id.clone());
            for row in page {
                match serde_json::from_str::<Notice>(&row.document) {
                    Ok(notice) => {
                        notices.insert(row.id, notice);
                    }
                    Err(why) => {
                        tracing::error!(incident = row.id, %why, "an incident cannot be read: it ends");
                        let ended = Some(now.as_micros());
                        self.pending.incidents.push(IncidentRow { ended, ..row });
                    }
                }
            }
            if is_last {
                break;
            }
        }
        let open = notices.values().map(|notice| notice.incident.clone()).collect();
        for mut incident in sight.engine.take_up(open, (time, now)) {
            if let Some(mut notice) = notices.remove(&incident.id) {
                tracing::info!(incident = incident.id, "an incident ends with its policy");
                incident.ended = Some(now);
                notice.incident = incident;
                self.pending.incidents.push(row(&notice));
            }
        }
        self.written = notices;
        Ok(())
    }

    /// Round after round, until the server stops, or something fails that a fresh beginning may mend. A round is never
    /// left in the middle: when this is over, nobody reads the log any more.
    async fn run(&mut self) -> Result<(), String> {
        let mut is_behind = true;
        loop {
            let pause = if is_behind { Duration::ZERO } else { ROUND };
            tokio::select! {
                () = self.shutdown.begun() => return Ok(()),
                () = self.app.alerts.changed.wait() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let before = (self.app.clock)();
            // First how far the log goes, then whether this is still what is watched.
            let ends = Reached::ends(&self.app);
            let changes = self.app.alerts.changed.count();
            if changes != self.changes || self.polled_at.elapsed() >= POLL {
                self.reload(changes).await?;
            }
            is_behind = self.look(ends).await?;
            if !is_behind {
                let sight = self.sight()?;
                sight.time = sight.time.max(before);
            }
            if !is_behind && self.ticked_at.elapsed() >= TICK {
                self.ticked_at = Instant::now();
                let now = (self.app.clock)();
                let notices = self.sight()?.engine.tick(now);
                self.tell(notices, now);
            }
            self.settle_all().await?;
            if !is_behind {
                self.app.alerts.counters.caught_up((self.app.clock)());
            }
        }
    }

    fn sight(&mut self) -> Result<&mut Sight, String> {
        let lost = || "the engine of alerts was lost".to_owned();
        self.sight.as_deref_mut().ok_or_else(lost)
    }

    /// Reads the next lines before `ends`, if there are any; whether there are more.
    async fn look(&mut self, ends: Reached) -> Result<bool, String> {
        if !self.sight()?.follower.is_behind(ends) {
            return Ok(false);
        }
        let mut sight = self.sight.take().ok_or("the engine of alerts was lost")?;
        let (sight, notices) = blocking(move || {
            let notices = sight.look(ends)?;
            Ok((sight, notices))
        })
        .await?;
        // What came since then is for the next round: under load there is always something.
        let is_behind = sight.follower.is_behind(ends);
        self.sight = Some(sight);
        self.tell(notices, (self.app.clock)());
        Ok(is_behind)
    }

    /// Reads what is watched, if it changed.
    async fn reload(&mut self, changes: u64) -> Result<(), String> {
        self.polled_at = Instant::now();
        let newest = newest_call(&self.app).await?;
        if changes == self.changes && newest == self.read_at {
            return Ok(());
        }
        (self.read_at, self.changes) = (newest, changes);
        let watching = Watching::load(&self.app.store).await;
        let watching = watching.map_err(|why| why.to_string())?;
        let now = (self.app.clock)();
        let sight = self.sight()?;
        sight.needle = watching.needle();
        sight.engine.count(watching.metrics);
        let notices = sight.engine.watch(watching.policies, now);
        self.tell(notices, now);
        Ok(())
    }

    /// What was found becomes rows.
    fn tell(&mut self, notices: Vec<Notice>, now: UnixTime) {
        for notice in notices {
            let (incident, counters) = (&notice.incident, &self.app.alerts.counters);
            let (id, policy, summary) = (&incident.id, &incident.policy, &incident.summary);
            match incident.state() {
                State::Open if !self.written.contains_key(id) => {
                    counters.began();
                    // People wrote some of it, and a log is read in a terminal.
                    let summary = summary.replace(acts_on_display, " ");
                    tracing::warn!(incident = id, policy, summary, "an incident began");
                }
                State::Open => {}
                State::Closed => {
                    counters.ended();
                    tracing::info!(incident = id, policy, "an incident ended");
                }
            }
            self.pending.incidents.push(row(&notice));
            self.pending.deliveries.extend(deliveries(&notice, now));
            match incident.state() {
                State::Open => self.written.insert(id.clone(), notice),
                State::Closed => self.written.remove(id),
            };
        }
    }

    /// Settles what is pending, and from time to time how far the log was watched. Nothing more is read before that is on
    /// disk.
    async fn settle_all(&mut self) -> Result<(), String> {
        let is_moved = self.sight()?.follower.place() != self.saved;
        let is_pending = self.pending != Alerted::default();
        let is_due = is_pending || (is_moved && self.saved_at.elapsed() >= SAVE);
        if !is_due {
            return Ok(());
        }
        self.settle().await
    }

    /// Adds what joined incidents since they were written.
    fn add_standing(&mut self) -> Result<(), String> {
        for notice in self.sight()?.engine.standing() {
            let id = &notice.incident.id;
            if self
                .written
                .get(id)
                .is_none_or(|written| written.incident != notice.incident)
            {
                self.pending.incidents.push(row(&notice));
                self.written.insert(id.clone(), notice);
            }
        }
        Ok(())
    }

    /// Writes what is pending, with how far the log was watched. While the store cannot, nothing else is done.
    async fn settle(&mut self) -> Result<(), String> {
        self.add_standing()?;
        let journals = Journals::of(&self.app);
        let sight = self.sight()?;
        let (place, time) = (sight.follower.place(), sight.time.as_micros());
        let cursor = Cursor::new(&journals, place);
        let to = serde_json::to_string(&Kept { cursor, time }).map_err(|why| why.to_string())?;
        let mut found = std::mem::take(&mut self.pending);
        let is_due = !found.deliveries.is_empty();
        loop {
            found.now = (self.app.clock)().as_micros();
            let settlement = Settlement {
                lead: None,
                cursor: Some(CursorMove {
                    expect: self.settled.clone(),
                    to: to.clone(),
                }),
                found: Found::Alerts(found.clone()),
            };
            match self.app.store.settle(settlement).await {
                Ok(()) => break,
                // Another attempt had come through after all, or another process watches: what it wrote counts.
                Err(why @ CommitError::Stale { .. }) => return Err(why.to_string()),
                Err(why) => tracing::error!(%why, "alerts cannot be written: another attempt follows"),
            }
            tokio::select! {
                () = self.shutdown.begun() => return Err("the server stops".to_owned()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        (self.settled, self.saved, self.saved_at) = (Some(to), place, Instant::now());
        if is_due {
            self.app.alerts.due.notify_one();
        }
        self.app.alerts.counters.open(self.written.len());
        Ok(())
    }
}

/// The newest row of the audit log: whatever changed left one.
async fn newest_call(app: &App) -> Result<Option<i64>, String> {
    let query = AuditQuery {
        order: AuditOrder::NewestFirst,
        beyond: None,
        limit: 1,
    };
    let rows = app.store.audit_rows(&query).await;
    let rows = rows.map_err(|why| why.to_string())?;
    Ok(rows.first().map(|row| row.sequence))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|why| why.to_string())?
        .map_err(|why| why.to_string())
}

/// An incident as it is kept: with the names that people know, and without whom to tell.
fn row(notice: &Notice) -> IncidentRow {
    let kept = Notice {
        documentation: String::new(),
        user_labels: Vec::new(),
        channels: Vec::new(),
        ..notice.clone()
    };
    let incident = &notice.incident;
    IncidentRow {
        id: incident.id.clone(),
        project: notice.project.clone(),
        policy: incident.policy.clone(),
        started: incident.started.as_micros(),
        ended: incident.ended.map(UnixTime::as_micros),
        // Texts, numbers and lists of them: nothing to fail on.
        document: serde_json::to_string(&kept).unwrap_or_default(),
    }
}

/// One delivery for each channel.
fn deliveries(notice: &Notice, now: UnixTime) -> Vec<DeliveryRow> {
    let document = serde_json::to_string(notice).unwrap_or_default();
    let delivery = |channel: &String| DeliveryRow {
        sequence: 0,
        id: uuid::Uuid::now_v7().to_string(),
        project: notice.project.clone(),
        channel: channel.clone(),
        incident: notice.incident.id.clone(),
        begun: now.as_micros(),
        failures: 0,
        due: now.as_micros(),
        document: document.clone(),
        died: None,
        reason: String::new(),
    };
    notice.channels.iter().map(delivery).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_kept_without_whom_to_tell_and_told_to_each_channel() {
        let at = UnixTime::from_seconds(7);
        let notice = Notice {
            incident: super::super::Incident {
                id: "i".into(),
                policy: "projects/p/alertPolicies/1".into(),
                condition: "projects/p/alertPolicies/1/conditions/1".into(),
                started: at,
                renewed: at,
                notified: at,
                ended: None,
                metric_type: String::new(),
                about: super::super::series::Key::default(),
                summary: "s".into(),
            },
            project: "p".into(),
            policy_name: "P".into(),
            condition_name: "C".into(),
            documentation: "look".into(),
            user_labels: vec![("a".into(), "b".into())],
            channels: vec!["one".into(), "other".into()],
            is_wanted: true,
        };
        let row = row(&notice);
        let kept: Notice = serde_json::from_str(&row.document).unwrap();
        assert_eq!((&kept.incident, kept.channels.len()), (&notice.incident, 0));
        assert_eq!(kept.policy_name, "P");
        let rows = deliveries(&notice, at);
        assert_eq!(rows.len(), 2);
        assert_ne!(rows[0].id, rows[1].id);
        let told: Notice = serde_json::from_str(&rows[1].document).unwrap();
        assert_eq!((rows[1].channel.as_str(), told), ("other", notice));
    }
}
