//! Reads the journal line by line, in either direction, from any place.

use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::backwards::Backwards;
use super::segment;

/// Where a record is; opaque to callers except as the place to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The segment's number.
    pub segment: u64,
    /// The offset of the record's first byte.
    pub offset: u64,
}

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

/// Which parts of a segment are to be read, in their order: whole lines, within the bytes that are asked about.
pub(crate) type Parts<'p> = &'p dyn Fn(u64, Range<u64>) -> Vec<Range<u64>>;

/// Every part.
pub(super) const EVERYTHING: Parts<'static> = &|_, bytes| vec![bytes];

/// Where a walk goes: which way, and from where on if not from the first line of that way.
pub(crate) type Way = (Direction, Option<Position>);

/// Gives each line of the wanted parts to `each`, to the last one before `end`: behind it the writer is at work. Segments
/// that rotation removed meanwhile are no error.
pub(super) fn walk(
    folder: &Path,
    end: Position,
    (direction, from): Way,
    parts: Parts<'_>,
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
        let size = file.metadata()?.len();
        let last = bound(end).map_or(size, |end| end.min(size));
        let from = from.and_then(bound).map(|from| from.min(last));
        let bytes = match direction {
            Direction::Backward => 0..from.unwrap_or(last),
            Direction::Forward => from.unwrap_or(0)..last,
        };
        let mut parts = parts(number, bytes);
        if direction == Direction::Backward {
            parts.reverse();
        }
        for part in parts {
            let flow = match direction {
                Direction::Backward => backward(&file, number, part, each)?,
                Direction::Forward => forward(&file, number, part, each)?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn backward(
    file: &File,
    segment: u64,
    part: Range<u64>,
    each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut lines = Backwards::new(file, part);
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
    file: &File,
    segment: u64,
    part: Range<u64>,
    each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let (mut held, mut start, mut at) = (Vec::new(), part.start, part.start);
    while at < part.end {
        let fresh = held.len();
        let more = (part.end - at).min(BLOCK);
        held.resize(fresh + usize::try_from(more).unwrap_or(0), 0);
        file.read_exact_at(&mut held[fresh..], at)?;
        at += more;
        let mut used = 0;
        while let Some(length) = memchr::memchr(b'\n', &held[used..]) {
            let bytes = &held[used..used + length];
            // Zeros are room for what comes next: the end.
            if bytes.first().is_none_or(|first| *first == 0) {
                return Ok(ControlFlow::Continue(()));
            }
            let end = start + length as u64 + 1;
            let line = Line {
                segment,
                start,
                end,
                bytes,
            };
            if each(line).is_break() {
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
        let way = (Direction::Forward, Some(from));
        walk(folder, only, way, EVERYTHING, &mut |line| {
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
