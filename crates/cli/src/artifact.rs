//! The image an attestation is about: a flag, a file that a build tool wrote, or both.

use std::path::{Path, PathBuf};

use binauthz_core::{
    image::{Digest, ImageRef, PinnedImage},
    payload,
};
use clap::Args;
use serde_json::Value;

use crate::{commands::files, failure::Failure};

/// A `docker buildx` metadata file is some kilobytes; provenance inside it can make it larger.
const DIGEST_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The flags that name an image by its digest.
#[derive(Debug, Args)]
pub(crate) struct ArtifactFlags {
    /// Image as `HOST/PATH@sha256:DIGEST`; with --digest-file the digest may be left out
    #[arg(long, value_name = "IMAGE", required_unless_present = "digest_file")]
    artifact_url: Option<String>,
    /// File with the digest: of `docker buildx --metadata-file`, `crane digest`, `podman push --digestfile`
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
}

/// An image named by its digest, in a registry: what can be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact(PinnedImage);

impl Artifact {
    /// The statement that is signed.
    pub(crate) fn payload(&self) -> Vec<u8> {
        payload::build(self.0.repository(), self.0.digest())
    }

    /// The image as the occurrence names it: without scheme and tag.
    pub(crate) fn resource_uri(&self) -> String {
        format!("{}@{}", self.0.repository(), self.0.digest())
    }

    /// The digest.
    pub(crate) fn digest(&self) -> &Digest {
        self.0.digest()
    }
}

impl ArtifactFlags {
    /// The image that flag and file agree on.
    pub(crate) fn image(&self) -> Result<Artifact, Failure> {
        let found = self.digest_file.as_deref().map(read_digest_file).transpose()?;
        match (&self.artifact_url, found) {
            (Some(url), None) => pinned(url),
            (Some(url), Some(found)) => join(url, &found.digest),
            (
                None,
                Some(Found {
                    digest,
                    repository: Some(repository),
                }),
            ) => join(&repository, &digest),
            (None, Some(_)) => Err(Failure::usage("the file holds a digest but not the image's name")
                .advise("add --artifact-url HOST/PATH")),
            (None, None) => Err(Failure::usage("--artifact-url is missing")),
        }
    }
}

/// An image reference that must name a digest.
pub(crate) fn pinned(url: &str) -> Result<Artifact, Failure> {
    let text = without_scheme(url);
    match parse(text)? {
        ImageRef::Pinned(image) => Ok(Artifact(image)),
        ImageRef::Tagged(image) => {
            let written = if image.tag().is_some() {
                image.as_written().to_owned()
            } else {
                format!("{text}:latest")
            };
            Err(Failure::usage(format_args!(
                "`{text}` is a tag, and a tag can be moved: a signature is about a digest"
            ))
            .advise(format_args!(
                "find it: binauthz images describe {written} --format='value(image_summary.digest)'"
            ))
            .advise(format_args!(
                "then:    --artifact-url={}@sha256:…",
                image.repository()
            ))
            .advise("or pass --digest-file with what docker buildx, crane or podman wrote"))
        }
    }
}

