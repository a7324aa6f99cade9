//! Which digest an image reference means now, whatever registry it names: what a person needs who was refused a tag.

use binauthz_core::image::ImageRef;
use binauthz_registry::{Tag, UnknownRepository};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::images::{failed, unknown};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

/// Where Kubernetes looks for an image that names no registry.
const DEFAULT_HOST: &str = "docker.io";

pub(crate) fn routes() -> Vec<Route> {
    vec![Route {
        verb: Verb::Get,
        template: "/binauthz/v1/images:describe",
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name: "GetImageDigest",
        permission: "binauthz.images.get",
        class: Class::Read,
        handler: |app, call| Box::pin(describe(app, call)),
    }]
}

async fn describe(app: &App, call: Call) -> Result<Reply, ApiError> {
    let text = call.query_string("image")?;
    let image: ImageRef = text
        .parse()
        .map_err(|why| ApiError::invalid_argument(format!("query parameter `image`: {why}")))?;
    let (host, path) = place(&image);
    let registry = app.registries.repository(host, &path).map_err(|why| match &why {
        UnknownRepository::NotConfigured { .. } => ApiError::failed_precondition(format!(
            "{why}; or ask the registry yourself: `crane digest IMAGE`, or `skopeo inspect --format '{{{{.Digest}}}}' docker://IMAGE`"
        )),
        UnknownRepository::InvalidPath { .. } => unknown(&why),
    })?;
    let manifest = match &image {
        ImageRef::Pinned(pinned) => registry.manifest(pinned.digest()).await,
        ImageRef::Tagged(tagged) => {
            let tag: Tag = tagged
                .tag()
                .unwrap_or("latest")
                .parse()
                .map_err(|why| ApiError::invalid_argument(format!("query parameter `image`: {why}")))?;
            registry.resolve(&tag).await
        }
    };
    let manifest = manifest.map_err(failed)?;
    let digest = manifest.digest();
    Ok(Reply::json(json!({
        "image": text,
        "digest": digest.to_string(),
        "fullyQualifiedDigest": format!("{}@{digest}", image.repository()),
        "registry": host,
        "path": path,
        "mediaType": manifest.media_type(),
        // int64 is a string in Google's JSON.
        "imageSizeBytes": manifest.image_bytes().to_string(),
    })))
}

/// The registry and the repository in it. `nginx` is `docker.io/library/nginx`.
fn place(image: &ImageRef) -> (&str, String) {
    match image.host() {
        Some(DEFAULT_HOST) | None if !image.path().contains('/') => {
            (DEFAULT_HOST, format!("library/{}", image.path()))
        }
        Some(host) => (host, image.path().to_owned()),
        None => (DEFAULT_HOST, image.path().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_registry_is_docker_hubs() {
        let table = [
            ("nginx:1", ("docker.io", "library/nginx")),
            ("docker.io/nginx", ("docker.io", "library/nginx")),
            ("grafana/grafana", ("docker.io", "grafana/grafana")),
            ("r.example/app", ("r.example", "app")),
            ("localhost:5000/a/b:v", ("localhost:5000", "a/b")),
        ];
        for (text, (host, path)) in table {
            let image: ImageRef = text.parse().unwrap();
            assert_eq!(place(&image), (host, path.to_owned()), "{text}");
        }
    }
}
