//! A process is killed in the middle of its commits: whatever it was told is done, is done.
//!
//! The kernel survives a killed process, so this shows that no answer leaves before the write; that the write
//! also survives a power cut is what `synchronous=FULL` is for.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use binauthz_store::acceptance::{audit, occurrence, resource};
use binauthz_store::{AuditOrder, AuditQuery, Change, Commit, Kind, ListQuery, Store};

/// Names the database to the process that will be killed, and numbers it.
const VICTIM: &str = "BINAUTHZ_TEST_VICTIM_DATABASE";
const ROUND: &str = "BINAUTHZ_TEST_VICTIM_ROUND";
const TASKS: u32 = 16;
const ROUNDS: u32 = 3;
const ACKNOWLEDGED_BEFORE_THE_KILL: usize = 300;

/// In the child: commits for ever, and says each name once the store has acknowledged it. In a usual test run
/// there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Some(path) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let round: u32 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = Store::open(&path).unwrap();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        tasks.push(tokio::spawn(commit_for_ever(
            store.clone(),
            (round * TASKS + task) << 20,
        )));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn commit_for_ever(store: Store, first: u32) {
    for number in first.. {
        let name = format!("projects/demo/notes/{number:08}");
        let changes = vec![
            Change::Insert(resource(Kind::Note, &name, "projects/demo", "{}")),
            Change::InsertOccurrence(occurrence(number, "demo", &name)),
        ];
        store
            .commit(Commit {
                audit: audit(1, &name),
                changes,
            })
            .await
            .unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {name}").unwrap();
        out.flush().unwrap();
    }
}

/// Starts the victim, kills it, and returns what it was told is done.
fn kill_one(path: &Path, round: u32) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        // libtest may have written the start of the first line; the last one may be cut.
        if let Some((_, name)) = line.split_once("acknowledged ") {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() == ACKNOWLEDGED_BEFORE_THE_KILL && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(
        killed && status.code().is_none(),
        "it did not die of the signal: {status}"
    );
    acknowledged
}

async fn all_names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned();
        let query = ListQuery {
            kind: Kind::Note,
            parent: "projects/demo".into(),
            after,
            limit: 1_000,
        };
        let page = store.list(&query).await.unwrap();
        if page.is_empty() {
            return names;
        }
        names.extend(page.into_iter().map(|note| note.name));
    }
}

async fn all_reported(store: &Store) -> Vec<String> {
    let mut rows = Vec::new();
    let mut beyond = None;
    loop {
        let query = AuditQuery {
            order: AuditOrder::OldestFirst,
            beyond,
            limit: 1_000,
        };
        let page = store.audit_rows(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        beyond = Some(last.sequence);
        rows.extend(page.into_iter().map(|row| row.method));
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn no_acknowledged_commit_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        acknowledged.extend(kill_one(&path, round));
        let store = Store::open(&path).unwrap();
        let names = all_names(&store).await;
        for name in &acknowledged {
            assert!(
                names.binary_search(name).is_ok(),
                "`{name}` was acknowledged and is lost"
            );
        }
        assert_eq!(
            all_reported(&store).await,
            names,
            "every change has its audit row, and the other way round"
        );
        for name in &names {
            let occurrence = name.replace("/notes/", "/occurrences/");
            assert!(
                store.occurrence(&occurrence).await.unwrap().is_some(),
                "half a commit: `{name}`"
            );
        }
    }
}
