//! An image that a workload names, and the field it stands in.

use std::borrow::Cow;

/// Which list of a pod spec an image stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageList {
    /// `containers`
    Containers,
    /// `initContainers`
    InitContainers,
    /// `ephemeralContainers`
    EphemeralContainers,
    /// `volumes`, those with an `image`
    Volumes,
    /// A field that is an image itself, in a custom resource.
    Field,
}

/// One image a workload names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedImage<'a> {
    /// Path of what holds the list, such as `spec.template.spec`; empty when the list is at the top. The whole path of a
    /// field that is an image.
    pub(super) within: Cow<'static, str>,
    pub(super) list: ImageList,
    pub(super) index: usize,
    /// Name of the container or volume.
    pub(super) name: Cow<'a, str>,
    /// The reference as written; empty when there is none, which is no reference.
    pub(super) image: Cow<'a, str>,
}

impl NamedImage<'_> {
    /// The reference as written.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Name of the container or volume that names the image.
    pub fn container(&self) -> &str {
        &self.name
    }

    /// Which list it stands in.
    pub fn list(&self) -> ImageList {
        self.list
    }

    /// The field, such as `spec.template.spec.initContainers[0]`.
    pub fn location(&self) -> String {
        let (list, suffix) = match self.list {
            ImageList::Containers => ("containers", ""),
            ImageList::InitContainers => ("initContainers", ""),
            ImageList::EphemeralContainers => ("ephemeralContainers", ""),
            ImageList::Volumes => ("volumes", ".image.reference"),
            ImageList::Field => return self.within.clone().into_owned(),
        };
        let dot = if self.within.is_empty() { "" } else { "." };
        let index = self.index.to_string();
        // Reserves once what `format!` would grow into.
        [&self.within, dot, list, "[", &index, "]", suffix].concat()
    }
}
