//! One look at one cluster.

use std::time::Duration;

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{
    Api, ApiError, Canary, Condition, Configuration, Inside, Installed, known_bad_pod, known_bad_pod_denied,
    pod,
};
use binauthz_wire::manifest;

use super::finding::Finding;
use super::keep::keep;
use super::post::Look;
use super::trust::{Ours, Trust, renew};
use crate::admission;
use crate::app::App;
use crate::settings::{GuardedCluster, WebhookCertificate};

/// A look takes some tens of milliseconds, and five seconds more where a Pod is admitted that should not be.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// How a difference begins that is about whom a configuration trusts.
const CA_BUNDLE_DIFFERS: &str = "webhooks[0].clientConfig.caBundle is ";

/// Connects to a cluster. Anew for every look: certificates of a kubeconfig are renewed in their files, and a connection
/// that is kept would go on with the old ones.
pub(crate) fn connect(app: &App, guarded: &GuardedCluster) -> Result<Api, String> {
    let guarding = &app.settings.guard;
    match &guarded.context {
        Some(context) => Api::of_context(guarding.kubeconfig.as_deref(), context).map_err(|error| {
            let advice = error.advice();
            [vec![error.to_string()], advice].concat().join("; ")
        }),
        None => Inside::of_environment(guarding.service_account.as_deref())
            .and_then(|inside| Api::inside(&inside))
            .map_err(|error| error.to_string()),
    }
}

/// Looks at the configurations and, if it is its turn, tries the Pod. A look that takes too long found that.
pub(super) async fn look(app: &App, guarded: &GuardedCluster, with_canary: bool) -> Look {
    let unreached = |why: String| Look {
        configurations: vec![Finding::Unreached(why)],
        ..Look::default()
    };
    let looked = async {
        let api = connect(app, guarded)?;
        let read = Installed::read(&api).await;
        let installed = read.map_err(|error| error.to_string())?;
        let mut look = configurations(app, &api, &guarded.cluster, &installed).await;
        // What was last known to be good is kept only where somebody answers.
        let is_kept = look
            .guard
            .as_ref()
            .is_some_and(|guard| guard.last_known_good.is_some());
        if with_canary || is_kept {
            let found = canary(app, &api, &guarded.cluster).await;
            look.canary = Some(found.map_err(|error| error.to_string())?);
        }
        keep(app, &api, &installed, &mut look).await;
        Ok(look)
    };
    match tokio::time::timeout(LOOK_MAX, looked).await {
        Ok(Ok(look)) => look,
        Ok(Err(why)) => unreached(why),
        Err(_) => unreached(format!("it did not answer within {} s", LOOK_MAX.as_secs())),
    }
}

async fn configurations(app: &App, api: &Api, cluster: &ClusterName, installed: &Installed) -> Look {
    let (trust, not_renewed) = trust(app, api, cluster, installed).await;
    let guard = installed.guard(cluster);
    let conditions = Configuration::ALL.map(|which| (which, installed.condition(guard.as_ref(), which)));
    let is_renewed = trust == Trust::Unknown;
    let findings = conditions
        .into_iter()
        .filter_map(|(which, condition)| finding(which, condition, is_renewed));
    Look {
        configurations: findings.chain(not_renewed).collect(),
        canary: None,
        fails_open: Some(installed.fails_open()),
        trust,
        guard,
    }
}

/// While authorities are written, by this replica or another, the two configurations may trust different ones.
fn finding(which: Configuration, condition: Condition, is_renewed: bool) -> Option<Finding> {
    match condition {
        Condition::AsShipped => None,
        Condition::Missing => Some(Finding::Missing(which)),
        Condition::Differs(mut differences) => {
            differences.retain(|text| !(is_renewed && text.starts_with(CA_BUNDLE_DIFFERS)));
            (!differences.is_empty()).then_some(Finding::Weakened(which, differences))
        }
    }
}

/// Keeps the server's own authorities among those that are trusted.
async fn trust(
    app: &App,
    api: &Api,
    cluster: &ClusterName,
    installed: &Installed,
) -> (Trust, Option<Finding>) {
    let is_given = matches!(app.settings.webhook_certificate, WebhookCertificate::Given(_));
    let Some(certificates) = app.certificates.get().filter(|_| !is_given) else {
        return (Trust::Others, None);
    };
    match renew(api, cluster, installed, &Ours::of(certificates)).await {
        Ok(trust) => (trust, None),
        Err(error) => (Trust::Unknown, Some(Finding::NotRenewed(error.to_string()))),
    }
}

/// Tries the Pod. What this server says of it is asked before and after: a policy that changes in between is no finding.
async fn canary(app: &App, api: &Api, cluster: &ClusterName) -> Result<Option<Finding>, ApiError> {
    let namespace = &app.settings.guard.namespace;
    let admitted_before = would_admit(app, cluster, namespace).await;
    let outcome = match admitted_before {
        true => known_bad_pod(api, namespace).await?,
        // A configuration that was just written may not have taken effect.
        false => known_bad_pod_denied(api, namespace).await?,
    };
    Ok(match outcome {
        Canary::Denied(_) => None,
        Canary::Admitted if admitted_before || would_admit(app, cluster, namespace).await => {
            Some(Finding::AdmittedByPolicy)
        }
        Canary::Admitted => Some(Finding::Admitted),
        Canary::Unanswered(why) => Some(Finding::NoAnswer(why)),
        Canary::Obstructed(why) => Some(Finding::NotTried(why)),
    })
}

/// What the judge of this server says of the Pod. Not knowing is a denial, as in the webhook.
async fn would_admit(app: &App, cluster: &ClusterName, namespace: &str) -> bool {
    let Some(pod) = manifest::read(pod(namespace).to_string().as_bytes())
        .ok()
        .and_then(|mut pods| pods.pop())
    else {
        return false;
    };
    let decision = admission::judged(app, cluster, &pod, Some(namespace)).await;
    matches!(decision, Ok(Some(decision)) if decision.admitted())
}

#[cfg(test)]
mod tests {
    use binauthz_kubernetes::{Endpoint, Guard, differences};

    use super::*;

    #[test]
    fn only_authorities_may_differ_and_only_while_they_are_written() {
        let which = Configuration::Mutating;
        let guard = |ca_bundle: &str| Guard {
            cluster: "projects/p/locations/l/clusters/c".parse().unwrap(),
            endpoint: Endpoint::url("https://b.example").unwrap(),
            ca_bundle: ca_bundle.to_owned(),
            inject_ca_from: None,
            exempt: Vec::new(),
            custom: Vec::new(),
            registered_by_install: true,
            last_known_good: None,
        };
        let (mut found, shipped) = (
            guard("T2xk").configuration(which),
            guard("TmV3").configuration(which),
        );
        let differs = |found: &serde_json::Value| Condition::Differs(differences(found, &shipped));
        assert_eq!(finding(which, differs(&found), true), None);
        assert!(finding(which, differs(&found), false).is_some());
        found["webhooks"][0]["failurePolicy"] = "Ignore".into();
        let Some(Finding::Weakened(_, told)) = finding(which, differs(&found), true) else {
            panic!("that is a weakening");
        };
        assert_eq!(told.len(), 1);
        assert!(finding(which, Condition::Missing, true).is_some());
    }
}
