//! Questions as a kube-apiserver asks them, and its reading of the answers.

use serde_json::{Value, json};

/// A Pod with one container.
pub fn pod(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": image}]}
    })
}

/// A Deployment whose Pods run `image`; `annotations` are on the Deployment itself.
pub fn deployment(name: &str, image: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]}
            }
        }
    })
}

/// An AdmissionReview that asks whether `object` may be created.
pub fn create(object: &Value) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default();
    let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", "v1"),
    };
    let resource = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": resource},
            "requestKind": {"group": group, "version": version, "kind": kind},
            "requestResource": {"group": group, "version": version, "resource": resource},
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "jane@example.com", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    })
}

/// What the webhook answered.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The HTTP status of the answer.
    pub http: u16,
    /// The `response` object.
    pub response: Value,
}

impl Verdict {
    /// It must have been admitted.
    #[track_caller]
    pub fn admitted(self) -> Self {
        assert!(
            self.http == 200 && self.response["allowed"] == true,
            "should have been admitted: {self:#?}"
        );
        self
    }

    /// It must have been denied for every one of these reasons.
    #[track_caller]
    pub fn denied(self, words: &[&str]) -> Self {
        assert!(
            self.http == 200 && self.response["allowed"] == false,
            "should have been denied: {self:#?}"
        );
        assert_eq!(self.response["status"]["reason"], "VIOLATES_POLICY", "{self:#?}");
        for word in words {
            assert!(
                self.message().contains(word),
                "should have said `{word}`: {self:#?}"
            );
        }
        self
    }

    /// The sentence a person reads.
    pub fn message(&self) -> &str {
        self.response["status"]["message"].as_str().unwrap_or_default()
    }

    /// An audit annotation, by its key without the webhook's name.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.response["auditAnnotations"][key].as_str()
    }

    /// All warnings in one text.
    pub fn warnings(&self) -> String {
        self.response["warnings"].to_string()
    }
}
