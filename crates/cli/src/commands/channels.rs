//! `channels`: whom alerts are told to.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::dead_letters;
use super::files;
use super::keys::label;
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    output,
    settings::Settings,
};

/// What to do with notification channels.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a notification channel
    #[command(
        after_help = "Examples:\n  binauthz channels create --type=webhook_tokenauth --label=url=https://hooks.example/alerts\n  binauthz channels create --type=slack --label=channel_name=#alerts --label-file=auth_token=token.txt"
    )]
    Create(CreateFlags),
    /// List the notification channels of the project
    #[command(after_help = "Examples:\n  binauthz channels list")]
    List(ListFlags),
    /// Send a test notice to a notification channel, and say what came of it
    #[command(after_help = "Examples:\n  binauthz channels verify 1795422057999679123")]
    Verify(ChannelFlag),
    /// Notices that were given up
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz channels dead-letters list\n  binauthz channels dead-letters retry 01980d3c-7a9e-7c41-9d0e-5f6d3c1b2a00"
    )]
    DeadLetters(dead_letters::Command),
}

/// A notification channel.
#[derive(Debug, Args)]
pub struct ChannelFlag {
    /// Id, or `projects/PROJECT/notificationChannels/CHANNEL`
    channel: String,
}

/// A new notification channel.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Kind: email, pagerduty, slack, webhook_basicauth or webhook_tokenauth
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// Its name for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    display_name: String,
    /// Where it leads
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The same from a file, without the line end: a secret that is typed is seen in the process list
    #[arg(long = "label-file", value_name = "KEY=FILE", value_parser = label)]
    label_files: Vec<(String, String)>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let path = format!("/v3/projects/{}/notificationChannels", settings.project()?);
                let created = client.post(&path, &[], &flags.body()?).await?;
                output::show_done(format, &created, &said(&created))?;
            }
            Command::List(flags) => {
                let path = format!("/v3/projects/{}/notificationChannels", settings.project()?);
                let list = List {
                    path: &path,
                    query: &[],
                    field: "notificationChannels",
                    columns: "name.basename(),type,displayName,enabled",
                };
                return flags.show(&list, settings).await;
            }
            Command::Verify(flag) => {
                let name = flag.name(settings)?;
                let answer = client
                    .post(&format!("/binauthz/v1/{name}:verify"), &[], &json!({}))
                    .await?;
                if answer["delivered"] != true {
                    let why = answer["reason"].as_str().unwrap_or("it says not why");
                    let sentence = format!("`{name}` did not take the test notice: {why}");
                    return Err(Failure::refused(sentence));
                }
                let taken = answer["durationMillis"].as_u64().unwrap_or_default();
                let said = format!("[{name}] took the test notice within {taken} ms.");
                output::show_done(format, &answer, &said)?;
            }
            Command::DeadLetters(command) => return command.run(settings).await,
        }
        Ok(Exit::Done)
    }
}

/// What was made. A secret that the server made is shown once, and here is where.
fn said(created: &Value) -> String {
    let name = created["name"].as_str().unwrap_or_default();
    match created["labels"]["secret"].as_str() {
        Some(secret) if secret != "****" => {
            format!(
                "Created channel [{name}].\nThe secret of its signatures, which is not shown again: {secret}"
            )
        }
        _ => format!("Created channel [{name}]."),
    }
}

impl CreateFlags {
    fn body(&self) -> Result<Value, Failure> {
        let mut labels = Map::new();
        let mut put = |key: &str, value: &str| match labels.insert(key.to_owned(), json!(value)) {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!("the label `{key}` is given twice"))),
        };
        for (key, value) in &self.labels {
            put(key, value)?;
        }
        for (key, file) in &self.label_files {
            let text = files::read_text(Path::new(file))?;
            put(key, text.trim_end_matches(['\r', '\n']))?;
        }
        Ok(json!({ "type": self.kind, "displayName": self.display_name, "labels": labels }))
    }
}

impl ChannelFlag {
    fn name(&self, settings: &Settings) -> Result<String, Failure> {
        let full = if self.channel.contains('/') {
            self.channel.clone()
        } else {
            format!(
                "projects/{}/notificationChannels/{}",
                settings.project()?,
                self.channel
            )
        };
        let plain = |text: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            !text.is_empty() && text.bytes().all(known)
        };
        match full.split('/').collect::<Vec<_>>().as_slice() {
            ["projects", project, "notificationChannels", id]
                if plain(project) && plain(id) && !id.contains(':') =>
            {
                Ok(full)
            }
            _ => Err(Failure::usage(format!(
                "`{}` names no channel: expected an id or `projects/PROJECT/notificationChannels/CHANNEL`",
                self.channel.escape_debug()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(labels: &[(&str, &str)], files: &[(&str, &str)]) -> CreateFlags {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        CreateFlags {
            kind: "slack".into(),
            display_name: String::new(),
            labels: owned(labels),
            label_files: owned(files),
        }
    }

    #[test]
    fn labels_come_from_flags_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hush\n").unwrap();
        let file = file.to_str().unwrap();
        let body = flags(&[("channel_name", "#a")], &[("auth_token", file)])
            .body()
            .unwrap();
        assert_eq!(
            body["labels"],
            json!({ "channel_name": "#a", "auth_token": "hush" })
        );
        assert!(
            flags(&[("auth_token", "x")], &[("auth_token", file)])
                .body()
                .is_err()
        );
        assert!(flags(&[], &[("auth_token", "/nowhere/at/all")]).body().is_err());
    }

    #[test]
    fn a_secret_is_said_only_when_it_was_made() {
        let made = json!({ "name": "n", "labels": {"secret": "abc"} });
        assert!(said(&made).ends_with("abc"));
        for labels in [json!({ "secret": "****" }), json!({})] {
            assert_eq!(
                said(&json!({ "name": "n", "labels": labels })),
                "Created channel [n]."
            );
        }
    }
}
