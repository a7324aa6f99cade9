//! `attestors public-keys`: the keys that speak for an attestor.

use std::path::PathBuf;

use binauthz_core::key::SignatureAlgorithm;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::files;
use crate::{
    client::Client,
    failure::{Exit, Failure},
    key_flags::KeyVersionFlags,
    names, output,
    settings::Settings,
};

/// What to do with public keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a key: of the key service, or from a PKIX (PEM) or PGP file
    #[command(
        after_help = "Examples:\n  binauthz attestors public-keys add --attestor=image-signing-attestor \\\n      \
        --keyversion-location=global --keyversion-keyring=image-signing --keyversion-key=image-signer --keyversion=1\n  \
        binauthz attestors public-keys add --attestor=qa \\\n      \
        --pkix-public-key-file=qa.pem --pkix-public-key-algorithm=ecdsa-p256-sha256"
    )]
    Add(AddFlags),
    /// Change the comment of a key or when it counts, or replace a PGP key by a newer copy of itself
    #[command(
        after_help = "Examples:\n  binauthz attestors public-keys update KEY_ID --attestor=qa --comment='QA, 2026'\n  \
        binauthz attestors public-keys update KEY_ID --attestor=qa \\\n      \
        --compromised-since=2026-11-28T00:00:00Z --keep-earlier-attestations"
    )]
    Update(UpdateFlags),
    /// Remove a key: what it signed no longer counts
    #[command(after_help = "Examples:\n  binauthz attestors public-keys remove KEY_ID --attestor=qa")]
    Remove(RemoveFlags),
}

/// The attestor whose keys are changed.
#[derive(Debug, Args)]
pub(crate) struct AttestorFlags {
    /// Id, or `projects/PROJECT/attestors/ATTESTOR`
    #[arg(long)]
    attestor: String,
    /// Project of the attestor, where it differs
    #[arg(long, value_name = "PROJECT")]
    attestor_project: Option<String>,
}

/// A key to add: exactly one of the three kinds.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("kind").required(true).args(["keyversion", "pkix_public_key_file", "pgp_public_key_file"])))]
pub struct AddFlags {
    #[command(flatten)]
    attestor: AttestorFlags,
    #[command(flatten)]
    key: KeyVersionFlags,
    /// PEM file with a public key
    #[arg(long, value_name = "FILE", requires = "pkix_public_key_algorithm")]
    pkix_public_key_file: Option<PathBuf>,
    /// Algorithm of that key: ecdsa-p256-sha256, rsa-sign-pkcs1-4096-sha512, …
    #[arg(long, value_name = "ALGORITHM", requires = "pkix_public_key_file", value_parser = signature_algorithm)]
    pkix_public_key_algorithm: Option<SignatureAlgorithm>,
    /// Armored PGP public key
    #[arg(long, value_name = "FILE")]
    pgp_public_key_file: Option<PathBuf>,
    /// Id of the key, where the derived one is not wanted
    #[arg(long, value_name = "ID", conflicts_with = "pgp_public_key_file")]
    public_key_id_override: Option<String>,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
}

/// What to change about a key.
#[derive(Debug, Args)]
pub struct UpdateFlags {
    /// Id of the key
    key_id: String,
    #[command(flatten)]
    attestor: AttestorFlags,
    /// Newer copy of the PGP key
    #[arg(long, value_name = "FILE")]
    pgp_public_key_file: Option<PathBuf>,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
    #[command(flatten)]
    validity: ValidityFlags,
}

/// When a key counts. What is not named stays as it is.
#[derive(Debug, Args)]
pub(crate) struct ValidityFlags {
    /// The key counts from this time on, e.g. 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// The key counts no more at this time
    #[arg(long, value_name = "TIME")]
    not_after: Option<String>,
    /// Since this time somebody else may have the key: nothing by it that the server received since counts, nor before
    #[arg(long, value_name = "TIME")]
    compromised_since: Option<String>,
    /// What the server received before the key was compromised stays good
    #[arg(long)]
    keep_earlier_attestations: bool,
    /// The key counts at all times, and is not compromised
    #[arg(long, conflicts_with_all = ["not_before", "not_after", "compromised_since", "keep_earlier_attestations"])]
    always_valid: bool,
}

