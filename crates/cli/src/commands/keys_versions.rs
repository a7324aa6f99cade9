//! `keys versions`: enabled, disabled, scheduled for destruction.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use binauthz_core::name::CryptoKeyName;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{files, keys::RingFlags};
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
};

/// What to do with key versions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a new version
    #[command(
        after_help = "Examples:\n  binauthz keys versions create --key=image-signer --keyring=image-signing --location=global"
    )]
    Create(OfKeyFlags),
    /// Make a private key of your own the next version: PEM, PKCS #8 or the older forms, without a pass phrase
    #[command(
        after_help = "Examples:\n  binauthz keys versions import --key=image-signer --keyring=image-signing --location=global \\\n      \
        --pem-file=signer.key"
    )]
    Import(ImportFlags),
    /// List the versions of a key
    #[command(
        after_help = "Examples:\n  binauthz keys versions list --key=image-signer --keyring=image-signing --location=global"
    )]
    List(ListVersionsFlags),
    /// Show a version
    #[command(
        after_help = "Examples:\n  binauthz keys versions describe 1 --key=image-signer --keyring=image-signing --location=global"
    )]
    Describe(VersionFlags),
    /// Let a version sign again
    #[command(
        after_help = "Examples:\n  binauthz keys versions enable 1 --key=image-signer --keyring=image-signing --location=global"
    )]
    Enable(VersionFlags),
    /// Stop a version from signing; what it signed stays good
    #[command(
        after_help = "Examples:\n  binauthz keys versions disable 1 --key=image-signer --keyring=image-signing --location=global"
    )]
    Disable(VersionFlags),
    /// Schedule the destruction of a version; until then it can be restored
    #[command(
        after_help = "Examples:\n  binauthz keys versions destroy 1 --key=image-signer --keyring=image-signing --location=global"
    )]
    Destroy(VersionFlags),
    /// Take back a scheduled destruction; the version is disabled then
    #[command(
        after_help = "Examples:\n  binauthz keys versions restore 1 --key=image-signer --keyring=image-signing --location=global"
    )]
    Restore(VersionFlags),
    /// Print the public key of a version as PEM
    #[command(
        after_help = "Examples:\n  binauthz keys versions get-public-key 1 --key=image-signer --keyring=image-signing \\\n      \
        --location=global --output-file=image-signer.pem"
    )]
    GetPublicKey(PublicKeyFlags),
}

/// The key whose versions are meant.
#[derive(Debug, Args)]
pub struct OfKeyFlags {
    /// Key: id, or the full name
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    ring: RingFlags,
}

/// A private key to be kept.
#[derive(Debug, Args)]
pub struct ImportFlags {
    #[command(flatten)]
    key: OfKeyFlags,
    /// File with the private key; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pem_file: PathBuf,
}

/// The versions of a key.
#[derive(Debug, Args)]
pub struct ListVersionsFlags {
    #[command(flatten)]
    key: OfKeyFlags,
    #[command(flatten)]
    list: ListFlags,
}

/// A version.
#[derive(Debug, Args)]
pub struct VersionFlags {
    /// Version number, or the full name
    version: String,
    #[command(flatten)]
    key: OfKeyFlags,
}

/// A version and where its public key goes.
#[derive(Debug, Args)]
pub struct PublicKeyFlags {
    #[command(flatten)]
    version: VersionFlags,
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_parser = ["pem", "der"], default_value = "pem")]
    public_key_format: String,
    /// Where it goes; standard output by default
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl OfKeyFlags {
    pub(super) fn name(&self, settings: &Settings) -> Result<CryptoKeyName, Failure> {
        self.ring
            .key(names::required(self.key.as_deref(), "--key")?, settings)
    }
}

impl VersionFlags {
    fn path(&self, settings: &Settings) -> Result<String, Failure> {
        Ok(names::path(
            "v1",
            &names::key_version(&self.version, || self.key.name(settings))?,
        ))
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let path = format!("/v1/{}/cryptoKeyVersions", flags.name(settings)?);
                output::show_one(format, &client.post(&path, &[], &json!({})).await?)?;
            }
            Command::Import(flags) => {
                let path = format!(
                    "/binauthz/v1/{}/cryptoKeyVersions:importPem",
                    flags.key.name(settings)?
                );
                let pem = Zeroizing::new(files::read_text(&flags.pem_file)?);
                output::show_one(format, &client.post(&path, &[], &json!({"pem": *pem})).await?)?;
            }
            Command::List(flags) => {
                let path = format!("/v1/{}/cryptoKeyVersions", flags.key.name(settings)?);
                let list = List {
                    path: &path,
                    query: &[],
                    field: "cryptoKeyVersions",
                    columns: "name,state,algorithm,createTime",
                };
                return flags.list.show(&list, settings).await;
            }
            Command::Describe(flags) => {
                output::show_one(format, &client.get(&flags.path(settings)?, &[]).await?)?
            }
            Command::Enable(flags) => {
                let enabled = client
                    .patch(&flags.path(settings)?, "state", &json!({"state": "ENABLED"}))
                    .await?;
                output::show_one(format, &enabled)?;
            }
            Command::Disable(flags) => {
                let disabled = client
                    .patch(&flags.path(settings)?, "state", &json!({"state": "DISABLED"}))
                    .await?;
                output::show_one(format, &disabled)?;
            }
            Command::Destroy(flags) => {
                let path = format!("{}:destroy", flags.path(settings)?);
                output::show_one(format, &client.post(&path, &[], &json!({})).await?)?;
            }
            Command::Restore(flags) => {
                let path = format!("{}:restore", flags.path(settings)?);
                output::show_one(format, &client.post(&path, &[], &json!({})).await?)?;
            }
            Command::GetPublicKey(flags) => {
                let path = format!("{}/publicKey", flags.version.path(settings)?);
                let key = client.get(&path, &[]).await?;
                let pem = key.get("pem").and_then(Value::as_str).unwrap_or("");
                let bytes = match flags.public_key_format.as_str() {
                    "der" => der(pem)?,
                    _ => pem.as_bytes().to_vec(),
                };
                files::write(flags.output_file.as_deref(), &bytes)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// What is between the lines of a PEM file.
fn der(pem: &str) -> Result<Vec<u8>, Failure> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD
        .decode(body)
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| Failure::usage("the key service answered without a public key in PEM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_is_what_pem_wraps() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAEC\nAwQ=\n-----END PUBLIC KEY-----\n";
        assert_eq!(der(pem).expect("bytes"), [0, 1, 2, 3, 4]);
        for wrong in [
            "",
            "-----BEGIN X-----\n-----END X-----\n",
            "-----BEGIN X-----\n!\n-----END X-----\n",
        ] {
            assert!(der(wrong).is_err(), "{wrong}");
        }
    }
}
