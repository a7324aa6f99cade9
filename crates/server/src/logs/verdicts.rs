//! A verdict as log entries: one in the audit log, as the API server of a cluster at Google writes it, and in dry run
//! one more for each image that would have been denied.

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Node, Payload, Severity};

use super::members::Members;
use super::record::{Image, Verdict};
use super::{ACTIVITY, POLICY, insert_id, project_of, request};

/// The name of the webhook in a cluster: the API server writes it before what a webhook says.
pub(super) const WEBHOOK: &str = "imagepolicywebhook.image-policy.k8s.io";

/// The entries of a verdict; the audit log's first.
pub(super) fn render<'a>(verdict: &'a Verdict<'_>, time: UnixTime) -> Vec<Entry<'a>> {
    let mut entries = vec![activity(verdict, time)];
    if verdict.effect == "DRY_RUN" && verdict.is_overridden() {
        let denied = verdict.images.iter().filter(|image| image.is_denied());
        entries.extend(
            denied
                .enumerate()
                .map(|(index, image)| violation(verdict, image, (time, index + 1))),
        );
    }
    entries
}

fn activity<'a>(verdict: &'a Verdict<'_>, time: UnixTime) -> Entry<'a> {
    let severity = match (verdict.is_denial(), verdict.is_overridden()) {
        (true, _) => Severity::Error,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Notice,
    };
    let id = insert_id(verdict.seq, 0);
    Entry::new(log_name(verdict, ACTIVITY), id.clone(), time)
        .severity(severity)
        .resource("k8s_cluster", cluster(verdict))
        .labels(labels(verdict))
        .operation(id, "k8s.io")
        .payload(Payload::Proto(audit(verdict)))
}

fn log_name(verdict: &Verdict<'_>, log: &str) -> String {
    format!(
        "projects/{}/logs/{log}",
        project_of(&verdict.cluster).unwrap_or_default()
    )
}

/// `projects/P/locations/L/clusters/C`
fn cluster<'a>(verdict: &'a Verdict<'_>) -> Node<'a> {
    let mut labels = Members::default();
    let mut segments = verdict.cluster.split('/');
    while let (Some(collection), Some(id)) = (segments.next(), segments.next()) {
        match collection {
            "projects" => labels.text("project_id", id),
            "locations" => labels.text("location", id),
            "clusters" => labels.text("cluster_name", id),
            _ => {}
        }
    }
    labels.into_node()
}

/// What the API server makes of the webhook's audit annotations.
fn labels<'a>(verdict: &'a Verdict<'_>) -> Node<'a> {
    let mut labels = Members::default();
    let mut note = |key: &str, value: Node<'a>| labels.put(format!("{WEBHOOK}/{key}"), value);
    match verdict.effect.as_ref() {
        "BREAK_GLASS" => note("break-glass", "true".into()),
        "DRY_RUN" if verdict.is_overridden() => note("dry-run", "true".into()),
        _ => {}
    }
    if verdict.is_overridden() {
        if verdict.advice {
            note("advice", "true".into());
        }
        note("overridden-verification-result", overridden(verdict).into());
    }
    labels.into_node()
}

/// As `Decision::overridden_result` has it.
fn overridden(verdict: &Verdict<'_>) -> String {
    let mut result = String::new();
    for image in &verdict.images {
        for objection in image.objections() {
            let sentence = match objection.code.as_ref() {
                "ALWAYS_DENY" => "Denied by an ALWAYS_DENY admission rule",
                _ => &objection.message,
            };
            result.push_str(&format!("'{}' : {sentence}\n", image.image));
        }
    }
    result
}

fn audit<'a>(verdict: &'a Verdict<'_>) -> Node<'a> {
    let (method, resource) = (request::method(verdict), request::resource(verdict));
    let mut payload = Members::default();
    payload.text("@type", "type.googleapis.com/google.cloud.audit.AuditLog");
    payload.text("serviceName", "k8s.io");
    payload.put("methodName", method.clone());
    payload.put("resourceName", resource.clone());
    let mut caller = Members::default();
    caller.text("principalEmail", &verdict.user);
    payload.put("authenticationInfo", caller.into_node());
    let mut permission = Members::default();
    permission.put("granted", Node::Bool(true));
    permission.put("permission", method);
    permission.put("resource", resource);
    payload.put("authorizationInfo", Node::List(vec![permission.into_node()]));
    payload.put("request", request::object(verdict));
    if verdict.is_denial() {
        let (response, status) = refusal(verdict);
        payload.put("response", response);
        payload.put("status", status);
    } else {
        payload.put("response", request::object(verdict));
    }
    payload.put("metadata", decision(verdict));
    payload.into_node()
}

