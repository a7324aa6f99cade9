//! The verdict. `plan` says what must be found out, the shell finds it out, `decide` judges.
//!
//! `decide` walks the questions, never the answers, so a forgotten answer denies. Break-glass and
//! dry run never skip the evaluation: they change what the verdict does, not whether it is computed.

use crate::attestation::Rejected;
use crate::attestor::Attestor;
use crate::decision::{Decision, Effect, Finding, Reason};
use crate::evidence::{Answer, Answers, Evidence, Question};
use crate::image::{ImageRef, PinnedImage};
use crate::name::{AttestorName, OccurrenceName};
use crate::policy::{
    AdmissionRule, Enforcement, Evaluation, GlobalEvaluation, PolicyLabel, Rule, RuleSource, Snapshot,
    Standing,
};
use crate::time::UnixTime;
use crate::workload::{BreakGlass, Request, RequestedImage};
use std::sync::Arc;

/// A request with its rule chosen, waiting for evidence (or not).
#[derive(Debug)]
pub struct Plan {
    images: Vec<(RequestedImage, Step)>,
    effect: Effect,
    rule: Option<RuleSource>,
    policy: Option<Arc<PolicyLabel>>,
}

#[derive(Debug)]
enum Step {
    Settled(Reason),
    Ask(PinnedImage, Vec<Asked>),
}

#[derive(Debug)]
enum Asked {
    Known(Arc<Attestor>),
    Missing(AttestorName),
}

impl Plan {
    /// What the shell must find out. Empty: nothing, do not touch the network or a disk.
    pub fn questions(&self) -> impl Iterator<Item = Question<'_>> {
        self.images.iter().flat_map(|(_, step)| {
            let (image, asked) = match step {
                Step::Ask(image, asked) => (Some(image), asked.as_slice()),
                Step::Settled(_) => (None, [].as_slice()),
            };
            asked.iter().filter_map(move |asked| match (image, asked) {
                (Some(image), Asked::Known(attestor)) if !attestor.keys().is_empty() => {
                    Some(Question { attestor, image })
                }
                _ => None,
            })
        })
    }

    /// Whether the emergency door is open.
    pub fn is_break_glass(&self) -> bool {
        matches!(self.effect, Effect::BrokenGlass { .. })
    }
}

/// Chooses the rule for a request and says what must be found out.
pub fn plan(standing: &Standing, request: Request) -> Plan {
    let snapshot = match standing {
        Standing::Registered(snapshot) => snapshot,
        Standing::Unregistered => {
            let cluster = request.subject.cluster.clone();
            return refused(request, &Reason::ClusterNotRegistered(cluster));
        }
        Standing::NoPolicy => {
            let project = request.subject.cluster.project().clone();
            return refused(request, &Reason::NoPolicy(project));
        }
        Standing::Unavailable(why) => return refused(request, &Reason::PolicyUnavailable(why.clone())),
    };
    let label = Some(Arc::clone(&snapshot.label));
    if snapshot.evaluation == Evaluation::Disabled {
        return settled(request, &Reason::EvaluationDisabled, label);
    }
    let chosen = match snapshot.policy.scoped.rule_for(&request.subject) {
        Ok(Some(found)) => Some(found),
        Ok(None) => Some((RuleSource::Default, &snapshot.policy.default_rule)),
        // Exempt images are exempt whoever asks; the others are refused.
        Err(_) => None,
    };
    let enforcement = chosen
        .as_ref()
        .map_or(Enforcement::Block, |(_, rule)| rule.enforcement);
    let effect = effect(request.break_glass.as_ref(), enforcement);
    let images = if request.images.is_empty() {
        vec![no_image(Reason::NoImages)]
    } else {
        let steps = request.images.into_iter().map(|image| {
            let step = step(snapshot, chosen.as_ref(), &image);
            (image, step)
        });
        steps.collect()
    };
    Plan {
        images,
        effect,
        rule: chosen.map(|(source, _)| source),
        policy: label,
    }
}

/// Judges a plan by its answers, at `now`.
pub fn decide(plan: Plan, answers: &Answers, now: UnixTime) -> Decision {
    let findings = plan
        .images
        .into_iter()
        .map(|(image, step)| {
            let reasons = match step {
                Step::Settled(reason) => vec![reason],
                Step::Ask(pinned, asked) => judge(&pinned, &asked, answers, now),
            };
            Finding::new(image.location, image.written, reasons)
        })
        .collect();
    Decision::new(findings, plan.effect, plan.rule, plan.policy)
}

/// The verdict on a request that could not be judged: a denial, unless the glass is broken.
pub fn refuse(reason: Reason, break_glass: Option<&BreakGlass>) -> Decision {
    let finding = Finding::new(String::new(), "".into(), vec![reason.into_refusal()]);
    Decision::new(vec![finding], effect(break_glass, Enforcement::Block), None, None)
}

fn effect(break_glass: Option<&BreakGlass>, enforcement: Enforcement) -> Effect {
    match (break_glass, enforcement) {
        (Some(opened), _) => Effect::BrokenGlass {
            justification: opened.justification().to_owned(),
        },
        (None, Enforcement::DryRun) => Effect::DryRun,
        (None, Enforcement::Block) => Effect::Enforced,
    }
}

