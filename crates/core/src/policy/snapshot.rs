//! Everything one verdict is decided from, frozen.

use super::{Policy, SystemPolicy};
use crate::attestor::Attestor;
use crate::name::AttestorName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether the project's policy is enforced on a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// `DISABLED`, or a mode with platform-policy monitoring only: nothing is judged.
    Disabled,
    /// `PROJECT_SINGLETON_POLICY_ENFORCE` and the modes that include it.
    Enforced,
}

/// Which policy decided, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLabel {
    /// `projects/PROJECT/policy`.
    pub name: String,
    /// Its etag; empty for the default policy of a project that set none.
    pub etag: String,
}

/// A policy with the attestors it names and the system policy, for one cluster.
///
/// Immutable: a change makes a new one, so that no verdict sees half of a change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which policy this is.
    pub label: Arc<PolicyLabel>,
    /// The policy.
    pub policy: Policy,
    /// The system policy.
    pub system: SystemPolicy,
    /// The attestors the policy names that exist. One that is missing here denies.
    pub attestors: BTreeMap<AttestorName, Arc<Attestor>>,
    /// Whether the cluster enforces it.
    pub evaluation: Evaluation,
}

/// What is known about the cluster that asks.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It is registered; this decides.
    Registered(Arc<Snapshot>),
    /// Nobody registered it.
    Unregistered,
    /// Its project has no policy and the server was told to require one.
    NoPolicy,
    /// Could not be found out, and why.
    Unavailable(String),
}
