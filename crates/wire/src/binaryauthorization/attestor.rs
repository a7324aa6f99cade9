//! `Attestor`, its public keys, and `ValidateAttestationOccurrence`.

use binauthz_core::attestation::Signature;
use binauthz_core::attestor::AttestorKey;
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::name::{InvalidName, NoteName};
use binauthz_core::signature::pgp::Certificate;
use serde_json::{Map, json};

use super::policy::{read_description, write_stamp};
use super::{Stamp, key_validity};
use crate::containeranalysis::read_attestation;
use crate::json::{EnumRow, InvalidField, Object, Value};

/// Which of the two names the note field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteView {
    /// v1: `userOwnedGrafeasNote`.
    Grafeas,
    /// v1beta1 and v1alpha2: `userOwnedDrydockNote`.
    Drydock,
}

impl NoteView {
    /// The field's name.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Grafeas => "userOwnedGrafeasNote",
            Self::Drydock => "userOwnedDrydockNote",
        }
    }
}

const MAX_ID: usize = 1024;
const MAX_COMMENT: usize = 1024;

/// An attestor as a client sends it or as the store keeps it.
#[derive(Debug, Clone)]
pub struct AttestorRequest {
    /// A note to its readers.
    pub description: String,
    /// The note its attestations hang on.
    pub note: NoteName,
    /// Its keys.
    pub keys: Vec<AttestorKey>,
    /// Extension: the statement's repository must be the image's. Absent says nothing about it: Google's clients do not
    /// know the field and drop it when they read, change and write an attestor.
    pub match_identity: Option<bool>,
    /// The etag it was read with; absent means "whatever is there".
    pub etag: Option<String>,
}

/// Reads an attestor. `name`, `updateTime` and the service account mean nothing in a request.
pub fn read_attestor(value: Value, view: NoteView) -> Result<AttestorRequest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    object.ignore("updateTime");
    let etag = object.take_optional_string("etag")?;
    let description = read_description(&mut object)?;
    let match_identity = object.take_optional_bool("matchIdentity")?;
    let mut owned = object.take_object(view.field())?;
    owned.ignore("delegationServiceAccountEmail");
    let note = read_note_reference(&mut owned, view)?;
    let keys = owned
        .take_objects("publicKeys")?
        .into_iter()
        .map(read_key)
        .collect::<Result<_, _>>()?;
    owned.finish()?;
    object.finish()?;
    Ok(AttestorRequest {
        description,
        note,
        keys,
        match_identity,
        etag,
    })
}

/// The note's name. Clients of the older versions may still call a project a provider.
fn read_note_reference(owned: &mut Object, view: NoteView) -> Result<NoteName, InvalidField> {
    const FIELD: &str = "noteReference";
    let text = owned.take_string(FIELD)?;
    let text = match text.strip_prefix("providers/") {
        Some(rest) if view == NoteView::Drydock => format!("projects/{rest}"),
        _ => text,
    };
    text.parse().map_err(|why: InvalidName| owned.refused(FIELD, why))
}

fn read_key(mut object: Object) -> Result<AttestorKey, InvalidField> {
    let id = object.take_optional_string("id")?.unwrap_or_default();
    let comment = object.take_optional_string("comment")?.unwrap_or_default();
    if comment.len() > MAX_COMMENT {
        return Err(object.refused("comment", format_args!("is longer than {MAX_COMMENT} bytes")));
    }
    let armored = object.take_optional_string("asciiArmoredPgpPublicKey")?;
    let pkix = object.take_optional_object("pkixPublicKey")?;
    let key = match (armored, pkix) {
        (Some(armored), None) => {
            let certificate = Certificate::from_armored(&armored)
                .map_err(|why| object.refused("asciiArmoredPgpPublicKey", why))?;
            AttestorKey::new("", &comment, PublicKey::Pgp(Box::new(certificate)))
        }
        (None, Some(pkix)) => {
            check_id(&object, &id)?;
            let (key, inner) = read_pkix(pkix, &id)?;
            AttestorKey::new(
                if id.is_empty() { &inner } else { &id },
                &comment,
                PublicKey::Pkix(key),
            )
        }
        (Some(_), Some(_)) => {
            return Err(object.refused(
                "pkixPublicKey",
                "cannot be used together with `asciiArmoredPgpPublicKey`",
            ));
        }
        (None, None) => {
            let reason = "is required unless `asciiArmoredPgpPublicKey` is given";
            return Err(object.refused("pkixPublicKey", reason));
        }
    };
    let validity = object.take_optional_object(key_validity::FIELD)?;
    let validity = validity.map(key_validity::read).transpose()?;
    object.finish()?;
    Ok(key.with_validity(validity))
}

