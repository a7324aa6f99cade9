//! A manifest: the exact bytes, their digest, and the little that is read from them.

use aws_lc_rs::digest::{SHA256, digest};
use binauthz_core::image::Digest;
use serde::Deserialize;

use crate::error::RegistryError;

/// What the distribution project's own registry accepts.
pub(crate) const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// The kinds asked for. The old schema 1 is not among them: its digest is not the hash of its bytes.
pub(crate) const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A manifest whose digest was computed from the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    bytes: Vec<u8>,
    digest: Digest,
    media_type: &'static str,
    image_bytes: u64,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "schemaVersion")]
    schema_version: u64,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(default)]
    size: u64,
}

impl Manifest {
    /// Hashes the bytes, then reads those bytes. `content_type` is what the registry said they are.
    pub(crate) fn new(bytes: Vec<u8>, content_type: &str) -> Result<Self, RegistryError> {
        let refuse = |problem| RegistryError::Manifest { problem };
        let digest = hash(&bytes);
        let named = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = MEDIA_TYPES
            .into_iter()
            .find(|known| *known == named)
            .ok_or(refuse(
                "its content type is not one of an OCI or Docker (schema 2) manifest or index",
            ))?;
        let fields: Fields =
            serde_json::from_slice(&bytes).map_err(|_| refuse("it is not the JSON of a manifest"))?;
        if fields.schema_version != 2 {
            return Err(refuse("its schemaVersion is not 2"));
        }
        // RG-04: one document must not be an image to one reader and an index to another.
        if fields.media_type.is_some_and(|inside| inside != media_type) {
            return Err(refuse(
                "its mediaType differs from the content type it was sent with",
            ));
        }
        let is_image = fields.config.is_some() && fields.layers.is_some() && fields.manifests.is_none();
        let is_index = fields.config.is_none() && fields.layers.is_none() && fields.manifests.is_some();
        let claims_index = media_type.contains("index") || media_type.contains("list");
        if (is_index, is_image) != (claims_index, !claims_index) {
            return Err(refuse(
                "it is ambiguous: expected either config and layers, or manifests, as its media type says",
            ));
        }
        let parts = fields
            .config
            .iter()
            .chain(fields.layers.iter().flatten())
            .chain(fields.manifests.iter().flatten());
        let image_bytes = parts.fold(0, |sum: u64, part| sum.saturating_add(part.size));
        Ok(Self {
            bytes,
            digest,
            media_type,
            image_bytes,
        })
    }

    /// The hash of the bytes.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// The sum of the sizes it declares; for an index, of its manifests.
    #[must_use]
    pub const fn image_bytes(&self) -> u64 {
        self.image_bytes
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Digest {
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest::from_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    #[test]
    fn reads_images_and_indexes() {
        let image = br#"{"schemaVersion":2,"config":{"size":7},"layers":[{"size":10},{"size":20}]}"#;
        let manifest = Manifest::new(image.to_vec(), IMAGE).unwrap();
        assert_eq!((manifest.image_bytes(), manifest.media_type()), (37, IMAGE));
        assert_eq!(manifest.digest(), &hash(image));
        let index = br#"{"schemaVersion":2,"manifests":[{"size":3}],"mediaType":"application/vnd.oci.image.index.v1+json"}"#;
        assert_eq!(
            Manifest::new(index.to_vec(), &format!("{INDEX}; charset=utf-8"))
                .unwrap()
                .image_bytes(),
            3
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let cases = [
            (IMAGE, "{}"),
            (IMAGE, "not json"),
            (IMAGE, r#"{"schemaVersion":1,"config":{},"layers":[]}"#),
            (IMAGE, r#"{"schemaVersion":2,"config":{}}"#),
            (IMAGE, r#"{"schemaVersion":2,"manifests":[]}"#),
            (
                IMAGE,
                r#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#,
            ),
            (INDEX, r#"{"schemaVersion":2,"config":{},"layers":[]}"#),
            (
                INDEX,
                r#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#,
            ),
            (
                INDEX,
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#,
            ),
            (
                IMAGE,
                r#"{"schemaVersion":2,"config":{},"layers":[],"layers":[]}"#,
            ),
            (
                "application/json",
                r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            ),
            (
                "application/vnd.docker.distribution.manifest.v1+json",
                r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            ),
        ];
        for (content_type, body) in cases {
            let result = Manifest::new(body.as_bytes().to_vec(), content_type);
            assert!(
                matches!(result, Err(RegistryError::Manifest { .. })),
                "{content_type} {body}"
            );
        }
    }
}
