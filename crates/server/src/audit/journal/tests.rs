use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

fn line(number: usize) -> Vec<u8> {
    format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(number % 50)).into_bytes()
}

fn numbers(journal: &Journal, query: &Tail) -> Vec<u64> {
    journal
        .tail(query, |_| true)
        .unwrap()
        .rows
        .iter()
        .map(|row| row.record["n"].as_u64().unwrap())
        .collect()
}

fn open(folder: &Path, segment_bytes: u64, keep_segments: usize) -> Journal {
    Journal::open(
        folder,
        JournalSettings {
            segment_bytes,
            keep_segments,
        },
    )
    .unwrap()
}

#[tokio::test]
async fn records_come_back_newest_first_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1_000, 1_000);
    for number in 0..200 {
        journal.append(line(number)).await.unwrap();
    }
    drop(journal);
    let journal = open(folder.path(), 1_000, 1_000);
    journal.append(line(200)).await.unwrap();
    assert!(segment::numbers(folder.path()).unwrap().len() > 5, "rotated");
    assert_eq!(
        numbers(&journal, &Tail::newest(1_000)),
        (0..=200).rev().collect::<Vec<_>>()
    );
    assert_eq!(numbers(&journal, &Tail::newest(3)), [200, 199, 198]);

    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = journal
            .tail(
                &Tail {
                    before,
                    ..Tail::newest(7)
                },
                |_| true,
            )
            .unwrap();
        paged.extend(page.rows.iter().map(|row| row.record["n"].as_u64().unwrap()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(
        paged,
        (0..=200).rev().collect::<Vec<_>>(),
        "pages neither repeat nor lose"
    );
    let even = journal
        .tail(&Tail::newest(2), |row| row.record["n"].as_u64().unwrap() % 2 == 0)
        .unwrap();
    assert_eq!(even.rows[1].record["n"], 198);
    let nothing = journal
        .tail(
            &Tail {
                scan_bytes: 500,
                ..Tail::newest(5)
            },
            |_| false,
        )
        .unwrap();
    assert!(
        nothing.rows.is_empty() && nothing.next.is_some(),
        "a reader can go on where the budget ended"
    );
}

#[tokio::test]
async fn one_sync_serves_many_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 30, 2);
    let all: Vec<_> = (0..1_000).map(|number| journal.append(line(number))).collect();
    for durable in all {
        durable.await.unwrap();
    }
    assert!(
        journal.syncs() < 500,
        "{} syncs for 1000 records",
        journal.syncs()
    );
    assert_eq!(numbers(&journal, &Tail::newest(5_000)).len(), 1_000);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_whole_records_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for torn in [&b"{\"n\":9,\"pad"[..], &[0; 5_000], b"{\"n\":9}"] {
        let journal = open(folder.path(), 1 << 20, 2);
        journal.append(line(1)).await.unwrap();
        drop(journal);
        let newest = segment::path(folder.path(), 1);
        fs::OpenOptions::new()
            .append(true)
            .open(&newest)
            .unwrap()
            .write_all(torn)
            .unwrap();
        let journal = open(folder.path(), 1 << 20, 2);
        journal.append(line(2)).await.unwrap();
        assert_eq!(numbers(&journal, &Tail::newest(2)), [2, 1]);
        let text = fs::read(&newest).unwrap();
        assert!(text.ends_with(b"\n") && !text.contains(&0));
    }
}

#[tokio::test]
async fn one_record_is_one_line_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 2);
    let hostile = "x\n{\"verdict\":\"ALLOW\"}\u{1b}[2J \u{7f}\u{9b}\u{2028}\u{202e}\u{feff} ünï";
    let mut raw = br#"{"n":1,"text":"a"#.to_vec();
    raw.extend_from_slice(b"\x1b[2J\r\n\"}");
    journal
        .append(serde_json::to_vec(&serde_json::json!({ "n": 0, "text": hostile })).unwrap())
        .await
        .unwrap();
    journal.append(raw).await.unwrap();
    let text = fs::read_to_string(segment::path(folder.path(), 1)).unwrap();
    assert_eq!(text.matches('\n').count(), 2);
    assert!(
        text.chars()
            .all(|c| c == '\n' || !(c.is_control() || acts_on_display(c))),
        "{text:?}"
    );
    let rows = journal.tail(&Tail::newest(2), |_| true).unwrap().rows;
    assert_eq!(rows[1].record["text"], hostile, "escaped, not lost");
    assert_eq!(rows[0].record["text"], "a\u{1b}[2J\r\n");
}

#[tokio::test]
async fn old_segments_go_and_new_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 200, 3);
    for number in 0..100 {
        journal.append(line(number)).await.unwrap();
    }
    let kept = segment::numbers(folder.path()).unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(numbers(&journal, &Tail::newest(1)), [99]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_the_journal_recovers() {
    let folder = tempfile::tempdir().unwrap();
    symlink("/dev/full", segment::path(folder.path(), 1)).unwrap();
    let journal = open(folder.path(), 1 << 20, 10);
    assert!(matches!(
        journal.append(line(1)).await,
        Err(JournalError::Write(_))
    ));
    // The next segment is a real file.
    journal.append(line(2)).await.unwrap();
    assert_eq!(
        fs::read_to_string(segment::path(folder.path(), 2))
            .unwrap()
            .lines()
            .count(),
        1
    );
}

#[tokio::test]
async fn records_over_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 1 << 20, 2);
    let long = |length: usize| format!(r#"{{"n":"{}"}}"#, "x".repeat(length - 8)).into_bytes();
    assert!(matches!(
        journal.append(long(MAXIMUM_RECORD + 1)).await,
        Err(JournalError::TooLong(_))
    ));
    journal.append(long(MAXIMUM_RECORD)).await.unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Journal::open(&folder.path().join("file/journal"), JournalSettings::default()).unwrap_err();
    assert!(error.to_string().contains("cannot open the verdict journal"));
}

#[tokio::test]
async fn an_old_segment_that_cannot_be_removed_refuses_no_record() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in a segment's place can be seen and not be removed as a file.
    let stuck = segment::path(folder.path(), 1);
    fs::create_dir(&stuck).unwrap();
    fs::write(segment::path(folder.path(), 2), "").unwrap();
    let journal = open(folder.path(), 100, 2);
    for number in 0..30 {
        journal.append(line(number)).await.unwrap();
    }
    assert!(stuck.exists());
    let kept = segment::numbers(folder.path()).unwrap();
    assert!(kept.len() <= 4, "the others are still removed: {kept:?}");
}
