//! The two webhook configurations that guard a cluster, as they are shipped, and how what is there differs from them.
//!
//! Everything an API server would fill in by itself is written out, so that what it keeps compares equal.

use std::collections::BTreeSet;
use std::fmt;

use binauthz_core::name::ClusterName;
use binauthz_wire::custom_resources::CustomResource;
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, is_label};
use super::last_known_good;

/// The name `kubectl` prints with every refusal.
pub(crate) const WEBHOOK: &str = "imagepolicywebhook.image-policy.k8s.io";
/// Of the configuration that only says whether the webhook can be reached.
pub(crate) const PROBE_WEBHOOK: &str = "probe.image-policy.k8s.io";
/// Name of both configurations; they are of different kinds.
pub(crate) const NAME: &str = "binauthz";
/// The server ends its own work two seconds earlier, so that it is the server that denies and says why.
const TIMEOUT_SECONDS: u32 = 10;
/// Whoever may edit a namespace may label it; this one label the API server sets itself.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const CLUSTER_ANNOTATION: &str = "binauthz/cluster";
const REGISTRATION_ANNOTATION: &str = "binauthz/registration";
/// The namespace of the list, where the policy judges while no server answers.
const LAST_KNOWN_GOOD_ANNOTATION: &str = "binauthz/last-known-good";
/// Where a configuration says whom it trusts.
pub const CA_BUNDLE: &str = "/webhooks/0/clientConfig/caBundle";
/// As cert-manager has it.
const INJECTION_ANNOTATION: &str = "cert-manager.io/inject-ca-from";
const REGISTERED_BY_INSTALL: &str = "made-by-install";
const REGISTERED_BEFORE: &str = "was-there";

/// Which of the configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configuration {
    /// Copies a break-glass annotation to the Pods that a workload makes. It decides nothing.
    Mutating,
    /// Asks for the verdict.
    Validating,
}

/// The path of the configuration that [`probe`](Guard::probe) makes.
pub const PROBE: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/binauthz-probe";

impl Configuration {
    /// In the order they are installed in: at no time is a workload admitted whose Pods would then be refused.
    pub const ALL: [Configuration; 2] = [Configuration::Mutating, Configuration::Validating];

    /// Its kind in Kubernetes.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }

    /// Where configurations of its kind are.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::Mutating => "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            Self::Validating => "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(self) -> String {
        format!("{}/{NAME}", self.collection())
    }

    /// The route of the webhook that it calls.
    fn route(self) -> &'static str {
        match self {
            Self::Mutating => "mutate",
            Self::Validating => "admit",
        }
    }
}

/// Everything the two configurations of a cluster depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The cluster that asks.
    pub cluster: ClusterName,
    /// Where it asks.
    pub endpoint: Endpoint,
    /// Whom it trusts there: PEM certificates in base64.
    pub ca_bundle: String,
    /// The `NAMESPACE/NAME` of the Certificate whose authority cert-manager keeps in there, if it does.
    pub inject_ca_from: Option<String>,
    /// Namespaces that are not guarded, sorted; the server's own is one of them.
    pub exempt: Vec<String>,
    /// Custom resources that are reviewed beside what Kubernetes itself has.
    pub custom: Vec<CustomRule>,
    /// Whether the cluster was registered by `install`.
    pub registered_by_install: bool,
    /// The namespace of the list by which new Pods and Jobs are judged while no server answers; without it, they are
    /// refused.
    pub last_known_good: Option<String>,
}

/// A custom resource that is reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRule {
    /// API group.
    pub group: String,
    /// Versions that a rule names.
    pub versions: Vec<String>,
    /// Plural name.
    pub resource: String,
}

impl From<&CustomResource> for CustomRule {
    fn from(resource: &CustomResource) -> CustomRule {
        CustomRule {
            group: resource.group.clone(),
            versions: resource.versions.clone(),
            resource: resource.resource.clone(),
        }
    }
}

/// As `kubectl` takes it.
impl fmt::Display for CustomRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.resource, self.group)
    }
}

