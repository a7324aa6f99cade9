//! What happens to the file: who may read it, what is refused, what is there after opening it again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use binauthz_store::acceptance::{audit, occurrence, resource};
use binauthz_store::{
    BackupError, Change, Commit, Kind, OccurrenceQuery, OccurrenceScope, OpenError, Store, backup,
};

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&path).unwrap();
    store
        .commit(Commit {
            audit: audit(1, "m"),
            changes: vec![],
        })
        .await
        .unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name());
    }
    assert!(names.len() >= 2, "the write-ahead log is among them: {names:?}");
}

#[tokio::test]
async fn everything_is_there_after_opening_again_and_two_handles_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    let insert = Change::Insert(resource(Kind::Project, "projects/demo", "", "{}"));
    let first = store
        .commit(Commit {
            audit: audit(1, "m"),
            changes: vec![insert],
        })
        .await
        .unwrap();
    let second = Store::open(&path).unwrap();
    let found = second
        .resource(Kind::Project, "projects/demo")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.revision, first.revision);
    drop(store);
    let later = second
        .commit(Commit {
            audit: audit(2, "m"),
            changes: vec![],
        })
        .await
        .unwrap();
    assert!(later.revision > first.revision && later.sequence > first.sequence);
}

#[test]
fn what_is_not_a_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "shopping list ".repeat(100)).unwrap();
    let error = Store::open(&text).unwrap_err();
    assert!(matches!(error, OpenError::Database(_)), "{error}");
    assert_eq!(fs::read_to_string(&text).unwrap(), "shopping list ".repeat(100));

    let error = Store::open(&folder.path().join("no/such/folder/store.db")).unwrap_err();
    assert!(error.to_string().contains("no/such/folder/store.db"), "{error}");
}

/// Opening looks at the schema, never at the rows.
#[tokio::test]
async fn a_hundred_thousand_occurrences_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    for batch in 0..100 {
        let changes = (0..1_000)
            .map(|number| {
                let mut row = occurrence(batch * 1_000 + number, "demo", "projects/demo/notes/n");
                row.document = format!("{{\"padding\":\"{}\"}}", "x".repeat(600));
                Change::InsertOccurrence(row)
            })
            .collect();
        store
            .commit(Commit {
                audit: audit(1, "m"),
                changes,
            })
            .await
            .unwrap();
    }
    drop(store);

    let start = Instant::now();
    let store = Store::open(&path).unwrap();
    let opened = start.elapsed();
    let digest = occurrence(77_777, "demo", "").digest.unwrap();
    let found = store
        .occurrences_of("projects/demo/notes/n", &digest, None, 10)
        .await
        .unwrap();
    let answered = start.elapsed();
    assert_eq!(found.len(), 1);
    let scope = OccurrenceScope::Project("demo".into());
    let query = OccurrenceQuery {
        scope,
        digest: Some(digest),
        after: None,
        limit: 10,
    };
    assert_eq!(store.list_occurrences(&query).await.unwrap().len(), 1);
    assert!(opened.as_millis() < 250, "open took {opened:?}");
    assert!(
        answered.as_millis() < 300,
        "the first answer came after {answered:?}"
    );
}

/// While commits go on: what was answered before the copy began is in it, each with its audit row.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_of_one_moment_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
    let store = Store::open(&path).unwrap();
    let insert = |store: Store, name: String| async move {
        let changes = vec![Change::Insert(resource(Kind::Note, &name, "", "{}"))];
        store
            .commit(Commit {
                audit: audit(1, &name),
                changes,
            })
            .await
            .unwrap();
    };
    for number in 0..100 {
        insert(store.clone(), format!("before-{number:03}")).await;
    }
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..300 {
                insert(store.clone(), format!("during-{number:03}")).await;
            }
        }
    });
    tokio::task::block_in_place(|| backup(&path, &copy)).unwrap();
    writing.await.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let copied = Store::open(&copy).unwrap();
    let list = binauthz_store::ListQuery {
        kind: Kind::Note,
        parent: String::new(),
        after: None,
        limit: 1_000,
    };
    let names: Vec<String> = copied
        .list(&list)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    let rows = copied.own_audit_rows(None, 1_000).await.unwrap();
    let mut reported: Vec<String> = rows.into_iter().map(|row| row.method).collect();
    reported.sort();
    assert_eq!(names, reported);
    assert!(names.len() >= 100 && names.iter().take(100).all(|name| name.starts_with("before")));
    // The copy goes on by itself.
    insert(copied, "after".to_owned()).await;

    // What is there is left alone, and what is no store is not copied.
    let again = backup(&path, &copy);
    assert!(matches!(again, Err(BackupError::Copy { .. })), "{again:?}");
    let other = folder.path().join("other.db");
    let missing = backup(&folder.path().join("no.db"), &other);
    assert!(
        matches!(missing, Err(BackupError::Open(OpenError::File { .. }))),
        "{missing:?}"
    );
    let empty = folder.path().join("empty.db");
    fs::write(&empty, b"").unwrap();
    let foreign = backup(&empty, &other);
    assert!(
        matches!(foreign, Err(BackupError::Open(OpenError::Foreign { .. }))),
        "{foreign:?}"
    );
    assert!(!other.exists());
}
