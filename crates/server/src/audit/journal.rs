//! The journal's handle: hands records to the writer and gives back a promise of durability.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use binauthz_keyring::MasterKey;
use binauthz_wire::logging::MAX_ENTRY;

use super::log::{self, NotOurs, SignedLog};
use super::queue::{Fate, Queue};
use super::segment::{self, Segment};
use super::walk::{self, Direction, Line, Parts, Position, Way};
use super::writer::{self, Progress, Writer};
use crate::settings::Retention;

/// The longest record of a verdict or a call. Longer ones are for their maker to shorten.
pub(crate) const MAXIMUM_RECORD: usize = 16 * 1024;

/// How large the journal may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalSettings {
    /// A segment this long is followed by a new one.
    pub segment_bytes: u64,
    /// Bytes of sealed segments kept; older ones are removed.
    pub keep_bytes: u64,
    /// Time that sealed segments are kept.
    pub keep_for: Duration,
    /// The longest record; at most 4 MiB.
    pub longest: usize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self::of_verdicts(Retention::VERDICTS)
    }
}

impl JournalSettings {
    /// For verdicts and calls.
    pub(crate) fn of_verdicts(retention: Retention) -> Self {
        Self {
            segment_bytes: 64 << 20,
            keep_bytes: retention.bytes(),
            keep_for: retention.time(),
            longest: MAXIMUM_RECORD,
        }
    }

    /// For what others write: in a journal of its own it cannot push verdicts out.
    pub(crate) fn of_entries(retention: Retention) -> Self {
        Self {
            // An entry, and what makes it a record.
            longest: MAX_ENTRY + 1_024,
            ..Self::of_verdicts(retention)
        }
    }
}

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the verdict journal in `{}`", folder.display())]
pub struct OpenJournalError {
    folder: PathBuf,
    source: io::Error,
}

/// Why a record is not durable.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The disk refused.
    #[error("the verdict journal cannot be written: {0}")]
    Write(Arc<io::Error>),
    /// More is waiting than the disk can take.
    #[error("the verdict journal is overloaded")]
    Overloaded,
    /// A record longer than the journal takes.
    #[error("a record has {length} bytes, expected at most {most}")]
    TooLong {
        /// Its own length.
        length: usize,
        /// The longest.
        most: usize,
    },
    /// Not a JSON object.
    #[error("a verdict record is not a JSON object")]
    NotAnObject,
    /// The writer is gone.
    #[error("the verdict journal is closed")]
    Closed,
}

/// An append-only file of JSON lines. Clones share one writer. Dropping the last one waits until what was appended is
/// written and the file is closed.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    writing: Arc<Writing>,
    progress: Arc<Progress>,
    verifier_key: Arc<str>,
    broken: bool,
    longest: usize,
}

/// The way to the writer, and its end.
#[derive(Debug)]
struct Writing {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of the verdict journal panicked");
        }
    }
}

