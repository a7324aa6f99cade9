//! Policies: which images are exempt, and whose attestations the others need.

mod allowlist;
mod scope;
mod snapshot;
mod system;

pub use allowlist::Allowlist;
pub use scope::{RuleSource, Scoped};
pub use snapshot::{Evaluation, PolicyLabel, Snapshot, Standing};
pub use system::{SYSTEM_PATTERNS, SYSTEM_POLICY_VERSION, SystemPolicy};

use crate::name::AttestorName;

/// Most allowlist patterns in one policy.
pub const MAX_PATTERNS: usize = 10_000;
/// Most scoped rules in one policy.
pub const MAX_RULES: usize = 10_000;
/// Most attestors one rule may require.
pub const MAX_ATTESTORS_PER_RULE: usize = 50;

/// Whether the system policy exempts images before this policy is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalEvaluation {
    /// It does.
    Enable,
    /// It does not.
    Disable,
}

/// A project's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A note to its readers.
    pub description: String,
    /// Whether the system policy is evaluated first.
    pub global_evaluation: GlobalEvaluation,
    /// Names that need no rule.
    pub allowlist: Allowlist,
    /// Rules for particular subjects.
    pub scoped: Scoped,
    /// The rule for every other subject.
    pub default_rule: AdmissionRule,
}

impl Policy {
    /// What the API returns for a project that never set a policy: everything is allowed.
    pub fn google_default() -> Self {
        Self {
            description: String::new(),
            global_evaluation: GlobalEvaluation::Enable,
            allowlist: Allowlist::default(),
            scoped: Scoped::None,
            default_rule: AdmissionRule {
                rule: Rule::AlwaysAllow,
                enforcement: Enforcement::Block,
            },
        }
    }

    /// Every rule of the policy, the default one last.
    pub fn rules(&self) -> impl Iterator<Item = &AdmissionRule> {
        self.scoped.rules().chain(std::iter::once(&self.default_rule))
    }

    /// Every attestor some rule names (with repetitions).
    pub fn attestors(&self) -> impl Iterator<Item = &AttestorName> {
        self.rules()
            .filter_map(|rule| match &rule.rule {
                Rule::RequireAttestations(attestors) => Some(attestors.iter()),
                Rule::AlwaysAllow | Rule::AlwaysDeny => None,
            })
            .flatten()
    }

    /// Whether some rule can refuse something.
    pub fn enforces_anything(&self) -> bool {
        self.rules()
            .any(|rule| rule.rule != Rule::AlwaysAllow && rule.enforcement == Enforcement::Block)
    }
}

/// A rule and what happens when it is violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRule {
    /// What is needed.
    pub rule: Rule,
    /// What a violation does.
    pub enforcement: Enforcement,
}

/// `evaluationMode` and `requireAttestationsBy` as one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every image passes.
    AlwaysAllow,
    /// No image passes.
    AlwaysDeny,
    /// Every one of these attestors must have vouched for the image.
    RequireAttestations(Attestors),
}

/// At least one attestor, by construction: "require attestation by nobody" cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestors {
    first: AttestorName,
    rest: Vec<AttestorName>,
}

/// Why a list is not a rule's attestors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttestors {
    /// The list is empty.
    #[error("at least one attestor is required when `evaluationMode` is `REQUIRE_ATTESTATION`")]
    Empty,
    /// The list is too long.
    #[error("a rule requires at most {MAX_ATTESTORS_PER_RULE} attestors")]
    TooMany,
    /// One is named twice.
    #[error("the attestor `{0}` is named twice")]
    Duplicate(AttestorName),
}

impl Attestors {
    /// The attestors of a rule, in the order written.
    pub fn new(names: Vec<AttestorName>) -> Result<Self, InvalidAttestors> {
        if names.len() > MAX_ATTESTORS_PER_RULE {
            return Err(InvalidAttestors::TooMany);
        }
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(InvalidAttestors::Duplicate(name.clone()));
            }
        }
        let mut names = names.into_iter();
        let first = names.next().ok_or(InvalidAttestors::Empty)?;
        Ok(Self {
            first,
            rest: names.collect(),
        })
    }

    /// The first one written.
    pub fn first(&self) -> &AttestorName {
        &self.first
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &AttestorName> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// What a violation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// `ENFORCED_BLOCK_AND_AUDIT_LOG`: the workload is refused.
    Block,
    /// `DRYRUN_AUDIT_LOG_ONLY`: the workload is admitted and the violation recorded.
    DryRun,
}