/// The id of a PKIX key is a URI (RFC 3986): gcloud writes network-path references, the default is a `ni:` URI.
fn check_id(object: &Object, id: &str) -> Result<(), InvalidField> {
    let characters = id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    let scheme = id.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    if id.len() > MAX_ID || !characters || !(id.is_empty() || id.starts_with("//") || scheme) {
        return Err(object.refused(
            "id",
            "must be a URI (RFC 3986), or absent to have one made from the key",
        ));
    }
    Ok(())
}

fn read_pkix(mut object: Object, id: &str) -> Result<(PkixKey, String), InvalidField> {
    let table: Vec<EnumRow<SignatureAlgorithm>> = SignatureAlgorithm::TABLE
        .iter()
        .map(|row| (row.2, row.1, row.0))
        .chain(
            SignatureAlgorithm::TABLE
                .iter()
                .filter_map(|row| row.3.map(|alias| (alias, row.1, row.0))),
        )
        .collect();
    let pem = object.take_string("publicKeyPem")?;
    let algorithm = object.take_enum("signatureAlgorithm", &table)?;
    let inner = object.take_optional_string("keyId")?.unwrap_or_default();
    if !inner.is_empty() && !id.is_empty() && inner != id {
        return Err(object.refused("keyId", "must equal the key's `id`, or be absent"));
    }
    check_id(&object, &inner)?;
    let key = PkixKey::from_pem(&pem, algorithm).map_err(|why| object.refused("publicKeyPem", why))?;
    object.finish()?;
    Ok((key, inner))
}

/// Writes an attestor under its `name`.
pub fn write_attestor(
    name: &str,
    attestor: &AttestorRequest,
    view: NoteView,
    service_account: &str,
    stamp: &Stamp,
) -> serde_json::Value {
    let mut members = Map::new();
    members.insert("name".to_owned(), json!(name));
    if !attestor.description.is_empty() {
        members.insert("description".to_owned(), json!(attestor.description));
    }
    if attestor.match_identity == Some(true) {
        members.insert("matchIdentity".to_owned(), json!(true));
    }
    let mut owned = Map::new();
    owned.insert("noteReference".to_owned(), json!(attestor.note.to_string()));
    if !attestor.keys.is_empty() {
        owned.insert(
            "publicKeys".to_owned(),
            attestor.keys.iter().map(write_key).collect(),
        );
    }
    if !service_account.is_empty() {
        owned.insert("delegationServiceAccountEmail".to_owned(), json!(service_account));
    }
    members.insert(view.field().to_owned(), owned.into());
    write_stamp(&mut members, stamp);
    serde_json::Value::Object(members)
}

fn write_key(key: &AttestorKey) -> serde_json::Value {
    let mut members = Map::new();
    members.insert("id".to_owned(), json!(key.id()));
    if !key.comment().is_empty() {
        members.insert("comment".to_owned(), json!(key.comment()));
    }
    match key.key() {
        PublicKey::Pgp(certificate) => {
            members.insert(
                "asciiArmoredPgpPublicKey".to_owned(),
                json!(certificate.armored()),
            );
        }
        PublicKey::Pkix(pkix) => {
            let value = json!({
                "publicKeyPem": pkix.pem(),
                "signatureAlgorithm": pkix.algorithm().name(),
                "keyId": key.id(),
            });
            members.insert("pkixPublicKey".to_owned(), value);
        }
    }
    if let Some(validity) = key_validity::write(key.validity()) {
        members.insert(key_validity::FIELD.to_owned(), validity);
    }
    serde_json::Value::Object(members)
}

/// The question whether an attestation would count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidateRequest {
    /// The payload that was signed.
    pub payload: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// The note it is attached to.
    pub note: NoteName,
    /// The image it is about, with or without a scheme.
    pub resource_uri: String,
}

/// Reads a `ValidateAttestationOccurrenceRequest`. `attestor` is in the path.
pub fn read_validate_request(value: Value) -> Result<ValidateRequest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("attestor");
    // That it has no signature is an answer of the validation, not a mistake in the question.
    let attestation = read_attestation(object.take_object("attestation")?, 0)?;
    let note = object.take_parsed("occurrenceNote")?;
    let resource_uri = object.take_string("occurrenceResourceUri")?;
    object.finish()?;
    Ok(ValidateRequest {
        payload: attestation.payload,
        signatures: attestation.signatures,
        note,
        resource_uri,
    })
}

/// Writes the answer: `None` is "it counts".
pub fn write_validate_response(denial: Option<&str>) -> serde_json::Value {
    match denial {
        None => json!({ "result": "VERIFIED" }),
        Some(reason) => json!({ "result": "ATTESTATION_NOT_VERIFIABLE", "denialReason": reason }),
    }
}
