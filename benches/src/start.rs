//! Start to ready, and memory, with many attestations stored.

use std::path::Path;

use binauthz_core::time::UnixTime;
use binauthz_store::{AuditRow, Change, Commit, OccurrenceRow, Store};
use binauthz_wire::containeranalysis::{read_occurrence, write_occurrence};
use binauthz_wire::json::{self, Limits};

use crate::load::{self, median};
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

const ATTESTATIONS: u32 = 100_000;
const STARTS: usize = 9;
const PROMISED_MILLISECONDS: f64 = 300.0;
const PROMISED_MEGABYTES: f64 = 150.0;

pub(crate) async fn measure() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let signer = inputs::Signer::new()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare(&server, &signer).await?;
    drop(server);
    fill(folder.path(), &signer).await?;
    println!("{ATTESTATIONS} attestations stored; {STARTS} starts, each asked for one verdict\n");
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let server = Server::start(SERVE, folder.path()).await?;
        ready.push(server.ready_after.as_secs_f64() * 1e3);
        let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
        let body = inputs::review(&[u32::try_from(number)? * 1_000])?;
        load::post(
            &server,
            (&server.client(false)?, &url),
            &vec![body].into(),
            (1, 1),
        )
        .await?;
        resident.push(server.resident_megabytes()?);
    }
    println!(
        "slowest start {:.0} ms",
        ready.iter().copied().fold(0.0, f64::max)
    );
    let quick = line(
        "start to ready, median",
        median(ready),
        "ms",
        PROMISED_MILLISECONDS,
    );
    let small = line(
        "resident memory after the first verdict, median",
        median(resident),
        "MB",
        PROMISED_MEGABYTES,
    );
    Ok(quick && small)
}

/// Writes the attestations into the closed server's database.
async fn fill(folder: &Path, signer: &inputs::Signer) -> Outcome<()> {
    let store = Store::open(&folder.join("binauthz.db"))?;
    for start in (0..ATTESTATIONS).step_by(2_000) {
        let changes = (start..start + 2_000)
            .map(|number| Ok(Change::InsertOccurrence(row(signer, number)?)))
            .collect::<Outcome<Vec<_>>>()?;
        store
            .commit(Commit {
                audit: audit(),
                changes,
            })
            .await?;
    }
    Ok(())
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