impl Guard {
    /// The guard that a configuration which is there is meant to be, as far as it can be read: where it asks, whom it
    /// trusts, which namespaces it leaves out, which custom resources it reviews.
    #[must_use]
    pub fn of(cluster: &ClusterName, which: Configuration, found: &Value) -> Option<Guard> {
        let webhook = found.pointer("/webhooks/0")?;
        let config = webhook.get("clientConfig")?.as_object()?;
        Some(Guard {
            cluster: cluster.clone(),
            endpoint: Endpoint::of_client_config(config, which.route())?,
            ca_bundle: config.get("caBundle")?.as_str()?.to_owned(),
            inject_ca_from: label(found, "annotations", INJECTION_ANNOTATION).map(str::to_owned),
            exempt: exempt_namespaces(webhook.get("namespaceSelector")?)?,
            custom: custom_rules(webhook, which),
            registered_by_install: is_registered_by_install(found),
            last_known_good: last_known_good_of(found).map(str::to_owned),
        })
    }

    /// A configuration as it is shipped.
    #[must_use]
    pub fn configuration(&self, which: Configuration) -> Value {
        let registration = match self.registered_by_install {
            true => REGISTERED_BY_INSTALL,
            false => REGISTERED_BEFORE,
        };
        let mut webhook = json!({
            "name": WEBHOOK,
            "clientConfig": self.endpoint.client_config(which.route(), &self.cluster, &self.ca_bundle),
            "rules": rules(which, &self.custom),
            // An outage refuses; it never admits.
            "failurePolicy": "Fail",
            // Another version of the API is no way around.
            "matchPolicy": "Equivalent",
            "namespaceSelector": namespace_selector(&self.exempt),
            // Whoever writes an object writes its labels.
            "objectSelector": {},
            "sideEffects": "NoneOnDryRun",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "admissionReviewVersions": ["v1"],
        });
        if which == Configuration::Mutating {
            // A later webhook may be the one that writes the annotation.
            webhook["reinvocationPolicy"] = json!("IfNeeded");
        }
        let mut annotations = json!({
            CLUSTER_ANNOTATION: self.cluster.to_string(),
            REGISTRATION_ANNOTATION: registration,
        });
        if let Some(namespace) = &self.last_known_good {
            annotations[LAST_KNOWN_GOOD_ANNOTATION] = json!(namespace);
            webhook["matchConditions"] = match which {
                Configuration::Mutating => last_known_good::mutating(),
                Configuration::Validating => last_known_good::validating(namespace),
            };
        }
        if let Some(certificate) = &self.inject_ca_from {
            annotations[INJECTION_ANNOTATION] = json!(certificate);
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": which.kind(),
            "metadata": {"name": NAME, "labels": {MANAGED_BY: NAME}, "annotations": annotations},
            "webhooks": [webhook],
        })
    }

    /// The same, in the place of one that is there: what cert-manager put into that one stays.
    #[must_use]
    pub fn configuration_beside(&self, which: Configuration, found: Option<&Value>) -> Value {
        let mut shipped = self.configuration(which);
        let injected = found.filter(|found| {
            self.inject_ca_from.is_some()
                && label(found, "annotations", INJECTION_ANNOTATION) == self.inject_ca_from.as_deref()
        });
        let bundle = injected.and_then(|found| found.pointer(CA_BUNDLE)).cloned();
        if let (Some(bundle), Some(ours)) = (bundle, shipped.pointer_mut(CA_BUNDLE)) {
            *ours = bundle;
        }
        shipped
    }

    /// A configuration that sends one labelled ConfigMap of one namespace to the webhook, and nothing else: it says
    /// whether the API server gets there, and can stop nobody's work.
    #[must_use]
    pub fn probe(&self, (label, value): (&str, &str), namespace: &str) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": Configuration::Validating.kind(),
            "metadata": {"name": format!("{NAME}-probe"), "labels": {MANAGED_BY: NAME}},
            "webhooks": [{
                "name": PROBE_WEBHOOK,
                "clientConfig": self.endpoint.client_config("admit", &self.cluster, &self.ca_bundle),
                "rules": [rule("", &["v1"], &["configmaps"], &["CREATE"])],
                "failurePolicy": "Fail",
                "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
                "objectSelector": {"matchLabels": {label: value}},
                "sideEffects": "NoneOnDryRun",
                "timeoutSeconds": TIMEOUT_SECONDS,
                "admissionReviewVersions": ["v1"],
            }],
        })
    }
}

/// Whether `install` made it.
#[must_use]
pub fn is_managed(found: &Value) -> bool {
    label(found, "labels", MANAGED_BY) == Some(NAME)
}

/// The cluster that `install` made it for.
#[must_use]
pub fn cluster_of(found: &Value) -> Option<&str> {
    label(found, "annotations", CLUSTER_ANNOTATION)
}

