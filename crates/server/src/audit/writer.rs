//! The journal's thread: takes what has gathered, writes it in one go, syncs once, tells everybody.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::journal::{JournalError, JournalSettings};
use super::segment::{self, Segment};
use super::tail::Position;

/// One record on its way to the disk.
pub(super) struct Entry {
    pub(super) line: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<(), JournalError>>,
}

/// Records per sync. 512 × 16 KiB = 8 MiB at the very most; typical batches are a few 10 KiB.
const BATCH: usize = 512;

/// When the last batch was at least this large, the next one is gathered before it is written: verdicts come in faster
/// than the disk syncs, and a sync costs the same for few and for many. A lone verdict never waits.
const CROWD: usize = 4;
/// One look at what has come in since; gathering ends when nothing has.
const GATHER: Duration = Duration::from_micros(150);
/// 6 × 0.15 ms: gathering delays no verdict by more than 1 ms.
const MOST_LOOKS: usize = 6;

/// How far the writer has come, for whoever reads.
#[derive(Debug, Default)]
pub(super) struct Progress {
    syncs: AtomicU64,
    end: Mutex<Position>,
}

impl Progress {
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Where the records that are on disk end.
    pub(super) fn end(&self) -> Position {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reached(&self, end: Position) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

pub(super) struct Writer {
    folder: PathBuf,
    settings: JournalSettings,
    segment: Option<Segment>,
    entries: mpsc::Receiver<Entry>,
    progress: Arc<Progress>,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        settings: JournalSettings,
        segment: Segment,
        entries: mpsc::Receiver<Entry>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            folder,
            settings,
            segment: Some(segment),
            entries,
            progress,
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut crowded = false;
        while self.entries.blocking_recv_many(&mut batch, BATCH) > 0 {
            if crowded {
                self.gather(&mut batch);
            }
            crowded = batch.len() >= CROWD;
            let written = self.write(&batch).map_err(|error| {
                tracing::error!(%error, "the verdict journal cannot be written");
                JournalError::Write(Arc::new(error))
            });
            for entry in batch.drain(..) {
                // Nobody waiting any more is not an error: the record is there all the same.
                let _ = entry.done.send(written.clone());
            }
        }
    }

    /// Takes what comes in until nothing more does.
    #[expect(
        clippy::disallowed_methods,
        reason = "the event is that nothing happens: waking up for each record would cost what sharing a sync saves"
    )]
    fn gather(&mut self, batch: &mut Vec<Entry>) {
        for _ in 0..MOST_LOOKS {
            std::thread::sleep(GATHER);
            let before = batch.len();
            while batch.len() < BATCH
                && let Ok(entry) = self.entries.try_recv()
            {
                batch.push(entry);
            }
            if batch.len() == before || batch.len() == BATCH {
                return;
            }
        }
    }

    /// Appends and syncs. On failure the segment is cut back to its last whole record and left: after a failed sync
    /// nobody knows what the kernel kept, so the next batch starts a segment of its own.
    fn write(&mut self, batch: &[Entry]) -> io::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) if segment.length < self.settings.segment_bytes => segment,
            full_or_lost => self.next_segment(full_or_lost)?,
        };
        let outcome = segment.append(batch.iter().map(|entry| entry.line.as_slice()));
        self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        outcome?;
        let end = Position {
            segment: segment.number,
            offset: segment.length,
        };
        self.progress.reached(end);
        self.segment = Some(segment);
        Ok(())
    }

    /// Starts the next segment and removes the oldest beyond the number to keep.
    fn next_segment(&self, full: Option<Segment>) -> io::Result<Segment> {
        let numbers = segment::numbers(&self.folder)?;
        let last = full.map(|segment| segment.number);
        let last = numbers.last().copied().max(last).unwrap_or(0);
        let next = Segment::open(&self.folder, last + 1)?;
        let surplus = (numbers.len() + 1).saturating_sub(self.settings.keep_segments);
        for number in numbers.into_iter().take(surplus) {
            tracing::info!(number, "removing the oldest verdict journal segment");
            std::fs::remove_file(segment::path(&self.folder, number))?;
        }
        Ok(next)
    }
}
