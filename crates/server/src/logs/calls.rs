//! A call of the API as a log entry.

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Node, Payload, Severity};
use serde_json::Value;

use super::members::Members;
use super::record::Call;
use super::{ACTIVITY, insert_id};

/// What calls belong to that are about no project, such as those about tokens. No project can have this name.
pub(crate) const NO_PROJECT: &str = "_";

/// `PERMISSION_DENIED`
const DENIED: i32 = 7;

/// The project a call is about.
pub(super) fn project_of<'a>(call: &'a Call<'_>) -> &'a str {
    super::project_of(&call.resource).unwrap_or(NO_PROJECT)
}

/// The entry of a call.
pub(super) fn render<'a>(call: &'a Call<'_>, time: UnixTime) -> Entry<'a> {
    let (api, name) = call.method.split_once('.').unwrap_or(("", &call.method));
    let version = text(call, "version");
    let severity = if call.code == 0 {
        Severity::Notice
    } else {
        Severity::Error
    };
    let project = project_of(call);
    let (service, method) = (
        format!("{api}.googleapis.com"),
        format!("{}{name}", prefix(api, version, name)),
    );
    let mut labels = Members::default();
    labels.text("project_id", project);
    labels.put("service", service.clone());
    labels.put("method", method.clone());
    let id = insert_id(call.seq, 0);
    Entry::new(format!("projects/{project}/logs/{ACTIVITY}"), id, time)
        .severity(severity)
        .resource("audited_resource", labels.into_node())
        .payload(Payload::Proto(audit(call, service, method)))
}

fn audit<'a>(call: &'a Call<'_>, service: String, method: String) -> Node<'a> {
    let resource = resource(call);
    let mut payload = Members::default();
    payload.text("@type", "type.googleapis.com/google.cloud.audit.AuditLog");
    payload.put("serviceName", service);
    payload.put("methodName", method);
    payload.text("resourceName", resource);
    let mut caller = Members::default();
    caller.text("principalEmail", &call.principal);
    payload.put("authenticationInfo", caller.into_node());
    let mut permission = Members::default();
    permission.put("granted", Node::Bool(call.code != DENIED));
    permission.text("permission", text(call, "permission"));
    permission.text("resource", resource);
    payload.put("authorizationInfo", Node::List(vec![permission.into_node()]));
    let mut request = Members::default();
    request.text("callerSuppliedUserAgent", text(call, "userAgent"));
    payload.put("requestMetadata", request.into_node());
    let mut status = Members::default();
    if call.code != 0 {
        status.put("code", Node::Integer(call.code.into()));
        status.text("message", text(call, "message"));
    }
    payload.put("status", status.into_node());
    payload.put("metadata", metadata(call));
    payload.into_node()
}

/// Everything that the record says beside what Google's form has a place for.
fn metadata<'a>(call: &'a Call<'_>) -> Node<'a> {
    let mut metadata = Members::default();
    metadata.text("@type", "type.googleapis.com/binauthz.v1.Call");
    metadata.text("requestId", &call.request_id);
    metadata.put("auditSequence", call.audit_sequence.to_string());
    for (name, value) in &call.detail {
        if !["permission", "userAgent", "message"].contains(&name.as_str()) {
            metadata.put(name.as_str(), Node::from(value));
        }
    }
    metadata.into_node()
}

