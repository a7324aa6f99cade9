//! Checkpoints and the signed notes they travel in (C2SP tlog-checkpoint and signed-note, Ed25519).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash;

/// The signature type byte of Ed25519.
const ED25519_TYPE: u8 = 1;
/// What a signature line begins with: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";
/// A checkpoint of ours has some 200 bytes; witnesses may add signatures.
const LONGEST_NOTE: usize = 64 << 10;

/// How long a log is and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The number of lines.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The note: the text, and the signature made over it by the private half of `key`.
    pub fn note(&self, key: &VerifierKey, signature: &[u8]) -> String {
        signed(&self.text(), key, signature)
    }

    /// Reads a note that `key` has signed. Signatures of others are passed over.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let text = opened(note, key, LONGEST_NOTE)?;
        Self::read(&text).ok_or(InvalidNote::Malformed)
    }

    /// The text's three lines; any that follow them are extensions, which are signed and not ours to read.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let digits = lines.next()?;
        let canonical = digits == "0" || !digits.starts_with('0');
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let size = digits.parse().ok().filter(|_| canonical && all_digits)?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        Some(Self { origin, size, root })
    }
}

/// A text under a signature that the private half of `key` made over it.
pub(super) fn signed(text: &str, key: &VerifierKey, signature: &[u8]) -> String {
    let signature = [key.id().as_slice(), signature].concat();
    format!("{text}\n{SIGNATURE}{} {}\n", key.name, STANDARD.encode(signature))
}

/// The text of a note that `key` has signed. Signatures of others are passed over.
pub(super) fn opened(note: &str, key: &VerifierKey, longest: usize) -> Result<String, InvalidNote> {
    if note.len() > longest {
        return Err(InvalidNote::Malformed);
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(InvalidNote::Malformed)?;
    let text = format!("{text}\n");
    let mine = signatures
        .lines()
        .filter_map(|line| line.strip_prefix(SIGNATURE)?.split_once(' '))
        .filter(|(name, _)| *name == key.name)
        .filter_map(|(_, signature)| STANDARD.decode(signature).ok())
        .filter_map(|bytes| bytes.strip_prefix(&key.id()).map(<[u8]>::to_vec));
    let mut signed = false;
    for signature in mine {
        if UnparsedPublicKey::new(&ED25519, key.public)
            .verify(text.as_bytes(), &signature)
            .is_err()
        {
            return Err(InvalidNote::BadSignature);
        }
        signed = true;
    }
    if !signed {
        return Err(InvalidNote::NotSigned(key.name.clone()));
    }
    Ok(text)
}

/// Why a text is not a checkpoint that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// Not in the form of a signed note that holds a checkpoint.
    #[error("this is not a signed checkpoint")]
    Malformed,
    /// None of its signatures is by this key.
    #[error("the checkpoint is not signed by `{0}`")]
    NotSigned(String),
    /// The signature does not hold.
    #[error("the checkpoint's signature does not hold")]
    BadSignature,
}

/// The public half of a log's key, as people pass it on: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of the log of this name. A name is not empty and has neither spaces nor `+`.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, InvalidVerifierKey> {
        let bad = |character: char| character.is_whitespace() || character == '+';
        if name.is_empty() || name.contains(bad) {
            return Err(InvalidVerifierKey);
        }
        Ok(Self {
            name: name.to_owned(),
            public,
        })
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = hash(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.public]);
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = STANDARD.encode([&[ED25519_TYPE], self.public.as_slice()].concat());
        write!(formatter, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidVerifierKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifierKey> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidVerifierKey);
        };
        let bytes = STANDARD.decode(key).map_err(|_| InvalidVerifierKey)?;
        let Some((&ED25519_TYPE, public)) = bytes.split_first() else {
            return Err(InvalidVerifierKey);
        };
        let key = Self::new(name, public.try_into().map_err(|_| InvalidVerifierKey)?)?;
        let expected = u32::from_str_radix(id, 16).map_err(|_| InvalidVerifierKey)?;
        if id.len() == 8 && expected.to_be_bytes() == key.id() {
            Ok(key)
        } else {
            Err(InvalidVerifierKey)
        }
    }
}

/// A text that is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a verifier key: expected `NAME+ID+KEY` with an Ed25519 key")]
pub struct InvalidVerifierKey;
