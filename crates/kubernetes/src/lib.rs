//! A Kubernetes cluster as its administrator sees it: found by a kubeconfig or from inside, asked over its API, guarded by
//! two webhook configurations, tried with objects that nobody keeps.
//!
//! [`transport`] is the one HTTP exchange beneath it, which the command line's own client uses, too. The process needs a
//! default TLS provider before anything connects: rustls takes none by itself.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod api;
mod canary;
mod endpoint;
mod inside;
mod installed;
mod kubeconfig;
pub mod last_known_good;
mod token;
pub mod transport;
mod webhooks;

pub use api::{Api, ApiError};
pub use canary::{
    CANARY_NAMESPACE, Canary, Unreachable, known_bad_pod, known_bad_pod_denied, pod, prove_reachable,
    remove_probe, try_pod,
};
pub use endpoint::{Endpoint, InvalidEndpoint, is_label};
pub use inside::{Inside, NotInside};
pub use installed::{Condition, Installed};
pub use kubeconfig::InvalidKubeconfig;
pub use token::{Secret, Token, UnusableToken, is_private, read_token};
pub use webhooks::{
    CA_BUNDLE, Configuration, CustomRule, Guard, PROBE, cluster_of, differences, has_shipped_conditions,
    is_injected, is_managed, is_noted_by_install, is_registered_by_install,
};

#[cfg(test)]
pub(crate) fn install_crypto_provider() {
    // An error means that one is installed already, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
