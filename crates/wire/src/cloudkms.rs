//! `cloudkms.googleapis.com` v1: key rings, signing keys, their versions, signatures.

use std::time::Duration;

use binauthz_core::time::UnixTime;
use serde_json::{Map, Value as Json, json};

use crate::json::{EnumRow, InvalidField, Object, Value, bytes_out, duration_out, enum_name, timestamp_out};

/// What Cloud KMS allows.
const MAX_LABELS: usize = 64;
const MAX_LABEL_CHARACTERS: usize = 63;

/// What a key is for. Only one of them is kept here; the others are known so that the refusal can name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    AsymmetricSign,
    Other,
}

const PURPOSES: &[EnumRow<Purpose>] = &[
    ("ASYMMETRIC_SIGN", 5, Purpose::AsymmetricSign),
    ("ENCRYPT_DECRYPT", 1, Purpose::Other),
    ("ASYMMETRIC_DECRYPT", 6, Purpose::Other),
    ("RAW_ENCRYPT_DECRYPT", 7, Purpose::Other),
    ("MAC", 9, Purpose::Other),
    ("KEY_ENCAPSULATION", 10, Purpose::Other),
];

/// Where a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtectionLevel {
    /// Sealed in the database, and in memory when it is used.
    Software,
    /// In a token, which it never leaves.
    Hsm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Here(ProtectionLevel),
    Elsewhere,
}

const PROTECTION_LEVELS: &[EnumRow<Protection>] = &[
    ("SOFTWARE", 1, Protection::Here(ProtectionLevel::Software)),
    ("HSM", 2, Protection::Here(ProtectionLevel::Hsm)),
    ("EXTERNAL", 3, Protection::Elsewhere),
    ("EXTERNAL_VPC", 4, Protection::Elsewhere),
];

impl ProtectionLevel {
    /// As the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        enum_name(PROTECTION_LEVELS, Protection::Here(self))
    }
}

/// The signing algorithms. Which of them can be had is the keyring's to say.
pub const SIGNING_ALGORITHMS: &[EnumRow<&str>] = &[
    ("RSA_SIGN_PSS_2048_SHA256", 2, "RSA_SIGN_PSS_2048_SHA256"),
    ("RSA_SIGN_PSS_3072_SHA256", 3, "RSA_SIGN_PSS_3072_SHA256"),
    ("RSA_SIGN_PSS_4096_SHA256", 4, "RSA_SIGN_PSS_4096_SHA256"),
    ("RSA_SIGN_PSS_4096_SHA512", 15, "RSA_SIGN_PSS_4096_SHA512"),
    ("RSA_SIGN_PKCS1_2048_SHA256", 5, "RSA_SIGN_PKCS1_2048_SHA256"),
    ("RSA_SIGN_PKCS1_3072_SHA256", 6, "RSA_SIGN_PKCS1_3072_SHA256"),
    ("RSA_SIGN_PKCS1_4096_SHA256", 7, "RSA_SIGN_PKCS1_4096_SHA256"),
    ("RSA_SIGN_PKCS1_4096_SHA512", 16, "RSA_SIGN_PKCS1_4096_SHA512"),
    ("RSA_SIGN_RAW_PKCS1_2048", 28, "RSA_SIGN_RAW_PKCS1_2048"),
    ("RSA_SIGN_RAW_PKCS1_3072", 29, "RSA_SIGN_RAW_PKCS1_3072"),
    ("RSA_SIGN_RAW_PKCS1_4096", 30, "RSA_SIGN_RAW_PKCS1_4096"),
    ("EC_SIGN_P256_SHA256", 12, "EC_SIGN_P256_SHA256"),
    ("EC_SIGN_P384_SHA384", 13, "EC_SIGN_P384_SHA384"),
    ("EC_SIGN_SECP256K1_SHA256", 31, "EC_SIGN_SECP256K1_SHA256"),
    ("EC_SIGN_ED25519", 40, "EC_SIGN_ED25519"),
    ("PQ_SIGN_ML_DSA_65", 56, "PQ_SIGN_ML_DSA_65"),
    ("PQ_SIGN_SLH_DSA_SHA2_128S", 57, "PQ_SIGN_SLH_DSA_SHA2_128S"),
    (
        "PQ_SIGN_HASH_SLH_DSA_SHA2_128S_SHA256",
        60,
        "PQ_SIGN_HASH_SLH_DSA_SHA2_128S_SHA256",
    ),
];