/// Parses a reference that names its registry, and explains a digest that is none.
fn parse(text: &str) -> Result<ImageRef, Failure> {
    let image: ImageRef = text.parse().map_err(|error| {
        let failure = Failure::usage(format_args!("`{text}`: {error}"));
        match text.split_once('@').and_then(|(_, digest)| what_is_wrong(digest)) {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    })?;
    if image.host().is_none() {
        return Err(Failure::usage(format_args!("`{text}` does not name its registry"))
            .advise("expected HOST/PATH@sha256:DIGEST, e.g. us-central1-docker.pkg.dev/demo/app/myservice@sha256:…"));
    }
    Ok(image)
}

/// What a person most likely did to a digest.
fn what_is_wrong(digest: &str) -> Option<String> {
    let Some(hexadecimal) = digest.strip_prefix("sha256:") else {
        return Some("only sha256 digests name images here".to_owned());
    };
    let length = hexadecimal.chars().count();
    if length != 64 {
        return Some(format!(
            "the digest has {length} of 64 digits: a shortened digest names nothing; copy it whole"
        ));
    }
    if hexadecimal.chars().any(|c| c.is_ascii_uppercase()) {
        return Some("the digits of a digest are lower-case".to_owned());
    }
    None
}

/// A name, with or without a tag or the digest itself, and the digest found in a file.
fn join(url: &str, digest: &Digest) -> Result<Artifact, Failure> {
    let text = without_scheme(url);
    let image = parse(text)?;
    if let ImageRef::Pinned(written) = &image
        && written.digest() != digest
    {
        return Err(Failure::usage(format_args!(
            "`{text}` names another digest than the file, which holds `{digest}`"
        ))
        .advise("sign what was built: leave the digest out of --artifact-url, or drop --digest-file"));
    }
    pinned(&format!("{}@{digest}", image.repository()))
}

fn without_scheme(url: &str) -> &str {
    url.strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or(url)
}

/// What a build tool wrote.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    digest: Digest,
    repository: Option<String>,
}

