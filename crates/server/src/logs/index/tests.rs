use std::fs;
use std::path::Path;

use binauthz_keyring::MasterKey;
use binauthz_wire::logging::Query;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::super::record::glance;
use super::super::shape::tests::{Record, filter, other_line, record};
use super::super::{At, Indexed, Journals, List, Order, Places, Wanted};
use super::*;
use crate::audit::JournalSettings;

fn open(folder: &Path, segment_bytes: u64) -> Journal {
    let settings = JournalSettings {
        segment_bytes,
        ..JournalSettings::default()
    };
    Journal::open(folder, settings, &MasterKey::new(&[7; MasterKey::BYTES]).unwrap()).unwrap()
}

/// Records as they might come, each a second after the one before.
fn records(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let mut next = |strategy: &BoxedStrategy<String>| strategy.new_tree(&mut runner).unwrap().current();
    let verdicts = record().prop_map(|record: Record| record.line()).boxed();
    let others = other_line().boxed();
    (0..count)
        .map(|index| {
            let line = match index % 50 {
                49 => next(&others),
                _ => next(&verdicts),
            };
            // The journal writes these two itself.
            let end = line.rfind(r#","seq":"#).unwrap();
            let seconds = 1_795_420_800 + i64::try_from(index).unwrap();
            let time =
                binauthz_wire::json::timestamp_out(binauthz_core::time::UnixTime::from_seconds(seconds));
            let start = line.find(r#""time":""#).unwrap() + 8;
            let stop = start + line[start..].find('"').unwrap();
            format!("{}{time}{}}}", &line[..start], &line[stop..end])
        })
        .collect()
}

/// In batches that are smaller than any segment here, so that there are as many segments as there should be.
async fn fill(journal: &Journal, lines: Vec<String>) {
    for batch in lines.chunks(50) {
        let durable: Vec<_> = batch
            .iter()
            .map(|line| journal.append(line.clone().into_bytes()))
            .collect();
        for line in durable {
            line.await.unwrap();
        }
    }
}

/// Everything a query finds, by its place in the log: how much one call reads depends on how busy the machine is, and
/// within a page the order is that of the times.
fn found(journal: &Journal, index: &Arc<Index>, query: &Query, order: Order) -> Vec<serde_json::Value> {
    let empty = tempfile::tempdir().unwrap();
    let indexed = |journal: &Journal, index: &Arc<Index>| Indexed {
        journal: journal.clone(),
        index: Arc::clone(index),
    };
    let journals = Journals {
        verdicts: indexed(journal, index),
        written: indexed(&open(empty.path(), 1 << 20), &Arc::default()),
    };
    let mut all = Vec::new();
    let mut from = Places {
        verdicts: At::Start,
        written: At::Start,
    };
    loop {
        let list = List {
            wanted: Wanted {
                projects: ["p", "demo", "_"].map(str::to_owned).to_vec(),
                query: query.clone(),
                deleted: Vec::new(),
            },
            order,
            size: 1_000,
            from,
        };
        let (page, next) = list.read(&journals).unwrap();
        all.extend(page);
        match next {
            Some(next) => from = next,
            None => {
                all.sort_by_key(|entry| entry["insertId"].as_str().map(str::to_owned));
                return all;
            }
        }
    }
}

#[tokio::test]
async fn an_index_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 300_000);
    fill(&journal, records(900)).await;
    let (index, none) = (Arc::new(Index::default()), Arc::new(Index::default()));
    while index.extend(&journal, 300_000).unwrap() > 0 {}
    let blocks: usize = index.lock().values().map(|known| known.blocks.len()).sum();
    assert!(blocks > 4, "{blocks} blocks");
    let mut runner = TestRunner::deterministic();
    let mut filters: Vec<String> = (0..40)
        .map(|_| filter().new_tree(&mut runner).unwrap().current())
        .collect();
    filters.extend(
        [
            r#"protoPayload.request.metadata.namespace="payments""#,
            r#"jsonPayload.imageName:"r.test/app/b@sha256:ebb4fc0a57d010f1""#,
            r#"timestamp>="2026-11-23T08:10:00Z" AND timestamp<"2026-11-23T08:12:00Z""#,
            r#"protoPayload.authenticationInfo.principalEmail="system:serviceaccount:ci:deploy""#,
            r#""nowhere-to-be-found-at-all""#,
        ]
        .map(str::to_owned),
    );
    let mut some = 0;
    for text in filters {
        let Ok(query) = Query::parse(&text) else { continue };
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let expected = found(&journal, &none, &query, order);
            some += usize::from(!expected.is_empty());
            assert_eq!(found(&journal, &index, &query, order), expected, "{text}");
        }
    }
    assert!(some > 15, "{some} filters find something");
}

