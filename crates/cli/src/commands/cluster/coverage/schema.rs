//! Where a kind can name an image, by its schema in the API server's OpenAPI v3 document.
//!
//! Kinds of Kubernetes refer to `PodSpec`; those of definitions have whatever schema somebody wrote, so a pod spec is
//! recognised by what it looks like, and an image by its name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const POD_TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";
const REFERENCE: &str = "#/components/schemas/";
/// Properties inside of each other; real schemas have some twenty, and one that refers to itself has no end.
const DEPTH_MAX: usize = 40;
/// Schemas looked at for one kind. The largest definitions have some thousand properties.
const SCHEMAS_MAX: usize = 200_000;

/// The schemas of one group version.
pub(super) struct Schemas<'a> {
    all: Option<&'a Map<String, Value>>,
}

impl<'a> Schemas<'a> {
    /// Of the document of a group version.
    pub(super) fn of(document: &'a Value) -> Schemas<'a> {
        let all = document.pointer("/components/schemas");
        Schemas {
            all: all.and_then(Value::as_object),
        }
    }

    /// The fields of a kind that hold an image, a pod spec or a pod template; nothing for a kind that has none of them.
    pub(super) fn fields_of(&self, group: &str, version: &str, kind: &str) -> Option<Vec<String>> {
        let is_kind = |schema: &&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds
                .into_iter()
                .flatten()
                .any(|named| named["group"] == group && named["version"] == version && named["kind"] == kind)
        };
        let schema = self.all?.values().find(is_kind)?;
        let mut walk = Walk {
            schemas: self,
            within: Vec::new(),
            looked: 0,
            fields: BTreeSet::new(),
        };
        let properties = schema.get("properties")?.as_object()?;
        for (name, property) in properties {
            // What the system notes about an object starts nothing.
            if !["status", "metadata", "apiVersion", "kind"].contains(&name.as_str()) {
                walk.property(name, property, &Path::default());
            }
        }
        let fields: Vec<String> = walk.fields.into_iter().collect();
        (!fields.is_empty()).then_some(fields)
    }
}

/// Where the walk is.
#[derive(Clone, Default)]
struct Path {
    text: String,
    depth: usize,
}

impl Path {
    fn into(&self, name: &str) -> Path {
        let dot = if self.text.is_empty() { "" } else { "." };
        Path {
            text: format!("{}{dot}{name}", self.text),
            depth: self.depth + 1,
        }
    }

    fn each(&self, suffix: &str) -> Path {
        Path {
            text: format!("{}{suffix}", self.text),
            depth: self.depth + 1,
        }
    }
}

struct Walk<'s, 'a> {
    schemas: &'s Schemas<'a>,
    /// The schemas by name that the walk is inside of.
    within: Vec<&'a str>,
    looked: usize,
    fields: BTreeSet<String>,
}

impl<'a> Walk<'_, 'a> {
    fn property(&mut self, name: &str, schema: &'a Value, above: &Path) {
        let path = above.into(name);
        if is_image(name) && schema["type"] == "string" {
            self.fields.insert(path.text);
            return;
        }
        self.schema(schema, &path);
    }

    fn schema(&mut self, schema: &'a Value, path: &Path) {
        self.looked += 1;
        if path.depth > DEPTH_MAX || self.looked > SCHEMAS_MAX {
            return;
        }
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|text| text.strip_prefix(REFERENCE))
        {
            match name {
                POD_SPEC => drop(self.fields.insert(format!("{} (pod spec)", path.text))),
                POD_TEMPLATE => drop(self.fields.insert(format!("{} (pod template)", path.text))),
                name if self.within.contains(&name) => {}
                name => {
                    if let Some(schema) = self.schemas.all.and_then(|all| all.get(name)) {
                        self.within.push(name);
                        self.schema(schema, path);
                        self.within.pop();
                    }
                }
            }
            return;
        }
        for part in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[part].as_array().into_iter().flatten() {
                self.schema(schema, path);
            }
        }
        if let Some(items) = schema.get("items") {
            self.schema(items, &path.each("[*]"));
        }
        if let Some(values) = schema
            .get("additionalProperties")
            .filter(|values| values.is_object())
        {
            self.schema(values, &path.each("{*}"));
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        if is_pod_spec(properties) {
            self.fields.insert(format!("{} (pod spec)", path.text));
            return;
        }
        // The `image` of a Ceph block device is none that runs.
        let is_disk = properties.contains_key("monitors");
        for (name, property) in properties {
            if !(is_disk && name == "image") {
                self.property(name, property, path);
            }
        }
    }
}

