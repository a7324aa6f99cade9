//! Where the images of custom resources stand, as an operator writes it into a file: the server reads objects by it, and
//! the rules of the webhooks are made of it.

mod path;

pub(crate) use path::{Astray, Node};
pub use path::{InvalidPath, Path};
use serde_json::{Map, Value, json};

use crate::json::{InvalidField, Object};
use crate::workload::Kind;
use crate::yaml::{self, InvalidYaml};

/// Custom resources in one file. A cluster has some hundred definitions; few of them start images.
pub const MAX_RESOURCES: usize = 64;
/// Versions of one resource, and paths of one kind in it: real ones have a handful.
const MAX_ITEMS: usize = 32;
/// The longest name of Kubernetes, and of a group.
const MAX_NAME: usize = 253;

/// Why a file of custom resources cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomResources {
    /// Not YAML that is read.
    #[error(transparent)]
    Yaml(#[from] InvalidYaml),
    /// A field that says nothing that can be done.
    #[error(transparent)]
    Field(#[from] InvalidField),
}

/// The custom resources whose images are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomResources {
    resources: Vec<CustomResource>,
}

/// A resource of a definition that somebody added to the cluster, and the ways to its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomResource {
    /// API group, such as `argoproj.io`.
    pub group: String,
    /// Versions of it in which the paths hold.
    pub versions: Vec<String>,
    /// Plural name, such as `rollouts`.
    pub resource: String,
    /// The kind of its objects, such as `Rollout`, where it is not the resource's name in the singular.
    pub kind: Option<String>,
    /// Where to look.
    pub places: Vec<Place>,
    /// Where the name of the service account stands, for resources whose images are in no pod spec.
    pub service_account: Option<Path>,
    /// Whether an object that names no image passes; else it is refused.
    pub may_name_no_image: bool,
}

/// A path, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What is there.
    pub holds: Holds,
    /// The way there.
    pub path: Path,
}

/// What stands at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A pod template: `metadata` and `spec`.
    PodTemplate,
    /// A pod spec.
    PodSpec,
    /// A list of containers, each with an `image`.
    Containers,
    /// A text that is an image.
    Image,
}

impl Holds {
    /// Every field of the file that holds paths.
    const FIELDS: [(&'static str, Holds); 4] = [
        ("podTemplates", Holds::PodTemplate),
        ("podSpecs", Holds::PodSpec),
        ("containers", Holds::Containers),
        ("images", Holds::Image),
    ];
}

/// Reads the file.
pub fn read(file: &[u8]) -> Result<CustomResources, InvalidCustomResources> {
    let mut object = Object::new(yaml::parse(file)?, "")?;
    let listed = object.take_objects("customResources")?;
    object.finish()?;
    if listed.is_empty() || listed.len() > MAX_RESOURCES {
        let why = format_args!("expected 1 to {MAX_RESOURCES} resources");
        return Err(InvalidField::refused("customResources", why).into());
    }
    let mut resources: Vec<CustomResource> = Vec::new();
    for item in listed {
        let path = item.path().to_owned();
        let resource = CustomResource::read(item)?;
        let is_same = |other: &&CustomResource| {
            let shares = |version: &String| other.versions.contains(version);
            other.group == resource.group
                && other.resource == resource.resource
                && resource.versions.iter().any(shares)
        };
        if let Some(other) = resources.iter().find(is_same) {
            let why = format_args!("`{other}` is listed twice in one version");
            return Err(InvalidField::refused(path, why).into());
        }
        if let (Some(kind), Some(other)) = (
            &resource.kind,
            resources.iter().find(|other| other.shares_kind(&resource)),
        ) {
            let why = format_args!("`{kind}` is the kind of `{other}` in the same version");
            return Err(InvalidField::refused(path, why).into());
        }
        resources.push(resource);
    }
    Ok(CustomResources { resources })
}

impl CustomResources {
    /// Every resource, in the order of the file.
    pub fn all(&self) -> &[CustomResource] {
        &self.resources
    }

    /// Whether objects of this kind may be of one of the resources.
    pub fn have_group_of(&self, kind: &Kind<'_>) -> bool {
        self.resources.iter().any(|resource| resource.group == kind.group)
    }

    /// The resource whose objects have this kind, for objects that come without the name of their resource. A kind that is
    /// written down counts before one that is made of a name.
    pub fn of_kind(&self, kind: &Kind<'_>) -> Option<&CustomResource> {
        let versions = self.with_kind(kind);
        versions
            .into_iter()
            .find(|known| known.versions.iter().any(|version| *version == kind.version))
    }

    /// In which versions objects of a kind are looked at, where it is another than theirs: `argoproj.io/v1alpha1`.
    pub(crate) fn other_versions_of(&self, kind: &Kind<'_>) -> Option<String> {
        let known = self.with_kind(kind);
        let versions = known.iter().flat_map(|known| &known.versions);
        let versions: Vec<String> = versions
            .map(|version| format!("`{}/{version}`", kind.group))
            .collect();
        let is_other = !versions.is_empty() && self.of_kind(kind).is_none();
        is_other.then(|| versions.join(" or "))
    }

