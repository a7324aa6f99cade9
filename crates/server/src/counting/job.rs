//! The job that reads the journals forward, counts, and settles what it counted.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_store::{Forget, Kind, ListQuery, MetricPoint, MetricSettlement};
use serde::{Deserialize, Serialize};

use super::MOST_METRICS;
use super::definition::Definition;
use super::tally::{Known, Tally};
use super::value::merge;
use crate::app::App;
use crate::audit::{Direction, Journal, Position};
use crate::listen::Shutdown;
use crate::logs::first_near;

/// How often it is asked whether there are new lines, which costs two looks into memory.
const TICK: Duration = Duration::from_millis(500);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// Read at a time: some 5 000 verdicts, which make at most as many points for each metric.
const TURN_BYTES: u64 = 8 << 20;
/// A cursor that moved less without anything to count is not worth a sync: the lines are read again after a crash.
const UNSETTLED_BYTES: u64 = 1 << 20;
/// How long points are kept: six weeks, as at Google.
const KEPT_MINUTES: i64 = 42 * 24 * 60;
/// The most points kept, of all metrics together: at some 100 bytes, half a GB.
const MOST_POINTS: i64 = 5_000_000;
/// What is old is forgotten, and what is known is read again.
const RELOAD: Duration = Duration::from_secs(3_600);
/// A record is written soon after its time, and the clock may have been set back a little meanwhile.
const SLACK_MICROS: i64 = 60_000_000;

/// Counts until the server stops. What comes then is counted at the next start.
pub(crate) async fn count_entries(app: Arc<App>, mut shutdown: Shutdown) {
    let mut meter = None;
    loop {
        let wait = match turn(&app, &mut meter).await {
            Ok(wait) => wait,
            Err(why) => {
                tracing::error!(%why, "log-based metrics could not be counted");
                meter = None;
                Some(PAUSE)
            }
        };
        let tick = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.begun() => return,
            () = tick => {}
            () = app.log_metrics.changed.notified() => {}
        }
    }
}

/// Takes one turn; when the next one is due, or nothing where there are no metrics.
async fn turn(app: &Arc<App>, meter: &mut Option<Meter>) -> Result<Option<Duration>, String> {
    // First how far the journals go, then whether the metrics are still these: what is written after a metric was made
    // lies behind ends that were taken before.
    let ends = Ends::of(app);
    let current = match meter.take() {
        Some(current) if current.is_current(app) => current,
        Some(mut before) if before.unsettled_bytes > 0 => {
            // What was not wanted as the metrics were is not looked at again as they are now.
            before.settle(app, Vec::new()).await?;
            Meter::load(app).await?
        }
        _ => Meter::load(app).await?,
    };
    if current.definitions.is_empty() && current.gone.is_empty() {
        *meter = Some(current);
        return Ok(None);
    }
    if current.is_done(&ends) {
        *meter = Some(current);
        return Ok(Some(TICK));
    }
    *meter = Some(current.turn(app, ends).await?);
    Ok(Some(Duration::ZERO))
}

/// How far the two journals go.
#[derive(Debug, Clone, Copy)]
struct Ends {
    verdicts: Position,
    written: Position,
}

impl Ends {
    fn of(app: &App) -> Ends {
        Ends {
            verdicts: app.journal.end(),
            written: app.entries.end(),
        }
    }
}

/// How far both were counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    verdicts: Place,
    written: Place,
}

/// A place in a journal. One that was moved aside is another journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    journal: String,
    segment: u64,
    offset: u64,
}

impl Place {
    fn position(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.offset,
        }
    }

    fn at(&self, position: Position) -> Place {
        Place {
            journal: self.journal.clone(),
            segment: position.segment,
            offset: position.offset,
        }
    }

    /// Where counting goes on: behind what was counted, and not before the oldest metric.
    fn find(journal: &Journal, counted: Option<&Place>, oldest: UnixTime) -> io::Result<Place> {
        let near = first_near(journal, oldest.as_micros().saturating_sub(SLACK_MICROS))?;
        let counted = counted.filter(|place| place.journal == journal.verifier_key());
        let position = counted.map(Place::position).max(near).unwrap_or_default();
        Ok(Place {
            journal: journal.verifier_key().to_owned(),
            segment: position.segment,
            offset: position.offset,
        })
    }
}

/// What the job knows from turn to turn. Whatever goes wrong, it is thrown away and loaded again.
struct Meter {
    version: u64,
    definitions: Vec<Definition>,
    known: Known,
    /// Metrics that have points and are no more.
    gone: Vec<String>,
    cursor: Cursor,
    settled: Option<String>,
    unsettled_bytes: u64,
    loaded: Instant,
    /// What is old was forgotten since then.
    is_tidy: bool,
}

/// What a turn read.
struct Read {
    meter: Meter,
    points: Vec<MetricPoint>,
    counts: Vec<(u64, u64)>,
}

