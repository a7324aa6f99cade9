//! `channels dead-letters`: notices that were given up.

use clap::{Args, Subcommand};
use serde_json::json;

use super::incidents::full_name;
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with notices that were given up.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the notices of the project that were given up, the newest first, with the reasons
    #[command(after_help = "Examples:\n  binauthz channels dead-letters list\n  \
        binauthz channels dead-letters list --filter='reason:404' --format=json")]
    List(ListFlags),
    /// Send a notice again, as if it had just come up
    #[command(
        after_help = "Examples:\n  binauthz channels dead-letters retry 01980d3c-7a9e-7c41-9d0e-5f6d3c1b2a00"
    )]
    Retry(LetterFlag),
    /// Forget a notice
    #[command(
        after_help = "Examples:\n  binauthz channels dead-letters delete 01980d3c-7a9e-7c41-9d0e-5f6d3c1b2a00"
    )]
    Delete(LetterFlag),
}

/// A notice that was given up.
#[derive(Debug, Args)]
pub struct LetterFlag {
    /// Id, or `projects/PROJECT/deadLetters/ID`
    letter: String,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::List(flags) => {
                let path = format!("/binauthz/v1/projects/{}/deadLetters", settings.project()?);
                let list = List {
                    path: &path,
                    query: &[],
                    field: "deadLetters",
                    columns: "name.basename(),channel.basename(),giveUpTime,attempts,reason",
                };
                return flags.show(&list, settings).await;
            }
            Command::Retry(flag) => {
                let name = full_name(&flag.letter, "deadLetters", settings)?;
                let answer = client
                    .post(&format!("/binauthz/v1/{name}:retry"), &[], &json!({}))
                    .await?;
                output::show_done(format, &answer, &format!("Sending [{name}] again."))?;
            }
            Command::Delete(flag) => {
                let name = full_name(&flag.letter, "deadLetters", settings)?;
                let answer = client.delete(&format!("/binauthz/v1/{name}")).await?;
                output::show_done(format, &answer, &format!("Deleted [{name}]."))?;
            }
        }
        Ok(Exit::Done)
    }
}
