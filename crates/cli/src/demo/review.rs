//! What a Kubernetes API server sends and does: the reviews, and the patch of the mutating webhook applied.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The names a resource goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
}

pub(super) const POD: Kind = Kind {
    group: "",
    kind: "Pod",
    resource: "pods",
};
pub(super) const DEPLOYMENT: Kind = Kind {
    group: "apps",
    kind: "Deployment",
    resource: "deployments",
};

/// Who deploys in this story.
pub(super) const USER: &str = "jane@example.com";

/// The webhook's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) allowed: bool,
    pub(super) message: String,
    pub(super) reason: String,
    pub(super) warnings: Vec<String>,
    pub(super) annotations: Vec<String>,
    pub(super) patch: Option<Value>,
}

/// A Pod as `kubectl run NAME --image=IMAGE` makes it.
pub(super) fn pod(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"run": name}},
        "spec": {
            "containers": [{"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "resources": {}}],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
        },
        "status": {},
    })
}

/// The Pod that a Deployment's template makes.
pub(super) fn pod_of(deployment: &Value, name: &str) -> Value {
    let template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    let mut metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
    metadata["name"] = json!(name);
    metadata["namespace"] = json!("default");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec")})
}

/// The review of an object that is to be created.
pub(super) fn review(kind: Kind, object: &Value, number: u32) -> Value {
    let group_kind = json!({"group": kind.group, "version": "v1", "kind": kind.kind});
    let resource = json!({"group": kind.group, "version": "v1", "resource": kind.resource});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uid(number),
            "kind": group_kind,
            "resource": resource,
            "requestKind": group_kind,
            "requestResource": resource,
            "name": object.pointer("/metadata/name"),
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": USER, "groups": ["developers", "system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-run"},
        },
    })
}

fn uid(number: u32) -> String {
    format!("5ca1ab1e-0000-4000-8000-{number:012}")
}

/// Reads the answer to the review with the same number, as strictly as an API server.
pub(super) fn read_reply(answer: &Value, number: u32) -> Result<Reply, Failure> {
    let response = answer.get("response").unwrap_or(&Value::Null);
    let text = |pointer: &str| {
        response
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    if text("/uid") != uid(number) {
        return Err(Failure::refused(
            "the webhook answered another review than the one it was asked",
        ));
    }
    let strings = |value: Option<&Value>| -> Vec<String> {
        let strings = value.and_then(Value::as_array).into_iter().flatten();
        strings
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let annotations = response.get("auditAnnotations").and_then(Value::as_object);
    let patch = match response.get("patch").and_then(Value::as_str) {
        None => None,
        Some(text) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| Failure::refused("the patch is not base64"))?;
            Some(serde_json::from_slice(&bytes).map_err(|_| Failure::refused("the patch is not JSON"))?)
        }
    };
    Ok(Reply {
        allowed: response.get("allowed").and_then(Value::as_bool).unwrap_or(false),
        message: text("/status/message"),
        reason: text("/status/reason"),
        warnings: strings(response.get("warnings")),
        annotations: annotations
            .into_iter()
            .flat_map(|fields| fields.keys().cloned())
            .collect(),
        patch,
    })
}

/// Applies the `add` operations of a JSON Patch (RFC 6902), the only ones our mutating webhook sends.
pub(super) fn apply(object: &mut Value, patch: &Value) -> Result<(), Failure> {
    let bad = || Failure::refused(format_args!("the patch cannot be applied: {patch}"));
    for operation in patch.as_array().ok_or_else(bad)? {
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        let (parent, key) = text("path")
            .and_then(|path| path.rsplit_once('/'))
            .ok_or_else(bad)?;
        let key = key.replace("~1", "/").replace("~0", "~");
        match (text("op"), object.pointer_mut(parent)) {
            (Some("add"), Some(Value::Object(fields))) => {
                fields.insert(key, operation.get("value").cloned().unwrap_or_default());
            }
            _ => return Err(bad()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_review_is_no_answer() {
        let answer = json!({"response": {"uid": uid(1), "allowed": true}});
        assert!(read_reply(&answer, 1).is_ok_and(|reply| reply.allowed));
        assert!(read_reply(&answer, 2).is_err());
        assert!(read_reply(&json!({}), 1).is_err());
        let silent = json!({"response": {"uid": uid(1)}});
        assert!(
            read_reply(&silent, 1).is_ok_and(|reply| !reply.allowed),
            "silence is no admission"
        );
    }

    #[test]
    fn a_patch_is_applied_as_the_api_server_does() {
        let mut object = json!({"spec": {"template": {"metadata": {}}}});
        let patch = json!([{"op": "add", "path": "/spec/template/metadata/annotations", "value": {"a/b": "c"}},
                           {"op": "add", "path": "/spec/template/metadata/annotations/x~1y", "value": "z"}]);
        apply(&mut object, &patch).expect("applied");
        assert_eq!(
            object.pointer("/spec/template/metadata/annotations"),
            Some(&json!({"a/b": "c", "x/y": "z"}))
        );
        assert!(apply(&mut object, &json!([{"op": "remove", "path": "/spec"}])).is_err());
        assert!(
            apply(
                &mut object,
                &json!([{"op": "add", "path": "/missing/x", "value": 1}])
            )
            .is_err()
        );
    }
}
