//! The end of it: what was answered is held against the database, against the servers, and against their logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use binauthz_conformance::Database;
use binauthz_conformance::journal::Journal;
use binauthz_wire::tlog::{Checkpoint, Verifier, VerifierKey};

use super::workers::Storm;
use crate::Outcome;
use crate::replicas::Replica;

/// Until every log has what it is to have.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts as faults what is not as it must be.
pub(super) async fn check(storm: &Storm, (replicas, database): (&[Replica], &Database)) -> Outcome<()> {
    check_store(storm, database);
    for _ in 0..3 {
        storm.look_at_policy().await;
    }
    let versions = storm.known().versions.len();
    for which in 0..versions {
        if storm.look(which).await.is_none() {
            storm.fault("no answer", "nothing is killed any more");
        }
    }
    check_rows(storm, database);
    check_logs(storm, (replicas, database)).await?;
    for replica in replicas {
        check_whole(storm, replica.folder.path())?;
    }
    Ok(())
}

fn lines(database: &Database, sql: &str) -> Vec<String> {
    database.ask("binauthz", sql).lines().map(str::to_owned).collect()
}

/// Each attestation that was acknowledged is there, unless somebody asked for its removal; then, if that was answered, it is not.
fn check_store(storm: &Storm, database: &Database) {
    let sql = "SELECT convert_from(name, 'UTF8') FROM binauthz.occurrence";
    let stored: BTreeSet<String> = lines(database, sql).into_iter().collect();
    let images = storm.known().images.clone();
    for image in &images {
        match (image.removal, stored.contains(&image.name)) {
            (None, false) => storm.fault("an attestation is lost", &image.name),
            (Some((_, Some(_))), true) => storm.fault("an attestation came back", &image.name),
            _ => storm.count("attestations accounted for"),
        }
    }
}

/// What a row says that it is about, as a name.
fn resource(text: &str) -> &str {
    let from = text.find("projects/").unwrap_or(0);
    let text = text.get(from..).unwrap_or_default();
    match text.rsplit_once(':') {
        Some((name, _)) => name,
        None => text,
    }
}

/// Each call that was answered left its row, and no number is missing.
fn check_rows(storm: &Storm, database: &Database) {
    let sql = "SELECT convert_from(resource, 'UTF8') FROM binauthz.audit WHERE status_code = 0";
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in lines(database, sql) {
        *rows.entry(resource(&row).to_owned()).or_default() += 1;
    }
    let (calls, policy) = {
        let facts = storm.known();
        (facts.calls.clone(), facts.policy.answered_and_sent())
    };
    for (name, count) in &calls {
        let found = rows.get(name).copied().unwrap_or(0);
        if found < *count {
            storm.fault(
                "an audit row is lost",
                &format!("{name}: {count} answered, {found} rows"),
            );
        } else {
            storm.count("resources whose calls are accounted for");
        }
    }
    let policies = rows.get("projects/bench/policy").copied().unwrap_or(0);
    // One more was made before all of this began.
    if !(policy.0 + 1..=policy.1 + 1).contains(&policies) {
        storm.fault(
            "policies",
            &format!("{policies} rows, {} answered, {} sent", policy.0, policy.1),
        );
    }
    let gap = "SELECT count(*) = max(sequence) FROM binauthz.audit";
    if database.ask("binauthz", gap) != "t" {
        storm.fault("a gap in the audit rows", "");
    }
}

/// Each row is in one of the logs, once; so is each verdict that was answered, and as it was answered.
async fn check_logs(storm: &Storm, (replicas, database): (&[Replica], &Database)) -> Outcome<()> {
    let rows: BTreeSet<i64> = lines(database, "SELECT sequence FROM binauthz.audit")
        .iter()
        .map(|line| line.parse())
        .collect::<Result<_, _>>()?;
    let journal = |replica: &Replica| Journal::new(&replica.folder.path().join("journal"));
    let mut journals: Vec<Journal> = replicas.iter().map(journal).collect();
    let (mut copies, mut verdicts) = (
        BTreeMap::<i64, usize>::new(),
        BTreeMap::<String, Vec<bool>>::new(),
    );
    let began = Instant::now();
    while began.elapsed() < PATIENCE && copies.len() < rows.len() {
        for record in journals.iter_mut().flat_map(Journal::news) {
            if let Some(number) = record["auditSequence"].as_i64() {
                *copies.entry(number).or_default() += 1;
            } else if let Some(uid) = record["uid"].as_str() {
                let verdict = record["verdict"] == "ALLOW";
                verdicts.entry(uid.to_owned()).or_default().push(verdict);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for number in &rows {
        match copies.get(number) {
            Some(1) => storm.count("audit rows in the logs once"),
            Some(count) => storm.fault("an audit row in the logs", &format!("{number}: {count} times")),
            None => storm.fault("an audit row is in no log", &number.to_string()),
        }
    }
    for number in copies.keys().filter(|number| !rows.contains(number)) {
        storm.fault("a log has an audit row that is none", &number.to_string());
    }
    let answered = storm.known().verdicts.clone();
    for (uid, allowed) in &answered {
        match verdicts.get(uid).map(Vec::as_slice) {
            Some([recorded]) if recorded == allowed => storm.count("verdicts in the logs as answered"),
            other => storm.fault(
                "a verdict in the logs",
                &format!("{uid}: {other:?}, answered {allowed}"),
            ),
        }
    }
    Ok(())
}

/// The log of a server is what was written, signed, and was never begun anew.
fn check_whole(storm: &Storm, folder: &Path) -> Outcome<()> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("journal.broken") {
            storm.fault("a log was moved aside", &name);
        }
    }
    let journal = folder.join("journal");
    let key: VerifierKey = std::fs::read_to_string(journal.join("log.vkey"))?.parse()?;
    let newest = Checkpoint::open(&std::fs::read_to_string(journal.join("checkpoint"))?, &key)?;
    let mut verifier = Verifier::new(key, Some(newest));
    let mut files: Vec<_> = std::fs::read_dir(&journal)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    for file in files {
        verifier.begin_file();
        let bytes = std::fs::read(file)?;
        let written = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let lines = bytes
            .get(..written)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n');
        for line in lines.filter(|line| line.first().is_some_and(|first| *first != 0)) {
            if let Err(fault) = verifier.line(line) {
                storm.fault("a log is not whole", &fault.to_string());
                return Ok(());
            }
        }
    }
    match verifier.finish() {
        Ok(_) => storm.count("logs that are whole"),
        Err(fault) => storm.fault("a log is not whole", &fault.to_string()),
    }
    Ok(())
}
