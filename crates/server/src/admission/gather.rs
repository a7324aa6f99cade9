//! Answers to a plan's questions: from memory, else from the store and the signature check. Nothing else is asked;
//! above all no registry.

use std::ops::ControlFlow;
use std::sync::Arc;

use binauthz_core::attestation::Attestation;
use binauthz_core::attestor::Attestor;
use binauthz_core::decide::Plan;
use binauthz_core::evidence::{Answer, Answers, Examination, Next, Question};
use binauthz_core::image::Digest;
use binauthz_core::name::OccurrenceName;
use binauthz_core::time::UnixTime;
use binauthz_store::OccurrenceRow;
use binauthz_wire::containeranalysis::read_occurrence;
use binauthz_wire::json::{self, Limits};
use tokio::time::{Instant, timeout_at};

use super::proofs::ProofKey;
use crate::app::App;

/// Rows read at once. A document has at most 1 MiB, so that is 200 MiB at the very worst, and some 400 KB as a rule.
const PAGE: u32 = 200;
/// Rows looked at for one answer, the newest first. Signatures have a bound of their own (`MAX_CHECKS`, 0.16 s);
/// a row by foreign keys costs reading and parsing 2 KB, some 15 µs: 10 000 take 0.15 s. Larger ones run into
/// the deadline, which ends the search after the page under way.
const MAX_ROWS: u32 = 10_000;

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
    let mut search = Search::new(Examination::new(attestor, digest, now));
    let mut older_than = None;
    loop {
        let found = app
            .store
            .occurrences_of(&note, digest.as_bytes(), older_than, PAGE)
            .await;
        let rows = match found {
            Ok(rows) => rows,
            Err(why) => return Answer::Unavailable(why.to_string()),
        };
        older_than = rows.last().map(OccurrenceRow::age);
        // Signature checks are the one thing here that takes a core for itself.
        match tokio::task::spawn_blocking(move || search.look_through(&rows)).await {
            Ok(ControlFlow::Continue(further)) => search = further,
            Ok(ControlFlow::Break(answer)) => return answer,
            Err(_) => return Answer::Unavailable("the signature check failed to finish".to_owned()),
        }
    }
}

/// Looking through the attestations of one digest on one note.
struct Search {
    examination: Examination,
    rows: u32,
    unreadable: Option<String>,
}

impl Search {
    fn new(examination: Examination) -> Self {
        Self {
            examination,
            rows: 0,
            unreadable: None,
        }
    }

    /// The next page; the answer, if this was the last one to look at.
    fn look_through(mut self, rows: &[OccurrenceRow]) -> ControlFlow<Answer, Self> {
        for row in rows {
            let attestation = match claimed(row) {
                Ok(attestation) => attestation,
                Err(why) => {
                    // A damaged one proves nothing and hides nothing; without a good one it is why nothing is known.
                    self.unreadable
                        .get_or_insert_with(|| format!("`{}` cannot be read: {why}", row.name));
                    continue;
                }
            };
            let next = self.examination.look_at(&attestation);
            if next != Next::GoOn {
                return ControlFlow::Break(self.answer(next.gap()));
            }
        }
        let page = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.rows = self.rows.saturating_add(page);
        if page < PAGE {
            return ControlFlow::Break(self.answer(None));
        }
        if self.rows >= MAX_ROWS {
            let why = format!("the newest {MAX_ROWS} attestations were looked at, and none is good");
            return ControlFlow::Break(self.answer(Some(why)));
        }
        ControlFlow::Continue(self)
    }

    fn answer(self, gap: Option<String>) -> Answer {
        self.examination.answer(gap.or(self.unreadable))
    }
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
    )
    .received(UnixTime::from_micros(row.created)))
}
