//! What cannot be provoked from outside: a panic, an overload, no time left. Everything here is the real thing but for
//! one collaborator that is broken on purpose.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::decision::Reason;
use binauthz_core::time::UnixTime;
use binauthz_core::workload::BreakGlass;
use binauthz_store::Store;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::about::About;
use super::judge::{Judged, Question};
use super::*;
use crate::listen::{self, Limits, Listener, Peer, Trigger};
use crate::settings::{Flags, Settings};

const PATH: &str = "projects/p/locations/us-central1-a/clusters/c?timeout=10s";

struct Running {
    url: String,
    app: Arc<App>,
    _trigger: Trigger,
    folder: tempfile::TempDir,
}

async fn start(break_it: impl FnOnce(&mut App)) -> Running {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        data_dir: folder.path().to_owned(),
        dev: true,
        ..Flags::default()
    };
    let mut app = crate::run::build(Settings::new(flags).unwrap()).await.unwrap();
    break_it(&mut app);
    let app = Arc::new(app);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None, Limits::default())
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_address().unwrap());
    let (trigger, shutdown) = listen::shutdown();
    let served = Arc::clone(&app);
    let make = move |peer: &Peer| {
        let (app, peer) = (Arc::clone(&served), peer.clone());
        service_fn(move |request: Request<Incoming>| {
            let (app, peer) = (Arc::clone(&app), peer.clone());
            async move {
                let path = request.uri().path();
                Ok::<_, Infallible>(if path.starts_with("/admit/") || path.starts_with("/mutate/") {
                    handle(&app, &peer, request)
                        .await
                        .map(http_body_util::Either::Left)
                } else {
                    crate::control::handle(&app, request).await
                })
            }
        })
    };
    tokio::spawn(listen::serve(listener, make, shutdown));
    Running {
        url,
        app,
        _trigger: trigger,
        folder,
    }
}

macro_rules! pgp {
    ($file:literal) => {
        include_str!(concat!("../../../core/tests/fixtures/pgp/", $file))
    };
}

impl Running {
    /// Calls the management API as its administrator.
    async fn call(&self, method: http::Method, path: &str, body: Value) -> Value {
        let token = std::fs::read_to_string(self.folder.path().join("admin.token")).unwrap();
        let request = reqwest::Client::new()
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token.trim());
        let answer = request.json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A cluster and a policy that requires attestations by one OpenPGP key; gives the image it signed for.
    async fn under_openpgp(&self) -> String {
        let cluster = json!({ "cluster": {
            "name": "c", "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" } } });
        let attestor = json!({ "name": "projects/p/attestors/a", "userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/n",
            "publicKeys": [{ "asciiArmoredPgpPublicKey": pgp!("attached/key.asc") }] } });
        let policy = json!({ "defaultAdmissionRule": {
            "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
            "requireAttestationsBy": ["projects/p/attestors/a"] } });
        let note = json!({ "attestation": { "hint": { "humanReadableName": "n" } } });
        let post = http::Method::POST;
        self.call(
            post.clone(),
            "/v1/projects/p/locations/us-central1-a/clusters",
            cluster,
        )
        .await;
        self.call(post.clone(), "/v1/projects/p/notes?noteId=n", note)
            .await;
        self.call(post, "/v1/projects/p/attestors?attestorId=a", attestor)
            .await;
        self.call(http::Method::PUT, "/v1/projects/p/policy", policy)
            .await;
        let payload: Value = serde_json::from_str(pgp!("payload.json")).unwrap();
        let digest = payload["critical"]["image"]["docker-manifest-digest"]
            .as_str()
            .unwrap();
        format!("registry.test/app/web@{digest}")
    }

    async fn attest_by_openpgp(&self, image: &str, message: &str) {
        let certificate =
            binauthz_core::signature::pgp::Certificate::from_armored(pgp!("attached/key.asc")).unwrap();
        let occurrence = json!({
            "noteName": "projects/p/notes/n", "resourceUri": format!("https://{image}"),
            "attestation": {
                "serializedPayload": STANDARD.encode(pgp!("payload.json")),
                "signatures": [{ "publicKeyId": certificate.fingerprint(), "signature": STANDARD.encode(message) }],
            },
        });
        self.call(http::Method::POST, "/v1/projects/p/occurrences", occurrence)
            .await;
    }

    /// Whether a Pod of this image may run.
    async fn admits(&self, image: &str) -> bool {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Pod" }, "operation": "CREATE",
                "namespace": "default", "object": {
                    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
                    "spec": { "containers": [{ "name": "c", "image": image }] },
                },
            },
        });
        self.post(&review).await["response"]["allowed"].as_bool().unwrap()
    }

    /// The reply to a Pod's creation, and what was recorded of it.
    async fn pod(&self, break_glass: bool) -> (Value, Value) {
        let labels = if break_glass {
            json!({ "image-policy.k8s.io/break-glass": "true" })
        } else {
            json!({})
        };
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Pod" }, "operation": "CREATE",
                "namespace": "default", "object": {
                    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "labels": labels },
                    "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
                },
            },
        });
        let reply = self.post(&review).await;
        (reply, records(self).pop().unwrap_or(Value::Null))
    }

    async fn post(&self, review: &Value) -> Value {
        self.post_to(PATH, review).await
    }

    async fn post_to(&self, path: &str, review: &Value) -> Value {
        let url = format!("{}/admit/{path}", self.url);
        let answer = reqwest::Client::new()
            .post(url)
            .json(review)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    async fn assert_verdicts(&self, code: &str) {
        let (reply, record) = self.pod(false).await;
        assert_eq!(
            (&reply["response"]["allowed"], &reply["response"]["uid"]),
            (&json!(false), &json!("u")),
            "{reply}"
        );
        assert_eq!(
            (&record["verdict"], &record["reason"]),
            (&json!("DENY"), &json!(code))
        );
        let (reply, record) = self.pod(true).await;
        assert_eq!(reply["response"]["allowed"], true, "{reply}");
        assert_eq!(
            (&record["effect"], &record["reason"]),
            (&json!("BREAK_GLASS"), &json!(code))
        );
    }
}

