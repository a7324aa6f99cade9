use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use binauthz_wire::tlog::{Checkpoint, Fault, Summary, Verifier, VerifierKey};

use super::super::walk::Direction;
use super::*;

fn line(number: usize) -> Vec<u8> {
    format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(number % 50)).into_bytes()
}

/// Of the records before a place, or the end, at most so many, the newest first; and where to go on.
fn before(journal: &Journal, place: Option<Position>, most: usize) -> (Vec<u64>, Option<Position>) {
    let (mut numbers, mut rest) = (Vec::new(), None);
    let way = (Direction::Backward, place);
    journal
        .walk(way, &mut |line| {
            // Not one of the lines that the log writes about itself.
            let record: serde_json::Value = serde_json::from_slice(line.bytes).unwrap();
            numbers.extend(record["n"].as_u64());
            if numbers.len() < most {
                return ControlFlow::Continue(());
            }
            rest = Some(line.resume(way.0, false));
            ControlFlow::Break(())
        })
        .unwrap();
    (numbers, rest)
}

fn newest_of(journal: &Journal, most: usize) -> Vec<u64> {
    before(journal, None, most).0
}

fn master() -> MasterKey {
    MasterKey::new(&[7; MasterKey::BYTES]).unwrap()
}

fn open(folder: &Path, segment_bytes: u64, keep_bytes: u64) -> Journal {
    let settings = JournalSettings {
        segment_bytes,
        keep_bytes,
        ..JournalSettings::default()
    };
    Journal::open(folder, settings, &master()).unwrap()
}

/// Verifies what is in the folder, as an outsider would.
fn verify(folder: &Path) -> Result<Summary, Fault> {
    let key: VerifierKey = fs::read_to_string(folder.join("log.vkey"))
        .unwrap()
        .parse()
        .unwrap();
    let anchor = fs::read_to_string(folder.join("checkpoint")).unwrap();
    let anchor = Checkpoint::open(&anchor, &key).unwrap();
    let mut verifier = Verifier::new(key, Some(anchor));
    for number in segment::numbers(folder).unwrap() {
        verifier.begin_file();
        for line in written(folder, number).lines() {
            verifier.line(line.as_bytes())?;
        }
    }
    verifier.finish()
}

/// What a segment holds before the room that was made ahead.
fn written(folder: &Path, number: u64) -> String {
    let bytes = fs::read(segment::path(folder, number)).unwrap();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    assert!(
        bytes[end..].iter().all(|byte| *byte == 0),
        "nothing behind the room"
    );
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

#[tokio::test]
async fn records_come_back_newest_first_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1_000, 1 << 30);
    for number in 0..200 {
        journal.append(line(number)).await.unwrap();
    }
    drop(journal);
    let journal = open(folder.path(), 1_000, 1 << 30);
    journal.append(line(200)).await.unwrap();
    assert!(segment::numbers(folder.path()).unwrap().len() > 5, "rotated");
    assert_eq!(newest_of(&journal, 1_000), (0..=200).rev().collect::<Vec<_>>());
    assert_eq!(newest_of(&journal, 3), [200, 199, 198]);

    let (mut paged, mut place) = (Vec::new(), None);
    loop {
        let (page, rest) = before(&journal, place, 7);
        paged.extend(page);
        place = rest;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(
        paged,
        (0..=200).rev().collect::<Vec<_>>(),
        "pages neither repeat nor lose"
    );
}

