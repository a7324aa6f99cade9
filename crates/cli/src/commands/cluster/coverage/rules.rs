//! What a validating webhook configuration covers.

use std::collections::BTreeSet;

use binauthz_kubernetes::has_shipped_conditions;
use serde_json::Value;

/// The webhooks of a configuration.
pub(super) struct Rules {
    webhooks: Vec<Value>,
    /// Their conditions leave something to a policy that is not as it is shipped.
    leave_to_nobody: bool,
}

/// A resource that is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    /// Every version it is served in.
    pub(super) versions: &'a BTreeSet<&'a str>,
    /// With its subresource.
    pub(super) name: &'a str,
}

/// What the shipped conditions leave to the policy while no server answers.
const LEFT_TO_THE_POLICY: [(&str, &str); 2] = [("", "pods"), ("batch", "jobs")];
/// What may bring an image in. A subresource is only updated.
const OPERATIONS: [&str; 2] = ["CREATE", "UPDATE"];

impl Rules {
    /// Of a configuration, if it is there. `is_judged` says whether the policy is as it is shipped that judges what the shipped
    /// conditions leave out.
    pub(super) fn of(found: Option<&Value>, is_judged: bool) -> Rules {
        let webhooks = found.and_then(|found| found.get("webhooks")?.as_array());
        let mut webhooks = webhooks.cloned().unwrap_or_default();
        let has_shipped_conditions = found.is_some_and(has_shipped_conditions);
        if has_shipped_conditions {
            for webhook in webhooks.iter_mut().filter_map(Value::as_object_mut) {
                webhook.remove("matchConditions");
            }
        }
        Rules {
            webhooks,
            leave_to_nobody: has_shipped_conditions && !is_judged,
        }
    }

    /// What is written of a resource without the webhook being asked, or so that an outage lets it in; nothing for one
    /// that is covered.
    pub(super) fn gaps(&self, resource: &Resource<'_>) -> Vec<String> {
        let operations = match resource.name.contains('/') {
            true => &OPERATIONS[1..],
            false => &OPERATIONS[..],
        };
        let mut gaps = Vec::new();
        for operation in operations {
            let mut asked = self
                .webhooks
                .iter()
                .filter(|webhook| is_asked(webhook, resource, operation));
            match asked.next() {
                None => gaps.push(format!("no rule for {operation}")),
                Some(webhook) => gaps.extend(weaknesses(webhook).map(str::to_owned)),
            }
        }
        if self.leave_to_nobody && LEFT_TO_THE_POLICY.contains(&(resource.group, resource.name)) {
            gaps.push("while no server answers nobody judges: the policy is not as shipped".to_owned());
        }
        gaps.dedup();
        gaps
    }
}

fn is_asked(webhook: &Value, resource: &Resource<'_>, operation: &str) -> bool {
    let equivalent = webhook["matchPolicy"] != "Exact";
    let rules = webhook["rules"].as_array().into_iter().flatten();
    rules.into_iter().any(|rule| {
        let has = |field: &str, wanted: &str| {
            let items = rule[field].as_array().into_iter().flatten();
            items
                .filter_map(Value::as_str)
                .any(|item| item == "*" || item == wanted)
        };
        // An object of another version is converted to the one that a rule names.
        let version = has("apiVersions", resource.version)
            || (equivalent
                && resource
                    .versions
                    .iter()
                    .any(|version| has("apiVersions", version)));
        has("apiGroups", resource.group)
            && version
            && has("operations", operation)
            && names(rule, resource.name)
    })
}

/// Whether the resources of a rule name this one: `*` is every resource and no subresource, `*/*` is everything.
fn names(rule: &Value, name: &str) -> bool {
    let (resource, part) = match name.split_once('/') {
        Some((resource, part)) => (resource, Some(part)),
        None => (name, None),
    };
    let items = rule["resources"].as_array().into_iter().flatten();
    items.filter_map(Value::as_str).any(|item| {
        let (of, sub) = match item.split_once('/') {
            Some((of, sub)) => (of, Some(sub)),
            None => (item, None),
        };
        let is_part = match (sub, part) {
            (None, None) | (Some("*"), _) => true,
            (Some(sub), Some(part)) => sub == part,
            (None, Some(_)) | (Some(_), None) => false,
        };
        (of == "*" || of == resource) && is_part
    })
}

/// What makes a webhook one that does not have to be asked.
fn weaknesses(webhook: &Value) -> impl Iterator<Item = &'static str> {
    let is_set = |field: &str| match &webhook[field] {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    };
    let open = (webhook["failurePolicy"] == "Ignore").then_some("an outage lets it in");
    let labels = is_set("objectSelector").then_some("an object selector leaves some out");
    let conditions = is_set("matchConditions").then_some("match conditions leave some out");
    open.into_iter().chain(labels).chain(conditions)
}

#[cfg(test)]
mod tests {
    use binauthz_kubernetes::{Configuration, Endpoint, Guard};
    use serde_json::json;

    use super::*;

