//! The one use of a private key, and the public half of it.

use binauthz_keyring::{
    HashAlgorithm, KeyAlgorithm, MasterKey, MessageDigest, NotEnabled, SignError, Signer, TokenKey,
};
use binauthz_store::{Change, Kind};
use binauthz_wire::cloudkms::{self, DigestKind, PublicKeyFormat, SignInput, SignRequest};
use binauthz_wire::status::precondition_failure;
use serde_json::json;

use super::super::call::{Call, Reply};
use super::super::error::ApiError;
use super::super::routes::{Class, Route, Verb};
use super::version::{Version, version_of};
use super::{damaged, key_versions, row};
use crate::app::App;

/// The length of an ML-DSA-65 public key, FIPS 204 table 2.
const ML_DSA_65_BYTES: usize = 1952;

#[rustfmt::skip] // A table: one route a line.
pub(super) fn routes() -> Vec<Route> {
    macro_rules! path {
        ($rest:literal) => {
            concat!(
                "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
                "/cryptoKeyVersions/{number}",
                $rest
            )
        };
    }
    vec![
        row(
            (Verb::Get, path!("/publicKey")),
            "GetPublicKey",
            "cloudkms.cryptoKeyVersions.viewPublicKey",
            Class::Read,
            |app, call| Box::pin(public_key(app, call)),
        ),
        row(
            (Verb::Post, path!(":asymmetricSign")),
            "AsymmetricSign",
            "cloudkms.cryptoKeyVersions.useToSign",
            Class::Write,
            |app, call| Box::pin(asymmetric_sign(app, call)),
        ),
    ]
}

/// Cloud KMS's refusal to use a version, with the detail that clients look at.
fn not_enabled(why: &NotEnabled) -> ApiError {
    let kind = match why.state {
        "DISABLED" => "KEY_DISABLED",
        "DESTROY_SCHEDULED" => "KEY_DESTROY_SCHEDULED",
        "PENDING_GENERATION" => "KEY_PENDING_GENERATION",
        _ => "KEY_DESTROYED",
    };
    let message = why.to_string();
    let detail = precondition_failure(kind, &why.version, &message);
    ApiError::failed_precondition(message).with_detail(detail)
}

async fn public_key(app: &App, call: Call) -> Result<Reply, ApiError> {
    let format = cloudkms::read_public_key_format(call.query.string("publicKeyFormat")?)?;
    let version = version_of(app, &call).await?;
    let name = &version.row.name;
    version
        .lifecycle(call.now)
        .permit_signing(name)
        .map_err(|why| not_enabled(&why))?;
    let pem = version.document.public_key_pem.as_str();
    let der = hex::decode(&version.document.public_key_der).map_err(|problem| damaged(name, &problem))?;
    let data = match format {
        PublicKeyFormat::Pem => pem.as_bytes(),
        PublicKeyFormat::Der => der.as_slice(),
        PublicKeyFormat::NistPqc => bare(version.algorithm, &der)?,
    };
    let with_sum = (data, crc32c::crc32c(data));
    let pem = (pem, crc32c::crc32c(pem.as_bytes()));
    Ok(Reply::json(cloudkms::write_public_key(
        name,
        (&version.document.algorithm, version.document.protection()),
        pem,
        format,
        with_sum,
    )))
}

/// The bytes of a post-quantum key without what surrounds them. They are the end of their SubjectPublicKeyInfo, whose
/// last field they are.
fn bare(algorithm: KeyAlgorithm, der: &[u8]) -> Result<&[u8], ApiError> {
    let start = match algorithm {
        KeyAlgorithm::PqSignMlDsa65 => der.len().checked_sub(ML_DSA_65_BYTES),
        _ => None,
    };
    start.and_then(|start| der.get(start..)).ok_or_else(|| {
        ApiError::invalid_argument(format!(
            "`publicKeyFormat` `NIST_PQC` is for post-quantum keys, and this is one of `{}`: expected `PEM` or `DER`",
            algorithm.name()
        ))
    })
}

