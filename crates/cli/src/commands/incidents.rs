//! `incidents`: what alert policies found.

use clap::{Args, Subcommand};

use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with incidents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the incidents of the project, the newest first
    #[command(
        after_help = "Examples:\n  binauthz incidents list --state=open\n  binauthz incidents list --limit=5 --format=json"
    )]
    List(ListIncidentsFlags),
    /// Show an incident
    #[command(after_help = "Examples:\n  binauthz incidents describe 01980d3c-7a9e-7c41-9d0e-5f6d3c1b2a00")]
    Describe(IncidentFlag),
}

/// Which incidents.
#[derive(Debug, Args)]
pub struct ListIncidentsFlags {
    /// Only those that go on, or that have ended
    #[arg(long, value_parser = ["open", "closed"])]
    state: Option<String>,
    #[command(flatten)]
    list: ListFlags,
}

/// An incident.
#[derive(Debug, Args)]
pub struct IncidentFlag {
    /// Id, or `projects/PROJECT/incidents/ID`
    incident: String,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        match self {
            Command::List(flags) => {
                let path = format!("/binauthz/v1/projects/{}/incidents", settings.project()?);
                let state = flags.state.as_ref().map(|state| ("state", state.as_str()));
                let list = List {
                    path: &path,
                    query: state.as_slice(),
                    field: "incidents",
                    columns: "name.basename(),state,openTime,policyName,summary",
                };
                flags.list.show(&list, settings).await
            }
            Command::Describe(flag) => {
                let name = full_name(&flag.incident, "incidents", settings)?;
                let client = settings.client()?;
                let incident = client.get(&format!("/binauthz/v1/{name}"), &[]).await?;
                output::show_one(settings.format.as_ref(), &incident)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// The full name of what was typed as an id or a name of this collection.
pub(crate) fn full_name(typed: &str, collection: &str, settings: &Settings) -> Result<String, Failure> {
    let full = if typed.contains('/') {
        typed.to_owned()
    } else {
        format!("projects/{}/{collection}/{typed}", settings.project()?)
    };
    if is_name(&full, collection) {
        return Ok(full);
    }
    Err(Failure::usage(format!(
        "`{}` is not a name: expected an id or `projects/PROJECT/{collection}/ID`",
        typed.escape_debug()
    )))
}

fn is_name(text: &str, collection: &str) -> bool {
    let plain = |text: &str, more: &[u8]| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        !text.is_empty() && text.bytes().all(known)
    };
    matches!(text.split('/').collect::<Vec<_>>().as_slice(),
        ["projects", project, found, id]
            if *found == collection && plain(project, b"-.:") && plain(id, b"-_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_the_collection() {
        assert!(is_name("projects/p/incidents/0198-a", "incidents"));
        for other in [
            "projects/p/incidents/",
            "projects/p/incidents/a/b",
            "projects/p/deadLetters/a",
            "projects//incidents/a",
            "projects/p/incidents/a:retry",
            "projects/p/incidents/..",
            "projects/p?x/incidents/a",
        ] {
            assert!(!is_name(other, "incidents"), "{other}");
        }
    }
}
