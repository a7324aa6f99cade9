//! The journal's handle: hands records to the writer and gives back a promise of durability.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::segment::{self, Segment};
use super::tail::{Page, Position, Row, Tail};
use super::writer::{Entry, Progress, Writer};

/// The longest record. Longer ones are for their maker to shorten.
pub(crate) const MAXIMUM_RECORD: usize = 16 * 1024;

/// Records waiting for the writer. 2 048 × 16 KiB = 32 MiB at worst, some 2 MiB as a rule.
const QUEUE: usize = 2_048;

/// How large the journal may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalSettings {
    /// A segment this long is followed by a new one.
    pub segment_bytes: u64,
    /// Segments kept; older ones are removed. 64 × 64 MiB = 4 GiB, about four million verdicts.
    pub keep_segments: usize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            keep_segments: 64,
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
    /// A record longer than [`MAXIMUM_RECORD`].
    #[error("a verdict record has {0} bytes, expected at most {MAXIMUM_RECORD}")]
    TooLong(usize),
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
}

/// The way to the writer, and its end.
#[derive(Debug)]
struct Writing {
    /// There until the drop.
    entries: Option<mpsc::Sender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of the verdict journal panicked");
        }
    }
}

impl Journal {
    /// Opens the journal in `folder` (made if missing), repairs a torn end, starts the writer.
    ///
    /// # Errors
    /// [`OpenJournalError`] when the folder or its newest segment cannot be used.
    pub(crate) fn open(folder: &Path, settings: JournalSettings) -> Result<Self, OpenJournalError> {
        let failed = |source| OpenJournalError {
            folder: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let newest = segment::numbers(folder)
            .map_err(failed)?
            .last()
            .copied()
            .unwrap_or(1);
        let segment = Segment::open(folder, newest).map_err(failed)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let progress = Arc::new(Progress::default());
        progress.reached(Position {
            segment: newest,
            offset: segment.length,
        });
        let writer = Writer::new(
            folder.to_owned(),
            settings,
            segment,
            receiver,
            Arc::clone(&progress),
        );
        let thread = std::thread::Builder::new()
            .name("verdict-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            writing: Arc::new(Writing {
                entries: Some(sender),
                thread: Some(thread),
            }),
            progress,
        })
    }

    /// Appends one JSON object. The future is done when the record is on disk; until it is awaited nothing is known.
    /// Control and direction characters are escaped here, so that one record is one line whatever is in it.
    pub(crate) fn append(&self, record: Vec<u8>) -> Durable {
        let line = escape(record);
        if line.len() > MAXIMUM_RECORD {
            return Durable(State::Failed(Some(JournalError::TooLong(line.len()))));
        }
        let (done, durable) = oneshot::channel();
        let entry = Entry { line, done };
        match self
            .writing
            .entries
            .as_ref()
            .map(|entries| entries.try_send(entry))
        {
            Some(Ok(())) => Durable(State::Waiting(durable)),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Durable(State::Failed(Some(JournalError::Overloaded)))
            }
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => {
                Durable(State::Failed(Some(JournalError::Closed)))
            }
        }
    }

    /// The newest records first, until `limit` are found for which `wanted` says yes. Blocks on the disk; call it
    /// on a blocking thread.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn tail(&self, query: &Tail, wanted: impl FnMut(&Row) -> bool) -> io::Result<Page> {
        super::tail::read(&self.folder, self.progress.end(), query, wanted)
    }

    /// How often the disk was synced; many records share one sync.
    #[must_use]
    pub(crate) fn syncs(&self) -> u64 {
        self.progress.syncs()
    }
}

/// Resolves when a record is on disk or certainly not reported as such.
#[derive(Debug)]
#[must_use = "an unawaited record may never reach the disk"]
pub(crate) struct Durable(State);

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<(), JournalError>>),
    Failed(Option<JournalError>),
}

impl Future for Durable {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Waiting(done) => Pin::new(done)
                .poll(cx)
                .map(|result| result.unwrap_or(Err(JournalError::Closed))),
            State::Failed(error) => Poll::Ready(Err(error.take().unwrap_or(JournalError::Closed))),
        }
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
pub(crate) fn is_plain(record: &[u8]) -> bool {
    let printable = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(true, |all, byte| all & (byte.wrapping_sub(0x20) < 0x5f))
    };
    record.chunks(64).all(printable)
}

fn acts_on_display(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests;
