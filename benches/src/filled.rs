//! Stores with many attestations in them, written past the API.

use std::ops::Range;

use binauthz_core::time::UnixTime;
use binauthz_store::{AuditRow, Change, Commit, OccurrenceRow, Store};
use binauthz_wire::containeranalysis::{read_occurrence, write_occurrence};
use binauthz_wire::json::{self, Limits};

use crate::{Outcome, inputs};

/// Rows of one transaction.
const AT_ONCE: u32 = 2_000;

/// Writes the attestations of these images.
pub(crate) async fn fill(store: &Store, signer: &inputs::Signer, numbers: Range<u32>) -> Outcome<()> {
    for start in numbers.clone().step_by(AT_ONCE as usize) {
        let batch = start..(start + AT_ONCE).min(numbers.end);
        store.commit(commit(rows(signer, batch)?)).await?;
    }
    Ok(())
}

/// The attestations of these images, as they are stored.
pub(crate) fn rows(signer: &inputs::Signer, numbers: Range<u32>) -> Outcome<Vec<OccurrenceRow>> {
    numbers.map(|number| row(signer, number)).collect()
}

/// One transaction with all of them.
pub(crate) fn commit(rows: Vec<OccurrenceRow>) -> Commit {
    Commit {
        audit: audit(),
        changes: rows.into_iter().map(Change::InsertOccurrence).collect(),
    }
}

fn row(signer: &inputs::Signer, number: u32) -> Outcome<OccurrenceRow> {
    let request = signer.occurrence(number)?.to_string();
    let occurrence = read_occurrence(json::parse(request.as_bytes(), Limits::API)?)?;
    let name = format!("projects/bench/occurrences/bench-{number}");
    let time = UnixTime::from_seconds(1_800_000_000);
    let mut fingerprint = *inputs::digest(number).as_bytes();
    fingerprint[10] ^= 0xff;
    Ok(OccurrenceRow {
        project: "projects/bench".to_owned(),
        note: inputs::NOTE.to_owned(),
        digest: Some(*inputs::digest(number).as_bytes()),
        resource_uri: occurrence.resource_uri.clone(),
        kind: "ATTESTATION".to_owned(),
        document: write_occurrence(&name, &occurrence, time, time).to_string(),
        name,
        fingerprint,
        created: time.as_micros(),
        updated: time.as_micros(),
    })
}

fn audit() -> AuditRow {
    AuditRow {
        sequence: 0,
        time: 1_800_000_000_000_000,
        principal: "bench".to_owned(),
        method: "fill".to_owned(),
        resource: "projects/bench".to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    }
}
