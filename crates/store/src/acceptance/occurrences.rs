//! What every engine does with occurrences.

use super::*;

pub(super) async fn occurrences_are_unique_by_name_and_fingerprint(store: &Store) {
    let first = occurrence(1, "demo", NOTE);
    commit(store, vec![Change::InsertOccurrence(first.clone())])
        .await
        .unwrap();
    assert_eq!(store.occurrence(&first.name).await.unwrap(), Some(first.clone()));

    let again = OccurrenceRow {
        name: "projects/demo/occurrences/other".into(),
        ..first.clone()
    };
    expect_taken(
        commit(store, vec![Change::InsertOccurrence(again)]).await,
        &first.name,
    );
    let same_name = OccurrenceRow {
        fingerprint: [9; 32],
        ..first.clone()
    };
    expect_taken(
        commit(store, vec![Change::InsertOccurrence(same_name)]).await,
        &first.name,
    );
    assert_eq!(audit_count(store).await, 1);
}

pub(super) async fn occurrences_are_found_by_note_digest_and_project(store: &Store) {
    let mut changes: Vec<_> = (1..=5)
        .map(|number| Change::InsertOccurrence(occurrence(number, "demo", NOTE)))
        .collect();
    changes.push(Change::InsertOccurrence(occurrence(6, "elsewhere", NOTE)));
    changes.push(Change::InsertOccurrence(occurrence(7, "demo", OTHER_NOTE)));
    let undigested = OccurrenceRow {
        digest: None,
        ..occurrence(8, "demo", OTHER_NOTE)
    };
    changes.push(Change::InsertOccurrence(undigested));
    let twin = OccurrenceRow {
        digest: occurrence(1, "demo", NOTE).digest,
        ..occurrence(9, "elsewhere", NOTE)
    };
    changes.push(Change::InsertOccurrence(twin));
    commit(store, changes).await.unwrap();

    let note = |name: &str| OccurrenceScope::Note(name.to_owned());
    let project = |name: &str| OccurrenceScope::Project(name.to_owned());
    for (scope, digest, after, limit, expected) in [
        (note(NOTE), None, None, 100, vec![1, 2, 3, 4, 5, 6, 9]),
        (note(NOTE), None, None, 2, vec![1, 2]),
        (note(NOTE), None, Some(2), 2, vec![3, 4]),
        (note(NOTE), Some(1), None, 100, vec![1, 9]),
        (note(NOTE), Some(1), None, 1, vec![1]),
        (note(NOTE), Some(1), Some(1), 100, vec![9]),
        (note(NOTE), Some(7), None, 100, vec![]),
        (note(OTHER_NOTE), None, None, 100, vec![7, 8]),
        (note("projects/security/notes/sign"), None, None, 100, vec![]),
        (project("demo"), None, None, 100, vec![1, 2, 3, 4, 5, 7, 8]),
        (project("demo"), Some(1), None, 100, vec![1]),
        (project("demo"), Some(8), None, 100, vec![]),
        (project("elsewhere"), Some(1), None, 100, vec![9]),
        (project("elsewhere"), None, Some(6), 100, vec![9]),
    ] {
        let after = after.map(|number| {
            let project = if number == 6 { "elsewhere" } else { "demo" };
            occurrence(number, project, NOTE).name
        });
        let digest = digest.and_then(|number| occurrence(number, "demo", NOTE).digest);
        let query = OccurrenceQuery {
            scope,
            digest,
            after,
            limit,
        };
        let found: Vec<_> = store.list_occurrences(&query).await.unwrap();
        let found: Vec<u32> = found
            .iter()
            .map(|row| row.name.rsplit('/').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(found, expected, "{query:?}");
    }
    let digest = occurrence(1, "demo", NOTE).digest.unwrap();
    let of = |note: &'static str| store.occurrences_of(note, &digest, None, 10);
    assert_eq!(of(NOTE).await.unwrap().len(), 2);
    assert_eq!(of(OTHER_NOTE).await.unwrap().len(), 0);
}

pub(super) async fn the_newest_occurrences_come_first_page_by_page(store: &Store) {
    let digest = [5; 32];
    // By time and not by name: names start with a project. 3 and 4 are of the same moment.
    let ages = [
        (1, "z", 10),
        (2, "a", 20),
        (3, "m", 30),
        (4, "b", 30),
        (5, "a", 5),
    ];
    let changes = ages.map(|(number, project, created)| {
        Change::InsertOccurrence(OccurrenceRow {
            digest: Some(digest),
            created,
            ..occurrence(number, project, NOTE)
        })
    });
    commit(store, changes.into()).await.unwrap();
    for limit in 1..=6 {
        let (mut found, mut older_than) = (Vec::new(), None);
        loop {
            let rows = store
                .occurrences_of(NOTE, &digest, older_than, limit)
                .await
                .unwrap();
            assert!(rows.len() <= usize::try_from(limit).unwrap());
            found.extend(rows.iter().map(|row| row.created));
            match rows.last() {
                Some(row) => older_than = Some(row.age()),
                None => break,
            }
        }
        assert_eq!(found, [30, 30, 20, 10, 5], "{limit} a page");
    }
}

pub(super) async fn an_occurrence_is_replaced_and_deleted(store: &Store) {
    let first = occurrence(1, "demo", NOTE);
    let second = occurrence(2, "demo", NOTE);
    let name = first.name.clone();
    expect_missing(
        commit(store, vec![Change::ReplaceOccurrence(first.clone())]).await,
        &name,
    );
    expect_missing(
        commit(store, vec![Change::DeleteOccurrence { name: name.clone() }]).await,
        &name,
    );
    commit(
        store,
        vec![
            Change::InsertOccurrence(first.clone()),
            Change::InsertOccurrence(second.clone()),
        ],
    )
    .await
    .unwrap();

    let changed = OccurrenceRow {
        document: "{}".into(),
        fingerprint: [7; 32],
        updated: 20,
        ..first.clone()
    };
    commit(store, vec![Change::ReplaceOccurrence(changed.clone())])
        .await
        .unwrap();
    assert_eq!(store.occurrence(&name).await.unwrap(), Some(changed));
    let clash = OccurrenceRow {
        fingerprint: second.fingerprint,
        ..first.clone()
    };
    expect_taken(
        commit(store, vec![Change::ReplaceOccurrence(clash)]).await,
        &second.name,
    );

    commit(store, vec![Change::DeleteOccurrence { name: name.clone() }])
        .await
        .unwrap();
    assert_eq!(store.occurrence(&name).await.unwrap(), None);
    commit(store, vec![Change::InsertOccurrence(first)])
        .await
        .unwrap();
}
