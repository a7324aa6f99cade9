//! The verdict as a value, built once. The reply, the record, the metric and the alert are
//! renderings of it; none of them can change it.

use crate::attestation::Rejected;
use crate::image::{ImagePattern, InvalidImageRef};
use crate::name::{AttestorName, ClusterName, OccurrenceName, ProjectId};
use crate::policy::{PolicyLabel, RuleSource};
use std::sync::Arc;

/// Why an image (or a whole request) conforms or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The policy's allowlist exempts it.
    Allowlisted(ImagePattern),
    /// The system policy exempts it.
    SystemImage(ImagePattern),
    /// The rule allows everything.
    AlwaysAllow,
    /// The cluster does not enforce the policy.
    EvaluationDisabled,
    /// An attestor vouches for it.
    Attested {
        /// The attestor.
        attestor: AttestorName,
        /// The occurrence that proves it.
        occurrence: OccurrenceName,
        /// The attestor's key that signed.
        key_id: Arc<str>,
    },
    /// The rule denies everything.
    AlwaysDeny(RuleSource),
    /// What is written is no image reference, where an attestation is required.
    InvalidReference {
        /// What is wrong with it.
        why: InvalidImageRef,
        /// The first attestor required.
        attestor: AttestorName,
    },
    /// A tag where attestations are required.
    NotPinned(AttestorName),
    /// The attestor has not attested the digest.
    NoAttestations(AttestorName),
    /// There are attestations, and none is good.
    NoValidAttestations {
        /// The attestor.
        attestor: AttestorName,
        /// What is wrong with each.
        rejected: Vec<(OccurrenceName, Rejected)>,
    },
    /// The policy names an attestor that does not exist.
    AttestorMissing(AttestorName),
    /// The attestor has no keys.
    AttestorWithoutKeys(AttestorName),
    /// The evidence could not be looked at.
    EvidenceUnavailable {
        /// The attestor asked about.
        attestor: AttestorName,
        /// Why.
        why: String,
    },
    /// The rule depends on a service account the request does not carry.
    SubjectUnknown,
    /// A workload without any image.
    NoImages,
    /// The cluster in the request's path is not registered.
    ClusterNotRegistered(ClusterName),
    /// The project has no policy and one is required.
    NoPolicy(ProjectId),
    /// The policy could not be read.
    PolicyUnavailable(String),
    /// The emergency door was to open, and whoever asks may not open it.
    BreakGlassClosed(String),
    /// The request could not be understood.
    Unreviewable(String),
    /// The verdict could not be recorded.
    AuditUnavailable,
    /// There was no time left.
    Deadline,
    /// The server is at its limit of concurrent requests.
    Overloaded,
    /// A defect of ours.
    Internal,
}

impl Reason {
    /// Whether an image with this reason passes.
    pub const fn conforms(&self) -> bool {
        matches!(
            self,
            Self::Allowlisted(_)
                | Self::SystemImage(_)
                | Self::AlwaysAllow
                | Self::EvaluationDisabled
                | Self::Attested { .. }
        )
    }

    /// Whether it says that the question could not be answered, and nothing of the image: with its evidence, its time or
    /// its defect mended, the same question may have any answer.
    pub const fn is_inconclusive(&self) -> bool {
        matches!(
            self,
            Self::EvidenceUnavailable { .. }
                | Self::PolicyUnavailable(_)
                | Self::AuditUnavailable
                | Self::Deadline
                | Self::Overloaded
                | Self::Internal
        )
    }

