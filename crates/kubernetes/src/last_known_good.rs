//! What may start while no server answers: a ValidatingAdmissionPolicy whose parameter is the list of what runs, and the
//! terms on which it judges in the place of the webhook.
//!
//! Who judges a new Pod or Job is one question to the API server's own authorizer: is the webhook asked about objects of
//! this moment? The webhook's condition takes a yes, the policy's a no, and both ask in the same request, of the same rules.
//! So there is no moment at which neither judges, however late an API server learns of anything. The moments are in a
//! ClusterRole that a server moves on for as long as it is there. An object's moment is its `creationTimestamp`, which the
//! API server sets itself before it asks anybody.

mod conditions;
mod list;
mod objects;
mod terms;

use binauthz_core::time::UnixTime;
use serde_json::{Map, Value, json};

pub(crate) use self::conditions::{mutating, validating};
pub use self::list::{Start, fair_shares, list};
pub use self::objects::LastKnownGood;
use self::objects::{
    BINDINGS, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, POLICIES, ROLE_BINDINGS, list_collection,
};
pub use self::terms::Terms;
use crate::api::{Api, ApiError};
use crate::canary::{CANARY_NAMESPACE, POLL_PAUSE, POLLS_MAX};
use crate::webhooks::{compare, is_managed};

/// Name of the policy, of its binding, of the list, and of the terms.
pub const LAST_KNOWN_GOOD: &str = "binauthz-last-known-good";
/// What a server in the cluster needs to keep them.
pub(crate) const KEEPER: &str = "binauthz-keeper";
/// How the policy says that an image is not on its list.
pub(crate) const UNKNOWN: &str = "no server of binauthz answers, and not last known to be good for ";
/// Never admitted by the policy, at any time: trying it proves that the policy is in force.
pub(crate) const PROBE_IMAGE: &str = "binauthz.invalid/last-known-good@sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// How often terms that somebody else writes at the same time are written again; a server does so twice a minute.
const OVERTAKEN_MAX: u32 = 5;
/// The key that says which list it is; no other key has its form.
pub(crate) const REVISION: &str = "revision";

/// What the policy says of the image that it never admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Force {
    /// It goes by the list of the terms.
    InForce,
    /// It denies, and not by that list.
    OtherList(String),
    /// It does not deny.
    NotInForce,
}

/// Tries the image that the policy never admits, in a dry run. Its refusal comes before the webhook's. What was just
/// written takes a second to be in force, so that is waited for; `enough` says for what.
///
/// # Errors
/// [`ApiError`] when there is no answer of an API server.
pub async fn prove_in_force(
    api: &Api,
    namespace: &str,
    enough: impl Fn(&Force) -> bool,
) -> Result<Force, ApiError> {
    let mut pod = crate::canary::pod(namespace);
    if let Some(image) = pod.pointer_mut("/spec/containers/0/image") {
        *image = json!(PROBE_IMAGE);
    }
    let collection = format!("/api/v1/namespaces/{namespace}/pods");
    let mut force = Force::NotInForce;
    for _ in 0..POLLS_MAX {
        force = match api.try_create(&collection, &pod).await {
            Err(ApiError::Refused { message, .. }) => force_of(&message),
            Ok(_) => Force::NotInForce,
            Err(error) => return Err(error),
        };
        if enough(&force) {
            break;
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
    Ok(force)
}

fn force_of(message: &str) -> Force {
    let words = format!(
        "ValidatingAdmissionPolicy '{LAST_KNOWN_GOOD}' with binding '{LAST_KNOWN_GOOD}' denied request: "
    );
    match message.split_once(&words) {
        Some((_, sentence)) if sentence.starts_with(UNKNOWN) => Force::InForce,
        Some((_, sentence)) => Force::OtherList(sentence.to_owned()),
        None => Force::NotInForce,
    }
}

/// Where policy and binding differ from what is shipped, or are not there.
///
/// # Errors
/// [`ApiError`] when there is no answer, or no right to read them.
pub async fn policy_differences(api: &Api, shipped: &LastKnownGood<'_>) -> Result<Vec<String>, ApiError> {
    let mut differences = Vec::new();
    for (collection, shipped) in [(POLICIES, shipped.policy()), (BINDINGS, shipped.binding())] {
        let found = api.read(&named(collection)).await?;
        let kind = shipped.get("kind").and_then(Value::as_str).unwrap_or_default();
        let found = found.as_ref().and_then(|found| found.get("spec"));
        compare(
            &format!("{kind}.spec"),
            found,
            shipped.get("spec"),
            &mut differences,
        );
    }
    Ok(differences)
}

/// Writes this list where it is another one than is there; the revision of the one that is there then.
///
/// # Errors
/// [`ApiError`] when that is refused or there is no answer.
pub async fn write_list(
    api: &Api,
    namespace: &str,
    entries: Map<String, Value>,
    next_revision: String,
) -> Result<String, ApiError> {
    let collection = list_collection(namespace);
    let path = named(&collection);
    let found = api.read(&path).await?;
    if let Some(revision) = found.as_ref().and_then(|found| revision_of(found, &entries)) {
        return Ok(revision);
    }
    let mut object = objects::list_object(namespace, entries, &next_revision);
    match found {
        None => api.create(&collection, &object).await?,
        Some(found) => {
            let version = found.pointer("/metadata/resourceVersion").cloned();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".to_owned(), version.unwrap_or_default());
            }
            api.replace(&path, &object).await?
        }
    };
    Ok(next_revision)
}

/// The revision of a list with just these entries; none for any other.
fn revision_of(found: &Value, entries: &Map<String, Value>) -> Option<String> {
    let mut data = found.get("data")?.as_object()?.clone();
    let revision = data.remove(REVISION)?;
    let revision = revision.as_str()?;
    // Whoever else wrote there wrote no name of theirs into a role.
    let is_ours = (1..=20).contains(&revision.len()) && revision.bytes().all(|byte| byte.is_ascii_digit());
    (is_ours && data == *entries && is_managed(found)).then(|| revision.to_owned())
}

/// The ClusterRole of the terms, and the terms. None where it is missing.
///
/// # Errors
/// [`ApiError`] when there is no answer, or no right to read it.
pub async fn read_terms(api: &Api) -> Result<Option<(Value, Terms)>, ApiError> {
    let found = api.read(&named(CLUSTER_ROLES)).await?.filter(is_managed);
    Ok(found.map(|found| {
        let terms = Terms::of(&found);
        (found, terms)
    }))
}

/// Writes terms into the ClusterRole that was read, if they are others. The ClusterRole as it is then.
///
/// # Errors
/// [`ApiError`] when that is refused, somebody else was faster, or there is no answer.
pub async fn write_terms(api: &Api, found: Value, terms: &Terms) -> Result<Value, ApiError> {
    if Terms::of(&found) == *terms && found.get("rules") == Some(&terms.rules()) {
        return Ok(found);
    }
    let mut object = found;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("rules".to_owned(), terms.rules());
    }
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let annotations = metadata.map(|metadata| metadata.entry("annotations").or_insert_with(|| json!({})));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        for (key, value) in terms.notes() {
            match value {
                Some(value) => annotations.insert(key.to_owned(), value.into()),
                None => annotations.remove(key),
            };
        }
    }
    api.replace(&named(CLUSTER_ROLES), &object).await
}

