//! The log a journal keeps: its name, its key, and where it stands. Only what is on disk counts.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use binauthz_keyring::{LogSigner, MasterKey};
use binauthz_wire::tlog::{Checkpoint, Fault, Header, Log, Verifier, VerifierKey, checkpoint_body};

use super::segment::{self, path};
use crate::files::write_whole;

/// The log's name: whoever verifies the log must know it.
pub(super) const ORIGIN: &str = "origin";
/// The private key, sealed under the master key.
const SEALED: &str = "signer.sealed";
/// The public key, to give to others.
const VERIFIER: &str = "log.vkey";
/// The newest checkpoint, to be fetched and kept elsewhere.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Records per checkpoint under load: a tenth of a second's. Without load the clock makes one. A signature costs 15 µs, and
/// to publish it 40 µs.
const RECORDS_PER_CHECKPOINT: u64 = 1_024;

/// Lines on their way to the disk, and where the log will stand when they are there.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) lines: Vec<u8>,
    log: Log,
    signed: u64,
    note: Option<String>,
}

/// The log and its key.
#[derive(Debug)]
pub(super) struct SignedLog {
    log: Log,
    signer: LogSigner,
    key: VerifierKey,
    /// Lines up to the last checkpoint and with it.
    signed: u64,
}

impl SignedLog {
    /// The log of `folder`, as far as its files go; a new one in an empty folder.
    ///
    /// # Errors
    /// [`NotOurs`] when what is there is not a whole log signed by its own key: nothing may be appended to it.
    pub(super) fn open(folder: &Path, master: &MasterKey) -> Result<Self, NotOurs> {
        let origin = match read_text(&folder.join(ORIGIN))? {
            Some(origin) => origin,
            None if segment::numbers(folder)?.is_empty() => return Self::create(folder, master),
            None => return Err(NotOurs::Key("the log's name is missing".to_owned())),
        };
        let sealed = std::fs::read(folder.join(SEALED))?;
        let signer =
            LogSigner::open(master, &origin, &sealed).map_err(|why| NotOurs::Key(why.to_string()))?;
        let key = VerifierKey::new(&origin, signer.public()).map_err(|why| NotOurs::Key(why.to_string()))?;
        let log = replay(folder, &key)?.unwrap_or_else(|| Log::new(&origin));
        // A checkpoint is published when what it speaks of is on disk. One that cannot be read tells nothing: a power cut
        // may have left it so.
        let published = published(folder)
            .ok()
            .flatten()
            .and_then(|note| Checkpoint::open(&note, &key).ok());
        if let Some(signed) = published.map(|checkpoint| checkpoint.size)
            && signed > log.tree.size()
        {
            let have = log.tree.size();
            return Err(NotOurs::Short(Fault::Truncated { have, signed }));
        }
        Ok(Self {
            log,
            signer,
            key,
            signed: 0,
        })
    }

