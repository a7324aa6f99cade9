//! What every store must do, as one function. An engine passes it whole.
//!
//! `open` gives an empty store each time it is called.

mod alerts;
mod logs;
mod metrics;
mod news;
mod occurrences;

use crate::{
    ABSENT, AuditOrder, AuditQuery, AuditRow, Change, Commit, CommitError, Committed, Kind, ListQuery,
    MAX_AUDIT_DETAIL, MAX_DOCUMENT, NewResource, OccurrenceQuery, OccurrenceRow, OccurrenceScope, Store,
    TokenRow,
};

const NOTE: &str = "projects/security/notes/signed";
const OTHER_NOTE: &str = "projects/security/notes/scanned";

/// Runs every behaviour against a store of its own; panics at the first that is missing.
pub async fn suite(open: impl AsyncFn() -> Store) {
    a_resource_is_read_as_it_was_written(&open().await).await;
    a_name_is_unique_within_its_kind(&open().await).await;
    a_revision_counts_commits_and_guards_changes(&open().await).await;
    put_inserts_then_replaces(&open().await).await;
    delete_clear_and_require(&open().await).await;
    a_commit_is_whole_or_nothing(&open().await).await;
    a_failed_commit_spoils_no_other_of_its_group(&open().await).await;
    documents_have_a_limit(&open().await).await;
    lists_are_pages_in_order(&open().await).await;
    occurrences::occurrences_are_unique_by_name_and_fingerprint(&open().await).await;
    occurrences::occurrences_are_found_by_note_digest_and_project(&open().await).await;
    occurrences::the_newest_occurrences_come_first_page_by_page(&open().await).await;
    occurrences::an_occurrence_is_replaced_and_deleted(&open().await).await;
    sealed_keys_come_and_go(&open().await).await;
    tokens_are_found_by_hash_and_end(&open().await).await;
    the_audit_log_reads_both_ways(&open().await).await;
    the_oldest_rows_of_the_audit_log_are_forgotten(&open().await).await;
    hostile_text_is_only_text(&open().await).await;
    alerts::a_settlement_is_whole_or_nothing_and_leaves_no_audit_row(&open().await).await;
    alerts::incidents_are_listed_the_newest_first(&open().await).await;
    alerts::closed_incidents_are_forgotten_in_the_end(&open().await).await;
    alerts::a_delivery_waits_until_it_is_taken_or_given_up(&open().await).await;
    alerts::dead_letters_are_retried_deleted_and_forgotten(&open().await).await;
    alerts::of_too_many_deliveries_the_oldest_are_given_up(&open().await).await;
    metrics::points_and_the_cursor_move_together(&open().await).await;
    metrics::points_are_merged_and_read_in_order(&open().await).await;
    metrics::what_is_old_too_much_or_gone_is_forgotten(&open().await).await;
    logs::each_log_says_how_far_it_is_signed_for(&open().await).await;
    logs::a_statement_over_all_logs_follows_the_one_before(&open().await).await;
    news::what_was_committed_is_told_once(&open().await).await;
    news::what_a_server_answered_it_finds_in_the_audit_log(&open().await).await;
    news::one_leads_and_nobody_writes_by_an_earlier_lead(&open().await).await;
}

/// An audit row of this time and method.
pub fn audit(time: i64, method: &str) -> AuditRow {
    AuditRow {
        sequence: 0,
        time,
        principal: "user:alice@example.com".into(),
        method: method.into(),
        resource: "projects/demo".into(),
        status_code: 0,
        request_id: "r-1".into(),
        detail: "{}".into(),
    }
}

/// A resource of this kind, name, parent and document.
pub fn resource(kind: Kind, name: &str, parent: &str, document: &str) -> NewResource {
    NewResource {
        kind,
        name: name.into(),
        parent: parent.into(),
        document: document.into(),
    }
}

