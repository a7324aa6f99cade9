//! The journal's thread: takes what has gathered, writes it in one go, syncs once, tells everybody.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::journal::{JournalError, JournalSettings};
use super::log::{self, Draft, SignedLog};
use super::queue::{Batch, Bounds, Queue};
use super::recent::Recent;
use super::segment::{self, Segment};
use super::walk::Position;

/// Records per sync. 512 × 16 KiB = 8 MiB at the very most; typical batches are a few 10 KiB.
const BATCH: usize = 512;
/// Fewer where records may be longer.
const BATCH_BYTES: usize = 8 << 20;
/// Records waiting for the writer. 2 048 × 16 KiB = 32 MiB at worst, some 2 MiB as a rule.
const QUEUE: usize = 2_048;

/// The way to the writer of such a journal.
pub(super) fn queue(settings: &JournalSettings) -> Queue {
    Queue::new(Bounds {
        batch_records: (BATCH_BYTES / settings.longest.max(1)).clamp(1, BATCH),
        batch_bytes: BATCH_BYTES,
        records: QUEUE,
    })
}

/// A batch of this many is worth waiting for: verdicts come in faster than the disk syncs, and a sync costs the same for
/// few and for many.
const CROWD: usize = 9;
/// Where gathering brought fewer so often in a row, so many records are written before the next try: fewer than one in a
/// hundred has waited in vain then. A lone verdict never waits.
const MISSES: usize = 3;
const TRY_AFTER: usize = 4_096;
/// One look at what has come in since; gathering ends when nothing has.
const GATHER: Duration = Duration::from_micros(300);
/// 3 × 0.3 ms, and what the timer adds: gathering delays no verdict by more than some 1 ms.
const MOST_LOOKS: usize = 3;

/// About what the log adds to a record, and what a checkpoint takes: what is kept of a batch shall have no empty room.
const LINK: usize = 96;
const NOTE: usize = 512;

/// Segments live for days; looking at their age once an hour is enough.
const TIDY: Duration = Duration::from_secs(3_600);

/// How far the writer has come, for whoever reads.
#[derive(Debug, Default)]
pub(super) struct Progress {
    syncs: AtomicU64,
    lost: AtomicU64,
    end: Mutex<Position>,
    /// What was written last.
    pub(super) recent: Recent,
}

