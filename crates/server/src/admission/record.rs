//! The record of a verdict, on disk before the answer.

use std::time::Duration;

use binauthz_core::decision::{Decision, Effect, unrecorded};
use binauthz_core::time::UnixTime;
use binauthz_wire::refusal::{OnRecord, refusal};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::about::{About, Text};
use super::case::Recipient;
use super::counters::Counted;
use super::deadline::Deadlines;
use super::entry::{Entry, new_id};
use super::judge::Judged;
use super::traced;
use crate::app::App;
use crate::trace::Phase;

/// How long the record of an allow may be on its way when the next one is answered before its own, where that was chosen.
const ALLOWS_WAIT: Duration = Duration::from_millis(100);

/// An answer whose verdict is on disk, or that says that it could not be brought there, or an allow whose record may
/// wait. Only [`record`] makes one.
#[derive(Debug)]
pub(super) struct Recorded {
    answer: Vec<u8>,
    refusal: Option<Refused>,
}

/// A refusal on record that is to be told to the cluster, too.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) time: UnixTime,
    pub(super) why: String,
    pub(super) message: String,
    pub(super) id: Uuid,
}

impl Recorded {
    pub(super) fn into_answer(self) -> (Vec<u8>, Option<Refused>) {
        (self.answer, self.refusal)
    }
}

/// Writes the record and waits for the disk. Without a record an enforced decision becomes a denial, and a broken glass
/// stays open and is shouted about.
///
/// The answer is written before the wait: who waits goes on at another core as a rule, where everything that was
/// touched before is slow to touch again, and be it to free it.
pub(super) async fn record(
    app: &App,
    (recipient, about): (&Recipient, &About),
    judged: Judged,
    deadlines: &Deadlines,
) -> Recorded {
    let Judged {
        decision,
        known,
        begun,
    } = judged;
    let judged = deadlines.start().elapsed();
    let time = (app.clock)();
    let id = new_id(time);
    let entry = Entry {
        about,
        decision: &decision,
        standing: known.as_ref().map(|known| &known.standing),
        id,
        time,
        latency_micros: u64::try_from(judged.as_micros()).unwrap_or(u64::MAX),
    };
    let durable = app
        .journal
        .append_within(entry.render(), patience(app, &decision, about));
    let (answer, refused) = answered((recipient, about), &decision, (id, time));
    let counted = Counted::of(&decision, about.advice);
    let effect = decision.effect().clone();
    let images = decision.findings().len();
    drop((decision, known));
    let failure = match timeout_at(deadlines.answer(), durable).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why.to_string()),
        Err(_) => Some("the verdict journal took too long".to_owned()),
    };
    deadlines.phases().ended(Phase::Record);
    let (answer, counted, refusal) = match failure {
        None => (answer, counted, refused),
        Some(why) => {
            shout(app, about, &effect, &why);
            match unrecorded(&effect) {
                Some(denial) => {
                    let counted = Counted::of(&denial, about.advice);
                    (recipient.answer(&denial, None), counted, None)
                }
                None => (answer, counted, None),
            }
        }
    };
    // The counters feed alerts; a dry run shall raise none.
    if !about.dry_run {
        let answered = deadlines.start().elapsed();
        app.counters.verdict(counted, answered);
        if let Some(begun) = begun {
            let read = begun.duration_since(deadlines.start());
            app.counters
                .phases([read, judged.saturating_sub(read), answered.saturating_sub(judged)]);
        }
    }
    traced::tell(app, about, (counted, images), deadlines);
    Recorded { answer, refusal }
}

/// The answer, and what the cluster is told of it.
fn answered(
    (recipient, about): (&Recipient, &About),
    decision: &Decision,
    (id, time): (Uuid, UnixTime),
) -> (Vec<u8>, Option<Refused>) {
    let on_record = OnRecord {
        id: &id,
        cluster: about.text(Text::Cluster),
    };
    let told = about.tells && !decision.admitted() && !about.dry_run && !about.advice;
    let refused = told.then(|| Refused {
        time,
        why: decision.denial(),
        message: refusal(decision, Some(on_record)),
        id,
    });
    (recipient.answer(decision, Some(on_record)), refused)
}

/// Only what conforms and was judged in earnest may be answered before its record is on disk, and only where the operator
/// chose so: what a crash loses then is nothing that anybody has to answer for.
fn patience(app: &App, decision: &Decision, about: &About) -> Option<Duration> {
    let may_wait = app.settings.audit_allows_may_wait
        && decision.conforms()
        && !about.advice
        && matches!(decision.effect(), Effect::Enforced);
    may_wait.then_some(ALLOWS_WAIT)
}

fn shout(app: &App, about: &About, effect: &Effect, why: &str) {
    let broken = matches!(effect, Effect::BrokenGlass { .. });
    app.counters.unrecorded(broken);
    let [cluster, name, user] = [Text::Cluster, Text::Name, Text::User].map(|text| about.text(text));
    tracing::error!(%why, cluster, name, user, break_glass = broken, "a verdict could not be recorded");
}
