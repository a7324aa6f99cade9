//! Objects that are tried and never kept: whether the API server reaches the webhook, and whether a Pod that nobody
//! attested is refused.
//!
//! A refusal by Kubernetes is a proof only when it names our webhook: a missing right or a quota refuses too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    api::{Api, ApiError},
    webhooks::{Configuration, Guard, PROBE, PROBE_WEBHOOK, WEBHOOK, is_managed},
};

/// Where objects are tried if nothing else is said: every cluster has it.
pub const CANARY_NAMESPACE: &str = "default";
const NAME: &str = "binauthz-canary";
const LABEL: (&str, &str) = ("binauthz-canary", "probe");
/// No registry has this name (RFC 6761), and nothing has this digest.
pub(crate) const IMAGE: &str =
    "binauthz.invalid/canary@sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// A configuration takes effect within tens of milliseconds, on each of several API servers by itself: 5 s in all.
pub(crate) const POLLS_MAX: u32 = 50;
pub(crate) const POLL_PAUSE: Duration = Duration::from_millis(100);
/// From one try to the next where an answer may take a minute to come.
const PATIENT_PAUSE: Duration = Duration::from_secs(1);

/// What came of an object that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canary {
    /// The webhook denied it, in these words.
    Denied(String),
    /// It would have been created.
    Admitted,
    /// The API server did not get an answer of the webhook, and says why.
    Unanswered(String),
    /// Something else refused it before the webhook was asked.
    Obstructed(String),
}

/// Tries a Pod with an image that nobody attested.
///
/// # Errors
/// [`ApiError`] when there is no answer of an API server.
pub async fn known_bad_pod(api: &Api, namespace: &str) -> Result<Canary, ApiError> {
    try_pod(api, namespace, &pod(namespace)).await
}

/// Tries a Pod, and says what came of it.
///
/// # Errors
/// [`ApiError`] when there is no answer of an API server.
pub async fn try_pod(api: &Api, namespace: &str, pod: &Value) -> Result<Canary, ApiError> {
    let collection = format!("/api/v1/namespaces/{namespace}/pods");
    tried(api.try_create(&collection, pod).await, WEBHOOK)
}

/// The same, when the configuration may not have taken effect everywhere: waits for a denial.
///
/// # Errors
/// [`ApiError`] when there is no answer of an API server.
pub async fn known_bad_pod_denied(api: &Api, namespace: &str) -> Result<Canary, ApiError> {
    let mut found = known_bad_pod(api, namespace).await?;
    for _ in 0..POLLS_MAX {
        if found != Canary::Admitted {
            break;
        }
        tokio::time::sleep(POLL_PAUSE).await;
        found = known_bad_pod(api, namespace).await?;
    }
    Ok(found)
}

/// Why nothing may depend on the webhook yet.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The API server gets no answer, and says why.
    #[error("the API server does not reach the webhook at {endpoint}: {why}")]
    Unanswered {
        /// Where it asks.
        endpoint: String,
        /// In its words.
        why: String,
    },
    /// The API server did not ask.
    #[error("the API server does not reach the webhook at {endpoint}: a probe was not sent to it within 5 s")]
    NotAsked {
        /// Where it should have asked.
        endpoint: String,
    },
    /// Something else refused the probe.
    #[error("whether the API server reaches the webhook could not be tried: {0}")]
    NotTried(String),
    /// The probe's name is taken.
    #[error("there is a ValidatingWebhookConfiguration `binauthz-probe` that is not of this program")]
    NotOurs,
}

/// Proves that the API server reaches the webhook, trusts its certificate and reads its answers, before anything
/// depends on it. An object of a kind that carries no image is denied under every policy, so a denial is what an answer
/// looks like. `patience` is how long no answer is waited for to become one.
///
/// # Errors
/// [`Unreachable`], with the probe removed if that can be done.
pub async fn prove_reachable(api: &Api, guard: &Guard, patience: Duration) -> Result<(), Unreachable> {
    remove_probe(api).await?;
    api.create(
        Configuration::Validating.collection(),
        &guard.probe(LABEL, CANARY_NAMESPACE),
    )
    .await?;
    let answered = answered(api, Instant::now() + patience).await;
    let removed = remove_probe(api).await;
    let endpoint = guard.endpoint.to_string();
    match answered? {
        Canary::Denied(_) => removed,
        Canary::Unanswered(why) => Err(Unreachable::Unanswered { endpoint, why }),
        Canary::Admitted => Err(Unreachable::NotAsked { endpoint }),
        Canary::Obstructed(why) => Err(Unreachable::NotTried(why)),
    }
}