#[tokio::test]
async fn a_panic_is_a_denial_and_the_server_lives() {
    static TICK: AtomicBool = AtomicBool::new(false);
    // Judging reads the clock once, recording a second time.
    fn every_other_reading_panics() -> UnixTime {
        assert!(TICK.fetch_xor(true, Ordering::Relaxed), "a defect");
        UnixTime::from_seconds(1_800_000_000)
    }
    let running = start(|app| app.clock = every_other_reading_panics).await;
    running.assert_verdicts("INTERNAL").await;
    running.assert_verdicts("INTERNAL").await;
    assert!(running.app.counters.singles().contains(&("panics", 4)));
}

#[tokio::test]
async fn a_panic_outside_of_the_judging_is_no_answer_and_the_server_lives() {
    fn never() -> UnixTime {
        panic!("a defect")
    }
    let running = start(|app| app.clock = never).await;
    for _ in 0..2 {
        let url = format!("{}/admit/{PATH}", running.url);
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Foo" }, "operation": "CREATE", "object": {} },
        });
        let answer = reqwest::Client::new()
            .post(url)
            .json(&review)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "which closes, by the failure policy"
        );
    }
}

#[tokio::test]
async fn an_attestation_that_ends_leaves_room_for_another_that_does_not() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    fn moved() -> UnixTime {
        UnixTime::from_seconds(NOW.load(Ordering::SeqCst))
    }
    /// 365 days after 2026-02-01.
    const END: i64 = 1_801_440_000;
    for lasting in [true, false] {
        NOW.store(END - 60, Ordering::SeqCst);
        let running = start(|app| app.clock = moved).await;
        let image = running.under_openpgp().await;
        if lasting {
            running
                .attest_by_openpgp(&image, pgp!("attached/message.asc"))
                .await;
        }
        // The newer one is found first and is all that is remembered.
        running
            .attest_by_openpgp(&image, pgp!("signature-expires-later/message.asc"))
            .await;
        for _ in 0..2 {
            assert!(running.admits(&image).await, "cold, then warm");
        }
        NOW.store(END, Ordering::SeqCst);
        for _ in 0..2 {
            assert_eq!(running.admits(&image).await, lasting);
        }
    }
}

