//! What every engine tells the servers that share it, and the one that has it alone.

use std::time::Duration;

use super::*;
use crate::{Alerted, Changed, Found, Lead, News, Settlement, Touched};

/// How long a server may take to find out that nobody else leads.
const PATIENCE: Duration = Duration::from_secs(10);

fn says(news: &News, touched: &Touched) -> bool {
    match &news.changed {
        Changed::Everything => true,
        Changed::These(items) => items.contains(touched),
    }
}

pub(super) async fn what_was_committed_is_told_once(store: &Store) {
    let start = store.news(0).await.unwrap().revision;
    let nothing = store.news(start).await.unwrap();
    assert_eq!(nothing.changed, Changed::These(Vec::new()));

    let row = occurrence(1, "demo", NOTE);
    let digest = row.digest.unwrap();
    let note = row.note.clone();
    let about = Touched::Occurrences { note, digest };
    let name = row.name.clone();
    let mut moved = row.clone();
    moved.digest = Some([9; 32]);
    let elsewhere = Touched::Occurrences {
        note: row.note.clone(),
        digest: [9; 32],
    };
    let delete = Change::DeleteOccurrence { name };
    let mut seen = start;
    for (changes, expected) in [
        (vec![], vec![]),
        (
            vec![Change::Insert(attestor("a"))],
            vec![Touched::Kind(Kind::Attestor)],
        ),
        (vec![Change::InsertOccurrence(row)], vec![about.clone()]),
        (
            vec![Change::ReplaceOccurrence(moved)],
            vec![about, elsewhere.clone()],
        ),
        (vec![delete], vec![elsewhere]),
    ] {
        let committed = commit(store, changes).await.unwrap();
        let news = store.news(seen).await.unwrap();
        assert_eq!(news.revision, committed.revision);
        assert!(news.revision > seen);
        for touched in &expected {
            assert!(says(&news, touched), "{touched:?} is not in {news:?}");
        }
        seen = news.revision;
    }
    // What failed changed nothing.
    let missing = Change::DeleteOccurrence { name: "gone".into() };
    expect_missing(commit(store, vec![missing]).await, "gone");
    let news = store.news(seen).await.unwrap();
    assert_eq!((news.revision, news.changed), (seen, Changed::These(Vec::new())));
    // From the beginning, and from a place that the store never was at.
    assert!(says(
        &store.news(start).await.unwrap(),
        &Touched::Kind(Kind::Attestor)
    ));
    assert_eq!(store.news(seen + 1).await.unwrap().changed, Changed::Everything);
    // More than anybody wants to hear of.
    let many = (10..1_000).map(|number| Change::InsertOccurrence(occurrence(number, "demo", NOTE)));
    commit(store, many.collect()).await.unwrap();
    assert_eq!(store.news(seen).await.unwrap().changed, Changed::Everything);
}

pub(super) async fn what_a_server_answered_it_finds_in_the_audit_log(store: &Store) {
    for time in 1..=3 {
        let audit = audit(time, "m");
        store
            .commit(Commit {
                audit,
                changes: vec![],
            })
            .await
            .unwrap();
    }
    let times = |rows: Vec<AuditRow>| rows.into_iter().map(|row| row.time).collect::<Vec<_>>();
    let rows = store.own_audit_rows(None, 2).await.unwrap();
    let beyond = rows[0].sequence;
    assert_eq!(times(rows), [1, 2]);
    assert_eq!(
        times(store.own_audit_rows(Some(beyond), 9).await.unwrap()),
        [2, 3]
    );
}

pub(super) async fn one_leads_and_nobody_writes_by_an_earlier_lead(store: &Store) {
    let leading = async {
        loop {
            match store.lead() {
                Some(lead) => return lead,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let lead = tokio::time::timeout(PATIENCE, leading)
        .await
        .expect("nobody leads");
    let settlement = |lead| Settlement {
        lead,
        cursor: None,
        found: Found::Alerts(Alerted::default()),
    };
    store.settle(settlement(Some(lead))).await.unwrap();
    store.settle(settlement(None)).await.unwrap();
    let earlier = Lead {
        epoch: lead.epoch - 1,
    };
    let refused = store.settle(settlement(Some(earlier))).await;
    assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
}