impl ValidityFlags {
    /// Writes what was asked for into a key as the API has it. The server reads the times.
    fn apply(&self, key: &mut Value) {
        let mut validity = match key.get("keyValidity").and_then(Value::as_object) {
            Some(present) if !self.always_valid => present.clone(),
            _ => serde_json::Map::new(),
        };
        let times = [
            ("notBefore", &self.not_before),
            ("notAfter", &self.not_after),
            ("compromisedSince", &self.compromised_since),
        ];
        let given = times
            .iter()
            .filter_map(|(field, time)| Some((*field, time.as_ref()?)));
        let is_given = given.clone().next().is_some();
        validity.extend(given.map(|(field, time)| (field.to_owned(), json!(time))));
        if self.keep_earlier_attestations {
            validity.insert("keepEarlierAttestations".to_owned(), json!(true));
        }
        if is_given || self.keep_earlier_attestations || self.always_valid {
            key["keyValidity"] = validity.into();
        }
    }
}

/// Which key to remove.
#[derive(Debug, Args)]
pub struct RemoveFlags {
    /// Id of the key
    key_id: String,
    #[command(flatten)]
    attestor: AttestorFlags,
}

impl Command {
    /// Reads the attestor, changes its keys, writes it back with the etag it was read with.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let attestor_flags = match self {
            Command::Add(flags) => &flags.attestor,
            Command::Update(flags) => &flags.attestor,
            Command::Remove(flags) => &flags.attestor,
        };
        let name = names::attestor(
            &attestor_flags.attestor,
            attestor_flags.attestor_project.as_deref(),
            settings,
        )?;
        let path = names::path("v1", &name);
        let new_key = match self {
            Command::Add(flags) => Some(key_to_add(flags, &client, settings).await?),
            _ => None,
        };
        let mut attestor = client.get(&path, &[]).await?;
        let keys = keys_of(&mut attestor).ok_or_else(|| {
            Failure::refused(format_args!(
                "`{name}` has no note of its own; the server's answer is odd"
            ))
        })?;
        let before: Vec<Value> = keys.iter().filter_map(|key| key.get("id").cloned()).collect();
        match self {
            Command::Add(_) => keys.extend(new_key),
            Command::Update(flags) => update(keys, flags)?,
            Command::Remove(flags) => remove(keys, &flags.key_id)?,
        }
        let mut written = client.put(&path, &attestor).await?;
        let added = keys_of(&mut written).and_then(|keys| {
            keys.iter()
                .find(|key| key.get("id").is_some_and(|id| !before.contains(id)))
                .cloned()
        });
        match (self, added) {
            // As gcloud: the key that is new is what gets printed.
            (Command::Add(_), Some(key)) => output::show_one(settings.format.as_ref(), &key)?,
            _ => output::show_done(
                settings.format.as_ref(),
                &written,
                &format!("Updated attestor [{name}]."),
            )?,
        }
        Ok(Exit::Done)
    }
}

async fn key_to_add(flags: &AddFlags, client: &Client, settings: &Settings) -> Result<Value, Failure> {
    let mut key = match (&flags.pkix_public_key_file, &flags.pgp_public_key_file) {
        (Some(file), _) => {
            let algorithm = flags
                .pkix_public_key_algorithm
                .map_or("", SignatureAlgorithm::name);
            json!({"pkixPublicKey": {"publicKeyPem": files::read_text(file)?, "signatureAlgorithm": algorithm}})
        }
        (None, Some(file)) => json!({"asciiArmoredPgpPublicKey": files::read_text(file)?}),
        (None, None) => key_of_service(flags, client, settings).await?,
    };
    if let Some(id) = &flags.public_key_id_override {
        key["id"] = json!(id);
    }
    if let Some(comment) = &flags.comment {
        key["comment"] = json!(comment);
    }
    Ok(key)
}