impl Meter {
    async fn load(app: &Arc<App>) -> Result<Meter, String> {
        let version = app.log_metrics.version();
        let query = ListQuery {
            kind: Kind::LogMetric,
            parent: String::new(),
            after: None,
            limit: MOST_METRICS,
        };
        let rows = app.store.list(&query).await.map_err(|why| why.to_string())?;
        let definitions: Vec<Definition> = rows.iter().filter_map(Definition::of).collect();
        app.log_metrics.define(definitions.iter().map(Definition::name));
        let there: BTreeSet<&str> = definitions.iter().map(|one| one.key.as_str()).collect();
        let mut gone = app.store.counted_metrics().await.map_err(|why| why.to_string())?;
        gone.retain(|metric| !there.contains(metric.as_str()));
        let mut known = Known::default();
        for definition in &definitions {
            let series = app.store.metric_series(&definition.key).await;
            for row in series.map_err(|why| why.to_string())? {
                known.learn(&definition.key, &row.series);
            }
        }
        let settled = app.store.metric_cursor().await.map_err(|why| why.to_string())?;
        // Where there is no metric only what is gone is to be forgotten, and nothing is counted on the way.
        let now = (app.clock)();
        let oldest = definitions.iter().map(|one| one.created).min().unwrap_or(now);
        let cursor = find(app, settled.clone(), oldest).await?;
        Ok(Meter {
            version,
            definitions,
            known,
            gone,
            cursor,
            settled,
            unsettled_bytes: 0,
            loaded: Instant::now(),
            is_tidy: false,
        })
    }

    /// Whether the metrics are still these. What was forgotten meanwhile makes room for series, so it is not forever.
    fn is_current(&self, app: &App) -> bool {
        self.version == app.log_metrics.version() && self.loaded.elapsed() < RELOAD
    }

    fn is_done(&self, ends: &Ends) -> bool {
        self.cursor.verdicts.position() == ends.verdicts
            && self.cursor.written.position() == ends.written
            && self.gone.is_empty()
            && self.is_tidy
    }

    async fn turn(self, app: &Arc<App>, ends: Ends) -> Result<Meter, String> {
        let journals = (app.journal.clone(), app.entries.clone());
        let read = tokio::task::spawn_blocking(move || self.read(&journals, ends)).await;
        let Read {
            mut meter,
            points,
            counts,
        } = read
            .map_err(|why| why.to_string())?
            .map_err(|why| why.to_string())?;
        let is_due = !points.is_empty()
            || !meter.gone.is_empty()
            || !meter.is_tidy
            || meter.unsettled_bytes >= UNSETTLED_BYTES;
        if is_due {
            meter.settle(app, points).await?;
            for (definition, (counted, overflowed)) in meter.definitions.iter().zip(counts) {
                if counted > 0 {
                    app.log_metrics.add(&definition.name(), counted, overflowed);
                }
            }
        }
        Ok(meter)
    }

    async fn settle(&mut self, app: &App, points: Vec<MetricPoint>) -> Result<(), String> {
        let cursor = serde_json::json!(self.cursor).to_string();
        let minute = (app.clock)().as_micros().div_euclid(60_000_000);
        let settlement = MetricSettlement {
            expect: self.settled.take(),
            cursor: cursor.clone(),
            points,
            merge,
            forget: Forget {
                before: minute - KEPT_MINUTES,
                metrics: self.gone.clone(),
                most_points: MOST_POINTS,
            },
        };
        let settled = app.store.settle_metrics(settlement).await;
        settled.map_err(|why| why.to_string())?;
        self.settled = Some(cursor);
        self.unsettled_bytes = 0;
        self.is_tidy = true;
        if !self.gone.is_empty() {
            // Much is forgotten in several transactions.
            let left = app.store.counted_metrics().await.map_err(|why| why.to_string())?;
            self.gone.retain(|metric| left.contains(metric));
        }
        Ok(())
    }

    /// Reads on in both journals, up to their ends or a turn's worth. Blocks on the disk.
    fn read(mut self, (verdicts, written): &(Journal, Journal), ends: Ends) -> io::Result<Read> {
        let mut tally = Tally::new(&self.definitions, &mut self.known);
        let mut left = TURN_BYTES;
        let mut read_on = |journal: &Journal, place: &Place, end: Position| -> io::Result<Place> {
            let mut reached = place.position();
            journal.walk((Direction::Forward, Some(reached)), &mut |line| {
                let at = line.resume(Direction::Forward, true);
                if at >= end || left == 0 {
                    return ControlFlow::Break(());
                }
                left = left.saturating_sub(line.bytes.len() as u64 + 1);
                tally.line(line.bytes);
                reached = line.resume(Direction::Forward, false);
                ControlFlow::Continue(())
            })?;
            // An end that no line leads up to is reached all the same.
            Ok(place.at(if left > 0 { reached.max(end) } else { reached }))
        };
        let cursor = Cursor {
            verdicts: read_on(verdicts, &self.cursor.verdicts, ends.verdicts)?,
            written: read_on(written, &self.cursor.written, ends.written)?,
        };
        let (points, counts) = tally.into_points();
        self.unsettled_bytes += TURN_BYTES - left;
        self.cursor = cursor;
        Ok(Read {
            meter: self,
            points,
            counts,
        })
    }
}

async fn find(app: &Arc<App>, settled: Option<String>, oldest: UnixTime) -> Result<Cursor, String> {
    let (verdicts, written) = (app.journal.clone(), app.entries.clone());
    let found = tokio::task::spawn_blocking(move || {
        let known: Option<Cursor> = settled.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Cursor {
            verdicts: Place::find(&verdicts, known.as_ref().map(|cursor| &cursor.verdicts), oldest)?,
            written: Place::find(&written, known.as_ref().map(|cursor| &cursor.written), oldest)?,
        })
    });
    let found: io::Result<Cursor> = found.await.map_err(|why| why.to_string())?;
    found.map_err(|why| why.to_string())
}
