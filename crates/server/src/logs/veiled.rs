//! The entries of a shape: what all lines of that shape are rendered to, with a veil over what differs. They follow
//! [`super::verdicts`] and [`super::calls`]; a property test holds them to it.

use binauthz_wire::logging::{Entry, Node, Payload, Severity, Veil};

use super::members::Members;
use super::shape::{Effect, Form, Outcome, Verdict};
use super::verdicts::WEBHOOK;
use super::{ACTIVITY, POLICY};

/// What lines of this form may be rendered to.
pub(super) fn entries(form: Form) -> Vec<Entry<'static>> {
    match form {
        Form::Verdict(verdict) => {
            let mut entries = vec![activity(verdict)];
            if verdict.effect == Effect::DryRun && verdict.is_overridden() {
                entries.push(violation());
            }
            entries
        }
        Form::Call(outcome) => vec![call(outcome)],
        Form::Written => vec![anything()],
    }
}

/// Of that log of some project.
fn log_name(log: &'static str) -> Veil<'static> {
    Veil::text()
        .containing("projects/")
        .containing(format!("/logs/{log}"))
}

fn unknown() -> Node<'static> {
    Veil::anything().into()
}

fn some_text() -> Node<'static> {
    Veil::text().into()
}

/// Members of which nothing is known, not even whether they are there.
fn put_unknown(members: &mut Members<'static>, names: &[&'static str]) {
    for name in names {
        members.put(*name, unknown());
    }
}

fn activity(verdict: Verdict) -> Entry<'static> {
    let severity = match (verdict.is_denial(), verdict.is_overridden()) {
        (true, _) => Severity::Error,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Notice,
    };
    Entry::veiled(log_name(ACTIVITY))
        .severity(severity)
        .resource("k8s_cluster", unknown())
        .labels(labels(verdict))
        .operation(some_text(), "k8s.io")
        .payload(Payload::Proto(audit(verdict)))
}

fn labels(verdict: Verdict) -> Node<'static> {
    let mut labels = Members::default();
    let mut note = |key: &str, value: Node<'static>| labels.put(format!("{WEBHOOK}/{key}"), value);
    match verdict.effect {
        Effect::BreakGlass => note("break-glass", "true".into()),
        Effect::DryRun if verdict.is_overridden() => note("dry-run", "true".into()),
        _ => {}
    }
    if verdict.is_overridden() {
        if verdict.advice {
            note("advice", "true".into());
        }
        note("overridden-verification-result", unknown());
        // Without that one, which is empty where no image has anything against it, there may be none at all.
        if verdict.effect == Effect::Enforced && !verdict.advice {
            return unknown();
        }
    }
    labels.into_node()
}

fn audit(verdict: Verdict) -> Node<'static> {
    let mut payload = Members::default();
    payload.text("@type", "type.googleapis.com/google.cloud.audit.AuditLog");
    payload.text("serviceName", "k8s.io");
    payload.put("methodName", some_text());
    payload.put("resourceName", some_text());
    payload.put("authenticationInfo", unknown());
    payload.put("authorizationInfo", authorization(true));
    payload.put("request", object(verdict));
    if verdict.is_denial() {
        payload.put("response", refusal());
        let mut status = Members::default();
        status.put("code", unknown());
        status.put("message", some_text());
        payload.put("status", status.into_node());
    } else {
        payload.put("response", object(verdict));
    }
    payload.put("metadata", decision(verdict));
    payload.into_node()
}

fn authorization(granted: bool) -> Node<'static> {
    let mut permission = Members::default();
    permission.put("granted", Node::Bool(granted));
    put_unknown(&mut permission, &["permission", "resource"]);
    Node::List(vec![permission.into_node()])
}

fn object(verdict: Verdict) -> Node<'static> {
    let mut object = Members::default();
    object.put("@type", some_text());
    object.put("apiVersion", some_text());
    put_unknown(&mut object, &["kind", "spec", "template"]);
    let mut metadata = Members::default();
    metadata.put("namespace", some_text());
    metadata.put("name", unknown());
    if verdict.door {
        put_unknown(&mut metadata, &["annotations", "labels"]);
    }
    object.put("metadata", metadata.into_node());
    object.into_node()
}

fn refusal() -> Node<'static> {
    let mut response = Members::default();
    response.text("@type", "core.k8s.io/v1.Status");
    response.text("apiVersion", "v1");
    response.text("kind", "Status");
    response.text("status", "Failure");
    response.put("reason", some_text());
    response.put("message", some_text());
    put_unknown(&mut response, &["code", "details"]);
    response.into_node()
}

fn decision(verdict: Verdict) -> Node<'static> {
    let mut metadata = Members::default();
    metadata.text("@type", "type.googleapis.com/binauthz.v1.Decision");
    metadata.text("verdict", if verdict.denies { "DENY" } else { "ALLOW" });
    metadata.put("conforms", Node::Bool(verdict.conforms));
    metadata.text("effect", verdict.effect.code());
    for (name, flag) in [("dryRun", verdict.dry_run), ("advice", verdict.advice)] {
        if flag {
            metadata.put(name, Node::Bool(true));
        }
    }
    put_unknown(
        &mut metadata,
        &[
            "reason",
            "justification",
            "rule",
            "policyName",
            "policyEtag",
            "serviceAccount",
            "dialect",
            "uid",
            "recordId",
            "truncated",
            "imageCount",
            "sha256",
        ],
    );
    metadata.into_node()
}

fn violation() -> Entry<'static> {
    let mut payload = Members::default();
    payload.text("enforcementMode", "DRYRUN_AUDIT_LOG_ONLY");
    payload.text("result", "DENY");
    payload.put("reason", some_text());
    put_unknown(
        &mut payload,
        &[
            "podName",
            "podNamespace",
            "kind",
            "imageName",
            "field",
            "description",
            "principal",
            "policyName",
        ],
    );
    Entry::veiled(log_name(POLICY))
        .severity(Severity::Warning)
        .resource("k8s_cluster", unknown())
        .payload(Payload::Json(payload.into_node()))
}

fn call(outcome: Outcome) -> Entry<'static> {
    let severity = match outcome {
        Outcome::Done => Severity::Notice,
        Outcome::Denied | Outcome::Failed => Severity::Error,
    };
    let mut payload = Members::default();
    payload.text("@type", "type.googleapis.com/google.cloud.audit.AuditLog");
    payload.put("serviceName", Veil::text().containing(".googleapis.com"));
    payload.put("authorizationInfo", authorization(outcome != Outcome::Denied));
    put_unknown(
        &mut payload,
        &[
            "methodName",
            "resourceName",
            "authenticationInfo",
            "requestMetadata",
            "metadata",
        ],
    );
    if outcome != Outcome::Done {
        payload.put("status", unknown());
    }
    Entry::veiled(log_name(ACTIVITY))
        .severity(severity)
        .resource("audited_resource", unknown())
        .payload(Payload::Proto(payload.into_node()))
}

/// What somebody wrote: it has whatever it has.
fn anything() -> Entry<'static> {
    Entry::unknown()
}
