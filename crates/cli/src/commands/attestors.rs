//! `attestors`: who may say that an image is good.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    iam::{Action, BindingFlags},
    public_keys,
};
use crate::{
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
};

const COLUMNS: &str = "name.basename(),userOwnedGrafeasNote.noteReference:label=NOTE,\
                       userOwnedGrafeasNote.publicKeys.len():label=NUM_PUBLIC_KEYS";

/// What to do with attestors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an attestor on a note
    #[command(
        after_help = "Examples:\n  binauthz attestors create image-signing-attestor \\\n      \
        --attestation-authority-note=image-signing-note --attestation-authority-note-project=demo"
    )]
    Create(CreateFlags),
    /// List the attestors of the project
    #[command(
        after_help = "Examples:\n  binauthz attestors list\n  binauthz attestors list --format='value(name)'"
    )]
    List(ListFlags),
    /// Show an attestor with its public keys
    #[command(after_help = "Examples:\n  binauthz attestors describe image-signing-attestor")]
    Describe(AttestorFlag),
    /// Change the description of an attestor
    #[command(after_help = "Examples:\n  binauthz attestors update qa --description='signed after QA'")]
    Update(UpdateFlags),
    /// Delete an attestor
    #[command(after_help = "Examples:\n  binauthz attestors delete image-signing-attestor")]
    Delete(AttestorFlag),
    /// The public keys of an attestor
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz attestors public-keys add --attestor=a --keyversion=projects/…/cryptoKeyVersions/1\n  \
        binauthz attestors public-keys remove ID --attestor=a"
    )]
    PublicKeys(public_keys::Command),
    /// Show who may do what with an attestor
    #[command(after_help = "Examples:\n  binauthz attestors get-iam-policy image-signing-attestor")]
    GetIamPolicy(AttestorFlag),
    /// Replace the IAM policy of an attestor by a file
    #[command(after_help = "Examples:\n  binauthz attestors set-iam-policy image-signing-attestor iam.yaml")]
    SetIamPolicy(SetIamFlags),
    /// Give a member a role on an attestor
    #[command(
        after_help = "Examples:\n  binauthz attestors add-iam-policy-binding image-signing-attestor \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/binaryauthorization.attestorsVerifier"
    )]
    AddIamPolicyBinding(BindFlags),
    /// Take a role on an attestor from a member
    #[command(
        after_help = "Examples:\n  binauthz attestors remove-iam-policy-binding image-signing-attestor \\\n      \
        --member=serviceAccount:ci@demo.example --role=roles/binaryauthorization.attestorsVerifier"
    )]
    RemoveIamPolicyBinding(BindFlags),
}

/// An attestor, by id or full name.
#[derive(Debug, Args)]
pub struct AttestorFlag {
    /// Id, or `projects/PROJECT/attestors/ATTESTOR`
    pub attestor: String,
}

/// A new attestor.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    attestor: AttestorFlag,
    /// Note the attestations hang on: id, or `projects/PROJECT/notes/NOTE`
    #[arg(long, value_name = "NOTE")]
    attestation_authority_note: String,
    /// Project of the note, where it differs
    #[arg(long, value_name = "PROJECT")]
    attestation_authority_note_project: Option<String>,
    /// What the attestor stands for
    #[arg(long)]
    description: Option<String>,
}

/// What to change.
#[derive(Debug, Args)]
pub struct UpdateFlags {
    #[command(flatten)]
    attestor: AttestorFlag,
    /// What the attestor stands for
    #[arg(long)]
    description: String,
}

/// An attestor and a file.
#[derive(Debug, Args)]
pub struct SetIamFlags {
    #[command(flatten)]
    attestor: AttestorFlag,
    /// IAM policy, YAML or JSON
    policy_file: PathBuf,
}

/// An attestor, a member and a role.
#[derive(Debug, Args)]
pub struct BindFlags {
    #[command(flatten)]
    attestor: AttestorFlag,
    #[command(flatten)]
    binding: BindingFlags,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let iam_path = |flag: &AttestorFlag| flag.path(settings);
        match self {
            Command::Create(flags) => create(flags, settings).await,
            Command::List(flags) => list(flags, settings).await,
            Command::Describe(flag) => {
                let attestor = settings.client()?.get(&flag.path(settings)?, &[]).await?;
                output::show_one(settings.format.as_ref(), &attestor)?;
                Ok(Exit::Done)
            }
            Command::Update(flags) => update(flags, settings).await,
            Command::Delete(flag) => {
                let name = names::attestor(&flag.attestor, None, settings)?;
                let answer = settings.client()?.delete(&names::path("v1", &name)).await?;
                output::show_done(
                    settings.format.as_ref(),
                    &answer,
                    &format!("Deleted attestor [{name}]."),
                )?;
                Ok(Exit::Done)
            }
            Command::PublicKeys(command) => command.run(settings).await,
            Command::GetIamPolicy(flag) => Action::Read.run(&iam_path(flag)?, settings).await,
            Command::SetIamPolicy(flags) => {
                Action::Replace(&flags.policy_file)
                    .run(&iam_path(&flags.attestor)?, settings)
                    .await
            }
            Command::AddIamPolicyBinding(flags) => {
                Action::Add(&flags.binding)
                    .run(&iam_path(&flags.attestor)?, settings)
                    .await
            }
            Command::RemoveIamPolicyBinding(flags) => {
                Action::Remove(&flags.binding)
                    .run(&iam_path(&flags.attestor)?, settings)
                    .await
            }
        }
    }
}

impl AttestorFlag {
    fn path(&self, settings: &Settings) -> Result<String, Failure> {
        Ok(names::path(
            "v1",
            &names::attestor(&self.attestor, None, settings)?,
        ))
    }
}

async fn create(flags: &CreateFlags, settings: &Settings) -> Result<Exit, Failure> {
    let name = names::attestor(&flags.attestor.attestor, None, settings)?;
    let note_project = flags.attestation_authority_note_project.as_deref();
    let note = names::note(&flags.attestation_authority_note, note_project, settings)?;
    let mut attestor = json!({
        "name": name.to_string(),
        "userOwnedGrafeasNote": {"noteReference": note.to_string()},
    });
    if let Some(description) = &flags.description {
        attestor["description"] = json!(description);
    }
    let path = format!("/v1/projects/{}/attestors", name.project());
    let created = settings
        .client()?
        .post(&path, &[("attestorId", name.attestor().as_str())], &attestor)
        .await?;
    output::show_done(
        settings.format.as_ref(),
        &created,
        &format!("Created attestor [{name}]."),
    )?;
    Ok(Exit::Done)
}

async fn list(flags: &ListFlags, settings: &Settings) -> Result<Exit, Failure> {
    let path = format!("/v1/projects/{}/attestors", settings.project()?);
    let list = List {
        path: &path,
        query: &[],
        field: "attestors",
        columns: COLUMNS,
    };
    flags.show(&list, settings).await
}

async fn update(flags: &UpdateFlags, settings: &Settings) -> Result<Exit, Failure> {
    let path = flags.attestor.path(settings)?;
    let client = settings.client()?;
    let mut attestor = client.get(&path, &[]).await?;
    if let Value::Object(fields) = &mut attestor {
        fields.insert("description".to_owned(), json!(flags.description));
    }
    let updated = client.put(&path, &attestor).await?;
    output::show_done(
        settings.format.as_ref(),
        &updated,
        &format!("Updated attestor [{}].", flags.attestor.attestor),
    )?;
    Ok(Exit::Done)
}
