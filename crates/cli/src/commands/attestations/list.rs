//! `attestations list`: which images are signed, and by whom.

use clap::Args;

use crate::{
    artifact,
    failure::{Exit, Failure},
    listing::{List, ListFlags},
    names,
    settings::Settings,
};

const COLUMNS: &str = "name.basename(),resourceUri,createTime,attestation.signatures[].publicKeyId:label=KEY";

/// Which attestations.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz attestations list --attestor=image-signing-attestor\n  \
    binauthz attestations list --attestor=image-signing-attestor --artifact-url=IMAGE@sha256:…\n  \
    binauthz attestations list --sort-by=~createTime --limit=10 --filter='resourceUri:prod'\n  \
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
    #[command(flatten)]
    list: ListFlags,
}

impl Flags {
    /// Lists.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        // Other kinds of occurrences (builds, vulnerabilities) may hang on the same project.
        let mut filter = "kind=\"ATTESTATION\"".to_owned();
        if let Some(url) = &self.artifact_url {
            let digest = *artifact::pinned(url)?.digest();
            filter.push_str(&format!(" AND has_suffix(resourceUrl, \"{digest}\")"));
        }
        let parent = match &self.attestor {
            Some(attestor) => {
                let name = names::attestor(attestor, self.attestor_project.as_deref(), settings)?;
                let found = settings.client()?.get(&names::path("v1", &name), &[]).await?;
                let note = found
                    .get("userOwnedGrafeasNote")
                    .and_then(|note| note.get("noteReference")?.as_str());
                let note = names::note(note.unwrap_or(""), None, settings)?;
                format!("/v1/{note}/occurrences")
            }
            None => format!("/v1/projects/{}/occurrences", settings.project()?),
        };
        let list = List {
            path: &parent,
            query: &[("filter", &filter)],
            field: "occurrences",
            columns: COLUMNS,
        };
        self.list.show(&list, settings).await
    }
}