/// Removes the probe of this or an interrupted attempt.
///
/// # Errors
/// [`Unreachable::Api`] when a call failed, [`Unreachable::NotOurs`] when it is somebody else's.
pub async fn remove_probe(api: &Api) -> Result<(), Unreachable> {
    match api.read(PROBE).await? {
        Some(found) if !is_managed(&found) => Err(Unreachable::NotOurs),
        Some(_) => Ok(api.delete(PROBE).await.map(|_was_there| ())?),
        None => Ok(()),
    }
}

async fn answered(api: &Api, patient_until: Instant) -> Result<Canary, ApiError> {
    let collection = format!("/api/v1/namespaces/{CANARY_NAMESPACE}/configmaps");
    let (label, value) = LABEL;
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": CANARY_NAMESPACE, "labels": {label: value}},
    });
    let mut polls = 0;
    loop {
        let found = tried(api.try_create(&collection, &object).await, PROBE_WEBHOOK)?;
        let pause = match &found {
            Canary::Admitted if polls < POLLS_MAX => POLL_PAUSE,
            Canary::Unanswered(_) if Instant::now() < patient_until => PATIENT_PAUSE,
            _ => return Ok(found),
        };
        polls += 1;
        tokio::time::sleep(pause).await;
    }
}

/// What the API server's answer means for the webhook of this name.
fn tried(answer: Result<Value, ApiError>, webhook: &str) -> Result<Canary, ApiError> {
    let message = match answer {
        Ok(_) => return Ok(Canary::Admitted),
        Err(ApiError::Refused { message, .. }) => message,
        Err(error) => return Err(error),
    };
    let after = |words: String| message.split_once(&words).map(|(_, rest)| rest.to_owned());
    if let Some(sentence) = after(format!("admission webhook \"{webhook}\" denied the request: ")) {
        return Ok(Canary::Denied(sentence));
    }
    match after(format!("failed calling webhook \"{webhook}\": ")) {
        Some(why) => Ok(Canary::Unanswered(why)),
        None => Ok(Canary::Obstructed(message)),
    }
}

/// The known-bad Pod: restricted enough for every Pod Security Standard and small enough for every quota, so that its image is the only
/// thing to object to.
#[must_use]
pub fn pod(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "canary",
                "image": IMAGE,
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Result<Value, ApiError> {
        Err(ApiError::Refused {
            http: 400,
            reason: "VIOLATES_POLICY".to_owned(),
            message: message.to_owned(),
        })
    }

    #[test]
    fn only_our_webhook_denies() {
        let denied =
            "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image x";
        let table = [
            (Ok(json!({"kind": "Pod"})), Canary::Admitted),
            (refused(denied), Canary::Denied("Image x".to_owned())),
            (
                refused(
                    "Internal error occurred: failed calling webhook \"imagepolicywebhook.image-policy.k8s.io\": failed to call webhook: Post",
                ),
                Canary::Unanswered("failed to call webhook: Post".to_owned()),
            ),
            (
                refused("admission webhook \"other.example.com\" denied the request: no"),
                Canary::Obstructed(
                    "admission webhook \"other.example.com\" denied the request: no".to_owned(),
                ),
            ),
            (
                refused("pods \"binauthz-canary\" is forbidden: exceeded quota"),
                Canary::Obstructed("pods \"binauthz-canary\" is forbidden: exceeded quota".to_owned()),
            ),
        ];
        for (answer, expected) in table {
            assert_eq!(tried(answer, WEBHOOK).expect("an answer"), expected);
        }
        let broken = Err(ApiError::NotKubernetes {
            server: "s".to_owned(),
            code: 502,
        });
        assert!(tried(broken, WEBHOOK).is_err());
    }
}
