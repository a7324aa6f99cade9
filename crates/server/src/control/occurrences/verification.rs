//! The early look at an attestation that is about to be stored: would the attestors of its note accept it as they are
//! now?
//!
//! The answer goes to the audit log and the server's log, for whoever looks why an image is denied. It refuses nothing:
//! an attestation may come before its key, and it is verified again before it counts.

use std::sync::Arc;

use binauthz_core::attestation::{Attestation, verify};
use binauthz_core::attestor::Attestor;
use binauthz_core::name::{AttestorName, OccurrenceName};
use binauthz_core::time::UnixTime;
use binauthz_store::{Kind, ListQuery, MAX_ROWS};
use binauthz_wire::containeranalysis::Occurrence;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::pinned;
use crate::app::App;
use crate::documents::attestor_from;

/// Verifications for one call. With the slowest algorithm (0.6 ms) that is 0.12 s.
const MOST: usize = 200;
/// Findings written down one by one; an audit row holds 64 KiB.
const MOST_TOLD: usize = 10;

/// What the attestors say, as facts for the audit row.
pub(super) async fn look(
    app: &App,
    entries: &Arc<[(OccurrenceName, Occurrence)]>,
    now: UnixTime,
) -> Map<String, Value> {
    let attestors = match attestors(app, entries).await {
        Ok(attestors) => attestors,
        Err(error) => return not_done(error.message()),
    };
    let entries = Arc::clone(entries);
    // Signature checks are the one thing here that takes a core for itself.
    let work = tokio::task::spawn_blocking(move || judge(&entries, &attestors, now));
    work.await
        .unwrap_or_else(|_| not_done("the signature check failed to finish"))
}

fn not_done(why: &str) -> Map<String, Value> {
    tracing::warn!(why, "an attestation was stored without a look at its signature");
    [("notVerified".to_owned(), json!(why))].into_iter().collect()
}

/// The attestors of the notes. One that cannot be read is told of where it judges.
async fn attestors(app: &App, entries: &[(OccurrenceName, Occurrence)]) -> Result<Vec<Attestor>, ApiError> {
    let query = ListQuery {
        kind: Kind::Attestor,
        parent: String::new(),
        after: None,
        limit: MAX_ROWS,
    };
    let mut references: Vec<String> = entries
        .iter()
        .map(|(_, occurrence)| format!("\"noteReference\":\"{}\"", occurrence.note))
        .collect();
    references.sort();
    references.dedup();
    let rows = app.store.list(&query).await?;
    let of_notes = rows.iter().filter(|row| {
        references
            .iter()
            .any(|reference| row.document.contains(reference))
    });
    Ok(of_notes
        .filter_map(|row| {
            let name: AttestorName = row.name.parse().ok()?;
            Some(attestor_from(&name, row).ok()?.1)
        })
        .collect())
}

fn judge(
    entries: &[(OccurrenceName, Occurrence)],
    attestors: &[Attestor],
    now: UnixTime,
) -> Map<String, Value> {
    let pairs: Vec<(&OccurrenceName, &Occurrence, &Attestor)> = entries
        .iter()
        .flat_map(|(name, occurrence)| attestors.iter().map(move |attestor| (name, occurrence, attestor)))
        .filter(|(_, occurrence, attestor)| occurrence.note == *attestor.note())
        .collect();
    let (mut verified, mut rejected, mut told) = (0_usize, 0_usize, Vec::new());
    for (name, occurrence, attestor) in pairs.iter().take(MOST) {
        let outcome = outcome(name, occurrence, attestor, now);
        let (occurrence, attestor) = (name.to_string(), attestor.name().to_string());
        let finding = match outcome {
            Ok(key) => {
                verified += 1;
                tracing::info!(occurrence, attestor, key, "an attestation verifies");
                json!({ "attestor": attestor, "occurrence": occurrence, "key": key })
            }
            Err(why) => {
                rejected += 1;
                tracing::warn!(
                    occurrence,
                    attestor,
                    why,
                    "an attestation was stored that does not verify"
                );
                json!({ "attestor": attestor, "occurrence": occurrence, "rejected": why })
            }
        };
        if told.len() < MOST_TOLD {
            told.push(finding);
        }
    }
    let mut facts = Map::new();
    facts.insert("verified".to_owned(), json!(verified));
    facts.insert("rejected".to_owned(), json!(rejected));
    if !told.is_empty() {
        facts.insert("verification".to_owned(), told.into());
    }
    if pairs.len() > MOST {
        facts.insert(
            "notVerified".to_owned(),
            json!(format!("{} more", pairs.len() - MOST)),
        );
    }
    facts
}

/// The id of the key that made the signature, or why the attestation does not count.
fn outcome(
    name: &OccurrenceName,
    occurrence: &Occurrence,
    attestor: &Attestor,
    now: UnixTime,
) -> Result<String, String> {
    let image = pinned("resourceUri", &occurrence.resource_uri)?;
    let signed = &occurrence.attestation;
    let attestation = Attestation::claimed(
        name.clone(),
        occurrence.note.clone(),
        signed.payload.clone(),
        signed.signatures.clone(),
    )
    .received(now);
    let proof = verify(&attestation, attestor, now).map_err(|why| why.to_string())?;
    match proof.shortfall(attestor, &image, now) {
        None => Ok(proof.key_id().to_string()),
        Some(why) => Err(why.to_string()),
    }
}
