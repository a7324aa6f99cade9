//! The objects of it, as `install` writes them. The policy and its binding are never changed after that; the list and the
//! terms are a server's.

use serde_json::{Map, Value, json};

use super::conditions::{self, is_permitted};
use super::terms::{GROUP, HOUR_SECONDS, HOURS, LISTS, Terms};
use super::{KEEPER, LAST_KNOWN_GOOD, REVISION, UNKNOWN};
use crate::webhooks::{MANAGED_BY, NAME, namespace_selector, rule};

const ADMISSION: &str = "admissionregistration.k8s.io/v1";
const AUTHORIZATION: &str = "rbac.authorization.k8s.io/v1";
pub(super) const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
pub(super) const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
pub(super) const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
pub(super) const CLUSTER_ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
pub(super) const ROLE_BINDINGS: &str = "rolebindings";

/// What starts in a cluster while no server answers.
#[derive(Debug, Clone, Copy)]
pub struct LastKnownGood<'a> {
    /// Where the list is. Whoever may write ConfigMaps there decides what starts.
    pub namespace: &'a str,
    /// Namespaces that are not guarded.
    pub exempt: &'a [String],
}

impl LastKnownGood<'_> {
    /// What is there from the beginning, and a server's from then on: the list, and the terms.
    #[must_use]
    pub fn kept(&self) -> [Value; 2] {
        [
            list_object(self.namespace, Map::new(), "0"),
            role(LAST_KNOWN_GOOD, Terms::none().rules()),
        ]
    }

    /// What is the same at all times, in the order in which it is written. A policy without its list denies everything.
    #[must_use]
    pub fn objects(&self) -> [Value; 3] {
        [
            role_binding(LAST_KNOWN_GOOD, (self.namespace, LAST_KNOWN_GOOD)),
            self.policy(),
            self.binding(),
        ]
    }

    /// What a server in this namespace needs, as the service account that the chart makes for it. To write the terms it
    /// must hold what they permit, which is nothing of any API.
    #[must_use]
    pub fn rights(&self) -> [Value; 4] {
        let named = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "resourceNames": [LAST_KNOWN_GOOD], "verbs": verbs});
        let any = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        let admission = "admissionregistration.k8s.io";
        let everywhere = json!([
            any("", "pods", &["list"]),
            named(admission, "validatingadmissionpolicies", &["get"]),
            named(admission, "validatingadmissionpolicybindings", &["get"]),
            named("rbac.authorization.k8s.io", "clusterroles", &["get", "update"]),
            any(GROUP, super::terms::MOMENTS, &[super::terms::ASK]),
            any(GROUP, LISTS.0, &[LISTS.1]),
            any(GROUP, HOURS.0, &[HOURS.1]),
        ]);
        let here = json!([
            named("", "configmaps", &["get", "update"]),
            any("", "configmaps", &["create"])
        ]);
        let in_namespace = |mut object: Value, kind: &str| {
            object["kind"] = json!(kind);
            object["metadata"]["namespace"] = json!(self.namespace);
            object
        };
        let mut binding = in_namespace(role_binding(KEEPER, (self.namespace, NAME)), "RoleBinding");
        binding["roleRef"]["kind"] = json!("Role");
        [
            role(KEEPER, everywhere),
            role_binding(KEEPER, (self.namespace, NAME)),
            in_namespace(role(KEEPER, here), "Role"),
            binding,
        ]
    }

    pub(super) fn policy(&self) -> Value {
        let created = |group: &str, resource: &str| rule(group, &["v1"], &[resource], &["CREATE"]);
        let variables = VARIABLES.map(|(name, expression)| json!({"name": name, "expression": expression}));
        json!({
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": LAST_KNOWN_GOOD, "labels": {MANAGED_BY: NAME}},
            "spec": {
                "failurePolicy": "Fail",
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": namespace_selector(self.exempt),
                    "objectSelector": {},
                    "resourceRules": [created("", "pods"), created("batch", "jobs")],
                },
                "matchConditions": [{"name": LAST_KNOWN_GOOD, "expression": conditions::policy(self.namespace)}],
                "variables": variables,
                "validations": self.validations(),
            },
        })
    }

    /// What must hold, the first that does not being the one that is said. Each asks the authorizer once: two such
    /// questions in one expression come near to what an API server lets an expression cost.
    fn validations(&self) -> Value {
        let revision = format!("params.data['{REVISION}']");
        let counts = is_permitted(self.namespace, LISTS, &revision);
        let hour = format!("string(int(timestamp(object.metadata.creationTimestamp)) / {HOUR_SECONDS})");
        json!([
            {
                "expression": format!("has(params.data) && '{REVISION}' in params.data && {counts}"),
                "message": "no server of binauthz answers, and this is not the list that was written last",
                "reason": "Forbidden",
            },
            {
                "expression": is_permitted(self.namespace, HOURS, &hour),
                "message": "no server of binauthz answers, and what was last known to be good is too old",
                "reason": "Forbidden",
            },
            {
                "expression": "size(variables.images) > 0 && size(variables.unknown) == 0",
                "message": "no server of binauthz answers, and its images are not last known to be good",
                "messageExpression": format!(
                    "'{UNKNOWN}' + request.namespace + '/' + variables.account + ': Image ' + \
                     variables.unknown.join(', ')"
                ),
                "reason": "Forbidden",
            },
        ])
    }

    pub(super) fn binding(&self) -> Value {
        json!({
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": LAST_KNOWN_GOOD, "labels": {MANAGED_BY: NAME}},
            "spec": {
                "policyName": LAST_KNOWN_GOOD,
                "paramRef": {"name": LAST_KNOWN_GOOD, "namespace": self.namespace, "parameterNotFoundAction": "Deny"},
                "validationActions": ["Deny", "Audit"],
            },
        })
    }
}

