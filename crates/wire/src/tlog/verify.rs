//! Whether a log is what was written: line by line, offline, from the files alone.

use std::collections::{BTreeMap, VecDeque};

use super::record::checkpoint_note;
use super::{Chain, Checkpoint, Header, InvalidNote, Link, Tree, VerifierKey};

/// Lines of one batch at most. When a disk fails in a batch, what it kept of it stays in the file that is left, and the
/// next file goes on from before the batch.
const LONGEST_BATCH: usize = 1_024;

/// Where a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its name.
    pub origin: String,
    /// All its lines.
    pub tree: Tree,
    /// The chain after the last.
    pub chain: Chain,
}

impl Log {
    /// A log without lines.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            tree: Tree::default(),
            chain: Chain::genesis(origin),
        }
    }

    /// The statement that could be signed now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.origin.clone(),
            size: self.tree.size(),
            root: self.tree.root(),
        }
    }

    /// Appends the line of a record to `bytes`, with a line end, and counts it. False if `record` is no JSON object.
    pub fn append(&mut self, bytes: &mut Vec<u8>, record: &[u8]) -> bool {
        let from = bytes.len();
        let Some(chain) = Link::append(bytes, record, self.tree.size(), &self.chain) else {
            bytes.truncate(from);
            return false;
        };
        self.tree.push(chain.as_bytes());
        self.chain = chain;
        bytes.push(b'\n');
        true
    }
}

/// The first thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No record of this log's form.
    #[error("this is not a record of the log")]
    NotARecord,
    /// A line is missing, or in another place.
    #[error("the record is number {got}, expected {expected}: records were removed, added or moved")]
    WrongSequence {
        /// The number that was to come.
        expected: u64,
        /// The line's.
        got: u64,
    },
    /// The line is not what was written, or does not follow the one before.
    #[error("record {0} was changed, or does not follow the one before it")]
    ChainBroken(u64),
    /// A file of another log.
    #[error("this belongs to the log `{got}`, expected `{expected}`")]
    OtherLog {
        /// The log being verified.
        expected: String,
        /// The other one.
        got: String,
    },
    /// The first line of a file does not describe what came before it.
    #[error("the first line of the file does not fit what came before it")]
    HeaderMismatch,
    /// A checkpoint that cannot be believed.
    #[error("the checkpoint in record {sequence} cannot be believed: {why}")]
    BadCheckpoint {
        /// The record.
        sequence: u64,
        /// Why.
        why: InvalidNote,
    },
    /// What was signed is not what is there.
    #[error("the records up to {size} are not those that were signed; they still were up to {since}")]
    RootMismatch {
        /// The size that was signed.
        size: u64,
        /// The last size at which all was well.
        since: u64,
    },
    /// The log once was longer.
    #[error("the log has {have} records, and a checkpoint was signed over {signed}: its end is missing")]
    Truncated {
        /// Records found.
        have: u64,
        /// Records signed for.
        signed: u64,
    },
    /// No line at all.
    #[error("there is no record")]
    Empty,
}

/// What a good log comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub origin: String,
    /// The number of the first line that was looked at; older files may have been removed.
    pub first: u64,
    /// Lines in all.
    pub size: u64,
    /// Lines up to which a signature holds.
    pub signed: u64,
    /// Lines that a failing disk kept though they were never confirmed.
    pub unconfirmed: u64,
    /// Whether the checkpoint kept elsewhere speaks of this very log. False without one, and where the files that
    /// reach back to it were removed.
    pub anchored: bool,
}

/// Verifies a log. Give it the lines of all files in order.
#[derive(Debug)]
pub struct Verifier {
    key: VerifierKey,
    /// What was signed elsewhere than in the lines, by the size it speaks of.
    stated: BTreeMap<u64, Vec<Checkpoint>>,
    /// The size of the checkpoint that was kept elsewhere.
    anchor: Option<u64>,
    anchored: bool,
    log: Option<Log>,
    /// The last states, to go back to where a failed batch began.
    before: VecDeque<Log>,
    at_start_of_file: bool,
    first: u64,
    signed: u64,
    unconfirmed: u64,
}

impl Verifier {
    /// For the log whose key this is. `anchor` is a checkpoint that was kept elsewhere: the log must have been what it
    /// says when it was that long.
    pub fn new(key: VerifierKey, anchor: Option<Checkpoint>) -> Self {
        let mut verifier = Self {
            key,
            stated: BTreeMap::new(),
            anchor: anchor.as_ref().map(|anchor| anchor.size),
            anchored: false,
            log: None,
            before: VecDeque::new(),
            at_start_of_file: true,
            first: 0,
            signed: 0,
            unconfirmed: 0,
        };
        if let Some(anchor) = anchor {
            verifier.agree_with(anchor);
        }
        verifier
    }

