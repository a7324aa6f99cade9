//! The alert policies that every project has from the start, until somebody changes or deletes them there.
//!
//! They are not stored: one that is changed or deleted is, and from then on that counts. So a project of an earlier release
//! has them too, and one that was deleted does not come back.

use std::sync::LazyLock;

use binauthz_wire::monitoring::policy::{AlertPolicy, read_policy};
use serde_json::{Value, json};

use crate::guard::LOG;
use crate::logs::project_of;

/// Who made them.
pub(crate) const MAKER: &str = "binauthz";

/// A server-side dry run admits and denies nothing, so it is no reason to wake anybody.
const IN_EARNEST: &str = "NOT protoPayload.metadata.dryRun=true";
const VERDICTS: &str = r#"resource.type="k8s_cluster" logName:"cloudaudit.googleapis.com%2Factivity""#;

/// Ids and policies.
static SHIPPED: LazyLock<Vec<(&'static str, AlertPolicy)>> = LazyLock::new(|| {
    let read = |(id, policy): (&'static str, Value)| Some((id, read_policy(policy.into()).ok()?));
    [
        ("binauthz-break-glass", break_glass()),
        ("binauthz-blocked-deployments", blocked()),
        ("binauthz-guard", guard()),
    ]
    .into_iter()
    .filter_map(read)
    .collect()
});

fn break_glass() -> Value {
    let label = r#"labels."imagepolicywebhook.image-policy.k8s.io/break-glass"="true""#;
    on_logs(
        ("Binary Authorization: break-glass", "CRITICAL"),
        (
            "Something was deployed by break-glass",
            &format!("{VERDICTS} {label} {IN_EARNEST}"),
        ),
        "Somebody deployed by the emergency door, past the policy. The labels say who, what and why; \
         `binauthz logs list --effect=break-glass` lists each use.",
        &json!({
            "user": "EXTRACT(protoPayload.authenticationInfo.principalEmail)",
            "object": "EXTRACT(protoPayload.resourceName)",
            "justification": "EXTRACT(protoPayload.metadata.justification)",
        }),
    )
}

fn blocked() -> Value {
    let refused = "protoPayload.response.status=\"Failure\" \
                   (protoPayload.response.reason=\"VIOLATES_POLICY\" OR protoPayload.response.reason=\"Forbidden\")";
    on_logs(
        ("Binary Authorization: blocked deployment", "WARNING"),
        (
            "A deployment was blocked",
            &format!("{VERDICTS} {refused} {IN_EARNEST}"),
        ),
        "A deployment was refused by the policy. `binauthz logs list --verdict=deny` lists each of them with its reason.",
        &json!({
            "user": "EXTRACT(protoPayload.authenticationInfo.principalEmail)",
            "object": "EXTRACT(protoPayload.resourceName)",
            "reason": "EXTRACT(protoPayload.metadata.reason)",
        }),
    )
}

fn guard() -> Value {
    on_logs(
        ("Binary Authorization: unguarded cluster", "CRITICAL"),
        (
            "A cluster is not guarded as it should be",
            &format!("resource.type=\"k8s_cluster\" logName:\"{LOG}\" severity>=ERROR"),
        ),
        "The API server of a cluster does not ask about everything, or gets no answer. `binauthz cluster status` says what \
         is there; `binauthz cluster install` mends it.",
        &json!({
            "cluster": "EXTRACT(jsonPayload.cluster)",
            "finding": "EXTRACT(jsonPayload.finding)",
            "message": "EXTRACT(jsonPayload.message)",
        }),
    )
}

/// At most one notice in five minutes; over after half an hour without a further entry, so that the next one is told anew.
fn on_logs(
    (name, severity): (&str, &str),
    (condition, filter): (&str, &str),
    documentation: &str,
    extractors: &Value,
) -> Value {
    json!({
        "displayName": name,
        "documentation": { "content": documentation, "mimeType": "text/markdown" },
        "conditions": [{
            "displayName": condition,
            "conditionMatchedLog": { "filter": filter, "labelExtractors": extractors },
        }],
        "combiner": "OR",
        "alertStrategy": { "notificationRateLimit": {"period": "300s"}, "autoClose": "1800s" },
        "severity": severity,
    })
}

/// The names of a project's, with what they say.
pub(crate) fn of(project: &str) -> impl Iterator<Item = (String, AlertPolicy)> {
    let parent = format!("projects/{project}/alertPolicies/");
    SHIPPED.iter().map(move |(id, policy)| {
        let name = format!("{parent}{id}");
        let mut policy = policy.clone();
        policy.name_conditions(&name);
        (name, policy)
    })
}

/// What the policy of this name says, if it is one of them.
pub(crate) fn named(name: &str) -> Option<AlertPolicy> {
    let mut found = of(project_of(name)?).filter(|(known, _)| known == name);
    found.next().map(|(_, policy)| policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_has_them_under_names_of_its_own() {
        let names: Vec<String> = of("p").map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "projects/p/alertPolicies/binauthz-break-glass",
                "projects/p/alertPolicies/binauthz-blocked-deployments",
                "projects/p/alertPolicies/binauthz-guard"
            ]
        );
        for name in &names {
            let policy = named(name).unwrap();
            assert!(policy.enabled && policy.notification_channels.is_empty());
            let condition = policy.conditions[0].name.clone();
            assert_eq!(condition, Some(format!("{name}/conditions/1")));
        }
        for other in [
            "projects/p/alertPolicies/1",
            "projects/p/alertPolicies/binauthz-break-glass/x",
            "alertPolicies/binauthz-break-glass",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
