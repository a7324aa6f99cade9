//! What cannot be provoked from outside: a panic, an overload, no time left. Everything here is the real thing but for
//! one collaborator that is broken on purpose.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use binauthz_core::decision::Reason;
use binauthz_core::time::UnixTime;
use binauthz_core::workload::BreakGlass;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::judge::{Judged, Question};
use super::record::About;
use super::*;
use crate::listen::{self, Limits, Listener, Peer, Trigger};
use crate::settings::{Flags, Settings};

const PATH: &str = "projects/p/locations/us-central1-a/clusters/c?timeout=10s";

struct Running {
    url: String,
    app: Arc<App>,
    _trigger: Trigger,
    _folder: tempfile::TempDir,
}

async fn start(break_it: impl FnOnce(&mut App)) -> Running {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        data_dir: folder.path().to_owned(),
        dev: true,
        ..Flags::default()
    };
    let mut app = crate::run::build(Settings::new(flags).unwrap()).unwrap();
    break_it(&mut app);
    let app = Arc::new(app);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None, Limits::default())
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_address().unwrap());
    let (trigger, shutdown) = listen::shutdown();
    let served = Arc::clone(&app);
    let make = move |_: &Peer| {
        let app = Arc::clone(&served);
        service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(handle(&app, request).await) }
        })
    };
    tokio::spawn(listen::serve(listener, make, shutdown));
    Running {
        url,
        app,
        _trigger: trigger,
        _folder: folder,
    }
}

impl Running {
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
        let newest = self
            .app
            .journal
            .tail(&crate::audit::Tail::newest(1), |_| true)
            .unwrap();
        (
            reply,
            newest
                .rows
                .into_iter()
                .next()
                .map_or(Value::Null, |row| row.record),
        )
    }

    async fn post(&self, review: &Value) -> Value {
        let url = format!("{}/admit/{PATH}", self.url);
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
        };
        let judged = judge(&running.app, &cluster, question, &long_ago).await;
        assert_eq!(
            (judged.decision.reason_code(), judged.decision.admitted()),
            ("DEADLINE", admitted)
        );
    }
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
        let recorded = record(&running.app, &About::default(), judged, &long_ago).await;
        assert_eq!(recorded.decision().admitted(), admitted);
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