    /// A stable code, from a fixed set.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Allowlisted(_) => "ALLOWLISTED",
            Self::SystemImage(_) => "SYSTEM_IMAGE",
            Self::AlwaysAllow => "ALWAYS_ALLOW",
            Self::EvaluationDisabled => "EVALUATION_DISABLED",
            Self::Attested { .. } => "ATTESTED",
            Self::AlwaysDeny(_) => "ALWAYS_DENY",
            Self::InvalidReference { .. } => "INVALID_REFERENCE",
            Self::NotPinned(_) => "NOT_PINNED",
            Self::NoAttestations(_) => "NO_ATTESTATIONS",
            Self::NoValidAttestations { .. } => "NO_VALID_ATTESTATIONS",
            Self::AttestorMissing(_) => "ATTESTOR_MISSING",
            Self::AttestorWithoutKeys(_) => "ATTESTOR_WITHOUT_KEYS",
            Self::EvidenceUnavailable { .. } => "EVIDENCE_UNAVAILABLE",
            Self::SubjectUnknown => "SUBJECT_UNKNOWN",
            Self::NoImages => "NO_IMAGES",
            Self::ClusterNotRegistered(_) => "CLUSTER_NOT_REGISTERED",
            Self::NoPolicy(_) => "NO_POLICY",
            Self::PolicyUnavailable(_) => "POLICY_UNAVAILABLE",
            Self::BreakGlassClosed(_) => "BREAK_GLASS_CLOSED",
            Self::Unreviewable(_) => "UNREVIEWABLE",
            Self::AuditUnavailable => "AUDIT_UNAVAILABLE",
            Self::Deadline => "DEADLINE",
            Self::Overloaded => "OVERLOADED",
            Self::Internal => "INTERNAL",
        }
    }

    /// Every code there is, for metrics and documentation.
    pub const CODES: [&'static str; 24] = [
        "ALLOWLISTED",
        "SYSTEM_IMAGE",
        "ALWAYS_ALLOW",
        "EVALUATION_DISABLED",
        "ATTESTED",
        "ALWAYS_DENY",
        "INVALID_REFERENCE",
        "NOT_PINNED",
        "NO_ATTESTATIONS",
        "NO_VALID_ATTESTATIONS",
        "ATTESTOR_MISSING",
        "ATTESTOR_WITHOUT_KEYS",
        "EVIDENCE_UNAVAILABLE",
        "SUBJECT_UNKNOWN",
        "NO_IMAGES",
        "CLUSTER_NOT_REGISTERED",
        "NO_POLICY",
        "POLICY_UNAVAILABLE",
        "BREAK_GLASS_CLOSED",
        "UNREVIEWABLE",
        "AUDIT_UNAVAILABLE",
        "DEADLINE",
        "OVERLOADED",
        "INTERNAL",
    ];

    /// A reason for refusing; one that would pass is a defect of the caller, and denies as such.
    pub(crate) fn into_refusal(self) -> Self {
        if self.conforms() { Self::Internal } else { self }
    }

    /// The sentence for a person, about `image` (as written in the workload).
    pub fn sentence(&self, image: &str) -> String {
        match self {
            Self::Allowlisted(pattern) => {
                format!("Image {image} is exempt by the policy's pattern {pattern}")
            }
            Self::SystemImage(pattern) => {
                format!("Image {image} is exempt by the system policy's pattern {pattern}")
            }
            Self::AlwaysAllow => format!("Image {image} allowed by an ALWAYS_ALLOW admission rule"),
            Self::EvaluationDisabled => {
                format!("Image {image} was not evaluated: the cluster does not enforce the policy")
            }
            Self::Attested {
                attestor,
                occurrence,
                key_id,
            } => {
                format!("Image {image} attested by attestor {attestor} ({occurrence}, key {key_id})")
            }
            Self::AlwaysDeny(rule) => {
                format!(
                    "Image {image} denied by Binary Authorization {rule}. Denied by always_deny admission rule"
                )
            }
            Self::InvalidReference { .. }
            | Self::NotPinned(_)
            | Self::NoAttestations(_)
            | Self::NoValidAttestations { .. }
            | Self::AttestorMissing(_)
            | Self::AttestorWithoutKeys(_)
            | Self::EvidenceUnavailable { .. } => self.attestor_sentence(image),
            Self::SubjectUnknown => format!(
                "Image {image} denied by Binary Authorization: the policy's rules depend on the service account, which an ImageReview does not carry; use the validating webhook"
            ),
            Self::NoImages => "The workload names no image".to_owned(),
            Self::ClusterNotRegistered(cluster) => format!(
                "Denied by Binary Authorization: cluster {cluster} is not registered; register it with `binauthz clusters create`"
            ),
            Self::NoPolicy(project) => format!(
                "Denied by Binary Authorization: project {project} has no policy and this server requires one; set it with `binauthz policy import`"
            ),
            Self::PolicyUnavailable(why) => {
                format!("Denied by Binary Authorization: the policy could not be read: {why}")
            }
            Self::BreakGlassClosed(why) => {
                format!("Denied by Binary Authorization: break-glass does not open: {why}")
            }
            Self::Unreviewable(why) => format!("Denied by Binary Authorization: {why}"),
            Self::AuditUnavailable => {
                "Denied by Binary Authorization: the verdict could not be recorded".to_owned()
            }
            Self::Deadline => {
                "Denied by Binary Authorization: the time given for the decision ran out".to_owned()
            }
            Self::Overloaded => "Denied by Binary Authorization: too many requests at once".to_owned(),
            Self::Internal => "Denied by Binary Authorization: internal error".to_owned(),
        }
    }

    /// `Image I denied by attestor A: …`, the form that people and log queries know.
    fn attestor_sentence(&self, image: &str) -> String {
        let (attestor, why) = match self {
            Self::NotPinned(attestor) => (
                attestor,
                format!(
                    "No attestations found. Expected digest with sha256 scheme, but got tag or malformed digest; find the digest with `binauthz images describe {image}` and deploy IMAGE@sha256:DIGEST"
                ),
            ),
            Self::InvalidReference { why, attestor } => (
                attestor,
                format!(
                    "No attestations found. Expected digest with sha256 scheme, but got tag or malformed digest: {why}"
                ),
            ),
            Self::NoAttestations(attestor) => (attestor, "No attestations found".to_owned()),
            Self::NoValidAttestations { attestor, rejected } => (attestor, not_valid(rejected)),
            Self::AttestorMissing(attestor) => (attestor, "the attestor does not exist".to_owned()),
            Self::AttestorWithoutKeys(attestor) => (
                attestor,
                "No attestations found that were valid and signed by a key trusted by the attestor: the attestor has no public keys".to_owned(),
            ),
            Self::EvidenceUnavailable { attestor, why } => (attestor, format!("the attestations could not be read: {why}")),
            _ => return String::new(),
        };
        format!("Image {image} denied by attestor {attestor}: {why}")
    }
}

