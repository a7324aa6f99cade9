//! A body, understood: what is asked, what the record will say of it, and where the answer goes.
//!
//! Nothing of it points into the body, and nothing here waits: what is large stays out of the futures above.

use binauthz_core::decision::{Decision, Reason};
use binauthz_core::workload::BREAK_GLASS_ANNOTATION;
use binauthz_wire::admission_review::{self, Address, Matter, Review};
use binauthz_wire::image_review;

use super::judge::Question;
use super::record::{About, Recorded};
use super::request::{Dialect, Refused, Target, carries_no_image};
use crate::app::App;

/// What a body comes to.
pub(super) enum Case {
    /// The whole answer: there is nothing to judge.
    Answered(Vec<u8>),
    /// It cannot be judged, which is a verdict too.
    Unreviewable(Recipient, About, Reason),
    /// To be judged.
    Open(Recipient, About, Question),
}

/// The dialect the answer is given in.
pub(super) enum Recipient {
    /// A verdict on an AdmissionReview.
    Verdict(Address),
    /// A mere warning.
    Advice(Address),
    ImageReview,
}

impl Recipient {
    /// The answer. Only what was recorded can be answered.
    pub(super) fn answer(&self, recorded: &Recorded) -> Vec<u8> {
        let decision: &Decision = recorded.decision();
        match self {
            Self::Verdict(address) => address.verdict(decision),
            Self::Advice(address) => address.advice(decision),
            Self::ImageReview => image_review::verdict(decision),
        }
    }
}

impl Case {
    pub(super) fn read(app: &App, target: &Target, body: &[u8]) -> Result<Self, Refused> {
        match target.dialect {
            Dialect::Admit => {
                let review = admission_review::read(body).map_err(Refused::unreadable)?;
                Ok(Self::admit(app, target, review))
            }
            Dialect::Mutate => {
                let review = admission_review::read(body).map_err(Refused::unreadable)?;
                Ok(Self::Answered(mutate(review)))
            }
            Dialect::ImagePolicy => {
                let review = image_review::read(body).map_err(Refused::unreadable)?;
                let about = About::image_review(target, &review);
                Ok(Self::Open(Recipient::ImageReview, about, Question::from(&review)))
            }
        }
    }

    fn admit(app: &App, target: &Target, review: Review<'_>) -> Self {
        let address = review.address();
        if carries_no_image(&review) {
            return Self::Answered(address.nothing_to_judge());
        }
        let about = About::review(target, &review);
        let (workload, old) = match review.into_matter() {
            Ok(Matter::Deletion) => return Self::Answered(address.nothing_to_judge()),
            Ok(Matter::Judge { workload, old }) => (workload, old),
            Err(why) => {
                let reason = Reason::Unreviewable(why.to_string());
                return Self::Unreviewable(Recipient::Verdict(address), about, reason);
            }
        };
        // Nothing starts that was not judged when it came in; labels and finalizers stay editable.
        if old.is_some_and(|old| workload.adds_nothing_to(&old)) {
            return Self::Answered(address.nothing_to_judge());
        }
        let advice = app.settings.warn_only_for_workloads && !workload.is_pod();
        let question = Question::of(&workload, &about.namespace);
        let about = About {
            advice,
            ..about.named(workload.name())
        };
        let recipient = match advice {
            true => Recipient::Advice(address),
            false => Recipient::Verdict(address),
        };
        Self::Open(recipient, about, question)
    }
}

/// Copies an emergency door from a workload's own metadata to its pod template, so that its Pods carry it. Decides
/// nothing: the validating webhook sees the object again.
fn mutate(review: Review<'_>) -> Vec<u8> {
    let address = review.address();
    let Ok(Matter::Judge { workload, .. }) = review.into_matter() else {
        return address.patched(None);
    };
    let door = match workload.break_glass() {
        Some(door) if !workload.is_pod() && !workload.template_breaks_glass() => door,
        _ => return address.patched(None),
    };
    let value = match door.justification() {
        "" => "true",
        written => written,
    };
    let patch = workload.template_annotation_patch(BREAK_GLASS_ANNOTATION, value);
    address.patched(patch.as_ref())
}
