//! `attestations`: signed statements about one image digest.

pub(crate) mod create;
pub(crate) mod list;
mod occurrence;
pub(crate) mod sign_and_create;

use clap::{Args, Subcommand};

use binauthz_core::name::OccurrenceName;

use crate::{
    failure::{Exit, Failure},
    names, output,
    settings::Settings,
};

/// What to do with attestations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a statement about an image and store it
    SignAndCreate(sign_and_create::Flags),
    /// Store a statement that was signed elsewhere
    Create(create::Flags),
    /// List attestations: of an attestor, of an image, of the project
    List(list::Flags),
    /// Show an attestation
    #[command(
        after_help = "Examples:\n  binauthz attestations describe projects/demo/occurrences/OCCURRENCE"
    )]
    Describe(OccurrenceFlag),
    /// Delete an attestation: the image is no longer signed
    #[command(after_help = "Examples:\n  binauthz attestations delete projects/demo/occurrences/OCCURRENCE")]
    Delete(OccurrenceFlag),
}

/// An attestation.
#[derive(Debug, Args)]
pub struct OccurrenceFlag {
    /// Id, or `projects/PROJECT/occurrences/OCCURRENCE`
    occurrence: String,
}

impl OccurrenceFlag {
    fn name(&self, settings: &Settings) -> Result<OccurrenceName, Failure> {
        names::occurrence(&self.occurrence, settings)
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let format = settings.format.as_ref();
        match self {
            Command::SignAndCreate(flags) => flags.run(settings).await,
            Command::Create(flags) => flags.run(settings).await,
            Command::List(flags) => flags.run(settings).await,
            Command::Describe(flag) => {
                let path = names::path("v1", &flag.name(settings)?);
                output::show_one(format, &settings.client()?.get(&path, &[]).await?)?;
                Ok(Exit::Done)
            }
            Command::Delete(flag) => {
                let name = flag.name(settings)?;
                let answer = settings.client()?.delete(&names::path("v1", &name)).await?;
                output::show_done(format, &answer, &format!("Deleted attestation [{name}]."))?;
                Ok(Exit::Done)
            }
        }
    }
}
