//! The object of an admission, as far as it was recorded: its images where they stood, its emergency doors, its name.

use std::borrow::Cow;

use binauthz_core::workload::{BREAK_GLASS_ANNOTATION, BREAK_GLASS_LABEL};
use binauthz_wire::logging::Node;

use super::members::Members;
use super::record::{Door, Verdict};

/// Segments of a field: `spec.jobTemplate.spec.template.spec.volumes[0].image.reference` has eight.
const DEEPEST: usize = 12;

/// `core.k8s.io/v1.Pod`
pub(super) fn type_of(verdict: &Verdict<'_>) -> String {
    let group = group_or_core(verdict);
    let domain = if group.contains('.') { "" } else { ".k8s.io" };
    format!("{group}{domain}/{}.{}", version(verdict), verdict.kind)
}

/// `io.k8s.core.v1.pods.create`
pub(super) fn method(verdict: &Verdict<'_>) -> String {
    let group = group_or_core(verdict);
    let (version, plural) = (version(verdict), plural(&verdict.kind));
    let below = match verdict.sub_resource.as_ref() {
        "" => String::new(),
        sub_resource => format!(".{sub_resource}"),
    };
    let operation = match verdict.operation.as_ref() {
        "" => "create".to_owned(),
        operation => operation.to_ascii_lowercase(),
    };
    format!("io.k8s.{group}.{version}.{plural}{below}.{operation}")
}

/// `core/v1/namespaces/default/pods/web`
pub(super) fn resource(verdict: &Verdict<'_>) -> String {
    let (group, version) = (group_or_core(verdict), version(verdict));
    let mut name = format!(
        "{group}/{version}/namespaces/{}/{}",
        verdict.namespace,
        plural(&verdict.kind)
    );
    for part in [&verdict.name, &verdict.sub_resource] {
        if !part.is_empty() {
            name.push('/');
            name.push_str(part);
        }
    }
    name
}

/// The object with its type.
pub(super) fn object<'a>(verdict: &'a Verdict<'_>) -> Node<'a> {
    let mut object = Members::default();
    object.put("@type", type_of(verdict));
    let version = version(verdict);
    match verdict.group.as_ref() {
        "" => object.put("apiVersion", version),
        group => object.put("apiVersion", format!("{group}/{version}")),
    }
    object.text("kind", &verdict.kind);
    let mut metadata = Members::default();
    metadata.text("name", &verdict.name);
    metadata.text("namespace", &verdict.namespace);
    put_door(&mut metadata, &verdict.door.own);
    object.put("metadata", metadata.into_node());
    let mut object = object.into_node();
    for image in &verdict.images {
        let value = Node::from(image.image.as_ref());
        place(
            &mut object,
            &mut image.field.split('.').take(DEEPEST).peekable(),
            value,
        );
    }
    let mut template = Members::default();
    put_door(&mut template, &verdict.door.template);
    if !template.is_empty() {
        let path = template_path(verdict).into_iter().chain(["metadata"]);
        place(&mut object, &mut path.peekable(), template.into_node());
    }
    object
}

fn put_door<'a>(metadata: &mut Members<'a>, door: &'a Door<'_>) {
    let pairs = [
        ("annotations", BREAK_GLASS_ANNOTATION, &door.annotation),
        ("labels", BREAK_GLASS_LABEL, &door.label),
    ];
    for (member, key, value) in pairs {
        if let Some(value) = value {
            metadata.put(member, Node::labels([(key, value.as_ref())]));
        }
    }
}

