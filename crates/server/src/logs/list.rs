//! Looks through the journals for entries, a bounded part of them at a time.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Query};
use serde_json::Value;

use super::follow::{Budget, CLOSELY, Seen, WAIT};
use super::record::{Kind, glance};
use super::{ACTIVITY, Index, Needle, POLICY, among, entries_of};
use crate::app::App;
use crate::audit::{Direction, Journal, Line, Position, Way};

/// What one page holds; below the 4 MiB that a gRPC client takes, whatever the last entry adds.
const PAGE_BYTES: usize = 3 << 20;
/// A record is written soon after its time, and the clock may have been set back a little meanwhile.
const SLACK_MICROS: i64 = 60_000_000;
/// Written entries may be of tomorrow, or a month old.
const EARLY_MICROS: i64 = 86_400_000_000;
const LATE_MICROS: i64 = 30 * 86_400_000_000;

/// The order of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Where the list of one journal goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// Wanted entries of the next line that were given already.
    pub(crate) given: usize,
}

/// How far the list of one journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Start,
    Place(Place),
    End,
}

/// How far a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) verdicts: At,
    pub(crate) written: At,
}

/// Where entries come from: what was decided and done here, and what others wrote.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    pub(crate) verdicts: Indexed,
    pub(crate) written: Indexed,
}

/// A journal and the index over it.
#[derive(Debug, Clone)]
pub(crate) struct Indexed {
    pub(crate) journal: Journal,
    pub(crate) index: Arc<Index>,
}

impl Journals {
    pub(crate) fn of(app: &App) -> Journals {
        let [verdicts, written] = &app.indexes;
        let indexed = |journal: &Journal, index: &Arc<Index>| Indexed {
            journal: journal.clone(),
            index: Arc::clone(index),
        };
        Journals {
            verdicts: indexed(&app.journal, verdicts),
            written: indexed(&app.entries, written),
        }
    }
}

impl Journals {
    /// Bytes of records that no index has yet. Blocks on the disk.
    pub(crate) fn missing(&self) -> io::Result<u64> {
        let [verdicts, written] =
            [&self.verdicts, &self.written].map(|indexed| indexed.index.missing(&indexed.journal));
        Ok(verdicts? + written?)
    }
}

impl Indexed {
    /// A number that grows with the journal, by its bytes.
    pub(crate) fn end(&self) -> u64 {
        let end = self.journal.end();
        (end.segment << 32) | end.offset.min(u64::from(u32::MAX))
    }

    /// Gives each line that may have what is looked for, and some others. Blocks on the disk.
    pub(crate) fn walk(
        &self,
        way: Way,
        needle: &Needle,
        each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let parts = |segment, bytes| self.index.unread(segment, bytes, needle);
        self.journal.walk_parts(way, &parts, each)
    }
}

/// A log of which nothing is shown that was received up to a time.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    pub(crate) log_name: String,
    pub(crate) until: UnixTime,
}

/// Which entries are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) projects: Vec<String>,
    pub(crate) query: Query,
    pub(crate) deleted: Vec<Deleted>,
}

/// Which of them, and in what order.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) wanted: Wanted,
    pub(crate) order: Order,
    pub(crate) size: usize,
    pub(crate) from: Places,
}

impl List {
    /// The next page, and where to go on if there may be more. Within a page the order is that of the times; from page
    /// to page that of the journals, which is the order of arrival. Blocks on the disk.
    pub(crate) fn read(&self, journals: &Journals) -> io::Result<(Vec<Value>, Option<Places>)> {
        let times = self.wanted.query.times();
        if times.from > times.until {
            return Ok((Vec::new(), None));
        }
        let verdicts = self.part(&journals.verdicts, self.from.verdicts, (0, 0))?;
        let written = self.part(&journals.written, self.from.written, (EARLY_MICROS, LATE_MICROS))?;
        Ok(self.merge([verdicts, written]))
    }

