//! Looks through the journal for entries, a bounded part of it at a time.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Query;
use serde_json::Value;

use super::record::{Kind, glance};
use super::{ACTIVITY, POLICY, entries_of};
use crate::audit::{Direction, Journal, Line, Position};

/// What one call reads closely: 64 MiB are some 40 000 verdicts.
const CLOSELY: u64 = 64 << 20;
/// How long one call looks. Lines of another time are passed over at some 1 GB/s.
const WAIT: Duration = Duration::from_millis(500);
/// What one page holds; below the 4 MiB that a gRPC client takes. An entry has at most some 64 KiB.
const PAGE_BYTES: usize = 3 << 20;
/// A record is written soon after its time, and the clock may have been set back a little meanwhile.
const SLACK_MICROS: i64 = 60_000_000;

/// The order of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// Wanted entries of the next line that were given already.
    pub(crate) given: usize,
}

/// Which entries are wanted.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) projects: Vec<String>,
    pub(crate) query: Query,
    pub(crate) order: Order,
    pub(crate) size: usize,
    pub(crate) from: Option<Place>,
}

/// Some of them, and where to go on if there may be more.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Value>,
    pub(crate) next: Option<Place>,
}

impl List {
    /// The next page. Within a page the order is that of the times; from page to page that of the journal, where a
    /// record stands behind another one that is some microseconds younger when both were made at once. Blocks on the
    /// disk.
    pub(crate) fn read(&self, journal: &Journal) -> io::Result<Found> {
        let times = self.query.times();
        let from = times.from.as_micros().saturating_sub(SLACK_MICROS);
        if times.from > times.until {
            return Ok(Found::default());
        }
        let start = match (self.order, self.from) {
            (_, Some(place)) => Some(place.position),
            (Order::OldestFirst, None) if from > i64::MIN + SLACK_MICROS => first_near(journal, from)?,
            (_, None) => None,
        };
        let mut page = Page {
            list: self,
            direction: self.order.direction(),
            oldest: UnixTime::from_micros(from),
            begun: Instant::now(),
            looked_at: false,
            close_bytes: 0,
            given: self.from.map_or(0, |place| place.given),
            bytes: 0,
            entries: Vec::new(),
            next: None,
        };
        journal.walk((page.direction, start), &mut |line| page.line(line))?;
        Ok(page.finish())
    }
}

impl Order {
    fn direction(self) -> Direction {
        match self {
            Order::NewestFirst => Direction::Backward,
            Order::OldestFirst => Direction::Forward,
        }
    }
}

/// The segment that the first record of this time, or one before it, is in.
fn first_near(journal: &Journal, time: i64) -> io::Result<Option<Position>> {
    let firsts = journal.firsts(|line| glance(line).filter(|(kind, _)| *kind == Kind::Verdict))?;
    let before = firsts
        .iter()
        .rev()
        .find(|(_, (_, first))| first.as_micros() <= time);
    Ok(before.map(|(segment, _)| Position {
        segment: *segment,
        offset: 0,
    }))
}

/// A page being filled.
struct Page<'a> {
    list: &'a List,
    direction: Direction,
    /// Verdicts of before have only older ones behind them.
    oldest: UnixTime,
    begun: Instant,
    looked_at: bool,
    close_bytes: u64,
    given: usize,
    bytes: usize,
    entries: Vec<(UnixTime, Value)>,
    next: Option<Place>,
}

impl Page<'_> {
    fn line(&mut self, line: Line<'_>) -> ControlFlow<()> {
        // One line at least, so that whoever goes on gets on.
        let is_spent = self.close_bytes >= CLOSELY || self.begun.elapsed() >= WAIT;
        if self.is_full() || (is_spent && self.looked_at) {
            return self.stop(line, 0);
        }
        self.looked_at = true;
        let given = std::mem::take(&mut self.given);
        let Some((kind, time)) = glance(line.bytes) else {
            return ControlFlow::Continue(());
        };
        // Calls are recorded late after a crash, so they do not tell that what follows is older.
        if self.direction == Direction::Backward && kind == Kind::Verdict && time < self.oldest {
            return ControlFlow::Break(());
        }
        let List { query, projects, .. } = self.list;
        let times = query.times();
        if time < times.from || time > times.until {
            return ControlFlow::Continue(());
        }
        self.close_bytes += line.bytes.len() as u64;
        let mut wanted = entries_of((kind, time), line.bytes, projects, |entry| {
            query.test(&entry).then(|| entry.to_json())
        });
        if self.direction == Direction::Backward {
            wanted.reverse();
        }
        for (index, entry) in wanted.into_iter().enumerate().skip(given) {
            if self.is_full() {
                return self.stop(line, index);
            }
            self.bytes += entry.to_string().len();
            self.entries.push((time, entry));
        }
        ControlFlow::Continue(())
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.list.size || self.bytes >= PAGE_BYTES
    }

    fn stop(&mut self, line: Line<'_>, given: usize) -> ControlFlow<()> {
        self.next = Some(Place {
            position: line.resume(self.direction, true),
            given,
        });
        ControlFlow::Break(())
    }

    fn finish(mut self) -> Found {
        self.entries.sort_by(|(one, _), (other, _)| match self.direction {
            Direction::Forward => one.cmp(other),
            Direction::Backward => other.cmp(one),
        });
        Found {
            entries: self.entries.into_iter().map(|(_, entry)| entry).collect(),
            next: self.next,
        }
    }
}

/// The logs of the projects that have entries among the newest. Blocks on the disk.
pub(crate) fn names(journal: &Journal, projects: &[String]) -> io::Result<Vec<String>> {
    let begun = Instant::now();
    let mut names: Vec<String> = Vec::new();
    // Each project has these two.
    let all = projects.len() * [ACTIVITY, POLICY].len();
    journal.walk((Direction::Backward, None), &mut |line| {
        if let Some(glance) = glance(line.bytes) {
            for name in entries_of(glance, line.bytes, projects, |entry| {
                entry.log_name().map(str::to_owned)
            }) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.len() == all || begun.elapsed() >= WAIT {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    names.sort_unstable();
    Ok(names)
}
