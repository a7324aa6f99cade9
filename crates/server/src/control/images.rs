//! Artifact Registry, as far as `gcloud artifacts docker images` and `docker tags` go: a view of the registries the
//! operator configured. Nothing of it is stored here.

mod moves;
mod tags;

pub(crate) use moves::TagMoves;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use binauthz_core::image::Digest;
use binauthz_core::name::{LocationId, ProjectId};
use binauthz_registry::{Manifest, RegistryError, Repository, UnknownRepository};
use binauthz_wire::artifactregistry::{
    Image, RepositoryName, package_from, write_docker_image, write_operation, write_package,
    write_project_settings, write_repository, write_version,
};
use binauthz_wire::status::Code;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::operations;
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use crate::app::App;

/// Manifests read for one list. At 5 ms each from a registry next door: 2.5 s.
const MAX_READ: usize = 500;
/// gcloud waits 60 s for an answer.
const LIST_WAIT: Duration = Duration::from_secs(30);

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    macro_rules! path {
        ($rest:literal) => {
            concat!(
                "/{version}/projects/{project}/locations/{location}/repositories/{repository}",
                $rest
            )
        };
    }
    vec![
        row(
            (Verb::Get, "/{version}/projects/{project}/projectSettings"),
            "GetProjectSettings",
            "artifactregistry.projectsettings.get",
            Class::Read,
            |_, call| Box::pin(async move { Ok(Reply::json(write_project_settings(call.project()?.as_str()))) }),
        ),
        row(
            (Verb::Get, path!("")),
            "GetRepository",
            "artifactregistry.repositories.get",
            Class::Read,
            |app, call| Box::pin(repository(app, call)),
        ),
        row(
            (Verb::Get, path!("/packages")),
            "ListPackages",
            "artifactregistry.packages.list",
            Class::Read,
            |app, call| Box::pin(packages(app, call)),
        ),
        row(
            (Verb::Get, path!("/dockerImages")),
            "ListDockerImages",
            "artifactregistry.dockerimages.list",
            Class::Read,
            |app, call| Box::pin(docker_images(app, call)),
        ),
        row(
            (Verb::Get, path!("/packages/{package}/versions")),
            "ListVersions",
            "artifactregistry.versions.list",
            Class::Read,
            |app, call| Box::pin(versions(app, call)),
        ),
        row(
            (Verb::Get, path!("/packages/{package}/versions/{digest}")),
            "GetVersion",
            "artifactregistry.versions.get",
            Class::Read,
            |app, call| Box::pin(version(app, call)),
        ),
        row(
            (Verb::Delete, path!("/packages/{package}/versions/{digest}")),
            "DeleteVersion",
            "artifactregistry.versions.delete",
            Class::Write,
            |app, call| Box::pin(delete_version(app, call)),
        ),
    ]
    .into_iter()
    .chain(tags::routes())
    .collect()
}

fn row(
    (verb, template): (Verb, &'static str),
    name: &'static str,
    permission: &'static str,
    class: Class,
    handler: Handler,
) -> Route {
    let (versions, api) = (ApiVersion::V1_ONLY, Api::ArtifactRegistry);
    Route {
        verb,
        template,
        versions,
        api,
        name,
        permission,
        class,
        handler,
    }
}

/// The repository of the path.
fn name_of(call: &Call) -> Result<RepositoryName, ApiError> {
    let project: ProjectId = call.project()?;
    let location: LocationId = call.param("location").parse()?;
    // The repository's own grammar is a part of an image path, and judged with the whole path.
    let repository = call.param("repository").to_owned();
    Ok(RepositoryName {
        project: project.to_string(),
        location: location.to_string(),
        repository,
    })
}

/// The registry of a location: the configured host that begins like Artifact Registry's names do. Of several domains
/// Google's own comes first.
fn host_of(app: &App, name: &RepositoryName) -> Result<String, ApiError> {
    let prefix = format!("{}-docker.", name.location);
    let hosts: Vec<&str> = app
        .registries
        .hosts()
        .filter(|host| host.starts_with(&prefix))
        .collect();
    let google = format!("{prefix}pkg.dev");
    match hosts.as_slice() {
        [] => Err(unknown(&UnknownRepository::NotConfigured { host: google })),
        [only] => Ok((*only).to_owned()),
        several if several.contains(&google.as_str()) => Ok(google),
        several => Err(ApiError::failed_precondition(format!(
            "location `{}` is served by several configured registries (`{}`), expected one or `{google}`",
            name.location,
            several.join("`, `")
        ))),
    }
}

/// The image of the path: its repository, its package, and where it is asked.
fn image_of<'a>(app: &'a App, call: &Call) -> Result<(RepositoryName, String, Repository<'a>), ApiError> {
    let name = name_of(call)?;
    let package = package_from(call.param("package"));
    let host = host_of(app, &name)?;
    let registry = app
        .registries
        .repository(&host, &name.image_path(&package))
        .map_err(|why| unknown(&why))?;
    Ok((name, package, registry))
}

