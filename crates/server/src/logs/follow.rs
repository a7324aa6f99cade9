//! Goes on reading a journal from where somebody stopped, and looks for records rather than entries.

use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Query;
use serde_json::Value;

use super::list::{CLOSELY, WAIT, first_near};
use super::record::{Kind, glance};
use super::{Indexed, Journals, Needle, Wanted, among, entries_of, project_of};
use crate::audit::{Direction, Line, Position, Way};

/// A line of which more than its bytes is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'l> {
    pub(super) kind: Kind,
    /// When it came.
    pub(crate) arrival: UnixTime,
    pub(crate) bytes: &'l [u8],
}

impl Indexed {
    /// Gives the lines that may have what is looked for and come after a place, as far as one call reads; and the place
    /// that it came to. `each` says whether it wants more. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn follow(
        &self,
        from: Position,
        needle: &Needle,
        each: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> io::Result<Position> {
        // Behind it nothing was looked at. Lines that come meanwhile are given or not.
        let end = self.journal.end();
        let mut reached = from;
        let is_whole = self.look((Direction::Forward, Some(from)), needle, &mut |line, seen| {
            let flow = each(seen);
            reached = line.resume(Direction::Forward, false);
            flow
        })?;
        Ok(if is_whole { reached.max(end) } else { reached })
    }

    /// Gives the lines that may have what is looked for, and says whether these were all: one call reads a bounded part,
    /// and `each` may want no more.
    fn look(
        &self,
        way: Way,
        needle: &Needle,
        each: &mut dyn FnMut(&Line<'_>, Seen<'_>) -> ControlFlow<()>,
    ) -> io::Result<bool> {
        let (begun, mut close_bytes, mut is_whole) = (Instant::now(), 0, true);
        self.walk(way, needle, &mut |line| {
            let Some((kind, arrival)) = glance(line.bytes) else {
                return ControlFlow::Continue(());
            };
            if !needle.is_then(arrival) || !needle.may_be(line.bytes) {
                return ControlFlow::Continue(());
            }
            close_bytes += line.bytes.len() as u64;
            let seen = Seen {
                kind,
                arrival,
                bytes: line.bytes,
            };
            let is_spent = close_bytes >= CLOSELY || begun.elapsed() >= WAIT;
            match each(&line, seen).is_break() || is_spent {
                true => {
                    is_whole = false;
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(is_whole)
    }
}

/// How far somebody who listens has come, in the journal of verdicts and in that of written entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail([Position; 2]);

impl Tail {
    /// From now on.
    pub(crate) fn new(journals: &Journals) -> Tail {
        Tail([&journals.verdicts, &journals.written].map(|indexed| indexed.journal.end()))
    }

    /// Gives each wanted entry that has come since, with when it came, as far as one call reads. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn read(
        &mut self,
        journals: &Journals,
        wanted: &Wanted,
        each: &mut dyn FnMut(UnixTime, Value),
    ) -> io::Result<()> {
        let needle = Needle::new(&wanted.query, (i64::MIN, i64::MAX));
        for (indexed, place) in [&journals.verdicts, &journals.written]
            .into_iter()
            .zip(&mut self.0)
        {
            if indexed.journal.end() == *place {
                continue;
            }
            *place = indexed.follow(*place, &needle, &mut |seen| {
                for (_, entry) in wanted.entries((seen.kind, seen.arrival), seen.bytes) {
                    each(seen.arrival, entry);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}

/// Which verdicts somebody wants as they were recorded.
pub(crate) struct Verdicts<'w> {
    pub(crate) project: &'w str,
    /// An entry of the verdict must be one that this wants.
    pub(crate) query: &'w Query,
    /// Not before this.
    pub(crate) since: Option<UnixTime>,
    /// What else must be so of the record.
    pub(crate) wants: &'w dyn Fn(&Value) -> bool,
}

impl Verdicts<'_> {
    fn needle(&self) -> Needle {
        let times = self.query.times();
        let since = self.since.map_or(i64::MIN, UnixTime::as_micros);
        Needle::new(
            self.query,
            (since.max(times.from.as_micros()), times.until.as_micros()),
        )
    }

    /// The record of a line, if it is wanted.
    fn take(&self, seen: Seen<'_>) -> Option<Value> {
        if seen.kind != Kind::Verdict {
            return None;
        }
        let record: Value = serde_json::from_slice(seen.bytes).ok()?;
        if record["cluster"].as_str().and_then(project_of) != Some(self.project) || !(self.wants)(&record) {
            return None;
        }
        let project = [self.project.to_owned()];
        let entries = entries_of((seen.kind, seen.arrival), seen.bytes, &among(&project), |entry| {
            self.query.test(&entry).then_some(())
        });
        (!entries.is_empty()).then_some(record)
    }

    /// The first place that can have one.
    pub(crate) fn start(&self, indexed: &Indexed) -> io::Result<Position> {
        let since = self.since.map_or(i64::MIN, UnixTime::as_micros);
        Ok(first_near(&indexed.journal, since)?.unwrap_or_default())
    }

    /// Those after a place, at most so many, the oldest first; and where to go on. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn after(
        &self,
        indexed: &Indexed,
        (from, most): (Position, usize),
    ) -> io::Result<(Vec<Value>, Position)> {
        let mut found = Vec::new();
        let reached = indexed.follow(from, &self.needle(), &mut |seen| {
            found.extend(self.take(seen));
            match found.len() >= most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok((found, reached))
    }

    /// Gives each of them, the newest first, as far as one call reads; says whether these were all. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn newest(&self, indexed: &Indexed, each: &mut dyn FnMut(Value)) -> io::Result<bool> {
        indexed.look((Direction::Backward, None), &self.needle(), &mut |_, seen| {
            if let Some(record) = self.take(seen) {
                each(record);
            }
            ControlFlow::Continue(())
        })
    }
}
