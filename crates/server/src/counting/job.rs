//! The job that reads the journals forward, counts, and settles what it counted.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_store::{Counted, CursorMove, Forget, Found, Kind, ListQuery, MetricPoint, Reader, Settlement};

use super::MOST_METRICS;
use super::definition::{Definition, needle};
use super::tally::{Known, Tally};
use super::value::merge;
use crate::app::App;
use crate::listen::Shutdown;
use crate::logs::{Cursor, Follower, Journals, Needle, Reached};

/// How often it is asked whether there are new lines, which costs two looks into memory.
const TICK: Duration = Duration::from_millis(500);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// Where counting goes on is written this often, if nothing was counted: what came meanwhile is read again after a crash.
const SAVE: Duration = Duration::from_secs(10);
/// How long points are kept: six weeks, as at Google.
const KEPT_MINUTES: i64 = 42 * 24 * 60;
/// The most points kept, of all metrics together: at some 100 bytes, half a GB.
const MOST_POINTS: i64 = 5_000_000;
/// What is old is forgotten, and what is known is read again.
const RELOAD: Duration = Duration::from_secs(3_600);

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
            () = app.log_metrics.changed.wait() => {}
        }
    }
}

/// Takes one turn; when the next one is due, or nothing where there are no metrics.
async fn turn(app: &Arc<App>, meter: &mut Option<Meter>) -> Result<Option<Duration>, String> {
    // First how far the journals go, then whether the metrics are still these: what is written after a metric was made
    // lies behind ends that were taken before.
    let ends = Reached::ends(app);
    let mut current = match meter.take() {
        Some(current) if current.is_current(app) => current,
        Some(mut before) if before.is_moved() => {
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
    if !current.is_done(ends) {
        current = current.turn(app, ends).await?;
    }
    // What came since is for the next turn: under load there is always something.
    let is_done = current.is_done(ends);
    *meter = Some(current);
    Ok(Some(if is_done { TICK } else { Duration::ZERO }))
}

/// What the job knows from turn to turn. Whatever goes wrong, it is thrown away and loaded again.
struct Meter {
    changes: u64,
    definitions: Vec<Definition>,
    needle: Needle,
    known: Known,
    /// Metrics that have points and are no more.
    gone: Vec<String>,
    journals: Journals,
    follower: Follower,
    /// The cursor as it is in the store, and the place it says.
    settled: Option<String>,
    saved: Reached,
    saved_at: Instant,
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
        let changes = app.log_metrics.changed.count();
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
        let settled = app.store.cursor(Reader::Metrics).await;
        let settled = settled.map_err(|why| why.to_string())?;
        // Where there is no metric only what is gone is to be forgotten, and nothing is counted on the way.
        let now = (app.clock)();
        let oldest = definitions.iter().map(|one| one.created).min().unwrap_or(now);
        let journals = Journals::of(app);
        let place = find(journals.clone(), settled.clone(), oldest).await?;
        Ok(Meter {
            changes,
            needle: needle(&definitions),
            definitions,
            known,
            gone,
            follower: Follower::new(&journals, place),
            journals,
            settled,
            saved: place,
            saved_at: Instant::now(),
            loaded: Instant::now(),
            is_tidy: false,
        })
    }

    /// Whether the metrics are still these. What was forgotten meanwhile makes room for series, so it is not forever.
    fn is_current(&self, app: &App) -> bool {
        self.changes == app.log_metrics.changed.count() && self.loaded.elapsed() < RELOAD
    }

    fn is_moved(&self) -> bool {
        self.follower.place() != self.saved
    }

    fn is_done(&self, ends: Reached) -> bool {
        !self.follower.is_behind(ends) && self.gone.is_empty() && self.is_tidy
    }

    async fn turn(self, app: &Arc<App>, ends: Reached) -> Result<Meter, String> {
        let read = tokio::task::spawn_blocking(move || self.read(ends)).await;
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
            || (meter.is_moved() && meter.saved_at.elapsed() >= SAVE);
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
        let place = self.follower.place();
        let cursor = Cursor::new(&self.journals, place);
        let to = serde_json::to_string(&cursor).map_err(|why| why.to_string())?;
        let minute = (app.clock)().as_micros().div_euclid(60_000_000);
        let settlement = Settlement {
            lead: None,
            cursor: Some(CursorMove {
                expect: self.settled.take(),
                to: to.clone(),
            }),
            found: Found::Metrics(Counted {
                points,
                merge,
                forget: Forget {
                    before: minute - KEPT_MINUTES,
                    metrics: self.gone.clone(),
                    most_points: MOST_POINTS,
                },
            }),
        };
        let settled = app.store.settle(settlement).await;
        settled.map_err(|why| why.to_string())?;
        (self.settled, self.saved, self.saved_at) = (Some(to), place, Instant::now());
        self.is_tidy = true;
        if !self.gone.is_empty() {
            // Much is forgotten in several transactions.
            let left = app.store.counted_metrics().await.map_err(|why| why.to_string())?;
            self.gone.retain(|metric| left.contains(metric));
        }
        Ok(())
    }

    /// Reads on, as far as one look does, and not beyond `ends`. Blocks on the disk.
    fn read(mut self, ends: Reached) -> io::Result<Read> {
        self.follower.look(&self.needle, ends)?;
        let mut tally = Tally::new(&self.definitions, &mut self.known);
        while let Some(found) = self.follower.next() {
            tally.line(found.seen(), &self.needle);
        }
        let (points, counts) = tally.into_points();
        Ok(Read {
            meter: self,
            points,
            counts,
        })
    }
}

/// Where counting goes on: behind what was counted, and not before the oldest metric.
async fn find(journals: Journals, settled: Option<String>, oldest: UnixTime) -> Result<Reached, String> {
    let counted: Option<Cursor> = settled.and_then(|text| serde_json::from_str(&text).ok());
    let found = tokio::task::spawn_blocking(move || {
        let near = Reached::near(&journals, oldest)?;
        Ok(counted.map_or(near, |cursor| cursor.place(&journals).max(near)))
    });
    let found: io::Result<Reached> = found.await.map_err(|why| why.to_string())?;
    found.map_err(|why| why.to_string())
}
