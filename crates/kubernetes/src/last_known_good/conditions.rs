//! When the webhooks are asked and when the policy judges, as expressions that the API server evaluates.

use binauthz_core::workload::{BREAK_GLASS_ANNOTATION, BREAK_GLASS_LABEL};
use serde_json::{Value, json};

use super::LAST_KNOWN_GOOD;
use super::terms::{ASK, GROUP, MOMENT_SECONDS, MOMENTS};
use crate::canary::IMAGE;

/// Others may have resources of these names, too.
const IS_POD: &str = "(request.resource.group == '' && request.resource.resource == 'pods')";
const IS_JOB: &str = "(request.resource.group == 'batch' && request.resource.resource == 'jobs')";

/// The condition of the validating webhook. Of what is created it leaves Pods and Jobs to the policy, at moments at which it
/// is not asked; of what is changed, what starts nothing new, at all times, because its server lets that pass: finalizers
/// and replicas are what controllers change. The canary is for it alone: it says whether anybody answers.
pub(crate) fn validating(namespace: &str) -> Value {
    let is_left_out = format!(
        "request.operation == 'UPDATE' ? {} : request.operation == 'CREATE' && \
         !(has(request.subResource) && request.subResource != '') && ({IS_POD} || {IS_JOB}) && !{} && !{}",
        is_unchanged(),
        is_pod_of(IMAGE),
        is_asked(namespace)
    );
    json!([{"name": "last-known-good", "expression": format!("!({is_left_out})")}])
}

/// The condition of the mutating webhook, which has nothing to do where there is no door.
pub(crate) fn mutating() -> Value {
    let expression = format!(
        "has(object.metadata.labels) && '{BREAK_GLASS_LABEL}' in object.metadata.labels || \
         has(object.metadata.annotations) && '{BREAK_GLASS_ANNOTATION}' in object.metadata.annotations"
    );
    json!([{"name": "break-glass", "expression": expression}])
}

/// When the policy judges: just when the webhook is not asked, and of the image that it never admits.
pub(super) fn policy(namespace: &str) -> String {
    format!(
        "{} || !{} && !{}",
        is_pod_of(super::PROBE_IMAGE),
        is_pod_of(IMAGE),
        is_asked(namespace)
    )
}

/// Asks the API server's authorizer about an account that only the terms are for.
pub(super) fn is_permitted(namespace: &str, (resource, verb): (&str, &str), name: &str) -> String {
    format!(
        "authorizer.serviceAccount('{namespace}', '{LAST_KNOWN_GOOD}').group('{GROUP}').resource('{resource}')\
         .name({name}).check('{verb}').allowed()"
    )
}

fn is_asked(namespace: &str) -> String {
    let moment = format!("string(int(timestamp(object.metadata.creationTimestamp)) / {MOMENT_SECONDS})");
    is_permitted(namespace, (MOMENTS, ASK), &moment)
}

fn is_pod_of(image: &str) -> String {
    format!("({IS_POD} && object.spec.containers[0].image == '{image}')")
}

/// The same doors and the same Pods as before, of the kinds that Kubernetes has.
fn is_unchanged() -> String {
    let same = |field: &str| format!("object.{field} == oldObject.{field}");
    format!(
        "request.resource.group in ['', 'apps', 'batch'] && {} && {} && (request.resource.resource == 'pods' ? {} : \
         request.resource.resource == 'podtemplates' ? {} : request.resource.resource == 'cronjobs' ? {} : {})",
        same(&format!("metadata.?labels[?'{BREAK_GLASS_LABEL}']")),
        same(&format!("metadata.?annotations[?'{BREAK_GLASS_ANNOTATION}']")),
        same("spec"),
        same("template"),
        same("spec.jobTemplate"),
        same("spec.template"),
    )
}
