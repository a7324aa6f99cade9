//! An index over a journal: what each block of its lines is about, so that a query leaves unread what cannot match.
//!
//! It is a hint and never more. A job makes it from the lines on disk, block by block; whatever has no block is read. The
//! blocks of a sealed segment are kept in a file beside it. In memory they are 1.1 KiB for 128 KiB of records: 34 MiB for
//! a full journal of 4 GiB.

mod block;
mod file;
mod job;
mod plain;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use block::{BLOCK, Block, Draft};
pub(crate) use job::keep_indexes;

use super::Needle;
use crate::audit::{Direction, Journal, Position};

/// The index over one journal.
#[derive(Debug, Default)]
pub(crate) struct Index {
    segments: Mutex<BTreeMap<u64, Known>>,
}

/// The blocks of a segment, from its first byte on.
#[derive(Debug, Default)]
struct Known {
    blocks: Arc<Vec<Block>>,
    /// Nothing will be added to it.
    is_whole: bool,
}

impl Known {
    fn end(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.bytes.end)
    }
}

impl Index {
    /// The parts of a segment that have to be read for what is looked for, in their order.
    pub(crate) fn unread(&self, segment: u64, bytes: Range<u64>, needle: &Needle) -> Vec<Range<u64>> {
        let blocks = match self.lock().get(&segment) {
            Some(known) => Arc::clone(&known.blocks),
            None => return vec![bytes],
        };
        let mut parts: Vec<Range<u64>> = Vec::new();
        let mut add = |part: Range<u64>| {
            let part = part.start.max(bytes.start)..part.end.min(bytes.end);
            match parts.last_mut() {
                _ if part.is_empty() => {}
                Some(last) if last.end == part.start => last.end = part.end,
                _ => parts.push(part),
            }
        };
        let mut known = 0;
        let before = blocks.partition_point(|block| block.bytes.end <= bytes.start);
        for block in blocks.iter().skip(before) {
            known = block.bytes.end;
            if block.may_have(needle) {
                add(block.bytes.clone());
            }
        }
        add(known..u64::MAX);
        parts
    }

    /// Brings the index on by at most so many bytes of records, the newest segments first. Gives how many were looked
    /// at. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn extend(&self, journal: &Journal, most: u64) -> io::Result<u64> {
        let end = journal.end();
        let numbers = journal.segments()?;
        self.forget(journal, &numbers)?;
        let mut left = most;
        for number in numbers.into_iter().rev().filter(|number| *number <= end.segment) {
            if left == 0 {
                break;
            }
            let is_sealed = number < end.segment;
            let (start, is_whole) = match self.lock().get(&number) {
                Some(known) => (Some(known.end()), known.is_whole),
                None => (None, false),
            };
            let is_short = !is_sealed && end.offset < start.unwrap_or(0) + BLOCK;
            if is_whole || is_short || (start.is_none() && is_sealed && self.load(journal, number)) {
                continue;
            }
            let seen = self.extend_segment(journal, (number, is_sealed), left)?;
            left = left.saturating_sub(seen);
        }
        Ok(most - left)
    }

    /// How many bytes of records have no block yet.
    pub(crate) fn missing(&self, journal: &Journal) -> io::Result<u64> {
        let end = journal.end();
        let mut missing = 0;
        for number in journal.segments()? {
            let size = match number == end.segment {
                true => end.offset,
                false => journal
                    .segment(number)
                    .and_then(|file| file.metadata())
                    .map_or(0, |data| data.len()),
            };
            let segments = self.lock();
            let known = segments.get(&number);
            if !known.is_some_and(|known| known.is_whole) {
                missing += size.saturating_sub(known.map_or(0, Known::end));
            }
        }
        Ok(missing)
    }

    /// Takes the blocks of a sealed segment from their file.
    fn load(&self, journal: &Journal, number: u64) -> bool {
        let segment = journal.segment(number).ok();
        let Some(blocks) = segment.and_then(|file| file::read(journal.folder(), (number, &file))) else {
            return false;
        };
        let known = Known {
            blocks: Arc::new(blocks),
            is_whole: true,
        };
        self.lock().insert(number, known);
        true
    }

    fn extend_segment(
        &self,
        journal: &Journal,
        (number, is_sealed): (u64, bool),
        most: u64,
    ) -> io::Result<u64> {
        let start = self.lock().get(&number).map_or(0, Known::end);
        let from = Position {
            segment: number,
            offset: start,
        };
        let (mut fresh, mut block, mut stopped) = (Vec::new(), Draft::new(start), false);
        journal.walk((Direction::Forward, Some(from)), &mut |line| {
            if line.segment != number {
                return ControlFlow::Break(());
            }
            block.add(&line);
            if block.length() >= BLOCK {
                fresh.push(block.take());
                stopped = line.end - start >= most;
            }
            match stopped {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        let is_whole = is_sealed && !stopped;
        if is_whole && block.length() > 0 {
            fresh.push(block.take());
        }
        let seen = fresh.last().map_or(0, |last| last.bytes.end - start);
        let blocks = {
            let mut segments = self.lock();
            let known = segments.entry(number).or_default();
            Arc::make_mut(&mut known.blocks).extend(fresh);
            known.is_whole = is_whole;
            Arc::clone(&known.blocks)
        };
        if is_whole && let Err(error) = save(journal, number, &blocks) {
            tracing::warn!(%error, number, "the index of a segment could not be written; it will be made again");
        }
        Ok(seen)
    }

    /// Drops what belongs to segments that are gone, and their files.
    fn forget(&self, journal: &Journal, numbers: &[u64]) -> io::Result<()> {
        self.lock().retain(|number, _| numbers.contains(number));
        for entry in std::fs::read_dir(journal.folder())? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(file::number);
            if number.is_some_and(|number| !numbers.contains(&number)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn save(journal: &Journal, number: u64, blocks: &[Block]) -> io::Result<()> {
    let segment: File = journal.segment(number)?;
    file::write(journal.folder(), (number, &segment), blocks)
}

#[cfg(test)]
mod tests;
