//! Follows both journals as they grow, in the order in which their lines came.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::Entry;

use super::entries_of;
use super::list::first_near;
use super::plain::Wants;
use super::record::{Kind, glance};
use crate::audit::{Direction, Journal, Position};

/// What is looked at of one journal at a time: 8 MiB are some 5 000 verdicts, and take some 10 ms. It bounds what is held,
/// too.
const AT_A_TIME: u64 = 8 << 20;

/// A line that is to be read.
#[derive(Debug)]
pub(crate) struct Found {
    /// When it came.
    pub(crate) arrival: UnixTime,
    kind: Kind,
    bytes: Vec<u8>,
    start: Position,
}

impl Found {
    /// What `each` makes of its entries.
    pub(crate) fn entries<T>(&self, wants: &Wants, mut each: impl FnMut(Entry<'_>) -> T) -> Vec<T> {
        let is_wanted = |project: &str| wants.looks_at(project);
        entries_of((self.kind, self.arrival), &self.bytes, &is_wanted, |entry| {
            Some(each(entry))
        })
    }
}

/// The way through one journal.
#[derive(Debug)]
struct Reader {
    journal: Journal,
    queue: VecDeque<Found>,
    /// Up to here lines were looked at.
    scanned: Position,
    /// Only lines before this one.
    until: Option<Position>,
    /// The last look came to the end.
    at_end: bool,
}

impl Reader {
    fn is_behind(&self) -> bool {
        self.scanned < self.until.unwrap_or_else(|| self.journal.end())
    }

    /// Looks at the next lines, if those before were taken. Without new lines the disk is left alone.
    fn look(&mut self, wants: &Wants) -> io::Result<()> {
        if !self.queue.is_empty() || !self.is_behind() {
            return Ok(());
        }
        let (mut bytes, mut at_end) = (0, true);
        let (queue, scanned, until) = (&mut self.queue, &mut self.scanned, self.until);
        let from = *scanned;
        self.journal.walk((Direction::Forward, Some(from)), &mut |line| {
            let start = line.resume(Direction::Forward, true);
            if until.is_some_and(|until| start >= until) {
                return ControlFlow::Break(());
            }
            if bytes >= AT_A_TIME {
                at_end = false;
                return ControlFlow::Break(());
            }
            bytes += line.bytes.len() as u64;
            *scanned = line.resume(Direction::Forward, false);
            if let Some((kind, arrival)) = glance(line.bytes)
                && wants.may_want(kind, line.bytes)
            {
                queue.push_back(Found {
                    arrival,
                    kind,
                    bytes: line.bytes.to_vec(),
                    start,
                });
            }
            ControlFlow::Continue(())
        })?;
        self.at_end = at_end;
        Ok(())
    }
}

/// The way through both journals.
#[derive(Debug)]
pub(crate) struct Follower {
    verdicts: Reader,
    written: Reader,
}

impl Follower {
    /// From these places on.
    pub(crate) fn new(journals: (&Journal, &Journal), from: (Position, Position)) -> Follower {
        let reader = |journal: &Journal, scanned| Reader {
            journal: journal.clone(),
            queue: VecDeque::new(),
            scanned,
            until: None,
            at_end: false,
        };
        Follower {
            verdicts: reader(journals.0, from.0),
            written: reader(journals.1, from.1),
        }
    }

    /// From some time on, or a little earlier, up to these places. Blocks on the disk.
    pub(crate) fn since(
        journals: (&Journal, &Journal),
        time: UnixTime,
        until: (Position, Position),
    ) -> io::Result<Follower> {
        let near = |journal| Ok::<_, io::Error>(first_near(journal, time.as_micros())?.unwrap_or_default());
        let mut follower = Follower::new(journals, (near(journals.0)?, near(journals.1)?));
        follower.verdicts.until = Some(until.0);
        follower.written.until = Some(until.1);
        Ok(follower)
    }

    /// Whether there are lines that were not given yet. Does not look at the disk.
    pub(crate) fn is_behind(&self) -> bool {
        [&self.verdicts, &self.written]
            .iter()
            .any(|reader| !reader.queue.is_empty() || reader.is_behind())
    }

    /// Looks for the next lines. Blocks on the disk.
    pub(crate) fn look(&mut self, wants: &Wants) -> io::Result<()> {
        self.verdicts.look(wants)?;
        self.written.look(wants)
    }

    /// The line that came next, as far as is known without another look.
    pub(crate) fn next(&mut self) -> Option<Found> {
        let (one, other) = (&mut self.verdicts, &mut self.written);
        let first = match (one.queue.front(), other.queue.front()) {
            (Some(found), Some(rival)) if rival.arrival < found.arrival => other,
            (Some(_), Some(_)) => one,
            (Some(_), None) if other.at_end || !other.is_behind() => one,
            (None, Some(_)) if one.at_end || !one.is_behind() => other,
            _ => return None,
        };
        first.queue.pop_front()
    }

