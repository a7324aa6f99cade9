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
    /// Show the digest of an image, as its registry gives it at this moment
    #[command(
        after_help = "Examples:\n  binauthz images describe us-central1-docker.pkg.dev/demo/app/myservice:v1\n  \
        binauthz images describe us-central1-docker.pkg.dev/demo/app/myservice:v1 --format='value(image_summary.digest)'"
    )]
    Describe(ImageFlag),
}

/// An image.
#[derive(Debug, Args)]
pub struct ImageFlag {
    /// `LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG`
    image: String,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let Command::Describe(flag) = self;
        let reference = Location::of(&flag.image)?;
        let client = settings.client()?;
        let found = client.get(&reference.path(), &[]).await?;
        // A tag answers with its version's name, a version with its own.
        let name = found
            .get("version")
            .or_else(|| found.get("name"))
            .and_then(Value::as_str)
            .unwrap_or("");
        let digest = name.rsplit('/').next().unwrap_or("");
        let summary = json!({"image_summary": {
            "digest": digest,
            "fully_qualified_digest": format!("{}@{digest}", reference.repository),
            "registry": reference.host,
            "repository": reference.folder,
        }});
        output::show_one(settings.format.as_ref(), &summary);
        Ok(Exit::Done)
    }
}

/// An image reference taken apart as the Artifact Registry API wants it.
#[derive(Debug, PartialEq, Eq)]
struct Location {
    host: String,
    project: String,
    location: String,
    folder: String,
    package: String,
    version: Version,
    repository: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    Tag(String),
    Digest(String),
}

impl Location {
    fn of(text: &str) -> Result<Location, Failure> {
        let image: ImageRef = text
            .parse()
            .map_err(|error| Failure::usage(format_args!("`{text}`: {error}")))?;
        let bad = || {
            Failure::usage(format_args!("`{text}` is not an image of an Artifact Registry"))
                .advise("expected LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG")
                .advise("for other registries: crane digest IMAGE, or skopeo inspect --format '{{.Digest}}' docker://IMAGE")
        };
        let host = image.host().ok_or_else(bad)?;
        let (location, _domain) = host.split_once("-docker.").ok_or_else(bad)?;
        let mut parts = image.path().splitn(3, '/');
        let (Some(project), Some(folder), Some(package)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        let version = match &image {
            ImageRef::Pinned(pinned) => Version::Digest(pinned.digest().to_string()),
            ImageRef::Tagged(tagged) => Version::Tag(tagged.tag().unwrap_or("latest").to_owned()),
        };
        Ok(Location {
            host: host.to_owned(),
            project: project.to_owned(),
            location: location.to_owned(),
            folder: folder.to_owned(),
            package: package.to_owned(),
            version,
            repository: image.repository().to_owned(),
        })
    }

    fn path(&self) -> String {
        // A package id may hold slashes: they are encoded twice, once for the id and once for the path.
        let package = self.package.replace('/', "%252F");
        let version = match &self.version {
            Version::Tag(tag) => format!("tags/{tag}"),
            Version::Digest(digest) => format!("versions/{digest}"),
        };
        let parent = format!(
            "projects/{}/locations/{}/repositories/{}",
            self.project, self.location, self.folder
        );
        format!("/v1/{parent}/packages/{package}/{version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_the_path_of_its_tag_or_version() {
        let hex = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
        let parent = "/v1/projects/demo/locations/us-central1/repositories/app/packages";
        let table = [
            (
                "us-central1-docker.pkg.dev/demo/app/myservice:v1".to_owned(),
                format!("{parent}/myservice/tags/v1"),
            ),
            (
                "us-central1-docker.pkg.dev/demo/app/myservice".to_owned(),
                format!("{parent}/myservice/tags/latest"),
            ),
            (
                format!("us-central1-docker.pkg.dev/demo/app/sub/svc@sha256:{hex}"),
                format!("{parent}/sub%252Fsvc/versions/sha256:{hex}"),
            ),
        ];
        for (image, expected) in table {
            assert_eq!(Location::of(&image).expect(&image).path(), expected);
        }
    }

    #[test]
    fn other_registries_are_named_as_such() {
        for image in [
            "nginx",
            "docker.io/library/nginx:1",
            "us-central1-docker.pkg.dev/demo/app",
            "a b",
        ] {
            assert!(Location::of(image).is_err(), "{image}");
        }
    }
}
