//! `projects`: what everything else belongs to. A server with `--dev` needs none to be created.

use binauthz_core::name::ProjectId;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a project
    #[command(after_help = "Examples:\n  binauthz projects create demo --display-name='Demonstration'")]
    Create(CreateFlags),
    /// List the projects
    #[command(after_help = "Examples:\n  binauthz projects list")]
    List(ListFlags),
}

/// A new project.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Id of the project
    id: String,
    /// What people call it
    #[arg(long)]
    display_name: Option<String>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let id: ProjectId = flags.id.parse().map_err(Failure::usage)?;
                let body = flags
                    .display_name
                    .as_ref()
                    .map_or_else(|| json!({}), |name| json!({"displayName": name}));
                let created = client
                    .post("/binauthz/v1/projects", &[("projectId", id.as_str())], &body)
                    .await?;
                output::show_done(format, &created, &format!("Created project [{id}]."))?;
            }
            Command::List(flags) => {
                let list = List {
                    path: "/binauthz/v1/projects",
                    query: &[],
                    field: "projects",
                    columns: "projectId,name,projectNumber,createTime",
                };
                return flags.show(&list, settings).await;
            }
        }
        Ok(Exit::Done)
    }
}