    /// What one journal has for the page. `around` is by how much its entries may be earlier and later than their
    /// arrival says.
    fn part(&self, journal: &Indexed, at: At, (early, late): (i64, i64)) -> io::Result<Part> {
        let start = match at {
            At::End => return Ok(Part::default()),
            At::Start => None,
            At::Place(place) => Some(place),
        };
        let times = self.wanted.query.times();
        let oldest = times.from.as_micros().saturating_sub(early);
        let newest = times.until.as_micros().saturating_add(late);
        let near = oldest.saturating_sub(SLACK_MICROS);
        let from = match start {
            Some(place) => Some(place.position),
            None if self.order == Order::OldestFirst && near > i64::MIN => {
                first_near(&journal.journal, oldest)?
            }
            None => None,
        };
        let needle = Needle::of(&self.wanted.projects, &self.wanted.query).between((oldest, newest));
        let mut search = Search {
            list: self,
            needle: &needle,
            direction: self.order.direction(),
            oldest: (near, oldest),
            newest,
            budget: Budget::new(CLOSELY),
            looked_at: false,
            given: start.map_or(0, |place| place.given),
            part: Part::default(),
            bytes: 0,
        };
        journal.walk((search.direction, from), &needle, &mut |line| search.line(line))?;
        Ok(search.part)
    }

    /// The first of both, as far as it is known which they are.
    fn merge(&self, parts: [Part; 2]) -> (Vec<Value>, Option<Places>) {
        let [verdicts, written] = parts;
        let mut heads = [verdicts.heads(), written.heads()];
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < self.size && bytes < PAGE_BYTES {
            let first = match heads.each_ref().map(Heads::time) {
                [Some(one), Some(other)] if self.order.compare(other, one) == Ordering::Less => 1,
                [Some(_), _] => 0,
                [None, Some(_)] => 1,
                [None, None] => break,
            };
            let Some(found) = heads.get_mut(first).and_then(Heads::take) else {
                // What comes next is not known yet: the rest is for the next page.
                break;
            };
            bytes += found.bytes;
            page.push((found.time, found.entry));
        }
        page.sort_by(|(one, _), (other, _)| self.order.compare(*one, *other));
        let [verdicts, written] = heads.map(|heads| heads.at());
        let is_over = verdicts == At::End && written == At::End;
        let entries = page.into_iter().map(|(_, entry)| entry).collect();
        (entries, (!is_over).then_some(Places { verdicts, written }))
    }
}

impl Order {
    fn direction(self) -> Direction {
        match self {
            Order::NewestFirst => Direction::Backward,
            Order::OldestFirst => Direction::Forward,
        }
    }

    fn compare(self, one: UnixTime, other: UnixTime) -> Ordering {
        match self {
            Order::NewestFirst => other.cmp(&one),
            Order::OldestFirst => one.cmp(&other),
        }
    }
}

/// The segment that the first record of this time, or one before it, is in; less what records may be late.
pub(crate) fn first_near(journal: &Journal, time: i64) -> io::Result<Option<Position>> {
    let time = time.saturating_sub(SLACK_MICROS);
    let firsts = journal.firsts(|line| glance(line).filter(|(kind, _)| *kind != Kind::Call))?;
    let before = firsts
        .iter()
        .rev()
        .find(|(_, (_, first))| first.as_micros() <= time);
    Ok(before.map(|(segment, _)| Position {
        segment: *segment,
        offset: 0,
    }))
}

/// An entry that is wanted.
#[derive(Debug)]
struct Found {
    /// When it came.
    arrival: UnixTime,
    /// When it happened.
    time: UnixTime,
    entry: Value,
    bytes: usize,
    /// Where a list goes on with it.
    place: Place,
}

/// What one journal has for a page.
#[derive(Debug, Default)]
struct Part {
    found: Vec<Found>,
    /// Where the search ended before the journal did, and the time it had come to.
    next: Option<(Place, UnixTime)>,
}

impl Part {
    fn heads(self) -> Heads {
        Heads {
            found: self.found.into(),
            next: self.next,
        }
    }
}

/// A part being used up.
struct Heads {
    found: VecDeque<Found>,
    next: Option<(Place, UnixTime)>,
}

impl Heads {
    /// The time of what comes next, also where that is not known yet.
    fn time(&self) -> Option<UnixTime> {
        let found = self.found.front().map(|found| found.arrival);
        found.or(self.next.map(|(_, reached)| reached))
    }

