//! The journal's thread: takes what has gathered, writes it in one go, syncs once, tells everybody.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::journal::{JournalError, JournalSettings};
use super::log::{self, Draft, SignedLog};
use super::segment::{self, Segment};
use super::tail::Position;

/// What the writer is asked to do.
pub(super) enum Task {
    /// Write a record.
    Record(Entry),
    /// Sign for what no checkpoint speaks for yet.
    Checkpoint,
}

/// One record on its way to the disk.
pub(super) struct Entry {
    pub(super) line: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<(), JournalError>>,
}

/// Records per sync. 512 × 16 KiB = 8 MiB at the very most; typical batches are a few 10 KiB.
const BATCH: usize = 512;
/// Fewer where records may be longer.
const BATCH_BYTES: usize = 8 << 20;

/// When the last batch was at least this large, the next one is gathered before it is written: verdicts come in faster
/// than the disk syncs, and a sync costs the same for few and for many. A lone verdict never waits.
const CROWD: usize = 4;
/// One look at what has come in since; gathering ends when nothing has.
const GATHER: Duration = Duration::from_micros(150);
/// 6 × 0.15 ms: gathering delays no verdict by more than 1 ms.
const MOST_LOOKS: usize = 6;

/// Segments live for days; looking at their age once an hour is enough.
const TIDY: Duration = Duration::from_secs(3_600);

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
    log: SignedLog,
    segment: Option<Segment>,
    tasks: mpsc::Receiver<Task>,
    progress: Arc<Progress>,
    tidied: Instant,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        settings: JournalSettings,
        (log, segment): (SignedLog, Segment),
        tasks: mpsc::Receiver<Task>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            folder,
            settings,
            log,
            segment: Some(segment),
            tasks,
            progress,
            tidied: Instant::now(),
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self) {
        let most = self.most();
        let mut tasks = Vec::with_capacity(most);
        let mut crowded = false;
        while self.tasks.blocking_recv_many(&mut tasks, most) > 0 {
            if crowded {
                self.gather(&mut tasks);
            }
            crowded = tasks.len() >= CROWD;
            self.perform(&mut tasks);
        }
        // The end of the log is signed for too.
        self.perform(&mut vec![Task::Checkpoint]);
    }

    fn most(&self) -> usize {
        (BATCH_BYTES / self.settings.longest.max(1)).clamp(1, BATCH)
    }

    fn perform(&mut self, tasks: &mut Vec<Task>) {
        let due = tasks.iter().any(|task| matches!(task, Task::Checkpoint));
        let entries: Vec<Entry> = tasks
            .drain(..)
            .filter_map(|task| match task {
                Task::Record(entry) => Some(entry),
                Task::Checkpoint => None,
            })
            .collect();
        if due {
            self.tidy();
        }
        if entries.is_empty() && !self.log.is_unsigned() {
            return;
        }
        let written = self.write(&entries, due).map_err(|error| {
            tracing::error!(%error, "the verdict journal cannot be written");
            JournalError::Write(Arc::new(error))
        });
        for entry in entries {
            // Nobody waiting any more is not an error: the record is there all the same.
            let _ = entry.done.send(written.clone());
        }
    }

    /// Takes what comes in until nothing more does.
    #[expect(
        clippy::disallowed_methods,
        reason = "the event is that nothing happens: waking up for each record would cost what sharing a sync saves"
    )]
    fn gather(&mut self, batch: &mut Vec<Task>) {
        let most = self.most();
        for _ in 0..MOST_LOOKS {
            std::thread::sleep(GATHER);
            let before = batch.len();
            while batch.len() < most
                && let Ok(task) = self.tasks.try_recv()
            {
                batch.push(task);
            }
            if batch.len() == before || batch.len() == most {
                return;
            }
        }
    }

    /// Appends and syncs. On failure the segment is cut back to its last whole record and left: after a failed sync
    /// nobody knows what the kernel kept, so the next batch starts a segment of its own. The log goes on from what was
    /// confirmed.
    fn write(&mut self, entries: &[Entry], checkpoint: bool) -> io::Result<()> {
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
        let mut draft = self.log.draft();
        if segment.length == 0 {
            self.log.begin_segment(&mut draft, segment.number);
        }
        for entry in entries {
            draft.add(&entry.line);
        }
        self.log.sign(&mut draft, checkpoint);
        self.segment = Some(self.append(segment, draft)?.0);
        Ok(())
    }

    /// Appends a draft and confirms it; the new checkpoint is published, if there is one.
    fn append(&mut self, mut segment: Segment, draft: Draft) -> io::Result<(Segment, Option<String>)> {
        let outcome = segment.append(&draft.lines);
        self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        outcome?;
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
        let mut draft = self.log.draft();
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
