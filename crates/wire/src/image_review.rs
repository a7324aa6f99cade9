//! `imagepolicy.k8s.io/v1alpha1` ImageReview: the older question. It carries images, a namespace and some annotations,
//! but no labels, no service account, no name and no user.

use std::borrow::Cow;

use binauthz_core::decision::Decision;
use binauthz_core::workload::{BREAK_GLASS_ANNOTATION, BreakGlass, RequestedImage};

use crate::admission_review::audit_annotations;
use crate::refusal::{OnRecord, refusal};
use crate::strict::{self, List, Pairs, Text, strict_struct};
use crate::workload::{Door, Doors, MAX_IMAGES};

const API_VERSION: &str = "imagepolicy.k8s.io/v1alpha1";
const KIND: &str = "ImageReview";

/// Why a body is not an ImageReview we can answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageReview {
    /// Not JSON, or JSON that has two readings.
    #[error("the body is not an acceptable ImageReview: {0}")]
    Malformed(String),
    /// JSON of another kind.
    #[error("expected `imagepolicy.k8s.io/v1alpha1` `ImageReview`, got `{api_version}` `{kind}`")]
    OtherKind {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// Nothing to judge.
    #[error("the ImageReview names no image")]
    NoImages,
    /// More than any real Pod.
    #[error("the ImageReview names more than {MAX_IMAGES} images")]
    TooManyImages,
}

strict_struct! {
    struct Envelope<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        spec: Spec<'a> = "spec",
    }
}

strict_struct! {
    struct Spec<'a> {
        containers: List<Container<'a>> = "containers",
        annotations: Pairs<'a> = "annotations",
        namespace: Text<'a> = "namespace",
    }
}

strict_struct! {
    struct Container<'a> {
        image: Text<'a> = "image",
    }
}

/// A question of the ImagePolicyWebhook plugin.
#[derive(Debug)]
pub struct ImageReview<'a> {
    images: Vec<Cow<'a, str>>,
    annotations: Pairs<'a>,
    namespace: Cow<'a, str>,
}

/// Reads a review; it names at least one image.
pub fn read(body: &[u8]) -> Result<ImageReview<'_>, InvalidImageReview> {
    let envelope: Envelope<'_> = strict::read(body).map_err(InvalidImageReview::Malformed)?;
    let api_version = envelope.api_version.unwrap_or_default().0;
    let kind = envelope.kind.unwrap_or_default().0;
    if api_version != API_VERSION || kind != KIND {
        let shown = |text: Cow<'_, str>| text.chars().take(100).collect();
        return Err(InvalidImageReview::OtherKind {
            api_version: shown(api_version),
            kind: shown(kind),
        });
    }
    let spec = envelope.spec.unwrap_or_default();
    let containers = spec.containers.unwrap_or_default().0;
    match containers.len() {
        0 => return Err(InvalidImageReview::NoImages),
        1..=MAX_IMAGES => {}
        _ => return Err(InvalidImageReview::TooManyImages),
    }
    Ok(ImageReview {
        images: containers
            .into_iter()
            .map(|container| container.image.unwrap_or_default().0)
            .collect(),
        annotations: spec.annotations.unwrap_or_default(),
        namespace: spec.namespace.unwrap_or_default().0,
    })
}

impl ImageReview<'_> {
    /// The namespace the Pod would run in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every image as the core takes it. The plugin sends containers first, then init containers; which list an
    /// image came from is not said.
    pub fn requested_images(&self) -> Vec<RequestedImage> {
        let image = |(index, image): (usize, &Cow<'_, str>)| {
            RequestedImage::new(format!("spec.containers[{index}]"), image.as_ref())
        };
        self.images.iter().enumerate().map(image).collect()
    }

    /// What is written at the emergency door, whether it opens it or not.
    pub fn doors(&self) -> Doors<'_> {
        Doors {
            own: Door {
                label: None,
                annotation: self.annotations.value(BREAK_GLASS_ANNOTATION),
            },
            template: Door::default(),
        }
    }

    /// The emergency door: by annotation only, the plugin does not send labels.
    pub fn break_glass(&self) -> Option<BreakGlass> {
        BreakGlass::read(None, self.annotations.value(BREAK_GLASS_ANNOTATION))
    }
}

/// The verdict as a reply, and where it is on record.
pub fn verdict(decision: &Decision, on_record: Option<OnRecord<'_>>) -> Vec<u8> {
    let mut status = serde_json::json!({ "allowed": decision.admitted() });
    if let Some(members) = status.as_object_mut() {
        if !decision.admitted() {
            members.insert("reason".to_owned(), refusal(decision, on_record).into());
        }
        let annotations = audit_annotations(decision);
        if !annotations.is_empty() {
            members.insert("auditAnnotations".to_owned(), annotations.into());
        }
    }
    let reply = serde_json::json!({ "apiVersion": API_VERSION, "kind": KIND, "status": status });
    reply.to_string().into_bytes()
}

#[cfg(test)]
#[path = "image_review/tests.rs"]
mod tests;