/// An occurrence whose name, digest and fingerprint follow from its number.
pub fn occurrence(number: u32, project: &str, note: &str) -> OccurrenceRow {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    OccurrenceRow {
        name: format!("projects/{project}/occurrences/{number:08}"),
        project: project.into(),
        note: note.into(),
        digest: Some(bytes),
        resource_uri: format!("registry.example/app@sha256:{number:064x}"),
        kind: "ATTESTATION".into(),
        document: format!("{{\"number\":{number}}}"),
        fingerprint: bytes,
        created: 10,
        updated: 10,
    }
}

async fn commit(store: &Store, changes: Vec<Change>) -> Result<Committed, CommitError> {
    store
        .commit(Commit {
            audit: audit(1_000, "test"),
            changes,
        })
        .await
}

async fn audit_count(store: &Store) -> usize {
    let query = AuditQuery {
        order: AuditOrder::OldestFirst,
        beyond: None,
        limit: 1_000,
    };
    store.audit_rows(&query).await.unwrap().len()
}

fn attestor(name: &str) -> NewResource {
    resource(Kind::Attestor, name, "projects/demo", "{\"v\":1}")
}

fn expect_stale(result: Result<Committed, CommitError>) {
    assert!(matches!(result, Err(CommitError::Stale { .. })), "{result:?}");
}

fn expect_missing(result: Result<Committed, CommitError>, what: &str) {
    assert!(
        matches!(&result, Err(CommitError::NotFound { name }) if name == what),
        "{result:?}"
    );
}

fn expect_taken(result: Result<Committed, CommitError>, by: &str) {
    assert!(
        matches!(&result, Err(CommitError::AlreadyExists { name }) if name == by),
        "{result:?}"
    );
}

async fn a_resource_is_read_as_it_was_written(store: &Store) {
    assert_eq!(store.resource(Kind::Attestor, "a").await.unwrap(), None);
    let committed = commit(store, vec![Change::Insert(attestor("a"))]).await.unwrap();
    let found = store.resource(Kind::Attestor, "a").await.unwrap().unwrap();
    assert_eq!(
        (found.name.as_str(), found.parent.as_str()),
        ("a", "projects/demo")
    );
    assert_eq!(found.document, "{\"v\":1}");
    assert_eq!(
        (found.revision, found.created, found.updated),
        (committed.revision, 1_000, 1_000)
    );
    assert!(found.revision > ABSENT);

    let document = "{\"v\":2}".to_owned();
    let change = Change::Replace {
        kind: Kind::Attestor,
        name: "a".into(),
        document,
        expect: None,
    };
    let later = store
        .commit(Commit {
            audit: audit(2_000, "test"),
            changes: vec![change],
        })
        .await
        .unwrap();
    let found = store.resource(Kind::Attestor, "a").await.unwrap().unwrap();
    assert_eq!(found.document, "{\"v\":2}");
    assert_eq!(
        (found.revision, found.created, found.updated),
        (later.revision, 1_000, 2_000)
    );
}

async fn a_name_is_unique_within_its_kind(store: &Store) {
    for kind in Kind::ALL {
        commit(store, vec![Change::Insert(resource(kind, "same", "", "{}"))])
            .await
            .unwrap();
        expect_taken(
            commit(store, vec![Change::Insert(resource(kind, "same", "", "{}"))]).await,
            "same",
        );
        assert_eq!(store.resource(kind, "same").await.unwrap().unwrap().kind, kind);
    }
}

async fn a_revision_counts_commits_and_guards_changes(store: &Store) {
    let first = commit(store, vec![Change::Insert(attestor("a"))]).await.unwrap();
    let second = commit(store, vec![Change::Insert(attestor("b"))]).await.unwrap();
    assert!(second.revision > first.revision, "one sequence for all");
    let replace = |expect| {
        let document = "{\"v\":3}".to_owned();
        vec![Change::Replace {
            kind: Kind::Attestor,
            name: "a".into(),
            document,
            expect,
        }]
    };
    expect_stale(commit(store, replace(Some(second.revision))).await);
    expect_stale(commit(store, replace(Some(ABSENT))).await);
    let third = commit(store, replace(Some(first.revision))).await.unwrap();
    expect_stale(commit(store, replace(Some(first.revision))).await);
    commit(store, replace(Some(third.revision))).await.unwrap();
    let missing = Change::Replace {
        kind: Kind::Attestor,
        name: "nobody".into(),
        document: "{}".into(),
        expect: None,
    };
    expect_missing(commit(store, vec![missing]).await, "nobody");
}

