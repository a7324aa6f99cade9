//! Who may ask for a cluster: a client certificate speaks for the clusters it names and for no other.

use binauthz_core::name::ClusterName;
use http::StatusCode;
use webpki::EndEntityCert;

use super::request::Refused;
use crate::listen::Peer;

/// What stands before a cluster's name among the certificate's URI names.
const CLUSTER_URN: &str = "urn:binauthz:cluster:";

/// Refuses a caller whose certificate does not name `cluster`. That an authority of ours issued it was found out in
/// the handshake; one authority serves many clusters, and one cluster shall not get verdicts by another's rules.
pub(super) fn must_be(peer: &Peer, cluster: &ClusterName) -> Result<(), Refused> {
    let expected = format!("{CLUSTER_URN}{cluster}");
    let certificate = peer.certificate.as_ref().map(|shown| shown.certificate());
    let names_it = certificate
        .and_then(|der| EndEntityCert::try_from(der).ok())
        .is_some_and(|certificate| certificate.valid_uri_names().any(|name| name == expected));
    if names_it {
        return Ok(());
    }
    let found = match certificate {
        None => "there is none",
        Some(_) => "it does not have it",
    };
    tracing::warn!(address = %peer.address, %cluster, "a caller of the webhook is not bound to the cluster it asks for");
    Err(Refused::new(
        StatusCode::FORBIDDEN,
        format!(
            "expected a client certificate with the subject alternative name `URI:{expected}`, but {found}"
        ),
    ))
}
