//! Follows both journals as they grow, in the order in which their lines came: for whoever takes what comes and remembers
//! how far it was.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use binauthz_core::time::UnixTime;

use super::cursor::Reached;
use super::follow::Seen;
use super::list::first_near;
use super::record::Kind;
use super::{Indexed, Journals, Needle};
use crate::audit::Position;

/// What is read closely of one journal at a time: 8 MiB are some 5 000 verdicts. It bounds what is held, too.
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
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen {
            kind: self.kind,
            arrival: self.arrival,
            bytes: &self.bytes,
        }
    }
}

/// The way through one journal.
#[derive(Debug)]
struct Reader {
    indexed: Indexed,
    queue: VecDeque<Found>,
    /// Up to here lines were looked at.
    scanned: Position,
    /// How far the last look was to go.
    until: Position,
}

impl Reader {
    fn new(indexed: &Indexed, from: Position) -> Reader {
        Reader {
            indexed: indexed.clone(),
            queue: VecDeque::new(),
            scanned: from,
            until: from,
        }
    }

    /// Looks at the next lines, if those before were taken.
    fn look(&mut self, needle: &Needle, until: Position) -> io::Result<()> {
        self.until = until;
        if !self.queue.is_empty() {
            return Ok(());
        }
        let queue = &mut self.queue;
        let way = (self.scanned, until);
        self.scanned = self
            .indexed
            .follow(way, (needle, AT_A_TIME), &mut |seen, start| {
                queue.push_back(Found {
                    arrival: seen.arrival,
                    kind: seen.kind,
                    bytes: seen.bytes.to_vec(),
                    start,
                });
                ControlFlow::Continue(())
            })?;
        Ok(())
    }

    fn is_behind(&self, end: Position) -> bool {
        !self.queue.is_empty() || self.scanned < end
    }

    fn place(&self) -> Position {
        self.queue.front().map_or(self.scanned, |found| found.start)
    }
}

/// The way through both journals.
#[derive(Debug)]
pub(crate) struct Follower {
    verdicts: Reader,
    written: Reader,
}

impl Follower {
    /// From a place on.
    pub(crate) fn new(journals: &Journals, from: Reached) -> Follower {
        Follower {
            verdicts: Reader::new(&journals.verdicts, from.verdicts),
            written: Reader::new(&journals.written, from.written),
        }
    }

    /// Looks for the next lines that come before a place. Blocks on the disk, if there is anything before it.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn look(&mut self, needle: &Needle, until: Reached) -> io::Result<()> {
        self.verdicts.look(needle, until.verdicts)?;
        self.written.look(needle, until.written)
    }

    /// The line that came next, as far as is known without another look.
    pub(crate) fn next(&mut self) -> Option<Found> {
        let (one, other) = (&mut self.verdicts, &mut self.written);
        let first = match (one.queue.front(), other.queue.front()) {
            (Some(found), Some(rival)) if rival.arrival < found.arrival => other,
            (Some(_), Some(_)) => one,
            (Some(_), None) if !other.is_behind(other.until) => one,
            (None, Some(_)) if !one.is_behind(one.until) => other,
            _ => return None,
        };
        first.queue.pop_front()
    }

    /// Where to go on so that what was not given yet comes next.
    pub(crate) fn place(&self) -> Reached {
        Reached {
            verdicts: self.verdicts.place(),
            written: self.written.place(),
        }
    }

    /// Whether there may be lines before a place that were not given yet. Does not look at the disk.
    pub(crate) fn is_behind(&self, end: Reached) -> bool {
        self.verdicts.is_behind(end.verdicts) || self.written.is_behind(end.written)
    }
}

