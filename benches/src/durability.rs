//! What it costs that every verdict is on disk before its answer: records per sync, and the wait for it.
//!
//! The yardstick is the disk itself, in the same folder and in the same run, before and after: 4 KiB written over room that
//! is there already, as the journal writes, and synced.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::load::{self, percentile};
use crate::process::{SERVE, Server, metric};
use crate::{Outcome, inputs, line, line_at_least};

/// Syncs of the yardstick, each time.
const SYNCS: usize = 2_000;
const BLOCK: usize = 4_096;
/// Admissions of one measurement, and how many at once.
const LOADS: [(usize, usize); 3] = [(2_000, 1), (8_000, 8), (40_000, 32)];
/// The issue's, with 32 at once.
const PROMISED_RECORDS_PER_SYNC: f64 = 10.0;
/// The issue's: a record waits for the sync that is going on, and then for its own.
const PROMISED_SYNCS: f64 = 2.0;

pub(crate) async fn measure() -> Outcome<bool> {
    let (disk, memory) = (tempfile::tempdir()?, tempfile::tempdir_in("/dev/shm")?);
    let mut syncs = time_syncs(disk.path())?;
    let ours = Desk::new(disk.path()).await?;
    let unsynced = Desk::new(memory.path()).await?;
    println!(
        "warm admission of a Pod with 3 containers over keep-alive TLS; beside it the same server on a file system in memory,\n\
         where a sync costs nothing\n"
    );
    let mut loads = Vec::new();
    for size in LOADS {
        // The first connections and what has to be read once.
        ours.load((size.1 * 20, size.1)).await?;
        unsynced.load((size.1 * 20, size.1)).await?;
        let load = ours.load(size).await?;
        let alone = unsynced.load(size).await?;
        println!(
            "{:>2} at once: {:>6.0} durable records/s, {:>5.1} a sync; record p50 ≤ {} p99 ≤ {}; client p50 {} p99 {}, without a disk {} {}",
            size.1,
            load.records / load.seconds,
            load.records / load.syncs,
            shown(load.record_p50),
            shown(load.record_p99),
            shown(load.client.median.as_secs_f64()),
            shown(load.client.p99.as_secs_f64()),
            shown(alone.client.median.as_secs_f64()),
            shown(alone.client.p99.as_secs_f64()),
        );
        let added = load.client.p99.saturating_sub(alone.client.p99);
        loads.push((size.1, load, added));
    }
    syncs.extend(time_syncs(disk.path())?);
    syncs.sort_unstable();
    let at = |hundredths| percentile(&syncs, hundredths).unwrap_or_default().as_secs_f64();
    println!(
        "\none sync of 4 KiB in the same folder: p50 {} p99 {}, {:.0}/s one after the other\n",
        shown(at(50)),
        shown(at(99)),
        syncs.len() as f64 / syncs.iter().sum::<Duration>().as_secs_f64(),
    );
    let mut kept = true;
    for (at_once, load, added) in &loads {
        if *at_once == 32 {
            let per_sync = load.records / load.syncs;
            kept &= line_at_least(
                "records a sync, 32 at once",
                per_sync,
                "",
                PROMISED_RECORDS_PER_SYNC,
            );
        }
        kept &= line(
            &format!("what the disk adds to the p99, in p99 syncs, {at_once} at once"),
            added.as_secs_f64() / at(99),
            "×",
            PROMISED_SYNCS,
        );
    }
    Ok(kept)
}

fn shown(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

/// How long each sync takes, of a file that has its room already.
fn time_syncs(folder: &Path) -> Outcome<Vec<Duration>> {
    let path = folder.join("yardstick");
    let plain = File::create(&path)?;
    plain.write_all_at(&vec![0; SYNCS * BLOCK], 0)?;
    plain.sync_all()?;
    let direct = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .ok();
    let storage = vec![b'x'; 2 * BLOCK];
    let start = storage.as_ptr().align_offset(BLOCK);
    let block = storage.get(start..start + BLOCK).ok_or("no aligned block")?;
    // As the journal does: past the page cache where the file system lets us.
    let direct = direct.filter(|file| file.write_all_at(block, 0).is_ok());
    let file = direct.as_ref().unwrap_or(&plain);
    let mut times = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let began = Instant::now();
        file.write_all_at(block, (number * BLOCK) as u64)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(times)
}

/// A server with an attested image.
struct Desk {
    server: Server,
    client: reqwest::Client,
    url: String,
    bodies: Arc<Vec<Bytes>>,
}

/// What a load came to.
struct Load {
    client: load::Round,
    seconds: f64,
    records: f64,
    syncs: f64,
    record_p50: f64,
    record_p99: f64,
}

impl Desk {
    async fn new(folder: &Path) -> Outcome<Self> {
        let server = Server::start(SERVE, folder).await?;
        inputs::prepare_three(&server).await?;
        Ok(Self {
            client: server.client(false)?,
            url: format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH),
            bodies: Arc::new(vec![inputs::review(&[0, 1, 2])?]),
            server,
        })
    }

    async fn load(&self, size: (usize, usize)) -> Outcome<Load> {
        let before = self.metrics().await?;
        let began = Instant::now();
        let client = load::post(&self.server, (&self.client, &self.url), &self.bodies, size).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = self.metrics().await?;
        let buckets: Vec<(f64, f64)> = after
            .record
            .iter()
            .zip(&before.record)
            .map(|((bound, after), (_, before))| (*bound, after - before))
            .collect();
        Ok(Load {
            client,
            seconds,
            records: after.records - before.records,
            syncs: after.syncs - before.syncs,
            record_p50: quantile(&buckets, 0.5)?,
            record_p99: quantile(&buckets, 0.99)?,
        })
    }

    async fn metrics(&self) -> Outcome<Metrics> {
        let text = self.server.metrics().await?;
        let head = "binauthz_decision_phase_seconds_bucket{phase=\"record\",le=\"";
        let record = text
            .lines()
            .filter_map(|line| line.strip_prefix(head)?.split_once("\"} "))
            .map(|(bound, count)| {
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse()?
                };
                Ok((bound, count.parse()?))
            })
            .collect::<Outcome<Vec<(f64, f64)>>>()?;
        Ok(Metrics {
            records: metric(&text, "binauthz_verdicts_total")?,
            syncs: metric(&text, "binauthz_journal_syncs_total")?,
            record,
        })
    }
}

/// What the server counts.
struct Metrics {
    records: f64,
    syncs: f64,
    /// Upper bounds, and how many were no longer.
    record: Vec<(f64, f64)>,
}

/// What so large a part of a histogram is no longer than.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Outcome<f64> {
    let total = buckets.last().ok_or("no buckets")?.1;
    let found = buckets.iter().find(|(_, count)| *count >= total * share);
    Ok(found.ok_or("no quantile")?.0)
}