    /// Where to go on so that what was not given yet comes next.
    pub(crate) fn places(&self) -> (Position, Position) {
        let place = |reader: &Reader| reader.queue.front().map_or(reader.scanned, |found| found.start);
        (place(&self.verdicts), place(&self.written))
    }

    /// Whether nothing is left of what it was to give.
    pub(crate) fn is_done(&self) -> bool {
        [&self.verdicts, &self.written]
            .iter()
            .all(|reader| reader.queue.is_empty() && (reader.at_end || !reader.is_behind()))
    }
}

#[cfg(test)]
mod tests {
    use binauthz_keyring::MasterKey;
    use binauthz_wire::json::timestamp_out;
    use binauthz_wire::logging::Query;

    use super::*;
    use crate::audit::JournalSettings;
    use crate::settings::Retention;

    /// Both journals.
    struct Journals {
        verdicts: Journal,
        written: Journal,
    }

    fn journals(folder: &std::path::Path) -> Journals {
        let master = MasterKey::new(&[7; MasterKey::BYTES]).unwrap();
        let open = |name: &str| {
            Journal::open(
                &folder.join(name),
                JournalSettings::of_entries(Retention::ENTRIES),
                &master,
            )
            .unwrap()
        };
        Journals {
            verdicts: open("journal"),
            written: open("entries"),
        }
    }

    fn line(text: &str, second: i64) -> Vec<u8> {
        let time = timestamp_out(UnixTime::from_seconds(second));
        let entry = format!(r#"{{"logName":"projects/p/logs/x","textPayload":"{text}","insertId":"i"}}"#);
        format!(r#"{{"log":"entry","time":"{time}","entry":{entry}}}"#).into_bytes()
    }

    fn wants() -> Wants {
        Wants::new([("p", &Query::parse("textPayload:robot").unwrap())])
    }

    /// What is given by as many looks as it takes, by the second of its arrival.
    fn given(follower: &mut Follower, wants: &Wants) -> Vec<i64> {
        let mut seconds = Vec::new();
        loop {
            follower.look(wants).unwrap();
            while let Some(found) = follower.next() {
                let entries = found.entries(wants, |entry| entry.log_name().map(str::to_owned));
                assert_eq!(entries, [Some("projects/p/logs/x".to_owned())]);
                seconds.push(found.arrival.as_seconds());
            }
            if follower.is_done() {
                return seconds;
            }
        }
    }

    #[tokio::test]
    async fn lines_come_once_in_the_order_of_their_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, wants) = (journals(folder.path()), wants());
        let start = (journals.verdicts.end(), journals.written.end());
        let mut follower = Follower::new((&journals.verdicts, &journals.written), start);
        assert!(!follower.is_behind());
        for (journal, text, second) in [
            (&journals.verdicts, "robot", 1),
            (&journals.written, "robot", 2),
            (&journals.written, "other", 3),
            (&journals.verdicts, "robot", 4),
            (&journals.written, "robot", 5),
        ] {
            journal.append(line(text, second)).await.unwrap();
        }
        assert!(follower.is_behind());
        assert_eq!(given(&mut follower, &wants), [1, 2, 4, 5]);
        assert!(!follower.is_behind());
        journals.written.append(line("robot", 6)).await.unwrap();
        let places = follower.places();
        assert_eq!(given(&mut follower, &wants), [6]);
        assert_eq!(given(&mut follower, &wants), [0; 0]);
        // Whoever goes on from a place gets what was not given there.
        assert_eq!(
            given(
                &mut Follower::new((&journals.verdicts, &journals.written), places),
                &wants
            ),
            [6]
        );
        let mut half = Follower::new((&journals.verdicts, &journals.written), start);
        half.look(&wants).unwrap();
        assert_eq!(half.next().unwrap().arrival.as_seconds(), 1);
        assert_eq!(
            given(
                &mut Follower::new((&journals.verdicts, &journals.written), half.places()),
                &wants
            ),
            [2, 4, 5, 6]
        );
    }

    #[tokio::test]
    async fn what_came_before_a_place_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, wants) = (journals(folder.path()), wants());
        for second in 1..=3 {
            journals.written.append(line("robot", second)).await.unwrap();
        }
        let until = (journals.verdicts.end(), journals.written.end());
        journals.written.append(line("robot", 4)).await.unwrap();
        let time = UnixTime::from_seconds(2);
        let mut follower = Follower::since((&journals.verdicts, &journals.written), time, until).unwrap();
        assert_eq!(given(&mut follower, &wants), [1, 2, 3]);
    }

    #[tokio::test]
    async fn more_than_is_looked_at_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, wants) = (journals(folder.path()), wants());
        let long = "x".repeat(200 << 10);
        for second in 0..100 {
            let text = if second % 30 == 0 { "robot" } else { &long };
            journals.written.append(line(text, second)).await.unwrap();
        }
        journals.verdicts.append(line("robot", 45)).await.unwrap();
        let mut follower = Follower::new((&journals.verdicts, &journals.written), Default::default());
        follower.look(&wants).unwrap();
        assert!(!follower.is_done());
        assert_eq!(given(&mut follower, &wants), [0, 30, 45, 60, 90]);
    }
}