    fn create(folder: &Path, master: &MasterKey) -> Result<Self, NotOurs> {
        let failed = |why: &dyn std::fmt::Display| NotOurs::Io(io::Error::other(why.to_string()));
        let mut name = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut name).map_err(|why| failed(&why))?;
        let origin = format!("binauthz/log/{}", hex::encode(name));
        let signer = LogSigner::generate().map_err(|why| failed(&why))?;
        let key = VerifierKey::new(&origin, signer.public()).map_err(|why| failed(&why))?;
        let sealed = signer.seal(master, &origin).map_err(|why| failed(&why))?;
        write_new(&folder.join(SEALED), &sealed)?;
        write_new(&folder.join(VERIFIER), format!("{key}\n").as_bytes())?;
        // Last: with the name the log exists.
        write_new(&folder.join(ORIGIN), origin.as_bytes())?;
        File::open(folder)?.sync_all()?;
        Ok(Self {
            log: Log::new(&origin),
            signer,
            key,
            signed: 0,
        })
    }

    /// Seals the log's key anew where the master key before this one sealed it; whether it did.
    ///
    /// # Errors
    /// What could not be read, opened or written.
    pub(super) fn reseal(folder: &Path, master: &MasterKey) -> Result<bool, String> {
        let path = folder.join(SEALED);
        let named = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
        let Some(origin) = read_text(&folder.join(ORIGIN)).map_err(|error| named(&error))? else {
            return Ok(false);
        };
        let sealed = std::fs::read(&path).map_err(|error| named(&error))?;
        let again = LogSigner::reseal(master, &origin, &sealed).map_err(|error| named(&error))?;
        let Some(again) = again else { return Ok(false) };
        write_whole(&path, &again, 0o600).map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// The key that checkpoints verify under.
    pub(super) fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Lines that follow those on disk.
    pub(super) fn draft(&self, room: usize) -> Draft {
        Draft {
            lines: Vec::with_capacity(room),
            log: self.log.clone(),
            signed: self.signed,
            note: None,
        }
    }

    /// Whether there are lines that no checkpoint speaks for.
    pub(super) fn is_unsigned(&self) -> bool {
        self.log.tree.size() > self.signed
    }

    /// Adds the first line of the segment `number`.
    pub(super) fn begin_segment(&self, draft: &mut Draft, number: u64) {
        let header = Header {
            segment: number,
            origin: draft.log.origin.clone(),
            tree: draft.log.tree.clone(),
            chain: draft.log.chain,
        };
        draft.add(&header.body());
    }

    /// Adds a checkpoint if it is time for one, or if it is wanted.
    pub(super) fn sign(&self, draft: &mut Draft, wanted: bool) {
        let unsigned = draft.log.tree.size().saturating_sub(draft.signed);
        if unsigned == 0 || !(wanted || unsigned >= RECORDS_PER_CHECKPOINT) {
            return;
        }
        let checkpoint = draft.log.checkpoint();
        match self.signer.sign(&checkpoint.text()) {
            Ok(signature) => {
                let note = checkpoint.note(&self.key, &signature);
                draft.add(&checkpoint_body(&note));
                draft.signed = draft.log.tree.size();
                draft.note = Some(note);
            }
            Err(error) => tracing::error!(%error, "a checkpoint of the verdict log could not be signed"),
        }
    }

    /// The lines are on disk. Gives the new checkpoint, if there is one among them.
    pub(super) fn confirm(&mut self, draft: Draft) -> Option<String> {
        self.log = draft.log;
        self.signed = draft.signed;
        draft.note
    }
}

impl Draft {
    /// Adds a record; false if it is no JSON object.
    pub(super) fn add(&mut self, record: &[u8]) -> bool {
        self.log.append(&mut self.lines, record)
    }
}

/// Why a folder's log is not gone on with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOurs {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its key is not there, or not ours.
    #[error("{0}")]
    Key(String),
    /// It was changed.
    #[error("segment {segment}: {fault}")]
    Changed { segment: u64, fault: Fault },
    /// Its end is not there.
    #[error(transparent)]
    Short(Fault),
}

/// Where the log stands by its newest segment, whose first line says where it stood before. A segment that a crash left
/// without any line is removed.
fn replay(folder: &Path, key: &VerifierKey) -> Result<Option<Log>, NotOurs> {
    for number in segment::numbers(folder)?.into_iter().rev() {
        let records = segment::read(folder, number)?;
        if records.is_empty() {
            let path = path(folder, number);
            if std::fs::symlink_metadata(&path)?.is_file() {
                std::fs::remove_file(path)?;
            }
            continue;
        }
        let mut verifier = Verifier::new(key.clone(), None);
        for line in records
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let changed = |fault| NotOurs::Changed {
                segment: number,
                fault,
            };
            verifier.line(line).map_err(changed)?;
        }
        return Ok(verifier.log().cloned());
    }
    Ok(None)
}

/// The text of a file without the white space at its end; none, if there is no such file.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces a checkpoint file: readers see the old one or the new one.
pub(crate) fn publish(folder: &Path, name: &str, note: &str) -> io::Result<()> {
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let mut file = File::create(&new)?;
    file.write_all(note.as_bytes())?;
    std::fs::rename(new, path)
}

/// The newest checkpoint, if there is one.
pub(crate) fn published(folder: &Path) -> io::Result<Option<String>> {
    let mut note = String::new();
    match File::open(folder.join(CHECKPOINT)) {
        Ok(file) => file.take(64 << 10).read_to_string(&mut note).map(|_| Some(note)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
