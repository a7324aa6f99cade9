//! Why an object cannot be judged.

use super::MAX_IMAGES;

/// Why an object is not a workload we can judge. Each of these ends as a denial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkload {
    /// Not in the table of kinds.
    #[error(
        "kind `{0}` is not known to carry images; expected Pod, PodTemplate, ReplicationController, ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, CronJob, or a custom resource whose image paths are configured"
    )]
    UnknownKind(String),
    /// A kind of the table in a version that is not: whether it means the same is not known.
    #[error("`{kind}` is of a version that is not known, expected {expected}")]
    UnknownVersion {
        /// The kind as given.
        kind: String,
        /// The versions of it in the table.
        expected: String,
    },
    /// The object calls itself something else than the request does.
    #[error("the request is about `{requested}`, but the object says it is `{found}`")]
    KindMismatch {
        /// What the request says.
        requested: String,
        /// What the object says.
        found: String,
    },
    /// Nothing to judge where an object is needed.
    #[error("the request carries no object")]
    NoObject,
    /// The template or the spec is not there.
    #[error("the object has no `{0}`")]
    NoPodSpec(&'static str),
    /// Nothing that would run.
    #[error("the workload names no image in `{0}`")]
    NoImages(&'static str),
    /// A custom resource in which no path leads to an image.
    #[error("no image path that is configured for `{0}` leads to an image")]
    NoImagesAtPaths(String),
    /// A custom resource with something else at a path than its configuration says.
    #[error("`{location}` is not {expected}, as the image paths of `{resource}` say")]
    Astray {
        /// The resource.
        resource: String,
        /// Where in the object.
        location: String,
        /// What was expected there.
        expected: &'static str,
    },
    /// More images than any real workload.
    #[error("the workload names more than {MAX_IMAGES} images")]
    TooManyImages,
}

impl InvalidWorkload {
    /// Whether the object is of the kind it should be, and only what it would run is missing or too much.
    pub fn is_about_contents(&self) -> bool {
        match self {
            Self::NoPodSpec(_)
            | Self::NoImages(_)
            | Self::NoImagesAtPaths(_)
            | Self::Astray { .. }
            | Self::TooManyImages => true,
            Self::UnknownKind(_)
            | Self::UnknownVersion { .. }
            | Self::KindMismatch { .. }
            | Self::NoObject => false,
        }
    }
}
