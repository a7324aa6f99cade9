//! `policy`: whose word is needed before an image may run.

use std::path::PathBuf;

use binauthz_wire::binaryauthorization::read_policy;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    files,
    iam::{Action, BindingFlags},
};
use crate::{
    failure::{Exit, Failure},
    lint, output,
    settings::Settings,
    yaml,
};

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the project's policy as YAML, ready to be edited and imported
    #[command(
        after_help = "Examples:\n  binauthz policy export > binauthz-policy.yaml\n  binauthz policy export --format=json"
    )]
    Export,
    /// Replace the project's policy by a file
    #[command(
        after_help = "Examples:\n  binauthz policy import binauthz-policy.yaml\n  binauthz policy export | binauthz policy import -"
    )]
    Import(ImportFlags),
    /// Say what each pattern of a policy exempts, and what its author may not have meant
    #[command(
        after_help = "Examples:\n  binauthz policy lint binauthz-policy.yaml\n  binauthz policy lint binauthz-policy.yaml --format=json\n\n\
        Exit codes: 0 nothing to look at, 1 findings, 2 the file is not a policy"
    )]
    Lint(FileFlag),
    /// Print the system policy: images exempt before any project's policy
    #[command(
        after_help = "Examples:\n  binauthz policy export-system-policy\n  binauthz policy export-system-policy --location=global"
    )]
    ExportSystemPolicy(LocationFlag),
    /// Show who may do what with the policy
    #[command(after_help = "Examples:\n  binauthz policy get-iam-policy")]
    GetIamPolicy,
    /// Replace the IAM policy of the policy by a file
    #[command(after_help = "Examples:\n  binauthz policy set-iam-policy iam.yaml")]
    SetIamPolicy(FileFlag),
    /// Give a member a role on the policy
    #[command(
        after_help = "Examples:\n  binauthz policy add-iam-policy-binding --member=user:ops@demo.example \\\n      \
        --role=roles/binaryauthorization.policyEditor"
    )]
    AddIamPolicyBinding(BindingFlags),
    /// Take a role on the policy from a member
    #[command(
        after_help = "Examples:\n  binauthz policy remove-iam-policy-binding --member=user:ops@demo.example \\\n      \
        --role=roles/binaryauthorization.policyEditor"
    )]
    RemoveIamPolicyBinding(BindingFlags),
}

/// A file.
#[derive(Debug, Args)]
pub struct FileFlag {
    /// YAML or JSON; `-` is standard input
    file: PathBuf,
}

/// A policy to import.
#[derive(Debug, Args)]
pub struct ImportFlags {
    #[command(flatten)]
    file: FileFlag,
    /// Refuse what is not understood, as is always done
    #[arg(long)]
    strict_validation: bool,
}

/// A location.
#[derive(Debug, Args)]
pub struct LocationFlag {
    /// Location of the system policy
    #[arg(long, default_value = "global")]
    location: String,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let format = settings.format.as_ref();
        let path = || {
            settings
                .project()
                .map(|project| format!("/v1/projects/{project}/policy"))
        };
        match self {
            Command::Export => output::show_one(format, &settings.client()?.get(&path()?, &[]).await?)?,
            Command::Import(flags) => {
                let flag = &flags.file;
                let policy = yaml::read(&files::read(&flag.file)?, &flag.file)?;
                let stored = settings.client()?.put(&path()?, &policy).await?;
                output::show_one(format, &stored)?;
                warn(&stored);
            }
            Command::Lint(flag) => return lint_file(flag, settings),
            Command::ExportSystemPolicy(flag) => {
                let path = format!("/v1/locations/{}/policy", flag.location);
                output::show_one(format, &settings.client()?.get(&path, &[]).await?)?;
            }
            Command::GetIamPolicy => return Action::Read.run(&path()?, settings).await,
            Command::SetIamPolicy(flag) => return Action::Replace(&flag.file).run(&path()?, settings).await,
            Command::AddIamPolicyBinding(flags) => return Action::Add(flags).run(&path()?, settings).await,
            Command::RemoveIamPolicyBinding(flags) => {
                return Action::Remove(flags).run(&path()?, settings).await;
            }
        }
        Ok(Exit::Done)
    }
}

/// After an import: the findings of `lint`, on standard error.
fn warn(policy: &Value) {
    if let Ok(read) = read_policy(policy.clone().into()) {
        for finding in lint::findings(&read.policy) {
            output::note(&format!("note: {finding}"));
        }
    }
}

fn lint_file(flag: &FileFlag, settings: &Settings) -> Result<Exit, Failure> {
    let policy = yaml::read(&files::read(&flag.file)?, &flag.file)?;
    let policy = read_policy(policy.into())
        .map_err(|error| Failure::usage(format_args!("`{}`: {error}", flag.file.display())))?
        .policy;
    let findings = lint::findings(&policy);
    match settings.format.as_ref() {
        None => output::print(&lint::report(&policy))?,
        format => {
            let entries: Vec<Value> = findings.iter().map(lint::Finding::entry).collect();
            output::show_list(format, &entries, "code,pattern,message")?;
        }
    }
    Ok(if findings.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}