fn text<'a>(call: &'a Call<'_>, name: &str) -> &'a str {
    call.detail.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The resource without the version that a path begins with.
fn resource<'a>(call: &'a Call<'_>) -> &'a str {
    match call.resource.find("projects/") {
        Some(at) => call.resource.get(at..).unwrap_or_default(),
        None => &call.resource,
    }
}

/// What stands before the name of an API's method in Google's audit logs.
fn prefix(api: &str, version: &str, name: &str) -> &'static str {
    match (api, version) {
        ("binaryauthorization", "v1") if name.starts_with("Validate") => {
            "google.cloud.binaryauthorization.v1.ValidationHelperV1."
        }
        ("binaryauthorization", "v1") => "google.cloud.binaryauthorization.v1.BinauthzManagementServiceV1.",
        ("binaryauthorization", "v1beta1") => {
            "google.cloud.binaryauthorization.v1beta1.BinauthzManagementServiceV1Beta1."
        }
        ("binaryauthorization", _) => "google.cloud.binaryauthorization.v1alpha2.",
        ("containeranalysis", _) => "grafeas.v1.Grafeas.",
        ("container", _) => "google.container.v1.ClusterManager.",
        ("serviceusage", _) => "google.api.serviceusage.v1.ServiceUsage.",
        ("artifactregistry", _) => "google.devtools.artifactregistry.v1.ArtifactRegistry.",
        ("logging", _) if name.ends_with("LogMetric") => "google.logging.v2.MetricsServiceV2.",
        ("logging", _) => "google.logging.v2.LoggingServiceV2.",
        ("monitoring", _) if name.contains("NotificationChannel") => {
            "google.monitoring.v3.NotificationChannelService."
        }
        ("monitoring", _) => "google.monitoring.v3.AlertPolicyService.",
        ("binauthz", _) => "binauthz.v1.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(method: &'static str, resource: &'static str, code: i32, detail: Value) -> Call<'static> {
        Call {
            method: method.into(),
            resource: resource.into(),
            principal: "alice".into(),
            code,
            detail: detail.as_object().cloned().unwrap_or_default(),
            ..Call::default()
        }
    }

    #[test]
    fn a_method_is_named_as_in_googles_logs() {
        let table = [
            (
                "binaryauthorization.UpdatePolicy",
                "v1",
                "google.cloud.binaryauthorization.v1.BinauthzManagementServiceV1.UpdatePolicy",
            ),
            (
                "binaryauthorization.UpdatePolicy",
                "v1beta1",
                "google.cloud.binaryauthorization.v1beta1.BinauthzManagementServiceV1Beta1.UpdatePolicy",
            ),
            (
                "containeranalysis.CreateOccurrence",
                "v1",
                "grafeas.v1.Grafeas.CreateOccurrence",
            ),
            ("cloudkms.AsymmetricSign", "v1", "AsymmetricSign"),
            (
                "logging.CreateLogMetric",
                "v2",
                "google.logging.v2.MetricsServiceV2.CreateLogMetric",
            ),
            (
                "logging.DeleteLog",
                "v2",
                "google.logging.v2.LoggingServiceV2.DeleteLog",
            ),
            ("binauthz.CreateToken", "v1", "binauthz.v1.CreateToken"),
        ];
        for (method, version, expected) in table {
            let call = call(method, "projects/p/policy", 0, json!({"version": version}));
            let entry = render(&call, UnixTime::from_seconds(0)).to_json();
            assert_eq!(entry["protoPayload"]["methodName"], expected);
            assert_eq!(entry["severity"], "NOTICE");
            assert!(entry["protoPayload"].get("status").is_none());
        }
    }

    #[test]
    fn a_refused_call_says_why() {
        let detail = json!({"permission": "a.b.c", "message": "no", "version": "v1", "userAgent": "curl"});
        let refused = call("binauthz.CreateToken", "binauthz/v1/tokens", 7, detail.clone());
        let entry = render(&refused, UnixTime::from_seconds(0)).to_json();
        let payload = &entry["protoPayload"];
        assert_eq!(
            entry["logName"],
            "projects/_/logs/cloudaudit.googleapis.com%2Factivity"
        );
        assert_eq!(payload["status"], json!({"code": 7, "message": "no"}));
        assert_eq!(payload["authorizationInfo"][0]["granted"], false);
        assert_eq!(payload["metadata"]["version"], "v1");
        // A failure for another reason was one that the caller might have made.
        let failed = call("binauthz.CreateToken", "binauthz/v1/tokens", 3, detail);
        let entry = render(&failed, UnixTime::from_seconds(0)).to_json();
        assert_eq!(entry["protoPayload"]["authorizationInfo"][0]["granted"], true);
    }
}
