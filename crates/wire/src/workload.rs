//! One extractor for everything that runs images: Pods and the workload kinds with a pod template.
//!
//! Nobody else walks a pod spec. Every field that makes a node run or mount an image is collected in `images`; a kind
//! that is not in the table is an error, and errors end as denials. Owner references, verdicts written into the
//! object, deletion timestamps: not read, so they cannot matter.

mod custom;
mod doors;
mod invalid;
mod named;

use custom::Custom;
pub use doors::{Door, Doors};
pub use invalid::InvalidWorkload;
pub use named::{ImageList, NamedImage};

use std::borrow::Cow;
use std::fmt;

use binauthz_core::workload::{BREAK_GLASS_ANNOTATION, BREAK_GLASS_LABEL, BreakGlass, RequestedImage};

use crate::strict::{List, Pairs, Text, strict_struct};

/// Images one workload may name. Kubernetes has no limit of its own, but an object of 1.5 MiB (etcd's limit) with
/// more containers than this is no workload anybody runs.
pub const MAX_IMAGES: usize = 500;

/// Where the pod spec is inside an object of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Pod,
    /// `pods/ephemeralcontainers` of Kubernetes before 1.22.
    EphemeralContainers,
    PodTemplate,
    SpecTemplate,
    JobTemplate,
    /// Where the operator's paths lead.
    Custom,
}

/// Every kind that is reviewed. A kind in another group, or of another version, is another kind.
const KINDS: &[(&str, &[&str], &str, Shape)] = &[
    ("", &["v1"], "Pod", Shape::Pod),
    ("", &["v1"], "EphemeralContainers", Shape::EphemeralContainers),
    ("", &["v1"], "PodTemplate", Shape::PodTemplate),
    ("", &["v1"], "ReplicationController", Shape::SpecTemplate),
    (
        "apps",
        &["v1", "v1beta2", "v1beta1"],
        "Deployment",
        Shape::SpecTemplate,
    ),
    ("apps", &["v1", "v1beta2"], "ReplicaSet", Shape::SpecTemplate),
    (
        "apps",
        &["v1", "v1beta2", "v1beta1"],
        "StatefulSet",
        Shape::SpecTemplate,
    ),
    ("apps", &["v1", "v1beta2"], "DaemonSet", Shape::SpecTemplate),
    ("extensions", &["v1beta1"], "Deployment", Shape::SpecTemplate),
    ("extensions", &["v1beta1"], "ReplicaSet", Shape::SpecTemplate),
    ("extensions", &["v1beta1"], "DaemonSet", Shape::SpecTemplate),
    ("batch", &["v1"], "Job", Shape::SpecTemplate),
    (
        "batch",
        &["v1", "v1beta1", "v2alpha1"],
        "CronJob",
        Shape::JobTemplate,
    ),
];

/// The kind of an object: API group (empty for the core group), version, kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind<'a> {
    /// API group; empty for the core group.
    pub group: Cow<'a, str>,
    /// Version of the group.
    pub version: Cow<'a, str>,
    /// Kind.
    pub kind: Cow<'a, str>,
}

impl Kind<'_> {
    /// Whether objects of this kind are reviewed.
    pub fn is_reviewed(&self) -> bool {
        shape_of(self).is_ok()
    }
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { group, version, kind } = self;
        match group.as_ref() {
            "" => write!(formatter, "{version} {kind}"),
            group => write!(formatter, "{group}/{version} {kind}"),
        }
    }
}

strict_struct! {
    /// What is read of an object of any kind; which part counts depends on the kind.
    struct Object<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        metadata: Metadata<'a> = "metadata",
        spec: Spec<'a> = "spec",
        template: Box<Template<'a>> = "template",
        ephemeral_containers: List<Container<'a>> = "ephemeralContainers",
    }
}

strict_struct! {
    struct Metadata<'a> {
        name: Text<'a> = "name",
        generate_name: Text<'a> = "generateName",
        namespace: Text<'a> = "namespace",
        labels: Pairs<'a> = "labels",
        annotations: Pairs<'a> = "annotations",
    }
}

strict_struct! {
    /// The spec of a Pod and of everything around one: a Pod has no templates, the others have no containers.
    struct Spec<'a> {
        containers: List<Container<'a>> = "containers",
        init_containers: List<Container<'a>> = "initContainers",
        ephemeral_containers: List<Container<'a>> = "ephemeralContainers",
        volumes: List<Volume<'a>> = "volumes",
        service_account_name: Text<'a> = "serviceAccountName",
        service_account: Text<'a> = "serviceAccount",
        template: Box<Template<'a>> = "template",
        job_template: Box<Template<'a>> = "jobTemplate",
    }
}

