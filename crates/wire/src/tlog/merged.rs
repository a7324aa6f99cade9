//! The logs of several servers under one signature: how long each of them was, at the same time.
//!
//! ```text
//! binauthz/merged/5f…                         the name of the statement's own key
//! merged 17                                   its number: whoever has seen it accepts none below
//! forgotten 0                                 logs that earlier statements spoke of and that this one does not
//! 2410 q1…= binauthz/log/0a…+8c2f41d0+AY…     a log: lines, root of the Merkle tree over them, and the key that it signs with
//! 977 Kx…= binauthz/log/f3…+01b2c3d4+AX…
//!
//! — binauthz/merged/5f… …                     as under every signed note
//! ```
//!
//! What a log says of itself tells nobody that it is missing, or that it is an older copy, when its own newest checkpoint is
//! gone with it. A statement over all of them does.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{self, Checkpoint, InvalidNote, VerifierKey};

/// Logs that a statement speaks of. A server whose disk does not stay begins a log with each start.
pub const MOST_LOGS: usize = 1_000;
/// 1 000 logs of 20 digits, a root of 44 and a key of at most 150 characters, and the signatures.
const LONGEST_NOTE: usize = 256 << 10;
const NUMBER: &str = "merged ";
const FORGOTTEN: &str = "forgotten ";

/// A log as a statement has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// What its checkpoints verify under; its name is the log's.
    pub key: VerifierKey,
    /// How long it was, and what was in it.
    pub checkpoint: Checkpoint,
}

impl Stated {
    /// What a log's own note says, signed by its key.
    pub fn of(note: &str, key: VerifierKey) -> Result<Self, InvalidNote> {
        let checkpoint = Checkpoint::open(note, &key)?;
        match checkpoint.origin == key.name() {
            true => Ok(Self { key, checkpoint }),
            false => Err(InvalidNote::NotSigned(checkpoint.origin)),
        }
    }
}

/// A statement over the logs of several servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    origin: String,
    number: u64,
    forgotten: u64,
    logs: BTreeMap<String, Stated>,
}

/// Why a log is not what it was stated to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WentBack {
    /// It lost its end.
    #[error("the log `{origin}` says that it has {have} records, and was stated to have {stated}")]
    Shorter {
        /// Which.
        origin: String,
        /// What it says now.
        have: u64,
        /// What it said before.
        stated: u64,
    },
    /// It has another past.
    #[error("the log `{origin}` has other records up to {size} than were stated")]
    Other {
        /// Which.
        origin: String,
        /// Up to where.
        size: u64,
    },
    /// Somebody else signs for it.
    #[error("the log `{origin}` is signed by another key than was stated")]
    OtherKey {
        /// Which.
        origin: String,
    },
    /// A later statement does not speak of it.
    #[error("the log `{origin}` was stated and is not any more")]
    Gone {
        /// Which.
        origin: String,
    },
    /// A later statement has an earlier number.
    #[error("the statement has number {have}, and one of number {stated} was made before")]
    Number {
        /// What it says now.
        have: u64,
        /// What it said before.
        stated: u64,
    },
}

impl Merged {
    /// The first one of this name, which speaks of no log.
    pub fn first(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            number: 0,
            forgotten: 0,
            logs: BTreeMap::new(),
        }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Logs that earlier ones spoke of and that this one does not.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What it says of each log, by the log's name.
    pub fn logs(&self) -> impl Iterator<Item = &Stated> {
        self.logs.values()
    }

    /// What it says of the log of this name.
    pub fn log(&self, origin: &str) -> Option<&Stated> {
        self.logs.get(origin)
    }

    /// The next one, with what the logs say now, the most recent first. A log that goes back stays as it was stated, and so
    /// does one that says nothing, as long as there is room. None, if there is nothing new.
    pub fn next(&self, said: &[Stated]) -> (Option<Self>, Vec<WentBack>) {
        let (mut next, mut faults) = (self.clone(), Vec::new());
        for one in said {
            let origin = one.key.name();
            match next.logs.get(origin).map(|stated| goes_on(stated, one)) {
                None | Some(Ok(())) => drop(next.logs.insert(origin.to_owned(), one.clone())),
                Some(Err(fault)) => faults.push(fault),
            }
        }
        next.make_room(said);
        if next.logs == self.logs {
            return (None, faults);
        }
        next.number = next.number.saturating_add(1);
        (Some(next), faults)
    }

    /// Forgets what is too much: first those that say nothing any more, then those that said something longest ago.
    fn make_room(&mut self, said: &[Stated]) {
        let mut silent: Vec<String> = self.logs.keys().cloned().collect();
        silent.retain(|origin| !said.iter().any(|one| one.key.name() == origin));
        let oldest = said.iter().rev().map(|one| one.key.name().to_owned());
        for origin in silent.into_iter().chain(oldest) {
            if self.logs.len() <= MOST_LOGS {
                return;
            }
            if self.logs.remove(&origin).is_some() {
                self.forgotten = self.forgotten.saturating_add(1);
            }
        }
    }

