//! `services`: the APIs of a project. All of them are always served; what is kept is what gcloud asks about.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enable services
    #[command(
        after_help = "Examples:\n  binauthz services enable binaryauthorization.googleapis.com containeranalysis.googleapis.com"
    )]
    Enable(EnableFlags),
    /// List the services and whether they are enabled
    #[command(after_help = "Examples:\n  binauthz services list")]
    List(ListFlags),
}

/// Which services.
#[derive(Debug, Args)]
pub struct EnableFlags {
    /// Names, e.g. binaryauthorization.googleapis.com
    #[arg(required = true)]
    services: Vec<String>,
}

impl Command {
    /// Does it.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        let parent = format!("/v1/projects/{}/services", settings.project()?);
        match self {
            Command::Enable(flags) => {
                let body = json!({"serviceIds": flags.services});
                let enabled = client.post(&format!("{parent}:batchEnable"), &[], &body).await?;
                output::show_done(
                    format,
                    &enabled,
                    &format!("Enabled {}.", flags.services.join(", ")),
                )?;
            }
            Command::List(flags) => {
                let list = List {
                    path: &parent,
                    query: &[],
                    field: "services",
                    columns: "config.name,config.title,state",
                };
                return flags.show(&list, settings).await;
            }
        }
        Ok(Exit::Done)
    }
}