    fn take(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    fn at(&self) -> At {
        match (self.found.front(), self.next) {
            (Some(found), _) => At::Place(found.place),
            (None, Some((place, _))) => At::Place(place),
            (None, None) => At::End,
        }
    }
}

/// One journal being looked through.
struct Search<'a> {
    list: &'a List,
    needle: &'a Needle,
    direction: Direction,
    /// Before the first nothing more is wanted, and nothing before the second.
    oldest: (i64, i64),
    newest: i64,
    budget: Budget,
    looked_at: bool,
    given: usize,
    part: Part,
    bytes: usize,
}

impl Search<'_> {
    fn line(&mut self, line: Line<'_>) -> ControlFlow<()> {
        let Some(seen) = Seen::of(line.bytes) else {
            return ControlFlow::Continue(());
        };
        let arrival = seen.arrival;
        // One line at least, so that whoever goes on gets on.
        if self.is_full() || (self.budget.is_spent() && self.looked_at) {
            let place = self.place(&line, 0);
            self.part.next = Some((place, arrival));
            return ControlFlow::Break(());
        }
        self.looked_at = true;
        let given = std::mem::take(&mut self.given);
        let micros = arrival.as_micros();
        // Calls are recorded late after a crash, so they do not tell that what follows is older.
        if self.direction == Direction::Backward && seen.kind != Kind::Call && micros < self.oldest.0 {
            return ControlFlow::Break(());
        }
        if micros < self.oldest.1 || micros > self.newest || !self.needle.may_be(line.bytes) {
            self.budget.pass(line.bytes);
            return ControlFlow::Continue(());
        }
        self.budget.read(line.bytes);
        let mut wanted = self.list.wanted.entries(seen, self.needle);
        if self.direction == Direction::Backward {
            wanted.reverse();
        }
        for (index, (time, entry)) in wanted.into_iter().enumerate().skip(given) {
            let place = self.place(&line, index);
            if self.is_full() {
                self.part.next = Some((place, arrival));
                return ControlFlow::Break(());
            }
            let bytes = entry.to_string().len();
            self.bytes += bytes;
            self.part.found.push(Found {
                arrival,
                time,
                entry,
                bytes,
                place,
            });
        }
        ControlFlow::Continue(())
    }

    fn is_full(&self) -> bool {
        self.part.found.len() >= self.list.size || self.bytes >= PAGE_BYTES
    }

    fn place(&self, line: &Line<'_>, given: usize) -> Place {
        Place {
            position: line.resume(self.direction, true),
            given,
        }
    }
}

impl Wanted {
    /// The entries of a line that are wanted, with their times, the first of them first.
    pub(crate) fn entries(&self, seen: Seen<'_>, needle: &Needle) -> Vec<(UnixTime, Value)> {
        let arrival = seen.arrival;
        seen.entries(needle, |entry| {
            let is_wanted = !is_deleted(&self.deleted, &entry, arrival) && self.query.test(&entry);
            is_wanted.then(|| (entry.time(), entry.to_json()))
        })
    }
}

fn is_deleted(deleted: &[Deleted], entry: &Entry<'_>, arrival: UnixTime) -> bool {
    deleted
        .iter()
        .any(|log| arrival <= log.until && entry.log_name() == Some(&log.log_name))
}

/// The logs of the projects that have entries among the newest. Blocks on the disk.
pub(crate) fn names(
    journals: &Journals,
    projects: &[String],
    deleted: &[Deleted],
) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    // Each project has these two in the first journal; in the other there may be any.
    let own = projects.len() * [ACTIVITY, POLICY].len();
    for (journal, all) in [
        (&journals.verdicts.journal, own),
        (&journals.written.journal, usize::MAX),
    ] {
        let begun = Instant::now();
        journal.walk((Direction::Backward, None), &mut |line| {
            if let Some((kind, arrival)) = glance(line.bytes) {
                let found = entries_of((kind, arrival), line.bytes, &among(projects), |entry| {
                    let name = entry.log_name().map(str::to_owned);
                    name.filter(|_| !is_deleted(deleted, &entry, arrival))
                });
                for name in found {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            if names.len() >= all || begun.elapsed() >= WAIT {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    }
    names.sort_unstable();
    Ok(names)
}
