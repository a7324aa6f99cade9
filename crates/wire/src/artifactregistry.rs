//! `artifactregistry.googleapis.com` v1, as far as `gcloud artifacts docker images` and `docker tags` go.
//!
//! A package is an image's path below its repository. Slashes in it are written `%2F`, in requests and in answers.

use binauthz_core::image::Digest;
use serde_json::{Value as Json, json};

use crate::filter::{Filter, TextRelation};
use crate::json::{InvalidField, Object, Value};

/// `projects/{project}/locations/{location}/repositories/{repository}`, from parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    /// The project.
    pub project: String,
    /// The location, from which the registry's host follows.
    pub location: String,
    /// The repository.
    pub repository: String,
}

impl RepositoryName {
    /// The path of this repository in the registry: `PROJECT/REPOSITORY`. A project of a domain, `example.com:p`, is
    /// two components there.
    pub fn path(&self) -> String {
        format!("{}/{}", self.project.replace(':', "/"), self.repository)
    }

    /// The path of an image in the registry.
    pub fn image_path(&self, package: &str) -> String {
        format!("{}/{package}", self.path())
    }

    /// The package's full name.
    pub fn package(&self, package: &str) -> String {
        format!("{self}/packages/{}", package.replace('/', "%2F"))
    }

    /// The full name of a package's tag.
    pub fn tag(&self, package: &str, tag: &str) -> String {
        format!("{}/tags/{tag}", self.package(package))
    }

    /// The full name of a package's version.
    pub fn version(&self, package: &str, digest: &Digest) -> String {
        format!("{}/versions/{digest}", self.package(package))
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "projects/{}/locations/{}/repositories/{}",
            self.project, self.location, self.repository
        )
    }
}

/// A package id from a segment that was decoded once: clients encode its slashes twice.
pub fn package_from(segment: &str) -> String {
    segment.replace("%2F", "/").replace("%2f", "/")
}

/// Reads a tag: the digest of the version it shall name, which must be one of this package.
pub fn read_tag(value: Value, repository: &RepositoryName, package: &str) -> Result<Digest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    let version = object.take_string("version")?;
    let given = version_from(&version, repository, package);
    let expected = format!("{}/versions/sha256:DIGEST", repository.package(package));
    let digest = given.ok_or_else(|| object.refused("version", format_args!("expected `{expected}`")))?;
    object.finish()?;
    Ok(digest)
}

/// Reads the `filter` of a list of tags: none, or `version="NAME"` as gcloud sends it before it deletes an image's tags.
/// Anything else is refused, because a list that is longer than was asked for is one of tags to delete.
pub fn read_tag_filter(
    filter: &str,
    repository: &RepositoryName,
    package: &str,
) -> Result<Option<Digest>, InvalidField> {
    let expected = || {
        let name = repository.package(package);
        InvalidField::refused(
            "filter",
            format_args!("expected `version=\"{name}/versions/sha256:DIGEST\"` or none"),
        )
    };
    match Filter::parse(filter, &["version"])? {
        Filter::Everything => Ok(None),
        Filter::Text {
            relation: TextRelation::Equal,
            text,
            ..
        } => version_from(&text, repository, package)
            .map(Some)
            .ok_or_else(expected),
        _ => Err(expected()),
    }
}

/// The digest of a version's full name, which must be one of this package.
fn version_from(name: &str, repository: &RepositoryName, package: &str) -> Option<Digest> {
    let (parent, digest) = name.rsplit_once("/versions/")?;
    // The slashes of the package id may come in either form.
    let is_of_package = package_from(parent) == package_from(&repository.package(package));
    is_of_package.then(|| digest.parse().ok()).flatten()
}

/// The operation that deleted a version, done.
pub fn write_operation(name: &str) -> Json {
    json!({ "name": name, "done": true, "response": { "@type": "type.googleapis.com/google.protobuf.Empty" } })
}

/// The settings of a project: nothing is redirected here from `gcr.io`.
pub fn write_project_settings(project: &str) -> Json {
    json!({
        "name": format!("projects/{project}/projectSettings"),
        "legacyRedirectionState": "REDIRECTION_FROM_GCR_IO_DISABLED",
    })
}

/// A repository.
pub fn write_repository(repository: &RepositoryName) -> Json {
    json!({ "name": repository.to_string(), "format": "DOCKER", "mode": "STANDARD_REPOSITORY" })
}

/// A package.
pub fn write_package(repository: &RepositoryName, package: &str) -> Json {
    json!({ "name": repository.package(package) })
}

/// A tag.
pub fn write_tag(repository: &RepositoryName, package: &str, tag: &str, digest: &Digest) -> Json {
    json!({ "name": repository.tag(package, tag), "version": repository.version(package, digest) })
}

/// An image: what a manifest says, and the tags that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The package.
    pub package: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: &'static str,
    /// The sizes it declares, added up.
    pub bytes: u64,
    /// The tags that name it.
    pub tags: Vec<String>,
}