fn read_digest_file(path: &Path) -> Result<Found, Failure> {
    let bytes = files::read_at_most(path, DIGEST_FILE_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    read_digest(text.trim()).map_err(|problem| {
        Failure::usage(format_args!("`{}` {problem}", path.display())).advise(
            "expected JSON with \"containerimage.digest\" (docker buildx --metadata-file), \
             or one line sha256:… (crane digest, podman push --digestfile)",
        )
    })
}

fn read_digest(text: &str) -> Result<Found, String> {
    if text.starts_with('{') {
        return read_build_metadata(text);
    }
    let (repository, digest) = match text.rsplit_once('@') {
        Some((repository, digest)) => (Some(repository.to_owned()), digest),
        None => (None, text),
    };
    let digest = digest
        .parse()
        .map_err(|_| "does not hold one sha256 digest".to_owned())?;
    Ok(Found { digest, repository })
}

/// The metadata of `docker buildx build`, or of a `bake` with one target.
fn read_build_metadata(text: &str) -> Result<Found, String> {
    let limits = binauthz_wire::json::Limits {
        bytes: text.len(),
        ..binauthz_wire::json::Limits::API
    };
    let metadata = binauthz_wire::json::parse(text.as_bytes(), limits)
        .map_err(|error| format!("is not JSON: {error}"))?;
    let metadata = Value::from(metadata);
    let has_digest = |value: &&Value| value.get("containerimage.digest").is_some();
    let mut targets = metadata
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values())
        .filter(has_digest);
    let target = match (Some(&metadata).filter(has_digest), targets.next(), targets.next()) {
        (Some(whole), _, _) => whole,
        (None, Some(only), None) => only,
        (None, Some(_), Some(_)) => {
            return Err("holds the digests of several images; sign them one by one".to_owned());
        }
        (None, None, _) => return Err("has no \"containerimage.digest\": was the image pushed?".to_owned()),
    };
    let digest = target
        .get("containerimage.digest")
        .and_then(Value::as_str)
        .unwrap_or("");
    let digest = digest
        .parse()
        .map_err(|error| format!("has a bad \"containerimage.digest\": {error}"))?;
    // Several names are separated by commas; they are all the same image.
    let name = target
        .get("image.name")
        .and_then(Value::as_str)
        .and_then(|names| names.split(',').next());
    Ok(Found {
        digest,
        repository: name
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

    fn flags(url: Option<&str>, file: Option<&Path>) -> ArtifactFlags {
        ArtifactFlags {
            artifact_url: url.map(str::to_owned),
            digest_file: file.map(Path::to_owned),
        }
    }

    #[test]
    fn an_image_is_named_by_its_digest() {
        let expected = format!("r.example/p/app@sha256:{HEX}");
        for written in [
            format!("r.example/p/app@sha256:{HEX}"),
            format!("https://r.example/p/app@sha256:{HEX}"),
            format!("r.example/p/app:tag@sha256:{HEX}"),
        ] {
            let artifact = flags(Some(&written), None).image().expect(&written);
            assert_eq!(artifact.resource_uri(), expected);
        }
        assert!(
            flags(Some(&format!("localhost:5000/app@sha256:{HEX}")), None)
                .image()
                .is_ok()
        );
    }

    #[test]
    fn every_mistake_says_what_to_do() {
        let table = [
            (
                "r.example/app:v1".to_owned(),
                "binauthz images describe r.example/app:v1",
            ),
            (
                "r.example/app".to_owned(),
                "binauthz images describe r.example/app:latest",
            ),
            ("r.example/app@sha256:abc123".to_owned(), "6 of 64 digits"),
            (
                format!("r.example/app@sha256:{}", HEX.to_uppercase()),
                "lower-case",
            ),
            (format!("r.example/app@sha512:{HEX}"), "only sha256"),
            (format!("nginx@sha256:{HEX}"), "does not name its registry"),
            (format!("r.example/App@sha256:{HEX}"), "path is malformed"),
        ];
        for (written, expected) in table {
            let failure = flags(Some(&written), None)
                .image()
                .expect_err(&written)
                .to_string();
            assert!(failure.contains(expected), "{written}: {failure}");
        }
    }

    #[test]
    fn digest_files_of_build_tools_are_read() {
        let buildx = format!(
            r#"{{"buildx.build.ref":"x","containerimage.digest":"sha256:{HEX}","image.name":"r.example/p/app:v1,r.example/p/app:v2"}}"#
        );
        let bake = format!(
            r#"{{"app":{{"containerimage.digest":"sha256:{HEX}","image.name":"r.example/p/app:v1"}}}}"#
        );
        let table = [
            (buildx, Some("r.example/p/app:v1")),
            (bake, Some("r.example/p/app:v1")),
            (format!("sha256:{HEX}\n"), None),
            (format!("sha256:{HEX}"), None),
            (format!("r.example/p/app@sha256:{HEX}\n"), Some("r.example/p/app")),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("digest");
        for (text, repository) in table {
            std::fs::write(&path, &text).expect("written");
            let found = read_digest_file(&path).expect(&text);
            assert_eq!(
                (found.digest.to_string(), found.repository.as_deref()),
                (format!("sha256:{HEX}"), repository)
            );
            let artifact = flags(Some("r.example/p/app"), Some(&path)).image().expect(&text);
            assert_eq!(artifact.resource_uri(), format!("r.example/p/app@sha256:{HEX}"));
            assert_eq!(
                flags(None, Some(&path)).image().is_ok(),
                repository.is_some(),
                "{text}"
            );
        }
    }

    #[test]
    fn digest_files_that_say_something_else_are_refused() {
        let two = format!(
            r#"{{"a":{{"containerimage.digest":"sha256:{HEX}"}},"b":{{"containerimage.digest":"sha256:{HEX}"}}}}"#
        );
        let twice =
            format!(r#"{{"containerimage.digest":"sha256:{HEX}","containerimage.digest":"sha256:{HEX}"}}"#);
        let table = [
            two,
            twice,
            String::new(),
            "{}".to_owned(),
            "sha256:abc".to_owned(),
            format!("sha256:{HEX}\nsha256:{HEX}"),
            format!(r#"{{"containerimage.config.digest":"sha256:{HEX}"}}"#),
            "latest".to_owned(),
        ];
        for text in table {
            assert!(read_digest(text.trim()).is_err(), "{text}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("digest");
        std::fs::write(&path, format!("sha256:{HEX}")).expect("written");
        let other = format!("r.example/app@sha256:{}", HEX.replace('e', "f"));
        let failure = flags(Some(&other), Some(&path))
            .image()
            .expect_err("another digest")
            .to_string();
        assert!(failure.contains("names another digest"), "{failure}");
    }
}