#[tokio::test]
async fn what_cannot_match_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 500_000);
    fill(&journal, records(1_000)).await;
    // The rest of the last block, and a line that none has been made of.
    let index = Index::default();
    while index.extend(&journal, u64::MAX).unwrap() > 0 {}
    let end = journal.end();
    let needle = |text: &str| Needle::new([("p", &Query::parse(text).unwrap())]);
    let (nothing, everything) = (needle(r#"labels.a="nowhere""#), needle(""));
    for number in 1..end.segment {
        let size = journal.segment(number).unwrap().metadata().unwrap().len();
        assert_eq!(index.unread(number, 0..size, &nothing), []);
        assert_eq!(index.unread(number, 0..size, &everything), vec![0..size]);
        assert_eq!(
            index.unread(number, 1_000..2_000, &everything),
            vec![1_000..2_000]
        );
    }
    let known = index.lock().get(&end.segment).map_or(0, Known::end);
    assert!(
        known < end.offset && end.offset - known < 2 * BLOCK,
        "{known} of {end:?}"
    );
    assert_eq!(
        index.unread(end.segment, 0..end.offset, &nothing),
        vec![known..end.offset]
    );
    assert_eq!(index.unread(end.segment + 1, 0..10, &nothing), vec![0..10]);
    let earlier = needle("").between((i64::MIN, 0));
    assert_eq!(index.unread(1, 0..BLOCK, &earlier), []);
    assert_eq!(index.missing(&journal).unwrap(), end.offset - known);
}

#[tokio::test]
async fn a_file_is_believed_only_if_it_is_whole_and_of_its_segment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 300_000);
    fill(&journal, records(1_500)).await;
    let first = Index::default();
    while first.extend(&journal, u64::MAX).unwrap() > 0 {}
    let blocks = |index: &Index, number: u64| Arc::clone(&index.lock()[&number].blocks);
    let (one, two) = (file::path(folder.path(), 1), file::path(folder.path(), 2));
    let segment = journal.segment(1).unwrap();
    let read = || file::read(folder.path(), (1, &segment));
    assert_eq!(read().as_ref(), Some(&*blocks(&first, 1)));

    let whole = fs::read(&one).unwrap();
    for at in [0, 5, 20, 60, 90, 120, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&one, &damaged).unwrap();
        assert_eq!(read(), None, "byte {at}");
    }
    for length in [0, 1, 31, 32, 100, whole.len() - 1] {
        fs::write(&one, &whole[..length]).unwrap();
        assert_eq!(read(), None, "{length} bytes");
    }
    fs::write(&one, [whole.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(read(), None);
    // Of another segment; then none at all.
    fs::copy(&two, &one).unwrap();
    assert_eq!(read(), None);
    let second = Index::default();
    while second.extend(&journal, u64::MAX).unwrap() > 0 {}
    assert_eq!(blocks(&second, 1), blocks(&first, 1));
    assert_eq!(fs::read(&one).unwrap(), whole, "made anew");
    fs::remove_file(&one).unwrap();
    assert_eq!(read(), None);
}

#[tokio::test]
async fn a_file_goes_with_its_segment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), 200_000);
    fill(&journal, records(1_000)).await;
    let index = Index::default();
    while index.extend(&journal, u64::MAX).unwrap() > 0 {}
    assert!(file::path(folder.path(), 1).exists());
    fs::remove_file(folder.path().join("segment-0000000001.jsonl")).unwrap();
    index.extend(&journal, 0).unwrap();
    assert!(!file::path(folder.path(), 1).exists());
    assert!(file::path(folder.path(), 2).exists());
    assert!(!index.lock().contains_key(&1));
}

#[test]
fn every_wanted_line_is_in_a_block_that_may_have_it() {
    proptest!(ProptestConfig::with_cases(1_000), |(record in record(), other in other_line(), text in filter())| {
        let Ok(query) = Query::parse(&text) else { return Ok(()) };
        let needle = Needle::new(["p", "demo", "_"].map(|project| (project, &query)));
        for line in [record.line(), other] {
            let bytes = line.as_bytes();
            let mut draft = Draft::new(0);
            draft.add(&crate::audit::Line { segment: 1, start: 0, end: bytes.len() as u64 + 1, bytes });
            let block = draft.take();
            let wanted = super::super::shape::tests::wanted_entries(&line, &query);
            prop_assert!(wanted == 0 || block.may_have(&needle), "{} wants {}", text, line);
            prop_assert!(wanted == 0 || needle.may_be(bytes), "{} wants {}", text, line);
            prop_assert!(glance(bytes).is_some());
        }
    });
}
