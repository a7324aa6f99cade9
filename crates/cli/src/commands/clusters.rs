//! `clusters`: who may ask for verdicts, and under which mode.

use std::time::Duration;

use binauthz_core::name::ClusterName;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    client::{CallError, Client},
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names, output,
    settings::Settings,
};

/// The evaluation modes of the API.
const MODES: [&str; 4] = [
    "DISABLED",
    "PROJECT_SINGLETON_POLICY_ENFORCE",
    "POLICY_BINDINGS",
    "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
];

/// Operations here finish at once; a minute is for a server under load.
const OPERATION_POLLS_MAX: u32 = 120;
const OPERATION_POLL_PAUSE: Duration = Duration::from_millis(500);

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a cluster, so that its webhook calls are answered
    #[command(
        after_help = "Examples:\n  binauthz clusters create my-cluster --location=us-central1-a \\\n      \
        --binauthz-evaluation-mode=project-singleton-policy-enforce"
    )]
    Create(CreateFlags),
    /// List the registered clusters
    #[command(after_help = "Examples:\n  binauthz clusters list")]
    List(ListFlags),
    /// Show a cluster
    #[command(after_help = "Examples:\n  binauthz clusters describe my-cluster --location=us-central1-a")]
    Describe(ClusterFlags),
    /// Change how a cluster is judged
    #[command(
        after_help = "Examples:\n  binauthz clusters update my-cluster --zone=us-central1-a \\\n      \
        --binauthz-evaluation-mode=PROJECT_SINGLETON_POLICY_ENFORCE"
    )]
    Update(UpdateFlags),
    /// Forget a cluster: everything it asks is denied from then on
    #[command(after_help = "Examples:\n  binauthz clusters delete my-cluster --location=us-central1-a")]
    Delete(ClusterFlags),
}

/// A cluster.
#[derive(Debug, Args)]
pub struct ClusterFlags {
    /// Id of the cluster
    cluster: String,
    /// Zone or region
    #[arg(long, visible_aliases = ["zone", "region"])]
    location: String,
}

/// A new cluster.
#[derive(Debug, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    cluster: ClusterFlags,
    /// How it is judged
    #[arg(long, value_name = "MODE", value_parser = evaluation_mode, default_value = "PROJECT_SINGLETON_POLICY_ENFORCE")]
    binauthz_evaluation_mode: &'static str,
}

/// What to change.
#[derive(Debug, Args)]
pub struct UpdateFlags {
    #[command(flatten)]
    cluster: ClusterFlags,
    /// How it is judged
    #[arg(long, value_name = "MODE", value_parser = evaluation_mode)]
    binauthz_evaluation_mode: &'static str,
    /// Platform policy for the modes that use bindings (repeatable)
    #[arg(long, value_name = "name=POLICY")]
    binauthz_policy_bindings: Vec<String>,
}

impl ClusterFlags {
    /// The full name.
    pub(super) fn name(&self, settings: &Settings) -> Result<ClusterName, Failure> {
        names::cluster(&self.cluster, &self.location, settings)
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let format = settings.format.as_ref();
        match self {
            Command::Create(flags) => {
                let name = flags.cluster.name(settings)?;
                register(&client, &name, flags.binauthz_evaluation_mode).await?;
                output::show_done(
                    format,
                    &described(&client, &name).await?,
                    &format!("Created cluster [{name}]."),
                )?;
            }
            Command::List(flags) => {
                let path = format!("/v1/projects/{}/locations/-/clusters", settings.project()?);
                let list = List {
                    path: &path,
                    query: &[],
                    field: "clusters",
                    columns: "name,location,binaryAuthorization.evaluationMode,status",
                };
                return flags.show(&list, settings).await;
            }
            Command::Describe(flags) => {
                output::show_one(format, &described(&client, &flags.name(settings)?).await?)?
            }
            Command::Update(flags) => {
                let name = flags.cluster.name(settings)?;
                update(&client, &name, &desired(flags)).await?;
                output::show_done(
                    format,
                    &described(&client, &name).await?,
                    &format!("Updated cluster [{name}]."),
                )?;
            }
            Command::Delete(flags) => {
                let name = flags.name(settings)?;
                let done = forget(&client, &name).await?;
                output::show_done(format, &done, &format!("Deleted cluster [{name}]."))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn desired(flags: &UpdateFlags) -> Value {
    let bindings: Vec<Value> = flags
        .binauthz_policy_bindings
        .iter()
        .map(|binding| json!({"name": binding.strip_prefix("name=").unwrap_or(binding)}))
        .collect();
    let mut desired = json!({"evaluationMode": flags.binauthz_evaluation_mode});
    if !bindings.is_empty() {
        desired["policyBindings"] = Value::Array(bindings);
    }
    desired
}

/// Registers a cluster.
pub(super) async fn register(client: &Client, name: &ClusterName, mode: &str) -> Result<(), Failure> {
    let parent = format!("projects/{}/locations/{}", name.project(), name.location());
    let cluster = json!({
        "name": name.cluster().as_str(),
        "binaryAuthorization": {"evaluationMode": mode},
    });
    let body = json!({"cluster": cluster, "parent": parent});
    let operation = client.post(&format!("/v1/{parent}/clusters"), &[], &body).await?;
    wait(client, name, operation).await.map(|_done| ())
}

/// Changes how a cluster is judged.
pub(super) async fn update(client: &Client, name: &ClusterName, desired: &Value) -> Result<(), Failure> {
    let body = json!({"name": name.to_string(), "update": {"desiredBinaryAuthorization": desired}});
    let operation = client.put(&names::path("v1beta1", name), &body).await?;
    wait(client, name, operation).await.map(|_done| ())
}

/// Forgets a cluster.
pub(super) async fn forget(client: &Client, name: &ClusterName) -> Result<Value, Failure> {
    let operation = client.delete(&names::path("v1", name)).await?;
    wait(client, name, operation).await
}

/// The cluster, if it is registered.
pub(super) async fn find(client: &Client, name: &ClusterName) -> Result<Option<Value>, Failure> {
    match client.get(&names::path("v1", name), &[]).await {
        Ok(cluster) => Ok(Some(cluster)),
        Err(CallError::Refused(refusal)) if refusal.http == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn described(client: &Client, name: &ClusterName) -> Result<Value, Failure> {
    Ok(client.get(&names::path("v1", name), &[]).await?)
}

/// Follows an operation to its end.
async fn wait(client: &Client, cluster: &ClusterName, mut operation: Value) -> Result<Value, Failure> {
    let text = |operation: &Value, field: &str| {
        operation
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let id = text(&operation, "name");
    let path = format!(
        "/v1/projects/{}/locations/{}/operations/{id}",
        cluster.project(),
        cluster.location()
    );
    for _ in 0..OPERATION_POLLS_MAX {
        if text(&operation, "status") == "DONE" {
            return match operation.get("error") {
                Some(error) if !error.is_null() => Err(Failure::refused(text(&operation, "statusMessage"))),
                _ => Ok(operation),
            };
        }
        tokio::time::sleep(OPERATION_POLL_PAUSE).await;
        operation = client.get(&path, &[]).await?;
    }
    Err(Failure::usage(format_args!(
        "the operation `{id}` is still running after a minute"
    ))
    .advise("describe the cluster later to see whether it took effect"))
}

/// Either case style, as gcloud takes it.
pub(super) fn evaluation_mode(text: &str) -> Result<&'static str, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    MODES
        .into_iter()
        .find(|mode| *mode == name)
        .ok_or_else(|| format!("expected one of {}", MODES.join(", ")))
}
