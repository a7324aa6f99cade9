//! What verdicts are decided from, kept in memory and dropped when anything in it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use binauthz_core::decision::Reason;
use binauthz_core::name::{ClusterName, ProjectId};
use binauthz_core::policy::{Evaluation, Policy, PolicyLabel, Snapshot, Standing, SystemPolicy};
use binauthz_store::{Kind, Resource, Unavailable};
use binauthz_wire::container::Cluster;

use super::enforcement;
use crate::app::App;
use crate::documents::{attestor_from, cluster_from, etag_of, policy_from};

/// Clusters remembered. One entry is a policy and its attestors, some 100 KB at worst: 100 MB.
const MAX_CLUSTERS: usize = 1_000;
/// A reading takes some 0.3 ms and a change takes a sync of the disk, so a second reading is rare. Eight in a row that
/// are overtaken and differ mean that somebody changes this very policy without pause.
const MAX_READINGS: usize = 8;

/// A cluster's standing and what its Pods' mesh identities begin with.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) standing: Standing,
    pub(crate) trust_domain: String,
}

impl Known {
    fn without_cluster(standing: Standing) -> Self {
        Self {
            standing,
            trust_domain: String::new(),
        }
    }

    /// Whether the cluster is registered, or why that cannot be said.
    pub(crate) fn registration(&self, cluster: &ClusterName) -> Result<(), Reason> {
        match &self.standing {
            Standing::Registered(_) | Standing::NoPolicy => Ok(()),
            Standing::Unregistered => Err(Reason::ClusterNotRegistered(cluster.clone())),
            Standing::Unavailable(why) => Err(Reason::PolicyUnavailable(why.clone())),
        }
    }
}

/// What was found, and the revision of each row that was asked for, in order. A revision is never given twice, so two
/// readings in a row with the same ones saw rows that were all there at one time: between the two.
#[derive(Debug)]
struct Reading {
    known: Known,
    revisions: Vec<Option<i64>>,
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
    /// Looking it up reads every policy, and `/metrics` asks every few seconds.
    enforced: Option<bool>,
    /// Why nothing is known, whatever could be read.
    sealed: Option<String>,
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
        inner.enforced = None;
    }

    /// Forgets everything and says so until it is unsealed: nobody knows whether what was known still holds.
    pub(crate) fn seal(&self, why: String) {
        self.invalidate();
        self.lock().sealed = Some(why);
    }

    /// What can be read may be known again.
    pub(crate) fn unseal(&self) {
        self.lock().sealed = None;
    }

    /// What is known of a cluster. What could not be read is not kept.
    pub(crate) async fn of(&self, app: &App, cluster: &ClusterName) -> Arc<Known> {
        self.settled(cluster, || read(app, cluster)).await
    }

    /// What is remembered, else what `read` finds while nothing changes, or twice: it asks for one thing after the other,
    /// and a policy of before a change must not meet attestors of after it. What others change meanwhile in their
    /// projects delays this, and does no more.
    async fn settled<R, F>(&self, cluster: &ClusterName, read: R) -> Arc<Known>
    where
        R: Fn() -> F,
        F: Future<Output = Reading>,
    {
        let mut before = None;
        for _ in 0..MAX_READINGS {
            let epoch = {
                let inner = self.lock();
                if let Some(known) = inner.known.get(cluster) {
                    return Arc::clone(known);
                }
                if let Some(why) = &inner.sealed {
                    return Arc::new(Known::without_cluster(Standing::Unavailable(why.clone())));
                }
                inner.epoch
            };
            let Reading { known, revisions } = read().await;
            let known = Arc::new(known);
            let lasting = matches!(known.standing, Standing::Registered(_) | Standing::NoPolicy);
            let mut inner = self.lock();
            if inner.epoch == epoch {
                if lasting {
                    if inner.known.len() >= MAX_CLUSTERS {
                        inner.known.clear();
                    }
                    inner.known.insert(cluster.clone(), Arc::clone(&known));
                }
                return known;
            }
            drop(inner);
            if before.replace(revisions.clone()) == Some(revisions) {
                // It was so after this was asked for. Whether it still is cannot be said, so it is not remembered.
                return known;
            }
        }
        let why = format!("the policy or its attestors changed during each of {MAX_READINGS} readings");
        Arc::new(Known::without_cluster(Standing::Unavailable(why)))
    }

    /// Whether anything is enforced, as remembered or as found out now.
    pub(super) async fn enforcement(&self, app: &App) -> Result<bool, Unavailable> {
        let epoch = {
            let inner = self.lock();
            if let Some(enforced) = inner.enforced {
                return Ok(enforced);
            }
            inner.epoch
        };
        let enforced = enforcement::found(app).await?;
        let mut inner = self.lock();
        if inner.epoch == epoch {
            inner.enforced = Some(enforced);
        }
        Ok(enforced)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(app: &App, cluster: &ClusterName) -> Reading {
    let mut reader = Reader {
        app,
        revisions: Vec::new(),
    };
    let known = match reader.known(cluster).await {
        Ok(known) => known,
        Err(why) => Known::without_cluster(Standing::Unavailable(why)),
    };
    Reading {
        known,
        revisions: reader.revisions,
    }
}

/// Reads rows, and remembers which they were.
struct Reader<'a> {
    app: &'a App,
    revisions: Vec<Option<i64>>,
}

