//! A server inside of the cluster: the objects it consists of, which are those of the chart, and how they are written,
//! waited for and taken away.

use std::time::Duration;

use binauthz_core::{image::ImageRef, name::ClusterName};
use binauthz_kubernetes::{Api, ApiError, is_managed};
use serde_json::Value;

use super::credentials;
use crate::{failure::Failure, output};

/// Where a server inside of the cluster is.
pub(super) const NAMESPACE: &str = "binauthz";
/// Its webhook, as the API server finds it.
pub(super) const WEBHOOK_SERVICE: &str = "binauthz/binauthz-webhook:8443";
/// Its secrets.
pub(super) const CREDENTIALS: &str = "binauthz-credentials";

/// `deploy/manifests/generate` writes it from the chart.
const MANIFESTS: &str = include_str!("../../../../../deploy/manifests/binauthz.yaml");
/// What stands in it for the image and for the cluster.
const IMAGE: &str =
    "binauthz.invalid/binauthz@sha256:0000000000000000000000000000000000000000000000000000000000000000";
const CLUSTER: &str = "projects/PROJECT/locations/LOCATION/clusters/CLUSTER";
/// The kinds that occur, and where their objects are: the group's path, and the plural.
const KINDS: [(&str, &str, &str); 15] = [
    ("Namespace", "/api/v1", "namespaces"),
    ("Secret", "/api/v1", "secrets"),
    ("ConfigMap", "/api/v1", "configmaps"),
    ("ServiceAccount", "/api/v1", "serviceaccounts"),
    ("PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims"),
    ("Service", "/api/v1", "services"),
    ("NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies"),
    ("PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets"),
    ("Deployment", "/apis/apps/v1", "deployments"),
    ("ClusterRole", RBAC, "clusterroles"),
    ("ClusterRoleBinding", RBAC, "clusterrolebindings"),
    ("Role", RBAC, "roles"),
    ("RoleBinding", RBAC, "rolebindings"),
    (
        "ValidatingAdmissionPolicy",
        ADMISSION,
        "validatingadmissionpolicies",
    ),
    (
        "ValidatingAdmissionPolicyBinding",
        ADMISSION,
        "validatingadmissionpolicybindings",
    ),
];
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Made where they are missing, and neither changed nor taken away: keys and the verdict log are in them.
const KEPT: [&str; 3] = ["Namespace", "Secret", "PersistentVolumeClaim"];
/// What there is to say about it.
pub(super) const LEFT: &str = "left: the Secret binauthz-credentials and the PersistentVolumeClaim binauthz, with every key and record; \
     kubectl delete namespace binauthz removes them";
/// How long what is deleted may stay: a namespace as long as its Pods, which may take 40 s to end.
const GONE: Duration = Duration::from_secs(120);
/// Between two looks at what Kubernetes makes of it.
const PAUSE: Duration = Duration::from_millis(500);

/// What a server in the cluster takes.
pub(super) struct Plan {
    /// What there is to do, in order: the namespace first, the Deployment last.
    pub(super) changes: Vec<Change>,
    /// Whom its webhook's certificate is of: PEM certificates in base64.
    pub(super) authority: String,
    /// Every object as it shall be; of the secrets only those that are made.
    pub(super) manifests: Vec<Value>,
}

/// One object that is to be written.
pub(super) enum Change {
    /// It is not there.
    Create(Value),
    /// It is there, and it is another one.
    Update { from: Value, to: Value },
}

/// Compares a server of this image, for the cluster that it guards, with what is there.
pub(super) async fn plan(api: &Api, image: &ImageRef, cluster: &ClusterName) -> Result<Plan, Failure> {
    let mut manifests = manifests(image, cluster)?;
    let mut changes = Vec::new();
    for object in &manifests {
        changes.extend(change(api, object).await?);
    }
    let authority = match api
        .read(&path_of("Secret", Some(NAMESPACE), CREDENTIALS)?)
        .await?
    {
        Some(found) => authority_of(&found)?,
        None => {
            let secret = credentials::secret(NAMESPACE, CREDENTIALS)?;
            let authority = authority_of(&secret)?;
            // Behind the namespace, where that is made as well.
            let is_first = |kind: &str| usize::from(kind == "Namespace");
            changes.insert(
                changes.first().map_or(0, |change| is_first(change.kind())),
                Change::Create(secret.clone()),
            );
            manifests.insert(
                manifests.first().map_or(0, |object| is_first(kind(object))),
                secret,
            );
            authority
        }
    };
    Ok(Plan {
        changes,
        authority,
        manifests,
    })
}

