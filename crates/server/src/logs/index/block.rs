//! What a block of lines is about.

use std::ops::Range;

use super::super::Needle;
use super::super::entries_of;
use super::super::record::glance;
use super::super::shape::{Shape, Shapes};
use super::super::words::Words;
use super::plain::Plain;
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

    /// Whether one of its lines may have an entry that is looked for.
    pub(super) fn may_have(&self, needle: &Needle) -> bool {
        needle.may_be_among((self.oldest, self.newest), self.shapes, &self.words)
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// A block that grows.
#[derive(Debug)]
pub(super) struct Draft {
    block: Block,
    plain: Plain,
}

impl Draft {
    /// Of no lines yet.
    pub(super) fn new(start: u64) -> Draft {
        Draft {
            block: Block::new(start),
            plain: Plain::default(),
        }
    }

    /// Adds the line that follows. What it is rendered to is what a query sees, so that is what is kept of it.
    pub(super) fn add(&mut self, line: &Line<'_>) {
        let block = &mut self.block;
        block.bytes.end = line.end;
        let Some((kind, arrival)) = glance(line.bytes) else {
            return;
        };
        block.oldest = block.oldest.min(arrival.as_micros());
        block.newest = block.newest.max(arrival.as_micros());
        let shaped = Shape::of(line.bytes).map(|shape| (shape, line.bytes));
        match shaped {
            Some((shape, _)) => block.shapes.insert(shape),
            None => block.shapes = Shapes::ALL,
        }
        if shaped.is_some_and(|shaped| self.plain.add(shaped, &mut block.words)) {
            return;
        }
        let rendered = entries_of((kind, arrival), line.bytes, &|_| true, |entry| {
            entry.texts(&mut |text| block.words.add_folded(text));
            Some(())
        });
        if let Some(shaped) = shaped.filter(|_| !rendered.is_empty()) {
            self.plain.learn(shaped, &mut block.words);
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.block.length()
    }

    /// What it has become; the next one begins where it ends, and has none of its words.
    pub(super) fn take(&mut self) -> Block {
        self.plain.clear();
        let next = Block::new(self.block.bytes.end);
        std::mem::replace(&mut self.block, next)
    }
}
