//! Records on their way to the writer: gathered in one buffer, promised by one batch.
//!
//! Whoever appends copies its line behind the others and waits for the batch it is in. So a record costs no allocation
//! of its own, and a batch is told of its fate at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::journal::JournalError;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Records of one batch.
    pub(super) batch_records: usize,
    /// Bytes of one batch.
    pub(super) batch_bytes: usize,
    /// Records of all batches.
    pub(super) records: usize,
}

/// What becomes of the records of one batch.
#[derive(Debug, Default)]
pub(super) struct Fate {
    outcome: OnceLock<Result<(), JournalError>>,
    known: Notify,
}

impl Fate {
    /// Waits until it is known.
    pub(super) async fn known(&self) -> Result<(), JournalError> {
        // Whoever is told of it after this line is woken by it.
        let known = self.known.notified();
        if let Some(outcome) = self.outcome.get() {
            return outcome.clone();
        }
        known.await;
        self.outcome.get().cloned().unwrap_or(Err(JournalError::Closed))
    }

    fn decide(&self, outcome: Result<(), JournalError>) {
        // The first word counts.
        let _ = self.outcome.set(outcome);
        self.known.notify_waiters();
    }
}

/// Records that share a sync.
#[derive(Debug)]
pub(super) struct Batch {
    lines: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    /// A checkpoint is wanted.
    pub(super) checkpoint: bool,
    ahead: Option<Ahead>,
    fate: Arc<Fate>,
}

/// Records of a batch that nobody waits for.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// When the first of them came.
    since: Instant,
    count: u64,
}

impl Batch {
    /// A batch of nothing but a checkpoint.
    pub(super) fn checkpoint() -> Self {
        let mut batch = Self::with_room(Vec::new(), Vec::new());
        batch.checkpoint = true;
        batch
    }

    fn with_room(lines: Vec<u8>, ends: Vec<usize>) -> Self {
        Self {
            lines,
            ends,
            checkpoint: false,
            ahead: None,
            fate: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The length of all its lines.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.lines.get(start..*end).unwrap_or_default())
    }

    /// Tells everybody who waits for it.
    pub(super) fn decide(&self, outcome: Result<(), JournalError>) {
        self.fate.decide(outcome);
    }

    /// How many of its records nobody waits for.
    pub(super) fn ahead(&self) -> u64 {
        self.ahead.map_or(0, |ahead| ahead.count)
    }

    fn push(&mut self, line: &[u8], is_ahead: bool) -> Option<Arc<Fate>> {
        self.lines.extend_from_slice(line);
        self.ends.push(self.lines.len());
        if is_ahead {
            let first = || Ahead {
                since: Instant::now(),
                count: 0,
            };
            self.ahead.get_or_insert_with(first).count += 1;
            return None;
        }
        Some(Arc::clone(&self.fate))
    }
}

impl Drop for Batch {
    /// Nobody waits for what was given up.
    fn drop(&mut self) {
        self.fate.decide(Err(JournalError::Closed));
    }
}

/// Between those who append and the one who writes.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Batch>,
    records: usize,
    /// Room of batches that were written.
    spare: (Vec<u8>, Vec<usize>),
    /// The writer sleeps: the next to come wakes it.
    sleeps: bool,
    closed: bool,
    /// The last batch is on disk. Until one was, nobody is told that it need not wait.
    is_writing_well: bool,
    /// When the first record that nobody waits for came into the batch that is being written.
    writing_ahead_since: Option<Instant>,
}

