//! `attestations list`: which images are signed, and by whom.

use clap::Args;
use serde_json::Value;

use crate::{
    artifact,
    failure::{Exit, Failure},
    names, output,
    settings::Settings,
};

const COLUMNS: &str = "name.basename(),resourceUri,createTime,attestation.signatures[].publicKeyId:label=KEY";

/// Which attestations.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz attestations list --attestor=image-signing-attestor\n  \
    binauthz attestations list --attestor=image-signing-attestor --artifact-url=IMAGE@sha256:…\n  \
    binauthz attestations list --format='table(name, createTime, resourceUri)'"
)]
pub struct Flags {
    /// Only of this attestor: id, or `projects/PROJECT/attestors/ATTESTOR`
    #[arg(long)]
    attestor: Option<String>,
    /// Project of the attestor, where it differs
    #[arg(long, value_name = "PROJECT", requires = "attestor")]
    attestor_project: Option<String>,
    /// Only of this image (by its digest)
    #[arg(long, value_name = "IMAGE")]
    artifact_url: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
}

impl Flags {
    /// Lists.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let filter = match &self.artifact_url {
            Some(url) => format!("has_suffix(resourceUrl, \"{}\")", artifact::pinned(url)?.digest()),
            None => String::new(),
        };
        let client = settings.client()?;
        let parent = match &self.attestor {
            Some(attestor) => {
                let name = names::attestor(attestor, self.attestor_project.as_deref(), settings)?;
                let found = client.get(&names::path("v1", &name), &[]).await?;
                let note = found
                    .get("userOwnedGrafeasNote")
                    .and_then(|note| note.get("noteReference")?.as_str());
                let note = names::note(note.unwrap_or(""), None, settings)?;
                format!("/v1/{note}/occurrences")
            }
            None => format!("/v1/projects/{}/occurrences", settings.project()?),
        };
        let found = client
            .list(&parent, &[("filter", filter.as_str())], "occurrences", self.limit)
            .await?;
        // Other kinds of occurrences (builds, vulnerabilities) may hang on the same project.
        let is_attestation = |found: &Value| found.get("kind").and_then(Value::as_str) == Some("ATTESTATION");
        let attestations: Vec<Value> = found.into_iter().filter(is_attestation).collect();
        output::show_list(settings.format.as_ref(), &attestations, COLUMNS);
        Ok(Exit::Done)
    }
}