impl Journal {
    /// Opens the journal in `folder` (made if missing), repairs a torn end, starts the writer. A log that was tampered
    /// with is never gone on with: its folder is moved aside, and a new log begins.
    ///
    /// # Errors
    /// [`OpenJournalError`] when the folder or its newest segment cannot be used.
    pub(crate) fn open(
        folder: &Path,
        settings: JournalSettings,
        master: &MasterKey,
    ) -> Result<Self, OpenJournalError> {
        let failed = |source| OpenJournalError {
            folder: folder.to_owned(),
            source,
        };
        let (log, broken) = open_log(folder, master).map_err(failed)?;
        let newest = segment::numbers(folder).map_err(failed)?;
        let newest = newest.last().copied().unwrap_or(1);
        let segment = Segment::open(folder, newest).map_err(failed)?;
        let verifier_key = log.verifier_key().to_string().into();
        let queue = Arc::new(writer::queue(&settings));
        let progress = Arc::new(Progress::default());
        progress.reached(Position {
            segment: newest,
            offset: segment.length,
        });
        let writer = Writer::new(
            folder.to_owned(),
            settings,
            (log, segment),
            Arc::clone(&queue),
            Arc::clone(&progress),
        );
        let thread = std::thread::Builder::new()
            .name("verdict-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            writing: Arc::new(Writing {
                queue,
                thread: Some(thread),
            }),
            progress,
            verifier_key,
            broken,
            longest: settings.longest,
        })
    }

    /// Appends one JSON object. The future is done when the record is on disk; until it is awaited nothing is known.
    /// Control and direction characters are escaped here, so that one record is one line whatever is in it.
    pub(crate) fn append(
        &self,
        record: Vec<u8>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + use<> {
        self.append_within(record, None)
    }

    /// As [`Journal::append`]; with `patience` the future is done at once while the disk keeps up: the last batch is on
    /// it, and no record that nobody waited for is older than that.
    pub(crate) fn append_within(
        &self,
        record: Vec<u8>,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + use<> {
        let queued = self.enqueue(record, patience);
        async move {
            match queued? {
                Some(fate) => fate.known().await,
                None => Ok(()),
            }
        }
    }

    fn enqueue(
        &self,
        record: Vec<u8>,
        patience: Option<Duration>,
    ) -> Result<Option<Arc<Fate>>, JournalError> {
        let line = escape(record);
        if !(line.len() > 2 && line.starts_with(b"{") && line.ends_with(b"}")) {
            return Err(JournalError::NotAnObject);
        }
        if line.len() > self.longest {
            let (length, most) = (line.len(), self.longest);
            return Err(JournalError::TooLong { length, most });
        }
        self.writing.queue.push(&line, patience)
    }

    /// Has what no checkpoint speaks for signed, soon. To be called by the clock.
    pub(crate) fn sign_soon(&self) {
        self.writing.queue.want_checkpoint();
    }

    /// The newest signed checkpoint, for whoever keeps one elsewhere. Blocks on the disk.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn checkpoint(&self) -> io::Result<Option<String>> {
        log::published(&self.folder)
    }

    /// The key that checkpoints verify under, as people pass it on.
    pub(crate) fn verifier_key(&self) -> &str {
        &self.verifier_key
    }

    /// Whether a log that was not whole was found at the start and moved aside.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives each record's line to `each`, in this direction, from this place on if one is given. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn walk(&self, way: Way, each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>) -> io::Result<()> {
        self.walk_parts(way, walk::EVERYTHING, each)
    }

    /// As [`Journal::walk`], of these parts only. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn walk_parts(
        &self,
        way: Way,
        parts: Parts<'_>,
        each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        if let (Direction::Forward, Some(from)) = way
            && self.progress.recent.walk(from, each).is_some()
        {
            return Ok(());
        }
        walk::walk(&self.folder, self.progress.end(), way, parts, each)
    }

    /// Where the records that are on disk end. Looks at memory only.
    pub(crate) fn end(&self) -> Position {
        self.progress.end()
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The numbers of its segments, the oldest first.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        segment::numbers(&self.folder)
    }

    /// A segment to read from.
    ///
    /// # Errors
    /// The system's; rotation may have removed it.
    pub(crate) fn segment(&self, number: u64) -> io::Result<File> {
        File::open(segment::path(&self.folder, number))
    }

    /// The first line of each segment, from the oldest on, of which `wanted` says something. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn firsts<T>(&self, wanted: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<(u64, T)>> {
        walk::firsts(&self.folder, wanted)
    }

    /// How often the disk was synced; many records share one sync.
    #[must_use]
    pub(crate) fn syncs(&self) -> u64 {
        self.progress.syncs()
    }

    /// Records that nobody waited for and that the disk then refused.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.progress.lost()
    }
}

/// The log of the folder, and whether another one had to be moved out of its way.
fn open_log(folder: &Path, master: &MasterKey) -> io::Result<(SignedLog, bool)> {
    std::fs::create_dir_all(folder)?;
    let why = match SignedLog::open(folder, master) {
        Ok(log) => return Ok((log, false)),
        Err(NotOurs::Io(error)) => return Err(error),
        Err(why) => why,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    let aside = folder.with_extension(format!("broken-{seconds}"));
    tracing::error!(%why, aside = %aside.display(), "the verdict log is not whole: it is moved aside and a new one begins");
    std::fs::rename(folder, aside)?;
    std::fs::create_dir_all(folder)?;
    match SignedLog::open(folder, master) {
        Ok(log) => Ok((log, true)),
        Err(why) => Err(io::Error::other(why.to_string())),
    }
}

/// Escapes what a terminal or a line reader would act on: C0 and C1 controls, DEL, line separators, bidirectional
/// overrides, byte order mark. JSON has raw non-ASCII characters only within strings, where `\uXXXX` means the same.
pub(crate) fn escape(record: Vec<u8>) -> Vec<u8> {
    if is_plain(&record) {
        return record;
    }
    let text = String::from_utf8_lossy(&record);
    let mut escaped = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if character.is_control() || acts_on_display(character) {
            use std::fmt::Write as _;
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped.into_bytes()
}

/// Whether there is nothing to escape: printable ASCII, the rule. 0x7f and up cannot be told from harmless text by one
/// byte. In chunks without an early end, which the compiler turns into vector instructions.
fn is_plain(record: &[u8]) -> bool {
    let printable = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(true, |all, byte| all & (byte.wrapping_sub(0x20) < 0x5f))
    };
    record.chunks(64).all(printable)
}

/// Whether a display acts on it instead of showing it.
pub(crate) fn acts_on_display(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests;
