//! Reads the journal line by line, in either direction, from any place.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use super::segment;
use super::tail::{Backwards, Position};

/// Which line comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The newest first.
    Backward,
    /// The oldest first.
    Forward,
}

/// One line, as it is on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) segment: u64,
    /// The offset of its first byte.
    pub(crate) start: u64,
    /// The offset behind its end.
    pub(crate) end: u64,
    pub(crate) bytes: &'a [u8],
}

impl Line<'_> {
    /// Where a walk goes on so that this line is the next one (`again`), or the one behind it.
    pub(crate) fn resume(&self, direction: Direction, again: bool) -> Position {
        let before = match direction {
            Direction::Forward => again,
            Direction::Backward => !again,
        };
        Position {
            segment: self.segment,
            offset: if before { self.start } else { self.end },
        }
    }
}

const BLOCK: u64 = 256 * 1024;

/// Gives each line to `each`, from `from` on (or from the first one of the direction) to the last one before `end`:
/// behind it the writer is at work. Segments that rotation removed meanwhile are no error.
pub(super) fn walk(
    folder: &Path,
    end: Position,
    (direction, from): (Direction, Option<Position>),
    each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut numbers = segment::numbers(folder)?;
    if direction == Direction::Backward {
        numbers.reverse();
    }
    for number in numbers {
        let bound = |at: Position| (at.segment == number).then_some(at.offset);
        let is_outside = match (direction, from) {
            (Direction::Backward, Some(from)) => number > from.segment,
            (Direction::Forward, Some(from)) => number < from.segment,
            (_, None) => false,
        };
        if is_outside || number > end.segment {
            continue;
        }
        let file = match File::open(segment::path(folder, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let from = from.and_then(bound);
        let flow = match direction {
            Direction::Backward => {
                let end = [from, bound(end)].into_iter().flatten().min();
                backward(file, number, end, each)?
            }
            Direction::Forward => forward(file, number, (from.unwrap_or(0), bound(end)), each)?,
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

fn backward(
    file: File,
    segment: u64,
    end: Option<u64>,
    each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut lines = Backwards::new(file, end)?;
    while let Some((start, bytes)) = lines.previous()? {
        let line = Line {
            segment,
            start,
            end: start + bytes.len() as u64 + 1,
            bytes: &bytes,
        };
        if each(line).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn forward(
    mut file: File,
    segment: u64,
    (from, end): (u64, Option<u64>),
    each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    file.seek(SeekFrom::Start(from))?;
    let size = file.metadata()?.len();
    let mut left = end.map_or(size, |end| end.min(size)).saturating_sub(from);
    let (mut held, mut start) = (Vec::new(), from);
    while left > 0 {
        let fresh = held.len();
        let more = left.min(BLOCK);
        held.resize(fresh + usize::try_from(more).unwrap_or(0), 0);
        file.read_exact(&mut held[fresh..])?;
        left -= more;
        let mut used = 0;
        while let Some(length) = held[used..].iter().position(|byte| *byte == b'\n') {
            let bytes = &held[used..used + length];
            // Zeros are room for what comes next: the end.
            if bytes.first().is_none_or(|first| *first == 0) {
                return Ok(ControlFlow::Continue(()));
            }
            let end = start + length as u64 + 1;
            if each(Line {
                segment,
                start,
                end,
                bytes,
            })
            .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            used += length + 1;
            start = end;
        }
        held.drain(..used);
    }
    Ok(ControlFlow::Continue(()))
}

/// The first line of each segment that `wanted` says something of: the segment's number and what it says.
pub(super) fn firsts<T>(folder: &Path, wanted: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<(u64, T)>> {
    let mut firsts = Vec::new();
    for number in segment::numbers(folder)? {
        let only = Position {
            segment: number,
            offset: u64::MAX,
        };
        let mut found = None;
        let from = Position {
            segment: number,
            offset: 0,
        };
        walk(folder, only, (Direction::Forward, Some(from)), &mut |line| {
            found = wanted(line.bytes);
            if found.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        firsts.extend(found.map(|found| (number, found)));
    }
    Ok(firsts)
}
