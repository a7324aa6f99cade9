//! A body, understood: what is asked, what the record will say of it, and where the answer goes.
//!
//! Nothing of it points into the body, and nothing here waits: what is large stays out of the futures above.

use binauthz_core::decision::{Decision, Reason};
use binauthz_core::workload::BREAK_GLASS_ANNOTATION;
use binauthz_wire::admission_review::{self, Address, Matter, Review};
use binauthz_wire::image_review;
use binauthz_wire::workload::{Workload, makes_pods};

use super::about::{About, Text};
use super::judge::Question;
use super::request::{Dialect, Refused, Target, carries_no_image};
use crate::app::App;

/// What a body comes to.
pub(super) enum Case {
    /// The whole answer: it runs nothing and nothing of it can be denied.
    Answered(Vec<u8>),
    /// It starts nothing new, so any registered cluster may have it.
    Passing(Address, About),
    /// A patch for any registered cluster. It decides nothing.
    Patch(Address, serde_json::Value),
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
    pub(super) fn of(address: Address, advice: bool) -> Self {
        match advice {
            true => Self::Advice(address),
            false => Self::Verdict(address),
        }
    }

    /// The answer, which leaves when the decision was recorded.
    pub(super) fn answer(&self, decision: &Decision) -> Vec<u8> {
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
                Ok(mutate(review))
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
        let about = About::review(target, &review);
        if carries_no_image(&review) {
            return match about.text(Text::Operation) {
                "DELETE" => Self::Answered(address.nothing_to_judge()),
                _ => Self::Passing(address, about),
            };
        }
        // Of these the Pods are judged later, whatever may be wrong with their maker.
        let advice = app.settings.warn_only_for_workloads && makes_pods(review.kind());
        let (workload, old) = match review.into_matter() {
            Ok(Matter::Deletion) => return Self::Answered(address.nothing_to_judge()),
            Ok(Matter::Judge { workload, old }) => (workload, old),
            Err(why) => {
                // What is not what it says it is may as well be a Pod.
                let advice = advice && why.is_about_contents();
                let recipient = Recipient::of(address, advice);
                let reason = Reason::Unreviewable(why.to_string());
                return Self::Unreviewable(recipient, about.advised(advice), reason);
            }
        };
        let about = about.with(&workload);
        // Nothing starts that was not judged when it came in; labels and finalizers stay editable. Opening the emergency
        // door is never just a label: it is judged and recorded.
        let is_known = |old: &Workload<'_>| {
            workload.adds_nothing_to(old) && (workload.break_glass().is_none() || old.break_glass().is_some())
        };
        let about = about.advised(advice);
        if old.is_some_and(|old| is_known(&old)) {
            return Self::Passing(address, about);
        }
        let question = Question::of(&workload, about.text(Text::Namespace));
        Self::Open(Recipient::of(address, advice), about, question)
    }
}

/// Copies an emergency door from a workload's own metadata to its pod template, so that its Pods carry it. Decides
/// nothing: the validating webhook sees the object again.
fn mutate(review: Review<'_>) -> Case {
    let address = review.address();
    // The template of a Job that is there cannot be changed: a patch would make every later update fail.
    let fixed = review.operation() == "UPDATE" && review.kind().kind == "Job";
    let Ok(Matter::Judge { workload, .. }) = review.into_matter() else {
        return Case::Answered(address.patched(None));
    };
    let door = match workload.break_glass() {
        Some(door) if !fixed && !workload.is_pod() && !workload.template_breaks_glass() => door,
        _ => return Case::Answered(address.patched(None)),
    };
    let value = match door.justification() {
        "" => "true",
        written => written,
    };
    match workload.template_annotation_patch(BREAK_GLASS_ANNOTATION, value) {
        Some(patch) => Case::Patch(address, patch),
        None => Case::Answered(address.patched(None)),
    }
}
