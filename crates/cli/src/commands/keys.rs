//! `keys`: signing keys, their versions, and signing any file with one.

use std::path::PathBuf;

use binauthz_core::name::CryptoKeyName;
use binauthz_keyring::KeyAlgorithm;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{files, keys_versions};
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
    signing,
};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a key; its first version can sign at once
    #[command(
        after_help = "Examples:\n  binauthz keys create image-signer --keyring=image-signing --location=global \\\n      \
        --purpose=asymmetric-signing --default-algorithm=rsa-sign-pkcs1-4096-sha512"
    )]
    Create(CreateFlags),
    /// List the keys of a key ring
    #[command(after_help = "Examples:\n  binauthz keys list --keyring=image-signing --location=global")]
    List(ListKeysFlags),
    /// Show a key
    #[command(
        after_help = "Examples:\n  binauthz keys describe image-signer --keyring=image-signing --location=global"
    )]
    Describe(KeyFlags),
    /// The versions of a key
    #[command(subcommand)]
    Versions(keys_versions::Command),
    /// Sign a file
    #[command(
        after_help = "Examples:\n  binauthz keys sign --version=1 --key=image-signer --keyring=image-signing \\\n      \
        --location=global --input-file=payload.json --signature-file=payload.sig"
    )]
    Sign(SignFlags),
}

/// A key ring.
#[derive(Debug, Args)]
pub(super) struct RingFlags {
    /// Key ring: id, or the full name
    #[arg(long)]
    pub(super) keyring: Option<String>,
    /// Location of the key ring
    #[arg(long)]
    pub(super) location: Option<String>,
}

/// The keys of a key ring.
#[derive(Debug, Args)]
pub struct ListKeysFlags {
    #[command(flatten)]
    ring: RingFlags,
    #[command(flatten)]
    list: ListFlags,
}

/// A key.
#[derive(Debug, Args)]
pub struct KeyFlags {
    /// Id, or the full name
    key: String,
    #[command(flatten)]
    ring: RingFlags,
}

/// A new key.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    key: KeyFlags,
    /// What the key is for
    #[arg(long, default_value = "asymmetric-signing", value_parser = ["asymmetric-signing"])]
    purpose: String,
    /// Algorithm: ec-sign-p256-sha256, rsa-sign-pkcs1-4096-sha512, …
    #[arg(long, value_name = "ALGORITHM", value_parser = key_algorithm)]
    default_algorithm: KeyAlgorithm,
    /// Where the key lives
    #[arg(long, default_value = "software", value_parser = ["software"])]
    protection_level: String,
    /// Make the key without a version
    #[arg(long)]
    skip_initial_version_creation: bool,
}

/// A file to sign.
#[derive(Debug, Args)]
pub struct SignFlags {
    /// Version number, or the full name
    #[arg(long)]
    version: String,
    #[command(flatten)]
    key: keys_versions::OfKeyFlags,
    /// What to sign; `-` is standard input
    #[arg(long, value_name = "FILE")]
    input_file: PathBuf,
    /// Where the signature goes; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    signature_file: PathBuf,
}

impl RingFlags {
    pub(super) fn key(&self, key: &str, settings: &Settings) -> Result<CryptoKeyName, Failure> {
        names::crypto_key(key, self.keyring.as_deref(), self.location.as_deref(), settings)
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => return create(flags, settings).await,
            Command::List(flags) => {
                let ring = names::required(flags.ring.keyring.as_deref(), "--keyring")?;
                let ring = names::key_ring(ring, flags.ring.location.as_deref(), settings)?;
                let path = format!("/v1/{ring}/cryptoKeys");
                let list = List {
                    path: &path,
                    query: &[],
                    field: "cryptoKeys",
                    columns: "name,purpose,versionTemplate.algorithm,versionTemplate.protectionLevel",
                };
                return flags.list.show(&list, settings).await;
            }
            Command::Describe(flags) => {
                let name = flags.ring.key(&flags.key, settings)?;
                output::show_one(
                    format,
                    &settings.client()?.get(&names::path("v1", &name), &[]).await?,
                )?;
            }
            Command::Versions(command) => return command.run(settings).await,
            Command::Sign(flags) => {
                let version = names::key_version(&flags.version, || flags.key.name(settings))?;
                let message = files::read(&flags.input_file)?;
                let signed = signing::with_key_service(&settings.client()?, &version, &message).await?;
                files::write(Some(&flags.signature_file), &signed.signature)?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn create(flags: &CreateFlags, settings: &Settings) -> Result<Exit, Failure> {
    let name = flags.key.ring.key(&flags.key.key, settings)?;
    let path = format!(
        "/v1/projects/{}/locations/{}/keyRings/{}/cryptoKeys",
        name.project(),
        name.location(),
        name.key_ring()
    );
    let key = json!({
        "purpose": "ASYMMETRIC_SIGN",
        "versionTemplate": {
            "algorithm": flags.default_algorithm.name(),
            "protectionLevel": flags.protection_level.to_ascii_uppercase(),
        },
    });
    let mut query = vec![("cryptoKeyId", name.crypto_key().as_str())];
    if flags.skip_initial_version_creation {
        query.push(("skipInitialVersionCreation", "true"));
    }
    let created: Value = settings.client()?.post(&path, &query, &key).await?;
    output::show_done(
        settings.format.as_ref(),
        &created,
        &format!("Created key [{name}] for {}.", flags.purpose),
    )?;
    Ok(Exit::Done)
}

/// `ec-sign-p256-sha256` as gcloud takes it, or the name of the enum value.
fn key_algorithm(text: &str) -> Result<KeyAlgorithm, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    KeyAlgorithm::cloud_kms()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| {
            let available = KeyAlgorithm::cloud_kms().filter(|algorithm| algorithm.check_available().is_ok());
            let names = available.map(|algorithm| algorithm.name().to_ascii_lowercase().replace('_', "-"));
            format!("expected one of {}", names.collect::<Vec<_>>().join(", "))
        })
}