/// Whether cert-manager keeps the authorities in it.
#[must_use]
pub fn is_injected(found: &Value) -> bool {
    label(found, "annotations", INJECTION_ANNOTATION).is_some()
}

/// Whether a validating configuration is asked about all but what a policy judges while no server answers.
#[must_use]
pub fn has_shipped_conditions(found: &Value) -> bool {
    let webhooks = found.get("webhooks").and_then(Value::as_array);
    last_known_good_of(found).is_some_and(|namespace| {
        let shipped = last_known_good::validating(namespace);
        let mut webhooks = webhooks.into_iter().flatten();
        webhooks.all(|webhook| webhook.get("matchConditions") == Some(&shipped))
    })
}

/// The namespace of the list that it notes.
fn last_known_good_of(found: &Value) -> Option<&str> {
    label(found, "annotations", LAST_KNOWN_GOOD_ANNOTATION).filter(|namespace| is_label(namespace))
}

/// Whether `install` registered the cluster too.
#[must_use]
pub fn is_registered_by_install(found: &Value) -> bool {
    label(found, "annotations", REGISTRATION_ANNOTATION) == Some(REGISTERED_BY_INSTALL)
}

fn label<'a>(object: &'a Value, map: &str, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get(map)?.get(key)?.as_str()
}

/// Everything with a pod spec or a pod template. The mutating webhook has nothing to do with Pods.
fn rules(which: Configuration, custom: &[CustomRule]) -> Value {
    let core: &[&str] = match which {
        Configuration::Mutating => &["podtemplates", "replicationcontrollers"],
        Configuration::Validating => &[
            "pods",
            "pods/ephemeralcontainers",
            "podtemplates",
            "replicationcontrollers",
        ],
    };
    let apps = ["deployments", "replicasets", "statefulsets", "daemonsets"];
    let both = ["CREATE", "UPDATE"];
    let mut rules = vec![
        rule("", &["v1"], core, &both),
        rule("apps", &["v1"], &apps, &both),
        rule("batch", &["v1"], &["jobs", "cronjobs"], &both),
    ];
    rules.extend(custom.iter().map(|custom| {
        let versions: Vec<&str> = custom.versions.iter().map(String::as_str).collect();
        rule(&custom.group, &versions, &[&custom.resource], &both)
    }));
    rules.into()
}

/// The custom resources of a configuration, as far as its rules have the form that `install` writes.
fn custom_rules(webhook: &Value, which: Configuration) -> Vec<CustomRule> {
    let fixed = rules(which, &[]).as_array().map_or(0, Vec::len);
    let found = webhook["rules"].as_array().into_iter().flatten().skip(fixed);
    let texts = |rule: &Value, field: &str| -> Option<Vec<String>> {
        let items = rule[field].as_array()?.iter();
        items.map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let custom = |rule: &Value| {
        Some(CustomRule {
            group: texts(rule, "apiGroups")?.into_iter().next()?,
            versions: texts(rule, "apiVersions")?,
            resource: texts(rule, "resources")?.into_iter().next()?,
        })
    };
    found.filter_map(custom).collect()
}

pub(crate) fn rule(group: &str, versions: &[&str], resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": versions,
        "operations": operations,
        "resources": resources,
        "scope": "*",
    })
}

