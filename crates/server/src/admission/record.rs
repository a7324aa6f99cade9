//! The record of a verdict, on disk before the answer.

use binauthz_core::decision::{Decision, Effect, unrecorded};
use binauthz_wire::admission_review::Review;
use binauthz_wire::image_review::ImageReview;
use binauthz_wire::workload::{self, Workload};
use tokio::time::timeout_at;

use super::deadline::Deadlines;
use super::entry::Entry;
use super::judge::Judged;
use super::request::Target;
use super::traced;
use crate::app::App;
use crate::trace::Phase;

/// What a verdict is about, for the record. No environment, no secret: an explicit list.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) cluster: String,
    pub(super) dialect: &'static str,
    pub(super) uid: String,
    pub(super) operation: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) sub_resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) user: String,
    /// Of the Pods; empty where it is not known.
    pub(super) service_account: String,
    /// What is written at the emergency doors; as a rule nothing.
    pub(super) doors: Option<Box<Doors>>,
    pub(super) dry_run: bool,
    /// The verdict was given as a warning only.
    pub(super) advice: bool,
}

/// The emergency doors of the object itself and of its pod template.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pub(super) own: Door,
    pub(super) template: Door,
}

/// The values of the label and the annotation, as they were written.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) label: Option<String>,
    pub(super) annotation: Option<String>,
}

impl Doors {
    fn of(doors: &workload::Doors<'_>) -> Option<Box<Doors>> {
        let door = |door: &workload::Door<'_>| Door {
            label: door.label.map(str::to_owned),
            annotation: door.annotation.map(str::to_owned),
        };
        (!doors.are_unwritten()).then(|| {
            Box::new(Doors {
                own: door(&doors.own),
                template: door(&doors.template),
            })
        })
    }
}

impl About {
    pub(super) fn review(target: &Target, review: &Review<'_>) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            dialect: "AdmissionReview",
            uid: review.uid().to_owned(),
            operation: review.operation().to_owned(),
            group: review.kind().group.clone().into_owned(),
            version: review.kind().version.clone().into_owned(),
            kind: review.kind().kind.clone().into_owned(),
            sub_resource: review.sub_resource().to_owned(),
            namespace: review.namespace().to_owned(),
            name: review.name().to_owned(),
            user: review.username().to_owned(),
            dry_run: review.dry_run(),
            ..Self::default()
        }
    }

    pub(super) fn image_review(target: &Target, review: &ImageReview<'_>) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            dialect: "ImageReview",
            version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: review.namespace().to_owned(),
            doors: Doors::of(&review.doors()),
            ..Self::default()
        }
    }

    /// With what the object itself says: its doors, its Pods' account, and its name where the request gives none.
    pub(super) fn with(mut self, workload: &Workload<'_>) -> Self {
        if self.name.is_empty() {
            workload.name().clone_into(&mut self.name);
        }
        workload
            .service_account()
            .unwrap_or_default()
            .clone_into(&mut self.service_account);
        self.doors = Doors::of(&workload.doors());
        self
    }
}

/// A decision that is on disk, or that says that it could not be. Only [`record`] makes one.
#[derive(Debug)]
pub(super) struct Recorded(Decision);

impl Recorded {
    pub(super) fn decision(&self) -> &Decision {
        &self.0
    }
}

/// Writes the record and waits for the disk. Without a record an enforced decision becomes a denial, and a broken glass
/// stays open and is shouted about.
pub(super) async fn record(app: &App, about: &About, judged: Judged, deadlines: &Deadlines) -> Recorded {
    let Judged { decision, known } = judged;
    let entry = Entry {
        about,
        decision: &decision,
        standing: known.as_ref().map(|known| &known.standing),
        time: (app.clock)(),
        latency_micros: u64::try_from(deadlines.start().elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    let durable = app.journal.append(entry.render());
    let failure = match timeout_at(deadlines.answer(), durable).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why.to_string()),
        Err(_) => Some("the verdict journal took too long".to_owned()),
    };
    deadlines.phases().ended(Phase::Record);
    let decision = match failure {
        None => decision,
        Some(why) => {
            let broken = matches!(decision.effect(), Effect::BrokenGlass { .. });
            app.counters.unrecorded(broken);
            let (cluster, name, user) = (&about.cluster, &about.name, &about.user);
            tracing::error!(%why, %cluster, %name, %user, break_glass = broken, "a verdict could not be recorded");
            unrecorded(&decision)
        }
    };
    // The counters feed alerts; a dry run shall raise none.
    if !about.dry_run {
        app.counters
            .verdict(&decision, about.advice, deadlines.start().elapsed());
    }
    traced::tell(app, about, &decision, deadlines);
    Recorded(decision)
}