/// The sentence for attestations that are all bad, with the first one's fault.
fn not_valid(rejected: &[(OccurrenceName, Rejected)]) -> String {
    let general = "No attestations found that were valid and signed by a key trusted by the attestor";
    match rejected.first() {
        Some((_, why)) => format!("{general}: {why}"),
        None => general.to_owned(),
    }
}

/// What was found out about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    location: String,
    image: Arc<str>,
    reasons: Vec<Reason>,
}

impl Finding {
    pub(crate) fn new(location: String, image: Arc<str>, reasons: Vec<Reason>) -> Self {
        Self {
            location,
            image,
            reasons,
        }
    }

    /// The field the image was read from.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The image as written.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Every reason, one per attestor where several were asked.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether the image passes: every reason says so, and there is one.
    pub fn conforms(&self) -> bool {
        !self.reasons.is_empty() && self.reasons.iter().all(Reason::conforms)
    }

    /// The reasons it does not pass.
    pub fn objections(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(|reason| !reason.conforms())
    }
}

/// What the verdict does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A violation is refused.
    Enforced,
    /// A violation is recorded and admitted.
    DryRun,
    /// The author of the workload opened the emergency door.
    BrokenGlass {
        /// Why, in the author's words; may be empty.
        justification: String,
    },
}

impl Effect {
    /// A stable word from a fixed set.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Enforced => "ENFORCED",
            Self::DryRun => "DRY_RUN",
            Self::BrokenGlass { .. } => "BREAK_GLASS",
        }
    }
}

