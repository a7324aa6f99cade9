//! What verdicts are decided from, kept in memory and dropped when anything in it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use binauthz_core::name::{ClusterName, ProjectId};
use binauthz_core::policy::{Evaluation, Policy, PolicyLabel, Snapshot, Standing, SystemPolicy};
use binauthz_store::{Kind, ListQuery, Resource, Unavailable};

use crate::app::App;
use crate::documents::{attestor_from, cluster_from, etag_of, policy_from};

/// Clusters remembered. One entry is a policy and its attestors, some 100 KB at worst: 100 MB.
const MAX_CLUSTERS: usize = 1_000;

/// A cluster's standing and what its Pods' mesh identities begin with.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) standing: Standing,
    pub(crate) trust_domain: String,
}

/// The cache. One epoch for all: changes are rare, and an entry read before one is never kept after it.
#[derive(Debug)]
pub(crate) struct Snapshots {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: u64,
    known: HashMap<ClusterName, Arc<Known>>,
}

impl Snapshots {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Forgets everything. Call it after the commit that changed a policy, an attestor or a cluster and before that
    /// call is answered.
    pub(crate) fn invalidate(&self) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.known.clear();
    }

    /// What is known of a cluster. What could not be read is not kept.
    pub(crate) async fn of(&self, app: &App, cluster: &ClusterName) -> Arc<Known> {
        let epoch = {
            let inner = self.lock();
            if let Some(known) = inner.known.get(cluster) {
                return Arc::clone(known);
            }
            inner.epoch
        };
        let known = Arc::new(read(app, cluster).await);
        let lasting = matches!(known.standing, Standing::Registered(_) | Standing::NoPolicy);
        let mut inner = self.lock();
        if lasting && inner.epoch == epoch {
            if inner.known.len() >= MAX_CLUSTERS {
                inner.known.clear();
            }
            inner.known.insert(cluster.clone(), Arc::clone(&known));
        }
        known
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(app: &App, cluster: &ClusterName) -> Known {
    let unknown = |standing| Known {
        standing,
        trust_domain: String::new(),
    };
    let document = match app.store.resource(Kind::Cluster, &cluster.to_string()).await {
        Ok(Some(row)) => match cluster_from(&row.document) {
            Ok(cluster) => cluster,
            Err(why) => return unknown(Standing::Unavailable(why.to_string())),
        },
        Ok(None) => return unknown(Standing::Unregistered),
        Err(why) => return unknown(Standing::Unavailable(why.to_string())),
    };
    let evaluation = document.binary_authorization.mode.evaluation();
    let standing = match standing(app, cluster.project(), evaluation).await {
        Ok(standing) => standing,
        Err(why) => Standing::Unavailable(why),
    };
    Known {
        standing,
        trust_domain: document.workload_pool.unwrap_or_default(),
    }
}

async fn standing(app: &App, project: &ProjectId, evaluation: Evaluation) -> Result<Standing, String> {
    let name = format!("projects/{project}/policy");
    let (policy, label) = match stored(app, Kind::Policy, &name).await? {
        Some(row) => (
            policy_from(&row)?,
            PolicyLabel {
                name,
                etag: etag_of(row.revision),
            },
        ),
        None if app.settings.require_policy => return Ok(Standing::NoPolicy),
        None => (
            Policy::google_default(),
            PolicyLabel {
                name,
                etag: String::new(),
            },
        ),
    };
    let mut attestors = BTreeMap::new();
    for name in policy.attestors() {
        if attestors.contains_key(name) {
            continue;
        }
        if let Some(row) = stored(app, Kind::Attestor, &name.to_string()).await? {
            attestors.insert(name.clone(), Arc::new(attestor_from(name, &row)?.1));
        }
    }
    let system = SystemPolicy::shipped();
    Ok(Standing::Registered(Arc::new(Snapshot {
        label: Arc::new(label),
        policy,
        system,
        attestors,
        evaluation,
    })))
}

async fn stored(app: &App, kind: Kind, name: &str) -> Result<Option<Resource>, String> {
    app.store
        .resource(kind, name)
        .await
        .map_err(|why| why.to_string())
}

/// Whether some stored policy can refuse something; looks at the first hundred.
pub(crate) async fn enforces_anything(app: &App) -> bool {
    let query = ListQuery {
        kind: Kind::Policy,
        parent: String::new(),
        after: None,
        limit: 100,
    };
    let rows: Result<Vec<Resource>, Unavailable> = app.store.list(&query).await;
    rows.is_ok_and(|rows| {
        rows.iter()
            .any(|row| policy_from(row).is_ok_and(|policy| policy.enforces_anything()))
    })
}