#[tokio::test]
async fn one_sync_serves_many_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 30, 1 << 30);
    let all: Vec<_> = (0..1_000).map(|number| journal.append(line(number))).collect();
    for durable in all {
        durable.await.unwrap();
    }
    assert!(
        journal.syncs() < 500,
        "{} syncs for 1000 records",
        journal.syncs()
    );
    assert_eq!(newest_of(&journal, 5_000).len(), 1_000);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_whole_records_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (round, torn) in [&b"{\"n\":9,\"pad"[..], &[0; 5_000], b"{\"n\":9}"]
        .into_iter()
        .enumerate()
    {
        let journal = open(folder.path(), 1 << 20, 1 << 30);
        journal.append(line(1)).await.unwrap();
        drop(journal);
        let newest = segment::path(folder.path(), 1);
        fs::OpenOptions::new()
            .append(true)
            .open(&newest)
            .unwrap()
            .write_all(torn)
            .unwrap();
        let journal = open(folder.path(), 1 << 20, 1 << 30);
        journal.append(line(2)).await.unwrap();
        assert_eq!(newest_of(&journal, 2), [2, 1]);
        assert!(written(folder.path(), 1).ends_with('\n'));
        drop(journal);
        assert!(verify(folder.path()).is_ok(), "round {round}");
    }
}

#[tokio::test]
async fn blocks_that_a_crash_left_out_of_order_are_no_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    journal.append(line(1)).await.unwrap();
    drop(journal);
    let newest = segment::path(folder.path(), 1);
    let whole = fs::read(&newest).unwrap();
    // A batch of which the second block reached the disk and the first did not.
    fs::write(
        &newest,
        [&whole[..], &[0; 4_096], b"{\"n\":3}\n", &[0; 70_000]].concat(),
    )
    .unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    journal.append(line(2)).await.unwrap();
    assert_eq!(newest_of(&journal, 5), [2, 1]);
    drop(journal);
    assert!(verify(folder.path()).is_ok());
}

#[tokio::test]
async fn a_segment_that_is_left_has_its_records_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1_000, 1 << 30);
    for number in 0..100 {
        journal.append(line(number)).await.unwrap();
    }
    assert!(segment::numbers(folder.path()).unwrap().len() > 2);
    let first = fs::read(segment::path(folder.path(), 1)).unwrap();
    assert!(first.ends_with(b"}\n") && !first.contains(&0));
}

#[tokio::test]
async fn one_record_is_one_line_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    let hostile = "x\n{\"verdict\":\"ALLOW\"}\u{1b}[2J \u{7f}\u{9b}\u{2028}\u{202e}\u{feff} ünï";
    let mut raw = br#"{"n":1,"text":"a"#.to_vec();
    raw.extend_from_slice(b"\x1b[2J\r\n\"}");
    journal
        .append(serde_json::to_vec(&serde_json::json!({ "n": 0, "text": hostile })).unwrap())
        .await
        .unwrap();
    journal.append(raw).await.unwrap();
    let text = written(folder.path(), 1);
    assert_eq!(text.matches('\n').count(), 3, "{text}");
    assert!(
        text.chars()
            .all(|c| c == '\n' || !(c.is_control() || acts_on_display(c))),
        "{text:?}"
    );
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let texts: Vec<String> = records
        .filter_map(|record| Some(record["text"].as_str()?.to_owned()))
        .collect();
    assert_eq!(texts, [hostile, "a\u{1b}[2J\r\n"], "escaped, not lost");
}

#[tokio::test]
async fn old_segments_go_their_checkpoints_stay_and_what_is_left_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 2_000, 10_000);
    for number in 0..200 {
        journal.append(line(number)).await.unwrap();
    }
    let kept = segment::numbers(folder.path()).unwrap();
    assert!(kept.len() > 2 && kept[0] > 1, "{kept:?}");
    assert_eq!(newest_of(&journal, 1), [199]);
    drop(journal);
    let summary = verify(folder.path()).unwrap();
    assert!(summary.first > 0 && summary.anchored && summary.signed + 1 == summary.size);
    let key: VerifierKey = fs::read_to_string(folder.path().join("log.vkey"))
        .unwrap()
        .parse()
        .unwrap();
    for number in 1..kept[kept.len() - 1] {
        let name = format!("segment-{number:010}.checkpoint");
        let note = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(Checkpoint::open(&note, &key).is_ok(), "segment {number}");
    }
}

