//! Lines: how a record is linked into the log, and the two kinds of line that the log writes about itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Chain, Tree};

const SEQUENCE: &[u8] = b",\"seq\":";
const CHAIN: &[u8] = b",\"chain\":\"";
const END: &[u8] = b"\"}";
/// 32 bytes in base64.
const HASH_CHARACTERS: usize = 44;

/// What links a line to the one before: found from its end, whatever its record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The line up to its chain hash.
    pub covered: &'a [u8],
    /// The line's number, from 0.
    pub sequence: u64,
    /// The chain after it, as the line says.
    pub chain: Chain,
}

impl<'a> Link<'a> {
    /// Appends the line of a record to `bytes`: a JSON object, to which number and chain hash are added. Gives the chain
    /// after it, or nothing if `record` is no object.
    pub fn append(bytes: &mut Vec<u8>, record: &[u8], sequence: u64, chain: &Chain) -> Option<Chain> {
        let open = record.strip_suffix(b"}").filter(|open| open.len() > 1)?;
        let from = bytes.len();
        bytes.extend_from_slice(open);
        bytes.extend_from_slice(SEQUENCE);
        bytes.extend_from_slice(sequence.to_string().as_bytes());
        let chain = chain.extended(bytes.get(from..)?);
        bytes.extend_from_slice(CHAIN);
        bytes.extend_from_slice(STANDARD.encode(chain.as_bytes()).as_bytes());
        bytes.extend_from_slice(END);
        Some(chain)
    }

    /// Reads the link of a line (without its line end).
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(END)?;
        let (line, hash) = line.split_at_checked(line.len().checked_sub(HASH_CHARACTERS)?)?;
        let covered = line.strip_suffix(CHAIN)?;
        let hash: [u8; 32] = STANDARD.decode(hash).ok()?.try_into().ok()?;
        let digits = covered
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (before, digits) = covered.split_at_checked(covered.len().checked_sub(digits)?)?;
        before.strip_suffix(SEQUENCE)?;
        let canonical = digits == b"0" || !digits.starts_with(b"0");
        let sequence = std::str::from_utf8(digits).ok()?.parse().ok()?;
        canonical.then_some(Self {
            covered,
            sequence,
            chain: Chain::from_bytes(hash),
        })
    }
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The file's number.
    pub segment: u64,
    /// The log's name.
    pub origin: String,
    /// All lines before this one.
    pub tree: Tree,
    /// The chain before this line.
    pub chain: Chain,
}

#[derive(Serialize, Deserialize)]
struct WireHeader {
    log: String,
    segment: u64,
    origin: String,
    size: u64,
    tree: Vec<String>,
    prev: String,
}

const SEGMENT: &str = "segment";

impl Header {
    /// The record, to be linked like any other.
    pub fn body(&self) -> Vec<u8> {
        let wire = WireHeader {
            log: SEGMENT.to_owned(),
            segment: self.segment,
            origin: self.origin.clone(),
            size: self.tree.size(),
            tree: self
                .tree
                .subtrees()
                .iter()
                .map(|hash| STANDARD.encode(hash))
                .collect(),
            prev: STANDARD.encode(self.chain.as_bytes()),
        };
        // Strings and numbers: nothing to fail on.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a line that should be one.
    pub fn read(line: &[u8]) -> Option<Self> {
        let wire: WireHeader = serde_json::from_slice(line)
            .ok()
            .filter(|wire: &WireHeader| wire.log == SEGMENT)?;
        let hash = |text: &String| -> Option<[u8; 32]> { STANDARD.decode(text).ok()?.try_into().ok() };
        let subtrees = wire.tree.iter().map(hash).collect::<Option<Vec<_>>>()?;
        Some(Self {
            segment: wire.segment,
            origin: wire.origin,
            tree: Tree::from_subtrees(wire.size, subtrees)?,
            chain: Chain::from_bytes(hash(&wire.prev)?),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct WireCheckpoint {
    log: String,
    note: String,
}

const CHECKPOINT: &str = "checkpoint";

/// The record that holds a signed checkpoint.
pub fn checkpoint_body(note: &str) -> Vec<u8> {
    let wire = WireCheckpoint {
        log: CHECKPOINT.to_owned(),
        note: note.to_owned(),
    };
    serde_json::to_vec(&wire).unwrap_or_default()
}

/// The note of a line, if it holds one. `log` is the first member of every line the log writes about itself, and a
/// record from outside cannot begin so: that is for their writer to see to.
pub(super) fn checkpoint_note(line: &[u8]) -> Option<String> {
    if !line.starts_with(b"{\"log\":\"checkpoint\",") {
        return None;
    }
    let wire: WireCheckpoint = serde_json::from_slice(line).ok()?;
    Some(wire.note)
}