    /// Whether this one can have been made after `earlier`.
    pub fn follows(&self, earlier: &Self) -> Result<(), WentBack> {
        if self.number < earlier.number {
            return Err(WentBack::Number {
                have: self.number,
                stated: earlier.number,
            });
        }
        // How many were forgotten is stated, and not which.
        let mut forgotten = self.forgotten.saturating_sub(earlier.forgotten);
        for (origin, stated) in &earlier.logs {
            match self.logs.get(origin) {
                Some(now) => goes_on(stated, now)?,
                None if forgotten > 0 => forgotten -= 1,
                None => {
                    return Err(WentBack::Gone {
                        origin: origin.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n{NUMBER}{}\n{FORGOTTEN}{}\n",
            self.origin, self.number, self.forgotten
        );
        for stated in self.logs.values() {
            let Checkpoint { size, root, .. } = &stated.checkpoint;
            text.push_str(&format!("{size} {} {}\n", STANDARD.encode(root), stated.key));
        }
        text
    }

    /// The note: the text, and the signature made over it by the private half of `key`.
    pub fn note(&self, key: &VerifierKey, signature: &[u8]) -> String {
        note::signed(&self.text(), key, signature)
    }

    /// Reads a note that `key` has signed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let text = note::opened(note, key, LONGEST_NOTE)?;
        let merged = Self::read(&text).ok_or(InvalidNote::Malformed)?;
        match merged.origin == key.name() && merged.text() == text {
            true => Ok(merged),
            // Another form of the same would be a second statement.
            false => Err(InvalidNote::Malformed),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut merged = Self::first(lines.next()?);
        merged.number = lines.next()?.strip_prefix(NUMBER)?.parse().ok()?;
        merged.forgotten = lines.next()?.strip_prefix(FORGOTTEN)?.parse().ok()?;
        for line in lines {
            let mut parts = line.splitn(3, ' ');
            let size = parts.next()?.parse().ok()?;
            let root = STANDARD.decode(parts.next()?).ok()?.try_into().ok()?;
            let key: VerifierKey = parts.next()?.parse().ok()?;
            let origin = key.name().to_owned();
            let checkpoint = Checkpoint {
                origin: origin.clone(),
                size,
                root,
            };
            merged.logs.insert(origin, Stated { key, checkpoint });
        }
        Some(merged)
    }
}

/// Whether a log that was `before` can be `now`.
fn goes_on(before: &Stated, now: &Stated) -> Result<(), WentBack> {
    let origin = || before.key.name().to_owned();
    let (was, is) = (&before.checkpoint, &now.checkpoint);
    if before.key != now.key {
        return Err(WentBack::OtherKey { origin: origin() });
    }
    if is.size < was.size {
        return Err(WentBack::Shorter {
            origin: origin(),
            have: is.size,
            stated: was.size,
        });
    }
    match is.size == was.size && is.root != was.root {
        true => Err(WentBack::Other {
            origin: origin(),
            size: is.size,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key(name: &str, seed: u8) -> VerifierKey {
        VerifierKey::new(name, pair(seed).public_key().as_ref().try_into().unwrap()).unwrap()
    }

    fn stated(name: &str, size: u64, root: u8) -> Stated {
        Stated {
            key: key(name, 1),
            checkpoint: Checkpoint {
                origin: name.to_owned(),
                size,
                root: [root; 32],
            },
        }
    }

    fn next(merged: &Merged, said: &[Stated]) -> Merged {
        let (next, faults) = merged.next(said);
        assert_eq!(faults, []);
        next.unwrap()
    }

    fn signed(merged: &Merged) -> String {
        let signature = pair(9).sign(merged.text().as_bytes());
        merged.note(&key("merged", 9), signature.as_ref())
    }

    #[test]
    fn a_statement_is_read_as_it_was_signed_and_in_one_form_only() {
        let said = [stated("log/b", 7, 7), stated("log/a", 3, 3)];
        let merged = next(&Merged::first("merged"), &said);
        let note = signed(&merged);
        assert_eq!(Merged::open(&note, &key("merged", 9)), Ok(merged.clone()));
        assert_eq!((merged.number(), merged.logs().count()), (1, 2));
        assert_eq!(merged.log("log/a"), Some(&said[1]));
        let other = InvalidNote::BadSignature;
        for (from, to) in [
            ("3 Aw", "4 Aw"),
            ("merged 1", "merged 2"),
            ("forgotten 0", "forgotten 1"),
        ] {
            let note = note.replacen(from, to, 1);
            assert_eq!(
                Merged::open(&note, &key("merged", 9)),
                Err(other.clone()),
                "{from}"
            );
        }
        assert_eq!(
            Merged::open(&note, &key("merged", 8)),
            Err(InvalidNote::NotSigned("merged".to_owned()))
        );
        // Signed, and in another form.
        let text = merged.text();
        let lines: Vec<&str> = text.lines().collect();
        let doubled = format!("{text}{}\n", lines[3]);
        let swapped = format!(
            "{}\n{}\n{}\n{}\n{}\n",
            lines[0], lines[1], lines[2], lines[4], lines[3]
        );
        let zeros = text.replacen("merged 1", "merged 01", 1);
        for bad in [
            doubled,
            swapped,
            zeros,
            text.replacen("merged 1\n", "", 1),
            "x\n".to_owned(),
        ] {
            let note = note::signed(&bad, &key("merged", 9), pair(9).sign(bad.as_bytes()).as_ref());
            assert_eq!(
                Merged::open(&note, &key("merged", 9)),
                Err(InvalidNote::Malformed),
                "{bad}"
            );
        }
        // Of another name, by the same key.
        let foreign = next(&Merged::first("other"), &said);
        let note = note::signed(
            &foreign.text(),
            &key("merged", 9),
            pair(9).sign(foreign.text().as_bytes()).as_ref(),
        );
        assert_eq!(
            Merged::open(&note, &key("merged", 9)),
            Err(InvalidNote::Malformed)
        );
    }

    #[test]
    fn a_log_only_goes_on() {
        let start = next(
            &Merged::first("merged"),
            &[stated("log/a", 5, 5), stated("log/b", 9, 9)],
        );
        assert_eq!(start.next(&[stated("log/a", 5, 5)]), (None, vec![]));
        let grown = next(&start, &[stated("log/a", 6, 6)]);
        assert_eq!(grown.number(), 2);
        assert_eq!(
            grown.log("log/b").unwrap().checkpoint.size,
            9,
            "the silent one stays"
        );
        assert_eq!(grown.follows(&start), Ok(()));
        let mut impostor = stated("log/a", 7, 7);
        impostor.key = key("log/a", 2);
        let origin = || "log/a".to_owned();
        for (said, fault) in [
            (
                stated("log/a", 5, 5),
                WentBack::Shorter {
                    origin: origin(),
                    have: 5,
                    stated: 6,
                },
            ),
            (
                stated("log/a", 6, 1),
                WentBack::Other {
                    origin: origin(),
                    size: 6,
                },
            ),
            (impostor, WentBack::OtherKey { origin: origin() }),
        ] {
            // What is wrong with one keeps no other from going on.
            let (next, faults) = grown.next(&[said.clone(), stated("log/b", 10, 1)]);
            assert_eq!(faults, std::slice::from_ref(&fault));
            let next = next.unwrap();
            assert_eq!(next.log("log/a"), grown.log("log/a"));
            assert_eq!(next.log("log/b").unwrap().checkpoint.size, 10);
            // And somebody who signs it all the same is found out by whoever kept the former one.
            let mut lied = grown.clone();
            lied.logs.insert(origin(), said);
            assert_eq!(lied.follows(&grown), Err(fault));
        }
        let went = WentBack::Number { have: 1, stated: 2 };
        assert_eq!(start.follows(&grown), Err(went));
        let mut missing = grown.clone();
        missing.logs.remove("log/b");
        assert_eq!(
            missing.follows(&grown),
            Err(WentBack::Gone {
                origin: "log/b".to_owned()
            })
        );
    }

    #[test]
    fn what_is_too_much_is_forgotten_and_counted() {
        let name = |number: usize| format!("log/{number:05}");
        let said: Vec<Stated> = (0..MOST_LOGS + 3)
            .map(|number| stated(&name(number), 1, 1))
            .collect();
        let merged = next(&Merged::first("merged"), &said);
        assert_eq!((merged.logs().count(), merged.forgotten()), (MOST_LOGS, 3));
        // The last of what is said is the oldest.
        assert!(merged.log(&name(0)).is_some() && merged.log(&name(MOST_LOGS)).is_none());
        assert!(signed(&merged).len() <= LONGEST_NOTE);
        assert_eq!(Merged::open(&signed(&merged), &key("merged", 9)).unwrap(), merged);
        // The silent go first.
        let later = next(&merged, &[stated("log/new", 1, 1)]);
        assert_eq!((later.logs().count(), later.forgotten()), (MOST_LOGS, 4));
        assert!(later.log("log/new").is_some());
        assert_eq!(later.follows(&merged), Ok(()));
    }

    #[test]
    fn a_log_speaks_for_itself_only() {
        let checkpoint = Checkpoint {
            origin: "log/a".to_owned(),
            size: 3,
            root: [3; 32],
        };
        let note = |name: &str| {
            let signature = pair(1).sign(checkpoint.text().as_bytes());
            checkpoint.note(&key(name, 1), signature.as_ref())
        };
        let own = Stated::of(&note("log/a"), key("log/a", 1)).unwrap();
        assert_eq!(own.checkpoint, checkpoint);
        assert!(Stated::of(&note("log/b"), key("log/b", 1)).is_err());
        assert!(Stated::of(&note("log/a"), key("log/a", 2)).is_err());
    }
}