/// What the cluster's mode means; nothing that lets anything in where it is to enforce what nobody here evaluates.
fn evaluation(cluster: &Cluster) -> Result<Evaluation, String> {
    match cluster.binary_authorization.enforced_binding() {
        None => Ok(cluster.binary_authorization.mode.evaluation()),
        Some(binding) => Err(format!(
            "`{}` is to be enforced, and this server evaluates no platform policies",
            binding.name
        )),
    }
}

impl Reader<'_> {
    async fn known(&mut self, cluster: &ClusterName) -> Result<Known, String> {
        let Some(row) = self.stored(Kind::Cluster, &cluster.to_string()).await? else {
            return Ok(Known::without_cluster(Standing::Unregistered));
        };
        let document = cluster_from(&row.document).map_err(|why| why.to_string())?;
        let standing = match evaluation(&document) {
            Ok(evaluation) => self.standing(cluster.project(), evaluation).await,
            Err(why) => Err(why),
        };
        Ok(Known {
            standing: standing.unwrap_or_else(Standing::Unavailable),
            trust_domain: document.workload_pool.unwrap_or_default(),
        })
    }

    async fn standing(&mut self, project: &ProjectId, evaluation: Evaluation) -> Result<Standing, String> {
        let name = format!("projects/{project}/policy");
        let (policy, label) = match self.stored(Kind::Policy, &name).await? {
            Some(row) => (
                policy_from(&row)?,
                PolicyLabel {
                    name,
                    etag: etag_of(row.revision),
                },
            ),
            None if self.app.settings.require_policy => return Ok(Standing::NoPolicy),
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
            if let Some(row) = self.stored(Kind::Attestor, &name.to_string()).await? {
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

    async fn stored(&mut self, kind: Kind, name: &str) -> Result<Option<Resource>, String> {
        let row = self.app.store.resource(kind, name).await;
        let row = row.map_err(|why| why.to_string())?;
        self.revisions.push(row.as_ref().map(|row| row.revision));
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cluster() -> ClusterName {
        "projects/p/locations/l/clusters/c".parse().unwrap()
    }

    #[test]
    fn a_platform_policy_that_is_to_be_enforced_lets_nothing_in() {
        let of = |mode: &str, enforcement: &str| {
            let bound = serde_json::json!({"binaryAuthorization": {"evaluationMode": mode, "policyBindings": [
                {"name": "projects/p/platforms/gke/policies/watch", "enforcementMode": enforcement}]}});
            evaluation(&cluster_from(&bound.to_string()).unwrap())
        };
        assert_eq!(of("POLICY_BINDINGS", "AUDIT"), Ok(Evaluation::Disabled));
        let both = "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE";
        assert_eq!(of(both, "AUDIT_AND_DRYRUN"), Ok(Evaluation::Enforced));
        for mode in ["POLICY_BINDINGS", both] {
            let why = of(mode, "AUDIT_AND_ENFORCE").unwrap_err();
            assert!(why.contains("policies/watch"), "{why}");
        }
    }

    /// What `settled` gives when the first `overtaken` readings are overtaken by a change, of what is read if `of_it`, and
    /// how often it read.
    async fn readings(snapshots: &Snapshots, (overtaken, of_it): (usize, bool)) -> (Standing, String, usize) {
        let count = AtomicUsize::new(0);
        let read = || async {
            let number = count.fetch_add(1, Ordering::Relaxed);
            if number < overtaken {
                snapshots.invalidate();
            }
            let revision = if of_it { number } else { 0 };
            Reading {
                known: Known {
                    standing: Standing::NoPolicy,
                    trust_domain: format!("reading {number}"),
                },
                revisions: vec![None, i64::try_from(revision).ok()],
            }
        };
        let known = snapshots.settled(&cluster(), read).await;
        let (standing, text) = (known.standing.clone(), known.trust_domain.clone());
        (standing, text, count.into_inner())
    }

    #[tokio::test]
    async fn a_reading_that_was_overtaken_by_a_change_is_done_again() {
        for overtaken in [0, 1, MAX_READINGS - 1] {
            let snapshots = Snapshots::new();
            let (standing, text, count) = readings(&snapshots, (overtaken, true)).await;
            assert!(matches!(standing, Standing::NoPolicy), "{standing:?}");
            assert_eq!((text, count), (format!("reading {overtaken}"), overtaken + 1));
            assert_eq!(readings(&snapshots, (0, true)).await.2, 0, "it is remembered");
        }
    }

    #[tokio::test]
    async fn what_others_change_without_pause_is_waited_for_once() {
        let snapshots = Snapshots::new();
        let (standing, _, count) = readings(&snapshots, (usize::MAX, false)).await;
        assert!(matches!(standing, Standing::NoPolicy), "{standing:?}");
        assert_eq!(count, 2);
        assert_eq!(
            readings(&snapshots, (0, false)).await.2,
            1,
            "it was not remembered"
        );
    }

    #[tokio::test]
    async fn what_is_sealed_is_not_known_and_not_read() {
        let snapshots = Snapshots::new();
        readings(&snapshots, (0, true)).await;
        snapshots.seal("for the test".to_owned());
        for _ in 0..2 {
            let (standing, _, count) = readings(&snapshots, (0, true)).await;
            assert!(
                matches!(&standing, Standing::Unavailable(why) if why == "for the test"),
                "{standing:?}"
            );
            assert_eq!(count, 0);
        }
        snapshots.unseal();
        assert!(matches!(
            readings(&snapshots, (0, true)).await,
            (Standing::NoPolicy, _, 1)
        ));
    }

    #[tokio::test]
    async fn a_reading_that_meets_a_seal_is_not_kept() {
        let snapshots = Snapshots::new();
        let read = || async {
            snapshots.seal("for the test".to_owned());
            Reading {
                known: Known::without_cluster(Standing::NoPolicy),
                revisions: Vec::new(),
            }
        };
        let known = snapshots.settled(&cluster(), read).await;
        assert!(matches!(known.standing, Standing::Unavailable(_)), "{known:?}");
    }

    #[tokio::test]
    async fn without_a_quiet_moment_nothing_is_known() {
        let snapshots = Snapshots::new();
        let (standing, _, count) = readings(&snapshots, (usize::MAX, true)).await;
        assert!(matches!(standing, Standing::Unavailable(_)), "{standing:?}");
        assert_eq!(count, MAX_READINGS);
        assert!(
            matches!(readings(&snapshots, (0, true)).await, (Standing::NoPolicy, _, 1)),
            "and that is not remembered"
        );
    }
}
