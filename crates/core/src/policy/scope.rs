//! Which rule applies to whom.

use super::AdmissionRule;
use crate::name::ClusterKey;
use crate::workload::{MeshIdentity, Namespace, ServiceAccount, Subject};
use std::collections::BTreeMap;
use std::fmt;

/// The scoped rules of a policy. One kind at most, as Google's v1 documents: two maps are not a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scoped {
    /// Only the default rule.
    None,
    /// `clusterAdmissionRules`.
    ByCluster(BTreeMap<ClusterKey, AdmissionRule>),
    /// `kubernetesNamespaceAdmissionRules`.
    ByNamespace(BTreeMap<Namespace, AdmissionRule>),
    /// `kubernetesServiceAccountAdmissionRules`.
    ByServiceAccount(BTreeMap<ServiceAccount, AdmissionRule>),
    /// `istioServiceIdentityAdmissionRules`.
    ByMeshIdentity(BTreeMap<MeshIdentity, AdmissionRule>),
}

/// Where the rule that applies was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// `defaultAdmissionRule`.
    Default,
    /// A cluster's rule.
    Cluster(ClusterKey),
    /// A namespace's rule.
    Namespace(Namespace),
    /// A service account's rule.
    ServiceAccount(ServiceAccount),
    /// A mesh identity's rule.
    MeshIdentity(MeshIdentity),
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default admission rule"),
            Self::Cluster(key) => write!(f, "cluster admission rule for {key}"),
            Self::Namespace(key) => write!(f, "namespace admission rule for {key}"),
            Self::ServiceAccount(key) => write!(f, "service account admission rule for {key}"),
            Self::MeshIdentity(key) => write!(f, "service identity admission rule for {key}"),
        }
    }
}

/// The rule depends on something the request does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownSubject;

impl Scoped {
    /// Every scoped rule.
    pub(super) fn rules(&self) -> Box<dyn Iterator<Item = &AdmissionRule> + Send + '_> {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::ByCluster(rules) => Box::new(rules.values()),
            Self::ByNamespace(rules) => Box::new(rules.values()),
            Self::ByServiceAccount(rules) => Box::new(rules.values()),
            Self::ByMeshIdentity(rules) => Box::new(rules.values()),
        }
    }

    /// The scoped rule for `subject`; `None` means that the default rule applies.
    pub(crate) fn rule_for(
        &self,
        subject: &Subject,
    ) -> Result<Option<(RuleSource, &AdmissionRule)>, UnknownSubject> {
        Ok(match self {
            Self::None => None,
            Self::ByCluster(rules) => {
                let key = ClusterKey::from(&subject.cluster);
                rules.get(&key).map(|rule| (RuleSource::Cluster(key), rule))
            }
            Self::ByNamespace(rules) => {
                let key = &subject.namespace;
                rules
                    .get(key)
                    .map(|rule| (RuleSource::Namespace(key.clone()), rule))
            }
            Self::ByServiceAccount(rules) if !rules.is_empty() => {
                let key = subject.service_account.as_ref().ok_or(UnknownSubject)?;
                rules
                    .get(key)
                    .map(|rule| (RuleSource::ServiceAccount(key.clone()), rule))
            }
            Self::ByMeshIdentity(rules) if !rules.is_empty() => {
                let key = subject.mesh_identity.as_ref().ok_or(UnknownSubject)?;
                rules
                    .get(key)
                    .map(|rule| (RuleSource::MeshIdentity(key.clone()), rule))
            }
            Self::ByServiceAccount(_) | Self::ByMeshIdentity(_) => None,
        })
    }
}
