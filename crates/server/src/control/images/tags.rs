//! The tags of a package.

use binauthz_core::image::Digest;
use binauthz_registry::{Manifest, RegistryError, Repository, Tag};
use binauthz_wire::artifactregistry::{RepositoryName, read_tag, read_tag_filter, write_tag};
use binauthz_wire::field_mask::FieldMask;

use super::super::call::{Call, Reply};
use super::super::error::ApiError;
use super::super::listing::{self, Page};
use super::super::routes::{Class, Route, Verb};
use super::moves::{Move, is_move};
use super::{MAX_READ, failed, image_of, invalid, row, within};
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(super) fn routes() -> Vec<Route> {
    macro_rules! path {
        ($rest:literal) => {
            concat!(
                "/{version}/projects/{project}/locations/{location}/repositories/{repository}/packages/{package}/tags",
                $rest
            )
        };
    }
    vec![
        row(
            (Verb::Get, path!("")),
            "ListTags",
            "artifactregistry.tags.list",
            Class::Read,
            |app, call| Box::pin(tags(app, call)),
        ),
        row(
            (Verb::Post, path!("")),
            "CreateTag",
            "artifactregistry.tags.create",
            Class::Write,
            |app, call| Box::pin(create_tag(app, call)),
        ),
        row(
            (Verb::Get, path!("/{tag}")),
            "GetTag",
            "artifactregistry.tags.get",
            Class::Read,
            |app, call| Box::pin(tag(app, call)),
        ),
        row(
            (Verb::Patch, path!("/{tag}")),
            "UpdateTag",
            "artifactregistry.tags.update",
            Class::Write,
            |app, call| Box::pin(update_tag(app, call)),
        ),
        row(
            (Verb::Delete, path!("/{tag}")),
            "DeleteTag",
            "artifactregistry.tags.delete",
            Class::Write,
            |app, call| Box::pin(delete_tag(app, call)),
        ),
    ]
}

async fn tags(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let text = call.query.string("filter")?.unwrap_or_default();
    let wanted = read_tag_filter(text, &name, &package)?;
    let list = format!("{}/tags {text}", name.package(&package));
    let page = Page::of(&call, list, 100, MAX_READ as u32)?;
    let mut tags = registry.tags().await.map_err(failed)?;
    tags.retain(|tag| page.after().is_none_or(|after| tag.as_str() > after.as_str()));
    // Which version a tag names, only the registry knows: for a filter each one is asked about.
    let scanned = match wanted {
        Some(_) => MAX_READ as u32,
        None => page.fetch(),
    };
    tags.truncate(scanned as usize);
    let read = within(async {
        let mut read: Vec<(Tag, Manifest)> = Vec::with_capacity(tags.len());
        for tag in tags {
            let manifest = registry.resolve(&tag).await.map_err(failed)?;
            read.push((tag, manifest));
        }
        Ok(read)
    })
    .await?;
    let is_wanted =
        |(_, manifest): &(Tag, Manifest)| wanted.is_none_or(|digest| digest == *manifest.digest());
    let (found, next) = page.filtered(read, scanned, |(tag, _)| tag.to_string(), is_wanted);
    let items = found
        .iter()
        .map(|(tag, manifest)| write_tag(&name, &package, tag.as_str(), manifest.digest()))
        .collect();
    Ok(Reply::json(listing::reply("tags", items, next)))
}

fn tag_of(text: &str) -> Result<Tag, ApiError> {
    text.parse().map_err(invalid)
}

async fn tag(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let tag = tag_of(call.param("tag"))?;
    let manifest = registry.resolve(&tag).await.map_err(failed)?;
    Ok(Reply::json(write_tag(
        &name,
        &package,
        tag.as_str(),
        manifest.digest(),
    )))
}

async fn create_tag(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let tag = tag_of(call.query_string("tagId")?)?;
    let digest = read_tag(call.take_body(), &name, &package)?;
    let full_name = name.tag(&package, tag.as_str());
    match registry.resolve(&tag).await {
        Err(RegistryError::NotFound { .. }) => {}
        Ok(there)
            if app
                .tag_moves
                .take(&Move::of(&call, full_name.clone(), &there), call.now) => {}
        Ok(_) => return Err(ApiError::already_exists(format!("`{full_name}` already exists"))),
        Err(error) => return Err(failed(error)),
    }
    put_tag(&registry, (&name, &package), &tag, &digest).await
}

async fn update_tag(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mask = call.query.string("updateMask")?.unwrap_or_default().to_owned();
    FieldMask::parse(&mask, &["version"])?;
    let (name, package, registry) = image_of(app, &call)?;
    let tag = tag_of(call.param("tag"))?;
    let digest = read_tag(call.take_body(), &name, &package)?;
    registry.resolve(&tag).await.map_err(failed)?;
    put_tag(&registry, (&name, &package), &tag, &digest).await
}

/// Sends the manifest back under the tag: the exact bytes that were read and hashed.
async fn put_tag(
    registry: &Repository<'_>,
    (name, package): (&RepositoryName, &str),
    tag: &Tag,
    digest: &Digest,
) -> Result<Reply, ApiError> {
    let manifest = registry.manifest(digest).await.map_err(failed)?;
    registry.put_tag(tag, &manifest).await.map_err(failed)?;
    Ok(Reply::json(write_tag(name, package, tag.as_str(), digest)))
}

async fn delete_tag(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (name, package, registry) = image_of(app, &call)?;
    let tag = tag_of(call.param("tag"))?;
    let full_name = name.tag(&package, tag.as_str());
    match registry.delete_tag(&tag).await {
        Ok(()) => Ok(Reply::empty()),
        // The distribution project's registry before version 3, for one.
        Err(RegistryError::Refused {
            status: 400 | 405, ..
        }) if is_move(&call) => {
            let there = registry.resolve(&tag).await.map_err(failed)?;
            app.tag_moves
                .remember(Move::of(&call, full_name, &there), call.now);
            let facts = [("deferred".to_owned(), there.digest().to_string().into())];
            call.commit_with(app, Vec::new(), facts.into_iter().collect())
                .await?;
            Ok(Reply::empty())
        }
        Err(error @ RegistryError::Refused { status: 400..500, .. }) => {
            Err(ApiError::failed_precondition(format!(
                "this registry cannot delete tags ({error}); to let `{full_name}` name another version, move it: \
                 PATCH it with `updateMask=version`, or push the image under the tag"
            )))
        }
        Err(error) => Err(failed(error)),
    }
}
