//! Public keys and signatures.

use binauthz_keyring::{HashAlgorithm, KeyAlgorithm, Lifecycle, MAX_DATA_BYTES, MessageDigest, SignError, SoftwareKey};
use binauthz_wire::json::{Object, bytes_out};
use binauthz_wire::status;
use serde_json::json;

use super::documents::VersionDocument;
use super::versions::{bury, current};
use super::{row, version_name};
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;
use crate::control::routes::{Class, Route, Verb};

pub(super) fn routes() -> Vec<Route> {
    const KEY: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{number}/publicKey";
    const SIGN: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{number}:asymmetricSign";
    vec![
        row(Verb::Get, KEY, "GetPublicKey", "cloudkms.cryptoKeyVersions.viewPublicKey", Class::Read, |app, call| Box::pin(public_key(app, call))),
        row(Verb::Post, SIGN, "AsymmetricSign", "cloudkms.cryptoKeyVersions.useToSign", Class::Write, |app, call| Box::pin(sign(app, call))),
    ]
}

/// Only an enabled version may be used, and not even looked at otherwise.
async fn enabled(app: &App, call: &Call) -> Result<VersionDocument, ApiError> {
    let (row, document) = current(app, call).await?;
    let state = document.lifecycle(call.now);
    if state == Lifecycle::Enabled {
        return Ok(document);
    }
    if document.is_overdue(call.now) {
        bury(app, call, &row, document).await?;
    }
    let kind = if state == Lifecycle::Disabled { "KEY_DISABLED" } else { "KEY_DESTROYED" };
    let message = format!("{} is not enabled, current state is: {}.", row.name, state.name());
    Err(ApiError::failed_precondition(&*message).with_detail(status::precondition_failure(kind, &row.name, &message)))
}

fn crc32c(bytes: &[u8]) -> String {
    crc32c::crc32c(bytes).to_string()
}

async fn public_key(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = version_name(&call)?.to_string();
    match call.query.string("publicKeyFormat")? {
        None | Some("PEM" | "1" | "PUBLIC_KEY_FORMAT_UNSPECIFIED") => {}
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            return Err(ApiError::invalid_argument(format!("`publicKeyFormat` is `{other}`, expected `PEM`")));
        }
    }
    let document = enabled(app, &call).await?;
    let pem = document.public_pem;
    let crc = crc32c(pem.as_bytes());
    Ok(Reply::json(json!({
        "name": name,
        "pem": pem,
        "pemCrc32c": crc,
        "algorithm": document.algorithm,
        "protectionLevel": "SOFTWARE",
        "publicKeyFormat": "PEM",
        "publicKey": { "data": bytes_out(pem.as_bytes()), "crc32cChecksum": crc },
    })))
}

enum Message {
    Digest(MessageDigest),
    Data(Vec<u8>),
}

/// What is to be signed, and whether the client's checksum over it was right.
fn read(mut body: Object, algorithm: KeyAlgorithm) -> Result<(Message, &'static str, bool), ApiError> {
    body.ignore("name");
    let digest = body.take_optional_object("digest")?;
    let data = body.take_optional_bytes("data")?;
    let digest_crc = body.take_optional_i64("digestCrc32c")?;
    let data_crc = body.take_optional_i64("dataCrc32c")?;
    let (message, bytes, crc, field, name) = match (digest, data) {
        (Some(digest), None) => {
            let digest = read_digest(digest, algorithm)?;
            (Message::Digest(digest), digest.as_bytes().to_vec(), digest_crc, "digestCrc32c", "verifiedDigestCrc32c")
        }
        (None, Some(data)) if data.len() <= MAX_DATA_BYTES => {
            (Message::Data(data.clone()), data, data_crc, "dataCrc32c", "verifiedDataCrc32c")
        }
        (None, Some(_)) => {
            return Err(body.refused("data", format_args!("is longer than {MAX_DATA_BYTES} bytes")).into());
        }
        (Some(_), Some(_)) => return Err(body.refused("data", "cannot be used together with `digest`").into()),
        (None, None) => return Err(body.refused("digest", "is required unless `data` is given").into()),
    };
    if crc.is_some_and(|crc| crc != i64::from(crc32c::crc32c(&bytes))) {
        return Err(body.refused(field, "does not match what arrived: it was damaged on its way").into());
    }
    body.finish()?;
    Ok((message, name, crc.is_some()))
}

fn read_digest(mut object: Object, algorithm: KeyAlgorithm) -> Result<MessageDigest, ApiError> {
    let Some(expected) = algorithm.hash() else {
        return Err(object.refused("", format_args!("`{}` signs `data`, not a digest", algorithm.name())).into());
    };
    let names = [("sha256", HashAlgorithm::Sha256), ("sha384", HashAlgorithm::Sha384), ("sha512", HashAlgorithm::Sha512)];
    let mut found = None;
    for (name, hash) in names {
        if let Some(bytes) = object.take_optional_bytes(name)? {
            if found.is_some() {
                return Err(object.refused(name, "is a second digest; expected one").into());
            }
            if hash != expected {
                let why = format_args!("`{}` needs a {expected} digest", algorithm.name());
                return Err(object.refused(name, why).into());
            }
            found = Some(MessageDigest::new(hash, &bytes).map_err(|why| object.refused(name, why))?);
        }
    }
    let missing = object.refused("", format_args!("expected a {expected} digest"));
    object.finish()?;
    found.ok_or_else(|| missing.into())
}

async fn sign(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = version_name(&call)?.to_string();
    let document = enabled(app, &call).await?;
    let algorithm = document.algorithm()?;
    let (message, verified, checked) = read(call.body_object()?, algorithm)?;
    let key = open(app, &name, algorithm).await?;
    let signed = tokio::task::spawn_blocking(move || match &message {
        Message::Digest(digest) => key.sign_digest(digest),
        Message::Data(data) => key.sign_data(data),
    });
    let signature = match signed.await {
        Ok(Ok(signature)) => signature,
        Ok(Err(why)) => return Err(refusal(&why)),
        Err(_) => return Err(ApiError::internal(&call.request_id)),
    };
    // The signature leaves only once its use is on record.
    call.commit(app, Vec::new()).await?;
    let mut answer = json!({
        "name": name,
        "signature": bytes_out(&signature),
        "signatureCrc32c": crc32c(&signature),
        "protectionLevel": "SOFTWARE",
    });
    if checked {
        answer[verified] = true.into();
    }
    Ok(Reply::json(answer))
}

fn refusal(why: &SignError) -> ApiError {
    ApiError::invalid_argument(why.to_string())
}

async fn open(app: &App, name: &str, algorithm: KeyAlgorithm) -> Result<SoftwareKey, ApiError> {
    let damaged = || {
        tracing::error!(name, "a sealed key is missing or does not open with this master key");
        ApiError::failed_precondition(format!("the private key of `{name}` cannot be opened with this server's master key"))
    };
    let sealed = app.store.sealed_key(name).await?.ok_or_else(damaged)?;
    let permit = Lifecycle::Enabled.permit_signing(name).map_err(|_| damaged())?;
    app.master_key.open(&permit, algorithm, &sealed).map_err(|_| damaged())
}