impl Inner {
    /// Whether one more record may be on its way that nobody waits for: the disk takes what it is given, and what it was
    /// given first is no older than that.
    fn is_prompt(&self, patience: Duration) -> bool {
        let waiting = || self.batches.iter().find_map(|batch| Some(batch.ahead?.since));
        let first = self.writing_ahead_since.or_else(waiting);
        self.is_writing_well && first.is_none_or(|since| since.elapsed() <= patience)
    }
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            inner: Mutex::default(),
            arrived: Condvar::new(),
            bounds,
        }
    }

    /// Adds a record; its fate is its batch's. With `patience`, and while the disk keeps up, there is nothing to wait for.
    ///
    /// # Errors
    /// [`JournalError::Overloaded`] and [`JournalError::Closed`].
    pub(super) fn push(
        &self,
        line: &[u8],
        patience: Option<Duration>,
    ) -> Result<Option<Arc<Fate>>, JournalError> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(JournalError::Closed);
        }
        if inner.records >= self.bounds.records {
            return Err(JournalError::Overloaded);
        }
        inner.records += 1;
        let is_ahead = patience.is_some_and(|patience| inner.is_prompt(patience));
        let fits = |batch: &&mut Batch| {
            batch.len() < self.bounds.batch_records
                && (batch.ends.is_empty() || batch.lines.len() + line.len() <= self.bounds.batch_bytes)
        };
        let fate = match inner.batches.back_mut().filter(fits) {
            Some(batch) => batch.push(line, is_ahead),
            None => {
                let (lines, ends) = std::mem::take(&mut inner.spare);
                let mut batch = Batch::with_room(lines, ends);
                let fate = batch.push(line, is_ahead);
                inner.batches.push_back(batch);
                fate
            }
        };
        self.wake(inner);
        Ok(fate)
    }

    /// Asks for a checkpoint behind what waits now.
    pub(super) fn want_checkpoint(&self) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        match inner.batches.back_mut() {
            Some(batch) => batch.checkpoint = true,
            None => inner.batches.push_back(Batch::checkpoint()),
        }
        self.wake(inner);
    }

    /// Takes no more; what waits is still to be taken.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.wake(inner);
    }

    /// Takes no more and gives up what waits. Says how many records nobody waited for.
    pub(super) fn end(&self) -> u64 {
        self.close();
        let given_up = std::mem::take(&mut self.lock().batches);
        given_up.iter().map(Batch::ahead).sum()
    }

    /// Waits until something is there to be taken; says no when nothing will be any more. Blocks.
    pub(super) fn wait(&self) -> bool {
        let mut inner = self.lock();
        while inner.batches.is_empty() && !inner.closed {
            inner.sleeps = true;
            inner = self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.sleeps = false;
        }
        !inner.batches.is_empty()
    }

    /// The next batch. Nobody adds to it any more.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut inner = self.lock();
        let batch = inner.batches.pop_front()?;
        inner.records = inner.records.saturating_sub(batch.len());
        inner.writing_ahead_since = batch.ahead.map(|ahead| ahead.since);
        Some(batch)
    }

    /// How many records the next batch has; nothing when it takes no more.
    pub(super) fn gathering(&self) -> Option<usize> {
        let inner = self.lock();
        let first = inner.batches.front().map_or(0, Batch::len);
        (inner.batches.len() <= 1 && first < self.bounds.batch_records).then_some(first)
    }

    /// Gives the room of a batch whose fate is known to a later one.
    pub(super) fn reuse(&self, mut batch: Batch) {
        batch.lines.clear();
        batch.ends.clear();
        let room = (std::mem::take(&mut batch.lines), std::mem::take(&mut batch.ends));
        let mut inner = self.lock();
        inner.spare = room;
        inner.writing_ahead_since = None;
        // A batch of a checkpoint that nobody needs any more has no fate.
        if let Some(outcome) = batch.fate.outcome.get() {
            inner.is_writing_well = outcome.is_ok();
        }
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        // Once: until it is awake, others would wake it again.
        let sleeps = std::mem::take(&mut inner.sleeps);
        drop(inner);
        if sleeps {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Bounds {
            batch_records: 3,
            batch_bytes: 10,
            records: 5,
        })
    }

    fn waiting(queue: &Queue, line: &[u8]) -> Arc<Fate> {
        queue.push(line, None).unwrap().unwrap()
    }

    /// As the writer does it.
    fn write(queue: &Queue, outcome: Result<(), JournalError>) {
        let batch = queue.take().unwrap();
        batch.decide(outcome);
        queue.reuse(batch);
    }

    #[test]
    fn nobody_goes_ahead_of_a_disk_that_does_not_keep_up() {
        let queue = queue();
        let patience = Some(Duration::from_secs(3_600));
        let goes_ahead = |patience| queue.push(b"a", patience).unwrap().is_none();
        assert!(!goes_ahead(patience), "nothing is known of the disk yet");
        write(&queue, Ok(()));
        assert!(goes_ahead(patience) && !goes_ahead(None));
        let batch = queue.take().unwrap();
        assert_eq!((batch.len(), batch.ahead()), (2, 1));
        // It is being written still, and then another one waits for it.
        let age = batch.ahead.unwrap().since;
        while age.elapsed() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        assert!(goes_ahead(patience) && !goes_ahead(Some(Duration::from_millis(1))));
        batch.decide(Ok(()));
        queue.reuse(batch);
        let (younger, older) = (Duration::from_millis(1), Duration::from_secs(3_600));
        let age = queue.lock().batches[0].ahead.unwrap().since;
        while age.elapsed() < 2 * younger {
            std::thread::yield_now();
        }
        assert!(!goes_ahead(Some(younger)) && goes_ahead(Some(older)));
        write(&queue, Err(JournalError::Closed));
        assert!(!goes_ahead(patience), "the disk refused");
        // A checkpoint without a record says nothing of the disk.
        while queue.take().is_some() {}
        queue.reuse(Batch::checkpoint());
        assert!(!goes_ahead(patience));
        write(&queue, Ok(()));
        assert!(goes_ahead(patience));
        assert_eq!(queue.end(), 1);
    }

    fn texts(batch: &Batch) -> Vec<String> {
        batch
            .lines()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    #[tokio::test]
    async fn records_come_in_order_in_batches_that_are_bounded() {
        let queue = queue();
        let mut fates = Vec::new();
        for line in ["a", "bb", "c", "123456789", "e"] {
            fates.push(waiting(&queue, line.as_bytes()));
        }
        assert!(matches!(queue.push(b"f", None), Err(JournalError::Overloaded)));
        let taken: Vec<Batch> = std::iter::from_fn(|| queue.take()).collect();
        let all: Vec<Vec<String>> = taken.iter().map(texts).collect();
        assert_eq!(all, [vec!["a", "bb", "c"], vec!["123456789", "e"]]);
        assert!(queue.push(b"f", None).is_ok(), "there is room again");
        taken[0].decide(Ok(()));
        for fate in &fates[..3] {
            fate.known().await.unwrap();
        }
        drop(taken);
        for fate in &fates[3..] {
            assert!(matches!(fate.known().await, Err(JournalError::Closed)));
        }
    }

    #[tokio::test]
    async fn a_line_longer_than_a_batch_has_one_to_itself() {
        let queue = queue();
        let _ = waiting(&queue, b"a");
        let _ = waiting(&queue, b"0123456789012345");
        let _ = waiting(&queue, b"b");
        let sizes: Vec<usize> = std::iter::from_fn(|| queue.take())
            .map(|batch| batch.len())
            .collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_writer_ends() {
        let queue = Arc::new(queue());
        let fate = waiting(&queue, b"a");
        let waiting = tokio::spawn(async move { fate.known().await });
        queue.end();
        assert!(matches!(waiting.await.unwrap(), Err(JournalError::Closed)));
        assert!(matches!(queue.push(b"b", None), Err(JournalError::Closed)));
        assert!(!queue.wait());
    }

    #[test]
    fn a_checkpoint_is_wanted_behind_what_waits() {
        let queue = queue();
        queue.want_checkpoint();
        let batch = queue.take().unwrap();
        assert!(batch.checkpoint && batch.len() == 0);
        let _ = waiting(&queue, b"a");
        queue.want_checkpoint();
        let batch = queue.take().unwrap();
        assert!(batch.checkpoint && batch.len() == 1);
        queue.reuse(batch);
        let _ = waiting(&queue, b"b");
        let batch = queue.take().unwrap();
        assert!(!batch.checkpoint);
        assert_eq!(texts(&batch), ["b"]);
    }

    #[test]
    fn a_sleeping_writer_is_woken() {
        let queue = Arc::new(queue());
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut records = 0;
                while queue.wait() {
                    records += queue.take().map_or(0, |batch| batch.len());
                }
                records
            }
        });
        for _ in 0..100 {
            while queue.push(b"a", None).is_err() {
                std::thread::yield_now();
            }
        }
        queue.close();
        assert_eq!(writer.join().unwrap(), 100);
    }
}
