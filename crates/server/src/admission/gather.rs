//! Answers to a plan's questions: from memory, else from the store and the signature check. Nothing else is asked;
//! above all no registry.

use std::sync::Arc;

use binauthz_core::attestation::{Attestation, verify};
use binauthz_core::attestor::Attestor;
use binauthz_core::decide::Plan;
use binauthz_core::evidence::{Answer, Answers, Evidence, Question};
use binauthz_core::image::Digest;
use binauthz_core::name::OccurrenceName;
use binauthz_core::time::UnixTime;
use binauthz_store::OccurrenceRow;
use binauthz_wire::containeranalysis::read_occurrence;
use binauthz_wire::json::{self, Limits};
use tokio::time::{Instant, timeout_at};

use super::proofs::ProofKey;
use crate::app::App;

/// Attestations of one digest on one note that are looked at. With the slowest algorithm (0.6 ms) that is 0.12 s.
const MAX_ATTESTATIONS: u32 = 200;

/// Every answer there is before `until`; a question without one denies.
pub(super) async fn gather(app: &App, plan: &Plan, until: Instant) -> Answers {
    let mut answers = Answers::new();
    for question in plan.questions() {
        let answer = answer(app, &question, until).await;
        answers.insert(&question, answer);
    }
    answers
}

async fn answer(app: &App, question: &Question<'_>, until: Instant) -> Answer {
    let now = (app.clock)();
    let key = ProofKey::of(question);
    if let Some(evidence) = app.proofs.known(&key, now) {
        app.counters.evidence(true);
        return Answer::Found(evidence);
    }
    app.counters.evidence(false);
    let reading = look_up(app, Arc::clone(question.attestor), *question.image.digest(), now);
    timeout_at(until, app.proofs.learn(key, now, reading))
        .await
        .unwrap_or(Answer::Deadline)
}

async fn look_up(app: &App, attestor: Arc<Attestor>, digest: Digest, now: UnixTime) -> Answer {
    let note = attestor.note().to_string();
    let rows = match app
        .store
        .occurrences_of(&note, digest.as_bytes(), MAX_ATTESTATIONS + 1)
        .await
    {
        Ok(rows) => rows,
        Err(why) => return Answer::Unavailable(why.to_string()),
    };
    // Signature checks are the one thing here that takes a core for itself.
    let checked = tokio::task::spawn_blocking(move || check(&rows, &attestor, &digest, now));
    match checked.await {
        Ok(answer) => answer,
        Err(_) => Answer::Unavailable("the signature check failed to finish".to_owned()),
    }
}

fn check(rows: &[OccurrenceRow], attestor: &Attestor, digest: &Digest, now: UnixTime) -> Answer {
    let most = usize::try_from(MAX_ATTESTATIONS).unwrap_or(usize::MAX);
    let mut evidence = Evidence::default();
    for row in rows.iter().take(most) {
        let attestation = match claimed(row) {
            Ok(attestation) => attestation,
            Err(why) => return Answer::Unavailable(format!("`{}` cannot be read: {why}", row.name)),
        };
        match verify(&attestation, attestor, now) {
            Ok(proof) if proof.digest() == digest => {
                evidence.proofs.push(proof);
                // One is enough, unless each counts for the repository it names only.
                if !attestor.match_identity() {
                    return Answer::Found(Arc::new(evidence));
                }
            }
            Ok(proof) => {
                let other = binauthz_core::attestation::Rejected::OtherDigest(*proof.digest());
                evidence.rejected.push((attestation.occurrence().clone(), other));
            }
            Err(why) => evidence.rejected.push((attestation.occurrence().clone(), why)),
        }
    }
    if rows.len() > most && evidence.proofs.is_empty() {
        return Answer::Unavailable(format!(
            "more than {MAX_ATTESTATIONS} attestations, and none of the first is good"
        ));
    }
    Answer::Found(Arc::new(evidence))
}

/// The claim that a stored occurrence makes.
pub(super) fn claimed(row: &OccurrenceRow) -> Result<Attestation, String> {
    let name: OccurrenceName = row
        .name
        .parse()
        .map_err(|why: binauthz_core::name::InvalidName| why.to_string())?;
    let value = json::parse(row.document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
    let occurrence = read_occurrence(value).map_err(|why| why.to_string())?;
    Ok(Attestation::claimed(
        name,
        occurrence.note,
        occurrence.attestation.payload,
        occurrence.attestation.signatures,
    ))
}
