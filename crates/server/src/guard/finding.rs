//! What can be wrong with a cluster's guard.

use binauthz_kubernetes::Configuration;
use binauthz_wire::logging::Severity;

/// Longest text that comes from a cluster, in characters. A hundred of them are a record of 40 KB.
const TEXT_MAX: usize = 400;
/// Differences that are named.
const DIFFERENCES_MAX: usize = 32;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// The API server admits a Pod that is denied here: it does not ask, or somebody else answers.
    Admitted,
    /// It is admitted here, too: a policy or an evaluation mode lets everything in.
    AdmittedByPolicy,
    /// The API server gets no answer of the webhook.
    NoAnswer(String),
    /// Something else refused the Pod before the webhook was asked.
    NotTried(String),
    /// There is no way to the API server, or no right to look.
    Unreached(String),
    /// The configurations cannot be told of a new certificate authority.
    NotRenewed(String),
    /// A webhook configuration is not there.
    Missing(Configuration),
    /// It is not as it is shipped.
    Weakened(Configuration, Vec<String>),
    /// It asks elsewhere, trusts somebody else or leaves out other namespaces than it did.
    Changed(Vec<String>),
    /// What was last known to be good is not kept as it should be.
    NotKept(String),
    /// It decided, because no server answered.
    WasDecided(String),
}

impl Finding {
    /// Its name, for filters and metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Admitted => "CANARY_ADMITTED",
            Self::AdmittedByPolicy => "CANARY_ADMITTED_BY_POLICY",
            Self::NoAnswer(_) => "WEBHOOK_NOT_REACHED",
            Self::NotTried(_) => "CANARY_NOT_TRIED",
            Self::Unreached(_) => "CLUSTER_NOT_REACHED",
            Self::NotRenewed(_) => "TRUST_NOT_RENEWED",
            Self::Missing(_) => "CONFIGURATION_MISSING",
            Self::Weakened(..) => "CONFIGURATION_WEAKENED",
            Self::Changed(_) => "CONFIGURATION_CHANGED",
            Self::NotKept(_) => "LAST_KNOWN_GOOD_NOT_KEPT",
            Self::WasDecided(_) => "LAST_KNOWN_GOOD_DECIDED",
        }
    }

    /// Every name.
    pub(super) const CODES: [&'static str; 11] = [
        "CANARY_ADMITTED",
        "CANARY_ADMITTED_BY_POLICY",
        "WEBHOOK_NOT_REACHED",
        "CANARY_NOT_TRIED",
        "CLUSTER_NOT_REACHED",
        "TRUST_NOT_RENEWED",
        "CONFIGURATION_MISSING",
        "CONFIGURATION_WEAKENED",
        "CONFIGURATION_CHANGED",
        "LAST_KNOWN_GOOD_NOT_KEPT",
        "LAST_KNOWN_GOOD_DECIDED",
    ];

    /// The object that it is about, where there may be several of one name.
    pub(super) fn about(&self) -> &'static str {
        match self {
            Self::Missing(which) | Self::Weakened(which, _) => which.kind(),
            _ => "",
        }
    }

    /// What the operator chose is worth a look; everything else lets something in, or everybody out.
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::AdmittedByPolicy => Severity::Warning,
            Self::NoAnswer(_)
            | Self::NotTried(_)
            | Self::Unreached(_)
            | Self::NotKept(_)
            | Self::NotRenewed(_)
            | Self::WasDecided(_) => Severity::Error,
            Self::Admitted | Self::Missing(_) | Self::Weakened(..) | Self::Changed(_) => Severity::Critical,
        }
    }

    /// Whether it is told only when it is found twice in a row: a restart on either side looks like it, and nothing
    /// unwanted runs meanwhile.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer(_)
                | Self::NotTried(_)
                | Self::Unreached(_)
                | Self::NotRenewed(_)
                | Self::NotKept(_)
        )
    }

    /// It in a sentence.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Admitted => "the API server admits a Pod that nobody attested and that is denied here: it does not ask, or \
                               somebody else answers"
                .to_owned(),
            Self::AdmittedByPolicy => {
                "a Pod that nobody attested is admitted by the policy or the evaluation mode of the cluster".to_owned()
            }
            Self::NoAnswer(why) => format!("the API server gets no answer of the webhook: {}", cut(why)),
            Self::NotTried(why) => format!("a Pod that nobody attested could not be tried: {}", cut(why)),
            Self::Unreached(why) => format!("the cluster cannot be looked at: {}", cut(why)),
            Self::NotKept(why) => format!("what is last known to be good is not kept: {}", cut(why)),
            Self::WasDecided(when) => format!("no server answered, so what was last known to be good decided {}", cut(when)),
            Self::NotRenewed(why) => format!(
                "the webhook configurations cannot be told of the new certificate authority: {}",
                cut(why)
            ),
            Self::Missing(which) => format!("the {} `binauthz` is not there", which.kind()),
            Self::Weakened(which, _) => {
                format!("the {} `binauthz` differs from what is shipped", which.kind())
            }
            Self::Changed(_) => {
                "the webhook configurations ask elsewhere, trust somebody else or leave out other namespaces than before".to_owned()
            }
        }
    }

    /// Where it differs.
    pub(super) fn differences(&self) -> Vec<String> {
        match self {
            Self::Weakened(_, differences) | Self::Changed(differences) => differences
                .iter()
                .take(DIFFERENCES_MAX)
                .map(|text| cut(text))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Whoever may write to the cluster has a say in these texts.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_its_name_and_texts_have_a_limit() {
        let long = "x".repeat(TEXT_MAX * 2);
        let which = Configuration::Validating;
        let all = [
            Finding::Admitted,
            Finding::AdmittedByPolicy,
            Finding::NoAnswer(long.clone()),
            Finding::NotTried(long.clone()),
            Finding::Unreached(long.clone()),
            Finding::NotRenewed(long.clone()),
            Finding::Missing(which),
            Finding::Weakened(which, vec![long.clone(); DIFFERENCES_MAX * 2]),
            Finding::Changed(vec![long.clone()]),
            Finding::NotKept(long.clone()),
            Finding::WasDecided(long),
        ];
        assert_eq!(all.each_ref().map(Finding::code), Finding::CODES);
        for finding in all {
            assert!(finding.message().len() < TEXT_MAX + 200);
            let differences = finding.differences();
            assert!(differences.len() <= DIFFERENCES_MAX);
            assert!(differences.iter().all(|text| text.len() <= TEXT_MAX));
        }
    }
}
