//! The newest records, as they were written: whoever follows the log reads them here, and not from the disk they were
//! just brought to past the page cache.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::walk::Line;
use super::walk::Position;

/// Bytes kept at most: some 2 000 verdicts, a fifth of a second under the highest load.
const MOST: usize = 4 << 20;

/// What one batch brought to the disk: whole lines of one segment.
#[derive(Clone, Debug)]
struct Piece {
    start: Position,
    lines: Arc<Vec<u8>>,
}

impl Piece {
    fn end(&self) -> Position {
        Position {
            segment: self.start.segment,
            offset: self.start.offset + self.lines.len() as u64,
        }
    }
}

/// The end of the log, without gaps.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pieces: Mutex<VecDeque<Piece>>,
}

impl Recent {
    /// Adds what was written at a place, once it is on disk.
    pub(super) fn add(&self, start: Position, lines: Vec<u8>) {
        let piece = Piece {
            start,
            lines: Arc::new(lines),
        };
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.push_back(piece);
        let mut bytes: usize = pieces.iter().map(|piece| piece.lines.len()).sum();
        while bytes > MOST
            && let Some(oldest) = pieces.pop_front()
        {
            bytes -= oldest.lines.len();
        }
    }

    /// Gives each line from a place on; nothing if what is there is no longer, or not yet, among the newest.
    pub(super) fn walk(
        &self,
        from: Position,
        each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> Option<()> {
        for piece in self.from(from)? {
            let segment = piece.start.segment;
            // The end of a line is where the next one begins, so a reader's place is always the beginning of one.
            let known = if segment == from.segment {
                from.offset.saturating_sub(piece.start.offset)
            } else {
                0
            };
            let mut begin = usize::try_from(known)
                .unwrap_or(usize::MAX)
                .min(piece.lines.len());
            for end in memchr::memchr_iter(b'\n', piece.lines.get(begin..).unwrap_or_default()).map({
                let before = begin;
                move |at| before + at
            }) {
                let line = Line {
                    segment,
                    start: piece.start.offset + begin as u64,
                    end: piece.start.offset + end as u64 + 1,
                    bytes: piece.lines.get(begin..end).unwrap_or_default(),
                };
                if each(line).is_break() {
                    return Some(());
                }
                begin = end + 1;
            }
        }
        Some(())
    }

    /// The pieces from a place on.
    fn from(&self, from: Position) -> Option<Vec<Piece>> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if pieces.front()?.start > from {
            return None;
        }
        Some(
            pieces
                .iter()
                .filter(|piece| piece.end() > from)
                .cloned()
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u64, offset: u64) -> Position {
        Position { segment, offset }
    }

    fn lines(recent: &Recent, from: Position) -> Option<Vec<(Position, String)>> {
        let mut lines = Vec::new();
        recent.walk(from, &mut |line| {
            let text = String::from_utf8_lossy(line.bytes).into_owned();
            lines.push((at(line.segment, line.start), text));
            assert_eq!(line.end, line.start + line.bytes.len() as u64 + 1);
            ControlFlow::Continue(())
        })?;
        Some(lines)
    }

    #[test]
    fn lines_are_given_from_any_place_that_is_kept() {
        let recent = Recent::default();
        assert_eq!(lines(&recent, at(1, 0)), None);
        recent.add(at(1, 10), b"ab\ncd\n".to_vec());
        recent.add(at(2, 0), b"e\n".to_vec());
        let all = [
            (at(1, 10), "ab".to_owned()),
            (at(1, 13), "cd".to_owned()),
            (at(2, 0), "e".to_owned()),
        ];
        assert_eq!(lines(&recent, at(1, 9)), None, "what was before is on disk only");
        assert_eq!(lines(&recent, at(1, 10)).unwrap(), all);
        assert_eq!(lines(&recent, at(1, 13)).unwrap(), all[1..]);
        assert_eq!(lines(&recent, at(1, 16)).unwrap(), all[2..]);
        assert_eq!(lines(&recent, at(2, 2)).unwrap(), []);
    }

    #[test]
    fn whoever_has_enough_is_given_no_more() {
        let recent = Recent::default();
        recent.add(at(1, 0), b"a\nb\n".to_vec());
        let mut given = 0;
        recent.walk(at(1, 0), &mut |_| {
            given += 1;
            ControlFlow::Break(())
        });
        assert_eq!(given, 1);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let recent = Recent::default();
        let line = [vec![b'x'; (1 << 20) - 1], vec![b'\n']].concat();
        for number in 0..10 {
            recent.add(at(1, number << 20), line.clone());
        }
        assert_eq!(lines(&recent, at(1, 5 << 20)), None);
        assert_eq!(lines(&recent, at(1, 6 << 20)).unwrap().len(), 4);
    }
}
