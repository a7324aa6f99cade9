//! One request of a measurement, by either way, and whether its answer is what it should be.

use std::{path::Path, sync::Arc};

use binauthz_kubernetes::{
    Api, ApiError, Canary,
    transport::{Answer, Transport, TransportError},
    try_pod,
};
use binauthz_wire::manifest;
use reqwest::Method;
use serde_json::{Value, json};

use super::Expected;
use crate::{commands::files, failure::Failure, load::Fault, output::plain};

/// Of somebody else's text, so much is an example.
const EXAMPLE_LETTERS: usize = 300;
/// In the place of which the number of a request is written.
const NUMBER: &str = "000000000000";
const UID: &str = "00000000-0000-4000-8000-000000000000";
/// An address of the webhook's listener that is none.
const NOWHERE: &str = "/";
/// What it is answered with.
const NOT_FOUND: u16 = 404;

/// The Pod that is asked about.
#[derive(Debug, Clone)]
pub(super) struct Pod(Value);

impl Pod {
    /// The only object of a file.
    pub(super) fn read(path: &Path) -> Result<Pod, Failure> {
        let unusable =
            |why: &dyn std::fmt::Display| Failure::usage(format_args!("`{}`: {why}", path.display()));
        let manifests = manifest::read(&files::read(path)?).map_err(|error| unusable(&error))?;
        let [manifest] = manifests.as_slice() else {
            return Err(unusable(&"expected one object, a Pod"));
        };
        if manifest.kind().kind != "Pod" {
            let found = &manifest.kind().kind;
            return Err(unusable(&format_args!("expected a Pod, not a {found}"))
                .advise("a Pod with the template of the workload is what its controller creates"));
        }
        let mut pod: Value = serde_json::from_str(manifest.json()).map_err(|error| unusable(&error))?;
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or_else(|| unusable(&"`metadata`: expected an object"))?;
        if !metadata.contains_key("name") {
            metadata.insert("generateName".to_owned(), "binauthz-bench-".into());
        }
        Ok(Pod(pod))
    }

    /// A small one with this image, or with one that nobody attested.
    pub(super) fn of_image(image: Option<&str>) -> Pod {
        let mut pod = binauthz_kubernetes::pod("default");
        if let (Some(image), Some(place)) = (image, pod.pointer_mut("/spec/containers/0/image")) {
            *place = image.into();
        }
        Pod(pod)
    }

    /// The same in a namespace.
    pub(super) fn within(&self, namespace: &str) -> Value {
        let mut pod = self.0.clone();
        if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        pod
    }
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// In these words.
    Denied(String),
}

/// How it is asked.
#[derive(Debug, Clone)]
pub(super) struct Way {
    asks: Asks,
    expected: Expected,
}

#[derive(Debug, Clone)]
enum Asks {
    /// A review, to the webhook itself.
    Webhook {
        transport: Transport,
        path: Arc<str>,
        review: Arc<str>,
    },
    /// The same bytes to where nobody judges them.
    Nowhere { transport: Transport, review: Arc<str> },
    /// A Pod in dry run, to the API server.
    Kubernetes {
        api: Arc<Api>,
        namespace: Arc<str>,
        pod: Arc<Value>,
        is_guarded: bool,
    },
}

impl Way {
    /// To the webhook, for a cluster's address, and past it.
    pub(super) fn webhook(transport: Transport, path: &str, namespace: &str, pod: &Pod) -> (Way, Way) {
        let review: Arc<str> = review(namespace, pod).to_string().into();
        let nowhere = Asks::Nowhere {
            transport: transport.clone(),
            review: Arc::clone(&review),
        };
        let webhook = Asks::Webhook {
            transport,
            path: path.into(),
            review,
        };
        (Way::new(nowhere), Way::new(webhook))
    }

    /// Through an API server, into a namespace that the webhook guards, or one that it does not.
    pub(super) fn kubernetes(api: &Arc<Api>, (namespace, is_guarded): (&str, bool), pod: &Pod) -> Way {
        Way::new(Asks::Kubernetes {
            api: Arc::clone(api),
            namespace: namespace.into(),
            pod: Arc::new(pod.within(namespace)),
            is_guarded,
        })
    }

    fn new(asks: Asks) -> Way {
        let expected = Expected::Admitted;
        Way { asks, expected }
    }

    /// With another verdict expected than an admission.
    pub(super) fn expecting(&self, expected: Expected) -> Way {
        let asks = self.asks.clone();
        Way { asks, expected }
    }

    /// Who is asked.
    pub(super) fn target(&self) -> String {
        match &self.asks {
            Asks::Webhook { transport, .. } | Asks::Nowhere { transport, .. } => {
                transport.server().to_owned()
            }
            Asks::Kubernetes { api, namespace, .. } => format!("{}, namespace {namespace}", api.server()),
        }
    }

