//! How far the logs of the servers are signed for.

use super::*;
use crate::logs::{FORGOTTEN_AFTER, MAX_NOTE};
use crate::{Found, Lead, LogCheckpointRow, Logged, MergedRow, Settlement};

fn row(origin: &str, note: &str, published: i64) -> LogCheckpointRow {
    LogCheckpointRow {
        origin: origin.into(),
        verifier_key: format!("{origin}+key"),
        note: note.into(),
        published,
    }
}

async fn settle(
    store: &Store,
    lead: Option<Lead>,
    own: Option<LogCheckpointRow>,
    merged: Option<MergedRow>,
) -> Result<(), CommitError> {
    let found = Found::Logs(Logged { own, merged });
    let cursor = None;
    store.settle(Settlement { lead, cursor, found }).await
}

pub(super) async fn each_log_says_how_far_it_is_signed_for(store: &Store) {
    assert_eq!(store.log_checkpoints().await.unwrap(), vec![]);
    assert_eq!(store.log_checkpoint("a").await.unwrap(), None);
    let (rows, revision) = (audit_count(store).await, store.news(0).await.unwrap().revision);
    for own in [row("a", "1", 10), row("b", "1", 20), row("a", "2", 30)] {
        settle(store, None, Some(own), None).await.unwrap();
    }
    let all = store.log_checkpoints().await.unwrap();
    assert_eq!(all, vec![row("a", "2", 30), row("b", "1", 20)]);
    assert_eq!(store.log_checkpoint("b").await.unwrap(), Some(row("b", "1", 20)));
    // Derived: nobody asked for it, and nobody has to forget anything for it.
    assert_eq!(audit_count(store).await, rows);
    assert_eq!(store.news(0).await.unwrap().revision, revision);
    let long = "x".repeat(MAX_NOTE + 1);
    let refused = settle(store, None, Some(row("a", &long, 40)), None).await;
    assert!(
        matches!(refused, Err(CommitError::TooLarge { .. })),
        "{refused:?}"
    );
    // A new one takes with it what is too old; one that goes on does not.
    let late = FORGOTTEN_AFTER + 25;
    settle(store, None, Some(row("a", "3", late)), None)
        .await
        .unwrap();
    assert_eq!(store.log_checkpoints().await.unwrap().len(), 2);
    settle(store, None, Some(row("c", "1", late)), None)
        .await
        .unwrap();
    let names: Vec<String> = store
        .log_checkpoints()
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.origin)
        .collect();
    assert_eq!(names, ["a", "c"]);
}

pub(super) async fn a_statement_over_all_logs_follows_the_one_before(store: &Store) {
    let merged = |number: i64| MergedRow {
        number,
        note: format!("note {number}"),
    };
    assert_eq!(store.merged_checkpoint().await.unwrap(), None);
    for (number, is_next) in [
        (0, false),
        (1, true),
        (1, false),
        (3, true),
        (2, false),
        (4, true),
    ] {
        let settled = settle(store, None, None, Some(merged(number))).await;
        match is_next {
            true => settled.unwrap(),
            false => assert!(
                matches!(settled, Err(CommitError::Stale { .. })),
                "{number}: {settled:?}"
            ),
        }
    }
    assert_eq!(store.merged_checkpoint().await.unwrap(), Some(merged(4)));
    // What is written with it is whole or nothing, and by nobody whose lead has ended.
    let own = Some(row("a", "1", 10));
    let stale = settle(store, None, own.clone(), Some(merged(4))).await;
    assert!(matches!(stale, Err(CommitError::Stale { .. })), "{stale:?}");
    let ended = Some(Lead { epoch: i64::MAX });
    let refused = settle(store, ended, own, Some(merged(5))).await;
    assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    assert_eq!(store.merged_checkpoint().await.unwrap(), Some(merged(4)));
    assert_eq!(store.log_checkpoints().await.unwrap(), vec![]);
}
