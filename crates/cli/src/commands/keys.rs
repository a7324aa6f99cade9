//! `keys`: signing keys, their versions, and signing any file with one.

use std::{path::PathBuf, time::Duration};

use binauthz_core::name::CryptoKeyName;
use binauthz_keyring::KeyAlgorithm;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    files,
    iam::{Action, BindingFlags},
    keys_versions,
};
use crate::{
    duration,
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
    /// Change the labels of a key, or what its next versions are made with
    #[command(
        after_help = "Examples:\n  binauthz keys update image-signer --keyring=image-signing --location=global --update-labels=team=build"
    )]
    Update(UpdateFlags),
    /// Show who may do what with a key
    #[command(
        after_help = "Examples:\n  binauthz keys get-iam-policy image-signer --keyring=image-signing --location=global"
    )]
    GetIamPolicy(KeyFlags),
    /// Replace the IAM policy of a key by a file
    #[command(
        after_help = "Examples:\n  binauthz keys set-iam-policy image-signer iam.yaml --keyring=image-signing --location=global"
    )]
    SetIamPolicy(SetIamFlags),
    /// Give a member a role on a key
    #[command(
        after_help = "Examples:\n  binauthz keys add-iam-policy-binding image-signer --keyring=image-signing --location=global \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/cloudkms.signer"
    )]
    AddIamPolicyBinding(BindFlags),
    /// Take a role on a key from a member
    #[command(
        after_help = "Examples:\n  binauthz keys remove-iam-policy-binding image-signer --keyring=image-signing --location=global \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/cloudkms.signer"
    )]
    RemoveIamPolicyBinding(BindFlags),
    /// The versions of a key
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz keys versions list --key=image-signer --keyring=image-signing --location=global"
    )]
    Versions(keys_versions::Command),
    /// Sign a file
    #[command(
        visible_alias = "asymmetric-sign",
        after_help = "Examples:\n  binauthz keys sign --version=1 --key=image-signer --keyring=image-signing \\\n      \
        --location=global --input-file=payload.json --signature-file=payload.sig"
    )]
    Sign(SignFlags),
    /// Change the master key, and seal everything anew that the old one sealed, while the server runs
    #[command(
        after_help = "Examples:\n  binauthz keys rewrap\n  binauthz keys rewrap --protection-level=hsm"
    )]
    Rewrap(RewrapFlags),
}

/// The next master key.
#[derive(Debug, Args)]
pub struct RewrapFlags {
    /// What protects it: nothing but the rights of its file, or a key of the server's PKCS #11 token [default: as the
    /// server's configuration file says]
    #[arg(long, value_parser = ["software", "hsm"])]
    protection_level: Option<String>,
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
    #[arg(long, default_value = "software", value_parser = ["software", "hsm"])]
    protection_level: String,
    /// Make the key without a version
    #[arg(long)]
    skip_initial_version_creation: bool,
    /// Labels
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long a version waits for its destruction, e.g. 30d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    destroy_scheduled_duration: Option<Duration>,
}

/// What to change of a key.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["update_labels", "remove_labels", "clear_labels", "default_algorithm"])))]
pub struct UpdateFlags {
    #[command(flatten)]
    key: KeyFlags,
    /// Labels to set
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    update_labels: Vec<(String, String)>,
    /// Labels to remove
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    remove_labels: Vec<String>,
    /// Remove all labels
    #[arg(long, conflicts_with_all = ["update_labels", "remove_labels"])]
    clear_labels: bool,
    /// Algorithm of the versions made from now on
    #[arg(long, value_name = "ALGORITHM", value_parser = key_algorithm)]
    default_algorithm: Option<KeyAlgorithm>,
}

/// A key and a file.
#[derive(Debug, Args)]
pub struct SetIamFlags {
    #[command(flatten)]
    key: KeyFlags,
    /// IAM policy, YAML or JSON
    policy_file: PathBuf,
}

/// A key, a member and a role.
#[derive(Debug, Args)]
pub struct BindFlags {
    #[command(flatten)]
    key: KeyFlags,
    #[command(flatten)]
    binding: BindingFlags,
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
    /// Hash to sign by; it must be the one of the key's algorithm
    #[arg(long, value_name = "HASH", value_parser = ["sha256", "sha384", "sha512"])]
    digest_algorithm: Option<String>,
}

