//! Goes on reading a journal from where somebody stopped, and looks for records rather than entries.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Query};
use serde_json::Value;

use super::list::first_near;
use super::record::{Kind, glance};
use super::{Indexed, Needle, entries_of, project_of};
use crate::audit::{Direction, Position, Way};

/// What one call reads closely of a journal: 64 MiB are some 40 000 verdicts.
pub(super) const CLOSELY: u64 = 64 << 20;
/// How long one call looks. Lines that are passed over take 0.2 µs each.
pub(super) const WAIT: Duration = Duration::from_millis(500);
/// The clock is asked after so much that was passed over: 0.1 ms.
const UNTIMED: usize = 64 << 10;

/// How much one call reads.
#[derive(Debug)]
pub(super) struct Budget {
    begun: Instant,
    /// Bytes to be read closely.
    left: u64,
    untimed: usize,
    is_spent: bool,
}

impl Budget {
    pub(super) fn new(closely: u64) -> Budget {
        Budget {
            begun: Instant::now(),
            left: closely,
            untimed: 0,
            is_spent: false,
        }
    }

    /// A line was read closely.
    pub(super) fn read(&mut self, line: &[u8]) {
        self.left = self.left.saturating_sub(line.len() as u64);
        self.is_spent |= self.left == 0 || self.begun.elapsed() >= WAIT;
    }

    /// A line was passed over.
    pub(super) fn pass(&mut self, line: &[u8]) {
        self.untimed += line.len();
        if self.untimed >= UNTIMED {
            self.untimed = 0;
            self.is_spent |= self.begun.elapsed() >= WAIT;
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }
}

/// A line of which more than its bytes is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'l> {
    pub(super) kind: Kind,
    /// When it came.
    pub(crate) arrival: UnixTime,
    pub(super) bytes: &'l [u8],
}

impl<'l> Seen<'l> {
    /// The line, unless it is one that the log writes about itself.
    pub(crate) fn of(bytes: &'l [u8]) -> Option<Seen<'l>> {
        let (kind, arrival) = glance(bytes)?;
        Some(Seen { kind, arrival, bytes })
    }

    /// What `each` makes of its entries, in the projects that the needle looks at.
    pub(crate) fn entries<T>(self, needle: &Needle, mut each: impl FnMut(Entry<'_>) -> Option<T>) -> Vec<T> {
        let is_wanted = |project: &str| needle.looks_at(project);
        entries_of((self.kind, self.arrival), self.bytes, &is_wanted, &mut each)
    }
}

impl Indexed {
    /// Gives the lines that may have what is looked for between two places, with where each begins, as far as one call
    /// reads (of those lines so many bytes); and the place that it came to. `each` says whether it wants more. Blocks on the
    /// disk, if there is anything between the places.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(super) fn follow(
        &self,
        (from, until): (Position, Position),
        search: (&Needle, u64),
        each: &mut dyn FnMut(Seen<'_>, Position) -> ControlFlow<()>,
    ) -> io::Result<Position> {
        if from >= until {
            return Ok(from);
        }
        let way = (Direction::Forward, Some(from));
        let stopped = self.look(way, Some(until), search, each)?;
        Ok(stopped.unwrap_or(until))
    }

    /// Gives the lines that may have what is looked for, to a place (that of the line behind the last, or, backwards, that
    /// of the last) or the last one; the place to go on from, unless these were all: one call reads a bounded part, and
    /// `each` may want no more.
    fn look(
        &self,
        way: Way,
        until: Option<Position>,
        (needle, closely): (&Needle, u64),
        each: &mut dyn FnMut(Seen<'_>, Position) -> ControlFlow<()>,
    ) -> io::Result<Option<Position>> {
        let (mut budget, mut stopped) = (Budget::new(closely), None);
        self.walk(way, needle, &mut |line| {
            let at = line.resume(Direction::Forward, true);
            let is_past = |until| match way.0 {
                Direction::Forward => at >= until,
                Direction::Backward => at < until,
            };
            if until.is_some_and(is_past) {
                return ControlFlow::Break(());
            }
            let seen = match needle.may_be(line.bytes) {
                true => Seen::of(line.bytes).filter(|seen| needle.is_then(seen.arrival)),
                false => None,
            };
            let flow = match seen {
                Some(seen) => {
                    budget.read(line.bytes);
                    each(seen, at)
                }
                None => {
                    budget.pass(line.bytes);
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() || budget.is_spent() {
                stopped = Some(line.resume(way.0, false));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(stopped)
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
        Needle::new([(self.project, self.query)])
            .between((since.max(times.from.as_micros()), times.until.as_micros()))
    }

    /// The record of a line, if it is wanted.
    fn take(&self, seen: Seen<'_>, needle: &Needle) -> Option<Value> {
        if seen.kind != Kind::Verdict {
            return None;
        }
        let record: Value = serde_json::from_slice(seen.bytes).ok()?;
        if record["cluster"].as_str().and_then(project_of) != Some(self.project) || !(self.wants)(&record) {
            return None;
        }
        let entries = seen.entries(needle, |entry| self.query.test(&entry).then_some(()));
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
        let needle = self.needle();
        let way = (from, indexed.journal.end());
        let reached = indexed.follow(way, (&needle, CLOSELY), &mut |seen, _| {
            found.extend(self.take(seen, &needle));
            match found.len() >= most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok((found, reached))
    }

    /// Gives each of them before a place, or the end, the newest first, as far as one call reads and `each` wants; the place
    /// to go on from, unless these were all. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn before(
        &self,
        indexed: &Indexed,
        place: Option<Position>,
        each: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> io::Result<Option<Position>> {
        let (way, needle) = ((Direction::Backward, place), self.needle());
        let first = self.start(indexed)?;
        indexed.look(way, Some(first), (&needle, CLOSELY), &mut |seen, _| {
            self.take(seen, &needle)
                .map_or(ControlFlow::Continue(()), &mut *each)
        })
    }
}
