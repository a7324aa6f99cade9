//! One look at one cluster.

use std::time::Duration;

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{
    Api, ApiError, Canary, Condition, Configuration, Inside, Installed, known_bad_pod, known_bad_pod_denied,
    pod,
};
use binauthz_wire::manifest;

use super::finding::Finding;
use super::post::Look;
use crate::admission;
use crate::app::App;
use crate::settings::GuardedCluster;

/// A look takes some tens of milliseconds, and five seconds more where a Pod is admitted that should not be.
const LOOK_MAX: Duration = Duration::from_secs(30);

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
        let mut look = configurations(&api, &guarded.cluster)
            .await
            .map_err(|error| error.to_string())?;
        if with_canary {
            let found = canary(app, &api, &guarded.cluster).await;
            look.canary = Some(found.map_err(|error| error.to_string())?);
        }
        Ok(look)
    };
    match tokio::time::timeout(LOOK_MAX, looked).await {
        Ok(Ok(look)) => look,
        Ok(Err(why)) => unreached(why),
        Err(_) => unreached(format!("it did not answer within {} s", LOOK_MAX.as_secs())),
    }
}

async fn configurations(api: &Api, cluster: &ClusterName) -> Result<Look, ApiError> {
    let installed = Installed::read(api).await?;
    let guard = installed.guard(cluster);
    let conditions = Configuration::ALL.map(|which| (which, installed.condition(guard.as_ref(), which)));
    let findings = conditions
        .into_iter()
        .filter_map(|(which, condition)| match condition {
            Condition::AsShipped => None,
            Condition::Missing => Some(Finding::Missing(which)),
            Condition::Differs(differences) => Some(Finding::Weakened(which, differences)),
        });
    Ok(Look {
        configurations: findings.collect(),
        canary: None,
        fails_open: installed.fails_open(),
        guard,
    })
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
    let verdict = admission::preview(app, cluster, &pod, Some(namespace), false).await;
    verdict.is_ok_and(|verdict| verdict["verdict"] == "ALLOW")
}
