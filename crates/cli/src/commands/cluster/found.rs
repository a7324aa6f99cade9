//! What there is of a guard before anything is done about it.

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{Api, ApiError, Configuration, cluster_of, is_managed, is_registered_by_install};
use serde_json::Value;

use crate::failure::Failure;

/// The two configurations of a cluster, those that are there.
pub(super) struct Found {
    configurations: Vec<(Configuration, Value)>,
}

impl Found {
    /// Reads them.
    pub(super) async fn read(api: &Api) -> Result<Found, ApiError> {
        let mut configurations = Vec::new();
        for which in Configuration::ALL {
            if let Some(found) = api.read(&which.path()).await? {
                configurations.push((which, found));
            }
        }
        Ok(Found { configurations })
    }

    /// One of them.
    pub(super) fn configuration(&self, which: Configuration) -> Option<&Value> {
        let mut all = self.configurations.iter();
        all.find(|(found, _)| *found == which).map(|(_, found)| found)
    }

    /// Whether `install` registered the cluster, too.
    pub(super) fn is_registered_by_install(&self) -> bool {
        let mut all = self.configurations.iter();
        all.any(|(_, found)| is_registered_by_install(found))
    }

    /// Objects of somebody else, and those for another cluster, are neither changed nor removed.
    pub(super) fn must_be_ours(&self, cluster: &ClusterName) -> Result<(), Failure> {
        for (which, found) in &self.configurations {
            let kind = which.kind();
            if !is_managed(found) {
                return Err(Failure::refused(format_args!(
                    "the cluster has a {kind} `binauthz` that `cluster install` did not make"
                ))
                .advise(format_args!(
                    "look at it and remove it: kubectl delete {} binauthz",
                    kind.to_lowercase()
                )));
            }
            match cluster_of(found) {
                Some(other) if other != cluster.to_string() => {
                    return Err(Failure::refused(format_args!(
                        "the {kind} `binauthz` of this cluster is that of `{other}`, not of `{cluster}`"
                    ))
                    .advise("choose another --context, or uninstall under that name first"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
