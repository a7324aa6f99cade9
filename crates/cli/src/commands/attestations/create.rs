//! `attestations create`: a statement that was signed elsewhere, e.g. by gpg or on a machine without a network.

use std::path::PathBuf;

use binauthz_core::payload;
use clap::Args;

use super::occurrence::{AuthorityFlags, Draft};
use crate::{
    artifact::ArtifactFlags,
    commands::files,
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// What was signed, by whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz create-signature-payload --artifact-url=IMAGE@sha256:… > payload.json\n  \
    gpg --armor --sign --output payload.asc payload.json\n  \
    binauthz attestations create --artifact-url=IMAGE@sha256:… --attestor=qa --signature-file=payload.asc \\\n      \
    --public-key-id=FINGERPRINT --validate"
)]
pub struct Flags {
    #[command(flatten)]
    artifact: ArtifactFlags,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// File with the signature: raw PKIX bytes, or a PGP message; `-` is standard input
    #[arg(long, value_name = "FILE")]
    signature_file: PathBuf,
    /// Id of the key that signed: as the attestor shows it, for PGP the fingerprint
    #[arg(long, value_name = "ID")]
    public_key_id: String,
    /// File with the signed payload, where it is not the one of create-signature-payload
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// Store it only if the attestor accepts it
    #[arg(long)]
    validate: bool,
}

impl Flags {
    /// Stores.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let artifact = self.artifact.image()?;
        let payload = match &self.payload_file {
            Some(file) => files::read(file)?,
            None => artifact.payload(),
        };
        // An early warning only: the server looks at what was signed, whatever is said here.
        if let Ok(named) = payload::unverified_digest(&payload)
            && named != *artifact.digest()
        {
            return Err(Failure::usage(format_args!(
                "the payload is about `{named}`, not about `{}`",
                artifact.digest()
            )));
        }
        let signature = files::read(&self.signature_file)?;
        let client = settings.client()?;
        let authority = self.authority.resolve(&client, settings).await?;
        let draft = Draft::new(
            authority,
            &artifact,
            payload,
            (self.public_key_id.clone(), signature),
        );
        if self.validate {
            draft.validate(&client).await?;
        }
        let stored = draft.store(&client, settings).await?;
        let name = stored
            .get("name")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("");
        let line = format!("Stored an attestation of {} [{name}].", draft.resource_uri);
        output::show_done(settings.format.as_ref(), &stored, &line)?;
        Ok(Exit::Done)
    }
}
