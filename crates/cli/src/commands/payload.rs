//! `create-signature-payload`: the bytes an attestation signs, for signing elsewhere.

use clap::Args;

use crate::{
    artifact::ArtifactFlags,
    failure::{Exit, Failure},
    output,
};

/// Which image.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz create-signature-payload --artifact-url=us-central1-docker.pkg.dev/demo/app/myservice@sha256:… \\\n      \
    > payload.json\n  binauthz create-signature-payload --artifact-url=registry.example/app --digest-file=metadata.json | gpg --armor --sign"
)]
pub struct Flags {
    #[command(flatten)]
    artifact: ArtifactFlags,
}

impl Flags {
    /// Prints the payload, byte for byte what `sign-and-create` signs.
    pub fn run(&self) -> Result<Exit, Failure> {
        output::print_bytes(&self.artifact.image()?.payload())?;
        Ok(Exit::Done)
    }
}