pub(super) fn unknown(why: &UnknownRepository) -> ApiError {
    match why {
        UnknownRepository::NotConfigured { .. } => ApiError::failed_precondition(why.to_string()),
        UnknownRepository::InvalidPath { .. } => ApiError::invalid_argument(why.to_string()),
    }
}

/// What a registry's failure is to the caller. Only what may pass is a 5xx, because clients repeat those.
pub(super) fn failed(error: RegistryError) -> ApiError {
    let message = error.to_string();
    match error {
        RegistryError::NotFound { .. } => ApiError::not_found(message),
        RegistryError::Unreachable { .. } | RegistryError::TimedOut { .. } => {
            tracing::warn!(error = %chain(&error), "a registry gave no answer");
            ApiError::unavailable(message)
        }
        RegistryError::Refused { status: 500.., .. } => ApiError::unavailable(message),
        other => {
            tracing::warn!(error = %chain(&other), "a registry gave no usable answer");
            ApiError::failed_precondition(message)
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn invalid(why: impl Display) -> ApiError {
    ApiError::invalid_argument(why.to_string())
}

async fn repository(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let host = host_of(app, &name)?;
    app.registries
        .repository(&host, &name.path())
        .map_err(|why| unknown(&why))?;
    Ok(Reply::json(write_repository(&name)))
}

/// The packages of a repository, by the registry's catalogue.
async fn packages_of(app: &App, name: &RepositoryName, host: &str) -> Result<Vec<String>, ApiError> {
    let prefix = format!("{}/", name.path());
    let paths = app.registries.repositories(host, &prefix).await.map_err(failed)?;
    Ok(paths
        .iter()
        .filter_map(|path| path.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect())
}

async fn packages(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filter(&call)?;
    let name = name_of(&call)?;
    let page = Page::of(&call, format!("{name}/packages"), 100, 1000)?;
    let mut packages = packages_of(app, &name, &host_of(app, &name)?).await?;
    packages.retain(|package| page.after().is_none_or(|after| *package > after));
    let next = page.cut(&mut packages, Clone::clone);
    let items = packages
        .iter()
        .map(|package| write_package(&name, package))
        .collect();
    Ok(Reply::json(listing::reply("packages", items, next)))
}

/// The images of a package that have a tag; untagged ones appear in no list of a registry. `budget` counts manifests.
async fn images_of(
    registry: &Repository<'_>,
    package: &str,
    budget: &mut usize,
) -> Result<Vec<Image>, ApiError> {
    let mut images: BTreeMap<Digest, Image> = BTreeMap::new();
    for tag in registry.tags().await.map_err(failed)? {
        *budget = budget.checked_sub(1).ok_or_else(|| {
            ApiError::failed_precondition(format!(
                "more than {MAX_READ} tags to read, expected a narrower list"
            ))
        })?;
        let manifest = registry.resolve(&tag).await.map_err(failed)?;
        let image = images
            .entry(*manifest.digest())
            .or_insert_with(|| image(package, &manifest));
        image.tags.push(tag.to_string());
    }
    Ok(images.into_values().collect())
}

fn image(package: &str, manifest: &Manifest) -> Image {
    Image {
        package: package.to_owned(),
        digest: *manifest.digest(),
        media_type: manifest.media_type(),
        bytes: manifest.image_bytes(),
        tags: Vec::new(),
    }
}

/// A list that takes longer than its client waits is an answer nobody reads.
async fn within<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let late = |_| {
        ApiError::unavailable("the registry did not list its images in time, repeat or ask for one image")
    };
    tokio::time::timeout(LIST_WAIT, work).await.map_err(late)?
}

async fn docker_images(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filter(&call)?;
    let name = name_of(&call)?;
    let host = host_of(app, &name)?;
    let page = Page::of(&call, format!("{name}/dockerImages"), 100, 1000)?;
    let mut images = within(async {
        let mut budget = MAX_READ;
        let mut images = Vec::new();
        for package in packages_of(app, &name, &host).await? {
            let path = name.image_path(&package);
            let registry = app
                .registries
                .repository(&host, &path)
                .map_err(|why| unknown(&why))?;
            match images_of(&registry, &package, &mut budget).await {
                Ok(found) => images.extend(found),
                // A package whose last tag is gone stays in the catalogue.
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(images)
    })
    .await?;
    let key = |image: &Image| format!("{}@{}", image.package, image.digest);
    images.sort_by_cached_key(key);
    images.retain(|image| page.after().is_none_or(|after| key(image) > after));
    let next = page.cut(&mut images, key);
    let items = images
        .iter()
        .map(|image| write_docker_image(&name, &host, image))
        .collect();
    Ok(Reply::json(listing::reply("dockerImages", items, next)))
}

async fn versions(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filter(&call)?;
    let (name, package, registry) = image_of(app, &call)?;
    let page = Page::of(&call, format!("{}/versions", name.package(&package)), 100, 1000)?;
    let mut images = within(async { images_of(&registry, &package, &mut { MAX_READ }).await }).await?;
    images.retain(|image| page.after().is_none_or(|after| image.digest.to_string() > after));
    let next = page.cut(&mut images, |image| image.digest.to_string());
    let items = images.iter().map(|image| write_version(&name, image)).collect();
    Ok(Reply::json(listing::reply("versions", items, next)))
}

async fn version(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let digest: Digest = call.param("digest").parse().map_err(invalid)?;
    let manifest = registry.manifest(&digest).await.map_err(failed)?;
    Ok(Reply::json(write_version(&name, &image(&package, &manifest))))
}

/// Deletes a manifest. One that tags still name stays, unless `force` says that they go with it.
async fn delete_version(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let digest: Digest = call.param("digest").parse().map_err(invalid)?;
    let location: LocationId = call.param("location").parse()?;
    if !call.query.boolean("force")? {
        refuse_tagged(&registry, (&name, &package), &digest).await?;
    }
    match registry.delete_manifest(&digest).await {
        Ok(()) => {}
        Err(error @ RegistryError::Refused { status: 400..500, .. }) => {
            return Err(ApiError::failed_precondition(format!(
                "this registry does not delete images ({error}): allow it in the registry's own configuration"
            )));
        }
        Err(error) => return Err(failed(error)),
    }
    let (operation, changes) =
        operations::new_of_artifacts(app, &call.project()?, &location, write_operation).await?;
    call.commit(app, changes).await?;
    Ok(Reply::json(operation))
}

async fn refuse_tagged(
    registry: &Repository<'_>,
    (name, package): (&RepositoryName, &str),
    digest: &Digest,
) -> Result<(), ApiError> {
    let images = within(async { images_of(registry, package, &mut { MAX_READ }).await }).await;
    let images = match images {
        Ok(images) => images,
        // Nothing in this package has a tag.
        Err(error) if error.code() == Code::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match images.iter().find(|image| image.digest == *digest) {
        Some(image) => Err(ApiError::failed_precondition(format!(
            "`{}` is tagged `{}`: delete its tags first, or all of it with `force=true`",
            name.version(package, digest),
            image.tags.join("`, `")
        ))),
        None => Ok(()),
    }
}

/// Lists are read whole: a filter would be ignored, so it is refused.
fn refuse_filter(call: &Call) -> Result<(), ApiError> {
    match call.query.string("filter")? {
        Some(_) => Err(ApiError::invalid_argument(
            "query parameter `filter` is not supported here, expected the list without it",
        )),
        None => Ok(()),
    }
}