async fn key_of_service(flags: &AddFlags, client: &Client, settings: &Settings) -> Result<Value, Failure> {
    let version = flags.key.name(settings)?;
    let public_key = client
        .get(&format!("{}/publicKey", names::path("v1", &version)), &[])
        .await?;
    let text = |field: &str| {
        public_key
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let algorithm = SignatureAlgorithm::from_name(&text("algorithm")).ok_or_else(|| {
        Failure::usage(format_args!("an attestor cannot use a key with the algorithm `{}`", text("algorithm")))
            .advise("expected a key made with e.g. --default-algorithm=ec-sign-p256-sha256 or rsa-sign-pkcs1-4096-sha512")
    })?;
    Ok(json!({
        "id": client.key_id(&version.to_string()),
        "pkixPublicKey": {"publicKeyPem": text("pem"), "signatureAlgorithm": algorithm.name()},
    }))
}

/// The `publicKeys` of an attestor, made where there are none.
fn keys_of(attestor: &mut Value) -> Option<&mut Vec<Value>> {
    let note = attestor.get_mut("userOwnedGrafeasNote")?.as_object_mut()?;
    note.entry("publicKeys")
        .or_insert_with(|| json!([]))
        .as_array_mut()
}

fn update(keys: &mut [Value], flags: &UpdateFlags) -> Result<(), Failure> {
    let key = keys
        .iter_mut()
        .find(|key| has_id(key, &flags.key_id))
        .ok_or_else(|| no_such_key(&flags.key_id))?;
    if let Some(comment) = &flags.comment {
        key["comment"] = json!(comment);
    }
    flags.validity.apply(key);
    if let Some(file) = &flags.pgp_public_key_file {
        if key.get("asciiArmoredPgpPublicKey").is_none() {
            return Err(Failure::usage(format_args!(
                "`{}` is not a PGP key",
                flags.key_id
            )));
        }
        key["asciiArmoredPgpPublicKey"] = json!(files::read_text(file)?);
    }
    Ok(())
}

fn remove(keys: &mut Vec<Value>, id: &str) -> Result<(), Failure> {
    let before = keys.len();
    keys.retain(|key| !has_id(key, id));
    if keys.len() == before {
        Err(no_such_key(id))
    } else {
        Ok(())
    }
}

fn has_id(key: &Value, id: &str) -> bool {
    key.get("id").and_then(Value::as_str) == Some(id)
}

fn no_such_key(id: &str) -> Failure {
    Failure::refused(format_args!("the attestor has no public key `{id}`"))
        .advise("binauthz attestors describe ATTESTOR shows the ids")
}

/// `ecdsa-p256-sha256` as gcloud takes it, or the name of the enum value.
pub(crate) fn signature_algorithm(text: &str) -> Result<SignatureAlgorithm, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    SignatureAlgorithm::from_name(&name).ok_or_else(|| {
        let known = SignatureAlgorithm::TABLE
            .iter()
            .map(|row| row.2.to_ascii_lowercase().replace('_', "-"));
        format!("expected one of {}", known.collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_read_as_gcloud_spells_them() {
        let table = [
            ("ecdsa-p256-sha256", "ECDSA_P256_SHA256"),
            ("ec-sign-p256-sha256", "ECDSA_P256_SHA256"),
            ("RSA_SIGN_PKCS1_4096_SHA512", "RSA_SIGN_PKCS1_4096_SHA512"),
            ("rsa-sign-pss-2048-sha256", "RSA_PSS_2048_SHA256"),
        ];
        for (text, expected) in table {
            assert_eq!(
                signature_algorithm(text).map(SignatureAlgorithm::name),
                Ok(expected)
            );
        }
        for wrong in ["", "md5", "ed25519", "rsa"] {
            assert!(
                signature_algorithm(wrong).is_err_and(|error| error.contains("ecdsa-p521-sha512")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_is_not_named_of_a_validity_stays() {
        let none = ValidityFlags {
            not_before: None,
            not_after: None,
            compromised_since: None,
            keep_earlier_attestations: false,
            always_valid: false,
        };
        let before = json!({"id": "a", "keyValidity": {"notBefore": "x", "notAfter": "y"}});
        let applied = |flags: &ValidityFlags, key: &Value| {
            let mut key = key.clone();
            flags.apply(&mut key);
            key
        };
        assert_eq!(applied(&none, &before), before);
        assert_eq!(applied(&none, &json!({"id": "a"})), json!({"id": "a"}));
        let marked = ValidityFlags {
            compromised_since: Some("z".to_owned()),
            keep_earlier_attestations: true,
            ..none
        };
        let expected = json!({"notBefore": "x", "notAfter": "y", "compromisedSince": "z", "keepEarlierAttestations": true});
        assert_eq!(applied(&marked, &before)["keyValidity"], expected);
        let always = ValidityFlags {
            compromised_since: None,
            keep_earlier_attestations: false,
            always_valid: true,
            ..marked
        };
        // Empty and not absent: that would leave it as it is.
        assert_eq!(applied(&always, &before)["keyValidity"], json!({}));
    }

    #[test]
    fn keys_are_found_by_their_whole_id() {
        let mut keys = vec![json!({"id": "a"}), json!({"id": "ab"})];
        assert!(remove(&mut keys, "b").is_err());
        assert!(remove(&mut keys, "a").is_ok());
        assert_eq!(keys, [json!({"id": "ab"})]);
    }
}