    /// The verdict on the first request, or why there cannot be a measurement.
    pub(super) async fn tried(&self) -> Result<Verdict, Failure> {
        self.verdict(0).await.map_err(|fault| {
            let failure = Failure::usage(&fault.sentence);
            match &self.asks {
                Asks::Webhook { .. } | Asks::Nowhere { .. } => failure
                    .advise("--webhook-url is the webhook's address, and --ca-file has the authority of its certificate")
                    .advise("where the webhook demands client certificates: --client-certificate=FILE"),
                Asks::Kubernetes { namespace, .. } => failure.advise(format_args!(
                    "the user of --context must be allowed to create Pods in namespace {namespace}"
                )),
            }
        })
    }

    /// Asks, and says what is wrong with the answer.
    pub(super) async fn ask(&self, number: u64) -> Result<(), Fault> {
        let verdict = self.verdict(number).await?;
        let sentence = match (verdict, self.expected) {
            (Verdict::Admitted, Expected::Admitted) | (Verdict::Denied(_), Expected::Denied) => return Ok(()),
            (Verdict::Admitted, Expected::Denied) => "admitted what was denied before".to_owned(),
            (Verdict::Denied(message), Expected::Admitted) => format!("denied: {message}"),
        };
        Err(fault("wrong verdict", &sentence))
    }

    async fn verdict(&self, number: u64) -> Result<Verdict, Fault> {
        match &self.asks {
            Asks::Webhook {
                transport,
                path,
                review,
            } => {
                let (review, uid) = numbered(review, number);
                verdict(&post(transport, path, review).await?, &uid)
            }
            Asks::Nowhere { transport, review } => {
                let (review, _) = numbered(review, number);
                let answer = post(transport, NOWHERE, review).await?;
                match answer.code {
                    NOT_FOUND => Ok(Verdict::Admitted),
                    _ => Err(unexpected(&answer)),
                }
            }
            Asks::Kubernetes {
                api,
                namespace,
                pod,
                is_guarded,
            } => created(try_pod(api, namespace, pod).await, *is_guarded),
        }
    }
}

/// What the API server's answer means. Where the webhook is not asked, a denial by it shows that it was.
fn created(answer: Result<Canary, ApiError>, is_guarded: bool) -> Result<Verdict, Fault> {
    match answer {
        Ok(Canary::Admitted) => Ok(Verdict::Admitted),
        Ok(Canary::Denied(message)) if is_guarded => Ok(Verdict::Denied(message)),
        Ok(Canary::Denied(message)) => Err(fault(
            "not exempt",
            &format!("the webhook was asked about a namespace that should be exempt from it: {message}"),
        )),
        Ok(Canary::Unanswered(why)) => Err(fault("webhook not reached", &why)),
        Ok(Canary::Obstructed(why)) => Err(fault("refused by Kubernetes", &why)),
        Err(error) => Err(fault("no answer", &error.to_string())),
    }
}

async fn post(transport: &Transport, path: &str, review: String) -> Result<Answer, Fault> {
    let failed = |error: TransportError| fault("no answer", &error.to_string());
    let request = transport.request(Method::POST, path).map_err(failed)?;
    let request = request.header("content-type", "application/json").body(review);
    transport.send(request).await.map_err(failed)
}

/// What an answer to a review says.
fn verdict(answer: &Answer, uid: &str) -> Result<Verdict, Fault> {
    let review: Option<Value> = serde_json::from_slice(&answer.bytes)
        .ok()
        .filter(|_| answer.code == 200);
    let response = review.as_ref().and_then(|review| review.get("response"));
    let Some(response) = response else {
        return Err(unexpected(answer));
    };
    if response.get("uid").and_then(Value::as_str) != Some(uid) {
        return Err(fault("wrong answer", "the answer is to another request"));
    }
    match response.get("allowed") {
        Some(Value::Bool(true)) => Ok(Verdict::Admitted),
        Some(Value::Bool(false)) => {
            let message = response.pointer("/status/message").and_then(Value::as_str);
            Ok(Verdict::Denied(short(message.unwrap_or_default())))
        }
        _ => Err(unexpected(answer)),
    }
}

fn unexpected(answer: &Answer) -> Fault {
    let text = String::from_utf8_lossy(&answer.bytes);
    let kind = format!("HTTP {}", answer.code);
    fault(
        &kind,
        &format!("the answer was {kind}, without a verdict: {text}"),
    )
}

fn fault(kind: &str, sentence: &str) -> Fault {
    Fault {
        kind: kind.to_owned(),
        sentence: short(sentence),
    }
}