/// A key as its creator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCryptoKey {
    /// One of [`SIGNING_ALGORITHMS`].
    pub algorithm: &'static str,
    /// Where its versions live.
    pub protection: ProtectionLevel,
    /// Names and values, in the order given.
    pub labels: Vec<(String, String)>,
    /// How long a version waits for its destruction, in whole seconds.
    pub destroy_scheduled_duration: Option<Duration>,
}

/// Reads the key of a create request. What a signing key cannot have is refused by its name.
pub fn read_new_crypto_key(value: Value) -> Result<NewCryptoKey, InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in ["name", "createTime", "primary"] {
        object.ignore(field);
    }
    if object.take_enum("purpose", PURPOSES)? == Purpose::Other {
        return Err(object.refused(
            "purpose",
            "this server keeps signing keys only; expected `ASYMMETRIC_SIGN`",
        ));
    }
    for field in ["nextRotationTime", "rotationPeriod"] {
        if object.has(field) {
            return Err(object.refused(field, "an ASYMMETRIC_SIGN key does not rotate; leave it out"));
        }
        object.ignore(field);
    }
    if object.take_optional_bool("importOnly")? == Some(true) {
        return Err(object.refused("importOnly", "keys are not imported through this API"));
    }
    let mut template = object.take_object("versionTemplate")?;
    let algorithm = template.take_enum("algorithm", SIGNING_ALGORITHMS)?;
    let protection = read_protection(&mut template)?.unwrap_or(ProtectionLevel::Software);
    template.finish()?;
    let labels = read_labels(&mut object)?;
    let destroy_scheduled_duration = object.take_optional_duration("destroyScheduledDuration")?;
    if destroy_scheduled_duration.is_some_and(|duration| duration.subsec_nanos() != 0) {
        return Err(object.refused("destroyScheduledDuration", "must be whole seconds"));
    }
    object.finish()?;
    Ok(NewCryptoKey {
        algorithm,
        protection,
        labels,
        destroy_scheduled_duration,
    })
}

/// What an update may say about a key; which of it counts, the field mask says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CryptoKeyPatch {
    /// Absent labels mean none.
    pub labels: Vec<(String, String)>,
    /// One of [`SIGNING_ALGORITHMS`].
    pub algorithm: Option<&'static str>,
    /// Where its versions live, which cannot be changed.
    pub protection: Option<ProtectionLevel>,
}

/// Reads the key of an update request, whole or in part.
pub fn read_crypto_key_patch(value: Value) -> Result<CryptoKeyPatch, InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in [
        "name",
        "createTime",
        "primary",
        "purpose",
        "importOnly",
        "destroyScheduledDuration",
    ] {
        object.ignore(field);
    }
    let (algorithm, protection) = match object.take_optional_object("versionTemplate")? {
        Some(mut template) => {
            let algorithm = template.take_optional_enum("algorithm", SIGNING_ALGORITHMS)?;
            let protection = read_protection(&mut template)?;
            template.finish()?;
            (algorithm, protection)
        }
        None => (None, None),
    };
    let labels = read_labels(&mut object)?;
    object.finish()?;
    Ok(CryptoKeyPatch {
        labels,
        algorithm,
        protection,
    })
}

fn read_protection(template: &mut Object) -> Result<Option<ProtectionLevel>, InvalidField> {
    match template.take_optional_enum("protectionLevel", PROTECTION_LEVELS)? {
        None => Ok(None),
        Some(Protection::Here(level)) => Ok(Some(level)),
        Some(Protection::Elsewhere) => Err(template.refused(
            "protectionLevel",
            "this server keeps keys itself or in a token; expected `SOFTWARE` or `HSM`",
        )),
    }
}

