//! Whether anything is enforced: what `binauthz_enforcement_state` and the warning at start-up say.
//!
//! A project's rules count when one of them can refuse an image for real: a policy with a rule other than
//! `ALWAYS_ALLOW` that blocks, or no policy at all where one is required. They do so on each of its registered clusters
//! but those whose evaluation is disabled; a project that has no cluster yet counts, for its first one will be judged.

use std::collections::BTreeMap;

use binauthz_core::policy::Evaluation;
use binauthz_store::{Kind, ListQuery, Resource, Unavailable};

use crate::app::App;
use crate::documents::{cluster_from, policy_from};

/// Rows read at once: at some 10 KB each, 5 MB.
const PAGE: u32 = 500;

/// What of a project matters here.
#[derive(Debug, Default)]
struct Project {
    /// Whether its policy can refuse an image; `None` where it has none.
    policy: Option<bool>,
    clusters: usize,
    /// Those on which the policy is evaluated.
    enforcing: usize,
}

/// Reads every policy and every cluster, page by page.
pub(super) async fn found(app: &App) -> Result<bool, Unavailable> {
    let mut projects = BTreeMap::<String, Project>::new();
    each(app, Kind::Policy, |row| {
        // A policy that cannot be read refuses everything.
        let refuses = policy_from(row).map_or(true, |policy| policy.enforces_anything());
        projects.entry(row.parent.clone()).or_default().policy = Some(refuses);
    })
    .await?;
    each(app, Kind::Cluster, |row| {
        // So does a cluster.
        let evaluation = cluster_from(&row.document).map_or(Evaluation::Enforced, |cluster| {
            cluster.binary_authorization.mode.evaluation()
        });
        let project = projects.entry(row.parent.clone()).or_default();
        project.clusters += 1;
        project.enforcing += usize::from(evaluation == Evaluation::Enforced);
    })
    .await?;
    let required = app.settings.require_policy;
    if projects.is_empty() {
        return Ok(required);
    }
    Ok(projects.values().any(|project| {
        project.policy.unwrap_or(required) && (project.clusters == 0 || project.enforcing > 0)
    }))
}

async fn each(app: &App, kind: Kind, mut look: impl FnMut(&Resource)) -> Result<(), Unavailable> {
    let mut after = None;
    loop {
        let query = ListQuery {
            kind,
            parent: String::new(),
            after,
            limit: PAGE,
        };
        let rows = app.store.list(&query).await?;
        rows.iter().for_each(&mut look);
        match rows.last() {
            Some(last) => after = Some(last.name.clone()),
            None => return Ok(()),
        }
    }
}
