//! The job that keeps the indexes: after the lines are on disk, and behind everything that somebody waits for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::listen::Shutdown;
use crate::logs::{Indexed, Journals};

/// From one look at the journals to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// A journal that grew by more than this since the last look is busy: 700 verdicts a second.
const BUSY: u64 = 1 << 20;
/// Records looked at in a pause while verdicts come in: 1 MiB are some 700, 1 % of a core. What this leaves over is done
/// when it is quieter, and read by queries until then.
const BUSY_BYTES: u64 = 1 << 20;
/// Otherwise: 32 MiB are some 23 000 verdicts, a fifth of a core. A full journal of 4 GiB takes two minutes.
const QUIET_BYTES: u64 = 32 << 20;

/// Keeps the indexes until the server stops.
pub(crate) async fn keep_indexes(app: Arc<App>, mut shutdown: Shutdown) {
    let mut clock = tokio::time::interval(PAUSE);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let journals = Journals::of(&app);
    let mut ends = [journals.verdicts.end(), journals.written.end()];
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = clock.tick() => {}
        }
        for (indexed, end) in [&journals.verdicts, &journals.written].into_iter().zip(&mut ends) {
            let indexed = indexed.clone();
            let before = *end;
            let done = tokio::task::spawn_blocking(move || keep(&indexed, before)).await;
            match done {
                Ok(Ok(reached)) => *end = reached,
                Ok(Err(error)) => tracing::warn!(%error, "the index of a journal could not be brought on"),
                Err(error) => tracing::error!(%error, "the index of a journal could not be brought on"),
            }
        }
    }
}

/// Brings one on, and says where its journal ended.
fn keep(indexed: &Indexed, before: u64) -> io::Result<u64> {
    let end = indexed.end();
    let most = match end.saturating_sub(before) > BUSY {
        true => BUSY_BYTES,
        false => QUIET_BYTES,
    };
    indexed.index.extend(&indexed.journal, most)?;
    Ok(end)
}