/// What the API server answered, and the same as a status.
fn refusal<'a>(verdict: &'a Verdict<'_>) -> (Node<'a>, Node<'a>) {
    // The ImagePolicyWebhook plugin refuses in other words than a webhook does.
    let (message, reason, code, number) = if verdict.dialect == "ImageReview" {
        let message = format!(
            "image policy webhook backend denied one or more images: {}",
            verdict.message
        );
        (message, "Forbidden", 403, 7)
    } else {
        let message = format!(
            "admission webhook \"{WEBHOOK}\" denied the request: {}",
            verdict.message
        );
        (message, "VIOLATES_POLICY", 400, 3)
    };
    let mut response = Members::default();
    response.text("@type", "core.k8s.io/v1.Status");
    response.text("apiVersion", "v1");
    response.text("kind", "Status");
    response.text("status", "Failure");
    response.text("reason", reason);
    response.put("code", Node::Integer(code));
    response.put("message", message.clone());
    let mut details = Members::default();
    details.text("name", &verdict.name);
    details.text("group", &verdict.group);
    details.text("kind", &verdict.kind);
    let causes: Vec<Node<'a>> = verdict
        .images
        .iter()
        .filter(|image| image.is_denied())
        .map(cause)
        .collect();
    if !causes.is_empty() {
        details.put("causes", Node::List(causes));
    }
    response.put("details", details.into_node());
    let mut status = Members::default();
    status.put("code", Node::Integer(number));
    status.put("message", message);
    (response.into_node(), status.into_node())
}

fn cause<'a>(image: &'a Image<'_>) -> Node<'a> {
    let mut cause = Members::default();
    let code = image
        .objections()
        .next()
        .map_or("INTERNAL", |objection| &objection.code);
    cause.text("reason", code);
    cause.put("message", image.why());
    cause.text("field", &image.field);
    cause.into_node()
}

/// What the record says that Google's entries have no place for.
fn decision<'a>(verdict: &'a Verdict<'_>) -> Node<'a> {
    let mut metadata = Members::default();
    metadata.text("@type", "type.googleapis.com/binauthz.v1.Decision");
    metadata.text("verdict", &verdict.verdict);
    metadata.put("conforms", Node::Bool(verdict.conforms));
    metadata.text("reason", &verdict.reason);
    metadata.text("effect", &verdict.effect);
    metadata.text("justification", &verdict.justification);
    metadata.text("rule", &verdict.rule);
    metadata.text("policyName", &verdict.policy.name);
    metadata.text("policyEtag", &verdict.policy.etag);
    metadata.text("serviceAccount", &verdict.service_account);
    metadata.text("dialect", &verdict.dialect);
    metadata.text("uid", &verdict.uid);
    metadata.text("recordId", &verdict.id);
    for (name, flag) in [
        ("dryRun", verdict.dry_run),
        ("advice", verdict.advice),
        ("truncated", verdict.truncated),
    ] {
        if flag {
            metadata.put(name, Node::Bool(true));
        }
    }
    if let Some(count) = verdict.image_count {
        metadata.put("imageCount", Node::Integer(count.into()));
    }
    metadata.text("sha256", &verdict.sha256);
    metadata.into_node()
}

/// An image that the policy in dry run would have denied.
fn violation<'a>(
    verdict: &'a Verdict<'_>,
    image: &'a Image<'_>,
    (time, nth): (UnixTime, usize),
) -> Entry<'a> {
    let mut payload = Members::default();
    payload.text("enforcementMode", "DRYRUN_AUDIT_LOG_ONLY");
    payload.text("podName", &verdict.name);
    payload.text("podNamespace", &verdict.namespace);
    payload.text("kind", &verdict.kind);
    payload.text("imageName", &image.image);
    payload.text("field", &image.field);
    payload.text("result", "DENY");
    let code = image
        .objections()
        .next()
        .map_or("INTERNAL", |objection| &objection.code);
    payload.text("reason", code);
    payload.put("description", image.why());
    payload.text("principal", &verdict.user);
    payload.text("policyName", &verdict.policy.name);
    Entry::new(log_name(verdict, POLICY), insert_id(verdict.seq, nth), time)
        .severity(Severity::Warning)
        .resource("k8s_cluster", cluster(verdict))
        .payload(Payload::Json(payload.into_node()))
}
