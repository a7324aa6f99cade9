//! Manifests that a person gives: YAML or JSON, several documents, lists. The objects in them are judged by the same
//! extractor as the API server's.

use std::borrow::Cow;

use crate::custom_resources::CustomResources;
use crate::json::Value;
use crate::strict;
use crate::workload::{InvalidWorkload, Kind, Object, Workload};
use crate::yaml::{self, InvalidYaml};

/// Lists of lists are legal and pointless; nobody nests them deeper.
const DEEPEST_LIST: usize = 4;

/// Why a file has no objects to look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Not YAML that is read.
    #[error(transparent)]
    Yaml(#[from] InvalidYaml),
    /// A document that is no Kubernetes object.
    #[error("document {document}: expected a Kubernetes object with `apiVersion` and `kind`, got {found}")]
    NotAnObject {
        /// Which document, from 1.
        document: usize,
        /// What it is instead.
        found: &'static str,
    },
    /// Lists in lists in lists.
    #[error("document {document}: lists are nested too deeply")]
    TooDeep {
        /// Which document, from 1.
        document: usize,
    },
}

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    document: usize,
    kind: Kind<'static>,
    name: String,
    /// The object as JSON text, from which the extractor borrows.
    json: String,
    /// The same as a tree, for resources whose form only a file of paths knows.
    object: serde_json::Value,
}

/// Why an object cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObject {
    /// Its fields do not have the form Kubernetes gives them.
    #[error("the object is not well-formed: {0}")]
    Malformed(String),
    /// Not a workload, or one without images.
    #[error(transparent)]
    Workload(#[from] InvalidWorkload),
}

/// Reads all objects of a file, those in lists included.
pub fn read(bytes: &[u8]) -> Result<Vec<Manifest>, InvalidManifest> {
    let mut manifests = Vec::new();
    for (index, document) in yaml::parse_manifests(bytes)?.into_iter().enumerate() {
        collect(index + 1, document, DEEPEST_LIST, &mut manifests)?;
    }
    if manifests.is_empty() {
        Err(InvalidYaml::Empty.into())
    } else {
        Ok(manifests)
    }
}

impl Manifest {
    /// Which document of the file it comes from, from 1.
    pub fn document(&self) -> usize {
        self.document
    }

    /// What it is.
    pub fn kind(&self) -> &Kind<'static> {
        &self.kind
    }

    /// Its name, or nothing.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace it names itself, or nothing.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.object.get("metadata")?.get("namespace")?.as_str()?;
        (!namespace.is_empty()).then_some(namespace)
    }

    /// The object as JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The object reduced to what a verdict depends on.
    pub fn workload(&self) -> Result<Workload<'_>, InvalidObject> {
        let object: Object<'_> = strict::read(self.json.as_bytes()).map_err(InvalidObject::Malformed)?;
        Ok(Workload::extract(&self.kind, object)?)
    }
}

impl Manifest {
    /// The same, with the custom resources whose images are looked at; nothing for an object of one that names no image, as
    /// it may.
    pub fn workload_among(&self, custom: &CustomResources) -> Result<Option<Workload<'_>>, InvalidObject> {
        if let Some(resource) = custom.of_kind(&self.kind) {
            return Ok(Workload::extract_custom(resource, &self.kind, &self.object)?);
        }
        if let Some(expected) = custom.other_versions_of(&self.kind) {
            let kind = self.kind.to_string();
            return Err(InvalidWorkload::UnknownVersion { kind, expected }.into());
        }
        self.workload().map(Some)
    }
}

fn collect(
    document: usize,
    value: Value,
    depth: usize,
    into: &mut Vec<Manifest>,
) -> Result<(), InvalidManifest> {
    let text = |name: &str| {
        value
            .member(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err(InvalidManifest::NotAnObject {
            document,
            found: value.kind(),
        });
    }
    if let (Some(of), Some(Value::Array(items))) = (listed(&api_version, &kind), value.member("items")) {
        let depth = depth
            .checked_sub(1)
            .ok_or(InvalidManifest::TooDeep { document })?;
        for item in items {
            collect(document, with_kind(item.clone(), &api_version, of), depth, into)?;
        }
        return Ok(());
    }
    let name = value
        .member("metadata")
        .and_then(|metadata| metadata.member("name"))
        .and_then(Value::as_str);
    let name = name.unwrap_or("").to_owned();
    let kind = kind_of(&api_version, &kind);
    let object = serde_json::Value::from(value);
    into.push(Manifest {
        document,
        kind,
        name,
        json: object.to_string(),
        object,
    });
    Ok(())
}

fn kind_of(api_version: &str, kind: &str) -> Kind<'static> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Kind {
        group: Cow::Owned(group.to_owned()),
        version: Cow::Owned(version.to_owned()),
        kind: Cow::Owned(kind.to_owned()),
    }
}

/// What a list's items are where they do not say it themselves: nothing for `v1 List`. A kind of somebody else's whose
/// name ends in `List` is a kind like any other.
fn listed<'a>(api_version: &str, kind: &'a str) -> Option<&'a str> {
    let of = kind.strip_suffix("List")?;
    let plain = of.is_empty() && api_version == "v1";
    (plain || kind_of(api_version, of).is_reviewed()).then_some(of)
}

/// Items of a typed list such as `PodList` leave out what the list's kind says.
fn with_kind(mut item: Value, api_version: &str, kind: &str) -> Value {
    if let Value::Object(members) = &mut item {
        for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
            if !kind.is_empty() && members.iter().all(|(known, _)| known != key) {
                members.push((key.to_owned(), Value::String(value.to_owned())));
            }
        }
    }
    item
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
