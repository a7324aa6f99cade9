//! A Kubernetes cluster as its administrator sees it: found by a kubeconfig, asked over its API, guarded by two webhook
//! configurations, tried with objects that nobody keeps.

mod api;
mod canary;
mod endpoint;
mod kubeconfig;
mod webhooks;

pub(crate) use api::{Api, ApiError};
pub(crate) use canary::{Canary, known_bad_pod, known_bad_pod_denied, prove_reachable, remove_probe};
pub(crate) use endpoint::{Endpoint, is_label};
pub(crate) use webhooks::{
    Configuration, CustomRule, Guard, cluster_of, differences, is_managed, is_registered_by_install,
};