/// The objects of the chart, with the image and the cluster in them.
fn manifests(image: &ImageRef, cluster: &ClusterName) -> Result<Vec<Value>, Failure> {
    let cluster = cluster.to_string();
    let filled_in = |text: &str| text.replace(IMAGE, image.as_written()).replace(CLUSTER, &cluster);
    let objects = shipped()?.into_iter();
    Ok(objects.map(|object| with_texts(object, &filled_in)).collect())
}

fn shipped() -> Result<Vec<Value>, Failure> {
    let objects = MANIFESTS.split("\n---\n").map(|document| {
        binauthz_wire::yaml::parse(document.as_bytes())
            .map(Value::from)
            .map_err(|error| Failure::usage(format_args!("the manifests: {error}")))
    });
    objects.collect()
}

/// What an object takes to be as it shall be.
pub(super) async fn change(api: &Api, object: &Value) -> Result<Option<Change>, Failure> {
    let path = path(object)?;
    let Some(found) = api.read(&path).await? else {
        return Ok(Some(Change::Create(object.clone())));
    };
    if found.pointer("/metadata/deletionTimestamp").is_some() {
        let (kind, name) = (kind(object), name(object));
        return Err(
            Failure::refused(format_args!("the {kind} `{name}` is just being removed")).advise(format_args!(
                "try again when it is gone: kubectl get {} {name}",
                kind.to_lowercase()
            )),
        );
    }
    if KEPT.contains(&kind(object)) {
        return Ok(None);
    }
    if !is_managed(&found) {
        return Err(Failure::refused(format_args!(
            "the cluster has a {} that `cluster install` did not make",
            shown(object)
        ))
        .advise("where the server came by Helm, name it: --service=NAMESPACE/binauthz-webhook:8443"));
    }
    // The API server says what would come of it, with all that it fills in.
    let tried = api.apply(&path, object, true).await?;
    Ok((essence(&found) != essence(&tried)).then(|| Change::Update {
        from: found,
        to: object.clone(),
    }))
}

impl Change {
    fn object(&self) -> &Value {
        match self {
            Self::Create(object) | Self::Update { to: object, .. } => object,
        }
    }

    fn kind(&self) -> &str {
        kind(self.object())
    }

    /// As the plan shows it.
    pub(super) fn line(&self) -> String {
        let verb = match self {
            Self::Create(_) => "create",
            Self::Update { .. } => "update",
        };
        format!("  {verb} {}", shown(self.object()))
    }

    pub(super) async fn perform(&self, api: &Api) -> Result<(), Failure> {
        let path = path(self.object())?;
        match self {
            // Nobody's secrets are replaced, whoever was first.
            Self::Create(object) if KEPT.contains(&self.kind()) => {
                let (collection, _) = path.rsplit_once('/').unwrap_or_default();
                api.create(collection, object).await?;
            }
            Self::Create(object) | Self::Update { to: object, .. } => {
                api.apply(&path, object, false).await?;
            }
        }
        Ok(())
    }