fn refused(request: Request, reason: &Reason) -> Plan {
    settled(request, reason, None)
}

/// The same reason for every image; one without an image if there is none, so that nothing conforms by being empty.
fn settled(request: Request, reason: &Reason, policy: Option<Arc<PolicyLabel>>) -> Plan {
    let effect = effect(request.break_glass.as_ref(), Enforcement::Block);
    let images = if request.images.is_empty() {
        vec![no_image(reason.clone())]
    } else {
        request
            .images
            .into_iter()
            .map(|image| (image, Step::Settled(reason.clone())))
            .collect()
    };
    Plan {
        images,
        effect,
        rule: None,
        policy,
    }
}

fn no_image(reason: Reason) -> (RequestedImage, Step) {
    (RequestedImage::new("", ""), Step::Settled(reason))
}

fn step(snapshot: &Snapshot, chosen: Option<&(RuleSource, &AdmissionRule)>, image: &RequestedImage) -> Step {
    if let Ok(reference) = &image.reference
        && let Some(reason) = exemption(snapshot, reference)
    {
        return Step::Settled(reason);
    }
    let Some((source, rule)) = chosen else {
        return Step::Settled(Reason::SubjectUnknown);
    };
    let attestors = match &rule.rule {
        Rule::AlwaysAllow => return Step::Settled(Reason::AlwaysAllow),
        Rule::AlwaysDeny => return Step::Settled(Reason::AlwaysDeny(source.clone())),
        Rule::RequireAttestations(attestors) => attestors,
    };
    match &image.reference {
        Err(why) => Step::Settled(Reason::InvalidReference {
            why: why.clone(),
            attestor: attestors.first().clone(),
        }),
        Ok(ImageRef::Tagged(_)) => Step::Settled(Reason::NotPinned(attestors.first().clone())),
        Ok(ImageRef::Pinned(pinned)) => {
            let asked = attestors
                .iter()
                .map(|name| match snapshot.attestors.get(name) {
                    Some(attestor) => Asked::Known(Arc::clone(attestor)),
                    None => Asked::Missing(name.clone()),
                })
                .collect();
            Step::Ask(pinned.clone(), asked)
        }
    }
}

fn exemption(snapshot: &Snapshot, image: &ImageRef) -> Option<Reason> {
    let system = match snapshot.policy.global_evaluation {
        GlobalEvaluation::Enable => snapshot.system.exempting(image),
        GlobalEvaluation::Disable => None,
    };
    if let Some(pattern) = system {
        return Some(Reason::SystemImage(pattern.clone()));
    }
    let pattern = snapshot.policy.allowlist.exempting(image)?;
    Some(Reason::Allowlisted(pattern.clone()))
}

/// One reason per attestor: all must be satisfied, and every one that is not says so.
fn judge(image: &PinnedImage, asked: &[Asked], answers: &Answers, now: UnixTime) -> Vec<Reason> {
    asked
        .iter()
        .map(|asked| match asked {
            Asked::Missing(name) => Reason::AttestorMissing(name.clone()),
            Asked::Known(attestor) if attestor.keys().is_empty() => {
                Reason::AttestorWithoutKeys(attestor.name().clone())
            }
            Asked::Known(attestor) => testimony(attestor, image, answers.to(attestor, image), now),
        })
        .collect()
}

fn testimony(attestor: &Attestor, image: &PinnedImage, answer: Option<&Answer>, now: UnixTime) -> Reason {
    let name = attestor.name().clone();
    match answer {
        Some(Answer::Found(evidence)) => match evidence
            .proofs
            .iter()
            .find(|proof| proof.covers(attestor, image, now))
        {
            Some(proof) => Reason::Attested {
                attestor: name,
                occurrence: proof.occurrence().clone(),
                key_id: Arc::clone(proof.key_id()),
            },
            None if evidence.proofs.is_empty() && evidence.rejected.is_empty() => {
                Reason::NoAttestations(name)
            }
            None => Reason::NoValidAttestations {
                attestor: name,
                rejected: rejections(evidence, attestor, image, now),
            },
        },
        Some(Answer::Unavailable(why)) => Reason::EvidenceUnavailable {
            attestor: name,
            why: why.clone(),
        },
        Some(Answer::Deadline) => Reason::Deadline,
        None => Reason::EvidenceUnavailable {
            attestor: name,
            why: "the question was not asked".to_owned(),
        },
    }
}

/// What is wrong with each attestation, those that were proven for something else among them.
fn rejections(
    evidence: &Evidence,
    attestor: &Attestor,
    image: &PinnedImage,
    now: UnixTime,
) -> Vec<(OccurrenceName, Rejected)> {
    let proofs = evidence.proofs.iter().filter_map(|proof| {
        let shortfall = proof.shortfall(attestor, image, now)?;
        Some((proof.occurrence().clone(), shortfall))
    });
    evidence.rejected.iter().cloned().chain(proofs).collect()
}