strict_struct! {
    /// A pod template, or the job template of a CronJob.
    struct Template<'a> {
        metadata: Metadata<'a> = "metadata",
        spec: Spec<'a> = "spec",
    }
}

strict_struct! {
    struct Container<'a> {
        name: Text<'a> = "name",
        image: Text<'a> = "image",
    }
}

strict_struct! {
    struct Volume<'a> {
        name: Text<'a> = "name",
        image: ImageVolume<'a> = "image",
    }
}

strict_struct! {
    struct ImageVolume<'a> {
        reference: Text<'a> = "reference",
    }
}

/// A Pod, or a kind that makes Pods, reduced to what a verdict depends on.
#[derive(Debug)]
pub struct Workload<'a> {
    shape: Shape,
    metadata: Metadata<'a>,
    /// Of the pod template; a Pod has none.
    template_metadata: Option<Metadata<'a>>,
    service_account: Cow<'a, str>,
    images: Vec<NamedImage<'a>>,
    /// Of a custom resource.
    custom: Option<Box<Custom<'a>>>,
}

impl<'a> Workload<'a> {
    /// Reduces an object that the request calls `kind`.
    pub(crate) fn extract(kind: &Kind<'_>, object: Object<'a>) -> Result<Workload<'a>, InvalidWorkload> {
        let shape = shape_of(kind)?;
        check_own_kind(kind, &object)?;
        let metadata = object.metadata.unwrap_or_default();
        let (template_metadata, spec) = match shape {
            Shape::Pod => (None, object.spec),
            Shape::EphemeralContainers => {
                let spec = Spec {
                    ephemeral_containers: object.ephemeral_containers,
                    ..Spec::default()
                };
                (None, Some(spec))
            }
            Shape::PodTemplate => split(object.template),
            Shape::SpecTemplate => split(object.spec.and_then(|spec| spec.template)),
            Shape::JobTemplate => {
                let (_, job_spec) = split(object.spec.and_then(|spec| spec.job_template));
                split(job_spec.and_then(|spec| spec.template))
            }
            // No kind of the table has it.
            Shape::Custom => (None, None),
        };
        let spec = spec.ok_or(InvalidWorkload::NoPodSpec(shape.within()))?;
        let service_account = service_account(spec.service_account_name, spec.service_account);
        let lists = [
            (ImageList::Containers, spec.containers),
            (ImageList::InitContainers, spec.init_containers),
            (ImageList::EphemeralContainers, spec.ephemeral_containers),
        ];
        let mut images = Vec::with_capacity(4);
        add_images(&Cow::Borrowed(shape.within()), lists, spec.volumes, &mut images);
        match images.len() {
            0 => return Err(InvalidWorkload::NoImages(shape.within())),
            1..=MAX_IMAGES => {}
            _ => return Err(InvalidWorkload::TooManyImages),
        }
        Ok(Workload {
            shape,
            metadata,
            template_metadata,
            service_account,
            images,
            custom: None,
        })
    }

    /// Every image, at least one.
    pub fn images(&self) -> &[NamedImage<'a>] {
        &self.images
    }

    /// Every image as the core takes it.
    pub fn requested_images(&self) -> Vec<RequestedImage> {
        self.images
            .iter()
            .map(|image| RequestedImage::new(image.location(), image.image.as_ref()))
            .collect()
    }

    /// Whether this is a Pod (or its ephemeral containers), not something that makes Pods later.
    pub fn is_pod(&self) -> bool {
        matches!(self.shape, Shape::Pod | Shape::EphemeralContainers)
    }

    /// The service account's name the Pods run as; `default` when none is written. Not known for the old
    /// `EphemeralContainers` kind, which does not carry the pod spec, and for a custom resource that names none or
    /// several.
    pub fn service_account(&self) -> Option<&str> {
        match &self.custom {
            Some(custom) => custom.service_account(),
            None => (self.shape != Shape::EphemeralContainers).then_some(self.service_account.as_ref()),
        }
    }

    /// The object's name, or the prefix its name will be generated from, or nothing.
    pub fn name(&self) -> &str {
        let names = [&self.metadata.name, &self.metadata.generate_name];
        names
            .into_iter()
            .flatten()
            .map(|text| text.0.as_ref())
            .find(|text| !text.is_empty())
            .unwrap_or("")
    }

    /// The namespace written in the object. Only for manifests given by a person: a request's own namespace is what
    /// counts in admission.
    pub fn written_namespace(&self) -> Option<&str> {
        self.metadata
            .namespace
            .as_ref()
            .map(|text| text.0.as_ref())
            .filter(|text| !text.is_empty())
    }

    /// A label of the Pods this makes, else of the object itself.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.each_metadata().find_map(|metadata| metadata.label(key))
    }

    /// An annotation of the Pods this makes, else of the object itself.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.each_metadata().find_map(|metadata| metadata.annotation(key))
    }

    /// The emergency door: opened on the pod template, or on the object's own metadata, as the core reads it.
    pub fn break_glass(&self) -> Option<BreakGlass> {
        self.each_metadata().find_map(|metadata| {
            BreakGlass::read(
                metadata.label(BREAK_GLASS_LABEL),
                metadata.annotation(BREAK_GLASS_ANNOTATION),
            )
        })
    }

    /// What is written at the emergency doors, whether it opens one or not.
    pub fn doors(&self) -> Doors<'_> {
        let custom = self.custom.iter().flat_map(|custom| custom.templates());
        let mut templates = self.template_metadata.iter().chain(custom).map(Metadata::door);
        Doors {
            own: self.metadata.door(),
            // Of several templates the first at which something is written.
            template: templates
                .find(|door| *door != Door::default())
                .unwrap_or_default(),
        }
    }

    /// Whether the template itself opens the door, so that its Pods will.
    pub fn template_breaks_glass(&self) -> bool {
        match &self.custom {
            Some(custom) => custom.templates_break_glass(),
            None => self
                .template_metadata
                .as_ref()
                .is_some_and(Metadata::breaks_glass),
        }
    }

    /// Whether every image here stood under the same name in `old` and the service account is the same: an update
    /// that brings nothing new to judge.
    pub fn adds_nothing_to(&self, old: &Workload<'_>) -> bool {
        let known = |image: &NamedImage<'_>| {
            let same = |other: &NamedImage<'_>| {
                other.list == image.list
                    && other.name == image.name
                    && other.image == image.image
                    && other.within == image.within
            };
            old.images.iter().any(same)
        };
        self.shape == old.shape
            && self.service_account == old.service_account
            && self.accounts() == old.accounts()
            && self.images.iter().all(known)
    }

    /// The JSON Patch that writes an annotation onto the pod template, or onto each of several; `None` for a Pod, which
    /// has no template.
    pub fn template_annotation_patch(&self, key: &str, value: &str) -> Option<serde_json::Value> {
        if let Some(custom) = &self.custom {
            return custom.annotation_patch(key, value);
        }
        let template = self.shape.template_pointer()?;
        let operation = annotation_added(template, self.template_metadata.as_ref(), (key, value));
        Some(serde_json::json!([operation]))
    }

    fn each_metadata(&self) -> impl Iterator<Item = &Metadata<'a>> {
        let custom = self.custom.iter().flat_map(|custom| custom.templates());
        self.template_metadata
            .iter()
            .chain(custom)
            .chain([&self.metadata])
    }

    fn accounts(&self) -> &[Option<Cow<'a, str>>] {
        self.custom.as_ref().map_or(&[], |custom| custom.accounts())
    }
}