    /// Also of a change of which nobody knows whether it took effect.
    pub(super) async fn undo(&self, api: &Api) -> Result<(), Failure> {
        let path = path(self.object())?;
        match self {
            Self::Create(_) => {
                api.delete(&path).await?;
                gone(api, &path).await?;
            }
            Self::Update { from, .. } => match api.read(&path).await? {
                Some(found) if essence(&found) == essence(from) => {}
                Some(found) => {
                    let mut back = from.clone();
                    back["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
                    api.replace(&path, &back).await?;
                }
                None => {}
            },
        }
        Ok(())
    }
}

/// Waits until an object that was deleted is not there any more: a namespace goes after everything in it.
async fn gone(api: &Api, path: &str) -> Result<(), Failure> {
    let waited = tokio::time::timeout(GONE, async {
        while api.read(path).await?.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    });
    match waited.await {
        Ok(done) => done.map_err(|error: ApiError| error.into()),
        Err(_) => Err(Failure::refused("it is being removed, and still there")),
    }
}

/// Waits until the replicas answer as ready, all of them as they shall be.
pub(super) async fn await_available(api: &Api, limit: Duration) -> Result<(), Failure> {
    let path = path_of("Deployment", Some(NAMESPACE), "binauthz")?;
    let mut last = Value::Null;
    let waited = tokio::time::timeout(limit, async {
        loop {
            last = api.read(&path).await?.unwrap_or_default();
            if is_available(&last) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    match waited.await {
        Ok(done) => done.map_err(|error: ApiError| error.into()),
        Err(_) => Err(Failure::refused(format_args!(
            "the server is not available after {} s: {}",
            limit.as_secs(),
            why_not(api, &last).await
        ))
        .advise(format_args!(
            "see what became of it: kubectl --namespace={NAMESPACE} describe pods"
        ))),
    }
}

fn is_available(deployment: &Value) -> bool {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64);
    let wanted = number("/spec/replicas");
    wanted.is_some_and(|replicas| replicas > 0)
        && number("/status/observedGeneration") >= number("/metadata/generation")
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|count| number(&format!("/status/{count}")) == wanted)
}

/// What Kubernetes says is in the way: of a container, of a Pod, of the Deployment.
async fn why_not(api: &Api, deployment: &Value) -> String {
    let selector = "labelSelector=app.kubernetes.io%2Fname%3Dbinauthz&limit=50";
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}");
    let pods = api.read(&pods).await.ok().flatten().unwrap_or_default();
    let list = |object: &Value, pointer: &str| -> Vec<Value> {
        object
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let said = |reason: &Value, message: &Value| {
        let words: Vec<&str> = [reason, message].into_iter().filter_map(Value::as_str).collect();
        (!words.is_empty()).then(|| words.join(": "))
    };
    let pods = list(&pods, "/items");
    let containers = pods.iter().flat_map(|pod| list(pod, "/status/containerStatuses"));
    let waiting = containers.filter_map(|status| {
        let waiting = status.pointer("/state/waiting")?;
        said(&waiting["reason"], &waiting["message"])
    });
    let conditions = pods
        .iter()
        .chain([deployment])
        .flat_map(|object| list(object, "/status/conditions"));
    // `ReplicaFailure` says with `True` what others say with `False`.
    let obstacles = conditions.filter(|condition| {
        let is_failure = condition["type"] == "ReplicaFailure";
        condition["status"] == if is_failure { "True" } else { "False" }
    });
    let obstacles = obstacles.filter_map(|condition| said(&condition["reason"], &condition["message"]));
    waiting
        .chain(obstacles)
        .next()
        .unwrap_or_else(|| "Kubernetes does not say why".to_owned())
}

/// The objects of a server that are there, the last to be made first, without those that are kept. None for somebody who
/// may not see them: the webhooks can be removed with fewer rights.
pub(super) async fn installed(api: &Api) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for object in shipped()? {
        if KEPT.contains(&kind(&object)) {
            continue;
        }
        match api.read(&path(&object)?).await {
            Err(ApiError::Refused { http: 403, .. }) => {
                output::note("whether a server runs in the cluster may not be seen with these rights");
                return Ok(Vec::new());
            }
            read => found.extend(read?.filter(is_managed)),
        }
    }
    found.reverse();
    Ok(found)
}

/// Removes one of them, and no other that took its name meanwhile.
pub(super) async fn remove(api: &Api, object: &Value) -> Result<(), Failure> {
    // Its status may have changed since it was read.
    let mut exactly = object.clone();
    exactly["metadata"]["resourceVersion"] = Value::Null;
    api.delete_exactly(&path(object)?, &exactly).await?;
    Ok(())
}

/// As a plan shows an object.
pub(super) fn shown(object: &Value) -> String {
    match namespace(object) {
        Some(namespace) => format!("{} {namespace}/{}", kind(object), name(object)),
        None => format!("{} {}", kind(object), name(object)),
    }
}

/// The object without what every write changes.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

fn with_texts(value: Value, filled_in: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(filled_in(&text)),
        Value::Array(items) => items
            .into_iter()
            .map(|item| with_texts(item, filled_in))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, with_texts(value, filled_in)))
            .collect(),
        other => other,
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn namespace(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

pub(super) fn path(object: &Value) -> Result<String, Failure> {
    path_of(kind(object), namespace(object), name(object))
}

fn path_of(kind: &str, namespace: Option<&str>, name: &str) -> Result<String, Failure> {
    let Some((_, group, plural)) = KINDS.iter().find(|(of, ..)| *of == kind) else {
        return Err(Failure::usage(format_args!(
            "the manifests: `{kind}` is not a known kind"
        )));
    };
    Ok(match namespace {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{group}/{plural}/{name}"),
    })
}

fn authority_of(secret: &Value) -> Result<String, Failure> {
    secret["data"]["authority.pem"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::refused(format_args!(
                "the Secret `{CREDENTIALS}` of namespace `{NAMESPACE}` holds no authority.pem"
            ))
            .advise("remove it where nothing was sealed with its master.key yet, or add the authority")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifests_are_those_of_one_namespace_and_the_names_are_filled_in() {
        let image = "registry.example/binauthz:1".parse().expect("an image");
        let cluster = "projects/p/locations/l/clusters/c".parse().expect("a name");
        let objects = manifests(&image, &cluster).expect("the manifests can be read");
        let kinds: Vec<&str> = objects.iter().map(kind).collect();
        assert_eq!(
            (kinds.first(), kinds.last()),
            (Some(&"Namespace"), Some(&"Deployment"))
        );
        for object in &objects {
            let path = path(object).expect("a path");
            let rights = ["Role", "RoleBinding"].contains(&kind(object));
            let namespace = if rights {
                "/namespaces/default/"
            } else {
                "/namespaces/binauthz"
            };
            assert!(
                path.contains(namespace) || path.contains("/clusterrole"),
                "{path}"
            );
            assert!(is_managed(object), "{object:#}");
            assert_eq!(object["apiVersion"], path_version(&path), "{path}");
            let text = object.to_string();
            assert!(!text.contains("invalid") && !text.contains("PROJECT"), "{text}");
        }
        let all = json!(objects).to_string();
        assert!(all.contains("registry.example/binauthz:1"), "{all}");
        assert!(all.contains("- projects/p/locations/l/clusters/c"), "{all}");
        assert!(
            all.contains(&format!("\"secretName\":\"{CREDENTIALS}\"")),
            "{all}"
        );
    }

    /// `/api/v1/…` is `v1`, `/apis/apps/v1/…` is `apps/v1`.
    fn path_version(path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["", "api", version, ..] => (*version).to_owned(),
            ["", "apis", group, version, ..] => format!("{group}/{version}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn available_is_what_was_observed_updated_and_counted() {
        let deployment = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        });
        assert!(is_available(&deployment));
        for (pointer, value) in [
            ("/metadata/generation", json!(3)),
            ("/spec/replicas", json!(0)),
            ("/spec/replicas", json!(2)),
            ("/status/replicas", json!(2)),
            ("/status/updatedReplicas", json!(0)),
            ("/status/availableReplicas", Value::Null),
        ] {
            let mut other = deployment.clone();
            *other.pointer_mut(pointer).expect("it is there") = value;
            assert!(!is_available(&other), "{pointer}");
        }
        assert!(!is_available(&Value::Null));
    }

    #[test]
    fn what_every_write_changes_is_no_change() {
        let found = json!({"metadata": {"resourceVersion": "1", "managedFields": [1], "generation": 1}, "spec": 1, "status": 1});
        let same =
            json!({"metadata": {"resourceVersion": "2", "managedFields": [2], "generation": 2}, "spec": 1});
        assert_eq!(essence(&found), essence(&same));
        assert_ne!(essence(&found), essence(&json!({"metadata": {}, "spec": 2})));
    }

    #[test]
    fn a_secret_without_an_authority_is_refused() {
        assert!(authority_of(&json!({"data": {}})).is_err());
        assert_eq!(
            authority_of(&json!({"data": {"authority.pem": "QQ=="}}))
                .ok()
                .as_deref(),
            Some("QQ==")
        );
    }
}