pub(crate) fn namespace_selector(exempt: &[String]) -> Value {
    match exempt {
        [] => json!({}),
        names => json!({"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "NotIn", "values": names}]}),
    }
}

/// The namespaces that a selector of the form above leaves out; none for another selector.
fn exempt_namespaces(selector: &Value) -> Option<Vec<String>> {
    let names = selector.pointer("/matchExpressions/0/values");
    let names = names.and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
    (namespace_selector(&names) == *selector && names.iter().all(|name| is_label(name))).then_some(names)
}

/// Whether an annotation is what `install` notes: of one that is there and not shipped nobody else has need.
#[must_use]
pub fn is_noted_by_install(annotation: &str) -> bool {
    let ours = [
        CLUSTER_ANNOTATION,
        REGISTRATION_ANNOTATION,
        LAST_KNOWN_GOOD_ANNOTATION,
        // It has cert-manager write over whom the webhook trusts.
        INJECTION_ANNOTATION,
    ];
    ours.contains(&annotation)
}

/// Where the webhooks of a configuration, and what `install` notes on it, differ from what is shipped.
#[must_use]
pub fn differences(found: &Value, shipped: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let metadata = |object: &Value, key: &str| object.pointer(&format!("/metadata/{key}")).cloned();
    for key in ["labels", "annotations"] {
        // Others may add to these; what is ours must be there.
        let (found, shipped) = (metadata(found, key), metadata(shipped, key));
        let found = found.as_ref().and_then(Value::as_object);
        let shipped = shipped.as_ref().and_then(Value::as_object);
        let noted = found.into_iter().flatten().map(|(name, _)| name);
        let noted = noted.filter(|name| is_noted_by_install(name));
        let shipped_names = shipped.into_iter().flatten().map(|(name, _)| name);
        for name in shipped_names.chain(noted).collect::<BTreeSet<_>>() {
            compare(
                &format!("metadata.{key}[{name}]"),
                found.and_then(|found| found.get(name)),
                shipped.and_then(|shipped| shipped.get(name)),
                &mut differences,
            );
        }
    }
    compare(
        "webhooks",
        found.get("webhooks"),
        shipped.get("webhooks"),
        &mut differences,
    );
    differences
}

/// Adds every place in which two values differ.
pub(crate) fn compare(
    path: &str,
    found: Option<&Value>,
    shipped: Option<&Value>,
    differences: &mut Vec<String>,
) {
    match (found, shipped) {
        (found, shipped) if found == shipped => {}
        (Some(Value::Object(found)), Some(Value::Object(shipped))) => {
            for key in keys(found, shipped) {
                compare(
                    &format!("{path}.{key}"),
                    found.get(key),
                    shipped.get(key),
                    differences,
                );
            }
        }
        (Some(Value::Array(found)), Some(Value::Array(shipped))) if found.len() == shipped.len() => {
            for (at, (found, shipped)) in found.iter().zip(shipped).enumerate() {
                compare(&format!("{path}[{at}]"), Some(found), Some(shipped), differences);
            }
        }
        (found, shipped) => {
            differences.push(format!(
                "{path} is {}, shipped is {}",
                shown(found),
                shown(shipped)
            ));
        }
    }
}

fn keys<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = one.keys().chain(other.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A certificate or a list of rules says nothing to a person: a difference shows where, and enough to see what.
fn shown(value: Option<&Value>) -> String {
    const CHARACTERS_MAX: usize = 120;
    let Some(value) = value else {
        return "absent".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn guard(exempt: &[&str]) -> Guard {
        Guard {
            cluster: "projects/p/locations/l/clusters/c".parse().expect("a name"),
            endpoint: Endpoint::url("https://b.example:8443").expect("a URL"),
            ca_bundle: "Q0E=".to_owned(),
            inject_ca_from: None,
            exempt: exempt.iter().map(|&name| name.to_owned()).collect(),
            custom: Vec::new(),
            registered_by_install: true,
            last_known_good: None,
        }
    }

    fn with_custom() -> Guard {
        let custom = |resource: &str| CustomRule {
            group: "tekton.dev".to_owned(),
            versions: vec!["v1".to_owned(), "v1beta1".to_owned()],
            resource: resource.to_owned(),
        };
        Guard {
            custom: vec![custom("tasks"), custom("taskruns")],
            ..guard(&["kube-system"])
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_does_not_differ() {
        let injected = Guard {
            inject_ca_from: Some("binauthz/webhook".to_owned()),
            ..guard(&[])
        };
        let kept = Guard {
            last_known_good: Some("binauthz".to_owned()),
            ..guard(&["binauthz"])
        };
        for guard in [
            guard(&[]),
            guard(&["binauthz", "kube-system"]),
            with_custom(),
            injected,
            kept,
        ] {
            for which in Configuration::ALL {
                let written = guard.configuration(which);
                assert_eq!(Guard::of(&guard.cluster, which, &written).as_ref(), Some(&guard));
                assert_eq!(differences(&written, &written), [""; 0]);
                assert!(is_managed(&written) && is_registered_by_install(&written));
                assert_eq!(cluster_of(&written), Some("projects/p/locations/l/clusters/c"));
            }
        }
    }

    #[test]
    fn what_cert_manager_injected_stays_and_nothing_else_does() {
        let plain = guard(&[]);
        let injected = Guard {
            inject_ca_from: Some("binauthz/webhook".to_owned()),
            ..guard(&[])
        };
        for which in Configuration::ALL {
            let mut found = injected.configuration(which);
            found["webhooks"][0]["clientConfig"]["caBundle"] = json!("TkVX");
            found["webhooks"][0]["failurePolicy"] = json!("Ignore");
            let beside = injected.configuration_beside(which, Some(&found));
            assert_eq!(beside.pointer(CA_BUNDLE), Some(&json!("TkVX")));
            assert_eq!(beside["webhooks"][0]["failurePolicy"], "Fail");
            let without = plain.configuration_beside(which, Some(&found));
            assert_eq!(without.pointer(CA_BUNDLE), Some(&json!("Q0E=")));
            assert_eq!(
                injected.configuration_beside(which, None),
                injected.configuration(which)
            );
        }
    }

    /// Every group, resource and operation of a configuration.
    fn reviewed(configuration: &Value) -> BTreeSet<String> {
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            let items = rule[field].as_array().expect("a list").iter();
            items
                .map(|item| item.as_str().expect("a text").to_owned())
                .collect()
        };
        let mut reviewed = BTreeSet::new();
        for rule in configuration["webhooks"][0]["rules"].as_array().expect("rules") {
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    for operation in texts(rule, "operations") {
                        reviewed.insert(format!("{group}/{resource} {operation}"));
                    }
                }
            }
        }
        reviewed
    }

    #[test]
    fn everything_that_runs_images_is_reviewed() {
        let makers = [
            "/podtemplates",
            "/replicationcontrollers",
            "apps/deployments",
            "apps/replicasets",
            "apps/statefulsets",
            "apps/daemonsets",
            "batch/jobs",
            "batch/cronjobs",
        ];
        let pods = ["/pods", "/pods/ephemeralcontainers"];
        let with_operations = |resources: &[&str]| -> BTreeSet<String> {
            let operations =
                |resource: &&str| ["CREATE", "UPDATE"].map(|operation| format!("{resource} {operation}"));
            resources.iter().flat_map(operations).collect()
        };
        let mutating = guard(&[]).configuration(Configuration::Mutating);
        let validating = guard(&[]).configuration(Configuration::Validating);
        assert_eq!(reviewed(&mutating), with_operations(&makers));
        assert_eq!(
            reviewed(&validating),
            with_operations(&[&makers[..], &pods].concat())
        );
    }

    #[test]
    fn custom_resources_are_reviewed_beside_the_others() {
        for which in Configuration::ALL {
            let plain = reviewed(&guard(&[]).configuration(which));
            let mut expected = plain.clone();
            for resource in ["tasks", "taskruns"] {
                expected.extend(
                    ["CREATE", "UPDATE"].map(|operation| format!("tekton.dev/{resource} {operation}")),
                );
            }
            assert_eq!(reviewed(&with_custom().configuration(which)), expected);
        }
        // A rule that was changed is no longer the one that is shipped.
        let shipped = with_custom().configuration(Configuration::Validating);
        for (pointer, value) in [
            ("/webhooks/0/rules/3/operations", json!(["CREATE"])),
            ("/webhooks/0/rules/3/resources", json!(["tasks", "other"])),
            ("/webhooks/0/rules/4/apiGroups", json!(["tekton.dev", "x.y"])),
            ("/webhooks/0/rules/4/scope", json!("Cluster")),
            ("/webhooks/0/rules/4/apiVersions", json!("v1")),
        ] {
            let mut found = shipped.clone();
            *found.pointer_mut(pointer).expect("a field that is shipped") = value;
            let read =
                Guard::of(&with_custom().cluster, Configuration::Validating, &found).expect("it is read");
            let shipped = read.configuration(Configuration::Validating);
            assert!(!differences(&found, &shipped).is_empty(), "{pointer}");
        }
    }

    #[test]
    fn every_weakening_is_a_difference() {
        let shipped = guard(&["binauthz"]).configuration(Configuration::Validating);
        let weakenings: &[(&str, Value)] = &[
            ("/webhooks/0/failurePolicy", json!("Ignore")),
            ("/webhooks/0/matchPolicy", json!("Exact")),
            (
                "/webhooks/0/objectSelector",
                json!({"matchLabels": {"guard": "on"}}),
            ),
            (
                "/webhooks/0/namespaceSelector",
                json!({"matchLabels": {"guard": "on"}}),
            ),
            (
                "/webhooks/0/namespaceSelector/matchExpressions/0/key",
                json!("name"),
            ),
            ("/webhooks/0/rules/0/resources", json!(["pods"])),
            ("/webhooks/0/rules/1/operations/1", json!("CREATE")),
            ("/webhooks/0/rules", json!([])),
            (
                "/webhooks/0/clientConfig/url",
                json!("https://evil.example/allow"),
            ),
            ("/webhooks/0/clientConfig/caBundle", json!("")),
            ("/webhooks/0/timeoutSeconds", json!(1)),
            ("/webhooks", json!([])),
            ("/metadata/annotations", json!({})),
        ];
        for (pointer, value) in weakenings {
            let mut found = shipped.clone();
            *found.pointer_mut(pointer).expect("a field that is shipped") = value.clone();
            assert!(!differences(&found, &shipped).is_empty(), "{pointer}");
        }
        let mut found = shipped.clone();
        found["webhooks"][0]["matchConditions"] = json!([{"name": "x", "expression": "false"}]);
        assert_eq!(
            differences(&found, &shipped),
            [r#"webhooks[0].matchConditions is `[{"expression":"false","name":"x"}]`, shipped is absent"#]
        );
    }

    #[test]
    fn only_the_conditions_that_are_shipped_are_no_gap() {
        let kept = Guard {
            last_known_good: Some("binauthz".to_owned()),
            ..guard(&["binauthz"])
        };
        let shipped = kept.configuration(Configuration::Validating);
        assert!(has_shipped_conditions(&shipped));
        let without = guard(&[]).configuration(Configuration::Validating);
        assert!(!has_shipped_conditions(&without));
        for (pointer, value) in [
            (
                "/webhooks/0/matchConditions",
                json!([{"name": "x", "expression": "false"}]),
            ),
            ("/webhooks/0/matchConditions", json!([])),
            ("/metadata/annotations/binauthz~1last-known-good", json!("other")),
            ("/metadata/annotations/binauthz~1last-known-good", json!("o'ther")),
        ] {
            let mut found = shipped.clone();
            *found.pointer_mut(pointer).expect("a field that is shipped") = value.clone();
            assert!(!has_shipped_conditions(&found), "{value}");
            let read = Guard::of(&kept.cluster, Configuration::Validating, &found).expect("it is read");
            let meant = read.configuration(Configuration::Validating);
            assert!(!differences(&found, &meant).is_empty(), "{value}");
        }
    }

    #[test]
    fn what_install_noted_once_and_does_not_any_more_is_a_difference() {
        let shipped = guard(&[]).configuration(Configuration::Validating);
        for annotation in [INJECTION_ANNOTATION, LAST_KNOWN_GOOD_ANNOTATION] {
            let mut found = shipped.clone();
            found["metadata"]["annotations"][annotation] = json!("old");
            assert_eq!(
                differences(&found, &shipped),
                [format!(
                    "metadata.annotations[{annotation}] is `\"old\"`, shipped is absent"
                )]
            );
        }
    }

    #[test]
    fn what_others_note_is_no_difference() {
        let shipped = guard(&[]).configuration(Configuration::Mutating);
        let mut found = shipped.clone();
        found["metadata"]["uid"] = json!("u");
        found["metadata"]["annotations"]["team"] = json!("platform");
        assert_eq!(differences(&found, &shipped), [""; 0]);
    }

    #[test]
    fn a_selector_of_another_form_is_not_read_as_ours() {
        let other = |selector: Value| exempt_namespaces(&selector);
        assert_eq!(other(json!({})), Some(Vec::new()));
        for selector in [
            json!({"matchLabels": {"x": "y"}}),
            json!({"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "In", "values": ["a"]}]}),
            json!({"matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["a"]}]}),
            json!({"matchExpressions": []}),
        ] {
            assert_eq!(other(selector.clone()), None, "{selector}");
        }
    }

    #[test]
    fn no_label_of_a_user_decides_what_is_guarded() {
        for which in Configuration::ALL {
            let webhook = &guard(&["binauthz"]).configuration(which)["webhooks"][0];
            assert_eq!(webhook["objectSelector"], json!({}));
            let selector = &webhook["namespaceSelector"]["matchExpressions"];
            assert_eq!(selector.as_array().map(Vec::len), Some(1));
            assert_eq!(selector[0]["key"], NAMESPACE_NAME);
            assert_eq!(webhook["failurePolicy"], "Fail");
        }
    }
}
