//! The journal's thread: takes what has gathered, writes it in one go, syncs once, tells everybody.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::journal::{JournalError, JournalSettings};
use super::segment::{self, Segment};

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

pub(super) struct Writer {
    folder: PathBuf,
    settings: JournalSettings,
    segment: Option<Segment>,
    entries: mpsc::Receiver<Entry>,
    syncs: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        settings: JournalSettings,
        segment: Segment,
        entries: mpsc::Receiver<Entry>,
        syncs: Arc<AtomicU64>,
    ) -> Self {
        Self {
            folder,
            settings,
            segment: Some(segment),
            entries,
            syncs,
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut buffer = Vec::with_capacity(256 * 1024);
        let mut crowded = false;
        while self.entries.blocking_recv_many(&mut batch, BATCH) > 0 {
            if crowded {
                self.gather(&mut batch);
            }
            crowded = batch.len() >= CROWD;
            buffer.clear();
            for entry in &batch {
                buffer.extend_from_slice(&entry.line);
                buffer.push(b'\n');
            }
            let written = self.write(&buffer).map_err(|error| {
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
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) if segment.length < self.settings.segment_bytes => segment,
            full_or_lost => self.next_segment(full_or_lost.map(|segment| segment.number))?,
        };
        let outcome = segment
            .file
            .write_all(bytes)
            .and_then(|()| segment.file.sync_data());
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = outcome {
            let _ = segment.file.set_len(segment.length);
            return Err(error);
        }
        segment.length += bytes.len() as u64;
        self.segment = Some(segment);
        Ok(())
    }

    /// Starts the next segment and removes the oldest beyond the number to keep.
    fn next_segment(&self, current: Option<u64>) -> io::Result<Segment> {
        let numbers = segment::numbers(&self.folder)?;
        let last = numbers.last().copied().max(current).unwrap_or(0);
        let next = Segment::open(&self.folder, last + 1)?;
        let surplus = (numbers.len() + 1).saturating_sub(self.settings.keep_segments);
        for number in numbers.into_iter().take(surplus) {
            // A segment too many is a matter of room; it is no reason to refuse a verdict that can be written.
            match std::fs::remove_file(segment::path(&self.folder, number)) {
                Ok(()) => tracing::info!(number, "removed the oldest verdict journal segment"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::error!(number, %error, "cannot remove an old verdict journal segment"),
            }
        }
        Ok(next)
    }
}
