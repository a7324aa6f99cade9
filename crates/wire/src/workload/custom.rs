//! Custom resources: the images are where the operator's paths lead.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Container, ImageList, InvalidWorkload, Kind, MAX_IMAGES, Metadata, NamedImage, Object, Shape, Spec,
    Template, Text, Workload, add_images, annotation_added, check_own_kind, service_account,
};
use crate::custom_resources::{Astray, CustomResource, Holds, Node};
use crate::strict::List;

/// What a custom resource has beside its images.
#[derive(Debug, Default)]
pub(super) struct Custom<'a> {
    templates: Vec<PodTemplate<'a>>,
    /// The service account of each pod spec, or the one a path leads to; nothing where none is named.
    accounts: Vec<Option<Cow<'a, str>>>,
}

#[derive(Debug)]
struct PodTemplate<'a> {
    pointer: String,
    metadata: Option<Metadata<'a>>,
}

impl<'a> Custom<'a> {
    pub(super) fn templates(&self) -> impl Iterator<Item = &Metadata<'a>> {
        self.templates
            .iter()
            .filter_map(|template| template.metadata.as_ref())
    }

    pub(super) fn accounts(&self) -> &[Option<Cow<'a, str>>] {
        &self.accounts
    }

    /// The one account of everything that runs; nothing if there are several, or none is named.
    pub(super) fn service_account(&self) -> Option<&str> {
        let (first, others) = self.accounts.split_first()?;
        let first = first.as_deref()?;
        others
            .iter()
            .all(|other| other.as_deref() == Some(first))
            .then_some(first)
    }

    /// Whether each of its templates opens the door by itself; false where there is none.
    pub(super) fn templates_break_glass(&self) -> bool {
        let opens =
            |template: &PodTemplate<'_>| template.metadata.as_ref().is_some_and(Metadata::breaks_glass);
        !self.templates.is_empty() && self.templates.iter().all(opens)
    }

    pub(super) fn annotation_patch(&self, key: &str, value: &str) -> Option<Value> {
        let templates = self.templates.iter().filter(|template| {
            let metadata = template.metadata.as_ref();
            !metadata.is_some_and(Metadata::breaks_glass)
        });
        let operations: Vec<Value> = templates
            .map(|template| annotation_added(&template.pointer, template.metadata.as_ref(), (key, value)))
            .collect();
        (!operations.is_empty()).then(|| operations.into())
    }
}

impl<'a> Workload<'a> {
    /// Reduces an object of a custom resource; nothing if it names no image and may do so.
    pub(crate) fn extract_custom(
        resource: &CustomResource,
        kind: &Kind<'_>,
        object: &'a Value,
    ) -> Result<Option<Workload<'a>>, InvalidWorkload> {
        let astray = |astray| of_resource(resource, astray);
        let text = |field: &str| match object.get(field) {
            Some(Value::String(text)) => Some(Text(Cow::Borrowed(text.as_str()))),
            _ => None,
        };
        let own = Object {
            api_version: text("apiVersion"),
            kind: text("kind"),
            ..Object::default()
        };
        check_own_kind(kind, &own)?;
        let mut images = Vec::new();
        let mut custom = Custom::default();
        for place in &resource.places {
            for node in place.path.nodes(object).map_err(astray)? {
                custom.add(place.holds, &node, &mut images).map_err(astray)?;
                if images.len() > MAX_IMAGES {
                    return Err(InvalidWorkload::TooManyImages);
                }
            }
        }
        if let Some(path) = &resource.service_account {
            for node in path.nodes(object).map_err(astray)? {
                let name = node
                    .value
                    .as_str()
                    .ok_or_else(|| astray(node.is_not("a string")))?;
                custom
                    .accounts
                    .push((!name.is_empty()).then_some(Cow::Borrowed(name)));
            }
        }
        if images.is_empty() {
            return match resource.may_name_no_image {
                true => Ok(None),
                false => Err(InvalidWorkload::NoImagesAtPaths(resource.to_string())),
            };
        }
        let metadata = match object.get("metadata") {
            Some(metadata) if !metadata.is_null() => {
                let location = "metadata".to_owned();
                let node = Node {
                    location,
                    value: metadata,
                };
                read(&node, "the metadata of an object").map_err(astray)?
            }
            _ => Metadata::default(),
        };
        Ok(Some(Workload {
            shape: Shape::Custom,
            metadata,
            template_metadata: None,
            service_account: Cow::Borrowed(""),
            images,
            custom: Some(Box::new(custom)),
        }))
    }
}

impl<'a> Custom<'a> {
    fn add(&mut self, holds: Holds, node: &Node<'a>, images: &mut Vec<NamedImage<'a>>) -> Result<(), Astray> {
        match holds {
            Holds::PodTemplate => {
                let template: Template<'a> = read(node, "a pod template")?;
                self.templates.push(PodTemplate {
                    pointer: node.pointer(),
                    metadata: template.metadata,
                });
                if let Some(spec) = template.spec {
                    self.add_spec(format!("{}.spec", node.location), spec, images);
                }
            }
            Holds::PodSpec => {
                let spec = read(node, "a pod spec")?;
                self.add_spec(node.location.clone(), spec, images);
            }
            Holds::Containers => {
                let containers: List<Container<'a>> = read(node, "a list of containers")?;
                for (index, container) in containers.0.into_iter().enumerate() {
                    images.push(NamedImage {
                        within: Cow::Owned(format!("{}[{index}].image", node.location)),
                        list: ImageList::Field,
                        index,
                        name: container.name.unwrap_or_default().0,
                        image: container.image.unwrap_or_default().0,
                    });
                }
            }
            Holds::Image => {
                let image = node.value.as_str().ok_or_else(|| node.is_not("a string"))?;
                images.push(NamedImage {
                    within: Cow::Owned(node.location.clone()),
                    list: ImageList::Field,
                    index: 0,
                    name: Cow::Borrowed(""),
                    image: Cow::Borrowed(image),
                });
            }
        }
        Ok(())
    }

    fn add_spec(&mut self, within: String, spec: Spec<'a>, images: &mut Vec<NamedImage<'a>>) {
        let account = service_account(spec.service_account_name, spec.service_account);
        self.accounts.push(Some(account));
        let lists = [
            (ImageList::Containers, spec.containers),
            (ImageList::InitContainers, spec.init_containers),
            (ImageList::EphemeralContainers, spec.ephemeral_containers),
        ];
        add_images(&Cow::Owned(within), lists, spec.volumes, images);
    }
}

fn read<'a, T: Deserialize<'a>>(node: &Node<'a>, expected: &'static str) -> Result<T, Astray> {
    T::deserialize(node.value).map_err(|_| node.is_not(expected))
}

fn of_resource(resource: &CustomResource, astray: Astray) -> InvalidWorkload {
    match astray {
        Astray::Unexpected { location, expected } => InvalidWorkload::Astray {
            resource: resource.to_string(),
            location,
            expected,
        },
        Astray::TooMany => InvalidWorkload::TooManyImages,
    }
}