#[tokio::test]
async fn segments_that_are_too_old_go_too() {
    let folder = tempfile::tempdir().unwrap();
    let settings = JournalSettings {
        segment_bytes: 1_000,
        keep_for: Duration::ZERO,
        ..JournalSettings::default()
    };
    let journal = Journal::open(folder.path(), settings, &master()).unwrap();
    for number in 0..100 {
        journal.append(line(number)).await.unwrap();
    }
    assert_eq!(segment::numbers(folder.path()).unwrap().len(), 1);
}

#[tokio::test]
async fn an_old_segment_that_cannot_be_removed_refuses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1_000, 0);
    journal.append(line(0)).await.unwrap();
    // A folder is no file to be removed.
    fs::create_dir(folder.path().join("segment-0000000000.jsonl")).unwrap();
    for number in 1..50 {
        journal.append(line(number)).await.unwrap();
    }
    assert!(folder.path().join("segment-0000000000.jsonl").exists());
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_the_journal_recovers() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 1 << 20, 1 << 30));
    fs::remove_file(segment::path(folder.path(), 1)).unwrap();
    symlink("/dev/full", segment::path(folder.path(), 1)).unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    assert!(matches!(
        journal.append(line(1)).await,
        Err(JournalError::Write(_))
    ));
    // The next segment is a real file, and the log goes on from what was confirmed.
    journal.append(line(2)).await.unwrap();
    assert_eq!(written(folder.path(), 2).lines().count(), 2);
    drop(journal);
    fs::remove_file(segment::path(folder.path(), 1)).unwrap();
    assert!(verify(folder.path()).is_ok());
}