/// Changes the terms to others that ask the webhook at every moment, where there are terms: the first step of taking the
/// policy away, and what is done in doubt.
///
/// # Errors
/// [`ApiError`] when that is refused or there is no answer.
pub async fn ask_always(api: &Api, changed: impl FnOnce(&Terms) -> Terms) -> Result<(), ApiError> {
    if let Some((found, terms)) = read_terms(api).await? {
        write_terms(api, found, &changed(&terms).asked_always()).await?;
    }
    Ok(())
}

/// Removes what is there of it and of this program, the binding first, the terms last and only `with_terms`: an API server
/// that still knows the webhook's condition must find that it is asked. One that still knows the binding would refuse
/// everything without the list, so that goes when the policy is seen to judge no more.
///
/// # Errors
/// [`ApiError`] when that is refused or there is no answer.
pub async fn remove(api: &Api, with_terms: bool) -> Result<(), ApiError> {
    let found = match with_terms {
        true => installed(api).await?,
        false => installed_without_terms(api).await?,
    };
    let judged = [named(BINDINGS), named(POLICIES)];
    let mut is_seen_gone = false;
    for (path, object) in found {
        if !judged.contains(&path) && !is_seen_gone {
            let is_gone = |force: &Force| *force == Force::NotInForce;
            prove_in_force(api, CANARY_NAMESPACE, is_gone).await?;
            is_seen_gone = true;
        }
        api.delete_exactly(&path, &without_version(&object)).await?;
    }
    Ok(())
}

/// Puts back what [`remove`] took, in the opposite order; what is there is left alone.
///
/// # Errors
/// [`ApiError`] when that is refused or there is no answer.
pub async fn put_back(api: &Api, removed: &[(String, Value)]) -> Result<(), ApiError> {
    for (path, object) in removed.iter().rev() {
        if api.read(path).await?.is_none() {
            let (collection, _) = path.rsplit_once('/').unwrap_or_default();
            api.create(collection, &as_new(object)).await?;
        }
    }
    Ok(())
}

/// Returns to earlier terms, where the policy is seen to judge: what they leave to it is judged by somebody.
///
/// # Errors
/// [`ApiError`] when that is refused or there is no answer.
pub async fn return_to(api: &Api, earlier: &Terms, now: UnixTime) -> Result<(), ApiError> {
    let judges = |force: &Force| *force != Force::NotInForce;
    if !judges(&prove_in_force(api, CANARY_NAMESPACE, judges).await?) {
        return Ok(());
    }
    for _ in 0..OVERTAKEN_MAX {
        let Some((found, terms)) = read_terms(api).await? else {
            return Ok(());
        };
        match write_terms(api, found, &terms.returned_to(earlier, now)).await {
            Err(ApiError::Refused { http: 409, .. }) => {}
            written => return written.map(|_| ()),
        }
    }
    Ok(())
}

