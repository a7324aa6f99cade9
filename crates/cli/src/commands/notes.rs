//! `notes`: what attestations hang on.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
};

/// What to do with notes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an attestation note
    #[command(
        after_help = "Examples:\n  binauthz notes create image-signing-note --human-readable-name='Image signing attestor'"
    )]
    Create(CreateFlags),
    /// List the notes of the project
    #[command(after_help = "Examples:\n  binauthz notes list")]
    List(ListFlags),
    /// Show a note
    #[command(after_help = "Examples:\n  binauthz notes describe image-signing-note")]
    Describe(NoteFlag),
    /// Delete a note
    #[command(after_help = "Examples:\n  binauthz notes delete image-signing-note")]
    Delete(NoteFlag),
}

/// A note.
#[derive(Debug, Args)]
pub struct NoteFlag {
    /// Id, or `projects/PROJECT/notes/NOTE`
    note: String,
}

/// A new note.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    note: NoteFlag,
    /// What people call the authority behind the note (the id by default)
    #[arg(long, value_name = "TEXT")]
    human_readable_name: Option<String>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let name = names::note(&flags.note.note, None, settings)?;
                let id = name.note().as_str();
                let label = flags.human_readable_name.as_deref().unwrap_or(id);
                let note = json!({"attestation": {"hint": {"humanReadableName": label}}});
                let path = format!("/v1/projects/{}/notes", name.project());
                let created = client.post(&path, &[("noteId", id)], &note).await?;
                output::show_done(format, &created, &format!("Created note [{name}]."))?;
            }
            Command::List(flags) => {
                let path = format!("/v1/projects/{}/notes", settings.project()?);
                let list = List {
                    path: &path,
                    query: &[],
                    field: "notes",
                    columns: "name.basename(),kind,attestation.hint.humanReadableName,createTime",
                };
                return flags.show(&list, settings).await;
            }
            Command::Describe(flag) => {
                let name = names::note(&flag.note, None, settings)?;
                output::show_one(format, &client.get(&names::path("v1", &name), &[]).await?)?;
            }
            Command::Delete(flag) => {
                let name = names::note(&flag.note, None, settings)?;
                let answer = client.delete(&names::path("v1", &name)).await?;
                output::show_done(format, &answer, &format!("Deleted note [{name}]."))?;
            }
        }
        Ok(Exit::Done)
    }
}