impl KeyFlags {
    fn path(&self, settings: &Settings) -> Result<String, Failure> {
        Ok(names::path("v1", &self.ring.key(&self.key, settings)?))
    }
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
            Command::Update(flags) => return update(flags, settings).await,
            Command::GetIamPolicy(flags) => {
                return Action::Read.run(&flags.path(settings)?, settings).await;
            }
            Command::SetIamPolicy(flags) => {
                let path = flags.key.path(settings)?;
                return Action::Replace(&flags.policy_file).run(&path, settings).await;
            }
            Command::AddIamPolicyBinding(flags) => {
                let path = flags.key.path(settings)?;
                return Action::Add(&flags.binding).run(&path, settings).await;
            }
            Command::RemoveIamPolicyBinding(flags) => {
                let path = flags.key.path(settings)?;
                return Action::Remove(&flags.binding).run(&path, settings).await;
            }
            Command::Versions(command) => return command.run(settings).await,
            Command::Sign(flags) => {
                let version = names::key_version(&flags.version, || flags.key.name(settings))?;
                let message = files::read(&flags.input_file)?;
                let hash = flags.digest_algorithm.as_deref();
                let signed = signing::with_key_service(&settings.client()?, &version, &message, hash).await?;
                files::write(Some(&flags.signature_file), &signed.signature)?;
            }
            Command::Rewrap(flags) => return rewrap(flags, settings).await,
        }
        Ok(Exit::Done)
    }
}

async fn rewrap(flags: &RewrapFlags, settings: &Settings) -> Result<Exit, Failure> {
    let level = flags.protection_level.as_ref();
    let body = level.map_or_else(
        || json!({}),
        |level| json!({ "protectionLevel": level.to_ascii_uppercase() }),
    );
    let answer = settings
        .client()?
        .post("/binauthz/v1/masterKey:rewrap", &[], &body)
        .await?;
    let unreadable = answer.get("unreadable").and_then(Value::as_array);
    for name in unreadable.into_iter().flatten().filter_map(Value::as_str) {
        output::note(&format!("[{name}] opens under neither key."));
    }
    if answer.get("finished").and_then(Value::as_bool) != Some(true) {
        return Err(Failure::usage(
            "the change is not finished: the former master key stays, in `master.previous` of the data directory, until \
             what does not open was restored or removed; then repeat the command",
        ));
    }
    let count = answer.get("resealed").and_then(Value::as_u64).unwrap_or_default();
    let done = format!("Changed the master key. Sealed anew: [{count}].");
    output::show_done(settings.format.as_ref(), &answer, &done)?;
    Ok(Exit::Done)
}

async fn create(flags: &CreateFlags, settings: &Settings) -> Result<Exit, Failure> {
    let name = flags.key.ring.key(&flags.key.key, settings)?;
    let path = format!(
        "/v1/projects/{}/locations/{}/keyRings/{}/cryptoKeys",
        name.project(),
        name.location(),
        name.key_ring()
    );
    let mut key = json!({
        "purpose": "ASYMMETRIC_SIGN",
        "versionTemplate": {
            "algorithm": flags.default_algorithm.name(),
            "protectionLevel": flags.protection_level.to_ascii_uppercase(),
        },
    });
    if !flags.labels.is_empty() {
        key["labels"] = flags
            .labels
            .iter()
            .map(|(label, value)| (label.clone(), json!(value)))
            .collect();
    }
    if let Some(wait) = flags.destroy_scheduled_duration {
        key["destroyScheduledDuration"] = json!(duration::seconds(wait));
    }
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

async fn update(flags: &UpdateFlags, settings: &Settings) -> Result<Exit, Failure> {
    let path = flags.key.path(settings)?;
    let client = settings.client()?;
    let mut body = json!({});
    let mut mask = Vec::new();
    if flags.clear_labels || !flags.update_labels.is_empty() || !flags.remove_labels.is_empty() {
        // Labels are replaced as a whole: what is not mentioned has to be read first.
        let key = client.get(&path, &[]).await?;
        let mut labels = match key.get("labels") {
            Some(Value::Object(labels)) if !flags.clear_labels => labels.clone(),
            _ => serde_json::Map::new(),
        };
        labels.retain(|label, _| !flags.remove_labels.contains(label));
        labels.extend(
            flags
                .update_labels
                .iter()
                .map(|(label, value)| (label.clone(), json!(value))),
        );
        body["labels"] = labels.into();
        mask.push("labels");
    }
    if let Some(algorithm) = flags.default_algorithm {
        body["versionTemplate"] = json!({"algorithm": algorithm.name()});
        mask.push("versionTemplate.algorithm");
    }
    let updated = client.patch(&path, &mask.join(","), &body).await?;
    let line = format!("Updated key [{}].", flags.key.key);
    output::show_done(settings.format.as_ref(), &updated, &line)?;
    Ok(Exit::Done)
}

/// `KEY=VALUE`; the server knows what a label may be.
pub(super) fn label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE"),
    }
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
