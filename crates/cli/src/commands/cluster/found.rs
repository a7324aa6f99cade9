//! What there is of a guard before anything is done about it.

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{Installed, cluster_of, is_managed};

use crate::failure::Failure;

/// Objects of somebody else, and those for another cluster, are neither changed nor removed.
pub(super) fn must_be_ours(found: &Installed, cluster: &ClusterName) -> Result<(), Failure> {
    for (which, found) in found.all() {
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
