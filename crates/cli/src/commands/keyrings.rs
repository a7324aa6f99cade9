//! `keyrings`: folders of keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::iam::{Action, BindingFlags};
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
};

/// What to do with key rings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a key ring (it cannot be deleted)
    #[command(after_help = "Examples:\n  binauthz keyrings create image-signing --location=global")]
    Create(KeyRingFlags),
    /// List the key rings of a location
    #[command(after_help = "Examples:\n  binauthz keyrings list --location=global")]
    List(LocationFlag),
    /// Show a key ring
    #[command(after_help = "Examples:\n  binauthz keyrings describe image-signing --location=global")]
    Describe(KeyRingFlags),
    /// Show who may do what with a key ring
    #[command(after_help = "Examples:\n  binauthz keyrings get-iam-policy image-signing --location=global")]
    GetIamPolicy(KeyRingFlags),
    /// Replace the IAM policy of a key ring by a file
    #[command(
        after_help = "Examples:\n  binauthz keyrings set-iam-policy image-signing iam.yaml --location=global"
    )]
    SetIamPolicy(SetIamFlags),
    /// Give a member a role on a key ring
    #[command(
        after_help = "Examples:\n  binauthz keyrings add-iam-policy-binding image-signing --location=global \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/cloudkms.signer"
    )]
    AddIamPolicyBinding(BindFlags),
    /// Take a role on a key ring from a member
    #[command(
        after_help = "Examples:\n  binauthz keyrings remove-iam-policy-binding image-signing --location=global \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/cloudkms.signer"
    )]
    RemoveIamPolicyBinding(BindFlags),
}

/// A key ring.
#[derive(Debug, Args)]
pub struct KeyRingFlags {
    /// Id, or the full name
    keyring: String,
    /// Location: `global` where nothing else is meant
    #[arg(long)]
    location: Option<String>,
}

/// A key ring and a file.
#[derive(Debug, Args)]
pub struct SetIamFlags {
    #[command(flatten)]
    ring: KeyRingFlags,
    /// IAM policy, YAML or JSON
    policy_file: PathBuf,
}

/// A key ring, a member and a role.
#[derive(Debug, Args)]
pub struct BindFlags {
    #[command(flatten)]
    ring: KeyRingFlags,
    #[command(flatten)]
    binding: BindingFlags,
}

impl KeyRingFlags {
    fn path(&self, settings: &Settings) -> Result<String, Failure> {
        let name = names::key_ring(&self.keyring, self.location.as_deref(), settings)?;
        Ok(names::path("v1", &name))
    }
}

/// The key rings of a location.
#[derive(Debug, Args)]
pub struct LocationFlag {
    /// Location: `global` where nothing else is meant
    #[arg(long)]
    location: String,
    #[command(flatten)]
    list: ListFlags,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let name = names::key_ring(&flags.keyring, flags.location.as_deref(), settings)?;
                let path = format!(
                    "/v1/projects/{}/locations/{}/keyRings",
                    name.project(),
                    name.location()
                );
                let id = name.key_ring().as_str();
                let created = client.post(&path, &[("keyRingId", id)], &json!({})).await?;
                output::show_done(format, &created, &format!("Created key ring [{name}]."))?;
            }
            Command::List(flag) => {
                let path = format!(
                    "/v1/projects/{}/locations/{}/keyRings",
                    settings.project()?,
                    flag.location
                );
                let list = List {
                    path: &path,
                    query: &[],
                    field: "keyRings",
                    columns: "name,createTime",
                };
                return flag.list.show(&list, settings).await;
            }
            Command::Describe(flags) => {
                output::show_one(format, &client.get(&flags.path(settings)?, &[]).await?)?;
            }
            Command::GetIamPolicy(flags) => {
                return Action::Read.run(&flags.path(settings)?, settings).await;
            }
            Command::SetIamPolicy(flags) => {
                let path = flags.ring.path(settings)?;
                return Action::Replace(&flags.policy_file).run(&path, settings).await;
            }
            Command::AddIamPolicyBinding(flags) => {
                let path = flags.ring.path(settings)?;
                return Action::Add(&flags.binding).run(&path, settings).await;
            }
            Command::RemoveIamPolicyBinding(flags) => {
                let path = flags.ring.path(settings)?;
                return Action::Remove(&flags.binding).run(&path, settings).await;
            }
        }
        Ok(Exit::Done)
    }
}
