//! A public key that two attestors hold.
//!
//! A signed statement does not name its attestor. Where one key is trusted by two, whoever may write to both notes can
//! copy an attestation from the one to the other, and `qa` has spoken for `prod`.

use std::collections::BTreeMap;

use binauthz_core::attestor::AttestorKey;
use binauthz_core::key::PublicKey;
use binauthz_core::name::AttestorName;
use binauthz_store::{Kind, ListQuery, MAX_ROWS};

use super::super::call::Call;
use super::super::error::ApiError;
use crate::app::App;
use crate::documents::attestor_from;

/// What is the same of two keys that are the same, whatever ids they are kept under.
fn identity(key: &AttestorKey) -> String {
    match key.key() {
        PublicKey::Pkix(pkix) => pkix.default_id(),
        PublicKey::Pgp(certificate) => certificate.fingerprint().to_owned(),
    }
}

/// The keys with the validity that they had, where nothing is said about it: a client that does not know the member must
/// not make a compromised key good again, under no other id either.
pub(super) fn with_what_is_known(keys: Vec<AttestorKey>, before: &[AttestorKey]) -> Vec<AttestorKey> {
    let known: BTreeMap<String, &AttestorKey> = before.iter().map(|key| (identity(key), key)).collect();
    let with = |key: AttestorKey| match (key.validity(), known.get(&identity(&key))) {
        (None, Some(before)) => key.with_validity(before.validity().copied()),
        _ => key,
    };
    keys.into_iter().map(with).collect()
}

/// Looks for the keys that an attestor is about to get at the other attestors. A find is told to the log, or refused
/// where `uniqueAttestorKeys` says so; where nothing could be found out, it is refused as well.
pub(super) async fn check(
    app: &App,
    call: &Call,
    name: &AttestorName,
    before: &[AttestorKey],
    after: &[AttestorKey],
) -> Result<(), ApiError> {
    let mut added: BTreeMap<String, &AttestorKey> = after.iter().map(|key| (identity(key), key)).collect();
    for key in before {
        added.remove(&identity(key));
    }
    if added.is_empty() {
        return Ok(());
    }
    let is_strict = app.settings.unique_attestor_keys;
    match holder(app, name, &added).await {
        Ok(None) => Ok(()),
        Ok(Some((key, other))) if is_strict => {
            let other = other.to_string();
            let read = ("binaryauthorization.attestors.get", other.as_str());
            let other = call.named(app, read, "another attestor").await?;
            Err(ApiError::already_exists(format!(
                "the public key `{}` is also held by {other}: with `uniqueAttestorKeys` every attestor needs a key of its own",
                key.id()
            )))
        }
        Ok(Some((key, other))) => {
            let (attestor, other, key) = (name.to_string(), other.to_string(), key.id());
            tracing::warn!(
                attestor,
                other,
                key,
                "two attestors hold one public key: an attestation for the one can be copied to the other"
            );
            Ok(())
        }
        Err(error) if is_strict => Err(error),
        Err(error) => {
            tracing::warn!(
                error = error.message(),
                "the keys of the other attestors cannot be read"
            );
            Ok(())
        }
    }
}

/// The first other attestor that holds one of the keys, and which.
async fn holder<'a>(
    app: &App,
    name: &AttestorName,
    keys: &BTreeMap<String, &'a AttestorKey>,
) -> Result<Option<(&'a AttestorKey, AttestorName)>, ApiError> {
    let mut after = None;
    loop {
        let query = ListQuery {
            kind: Kind::Attestor,
            parent: String::new(),
            after,
            limit: MAX_ROWS,
        };
        let rows = app.store.list(&query).await?;
        after = rows.last().map(|row| row.name.clone());
        for row in &rows {
            let other: AttestorName = row.name.parse()?;
            let (request, _) = attestor_from(&other, row).map_err(ApiError::failed_precondition)?;
            let held = request.keys.iter().find_map(|key| keys.get(&identity(key)));
            if let Some(key) = held
                && other != *name
            {
                return Ok(Some((key, other)));
            }
        }
        if after.is_none() {
            return Ok(None);
        }
    }
}