#[tokio::test]
async fn what_nobody_waited_for_is_there_or_counted() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    let journal = open(&folder, 1, 1 << 30);
    let patience = Some(Duration::from_secs(3_600));
    journal.append_within(line(0), patience).await.unwrap();
    for number in 1..100 {
        journal.append_within(line(number), patience).await.unwrap();
    }
    // What waits when the journal is closed is written.
    drop(journal);
    let journal = open(&folder, 1, 1 << 30);
    assert_eq!(newest_of(&journal, 1_000).len(), 100);
    assert_eq!(journal.lost(), 0);
    journal.append(line(100)).await.unwrap();
    // Every record begins a segment, and from now on there is no place for one.
    fs::remove_dir_all(&folder).unwrap();
    journal.append_within(line(101), patience).await.unwrap();
    let known = tokio::time::timeout(Duration::from_secs(30), async {
        while journal.lost() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    known.await.unwrap();
    // From then on everybody waits, and is told.
    for number in 102..110 {
        let refused = journal.append_within(line(number), patience).await;
        assert!(matches!(refused, Err(JournalError::Write(_))));
    }
    assert_eq!(journal.lost(), 1);
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart_and_a_changed_one_never_does() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    for round in 0..3 {
        let journal = open(&folder, 1_000, 1 << 30);
        assert!(!journal.is_broken());
        for number in 0..20 {
            journal.append(line(round * 20 + number)).await.unwrap();
        }
    }
    let origin = fs::read_to_string(folder.join("origin")).unwrap();
    let summary = verify(&folder).unwrap();
    assert!(summary.first == 0 && summary.anchored && summary.origin == origin);
    let newest = *segment::numbers(&folder).unwrap().last().unwrap();
    let path = segment::path(&folder, newest);
    let good = fs::read_to_string(&path).unwrap();
    // A line that is missing at the end fits what is left, and not what was signed.
    let (kept, _) = good.trim_end().rsplit_once('\n').unwrap();
    let (kept, _) = kept.rsplit_once('\n').unwrap();
    fs::write(&path, format!("{kept}\n")).unwrap();
    assert!(matches!(
        SignedLog::open(&folder, &master()),
        Err(NotOurs::Short(Fault::Truncated { .. }))
    ));
    fs::write(&path, &good).unwrap();
    // A checkpoint that a power cut left empty is none.
    let checkpoint = fs::read(folder.join("checkpoint")).unwrap();
    fs::write(folder.join("checkpoint"), "").unwrap();
    assert!(SignedLog::open(&folder, &master()).is_ok());
    fs::write(folder.join("checkpoint"), checkpoint).unwrap();
    assert!(SignedLog::open(&folder, &master()).is_ok());
    fs::write(&path, good.replacen("\"n\":", "\"n\": ", 1)).unwrap();
    let journal = open(&folder, 1_000, 1 << 30);
    assert!(journal.is_broken(), "{good}");
    journal.append(line(1)).await.unwrap();
    drop(journal);
    assert_ne!(fs::read_to_string(folder.join("origin")).unwrap(), origin);
    assert!(verify(&folder).is_ok());
    let aside = fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(aside, 2, "the broken one is kept");
}

#[tokio::test]
async fn the_clock_has_quiet_logs_signed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    assert_eq!(journal.checkpoint().unwrap(), None);
    // A header and a record, then a checkpoint and a record more.
    for (number, size) in [(1, "2"), (2, "4")] {
        journal.append(line(number)).await.unwrap();
        journal.sign_soon();
        journal.sign_soon();
        let signed = || {
            journal
                .checkpoint()
                .unwrap()
                .and_then(|note| note.lines().nth(1).map(str::to_owned))
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while signed().as_deref() != Some(size) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.unwrap();
    }
    for object in [&b""[..], b"{}", b"[1]", b"\"x\"", b"{\"a\":1"] {
        let refused = journal.append(object.to_vec()).await;
        assert!(matches!(refused, Err(JournalError::NotAnObject)));
    }
}

#[tokio::test]
async fn records_over_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 1 << 30);
    let long = |length: usize| format!(r#"{{"n":"{}"}}"#, "x".repeat(length - 8)).into_bytes();
    assert!(matches!(
        journal.append(long(MAXIMUM_RECORD + 1)).await,
        Err(JournalError::TooLong { .. })
    ));
    journal.append(long(MAXIMUM_RECORD)).await.unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let folder = folder.path().join("file/journal");
    let error = Journal::open(&folder, JournalSettings::default(), &master()).unwrap_err();
    assert!(error.to_string().contains("cannot open the verdict journal"));
}

#[tokio::test]
async fn a_walk_goes_either_way_and_on_from_any_line() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1_000, 1 << 30);
    for number in 0..60 {
        journal.append(line(number)).await.unwrap();
    }
    assert!(segment::numbers(folder.path()).unwrap().len() > 3, "rotated");
    let number = |line: &Line<'_>| {
        let record: serde_json::Value = serde_json::from_slice(line.bytes).unwrap();
        record["n"].as_u64()
    };
    for direction in [Direction::Forward, Direction::Backward] {
        let mut whole = Vec::new();
        let mut places = Vec::new();
        let walked = journal.walk((direction, None), &mut |line| {
            if let Some(number) = number(&line) {
                whole.push(number);
                places.push((line.resume(direction, true), line.resume(direction, false)));
            }
            ControlFlow::Continue(())
        });
        walked.unwrap();
        let mut expected: Vec<u64> = (0..60).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(whole, expected);
        for (index, (again, beyond)) in places.into_iter().enumerate() {
            for (from, expected) in [(again, whole.get(index)), (beyond, whole.get(index + 1))] {
                let mut next = None;
                let walked = journal.walk((direction, Some(from)), &mut |line| {
                    next = number(&line);
                    if next.is_some() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                walked.unwrap();
                assert_eq!(next.as_ref(), expected, "{direction:?} from {from:?}");
            }
        }
    }
    let firsts = journal
        .firsts(|line| line.starts_with(b"{\"n\"").then_some(()))
        .unwrap();
    assert_eq!(firsts.len(), segment::numbers(folder.path()).unwrap().len());
}
