use serde_json::json;

use super::*;

mod functions;
mod metric;
mod partly;
mod property;
mod queries;
mod read;

fn entry(value: serde_json::Value) -> Entry<'static> {
    read_stored(value.into()).unwrap_or_else(|error| panic!("{error}"))
}

fn query(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    match Query::parse(text) {
        Ok(_) => panic!("{text}: accepted"),
        Err(error) => {
            assert_eq!(error.path, "filter");
            error.description()
        }
    }
}

const BREAK_GLASS: &str = "imagepolicywebhook.image-policy.k8s.io/break-glass";
const DRY_RUN: &str = "imagepolicywebhook.image-policy.k8s.io/dry-run";
const OVERRIDDEN: &str = "imagepolicywebhook.image-policy.k8s.io/overridden-verification-result";

fn cluster() -> serde_json::Value {
    json!({
        "type": "k8s_cluster",
        "labels": {"project_id": "demo", "location": "us-central1-a", "cluster_name": "my-cluster"},
    })
}

/// A denied Pod.
fn denied() -> serde_json::Value {
    let message = "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image r.test/a:latest \
                   denied by attestor projects/demo/attestors/image-signing-attestor: No attestations found.";
    json!({
        "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
        "insertId": "000000000001a2b3",
        "timestamp": "2026-11-23T08:18:25.234686Z",
        "receiveTimestamp": "2026-11-23T08:18:25.234686Z",
        "severity": "ERROR",
        "resource": cluster(),
        "operation": {"id": "000000000001a2b3", "producer": "k8s.io", "first": true, "last": true},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io",
            "methodName": "io.k8s.core.v1.pods.create",
            "resourceName": "core/v1/namespaces/default/pods/test-unsigned",
            "authenticationInfo": {"principalEmail": "alice@example.com"},
            "authorizationInfo": [{"granted": true, "permission": "io.k8s.core.v1.pods.create"}],
            "request": {
                "@type": "core.k8s.io/v1.Pod",
                "metadata": {"name": "test-unsigned", "namespace": "default"},
                "spec": {"containers": [{"image": "r.test/demo/app/unattested-image:latest"}]},
            },
            "response": {
                "@type": "core.k8s.io/v1.Status",
                "status": "Failure", "reason": "VIOLATES_POLICY", "code": 400, "message": message,
            },
            "status": {"code": 3, "message": message},
            "metadata": {"verdict": "DENY", "reason": "NOT_PINNED", "effect": "ENFORCED"},
        },
    })
}

fn audit(severity: &str, labels: serde_json::Value, annotations: serde_json::Value) -> serde_json::Value {
    let object =
        json!({"@type": "apps.k8s.io/v1.Deployment", "metadata": {"name": "d", "annotations": annotations}});
    json!({
        "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
        "insertId": "000000000001a2b4",
        "timestamp": "2026-11-23T08:18:26Z",
        "severity": severity,
        "resource": cluster(),
        "labels": labels,
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io",
            "methodName": "io.k8s.apps.v1.deployments.create",
            "request": object,
            "response": object,
            "status": {},
        },
    })
}

fn e1() -> Entry<'static> {
    entry(denied())
}

/// A break-glass Deployment.
fn e2() -> Entry<'static> {
    let labels = json!({BREAK_GLASS: "true", OVERRIDDEN: "'IMG' : Image IMG denied by attestor a: No attestations found\n"});
    let annotations = json!({"alpha.image-policy.k8s.io/break-glass": "Emergency fix for incident INC-1234"});
    entry(audit("WARNING", labels, annotations))
}

/// A violation that dry run let through: the audit entry.
fn e3a() -> Entry<'static> {
    let labels = json!({DRY_RUN: "true", OVERRIDDEN: "'IMG' : Image IMG denied by attestor a\n"});
    entry(audit("WARNING", labels, json!({})))
}

/// The same violation: the entry of the policy's log.
fn e3b() -> Entry<'static> {
    entry(json!({
        "logName": "projects/demo/logs/binaryauthorization.googleapis.com%2Fpolicy",
        "insertId": "000000000001a2b4-1",
        "timestamp": "2026-11-23T08:18:26Z",
        "severity": "WARNING",
        "resource": cluster(),
        "jsonPayload": {
            "enforcementMode": "DRYRUN_AUDIT_LOG_ONLY", "podName": "test-unsigned", "podNamespace": "default",
            "imageName": "r.test/a:latest", "result": "DENY", "principal": "alice@example.com",
        },
    }))
}

fn e4() -> Entry<'static> {
    entry(json!({
        "logName": "projects/demo/logs/mylog",
        "insertId": "abc-1",
        "resource": {"type": "global"},
        "severity": "WARNING",
        "timestamp": "2026-11-23T08:00:00.5Z",
        "textPayload": "Hello World unicorn phoenix",
    }))
}

fn e5() -> Entry<'static> {
    entry(json!({
        "logName": "projects/demo/logs/mylog",
        "insertId": "abc-2",
        "resource": {"type": "global"},
        "timestamp": "2026-11-23T08:00:00.5Z",
        "jsonPayload": {
            "n": 8.5, "list": [8.5, 9, 6], "s": "10", "t": true, "z": null, "o": {"age": 24}, "foo.bar": "apple",
            "ip": "10.1.2.3", "msg": "field1=\"bar\"",
        },
        "labels": {"a.b/c": "X"},
        "httpRequest": {"status": 404, "latency": "1.5s"},
    }))
}
