//! What a block of lines is about.

use std::ops::Range;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Query;

use super::super::entries_of;
use super::super::record::glance;
use super::super::shape::{Shape, Shapes, Wanted};
use super::words::{Sought, Words};
use crate::audit::Line;

/// A block ends with the line that makes it this long: 93 verdicts as a rule. Reading one takes 0.1 ms, and rendering what
/// is in it 1 ms.
pub(super) const BLOCK: u64 = 128 << 10;

/// What some lines that follow each other are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) bytes: Range<u64>,
    /// When the first and the last of them came, in microseconds; the wrong way round if there is none.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    pub(super) shapes: Shapes,
    pub(super) words: Words,
}

impl Block {
    /// Of no lines yet.
    pub(super) fn new(start: u64) -> Block {
        Block {
            bytes: start..start,
            oldest: i64::MAX,
            newest: i64::MIN,
            shapes: Shapes::default(),
            words: Words::default(),
        }
    }

    /// Adds the line that follows. What it is rendered to is what a query sees, so that is what is kept of it.
    pub(super) fn add(&mut self, line: &Line<'_>) {
        self.bytes.end = line.end;
        let Some((kind, arrival)) = glance(line.bytes) else {
            return;
        };
        self.oldest = self.oldest.min(arrival.as_micros());
        self.newest = self.newest.max(arrival.as_micros());
        match Shape::of(line.bytes) {
            Some(shape) => self.shapes.insert(shape),
            None => self.shapes = Shapes::ALL,
        }
        let words = &mut self.words;
        entries_of((kind, arrival), line.bytes, &|_| true, |entry| {
            entry.texts(&mut |text| words.add(text));
            None::<()>
        });
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// What a query looks for, as blocks know it.
#[derive(Debug)]
pub(crate) struct Needle {
    wanted: Wanted,
    sought: Sought,
    oldest: i64,
    newest: i64,
}

impl Needle {
    /// For entries that arrived between two times, both included.
    pub(crate) fn new(query: &Query, (oldest, newest): (i64, i64)) -> Needle {
        Needle {
            wanted: Wanted::new(&[query]),
            sought: Sought::new(&query.demand()),
            oldest,
            newest,
        }
    }

    /// Whether something that arrived then may be wanted.
    pub(crate) fn is_then(&self, arrival: UnixTime) -> bool {
        (self.oldest..=self.newest).contains(&arrival.as_micros())
    }

    /// Whether a line may have an entry that is wanted, by its shape.
    pub(crate) fn may_be(&self, line: &[u8]) -> bool {
        Shape::of(line).is_none_or(|shape| self.wanted.can_match(shape))
    }

    /// Whether a block may have one.
    pub(super) fn may_be_in(&self, block: &Block) -> bool {
        block.newest >= self.oldest
            && block.oldest <= self.newest
            && self.wanted.can_match_any(block.shapes)
            && self.sought.may_be_in(&block.words)
    }
}
