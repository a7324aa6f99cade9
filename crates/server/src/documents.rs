//! Stored documents read back, for the API that shows them and the webhook that judges by them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::attestor::Attestor;
use binauthz_core::name::AttestorName;
use binauthz_core::policy::Policy;
use binauthz_store::Resource;
use binauthz_wire::binaryauthorization::{AttestorRequest, NoteView, read_attestor, read_policy};
use binauthz_wire::container::{self, Cluster};
use binauthz_wire::json::{self, InvalidField, InvalidJson, Limits};

/// First byte of every etag, so that a later form can be told apart; it also makes the base64 end without padding.
pub(crate) const ETAG_FORM: u8 = 1;

/// The etag of a revision.
pub(crate) fn etag_of(revision: i64) -> String {
    let mut bytes = [ETAG_FORM; 9];
    for (to, from) in bytes.iter_mut().skip(1).zip(revision.to_be_bytes()) {
        *to = from;
    }
    format!("\"{}\"", STANDARD.encode(bytes))
}

/// Why a stored cluster cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableCluster {
    #[error("the stored cluster is damaged: {0}")]
    Json(#[from] InvalidJson),
    #[error("the stored cluster is damaged: {0}")]
    Field(#[from] InvalidField),
}

/// The cluster of a stored document.
pub(crate) fn cluster_from(document: &str) -> Result<Cluster, UnreadableCluster> {
    Ok(container::read_stored_cluster(json::parse(
        document.as_bytes(),
        Limits::API,
    )?)?)
}

/// The policy of a stored document.
pub(crate) fn policy_from(row: &Resource) -> Result<Policy, String> {
    let value = json::parse(row.document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
    read_policy(value)
        .map(|request| request.policy)
        .map_err(|why| why.to_string())
}

/// The attestor of a stored document, as it is shown and as it judges.
pub(crate) fn attestor_from(
    name: &AttestorName,
    row: &Resource,
) -> Result<(AttestorRequest, Attestor), String> {
    let value = json::parse(row.document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
    let request = read_attestor(value, NoteView::Grafeas).map_err(|why| why.to_string())?;
    let revision = u64::try_from(row.revision).unwrap_or_default();
    let attestor = Attestor::new(name.clone(), request.note.clone(), request.keys.clone(), revision)
        .map_err(|why| why.to_string())?
        .with_match_identity(request.match_identity.unwrap_or(false));
    Ok((request, attestor))
}