fn read_labels(object: &mut Object) -> Result<Vec<(String, String)>, InvalidField> {
    let labels = object.take_string_map("labels")?;
    if labels.len() > MAX_LABELS {
        return Err(object.refused("labels", format_args!("has more than {MAX_LABELS} entries")));
    }
    let small = |letter: char| letter.is_alphabetic() && !letter.is_uppercase();
    let legal = |text: &str| {
        let character = |letter: char| small(letter) || letter.is_numeric() || matches!(letter, '-' | '_');
        text.chars().count() <= MAX_LABEL_CHARACTERS && text.chars().all(character)
    };
    for (key, value) in &labels {
        if !legal(key) || !legal(value) || !key.starts_with(small) {
            let rule = "lower-case letters, digits, `-` or `_`, at most 63 of them, the name beginning with a letter";
            return Err(object.refused(
                "labels",
                format_args!("`{}` is not a label; expected {rule}", key.escape_debug()),
            ));
        }
    }
    Ok(labels)
}

/// The states a version can be put in by an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedState {
    /// Usable.
    Enabled,
    /// Not usable for now.
    Disabled,
    /// Another state of the enumeration, which an update cannot reach.
    Unreachable,
}

const STATES: &[EnumRow<RequestedState>] = &[
    ("ENABLED", 1, RequestedState::Enabled),
    ("DISABLED", 2, RequestedState::Disabled),
    ("DESTROYED", 3, RequestedState::Unreachable),
    ("DESTROY_SCHEDULED", 4, RequestedState::Unreachable),
    ("PENDING_GENERATION", 5, RequestedState::Unreachable),
    ("PENDING_IMPORT", 6, RequestedState::Unreachable),
    ("IMPORT_FAILED", 7, RequestedState::Unreachable),
    ("GENERATION_FAILED", 8, RequestedState::Unreachable),
    ("PENDING_EXTERNAL_DESTRUCTION", 9, RequestedState::Unreachable),
    ("EXTERNAL_DESTRUCTION_FAILED", 10, RequestedState::Unreachable),
];

/// Reads the version of an update request: the state, which is all that can be updated.
pub fn read_version_patch(value: Value) -> Result<RequestedState, InvalidField> {
    let mut object = Object::new(value, "")?;
    ignore_version_output(&mut object);
    let state = object.take_enum("state", STATES)?;
    if state == RequestedState::Unreachable {
        let reason = "can be set to `ENABLED` or `DISABLED`; versions are destroyed with `:destroy` and come back with `:restore`";
        return Err(object.refused("state", reason));
    }
    object.finish()?;
    Ok(state)
}

/// Reads the version of a create request, in which nothing can be chosen.
pub fn read_new_version(value: Value) -> Result<(), InvalidField> {
    let mut object = Object::new(value, "")?;
    ignore_version_output(&mut object);
    object.ignore("state");
    object.finish()
}

fn ignore_version_output(object: &mut Object) {
    for field in [
        "name",
        "algorithm",
        "protectionLevel",
        "createTime",
        "generateTime",
        "destroyTime",
        "destroyEventTime",
        "reimportEligible",
    ] {
        object.ignore(field);
    }
}

/// The hash a digest field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// `sha256`
    Sha256,
    /// `sha384`
    Sha384,
    /// `sha512`
    Sha512,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInput {
    /// A digest, of any length so far.
    Digest(DigestKind, Vec<u8>),
    /// A message.
    Data(Vec<u8>),
}

/// `asymmetricSign`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignRequest {
    /// What is to be signed.
    pub input: SignInput,
    /// The CRC-32C the caller computed over those bytes.
    pub crc32c: Option<i64>,
}

