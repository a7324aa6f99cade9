//! `logs`: what was decided, and what was changed.

use clap::{Args, Subcommand};

use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// Columns of a verdict.
pub(crate) const DECISION_COLUMNS: &str = "time,verdict,effect,reason,cluster.basename(),namespace,kind,name,\
                                           images[].image.basename():label=IMAGES";
const AUDIT_COLUMNS: &str = "time,principal,method,resource,status";

/// What to read.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verdicts of the admission webhook, newest first
    #[command(after_help = "Examples:\n  binauthz logs list --limit=20\n  binauthz logs list --format=json")]
    List(ListFlags),
    /// Changes through the API, newest first
    #[command(after_help = "Examples:\n  binauthz logs audit --limit=20")]
    Audit(ListFlags),
}

/// How much.
#[derive(Debug, Args)]
pub struct ListFlags {
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        match self {
            Command::List(flags) => {
                let path = format!("/binauthz/v1/projects/{}/decisions", settings.project()?);
                let decisions = client.list(&path, &[], "decisions", flags.limit).await?;
                output::show_list(settings.format.as_ref(), &decisions, DECISION_COLUMNS)?;
            }
            Command::Audit(flags) => {
                let entries = client
                    .list("/binauthz/v1/audit", &[], "entries", flags.limit)
                    .await?;
                output::show_list(settings.format.as_ref(), &entries, AUDIT_COLUMNS)?;
            }
        }
        Ok(Exit::Done)
    }
}
