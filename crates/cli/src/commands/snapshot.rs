//! `snapshot`: what `decide` needs, taken to where no server is.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::files;
use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
    snapshot,
};

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write policy, attestors, attestations and clusters of the project to a file
    #[command(
        after_help = "Examples:\n  binauthz snapshot export --output=demo.json\n  binauthz decide --snapshot=demo.json deployment.yaml"
    )]
    Export(ExportFlags),
}

/// Where to.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// File to write; standard output by default
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let Command::Export(flags) = self;
        let snapshot = snapshot::fetch(&settings.client()?, settings.project()?).await?;
        let count = |field: &str| {
            snapshot
                .get(field)
                .and_then(serde_json::Value::as_array)
                .map_or(0, Vec::len)
        };
        let line = format!(
            "Exported {} attestors and {} attestations.",
            count("attestors"),
            count("occurrences")
        );
        files::write(flags.output.as_deref(), format!("{snapshot:#}\n").as_bytes())?;
        output::note(&line);
        Ok(Exit::Done)
    }
}