    fn gaps(webhook: &Value, (group, version, name): (&str, &str, &str)) -> Vec<String> {
        let configuration = json!({"webhooks": [webhook]});
        let versions: BTreeSet<&str> = [version, "v1"].into();
        let resource = Resource {
            group,
            version,
            versions: &versions,
            name,
        };
        Rules::of(Some(&configuration), true).gaps(&resource)
    }

    fn webhook(rule: &Value) -> Value {
        json!({"failurePolicy": "Fail", "matchPolicy": "Equivalent", "objectSelector": {}, "rules": [rule]})
    }

    fn rule(group: &str, resources: &[&str]) -> Value {
        json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources})
    }

    #[test]
    fn a_rule_covers_what_it_names_in_every_version() {
        let apps = webhook(&rule("apps", &["deployments"]));
        for version in ["v1", "v1beta1"] {
            assert_eq!(gaps(&apps, ("apps", version, "deployments")), [""; 0]);
        }
        let none = ["no rule for CREATE", "no rule for UPDATE"];
        assert_eq!(gaps(&apps, ("apps", "v1", "replicasets")), none);
        assert_eq!(gaps(&apps, ("batch", "v1", "deployments")), none);
        let mut exact = apps.clone();
        exact["matchPolicy"] = json!("Exact");
        assert_eq!(gaps(&exact, ("apps", "v1beta1", "deployments")), none);
        assert_eq!(gaps(&exact, ("apps", "v1", "deployments")), [""; 0]);
        assert_eq!(
            Rules::of(None, false).gaps(&Resource {
                group: "",
                version: "v1",
                versions: &["v1"].into(),
                name: "pods"
            }),
            none
        );
    }

    #[test]
    fn a_subresource_is_covered_by_its_own_name_only() {
        let part = ("", "v1", "pods/ephemeralcontainers");
        for (resources, covered) in [
            (&["pods"][..], false),
            (&["pods", "pods/ephemeralcontainers"], true),
            (&["pods/*"], true),
            (&["*/*"], true),
            (&["*/ephemeralcontainers"], true),
            (&["*"], false),
            (&["pods/status"], false),
        ] {
            let found = gaps(&webhook(&rule("", resources)), part);
            let expected: &[&str] = if covered { &[] } else { &["no rule for UPDATE"] };
            assert_eq!(found, expected, "{resources:?}");
        }
        assert_eq!(
            gaps(
                &webhook(&rule("", &["pods/ephemeralcontainers"])),
                ("", "v1", "pods")
            )
            .len(),
            2
        );
        assert_eq!(gaps(&webhook(&rule("*", &["*"])), ("a.b", "v1", "cs")), [""; 0]);
    }

    #[test]
    fn what_is_left_to_a_policy_is_covered_while_it_is_there() {
        let guard = Guard {
            cluster: "projects/p/locations/l/clusters/c".parse().expect("a name"),
            endpoint: Endpoint::url("https://b.example").expect("a URL"),
            ca_bundle: "Q0E=".to_owned(),
            inject_ca_from: None,
            exempt: Vec::new(),
            custom: Vec::new(),
            registered_by_install: true,
            last_known_good: Some("binauthz".to_owned()),
        };
        let shipped = guard.configuration(Configuration::Validating);
        let gaps = |found: &Value, is_judged, (group, name)| {
            let resource = Resource {
                group,
                version: "v1",
                versions: &["v1"].into(),
                name,
            };
            Rules::of(Some(found), is_judged).gaps(&resource)
        };
        let unjudged = ["while no server answers nobody judges: the policy is not as shipped"];
        for resource in [("", "pods"), ("batch", "jobs")] {
            assert_eq!(gaps(&shipped, true, resource), [""; 0]);
            assert_eq!(gaps(&shipped, false, resource), unjudged);
        }
        for resource in [("apps", "deployments"), ("", "pods/ephemeralcontainers")] {
            assert_eq!(gaps(&shipped, false, resource), [""; 0]);
        }
        // Other conditions are nobody's, whatever policy is there.
        let mut other = shipped.clone();
        other["webhooks"][0]["matchConditions"][0]["expression"] = json!("false");
        assert_eq!(
            gaps(&other, true, ("", "pods")),
            ["match conditions leave some out"]
        );
    }

    #[test]
    fn a_webhook_that_may_not_be_asked_covers_nothing() {
        let pods = ("", "v1", "pods");
        let good = webhook(&rule("", &["pods"]));
        assert_eq!(gaps(&good, pods), [""; 0]);
        for (field, value, gap) in [
            ("failurePolicy", json!("Ignore"), "an outage lets it in"),
            (
                "objectSelector",
                json!({"matchLabels": {"a": "b"}}),
                "an object selector leaves some out",
            ),
            (
                "matchConditions",
                json!([{"name": "x", "expression": "false"}]),
                "match conditions leave some out",
            ),
        ] {
            let mut weak = good.clone();
            weak[field] = value;
            assert_eq!(gaps(&weak, pods), [gap]);
        }
        let mut created = rule("", &["pods"]);
        created["operations"] = json!(["CREATE"]);
        assert_eq!(gaps(&webhook(&created), pods), ["no rule for UPDATE"]);
        created["operations"] = json!(["*"]);
        assert_eq!(gaps(&webhook(&created), pods), [""; 0]);
    }
}