/// The verdict on one request. It has no `Default` and no setters, and [`Decision::admitted`] is
/// computed, not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    findings: Vec<Finding>,
    effect: Effect,
    rule: Option<RuleSource>,
    policy: Option<Arc<PolicyLabel>>,
}

impl Decision {
    pub(crate) fn new(
        findings: Vec<Finding>,
        effect: Effect,
        rule: Option<RuleSource>,
        policy: Option<Arc<PolicyLabel>>,
    ) -> Self {
        Self {
            findings,
            effect,
            rule,
            policy,
        }
    }

    /// What was found, image by image.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What the verdict does.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// The rule that applied, if one was reached.
    pub fn rule(&self) -> Option<&RuleSource> {
        self.rule.as_ref()
    }

    /// The policy that decided, if one was reached.
    pub fn policy(&self) -> Option<&PolicyLabel> {
        self.policy.as_deref()
    }

    /// Whether the workload follows the policy: there is a finding, and every one conforms.
    pub fn conforms(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(Finding::conforms)
    }

    /// Whether the workload may run.
    pub fn admitted(&self) -> bool {
        match self.effect {
            Effect::Enforced => self.conforms(),
            Effect::DryRun | Effect::BrokenGlass { .. } => true,
        }
    }

    /// Whether a violation was let through.
    pub fn overridden(&self) -> bool {
        self.admitted() && !self.conforms()
    }

    /// The reason that stands for the decision: the first objection, or the first reason.
    pub fn reason(&self) -> Option<&Reason> {
        let objection = self.findings.iter().flat_map(Finding::objections).next();
        let first = || self.findings.iter().flat_map(Finding::reasons).next();
        objection.or_else(first)
    }

    /// Its code.
    pub fn reason_code(&self) -> &'static str {
        self.reason().map_or("INTERNAL", Reason::code)
    }

    /// An objection that is none against an image: what the decision would be without it is not known.
    pub fn inconclusive(&self) -> Option<&Reason> {
        let mut objections = self.findings.iter().flat_map(Finding::objections);
        objections.find(|objection| objection.is_inconclusive())
    }

    /// Why the workload does not conform, for a person: one sentence per objection.
    pub fn denial(&self) -> String {
        let mut sentences: Vec<String> = Vec::new();
        for finding in &self.findings {
            for objection in finding.objections() {
                let sentence = objection.sentence(&finding.image);
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
        }
        sentences.join(" ")
    }

    /// The overridden verdict as Google's audit label `overridden-verification-result` writes it.
    pub fn overridden_result(&self) -> String {
        let mut result = String::new();
        for finding in &self.findings {
            for objection in finding.objections() {
                let sentence = match objection {
                    Reason::AlwaysDeny(_) => "Denied by an ALWAYS_DENY admission rule".to_owned(),
                    other => other.sentence(&finding.image),
                };
                result.push_str(&format!("'{}' : {sentence}\n", finding.image));
            }
        }
        result
    }
}