    /// Another checkpoint that the log must agree with, to be given before the lines.
    pub fn agree_with(&mut self, checkpoint: Checkpoint) {
        self.stated.entry(checkpoint.size).or_default().push(checkpoint);
    }

    /// The next line is the first of a file.
    pub fn begin_file(&mut self) {
        self.at_start_of_file = true;
    }

    /// The next line, without its line end.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if self.at_start_of_file {
            self.header(line)?;
            self.at_start_of_file = false;
        }
        let log = self.log.as_mut().ok_or(Fault::Empty)?;
        let link = Link::of(line).ok_or(Fault::NotARecord)?;
        let expected = log.tree.size();
        if link.sequence != expected {
            return Err(Fault::WrongSequence {
                expected,
                got: link.sequence,
            });
        }
        if log.chain.extended(link.covered) != link.chain {
            return Err(Fault::ChainBroken(link.sequence));
        }
        meets(self.stated.get(&expected), log, self.signed)?;
        self.anchored |= self.anchor == Some(expected);
        if let Some(note) = checkpoint_note(line) {
            self.signed = check(&note, &self.key, log, self.signed)?;
        }
        if self.before.len() == LONGEST_BATCH {
            self.before.pop_front();
        }
        self.before.push_back(log.clone());
        log.chain = link.chain;
        log.tree.push(link.chain.as_bytes());
        Ok(())
    }

    /// Where the log stands, for whoever goes on writing it.
    pub fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// All lines were given.
    pub fn finish(mut self) -> Result<Summary, Fault> {
        let log = self.log.take().ok_or(Fault::Empty)?;
        let size = log.tree.size();
        meets(self.stated.get(&size), &log, self.signed)?;
        self.anchored |= self.anchor == Some(size);
        if let Some((&signed, _)) = self.stated.last_key_value().filter(|(signed, _)| **signed > size) {
            return Err(Fault::Truncated { have: size, signed });
        }
        Ok(Summary {
            origin: log.origin,
            first: self.first,
            size,
            signed: self.signed,
            unconfirmed: self.unconfirmed,
            anchored: self.anchored,
        })
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Fault> {
        let header = Header::read(line).ok_or(Fault::NotARecord)?;
        if header.origin != self.key.name() {
            return Err(Fault::OtherLog {
                expected: self.key.name().to_owned(),
                got: header.origin,
            });
        }
        let stated = Log {
            origin: header.origin,
            tree: header.tree,
            chain: header.chain,
        };
        let Some(log) = &self.log else {
            self.first = stated.tree.size();
            if self.first == 0 && stated != Log::new(&stated.origin) {
                return Err(Fault::HeaderMismatch);
            }
            self.log = Some(stated);
            return Ok(());
        };
        if *log == stated {
            return Ok(());
        }
        let known = self.before.iter().any(|log| *log == stated);
        // What was signed was confirmed; nobody goes back behind it.
        if !known || stated.tree.size() < self.signed {
            return Err(Fault::HeaderMismatch);
        }
        self.unconfirmed += log.tree.size() - stated.tree.size();
        self.before.retain(|log| log.tree.size() < stated.tree.size());
        self.log = Some(stated);
        Ok(())
    }
}

/// Compares the log with what was stated of it at this size, if anything was.
fn meets(stated: Option<&Vec<Checkpoint>>, log: &Log, since: u64) -> Result<(), Fault> {
    let Some(stated) = stated else { return Ok(()) };
    let is = log.checkpoint();
    match stated.iter().all(|stated| *stated == is) {
        true => Ok(()),
        false => Err(Fault::RootMismatch { size: is.size, since }),
    }
}

/// The size a checkpoint in the log speaks for.
fn check(note: &str, key: &VerifierKey, log: &Log, since: u64) -> Result<u64, Fault> {
    let sequence = log.tree.size();
    let checkpoint = Checkpoint::open(note, key).map_err(|why| Fault::BadCheckpoint { sequence, why })?;
    if checkpoint.origin != log.origin {
        return Err(Fault::OtherLog {
            expected: log.origin.clone(),
            got: checkpoint.origin,
        });
    }
    if checkpoint.size != sequence || checkpoint.root != log.tree.root() {
        return Err(Fault::RootMismatch {
            size: checkpoint.size,
            since,
        });
    }
    Ok(sequence)
}