/// A list with its revision.
pub(super) fn list_object(namespace: &str, mut data: Map<String, Value>, revision: &str) -> Value {
    data.insert(REVISION.to_owned(), json!(revision));
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": LAST_KNOWN_GOOD, "namespace": namespace, "labels": {MANAGED_BY: NAME}},
        "data": data,
    })
}

pub(super) fn list_collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

pub(super) fn rights_collection(namespace: &str, plural: &str) -> String {
    format!("/apis/{AUTHORIZATION}/namespaces/{namespace}/{plural}")
}

fn role(name: &str, rules: Value) -> Value {
    json!({
        "apiVersion": AUTHORIZATION,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {MANAGED_BY: NAME}},
        "rules": rules,
    })
}

/// Of the ClusterRole of this name, to a service account.
fn role_binding(name: &str, (namespace, account): (&str, &str)) -> Value {
    json!({
        "apiVersion": AUTHORIZATION,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": {MANAGED_BY: NAME}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    })
}

/// The same as the keys of the list, in CEL, for every image of the object. An account that is not in the list has the scope `-`,
/// which no key has.
const VARIABLES: [(&str, &str); 5] = [
    (
        "spec",
        "request.resource.resource == 'pods' ? object.spec : object.spec.template.spec",
    ),
    (
        "images",
        "variables.spec.containers.map(c, c.image) + \
         (has(variables.spec.initContainers) ? variables.spec.initContainers.map(c, c.image) : []) + \
         (has(variables.spec.volumes) ? variables.spec.volumes.filter(v, has(v.image))\
         .map(v, has(v.image.reference) ? v.image.reference : '') : [])",
    ),
    (
        "account",
        "has(variables.spec.serviceAccountName) && variables.spec.serviceAccountName != '' ? \
         variables.spec.serviceAccountName : 'default'",
    ),
    (
        "scope",
        "has(params.data) && ('s.' + request.namespace + '.' + variables.account) in params.data ? \
         params.data['s.' + request.namespace + '.' + variables.account] : '-'",
    ),
    (
        "unknown",
        "variables.images.filter(i, variables.scope == '-' || !((i.matches('^[^@]+@sha256:[0-9a-f]{64}$') ? \
         variables.scope + '.' + i.substring(size(i) - 64) : variables.scope + '_' + \
         i.replace('_', '_u').replace('/', '_s').replace(':', '_c').replace('@', '_a')) in params.data))",
    ),
];