async fn put_inserts_then_replaces(store: &Store) {
    let put = |document: &str, expect| {
        let resource = resource(Kind::Policy, "projects/demo/policy", "projects/demo", document);
        vec![Change::Put { resource, expect }]
    };
    expect_stale(commit(store, put("{\"v\":0}", Some(1))).await);
    let first = commit(store, put("{\"v\":1}", Some(ABSENT))).await.unwrap();
    expect_stale(commit(store, put("{\"v\":2}", Some(ABSENT))).await);
    commit(store, put("{\"v\":3}", Some(first.revision)))
        .await
        .unwrap();
    commit(store, put("{\"v\":4}", None)).await.unwrap();
    let found = store
        .resource(Kind::Policy, "projects/demo/policy")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.document, "{\"v\":4}");
}

async fn delete_clear_and_require(store: &Store) {
    let (kind, name) = (Kind::Attestor, "a".to_owned());
    let delete = |expect| {
        vec![Change::Delete {
            kind,
            name: name.clone(),
            expect,
        }]
    };
    let require = |expect| {
        vec![Change::Require {
            kind,
            name: name.clone(),
            expect,
        }]
    };
    expect_missing(commit(store, delete(None)).await, "a");
    expect_missing(commit(store, require(None)).await, "a");
    let inserted = commit(store, vec![Change::Insert(attestor("a"))]).await.unwrap();
    commit(store, require(Some(inserted.revision))).await.unwrap();
    expect_stale(commit(store, require(Some(inserted.revision + 1))).await);
    expect_stale(commit(store, delete(Some(inserted.revision + 1))).await);
    commit(store, delete(Some(inserted.revision))).await.unwrap();
    assert_eq!(store.resource(kind, "a").await.unwrap(), None);

    let clear = || {
        vec![Change::Clear {
            kind,
            name: name.clone(),
        }]
    };
    commit(store, clear()).await.unwrap();
    commit(store, vec![Change::Insert(attestor("a"))]).await.unwrap();
    commit(store, clear()).await.unwrap();
    assert_eq!(store.resource(kind, "a").await.unwrap(), None);
}

async fn a_commit_is_whole_or_nothing(store: &Store) {
    let changes = vec![
        Change::Insert(attestor("a")),
        Change::InsertOccurrence(occurrence(1, "demo", NOTE)),
        Change::PutSealedKey {
            name: "key".into(),
            sealed: vec![1],
        },
        Change::Delete {
            kind: Kind::Note,
            name: "not-there".into(),
            expect: None,
        },
    ];
    expect_missing(commit(store, changes).await, "not-there");
    assert_eq!(store.resource(Kind::Attestor, "a").await.unwrap(), None);
    assert_eq!(
        store
            .occurrence("projects/demo/occurrences/00000001")
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.sealed_key("key").await.unwrap(), None);
    assert_eq!(
        audit_count(store).await,
        0,
        "a change that did not happen is not reported"
    );

    commit(store, vec![]).await.unwrap();
    assert_eq!(audit_count(store).await, 1, "a call without a change is reported");
}

