//! `images`: which digest a tag means, now.

use binauthz_core::image::ImageRef;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the digest of an image, as its registry gives it to the server at this moment
    #[command(
        after_help = "Examples:\n  binauthz images describe us-central1-docker.pkg.dev/demo/app/myservice:v1\n  \
        binauthz images describe registry.example/team/app:v1 --format='value(image_summary.digest)'\n\n\
        The server asks the registries it was told of: serve --registry HOST=URL (docker.io for names without a host)"
    )]
    Describe(ImageFlag),
}

/// An image.
#[derive(Debug, Args)]
pub struct ImageFlag {
    /// `HOST/PATH:TAG` or `HOST/PATH@DIGEST`
    image: String,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let Command::Describe(flag) = self;
        let text = &flag.image;
        let image: ImageRef = text
            .parse()
            .map_err(|error| Failure::usage(format_args!("`{text}`: {error}")))?;
        let client = settings.client()?;
        let query = [("image", image.as_written())];
        let found = client.get("/binauthz/v1/images:describe", &query).await?;
        output::show_one(settings.format.as_ref(), &summary(&found))?;
        Ok(Exit::Done)
    }
}

/// As `gcloud artifacts docker images describe` shows it.
fn summary(found: &Value) -> Value {
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or("");
    let (registry, path) = (text("registry"), text("path"));
    // Of `PROJECT/REPOSITORY/IMAGE` in Artifact Registry; elsewhere a repository is the whole path.
    let folder = registry
        .contains("-docker.")
        .then(|| path.split('/').nth(1))
        .flatten();
    json!({"image_summary": {
        "digest": text("digest"),
        "fully_qualified_digest": text("fullyQualifiedDigest"),
        "registry": registry,
        "repository": folder.unwrap_or(path),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_gclouds() {
        for (registry, path, repository) in [
            ("us-central1-docker.pkg.dev", "demo/app/sub/svc", "app"),
            ("r.example", "demo/app/svc", "demo/app/svc"),
            ("docker.io", "library/nginx", "library/nginx"),
        ] {
            let found =
                json!({"registry": registry, "path": path, "digest": "d", "fullyQualifiedDigest": "f"});
            let expected = json!({"image_summary": {"digest": "d", "fully_qualified_digest": "f",
                                                    "registry": registry, "repository": repository}});
            assert_eq!(summary(&found), expected);
        }
    }
}
