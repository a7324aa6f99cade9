//! Reads a file of lines backwards.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

const BLOCK: u64 = 256 * 1024;

/// The lines of a part of a file from its end.
pub(super) struct Backwards<'f> {
    file: &'f File,
    /// Where the part begins.
    first: u64,
    /// Offset of `held`'s first byte.
    start: u64,
    held: Vec<u8>,
}

impl<'f> Backwards<'f> {
    pub(super) fn new(file: &'f File, part: Range<u64>) -> Backwards<'f> {
        Backwards {
            file,
            first: part.start,
            start: part.end,
            held: Vec::new(),
        }
    }

    pub(super) fn previous(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        if self.held.last() == Some(&b'\n') {
            self.held.pop();
        }
        loop {
            if let Some(at) = memchr::memrchr(b'\n', &self.held) {
                let line = self.held.split_off(at + 1);
                return Ok(Some((self.start + at as u64 + 1, line)));
            }
            if self.start <= self.first {
                let line = std::mem::take(&mut self.held);
                return Ok((!line.is_empty()).then_some((self.start, line)));
            }
            let fresh = self.held.is_empty();
            self.extend()?;
            if fresh && self.held.last() == Some(&b'\n') {
                self.held.pop();
            }
        }
    }

    /// Puts the block before `start` in front of what is held.
    fn extend(&mut self) -> io::Result<()> {
        let start = self.start.saturating_sub(BLOCK).max(self.first);
        let mut block = vec![0; usize::try_from(self.start - start).unwrap_or(0)];
        self.file.read_exact_at(&mut block, start)?;
        block.append(&mut self.held);
        self.held = block;
        self.start = start;
        Ok(())
    }
}