async fn a_failed_commit_spoils_no_other_of_its_group(store: &Store) {
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let store = store.clone();
            // Every name is taken twice: one of the two succeeds, whichever shares a group with whom.
            let name = format!("attestor-{:03}", number / 2);
            tokio::spawn(async move {
                commit(&store, vec![Change::Insert(attestor(&name))])
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        succeeded += usize::from(task.await.unwrap());
    }
    let query = ListQuery {
        kind: Kind::Attestor,
        parent: String::new(),
        after: None,
        limit: 1_000,
    };
    assert_eq!((succeeded, store.list(&query).await.unwrap().len()), (100, 100));
    assert_eq!(audit_count(store).await, 100);
}

async fn documents_have_a_limit(store: &Store) {
    let insert = |length| vec![Change::Insert(resource(Kind::Note, "n", "", &"x".repeat(length)))];
    let result = commit(store, insert(MAX_DOCUMENT + 1)).await;
    assert!(matches!(result, Err(CommitError::TooLarge { length, .. }) if length == MAX_DOCUMENT + 1));
    commit(store, insert(MAX_DOCUMENT)).await.unwrap();

    let mut row = audit(1, "test");
    row.detail = "x".repeat(MAX_AUDIT_DETAIL + 1);
    let result = store
        .commit(Commit {
            audit: row,
            changes: vec![],
        })
        .await;
    assert!(matches!(result, Err(CommitError::TooLarge { .. })), "{result:?}");
}

async fn lists_are_pages_in_order(store: &Store) {
    let names = ["b", "a", "d", "c"];
    for name in names {
        commit(
            store,
            vec![Change::Insert(resource(Kind::Note, name, "projects/one", "{}"))],
        )
        .await
        .unwrap();
    }
    commit(
        store,
        vec![Change::Insert(resource(Kind::Note, "bb", "projects/two", "{}"))],
    )
    .await
    .unwrap();
    commit(store, vec![Change::Insert(attestor("aa"))]).await.unwrap();
    for (parent, after, limit, expected) in [
        ("projects/one", None, 10, vec!["a", "b", "c", "d"]),
        ("projects/one", None, 2, vec!["a", "b"]),
        ("projects/one", Some("b"), 2, vec!["c", "d"]),
        ("projects/one", Some("d"), 2, vec![]),
        ("projects/one", Some("bz"), 1, vec!["c"]),
        ("projects/one", None, 0, vec![]),
        ("projects/two", None, 10, vec!["bb"]),
        ("projects/on", None, 10, vec![]),
        ("", None, 10, vec!["a", "b", "bb", "c", "d"]),
        ("", Some("bb"), 1, vec!["c"]),
    ] {
        let query = ListQuery {
            kind: Kind::Note,
            parent: parent.into(),
            after: after.map(str::to_owned),
            limit,
        };
        let found: Vec<_> = store
            .list(&query)
            .await
            .unwrap()
            .into_iter()
            .map(|found| found.name)
            .collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

async fn the_oldest_rows_of_the_audit_log_are_forgotten(store: &Store) {
    for time in 1..=6 {
        let audit = audit(time, "old");
        let changes = Vec::new();
        store.commit(Commit { audit, changes }).await.unwrap();
    }
    let prune = async |before, most| {
        let audit = audit(9, "prune");
        let changes = vec![Change::PruneAudit { before, most }];
        store.commit(Commit { audit, changes }).await.unwrap();
        let query = AuditQuery {
            order: AuditOrder::OldestFirst,
            beyond: None,
            limit: 100,
        };
        let rows = store.audit_rows(&query).await.unwrap();
        let mut times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        // What forgets is remembered.
        assert_eq!(times.pop(), Some(9));
        times.retain(|time| *time < 9);
        times
    };
    assert_eq!(prune(1, 100).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(prune(5, 2).await, [3, 4, 5, 6]);
    assert_eq!(prune(5, 100).await, [5, 6]);
    assert_eq!(prune(5, 100).await, [5, 6]);
    assert_eq!(prune(7, 0).await, [5, 6]);
}

async fn sealed_keys_come_and_go(store: &Store) {
    let put = |bytes: &[u8]| {
        vec![Change::PutSealedKey {
            name: "k".into(),
            sealed: bytes.to_vec(),
        }]
    };
    let delete = || vec![Change::DeleteSealedKey { name: "k".into() }];
    expect_missing(commit(store, delete()).await, "k");
    commit(store, put(b"one")).await.unwrap();
    commit(store, put(b"two\0\xff")).await.unwrap();
    assert_eq!(store.sealed_key("k").await.unwrap().unwrap(), b"two\0\xff");
    assert_eq!(store.sealed_key("K").await.unwrap(), None);
    assert_eq!(store.sealed_names("", 10).await.unwrap(), ["k"]);
    assert_eq!(store.sealed_names("j", 10).await.unwrap(), ["k"]);
    assert_eq!(store.sealed_names("k", 10).await.unwrap(), [""; 0]);
    assert_eq!(store.sealed_names("", 0).await.unwrap(), [""; 0]);
    commit(store, delete()).await.unwrap();
    assert_eq!(store.sealed_key("k").await.unwrap(), None);
}

async fn tokens_are_found_by_hash_and_end(store: &Store) {
    let token = TokenRow {
        id: "ci".into(),
        hash: [1; 32],
        principal: "ci@example.com".into(),
        document: "{}".into(),
        created: 5,
        expires: Some(9),
        revoked: None,
    };
    commit(store, vec![Change::InsertToken(token.clone())])
        .await
        .unwrap();
    expect_taken(
        commit(
            store,
            vec![Change::InsertToken(TokenRow {
                hash: [2; 32],
                ..token.clone()
            })],
        )
        .await,
        "ci",
    );
    expect_taken(
        commit(
            store,
            vec![Change::InsertToken(TokenRow {
                id: "thief".into(),
                ..token.clone()
            })],
        )
        .await,
        "thief",
    );
    assert_eq!(store.token_by_hash(&[1; 32]).await.unwrap(), Some(token.clone()));
    assert_eq!(store.token_by_hash(&[2; 32]).await.unwrap(), None);

    let revoke = |id: &str| vec![Change::RevokeToken { id: id.into() }];
    expect_missing(commit(store, revoke("nobody")).await, "nobody");
    commit(store, revoke("ci")).await.unwrap();
    let changes = revoke("ci");
    store
        .commit(Commit {
            audit: audit(2_000, "test"),
            changes,
        })
        .await
        .unwrap();
    let revoked = TokenRow {
        revoked: Some(1_000),
        ..token
    };
    assert_eq!(
        store.list_tokens().await.unwrap(),
        vec![revoked],
        "the first revocation counts"
    );
}

async fn the_audit_log_reads_both_ways(store: &Store) {
    let mut sequences = Vec::new();
    for time in 1..=5 {
        let committed = store
            .commit(Commit {
                audit: audit(time, "m"),
                changes: vec![],
            })
            .await
            .unwrap();
        sequences.push(committed.sequence);
    }
    assert!(
        sequences.is_sorted_by(|earlier, later| earlier < later),
        "{sequences:?}"
    );
    for (order, beyond, limit, expected) in [
        (AuditOrder::OldestFirst, None, 10, vec![1, 2, 3, 4, 5]),
        (AuditOrder::OldestFirst, Some(sequences[1]), 2, vec![3, 4]),
        (AuditOrder::NewestFirst, None, 2, vec![5, 4]),
        (AuditOrder::NewestFirst, Some(sequences[1]), 10, vec![1]),
        (AuditOrder::NewestFirst, Some(sequences[0]), 10, vec![]),
    ] {
        let query = AuditQuery { order, beyond, limit };
        let rows = store.audit_rows(&query).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.time).collect::<Vec<_>>(),
            expected,
            "{query:?}"
        );
    }
    let query = AuditQuery {
        order: AuditOrder::OldestFirst,
        beyond: None,
        limit: 1,
    };
    let first = store.audit_rows(&query).await.unwrap().remove(0);
    assert_eq!(
        first,
        AuditRow {
            sequence: sequences[0],
            ..audit(1, "m")
        }
    );
}

async fn hostile_text_is_only_text(store: &Store) {
    for text in [
        "'; DROP TABLE resource; --",
        "a\0b",
        "%",
        "_",
        "ä\u{202e}",
        "\"",
        "a'b",
    ] {
        commit(
            store,
            vec![Change::Insert(resource(Kind::Note, text, text, text))],
        )
        .await
        .unwrap();
        let found = store.resource(Kind::Note, text).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.document.as_str()), (text, text));
        let query = ListQuery {
            kind: Kind::Note,
            parent: text.into(),
            after: None,
            limit: 10,
        };
        assert_eq!(store.list(&query).await.unwrap().len(), 1, "{text}");
    }
}