fn is_image(name: &str) -> bool {
    name == "image" || name.ends_with("Image")
}

/// A pod spec that was copied into a definition: a list of containers, each of which has an image.
fn is_pod_spec(properties: &Map<String, Value>) -> bool {
    let containers = properties.get("containers");
    containers
        .is_some_and(|list| list.pointer("/items/properties/image/type") == Some(&Value::from("string")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(kind: &Value, others: &Value) -> Vec<String> {
        let mut schemas = json!({"of.the.kind": kind});
        schemas["of.the.kind"]["x-kubernetes-group-version-kind"] =
            json!([{"group": "a.b", "version": "v1", "kind": "K"}]);
        for (name, schema) in others.as_object().into_iter().flatten() {
            schemas[name] = schema.clone();
        }
        let document = json!({"components": {"schemas": schemas}});
        let schemas = Schemas::of(&document);
        assert_eq!(schemas.fields_of("a.b", "v2", "K"), None);
        assert_eq!(schemas.fields_of("a.b", "v1", "k"), None);
        schemas.fields_of("a.b", "v1", "K").unwrap_or_default()
    }

    fn spec(schema: &Value) -> Value {
        json!({"properties": {"spec": schema, "status": {"properties": {"image": {"type": "string"}}}}})
    }

    #[test]
    fn references_to_pods_are_found_wherever_they_stand() {
        let others = json!({
            "outer": {"properties": {"template": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"}]},
                "again": {"$ref": "#/components/schemas/outer"}}},
        });
        let found = fields(&spec(&json!({"$ref": "#/components/schemas/outer"})), &others);
        assert_eq!(found, ["spec.template (pod template)"]);
        let pods =
            json!({"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}});
        assert_eq!(
            fields(&spec(&json!({"properties": {"pods": pods}})), &json!({})),
            ["spec.pods[*] (pod spec)"]
        );
        let map =
            json!({"additionalProperties": {"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}});
        assert_eq!(fields(&spec(&map), &json!({})), ["spec{*} (pod spec)"]);
    }

    #[test]
    fn what_a_definition_copied_is_found_by_its_looks() {
        let text = json!({"type": "string"});
        let container = json!({"properties": {"name": text, "image": text}});
        let pod = json!({"properties": {"containers": {"type": "array", "items": container}}});
        assert_eq!(
            fields(
                &spec(&json!({"properties": {"template": {"properties": {"spec": pod}}}})),
                &json!({})
            ),
            ["spec.template.spec (pod spec)"]
        );
        let steps = json!({"properties": {"steps": {"type": "array", "items": container}, "runnerImage": text,
            "imageName": text, "images": {"type": "array", "items": text}}});
        assert_eq!(
            fields(&spec(&steps), &json!({})),
            ["spec.runnerImage", "spec.steps[*].image"]
        );
    }

    #[test]
    fn what_starts_no_image_is_not_found() {
        let text = json!({"type": "string"});
        for schema in [
            json!({}),
            json!({"properties": {"replicas": {"type": "integer"}, "image": {"type": "object"}}}),
            json!({"properties": {"rbd": {"properties": {"image": text, "monitors": {"type": "array"}}}}}),
            json!({"$ref": "#/components/schemas/gone"}),
        ] {
            assert_eq!(fields(&spec(&schema), &json!({})), [""; 0], "{schema}");
        }
    }

    #[test]
    fn schemas_without_an_end_have_one() {
        let others = json!({
            "a": {"properties": {"b": {"$ref": "#/components/schemas/b"}, "image": {"type": "string"}}},
            "b": {"properties": {"a": {"$ref": "#/components/schemas/a"}}},
        });
        let found = fields(&spec(&json!({"$ref": "#/components/schemas/a"})), &others);
        assert_eq!(found, ["spec.image"]);
        let mut deep = json!({"properties": {"image": {"type": "string"}}});
        for _ in 0..60 {
            deep = json!({"properties": {"d": deep}});
        }
        assert_eq!(fields(&spec(&deep), &json!({})), [""; 0]);
    }
}