async fn asymmetric_sign(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let request = cloudkms::read_sign_request(call.take_body())?;
    check_crc32c(&request)?;
    let input = input_of(&request)?;
    let version = version_of(app, &call).await?;
    let name = version.row.name.clone();
    version
        .lifecycle(call.now)
        .permit_signing(&name)
        .map_err(|why| not_enabled(&why))?;
    let private = Private::of(app, &version).await?;
    let protection = version.document.protection();
    let mut facts = serde_json::Map::new();
    facts.insert("algorithm".to_owned(), json!(version.document.algorithm));
    match &input {
        Input::Digest(digest) => facts.insert(
            digest.hash().name().to_owned(),
            json!(hex::encode(digest.as_bytes())),
        ),
        Input::Data(data) => facts.insert("sha256OfData".to_owned(), json!(sha256(data))),
    };
    // The signature leaves only after the commit: its audit row is written, and the version is still the one that was
    // enabled when it was looked at.
    let expect = Some(version.row.revision);
    let unchanged = Change::Require {
        kind: Kind::CryptoKeyVersion,
        name: name.clone(),
        expect,
    };
    let signature = sign(&call, version, private, input).await?;
    call.commit_with(app, vec![unchanged], facts).await?;
    Ok(Reply::json(cloudkms::write_signature(
        &name,
        protection,
        &request,
        (&signature, crc32c::crc32c(&signature)),
    )))
}

/// The private half of a version, as it is kept.
enum Private {
    Sealed(MasterKey, Vec<u8>),
    InToken(TokenKey),
}

impl Private {
    async fn of(app: &App, version: &Version) -> Result<Private, ApiError> {
        let (name, document) = (version.row.name.as_str(), &version.document);
        if let Some(label) = &document.token_key {
            let public = hex::decode(&document.public_key_der).map_err(|problem| damaged(name, &problem))?;
            let key = key_versions::token_of(app)?.key(label, version.algorithm, public);
            return Ok(Private::InToken(key));
        }
        let held = app.master.hold().await;
        let sealed = app.store.sealed_key(name).await?;
        let sealed = sealed.ok_or_else(|| damaged(name, &"no sealed key"))?;
        Ok(Private::Sealed(held.clone(), sealed))
    }
}

/// What is signed.
enum Input {
    Digest(MessageDigest),
    Data(Vec<u8>),
}

fn sha256(data: &[u8]) -> String {
    hex::encode(MessageDigest::of(HashAlgorithm::Sha256, data).as_bytes())
}

fn input_of(request: &SignRequest) -> Result<Input, ApiError> {
    match &request.input {
        SignInput::Data(data) => Ok(Input::Data(data.clone())),
        SignInput::Digest(kind, bytes) => {
            let hash = match kind {
                DigestKind::Sha256 => HashAlgorithm::Sha256,
                DigestKind::Sha384 => HashAlgorithm::Sha384,
                DigestKind::Sha512 => HashAlgorithm::Sha512,
            };
            let digest = MessageDigest::new(hash, bytes);
            digest
                .map(Input::Digest)
                .map_err(|why| ApiError::invalid_argument(format!("`digest.{hash}`: {why}")))
        }
    }
}

fn check_crc32c(request: &SignRequest) -> Result<(), ApiError> {
    let (field, bytes) = match &request.input {
        SignInput::Digest(_, bytes) => ("digestCrc32c", bytes),
        SignInput::Data(bytes) => ("dataCrc32c", bytes),
    };
    let computed = i64::from(crc32c::crc32c(bytes));
    match request.crc32c {
        Some(given) if given != computed => Err(ApiError::invalid_argument(format!(
            "`{field}` is {given}, but the CRC-32C of what arrived is {computed}: the request was damaged on its way"
        ))),
        _ => Ok(()),
    }
}

/// Unseals and signs away from the threads that serve requests: RSA-4096 takes 6 ms.
async fn sign(call: &Call, version: Version, private: Private, input: Input) -> Result<Vec<u8>, ApiError> {
    let now = call.now;
    let work = tokio::task::spawn_blocking(move || {
        let name = &version.row.name;
        let permit = version
            .lifecycle(now)
            .permit_signing(name)
            .map_err(|why| not_enabled(&why))?;
        let key: Box<dyn Signer> = match private {
            Private::InToken(key) => Box::new(key),
            Private::Sealed(master_key, sealed) => {
                let opened = master_key.open(&permit, version.algorithm, &sealed);
                Box::new(opened.map_err(|why| damaged(name, &why))?)
            }
        };
        let signed = match &input {
            Input::Digest(digest) => key.sign_digest(digest),
            Input::Data(data) => key.sign_data(data),
        };
        signed.map_err(|why| match why {
            SignError::Failed { .. } => damaged(name, &why),
            SignError::Token(why) => {
                tracing::error!(error = why, name, "the token did not sign");
                ApiError::unavailable(format!("`{name}`: {why}"))
            }
            SignError::WrongHash { .. } | SignError::NeedsData { .. } | SignError::DataTooLong { .. } => {
                ApiError::invalid_argument(why.to_string())
            }
        })
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, request_id = call.request_id, "signing did not finish");
        Err(ApiError::internal(&call.request_id))
    })
}
