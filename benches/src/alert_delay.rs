//! From the record of a break-glass to the receiver that is told of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use binauthz_server::listen::{self, Limits, Listener, Shutdown, read_body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};

use crate::load::percentile;
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

/// Each in a project of its own: in one project those of five minutes are told together.
const ADMISSIONS: usize = 240;
/// Between two admissions, so that they fall anywhere between two looks at the log.
const PAUSE: Duration = Duration::from_millis(37);
const PROMISED_SECONDS: f64 = 2.0;

/// When notices came, by project.
type Came = Arc<Mutex<BTreeMap<String, SystemTime>>>;

pub(crate) async fn measure() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    let came = Came::default();
    let (_trigger, shutdown) = listen::shutdown();
    let url = receive(Arc::clone(&came), shutdown).await?;
    let api = inputs::Api::of(&server)?;
    for number in 0..ADMISSIONS {
        prepare(&api, &format!("alert-{number}"), &url).await?;
    }
    let client = server.client(false)?;
    let webhook = server.url("webhook")?;
    for number in 0..ADMISSIONS {
        let cluster = format!("projects/alert-{number}/locations/l/clusters/c");
        let request = client
            .post(format!("{webhook}/admit/{cluster}?timeout=10s"))
            .header("content-type", "application/json")
            .body(review()?);
        let answer = request.send().await?.bytes().await?;
        if !answer.windows(14).any(|part| part == br#""allowed":true"#) {
            return Err(format!("not admitted: {}", String::from_utf8_lossy(&answer)).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let begun = Instant::now();
    while lock(&came).len() < ADMISSIONS && begun.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let arrivals = lock(&came).clone();
    let mut delays = delays(&api, &arrivals).await?;
    delays.sort_by(f64::total_cmp);
    println!(
        "{} of {ADMISSIONS} break-glass admissions were told\n",
        delays.len()
    );
    let at = |hundredths| percentile(&delays, hundredths).unwrap_or(f64::INFINITY);
    line("record to delivered notice, p50", at(50), "s", PROMISED_SECONDS);
    let kept = line("record to delivered notice, p99", at(99), "s", PROMISED_SECONDS);
    println!("slowest {:.3} s", at(100));
    Ok(kept && delays.len() == ADMISSIONS)
}

/// What the log says of when each was recorded, against when it came.
async fn delays(api: &inputs::Api, came: &BTreeMap<String, SystemTime>) -> Outcome<Vec<f64>> {
    let mut delays = Vec::with_capacity(came.len());
    for (project, came) in came {
        let listed = api
            .ask("GET", &format!("/binauthz/v1/projects/{project}/decisions"), None)
            .await?;
        let time = listed["decisions"][0]["time"].as_str().ok_or("no record")?;
        let time = binauthz_wire::json::timestamp_from(time).ok_or("no time")?;
        let came = came.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of this century are below 2^53"
        )]
        let recorded = time.as_micros() as f64 / 1e6;
        delays.push(came - recorded);
    }
    Ok(delays)
}

/// A cluster, and a channel that is told of break-glass.
async fn prepare(api: &inputs::Api, project: &str, url: &str) -> Outcome<()> {
    let mode = json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" });
    let cluster = json!({ "cluster": { "name": "c", "binaryAuthorization": mode } });
    let path = format!("/v1/projects/{project}/locations/l/clusters");
    api.send("POST", &path, &cluster).await?;
    let channel = json!({ "type": "webhook_tokenauth", "labels": { "url": url } });
    let path = format!("/v3/projects/{project}/notificationChannels");
    let channel = api.ask("POST", &path, Some(&channel)).await?;
    let told = json!({ "notificationChannels": [channel["name"]] });
    let path =
        format!("/v3/projects/{project}/alertPolicies/binauthz-break-glass?updateMask=notificationChannels");
    api.send("PATCH", &path, &told).await
}

fn review() -> Outcome<Bytes> {
    let mut review: Value = serde_json::from_slice(&inputs::review(&[0])?)?;
    review["request"]["object"]["metadata"]["annotations"] =
        json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1234" });
    Ok(review.to_string().into())
}

fn lock(came: &Came) -> std::sync::MutexGuard<'_, BTreeMap<String, SystemTime>> {
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens for notices until the shutdown; the URL.
async fn receive(came: Came, shutdown: Shutdown) -> Outcome<String> {
    let listener = Listener::bind("127.0.0.1:0".parse()?, None, Limits::default()).await?;
    let url = format!("http://{}/hook", listener.local_address()?);
    let service = move |_: &_| {
        let came = Arc::clone(&came);
        service_fn(move |request| take(request, Arc::clone(&came)))
    };
    tokio::spawn(listen::serve(listener, service, shutdown));
    Ok(url)
}

async fn take(request: Request<Incoming>, came: Came) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = SystemTime::now();
    let body = read_body(request.into_body(), 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(project) = body["incident"]["scoping_project_id"].as_str() {
        lock(&came).entry(project.to_owned()).or_insert(now);
    }
    Ok(Response::new(Full::default()))
}
