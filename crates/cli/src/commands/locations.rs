//! `locations`: where keys may be kept. On one's own server a location is a name.

use clap::Subcommand;

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    settings::Settings,
};

/// What to do with locations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the locations of the key service
    #[command(after_help = "Examples:\n  binauthz locations list")]
    List(ListFlags),
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let Command::List(flags) = self;
        let path = format!("/v1/projects/{}/locations", settings.project()?);
        let list = List {
            path: &path,
            query: &[],
            field: "locations",
            columns: "locationId,name",
        };
        flags.show(&list, settings).await
    }
}