impl Metadata<'_> {
    fn door(&self) -> Door<'_> {
        Door {
            label: self.label(BREAK_GLASS_LABEL),
            annotation: self.annotation(BREAK_GLASS_ANNOTATION),
        }
    }

    fn breaks_glass(&self) -> bool {
        let annotation = self.annotation(BREAK_GLASS_ANNOTATION);
        BreakGlass::read(self.label(BREAK_GLASS_LABEL), annotation).is_some()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.value(key)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.value(key)
    }
}

impl Shape {
    /// Path of the pod spec inside the object.
    fn within(self) -> &'static str {
        match self {
            Shape::Pod => "spec",
            Shape::EphemeralContainers | Shape::Custom => "",
            Shape::PodTemplate => "template.spec",
            Shape::SpecTemplate => "spec.template.spec",
            Shape::JobTemplate => "spec.jobTemplate.spec.template.spec",
        }
    }

    /// JSON pointer of the pod template.
    fn template_pointer(self) -> Option<&'static str> {
        match self {
            Shape::Pod | Shape::EphemeralContainers | Shape::Custom => None,
            Shape::PodTemplate => Some("/template"),
            Shape::SpecTemplate => Some("/spec/template"),
            Shape::JobTemplate => Some("/spec/jobTemplate/spec/template"),
        }
    }
}

type Containers<'a> = (ImageList, Option<List<Container<'a>>>);