/// Where the pod template of the kind stands.
fn template_path(verdict: &Verdict<'_>) -> Vec<&'static str> {
    match verdict.kind.as_ref() {
        "PodTemplate" => vec!["template"],
        "CronJob" => vec!["spec", "jobTemplate", "spec", "template"],
        _ => vec!["spec", "template"],
    }
}

/// Puts a value where a field says. An index is only a place in the order: the lists of a record may have gaps.
fn place<'a, 'p>(
    into: &mut Node<'a>,
    path: &mut std::iter::Peekable<impl Iterator<Item = &'p str>>,
    value: Node<'a>,
) {
    let (Some(segment), Node::Map(members)) = (path.next(), into) else {
        return;
    };
    let (name, is_list) = match segment.split_once('[') {
        Some((name, _)) => (name, true),
        None => (segment, false),
    };
    let at = match members.iter().position(|(key, _)| key == name) {
        Some(at) => at,
        None => {
            let empty = if is_list {
                Node::List(Vec::new())
            } else {
                Node::Map(Vec::new())
            };
            members.push((Cow::Owned(name.to_owned()), empty));
            members.len() - 1
        }
    };
    let Some((_, found)) = members.get_mut(at) else {
        return;
    };
    match found {
        Node::List(items) => {
            // `containers[0]` means its image; `volumes[0].image.reference` says where.
            let mut item = Node::Map(Vec::new());
            match path.peek() {
                None => place(&mut item, &mut ["image"].into_iter().peekable(), value),
                Some(_) => place(&mut item, path, value),
            }
            items.push(item);
        }
        other if path.peek().is_none() => *other = value,
        inner => place(inner, path, value),
    }
}

fn group_or_core<'a>(verdict: &'a Verdict<'_>) -> &'a str {
    if verdict.group.is_empty() {
        "core"
    } else {
        &verdict.group
    }
}

/// An older server did not record it; every kind it judged had this one.
fn version<'a>(verdict: &'a Verdict<'_>) -> &'a str {
    if verdict.version.is_empty() {
        "v1"
    } else {
        &verdict.version
    }
}

/// The name of a kind's resource, as the API server forms it for the kinds that run images.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    if let Some(stem) = kind.strip_suffix('y') {
        return format!("{stem}ies");
    }
    match kind.chars().last() {
        None | Some('s') => kind,
        Some(_) => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::record::Image;
    use super::*;

    fn verdict(group: &'static str, kind: &'static str) -> Verdict<'static> {
        Verdict {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            operation: "CREATE".into(),
            namespace: "default".into(),
            name: "web".into(),
            ..Verdict::default()
        }
    }

    #[test]
    fn names_are_those_of_the_api_server() {
        let table = [
            (
                verdict("", "Pod"),
                "core.k8s.io/v1.Pod",
                "io.k8s.core.v1.pods.create",
                "core/v1/namespaces/default/pods/web",
            ),
            (
                verdict("apps", "Deployment"),
                "apps.k8s.io/v1.Deployment",
                "io.k8s.apps.v1.deployments.create",
                "apps/v1/namespaces/default/deployments/web",
            ),
            (
                Verdict {
                    sub_resource: "ephemeralcontainers".into(),
                    operation: "UPDATE".into(),
                    ..verdict("", "Pod")
                },
                "core.k8s.io/v1.Pod",
                "io.k8s.core.v1.pods.ephemeralcontainers.update",
                "core/v1/namespaces/default/pods/web/ephemeralcontainers",
            ),
            (
                Verdict {
                    name: "".into(),
                    version: "".into(),
                    operation: "".into(),
                    ..verdict("", "Pod")
                },
                "core.k8s.io/v1.Pod",
                "io.k8s.core.v1.pods.create",
                "core/v1/namespaces/default/pods",
            ),
        ];
        for (verdict, type_name, method_name, resource_name) in table {
            assert_eq!(type_of(&verdict), type_name);
            assert_eq!(method(&verdict), method_name);
            assert_eq!(resource(&verdict), resource_name);
        }
    }

    #[test]
    fn images_stand_where_they_stood() {
        let image = |field: &'static str, image: &'static str| Image {
            field: field.into(),
            image: image.into(),
            ..Image::default()
        };
        let mut verdict = verdict("batch", "CronJob");
        let spec = "spec.jobTemplate.spec.template.spec";
        let fields = [
            "containers[0]",
            "containers[2]",
            "initContainers[0]",
            "volumes[1].image.reference",
        ];
        let fields: Vec<String> = fields.iter().map(|field| format!("{spec}.{field}")).collect();
        verdict.images = fields
            .iter()
            .zip(["a", "b", "c", "d"])
            .map(|(field, name)| Image {
                field: field.clone().into(),
                ..image("", name)
            })
            .collect();
        verdict.door.template.annotation = Some("INC-1".into());
        let shown = object(&verdict).to_json();
        assert_eq!(
            shown["spec"]["jobTemplate"]["spec"]["template"],
            json!({
                "metadata": {"annotations": {"alpha.image-policy.k8s.io/break-glass": "INC-1"}},
                "spec": {
                    "containers": [{"image": "a"}, {"image": "b"}],
                    "initContainers": [{"image": "c"}],
                    "volumes": [{"image": {"reference": "d"}}],
                },
            })
        );
        assert_eq!(shown["apiVersion"], "batch/v1");
        assert_eq!(shown["metadata"], json!({"name": "web", "namespace": "default"}));
    }

    #[test]
    fn a_field_that_makes_no_sense_harms_nothing() {
        let mut verdict = verdict("", "Pod");
        for field in ["", "kind.x", "metadata", "spec[0][1]", ".", "spec..x", "@type[0]"] {
            verdict.images.push(Image {
                field: field.into(),
                image: "i".into(),
                ..Image::default()
            });
        }
        assert_eq!(object(&verdict).to_json()["kind"], "Pod");
    }
}