impl Reached {
    /// Before the first line of some time, and as near to it as is told by the first lines of segments. Blocks on the disk.
    ///
    /// # Errors
    /// The system's, when a segment cannot be read.
    pub(crate) fn near(journals: &Journals, time: UnixTime) -> io::Result<Reached> {
        let near = |indexed: &Indexed| {
            let near = first_near(&indexed.journal, time.as_micros())?;
            Ok::<_, io::Error>(near.unwrap_or_default())
        };
        Ok(Reached {
            verdicts: near(&journals.verdicts)?,
            written: near(&journals.written)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use binauthz_keyring::MasterKey;
    use binauthz_wire::json::timestamp_out;
    use binauthz_wire::logging::Query;

    use super::*;
    use crate::audit::{Journal, JournalSettings};
    use crate::settings::Retention;

    fn journals(folder: &std::path::Path, settings: JournalSettings) -> Journals {
        let master = MasterKey::new(&[7; MasterKey::BYTES]).unwrap();
        let open = |name: &str| Indexed {
            journal: Journal::open(&folder.join(name), settings, &master).unwrap(),
            index: Arc::default(),
        };
        Journals {
            verdicts: open("journal"),
            written: open("entries"),
        }
    }

    fn ends(journals: &Journals) -> Reached {
        Reached {
            verdicts: journals.verdicts.journal.end(),
            written: journals.written.journal.end(),
        }
    }

    fn line(text: &str, second: i64) -> Vec<u8> {
        let time = timestamp_out(UnixTime::from_seconds(second));
        let entry = format!(r#"{{"logName":"projects/p/logs/x","textPayload":"{text}","insertId":"i"}}"#);
        format!(r#"{{"log":"entry","time":"{time}","entry":{entry}}}"#).into_bytes()
    }

    fn needle() -> Needle {
        Needle::new([("p", &Query::parse("textPayload:robot").unwrap())])
    }

    /// What is given before a place by as many looks as it takes, by the second of its arrival.
    fn given(follower: &mut Follower, needle: &Needle, until: Reached) -> Vec<i64> {
        let mut seconds = Vec::new();
        loop {
            follower.look(needle, until).unwrap();
            while let Some(found) = follower.next() {
                let entries = found
                    .seen()
                    .entries(needle, |entry| entry.log_name().map(str::to_owned));
                assert_eq!(entries, ["projects/p/logs/x"]);
                seconds.push(found.arrival.as_seconds());
            }
            if !follower.is_behind(until) {
                return seconds;
            }
        }
    }

    #[tokio::test]
    async fn lines_come_once_in_the_order_of_their_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, needle) = (
            journals(folder.path(), JournalSettings::of_entries(Retention::ENTRIES)),
            needle(),
        );
        let start = ends(&journals);
        let mut follower = Follower::new(&journals, start);
        assert!(!follower.is_behind(ends(&journals)));
        for (indexed, text, second) in [
            (&journals.verdicts, "robot", 1),
            (&journals.written, "robot", 2),
            (&journals.written, "other", 3),
            (&journals.verdicts, "robot", 4),
            (&journals.written, "robot", 5),
        ] {
            indexed.journal.append(line(text, second)).await.unwrap();
        }
        assert!(follower.is_behind(ends(&journals)));
        let five = ends(&journals);
        assert_eq!(given(&mut follower, &needle, five), [1, 2, 4, 5]);
        assert!(!follower.is_behind(five));
        journals.written.journal.append(line("robot", 6)).await.unwrap();
        let place = follower.place();
        // What came since is for the next look.
        assert_eq!(given(&mut follower, &needle, five), [0; 0]);
        assert_eq!(given(&mut follower, &needle, ends(&journals)), [6]);
        assert_eq!(given(&mut follower, &needle, ends(&journals)), [0; 0]);
        // Whoever goes on from a place gets what was not given there.
        let mut again = Follower::new(&journals, place);
        assert_eq!(given(&mut again, &needle, ends(&journals)), [6]);
        let mut half = Follower::new(&journals, start);
        half.look(&needle, ends(&journals)).unwrap();
        assert_eq!(half.next().unwrap().arrival.as_seconds(), 1);
        let mut again = Follower::new(&journals, half.place());
        assert_eq!(given(&mut again, &needle, ends(&journals)), [2, 4, 5, 6]);
    }

    #[tokio::test]
    async fn what_came_before_a_place_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, needle) = (
            journals(folder.path(), JournalSettings::of_entries(Retention::ENTRIES)),
            needle(),
        );
        for second in 101..=103 {
            journals
                .written
                .journal
                .append(line("robot", second))
                .await
                .unwrap();
        }
        let until = ends(&journals);
        journals.written.journal.append(line("robot", 104)).await.unwrap();
        let near = Reached::near(&journals, UnixTime::from_seconds(102)).unwrap();
        assert_eq!(
            given(&mut Follower::new(&journals, near), &needle, until),
            [101, 102, 103]
        );
    }

    #[tokio::test]
    async fn more_than_is_looked_at_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (journals, needle) = (
            journals(folder.path(), JournalSettings::of_entries(Retention::ENTRIES)),
            needle(),
        );
        let long = format!("robot {}", "x".repeat(200 << 10));
        for second in 0..100 {
            journals
                .written
                .journal
                .append(line(&long, second))
                .await
                .unwrap();
        }
        journals.verdicts.journal.append(line("robot", 45)).await.unwrap();
        let mut follower = Follower::new(&journals, Reached::default());
        follower.look(&needle, ends(&journals)).unwrap();
        assert!(follower.written.scanned < journals.written.journal.end());
        let expected: Vec<i64> = (0..46).chain(45..100).collect();
        assert_eq!(given(&mut follower, &needle, ends(&journals)), expected);
    }

    /// A segment that rotation removed is no end: what comes behind it is read.
    #[tokio::test]
    async fn a_removed_segment_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let settings = JournalSettings {
            segment_bytes: 4_096,
            ..JournalSettings::of_entries(Retention::ENTRIES)
        };
        let needle = needle();
        let before = journals(folder.path(), settings);
        let mut follower = Follower::new(&before, Reached::default());
        for second in 0..100 {
            let durable = before.written.journal.append(line("robot", second));
            durable.await.unwrap();
            if second == 4 {
                assert_eq!(given(&mut follower, &needle, ends(&before)), [0, 1, 2, 3, 4]);
            }
        }
        let place = follower.place();
        drop((follower, before));
        // Now nothing is in memory any more.
        let journals = journals(folder.path(), settings);
        let newest = ends(&journals).written.segment;
        assert!(newest > 3, "{newest} segments");
        for number in 1..newest {
            let name = format!("entries/segment-{number:010}.jsonl");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        let mut follower = Follower::new(&journals, place);
        let rest = given(&mut follower, &needle, ends(&journals));
        assert!(rest.len() < 60 && rest.last() == Some(&99), "{rest:?}");
        assert!(!follower.is_behind(ends(&journals)));
    }
}