/// Reads an `asymmetricSign` request: a digest or data, and the checksum that belongs to it.
pub fn read_sign_request(value: Value) -> Result<SignRequest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    let digest = object.take_optional_object("digest")?;
    let data = object.take_optional_bytes("data")?;
    let digest_crc32c = object.take_optional_i64("digestCrc32c")?;
    let data_crc32c = object.take_optional_i64("dataCrc32c")?;
    let request = match (digest, data) {
        (Some(_), Some(_)) => {
            return Err(object.refused("data", "is given beside `digest`; expected one of them"));
        }
        (None, None) => {
            return Err(object.refused(
                "digest",
                "is required: the digest of the message, or the message as `data`",
            ));
        }
        (Some(digest), None) => SignRequest {
            input: read_digest(digest)?,
            crc32c: digest_crc32c,
        },
        (None, Some(data)) => SignRequest {
            input: SignInput::Data(data),
            crc32c: data_crc32c,
        },
    };
    object.finish()?;
    Ok(request)
}

fn read_digest(mut object: Object) -> Result<SignInput, InvalidField> {
    let mut found = None;
    for (field, kind) in [
        ("sha256", DigestKind::Sha256),
        ("sha384", DigestKind::Sha384),
        ("sha512", DigestKind::Sha512),
    ] {
        let Some(bytes) = object.take_optional_bytes(field)? else {
            continue;
        };
        if found.is_some() {
            return Err(object.refused(field, "is a second digest; expected one"));
        }
        found = Some(SignInput::Digest(kind, bytes));
    }
    let missing = object.refused("sha256", "is required: one of `sha256`, `sha384` and `sha512`");
    object.finish()?;
    found.ok_or(missing)
}

/// The form a public key is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyFormat {
    /// `PUBLIC KEY`, the form everybody reads.
    Pem,
    /// SubjectPublicKeyInfo.
    Der,
    /// The bytes of the key alone, as the standards of post-quantum signatures define them.
    NistPqc,
}

const PUBLIC_KEY_FORMATS: &[EnumRow<PublicKeyFormat>] = &[
    ("PEM", 1, PublicKeyFormat::Pem),
    ("DER", 2, PublicKeyFormat::Der),
    ("NIST_PQC", 3, PublicKeyFormat::NistPqc),
];

/// Reads the `publicKeyFormat` of a query, by name or number; absent means PEM.
pub fn read_public_key_format(text: Option<&str>) -> Result<PublicKeyFormat, InvalidField> {
    let value = match text {
        None => return Ok(PublicKeyFormat::Pem),
        Some(text) => text
            .parse::<i64>()
            .map_or_else(|_| Value::String(text.to_owned()), |n| Value::Number(n.into())),
    };
    let mut object = Object::new(Value::Object(vec![("publicKeyFormat".to_owned(), value)]), "")?;
    Ok(object
        .take_optional_enum("publicKeyFormat", PUBLIC_KEY_FORMATS)?
        .unwrap_or(PublicKeyFormat::Pem))
}

/// A key ring.
pub fn write_key_ring(name: &str, created: UnixTime) -> Json {
    json!({ "name": name, "createTime": timestamp_out(created) })
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CryptoKey<'a> {
    /// Its full name.
    pub name: &'a str,
    /// The algorithm of its next version.
    pub algorithm: &'a str,
    /// Where its versions live.
    pub protection: ProtectionLevel,
    /// Its labels.
    pub labels: &'a [(String, String)],
    /// How long its versions wait for their destruction.
    pub destroy_scheduled_duration: Duration,
    /// When it was made.
    pub created: UnixTime,
}

/// A key.
pub fn write_crypto_key(key: &CryptoKey<'_>) -> Json {
    let mut members = Map::new();
    members.insert("name".to_owned(), key.name.into());
    members.insert(
        "purpose".to_owned(),
        enum_name(PURPOSES, Purpose::AsymmetricSign).into(),
    );
    members.insert("createTime".to_owned(), timestamp_out(key.created).into());
    let template = json!({ "protectionLevel": key.protection.name(), "algorithm": key.algorithm });
    members.insert("versionTemplate".to_owned(), template);
    if !key.labels.is_empty() {
        let labels: Map<String, Json> = key
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        members.insert("labels".to_owned(), labels.into());
    }
    members.insert(
        "destroyScheduledDuration".to_owned(),
        duration_out(key.destroy_scheduled_duration).into(),
    );
    members.into()
}