/// Safe and short enough for a line.
fn short(text: &str) -> String {
    plain(&text.chars().take(EXAMPLE_LETTERS).collect::<String>())
}

/// The review of a Pod's creation in dry run.
fn review(namespace: &str, pod: &Pod) -> Value {
    let pod = pod.within(namespace);
    let name = pod.pointer("/metadata/name").cloned();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": name.unwrap_or_else(|| "".into()),
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "binauthz-bench", "groups": ["system:authenticated"]},
            "object": pod,
            "oldObject": null,
            "dryRun": true,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]},
        },
    })
}

/// A review with a uid of its own, which the answer must repeat.
fn numbered(review: &str, number: u64) -> (String, String) {
    let uid = UID.replacen(NUMBER, &format!("{:012x}", number & 0xffff_ffff_ffff), 1);
    (review.replacen(UID, &uid, 1), uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, text: &str) -> Answer {
        Answer {
            code,
            time: None,
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_an_answer_to_the_question_is_a_verdict() {
        let (_, uid) = numbered(UID, 7);
        assert_eq!(uid, "00000000-0000-4000-8000-000000000007");
        let of = |rest: &str| answer(200, &format!(r#"{{"response":{{"uid":"{uid}"{rest}}}}}"#));
        assert_eq!(verdict(&of(r#","allowed":true"#), &uid), Ok(Verdict::Admitted));
        assert_eq!(
            verdict(&of(r#","allowed":false,"status":{"message":"no"}"#), &uid),
            Ok(Verdict::Denied("no".to_owned()))
        );
        for (wrong, kind) in [
            (of(""), "HTTP 200"),
            (of(r#","allowed":"true""#), "HTTP 200"),
            (answer(200, "{}"), "HTTP 200"),
            (answer(200, "not JSON"), "HTTP 200"),
            (answer(503, r#"{"response":{"allowed":true}}"#), "HTTP 503"),
            (
                answer(200, r#"{"response":{"uid":"other","allowed":true}}"#),
                "wrong answer",
            ),
            (answer(200, r#"{"response":{"allowed":true}}"#), "wrong answer"),
        ] {
            let fault = verdict(&wrong, &uid).expect_err("no verdict");
            assert_eq!(fault.kind, kind, "{wrong:?}");
        }
    }

    #[test]
    fn what_kubernetes_says_is_a_verdict_where_the_webhook_gave_it() {
        let denied = || Ok(Canary::Denied("no".to_owned()));
        assert_eq!(created(Ok(Canary::Admitted), true), Ok(Verdict::Admitted));
        assert_eq!(created(denied(), true), Ok(Verdict::Denied("no".to_owned())));
        let kind = |answer, is_guarded| created(answer, is_guarded).expect_err("no verdict").kind;
        assert_eq!(kind(denied(), false), "not exempt");
        assert_eq!(
            kind(Ok(Canary::Unanswered("x".to_owned())), true),
            "webhook not reached"
        );
        assert_eq!(
            kind(Ok(Canary::Obstructed("quota".to_owned())), true),
            "refused by Kubernetes"
        );
        let broken = ApiError::NotKubernetes {
            server: "s".to_owned(),
            code: 502,
        };
        assert_eq!(kind(Err(broken), true), "no answer");
    }

    #[test]
    fn a_review_is_of_a_dry_run_with_its_own_number() {
        let pod = Pod::of_image(Some("r.test/a:1"));
        let (text, uid) = numbered(&review("payments", &pod).to_string(), 255);
        let review: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(review["request"]["uid"], uid.as_str());
        assert!(uid.ends_with("0000000000ff"), "{uid}");
        assert_eq!(review["request"]["dryRun"], true);
        assert_eq!(review["request"]["object"]["metadata"]["namespace"], "payments");
        assert_eq!(
            review["request"]["object"]["spec"]["containers"][0]["image"],
            "r.test/a:1"
        );
    }

    #[test]
    fn a_file_holds_one_pod() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pod.yaml");
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: b}}\nspec: {containers: [{name: c, image: i}]}\n";
        std::fs::write(&path, pod).expect("written");
        let read = Pod::read(&path).expect("a Pod").within("n");
        assert_eq!(read["metadata"]["generateName"], "binauthz-bench-");
        let deployment = pod
            .replace("kind: Pod", "kind: Deployment")
            .replace("v1", "apps/v1");
        for (text, part) in [
            (format!("{pod}---\n{pod}"), "expected one object"),
            (deployment, "expected a Pod, not a Deployment"),
            ("kind: [".to_owned(), "pod.yaml"),
        ] {
            std::fs::write(&path, text).expect("written");
            let failure = Pod::read(&path).expect_err("not one Pod");
            assert!(failure.sentence().contains(part), "{failure}");
        }
    }
}
