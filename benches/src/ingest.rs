//! Attestations stored through the API in batches, against the same rows put into the same kind of store directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use binauthz_store::Store;
use serde_json::{Value, json};

use crate::process::{SERVE, Server};
use crate::{Outcome, filled, inputs, line_at_least};

/// Enough for figures that hold; a million take some minutes.
pub(crate) const ATTESTATIONS: u32 = 50_000;
/// Of one call, and of one transaction of the yardstick.
const BATCH: u32 = 500;
/// Batches that are made, sent and timed together: they are made beforehand, and a million would not fit into memory.
const SECTION: u32 = 20 * BATCH;
const CALLERS: usize = 4;
/// The issue's.
const PROMISED_SHARE: f64 = 0.5;

pub(crate) async fn measure(attestations: u32) -> Outcome<bool> {
    let (ours, theirs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let server = Server::start(SERVE, ours.path()).await?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(&server, &signer).await?;
    let api = Arc::new(inputs::Api::of(&server)?);
    let store = Store::open(&theirs.path().join("binauthz.db"))?;
    println!(
        "{attestations} attestations, {BATCH} in a batch, {CALLERS} callers of the API, by turns with the store alone\n"
    );
    let (mut through, mut direct, mut used) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for start in (0..attestations).step_by(SECTION as usize) {
        let end = (start + SECTION).min(attestations);
        let batches = bodies(&signer, start..end)?;
        let (before, began) = (server.cpu()?, Instant::now());
        send(&api, batches).await?;
        through += began.elapsed();
        used += server.cpu()? - before;
        let commits = (start..end).step_by(BATCH as usize).map(|first| {
            let rows = filled::rows(&signer, first..(first + BATCH).min(end));
            rows.map(filled::commit)
        });
        let commits = commits.collect::<Outcome<Vec<_>>>()?;
        let began = Instant::now();
        for commit in commits {
            store.commit(commit).await?;
        }
        direct += began.elapsed();
    }
    let rate = |time: Duration| f64::from(attestations) / time.as_secs_f64();
    println!(
        "through the API {:>8.0} a second, {:.1} µs of server CPU each",
        rate(through),
        used.as_secs_f64() * 1e6 / f64::from(attestations)
    );
    println!("the store alone {:>8.0} a second\n", rate(direct));
    Ok(line_at_least(
        "stored through the API, against the store alone",
        rate(through) / rate(direct),
        "×",
        PROMISED_SHARE,
    ))
}

fn bodies(signer: &inputs::Signer, numbers: std::ops::Range<u32>) -> Outcome<Vec<Value>> {
    let batches = numbers.clone().step_by(BATCH as usize).map(|first| {
        let batch = first..(first + BATCH).min(numbers.end);
        let occurrences = batch.map(|number| signer.occurrence(number));
        Ok(json!({ "occurrences": occurrences.collect::<Outcome<Vec<_>>>()? }))
    });
    batches.collect()
}

/// Sends them all, some at a time.
async fn send(api: &Arc<inputs::Api>, batches: Vec<Value>) -> Outcome<()> {
    let (batches, next) = (Arc::new(batches), Arc::new(AtomicU32::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (api, batches, next) = (Arc::clone(api), Arc::clone(&batches), Arc::clone(&next));
        callers.spawn(async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                api.send("POST", inputs::BATCH_PATH, batch).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}