    /// Of a group and a kind, in whatever version.
    fn with_kind(&self, kind: &Kind<'_>) -> Vec<&CustomResource> {
        let of_group = || self.resources.iter().filter(|known| known.group == kind.group);
        let written: Vec<_> = of_group()
            .filter(|known| known.kind.as_deref() == Some(&*kind.kind))
            .collect();
        if !written.is_empty() {
            return written;
        }
        let resource = plural(&kind.kind);
        of_group()
            .filter(|known| known.kind.is_none() && known.resource == resource)
            .collect()
    }

    /// As the file says it.
    pub fn to_json(&self) -> Value {
        self.resources.iter().map(CustomResource::to_json).collect()
    }

    /// The resource of this name in this version.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&CustomResource> {
        self.resources.iter().find(|known| {
            let has_version = known.versions.iter().any(|known| known == version);
            known.group == group && known.resource == resource && has_version
        })
    }
}

impl CustomResource {
    fn read(mut object: Object) -> Result<CustomResource, InvalidField> {
        let group = object.take_string("group")?;
        // Kubernetes' own resources with images are in groups without a dot, and those of definitions never are.
        if !is_name(&group, true) || !group.contains('.') {
            let why = "expected the API group of a custom resource, such as `argoproj.io`";
            return Err(object.refused("group", why));
        }
        let resource = object.take_string("resource")?;
        if !is_name(&resource, false) {
            let why = "expected the plural name of a resource in lower case, such as `rollouts`";
            return Err(object.refused("resource", why));
        }
        let versions = object.take_strings("versions")?;
        if versions.is_empty()
            || versions.len() > MAX_ITEMS
            || !versions.iter().all(|text| is_name(text, false))
        {
            let why = format_args!("expected 1 to {MAX_ITEMS} versions, such as `v1alpha1`");
            return Err(object.refused("versions", why));
        }
        let kind = object.take_optional_string("kind")?;
        if kind.as_deref().is_some_and(|kind| !is_kind(kind)) {
            return Err(object.refused("kind", "expected the kind of its objects, such as `Rollout`"));
        }
        let mut places = Vec::new();
        for (field, holds) in Holds::FIELDS {
            let paths = object.take_strings(field)?;
            if paths.len() > MAX_ITEMS {
                return Err(object.refused(field, format_args!("expected at most {MAX_ITEMS} paths")));
            }
            for path in paths {
                let path = path.parse().map_err(|why| object.refused(field, why))?;
                places.push(Place { holds, path });
            }
        }
        if places.is_empty() {
            let fields = "`podTemplates`, `podSpecs`, `containers` or `images`";
            let why = format_args!("expected a path in {fields}");
            return Err(InvalidField::refused(object.path(), why));
        }
        let service_account = object.take_optional_parsed("serviceAccount")?;
        let may_name_no_image = object.take_optional_bool("mayNameNoImage")?.unwrap_or(false);
        object.finish()?;
        Ok(CustomResource {
            group,
            versions,
            resource,
            kind,
            places,
            service_account,
            may_name_no_image,
        })
    }

    /// Whether both are said to be of one kind in one version.
    fn shares_kind(&self, other: &CustomResource) -> bool {
        self.group == other.group
            && self.kind == other.kind
            && self
                .versions
                .iter()
                .any(|version| other.versions.contains(version))
    }

    fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |field: &str, value: Value| members.insert(field.to_owned(), value);
        put("group", json!(self.group));
        put("versions", json!(self.versions));
        put("resource", json!(self.resource));
        if let Some(kind) = &self.kind {
            put("kind", json!(kind));
        }
        for (field, holds) in Holds::FIELDS {
            let paths = self.places.iter().filter(|place| place.holds == holds);
            let paths: Vec<String> = paths.map(|place| place.path.to_string()).collect();
            if !paths.is_empty() {
                put(field, json!(paths));
            }
        }
        if let Some(path) = &self.service_account {
            put("serviceAccount", json!(path.to_string()));
        }
        if self.may_name_no_image {
            put("mayNameNoImage", json!(true));
        }
        members.into()
    }
}

/// `rollouts.argoproj.io`, as `kubectl` takes it.
impl std::fmt::Display for CustomResource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.resource, self.group)
    }
}

/// The name of a resource whose objects have this kind, as Kubernetes guesses it where nobody says otherwise.
fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match (lower.strip_suffix('y'), lower.ends_with('s')) {
        (Some(stem), _) => format!("{stem}ies"),
        (None, true) => format!("{lower}es"),
        (None, false) => format!("{lower}s"),
    }
}

/// Whether this may be a kind of Kubernetes.
fn is_kind(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether this may be a name of Kubernetes: lower-case words with hyphens, with dots between them where they are allowed.
fn is_name(text: &str, dots: bool) -> bool {
    let is_word = |word: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !word.is_empty() && word.bytes().all(allowed) && !word.starts_with('-') && !word.ends_with('-')
    };
    text.len() <= MAX_NAME
        && match dots {
            true => text.split('.').all(is_word),
            false => is_word(text),
        }
}

#[cfg(test)]
#[path = "custom_resources/tests.rs"]
mod tests;