/// A version as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CryptoKeyVersion<'a> {
    /// Its full name.
    pub name: &'a str,
    /// The name of its state.
    pub state: &'a str,
    /// Its algorithm.
    pub algorithm: &'a str,
    /// Where it lives.
    pub protection: ProtectionLevel,
    /// When it was made.
    pub created: UnixTime,
    /// When its key was.
    pub generated: Option<UnixTime>,
    /// When it will be destroyed.
    pub destroy_time: Option<UnixTime>,
    /// When it was destroyed.
    pub destroyed: Option<UnixTime>,
}

/// A version.
pub fn write_version(version: &CryptoKeyVersion<'_>) -> Json {
    let mut members = Map::new();
    members.insert("name".to_owned(), version.name.into());
    members.insert("state".to_owned(), version.state.into());
    members.insert("protectionLevel".to_owned(), version.protection.name().into());
    members.insert("algorithm".to_owned(), version.algorithm.into());
    members.insert("createTime".to_owned(), timestamp_out(version.created).into());
    for (field, time) in [
        ("generateTime", version.generated),
        ("destroyTime", version.destroy_time),
        ("destroyEventTime", version.destroyed),
    ] {
        if let Some(time) = time {
            members.insert(field.to_owned(), timestamp_out(time).into());
        }
    }
    members.into()
}

/// A public key. `data` is the key in the format asked for, with its CRC-32C; the PEM form is there as well, because
/// clients read nothing else, unless the bytes of the key alone were asked for.
pub fn write_public_key(
    name: &str,
    (algorithm, protection): (&str, ProtectionLevel),
    (pem, pem_crc32c): (&str, u32),
    format: PublicKeyFormat,
    (data, data_crc32c): (&[u8], u32),
) -> Json {
    let mut key = json!({
        "name": name,
        "algorithm": algorithm,
        "protectionLevel": protection.name(),
        "publicKeyFormat": enum_name(PUBLIC_KEY_FORMATS, format),
        "publicKey": { "data": bytes_out(data), "crc32cChecksum": data_crc32c.to_string() },
    });
    if let Some(members) = key.as_object_mut()
        && format != PublicKeyFormat::NistPqc
    {
        members.insert("pem".to_owned(), pem.into());
        members.insert("pemCrc32c".to_owned(), pem_crc32c.to_string().into());
    }
    key
}

/// A signature, and whether the checksum that came with `request` was there (and right, or it would have been refused).
pub fn write_signature(
    name: &str,
    protection: ProtectionLevel,
    request: &SignRequest,
    (signature, signature_crc32c): (&[u8], u32),
) -> Json {
    let verified = match request.input {
        SignInput::Digest(..) => "verifiedDigestCrc32c",
        SignInput::Data(_) => "verifiedDataCrc32c",
    };
    json!({
        "name": name,
        "protectionLevel": protection.name(),
        "signature": bytes_out(signature),
        "signatureCrc32c": signature_crc32c.to_string(),
        verified: request.crc32c.is_some(),
    })
}

/// A location. Whether keys can live in a token depends on there being one.
pub fn write_location(project: &str, location: &str, has_token: bool) -> Json {
    let name = format!("projects/{project}/locations/{location}");
    let metadata = json!({
        "@type": "type.googleapis.com/google.cloud.kms.v1.LocationMetadata",
        "hsmAvailable": has_token,
        "ekmAvailable": false,
    });
    json!({ "name": name, "locationId": location, "metadata": metadata })
}

#[cfg(test)]
#[path = "cloudkms/tests.rs"]
mod tests;