/// An image as a version of its package.
pub fn write_version(repository: &RepositoryName, image: &Image) -> Json {
    let name = repository.version(&image.package, &image.digest);
    let tags: Vec<Json> = image
        .tags
        .iter()
        .map(|tag| write_tag(repository, &image.package, tag, &image.digest))
        .collect();
    json!({
        "name": name,
        "relatedTags": tags,
        "metadata": { "name": name, "imageSizeBytes": image.bytes.to_string(), "mediaType": image.media_type },
    })
}

/// An image as such. `host` is the registry's host in image references.
pub fn write_docker_image(repository: &RepositoryName, host: &str, image: &Image) -> Json {
    let Image {
        package,
        digest,
        media_type,
        bytes,
        tags,
    } = image;
    json!({
        "name": format!("{repository}/dockerImages/{}@{digest}", package.replace('/', "%2F")),
        "uri": format!("{host}/{}@{digest}", repository.image_path(package)),
        "tags": tags,
        "imageSizeBytes": bytes.to_string(),
        "mediaType": media_type,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Limits, parse};

    const DIGEST: &str = "sha256:987d798a1c4b6709a3c705ebd971a69dd8f148c40204b05f7879df0e50a63efb";

    fn repository() -> RepositoryName {
        RepositoryName {
            project: "demo".to_owned(),
            location: "us-central1".to_owned(),
            repository: "app".to_owned(),
        }
    }

    #[test]
    fn names_are_built_with_encoded_slashes() {
        let (repository, digest) = (repository(), DIGEST.parse().unwrap());
        assert_eq!(repository.image_path("sub/web"), "demo/app/sub/web");
        assert_eq!(
            repository.version("sub/web", &digest),
            format!(
                "projects/demo/locations/us-central1/repositories/app/packages/sub%2Fweb/versions/{DIGEST}"
            )
        );
        let domain = RepositoryName {
            project: "example.com:demo".to_owned(),
            ..repository
        };
        assert_eq!(domain.image_path("web"), "example.com/demo/app/web");
    }

    #[test]
    fn a_tag_names_a_version_of_its_own_package() {
        let read = |version: &str| {
            let body = json!({ "name": "n", "version": version }).to_string();
            read_tag(
                parse(body.as_bytes(), Limits::API).unwrap(),
                &repository(),
                "sub/web",
            )
        };
        let parent = "projects/demo/locations/us-central1/repositories/app/packages";
        for package in ["sub%2Fweb", "sub%2fweb", "sub/web"] {
            assert_eq!(
                read(&format!("{parent}/{package}/versions/{DIGEST}"))
                    .unwrap()
                    .to_string(),
                DIGEST
            );
        }
        for version in [
            "",
            DIGEST,
            &format!("{parent}/other/versions/{DIGEST}"),
            &format!("{parent}/sub%2Fweb/versions/v1"),
            &format!("{parent}/sub%2Fweb/versions/sha256:abc"),
            &format!(
                "projects/other/locations/us-central1/repositories/app/packages/sub%2Fweb/versions/{DIGEST}"
            ),
        ] {
            assert!(read(version).is_err(), "{version}");
        }
    }

    #[test]
    fn tags_are_filtered_by_a_version_of_their_package_or_not_at_all() {
        let read = |filter: &str| read_tag_filter(filter, &repository(), "sub/web");
        let parent = "projects/demo/locations/us-central1/repositories/app/packages";
        assert_eq!(read("").unwrap(), None);
        for package in ["sub%2Fweb", "sub/web"] {
            let digest = read(&format!("version=\"{parent}/{package}/versions/{DIGEST}\"")).unwrap();
            assert_eq!(digest.unwrap().to_string(), DIGEST);
        }
        for filter in [
            format!("version:\"{parent}/sub%2Fweb/versions/{DIGEST}\""),
            format!("NOT version=\"{parent}/sub%2Fweb/versions/{DIGEST}\""),
            format!("version!=\"{parent}/sub%2Fweb/versions/{DIGEST}\""),
            format!("version=\"{parent}/other/versions/{DIGEST}\""),
            format!("version=\"{DIGEST}\""),
            format!("has_suffix(version, \"{DIGEST}\")"),
            "name=\"x\"".to_owned(),
            "version".to_owned(),
        ] {
            assert_eq!(read(&filter).unwrap_err().path, "filter", "{filter}");
        }
    }

    #[test]
    fn an_image_is_written_as_version_and_as_image() {
        let image = Image {
            package: "web".to_owned(),
            digest: DIGEST.parse().unwrap(),
            media_type: "application/vnd.oci.image.manifest.v1+json",
            bytes: 12,
            tags: vec!["v1".to_owned()],
        };
        let version = write_version(&repository(), &image);
        let name =
            format!("projects/demo/locations/us-central1/repositories/app/packages/web/versions/{DIGEST}");
        assert_eq!(version["name"], name);
        assert_eq!(version["metadata"]["imageSizeBytes"], "12");
        assert_eq!(version["relatedTags"][0]["version"], name);
        let docker = write_docker_image(&repository(), "us-central1-docker.pkg.dev", &image);
        assert_eq!(
            docker["uri"],
            format!("us-central1-docker.pkg.dev/demo/app/web@{DIGEST}")
        );
        assert_eq!(docker["tags"], json!(["v1"]));
    }
}
