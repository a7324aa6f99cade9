//! What asking IAM policies adds to a read of the management API: the same call by a token whose own role suffices, and by
//! one that needs a grant of the project, under a policy of a thousand members.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::{median, percentile};
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

const CALLS: usize = 5_000;
const CONCURRENCY: usize = 8;
const ROUNDS: usize = 9;
/// Bindings of the project's policy, and members of each.
const BINDINGS: usize = 20;
const MEMBERS: usize = 50;
/// What a grant may add to the server's CPU time of a call.
const PROMISED_PERCENT: f64 = 10.0;

const READ: &str = "/v1/projects/bench/attestors/signer";

pub(crate) async fn measure() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare(&server, &inputs::Signer::new()?).await?;
    let api = inputs::Api::of(&server)?;
    let own = token(&api, "own", &json!({ "role": "viewer" })).await?;
    let granted = token(&api, "granted", &json!({ "principal": "user:jane@example.com" })).await?;
    let mut bindings: Vec<Value> = (0..BINDINGS)
        .map(|binding| {
            let member = |member| format!("user:member-{binding}-{member}@example.com");
            json!({ "role": "roles/logging.viewer", "members": (0..MEMBERS).map(member).collect::<Vec<_>>() })
        })
        .collect();
    bindings.push(
        json!({ "role": "roles/binaryauthorization.attestorsViewer", "members": ["user:jane@example.com"],
        "condition": { "title": "t", "expression": "request.time < timestamp(\"2100-01-01T00:00:00Z\")" } }),
    );
    let policy = json!({ "policy": { "bindings": bindings } });
    api.send("POST", "/v1/projects/bench:setIamPolicy", &policy)
        .await?;
    let (mut micros, mut latencies) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..=ROUNDS {
        for (which, token) in [&own, &granted].into_iter().enumerate() {
            let (cpu, latency) = read(&server, token).await?;
            // The first is to warm up.
            if round > 0 {
                micros[which].push(cpu);
                latencies[which].push(latency.as_secs_f64() * 1e6);
            }
        }
    }
    let [own, granted] = micros.map(median);
    let [own_latency, granted_latency] = latencies.map(median);
    println!(
        "GET {READ}, {ROUNDS} rounds of {CALLS} calls, {CONCURRENCY} at a time; the median of the rounds"
    );
    println!("by its own role   {own:>8.1} µs of CPU, {own_latency:>8.1} µs at the median");
    println!("by a grant        {granted:>8.1} µs of CPU, {granted_latency:>8.1} µs at the median\n");
    let added = (granted / own - 1.0) * 100.0;
    Ok(line(
        "asking IAM policies adds to a read",
        added,
        "%",
        PROMISED_PERCENT,
    ))
}

async fn token(api: &inputs::Api, id: &str, body: &Value) -> Outcome<String> {
    let path = format!("/binauthz/v1/tokens?tokenId={id}");
    let made = api.ask("POST", &path, Some(body)).await?;
    Ok(made["token"].as_str().ok_or("no token was made")?.to_owned())
}

/// Server CPU per call in microseconds, and the median of the latencies.
async fn read(server: &Server, token: &str) -> Outcome<(f64, Duration)> {
    let url = format!("{}{READ}", server.url("api")?);
    let client = reqwest::Client::new();
    let next = Arc::new(AtomicUsize::new(0));
    let before = server.cpu()?;
    let mut workers = Vec::new();
    for _ in 0..CONCURRENCY {
        let (client, url, token, next) = (client.clone(), url.clone(), token.to_owned(), Arc::clone(&next));
        workers.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < CALLS {
                let begun = Instant::now();
                let answer = client
                    .get(&url)
                    .bearer_auth(&token)
                    .send()
                    .await?
                    .error_for_status()?;
                answer.bytes().await?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, reqwest::Error>(latencies)
        }));
    }
    let mut latencies = Vec::with_capacity(CALLS);
    for worker in workers {
        latencies.extend(worker.await??);
    }
    let used = server.cpu()? - before;
    latencies.sort_unstable();
    let micros = used.as_secs_f64() * 1e6 / CALLS as f64;
    Ok((micros, percentile(&latencies, 50).unwrap_or_default()))
}
