//! `keyrings`: folders of keys.

use clap::{Args, Subcommand};
use serde_json::json;

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
                let name = names::key_ring(&flags.keyring, flags.location.as_deref(), settings)?;
                output::show_one(format, &client.get(&names::path("v1", &name), &[]).await?)?;
            }
        }
        Ok(Exit::Done)
    }
}