#[tokio::test]
async fn all_bodies_together_have_a_bound() {
    let running = start(|app| app.bodies = Semaphore::new(1_000)).await;
    let (reply, _) = running.pod(false).await;
    assert_eq!(
        reply["response"]["allowed"], false,
        "judged, and the room is free again"
    );
    running.pod(false).await;
    let url = format!("{}/admit/{}", running.url, PATH.replace("10s", "100ms"));
    let send = |body: String| {
        reqwest::Client::new()
            .post(&url)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let answer = send("x".repeat(1_001)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().await.unwrap().contains("overloaded"));
    // Whoever waits gets the room when it is free.
    let held = running.app.bodies.try_acquire_many(1_000).unwrap();
    let url = format!("{}/admit/{PATH}", running.url);
    let waiting = tokio::spawn(
        reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .body("{}")
            .send(),
    );
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(running.app.bodies.available_permits(), 1_000);
}

#[tokio::test]
async fn one_admission_too_many_is_denied_at_once() {
    let running = start(|app| app.admissions = Semaphore::new(0)).await;
    running.assert_verdicts("OVERLOADED").await;
}

#[tokio::test]
async fn no_time_left_is_a_denial() {
    let running = start(|_| {}).await;
    let cluster = "projects/p/locations/us-central1-a/clusters/c".parse().unwrap();
    let long_ago = Deadlines::new(
        Some("timeout=1s"),
        Instant::now() - std::time::Duration::from_secs(60),
    );
    for (label, admitted) in [(None, false), (Some("true"), true)] {
        let question = Question {
            namespace: "default".to_owned(),
            service_account: None,
            images: Vec::new(),
            break_glass: BreakGlass::read(label, None),
            asker: None,
        };
        let judged = judge(&running.app, &cluster, question, &long_ago).await;
        assert_eq!(
            (judged.decision.reason_code(), judged.decision.admitted()),
            ("DEADLINE", admitted)
        );
    }
}

/// The verdicts on record, the oldest first.
fn records(running: &Running) -> Vec<Value> {
    let mut records = Vec::new();
    let way = (crate::audit::Direction::Forward, None);
    let read = running.app.journal.walk(way, &mut |line| {
        let record: Value = serde_json::from_slice(line.bytes).unwrap();
        records.extend(Some(record).filter(|record| record["verdict"].is_string()));
        ControlFlow::Continue(())
    });
    read.unwrap();
    records
}

/// Verdicts on record that came to nothing for want of time.
fn deadlines_of(running: &Running) -> usize {
    let records = records(running);
    records
        .iter()
        .filter(|record| record["reason"] == "DEADLINE")
        .count()
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_denial_before_the_api_server_gives_up() {
    let running = start(|app| app.store = Store::stalled()).await;
    let review = |labels: Value| {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Pod" }, "operation": "CREATE",
                "namespace": "default", "object": {
                    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "labels": labels },
                    "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
                },
            },
        })
    };
    let mut scale = review(json!({}));
    scale["request"]["kind"] = json!({ "group": "autoscaling", "version": "v1", "kind": "Scale" });
    scale["request"]["subResource"] = "scale".into();
    let opened = review(json!({ "image-policy.k8s.io/break-glass": "true" }));
    let mut judged = 0;
    for (review, allowed) in [(review(json!({})), false), (scale, false), (opened, true)] {
        for timeout in [1, 2] {
            let asked = Instant::now();
            let path = PATH.replace("10s", &format!("{timeout}s"));
            let reply = running.post_to(&path, &review).await;
            assert!(
                asked.elapsed() < std::time::Duration::from_secs(timeout),
                "{timeout}"
            );
            assert_eq!(reply["response"]["allowed"], allowed, "{reply}");
            judged += 1;
            // A busy disk may take longer than the little time that was left; the record comes all the same.
            let recorded = tokio::time::timeout(std::time::Duration::from_secs(30), async {
                while deadlines_of(&running) < judged {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
            recorded.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_that_has_ended_is_not_nothing_enforced() {
    let metric = async |app: &Arc<App>| {
        let request = Request::get("/metrics").body(()).unwrap();
        let body = crate::health::answer(app, &request).await.into_body();
        let text = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix("binauthz_enforcement_state "))
            .map(str::to_owned)
    };
    let running = start(|_| {}).await;
    assert_eq!(metric(&running.app).await.as_deref(), Some("0"));
    let running = start(|app| app.store = Store::closed()).await;
    assert_eq!(metric(&running.app).await, None);
    running.assert_verdicts("POLICY_UNAVAILABLE").await;
}

#[tokio::test]
async fn a_record_that_takes_too_long_is_none() {
    let running = start(|_| {}).await;
    let long_ago = Deadlines::new(
        Some("timeout=1s"),
        Instant::now() - std::time::Duration::from_secs(60),
    );
    let door = BreakGlass::read(Some("true"), None);
    for (door, admitted) in [(None, false), (door.as_ref(), true)] {
        let judged: Judged = refuse(Reason::Internal, door).into();
        let about = (&Recipient::ImageReview, &About::default());
        let answer = record(&running.app, about, judged, &long_ago).await.into_answer();
        let answer: Value = serde_json::from_slice(&answer.0).unwrap();
        assert_eq!(answer["status"]["allowed"], admitted);
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_in_time() {
    let running = start(|_| {}).await;
    let address = running.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /admit/projects/p/locations/us-central1-a/clusters/c?timeout=100ms HTTP/1.1\r\nhost: a\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .unwrap();
    let mut status = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut status)
        .await
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
}