/// What [`remove`] takes when the terms stay.
///
/// # Errors
/// [`ApiError`] when there is no answer, or no right to read it.
pub async fn installed_without_terms(api: &Api) -> Result<Vec<(String, Value)>, ApiError> {
    let terms = [named(CLUSTER_ROLES), named(CLUSTER_ROLE_BINDINGS)];
    let mut found = installed(api).await?;
    found.retain(|(path, _)| !terms.contains(path));
    Ok(found)
}

/// What is there of it and of this program, in the order in which it is removed.
///
/// # Errors
/// [`ApiError`] when there is no answer, or no right to read it.
pub async fn installed(api: &Api) -> Result<Vec<(String, Value)>, ApiError> {
    let binding = api.read(&named(BINDINGS)).await?.filter(is_managed);
    let subject = api.read(&named(CLUSTER_ROLE_BINDINGS)).await?.filter(is_managed);
    let namespace = binding
        .as_ref()
        .and_then(|binding| binding.pointer("/spec/paramRef/namespace")?.as_str())
        .or_else(|| subject.as_ref()?.pointer("/subjects/0/namespace")?.as_str())
        .map(str::to_owned);
    let mut paths = vec![named(BINDINGS), named(POLICIES)];
    if let Some(namespace) = namespace {
        paths.push(named(&list_collection(&namespace)));
        let rights = ["roles", ROLE_BINDINGS];
        paths.extend(
            rights.map(|plural| format!("{}/{KEEPER}", objects::rights_collection(&namespace, plural))),
        );
    }
    paths.extend([CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES].map(|collection| format!("{collection}/{KEEPER}")));
    paths.extend([named(CLUSTER_ROLE_BINDINGS), named(CLUSTER_ROLES)]);
    let mut found = Vec::new();
    for path in paths {
        if let Some(object) = api.read(&path).await?.filter(is_managed) {
            found.push((path, object));
        }
    }
    Ok(found)
}

/// As a plan shows an object.
#[must_use]
pub fn shown(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (kind, name) = (
        text("/kind").unwrap_or_default(),
        text("/metadata/name").unwrap_or_default(),
    );
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Of the same object, whatever was written into it meanwhile.
fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    object
}

/// As it is created: with nothing of the one that was there.
fn as_new(object: &Value) -> Value {
    let mut object = without_version(object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "creationTimestamp", "generation", "managedFields"] {
            metadata.remove(field);
        }
    }
    object
}

fn named(collection: &str) -> String {
    format!("{collection}/{LAST_KNOWN_GOOD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_denial_by_the_list_is_force() {
        let said = |sentence: &str| {
            format!(
                "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'binauthz-last-known-good' with binding \
                 'binauthz-last-known-good' denied request: {sentence}"
            )
        };
        assert_eq!(force_of(&said(&format!("{UNKNOWN}a/b: Image x"))), Force::InForce);
        let other = force_of(&said("failed to configure binding: no params found"));
        assert_eq!(
            other,
            Force::OtherList("failed to configure binding: no params found".to_owned())
        );
        for message in [
            "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image x",
            "ValidatingAdmissionPolicy 'other' with binding 'other' denied request: no server of binauthz answers, and",
            UNKNOWN,
        ] {
            assert_eq!(force_of(message), Force::NotInForce, "{message}");
        }
    }

    #[test]
    fn what_is_put_back_is_the_same_and_new() {
        let found = json!({"metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "t", "managedFields": [], "labels": {"a": "b"}}, "spec": {"c": "d"}});
        let expected = json!({"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"c": "d"}});
        assert_eq!(as_new(&found), expected);
    }

    #[test]
    fn a_list_that_differs_is_another_revision() {
        let entries = |key: &str| Map::from_iter([(key.to_owned(), json!(""))]);
        let found = |revision: Value| {
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "binauthz"}},
                "data": {"0.a": "", REVISION: revision}})
        };
        assert_eq!(
            revision_of(&found(json!("5")), &entries("0.a")),
            Some("5".to_owned())
        );
        assert_eq!(revision_of(&found(json!("5")), &entries("0.b")), None);
        for other in [
            json!("5']"),
            json!(""),
            json!(5),
            json!("1".repeat(21)),
            json!("*"),
        ] {
            assert_eq!(
                revision_of(&found(other.clone()), &entries("0.a")),
                None,
                "{other}"
            );
        }
        let mut unmanaged = found(json!("5"));
        unmanaged["metadata"] = json!({});
        assert_eq!(revision_of(&unmanaged, &entries("0.a")), None);
        assert_eq!(revision_of(&json!({}), &entries("0.a")), None);
    }
}