/// What a decision of this effect becomes when it could not be recorded: an enforced (or dry-run) one is denied. None
/// for a broken glass, which stays open; the caller must shout.
pub fn unrecorded(effect: &Effect) -> Option<Decision> {
    match effect {
        Effect::BrokenGlass { .. } => None,
        Effect::Enforced | Effect::DryRun => {
            let finding = Finding::new(String::new(), "".into(), vec![Reason::AuditUnavailable]);
            Some(Decision::new(vec![finding], Effect::Enforced, None, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTESTOR: &str = "projects/YOUR_PROJECT/attestors/image-signing-attestor";
    const IMAGE: &str = "us-central1-docker.pkg.dev/YOUR_PROJECT/app/unattested-image";

    /// The refusal that the tutorial prints. People search their logs for it, so it does not change.
    #[test]
    fn the_tutorials_sentence_is_ours() {
        let attestor: AttestorName = ATTESTOR.parse().unwrap();
        let tagged = format!("{IMAGE}:latest");
        let printed = format!("Image {tagged} denied by attestor {ATTESTOR}: No attestations found");
        for reason in [
            Reason::NotPinned(attestor.clone()),
            // With the placeholder in it the name is no reference: paths have no capitals.
            Reason::InvalidReference {
                why: InvalidImageRef::Path,
                attestor: attestor.clone(),
            },
        ] {
            let sentence = reason.sentence(&tagged);
            assert!(sentence.starts_with(&format!("{printed}. ")), "{sentence}");
        }
        let pinned = format!("{IMAGE}@sha256:{}", "0".repeat(64));
        assert_eq!(
            Reason::NoAttestations(attestor).sentence(&pinned),
            format!("Image {pinned} denied by attestor {ATTESTOR}: No attestations found")
        );
    }

    fn objecting(reasons: Vec<Reason>) -> Decision {
        let finding = Finding::new("spec.containers[0]".to_owned(), "a".into(), reasons);
        Decision::new(vec![finding], Effect::Enforced, None, None)
    }

    #[test]
    fn nothing_found_is_not_conforming() {
        assert!(!Decision::new(Vec::new(), Effect::Enforced, None, None).conforms());
        assert!(!objecting(Vec::new()).conforms());
        assert!(objecting(vec![Reason::AlwaysAllow]).conforms());
        assert!(!objecting(vec![Reason::AlwaysAllow, Reason::Internal]).conforms());
    }

    #[test]
    fn not_to_be_able_to_tell_is_no_objection_against_an_image() {
        let attestor: AttestorName = ATTESTOR.parse().unwrap();
        let evidence = Reason::EvidenceUnavailable {
            attestor: attestor.clone(),
            why: "the store does not answer".to_owned(),
        };
        for reason in [
            evidence,
            Reason::PolicyUnavailable(String::new()),
            Reason::AuditUnavailable,
            Reason::Deadline,
            Reason::Overloaded,
            Reason::Internal,
        ] {
            let among_others = objecting(vec![
                Reason::AlwaysAllow,
                Reason::NoAttestations(attestor.clone()),
                reason.clone(),
            ]);
            assert_eq!(among_others.inconclusive(), Some(&reason));
            assert_eq!(among_others.reason_code(), "NO_ATTESTATIONS");
        }
        for reason in [
            Reason::AlwaysAllow,
            Reason::AlwaysDeny(RuleSource::Default),
            Reason::NoAttestations(attestor.clone()),
            Reason::AttestorMissing(attestor.clone()),
            Reason::NotPinned(attestor),
            Reason::NoImages,
            Reason::SubjectUnknown,
            Reason::Unreviewable(String::new()),
        ] {
            assert_eq!(objecting(vec![reason]).inconclusive(), None);
        }
        assert_eq!(objecting(Vec::new()).inconclusive(), None);
    }

    #[test]
    fn without_a_record_only_broken_glass_stays_open() {
        let effects = [
            (Effect::Enforced, false),
            (Effect::DryRun, false),
            (
                Effect::BrokenGlass {
                    justification: String::new(),
                },
                true,
            ),
        ];
        for (effect, admitted) in effects {
            for reason in [Reason::AlwaysAllow, Reason::Internal] {
                let finding = Finding::new(String::new(), "a".into(), vec![reason]);
                let decision = Decision::new(vec![finding], effect.clone(), None, None);
                let became = unrecorded(decision.effect()).unwrap_or(decision);
                assert_eq!(became.admitted(), admitted, "{effect:?}");
            }
        }
    }

    #[test]
    fn a_refusal_cannot_be_made_of_a_reason_to_admit() {
        assert_eq!(Reason::AlwaysAllow.into_refusal(), Reason::Internal);
        assert_eq!(Reason::Deadline.into_refusal(), Reason::Deadline);
    }

    #[test]
    fn the_overridden_result_has_a_line_per_objection() {
        let always = Reason::AlwaysDeny(RuleSource::Default);
        let decision = objecting(vec![always, Reason::AlwaysAllow, Reason::Overloaded]);
        assert_eq!(
            decision.overridden_result(),
            "'a' : Denied by an ALWAYS_DENY admission rule\n'a' : Denied by Binary Authorization: too many requests at once\n"
        );
    }
}
