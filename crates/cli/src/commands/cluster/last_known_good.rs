//! What `install` writes so that what runs may start again while no server answers, and how it takes that away.

use binauthz_kubernetes::last_known_good::{self, Force, LastKnownGood, prove_in_force};
use binauthz_kubernetes::{Api, ApiError, CANARY_NAMESPACE, Guard, is_managed};
use serde_json::Value;

use super::server::{self, Change};
use crate::{failure::Failure, output};

/// How the API server begins when it has the policy and not yet its list.
const NO_LIST: &str = "failed to configure";

/// Every object of a guard, in the order in which they are written: first those that a server keeps from then on.
fn objects(guard: &Guard) -> (Vec<Value>, Vec<Value>) {
    let Some(namespace) = &guard.last_known_good else {
        return (Vec::new(), Vec::new());
    };
    let shipped = LastKnownGood {
        namespace,
        exempt: &guard.exempt,
    };
    let mut same = shipped.objects().to_vec();
    if guard.endpoint.own_namespace() == Some(namespace) {
        same.extend(shipped.rights());
    }
    (shipped.kept().to_vec(), same)
}

/// As manifests.
pub(super) fn manifests(guard: &Guard) -> Vec<Value> {
    let (kept, same) = objects(guard);
    [kept, same].concat()
}

/// What they take to be as they shall be. What a server keeps is left alone where it is there.
pub(super) async fn changes(api: &Api, guard: &Guard) -> Result<Vec<Change>, Failure> {
    let (kept, same) = objects(guard);
    let mut changes = Vec::new();
    for object in &kept {
        match api.read(&server::path(object)?).await? {
            Some(found) if is_managed(&found) => {}
            Some(_) => {
                return Err(Failure::refused(format_args!(
                    "the cluster has a {} that `cluster install` did not make",
                    server::shown(object)
                )));
            }
            None => changes.push(Change::Create(object.clone())),
        }
    }
    for object in &same {
        changes.extend(server::change(api, object).await?);
    }
    Ok(changes)
}

/// Sees that the API server judges by the policy and has its list, before it is asked less.
pub(super) async fn prove(api: &Api) -> Result<(), Failure> {
    let is_ready = |force: &Force| match force {
        Force::InForce => true,
        Force::OtherList(said) => !said.starts_with(NO_LIST),
        Force::NotInForce => false,
    };
    match prove_in_force(api, CANARY_NAMESPACE, is_ready).await? {
        force if is_ready(&force) => Ok(()),
        Force::OtherList(said) => Err(Failure::refused(format_args!(
            "the API server does not find the list of what is last known to be good: {said}"
        ))),
        _ => Err(Failure::refused(
            "the API server does not judge by ValidatingAdmissionPolicies",
        )
        .advise("that takes Kubernetes 1.30 or later; without --last-known-good nothing starts while no server answers")),
    }
}

/// What of it is there, as a plan shows it. Nothing for somebody who may not see it: the webhooks can be removed with fewer
/// rights.
pub(super) async fn shown(api: &Api) -> Result<Vec<String>, Failure> {
    match last_known_good::installed(api).await {
        Err(ApiError::Refused { http: 403, .. }) => {
            output::note(
                "whether there is a list of what was last known to be good may not be seen with these rights",
            );
            Ok(Vec::new())
        }
        found => Ok(found?
            .iter()
            .map(|(_, object)| last_known_good::shown(object))
            .collect()),
    }
}