impl Progress {
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Records that nobody waited for and that the disk refused.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
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
    log: SignedLog,
    segment: Option<Segment>,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    tidied: Instant,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        settings: JournalSettings,
        (log, segment): (SignedLog, Segment),
        queue: Arc<Queue>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            folder,
            settings,
            log,
            segment: Some(segment),
            queue,
            progress,
            tidied: Instant::now(),
        }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        // However this ends, nobody shall wait for it afterwards.
        let _end = Ending(Arc::clone(&self.queue));
        let mut pace = Pace::default();
        while self.queue.wait() {
            if pace.gathers {
                self.gather();
            }
            let Some(batch) = self.queue.take() else { continue };
            pace.took(batch.len());
            self.perform(&batch);
            self.queue.reuse(batch);
        }
        // The end of the log is signed for too.
        self.perform(&Batch::checkpoint());
    }

    fn perform(&mut self, batch: &Batch) {
        if batch.checkpoint {
            self.tidy();
        }
        if batch.len() == 0 && !self.log.is_unsigned() {
            return;
        }
        let written = self.write(batch).map_err(|error| {
            let answered = batch.ahead();
            self.progress.lost.fetch_add(answered, Ordering::Relaxed);
            tracing::error!(%error, answered, "the verdict journal cannot be written");
            JournalError::Write(Arc::new(error))
        });
        // Nobody waiting any more is not an error: the record is there all the same.
        batch.decide(written);
    }

    /// Waits until nothing more comes in.
    #[expect(
        clippy::disallowed_methods,
        reason = "the event is that nothing happens: waking up for each record would cost what sharing a sync saves"
    )]
    fn gather(&mut self) {
        for _ in 0..MOST_LOOKS {
            let Some(before) = self.queue.gathering() else {
                return;
            };
            std::thread::sleep(GATHER);
            if self.queue.gathering() == Some(before) {
                return;
            }
        }
    }

    /// Appends and syncs. On failure the segment is cut back to its last whole record and left: after a failed sync
    /// nobody knows what the kernel kept, so the next batch starts a segment of its own. The log goes on from what was
    /// confirmed.
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if let Some(full) = self
            .segment
            .take_if(|segment| segment.length >= self.settings.segment_bytes)
        {
            self.seal(full)?;
        }
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.next_segment()?,
        };
        let mut draft = self.log.draft(batch.bytes() + batch.len() * LINK + NOTE);
        if segment.length == 0 {
            self.log.begin_segment(&mut draft, segment.number);
        }
        for line in batch.lines() {
            draft.add(line);
        }
        self.log.sign(&mut draft, batch.checkpoint);
        self.segment = Some(self.append(segment, draft)?.0);
        Ok(())
    }

    /// Appends a draft and confirms it; the new checkpoint is published, if there is one.
    fn append(&mut self, mut segment: Segment, mut draft: Draft) -> io::Result<(Segment, Option<String>)> {
        let outcome = segment.append(&draft.lines);
        self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        outcome?;
        let start = Position {
            segment: segment.number,
            offset: segment.length - draft.lines.len() as u64,
        };
        self.progress.recent.add(start, std::mem::take(&mut draft.lines));
        let note = self.log.confirm(draft);
        self.progress.reached(Position {
            segment: segment.number,
            offset: segment.length,
        });
        if let Some(note) = &note
            && let Err(error) = log::publish(&self.folder, log::CHECKPOINT, note)
        {
            tracing::warn!(%error, "the checkpoint of the verdict log could not be published");
        }
        Ok((segment, note))
    }

    /// Ends a segment with a checkpoint, which stays when the segment goes.
    fn seal(&mut self, segment: Segment) -> io::Result<()> {
        let number = segment.number;
        let mut draft = self.log.draft(NOTE);
        self.log.sign(&mut draft, true);
        if let (_, Some(note)) = self.append(segment, draft)?
            && let Err(error) = log::publish(&self.folder, &format!("segment-{number:010}.checkpoint"), &note)
        {
            tracing::warn!(%error, number, "a segment's checkpoint could not be published");
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<Segment> {
        let numbers = segment::numbers(&self.folder)?;
        let last = numbers
            .last()
            .copied()
            .unwrap_or(0)
            .max(self.progress.end().segment);
        let next = Segment::open(&self.folder, last + 1)?;
        self.remove_old(numbers);
        Ok(next)
    }

    /// What age demands, once an hour.
    fn tidy(&mut self) {
        if self.tidied.elapsed() < TIDY {
            return;
        }
        self.tidied = Instant::now();
        match segment::numbers(&self.folder) {
            Ok(mut numbers) => {
                numbers.pop();
                self.remove_old(numbers);
            }
            Err(error) => tracing::warn!(%error, "the segments of the verdict journal cannot be listed"),
        }
    }

    /// Removes the oldest sealed segments that are too many or too old. That this fails is no reason to refuse anybody.
    fn remove_old(&self, sealed: Vec<u64>) {
        let mut kept = 0_u64;
        for number in sealed.into_iter().rev() {
            let path = segment::path(&self.folder, number);
            let Ok(metadata) = std::fs::metadata(&path) else {
                continue;
            };
            kept = kept.saturating_add(metadata.len());
            let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
            if kept <= self.settings.keep_bytes && age.is_none_or(|age| age <= self.settings.keep_for) {
                continue;
            }
            match std::fs::remove_file(path) {
                Ok(()) => tracing::info!(number, "removed an old segment of the verdict journal"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, number, "an old segment of the verdict journal cannot be removed");
                }
            }
        }
    }
}

/// Whether the next batch is gathered before it is written. How many would come is not known before it was tried: a
/// request waits in its socket where nobody counts it.
#[derive(Debug, Default)]
struct Pace {
    gathers: bool,
    /// How often it was in vain since it last was not.
    misses: usize,
    /// Records until the next try.
    rest: usize,
}

impl Pace {
    fn took(&mut self, records: usize) {
        if self.gathers {
            self.misses = if records >= CROWD { 0 } else { self.misses + 1 };
            self.gathers = self.misses < MISSES;
            self.rest = TRY_AFTER;
        } else {
            self.rest = self.rest.saturating_sub(records);
            self.gathers = self.rest == 0 && records > 1;
            self.misses = 0;
        }
    }
}

/// Ends the queue with the thread that serves it.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        let answered = self.0.end();
        if answered > 0 {
            tracing::error!(answered, "records were given up whose admissions are answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives how many of the batches are gathered.
    fn gathered(pace: &mut Pace, batches: impl IntoIterator<Item = usize>) -> usize {
        let gathers = |records| {
            let gathers = pace.gathers;
            pace.took(records);
            usize::from(gathers)
        };
        batches.into_iter().map(gathers).sum()
    }

    #[test]
    fn a_crowd_is_gathered_until_it_is_gone() {
        let mut pace = Pace::default();
        assert_eq!(gathered(&mut pace, [2; 1]), 0);
        assert_eq!(gathered(&mut pace, [32; 100]), 100);
        assert_eq!(gathered(&mut pace, [2, 2, 32]), 3);
        assert_eq!(gathered(&mut pace, [2; 100]), MISSES);
    }

    #[test]
    fn a_lone_record_never_waits() {
        let batches = std::iter::repeat_n(1, 10_000);
        assert_eq!(gathered(&mut Pace::default(), batches), 0);
    }

    #[test]
    fn few_wait_in_vain() {
        let (batch, batches) = (4, 100_000);
        let in_vain = batch * gathered(&mut Pace::default(), std::iter::repeat_n(batch, batches));
        assert!(in_vain > 0 && in_vain * 100 < batch * batches, "{in_vain}");
    }
}