/// The operation that adds an annotation to the pod template at a pointer.
fn annotation_added(
    template: &str,
    metadata: Option<&Metadata<'_>>,
    (key, value): (&str, &str),
) -> serde_json::Value {
    let (path, value) = match metadata.map(|metadata| metadata.annotations.is_some()) {
        None => (
            format!("{template}/metadata"),
            serde_json::json!({ "annotations": { key: value } }),
        ),
        Some(false) => (
            format!("{template}/metadata/annotations"),
            serde_json::json!({ key: value }),
        ),
        Some(true) => {
            let key = key.replace('~', "~0").replace('/', "~1");
            (
                format!("{template}/metadata/annotations/{key}"),
                serde_json::json!(value),
            )
        }
    };
    serde_json::json!({ "op": "add", "path": path, "value": value })
}

/// Adds every image-bearing field there is in a pod spec.
#[expect(
    clippy::ptr_arg,
    reason = "a path that is written in the program is not copied for each image"
)]
fn add_images<'a>(
    within: &Cow<'static, str>,
    lists: [Containers<'a>; 3],
    volumes: Option<List<Volume<'a>>>,
    images: &mut Vec<NamedImage<'a>>,
) {
    let written = |text: Option<Text<'a>>| text.unwrap_or_default().0;
    for (list, containers) in lists {
        for (index, container) in containers.unwrap_or_default().0.into_iter().enumerate() {
            let (name, image) = (written(container.name), written(container.image));
            images.push(NamedImage {
                within: within.clone(),
                list,
                index,
                name,
                image,
            });
        }
    }
    for (index, volume) in volumes.unwrap_or_default().0.into_iter().enumerate() {
        if let Some(source) = volume.image {
            let (name, image) = (written(volume.name), written(source.reference));
            images.push(NamedImage {
                within: within.clone(),
                list: ImageList::Volumes,
                index,
                name,
                image,
            });
        }
    }
}

fn split<'a>(template: Option<Box<Template<'a>>>) -> (Option<Metadata<'a>>, Option<Spec<'a>>) {
    template.map_or((None, None), |template| (template.metadata, template.spec))
}

/// The API server copies the older field into the newer one; a manifest on disk may have only the older.
fn service_account<'a>(name: Option<Text<'a>>, older: Option<Text<'a>>) -> Cow<'a, str> {
    let chosen = [name, older]
        .into_iter()
        .flatten()
        .find(|text| !text.0.is_empty());
    chosen.map_or(Cow::Borrowed("default"), |text| text.0)
}

fn shape_of(kind: &Kind<'_>) -> Result<Shape, InvalidWorkload> {
    let named = KINDS
        .iter()
        .find(|(group, _, name, _)| *group == kind.group && *name == kind.kind);
    let (group, versions, _, shape) =
        named.ok_or_else(|| InvalidWorkload::UnknownKind(shown(&kind.to_string())))?;
    if versions.iter().any(|version| *version == kind.version) {
        return Ok(*shape);
    }
    let full = |version: &&str| match *group {
        "" => format!("`{version}`"),
        group => format!("`{group}/{version}`"),
    };
    Err(InvalidWorkload::UnknownVersion {
        kind: shown(&kind.to_string()),
        expected: versions.iter().map(full).collect::<Vec<_>>().join(" or "),
    })
}

/// The object's own idea of its kind must be the request's: two answers would mean two readings.
fn check_own_kind(kind: &Kind<'_>, object: &Object<'_>) -> Result<(), InvalidWorkload> {
    let own_version = object.api_version.as_ref().map(|text| text.0.as_ref());
    let own_kind = object.kind.as_ref().map(|text| text.0.as_ref());
    let (group, version) = match own_version {
        Some(text) => text.split_once('/').unwrap_or(("", text)),
        None => (kind.group.as_ref(), kind.version.as_ref()),
    };
    let found = Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(own_kind.unwrap_or(kind.kind.as_ref())),
    };
    if found == *kind {
        return Ok(());
    }
    Err(InvalidWorkload::KindMismatch {
        requested: shown(&kind.to_string()),
        found: shown(&found.to_string()),
    })
}

/// Whether this is a kind that makes Pods later: every kind that is reviewed but the Pod itself.
pub fn makes_pods(kind: &Kind<'_>) -> bool {
    shape_of(kind).is_ok_and(|shape| !matches!(shape, Shape::Pod | Shape::EphemeralContainers))
}

/// Text of somebody else, cut and escaped for a message.
fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
#[path = "workload/tests.rs"]
mod tests;
