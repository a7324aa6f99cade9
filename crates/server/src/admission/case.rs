//! A body, understood: what is asked, what the record will say of it, and where the answer goes.
//!
//! Nothing of it points into the body, and nothing here waits: what is large stays out of the futures above.

use binauthz_core::decision::{Decision, Reason};
use binauthz_core::workload::BREAK_GLASS_ANNOTATION;
use binauthz_wire::admission_review::{self, Address, CustomReview, Groups, Matter, Review};
use binauthz_wire::image_review;
use binauthz_wire::refusal::OnRecord;
use binauthz_wire::workload::{InvalidWorkload, Workload, makes_pods};

use super::about::{About, Text};
use super::judge::Question;
use super::request::{Dialect, Refused, Target, carries_no_image};
use crate::app::App;
use crate::kubernetes::Asker;

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

    /// The same, and never a mere warning.
    pub(super) fn strict(self) -> Self {
        match self {
            Self::Advice(address) => Self::Verdict(address),
            same => same,
        }
    }

    /// The answer, which leaves when the decision was recorded.
    pub(super) fn answer(&self, decision: &Decision, on_record: Option<OnRecord<'_>>) -> Vec<u8> {
        match self {
            Self::Verdict(address) => address.verdict(decision, on_record),
            Self::Advice(address) => address.advice(decision, on_record),
            Self::ImageReview => image_review::verdict(decision, on_record),
        }
    }
}

/// A review, by the table of kinds or by the operator's paths.
enum Read<'a> {
    Known(Review<'a>),
    Custom(CustomReview<'a>),
}

impl<'a> Read<'a> {
    /// An object of a kind that is not in the table may not even have the form that those of the table have.
    fn body(app: &'a App, body: &'a [u8]) -> Result<Self, Refused> {
        let custom = &app.settings.custom_resources;
        let read = admission_review::read(body);
        let may_be_custom = match &read {
            Ok(review) => custom.have_group_of(review.kind()),
            Err(_) => !custom.all().is_empty(),
        };
        match may_be_custom.then(|| CustomReview::read(body, custom)) {
            Some(Ok(Some(review))) => Ok(Self::Custom(review)),
            _ => read.map(Self::Known).map_err(Refused::unreadable),
        }
    }
}

impl Case {
    pub(super) fn read(app: &App, target: &Target, body: &[u8]) -> Result<Self, Refused> {
        match target.dialect {
            Dialect::Admit => Ok(match Read::body(app, body)? {
                Read::Known(review) => Self::admit(app, target, review),
                Read::Custom(mut custom) => {
                    let about = About::review(target, custom.review());
                    let groups = custom.take_groups();
                    let advice = app.settings.warn_only_for_workloads;
                    Self::of_matter(
                        custom.review().address(),
                        (about, groups),
                        advice,
                        custom.matter(),
                    )
                }
            }),
            Dialect::Mutate => Ok(match Read::body(app, body)? {
                Read::Known(review) => {
                    // The template of a Job that is there cannot be changed: a patch would make every later update fail.
                    let fixed = review.operation() == "UPDATE" && review.kind().kind == "Job";
                    let address = review.address();
                    match fixed {
                        true => Self::Answered(address.patched(None)),
                        false => Self::mutate(address, review.into_matter()),
                    }
                }
                Read::Custom(custom) => Self::mutate(custom.review().address(), custom.matter()),
            }),
            Dialect::ImagePolicy => {
                let review = image_review::read(body).map_err(Refused::unreadable)?;
                let about = About::image_review(target, &review);
                Ok(Self::Open(Recipient::ImageReview, about, Question::from(&review)))
            }
        }
    }

    fn admit(app: &App, target: &Target, mut review: Review<'_>) -> Self {
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
        let groups = review.take_groups();
        Self::of_matter(address, (about, groups), advice, review.into_matter())
    }

    fn of_matter(
        address: Address,
        (about, groups): (About, Groups<'_>),
        advice: bool,
        matter: Result<Matter<'_>, InvalidWorkload>,
    ) -> Self {
        let (workload, old) = match matter {
            Ok(Matter::Deletion) => return Self::Answered(address.nothing_to_judge()),
            Ok(Matter::NoImage) => return Self::Passing(address, about),
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
        let mut question = Question::of(&workload, about.text(Text::Namespace));
        if question.break_glass.is_some() {
            question.asker = Some(Asker {
                user: about.text(Text::User).to_owned(),
                groups: groups.to_vec(),
            });
        }
        Self::Open(Recipient::of(address, advice), about, question)
    }

    /// Copies an emergency door from a workload's own metadata to its pod template, so that its Pods carry it. Decides
    /// nothing: the validating webhook sees the object again.
    fn mutate(address: Address, matter: Result<Matter<'_>, InvalidWorkload>) -> Self {
        let Ok(Matter::Judge { workload, .. }) = matter else {
            return Self::Answered(address.patched(None));
        };
        let door = match workload.break_glass() {
            Some(door) if !workload.is_pod() && !workload.template_breaks_glass() => door,
            _ => return Self::Answered(address.patched(None)),
        };
        let value = match door.justification() {
            "" => "true",
            written => written,
        };
        match workload.template_annotation_patch(BREAK_GLASS_ANNOTATION, value) {
            Some(patch) => Self::Patch(address, patch),
            None => Self::Answered(address.patched(None)),
        }
    }
}
