//! Searching a log of a million entries, through the API: the tutorial's filters, and needles that are rare.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::median;
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

/// Verdicts in the log, some of which have two entries.
pub(crate) const ENTRIES: usize = 1_000_000;
const CONCURRENCY: usize = 64;
const ROUNDS: usize = 5;
/// Images that have an attestation.
const ATTESTED: u32 = 500;
/// One image that is in the log once.
const RARE_IMAGE: u32 = 4_000_000;
/// What the first page of the tutorial's filters may take.
const PROMISED_MS: f64 = 100.0;

/// A filter, and whether a promise is made about it.
struct Asked {
    name: &'static str,
    filter: String,
    promised: bool,
}

pub(crate) async fn measure(entries: usize) -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(SERVE, folder.path()).await?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(&server, &signer).await?;
    inputs::attest(&server, &signer, 0..ATTESTED).await?;
    let api = inputs::Api::of(&server)?;
    let required = json!({
        "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": ["projects/bench/attestors/signer"],
    });
    let mut tried = required.clone();
    tried["enforcementMode"] = "DRYRUN_AUDIT_LOG_ONLY".into();
    let policy = json!({ "defaultAdmissionRule": required, "kubernetesNamespaceAdmissionRules": { "staging": tried } });
    api.send("PUT", "/v1/projects/bench/policy", &policy).await?;
    let begun = Instant::now();
    admit(&server, entries).await?;
    let admitted = begun.elapsed();
    let begun = Instant::now();
    wait_for_index(&server).await?;
    let journal = folder.path().join("journal");
    let size = |end: &str| -> Outcome<f64> {
        let mut bytes = 0;
        for path in files(&journal, end)? {
            bytes += path.metadata()?.len();
        }
        Ok(bytes as f64 / f64::from(1 << 20))
    };
    println!(
        "{entries} verdicts in {:.0} s, {:.0} MiB; the index was ready {:.0} s later, {:.1} MiB on disk\n",
        admitted.as_secs_f64(),
        size(".jsonl")?,
        begun.elapsed().as_secs_f64(),
        size(".index")?,
    );
    let middle = middle_time(&server, entries).await?;
    let asked = filters(&middle)?;
    println!(
        "{:<44} {:>9} {:>9} {:>9}   ms to the first page of 50, the newest first",
        "", "cold", "warm", "entries"
    );
    let mut kept = true;
    let mut worst: f64 = 0.0;
    for one in &asked {
        // As after a start: nothing in the page cache, the index just read.
        drop(server);
        forget(&journal)?;
        server = Server::start(SERVE, folder.path()).await?;
        wait_for_index(&server).await?;
        forget(&journal)?;
        let (cold, found) = first_page(&server, &one.filter).await?;
        let mut warm = Vec::new();
        for _ in 0..ROUNDS {
            warm.push(first_page(&server, &one.filter).await?.0);
        }
        let warm = median(warm);
        println!("{:<44} {cold:>9.1} {warm:>9.1} {found:>9}", one.name);
        if one.promised {
            worst = worst.max(warm);
        }
    }
    println!();
    kept &= line("the slowest of the tutorial's filters", worst, "ms", PROMISED_MS);
    Ok(kept)
}

fn filters(middle: &(String, String)) -> Outcome<Vec<Asked>> {
    let row = |name, filter: String, promised| Asked {
        name,
        filter,
        promised,
    };
    let door = "alpha.image-policy.k8s.io/break-glass";
    let break_glass =
        format!("resource.type=\"k8s_cluster\" protoPayload.request.metadata.annotations.\"{door}\" != \"\"");
    let rare = inputs::image(RARE_IMAGE);
    let digest = rare.split_once('@').ok_or("no digest")?.1;
    let image = "protoPayload.request.spec.containers.image";
    Ok(vec![
        row("tutorial: break-glass", break_glass.clone(), true),
        row(
            "tutorial: denied by attestor",
            "resource.type=\"k8s_cluster\" protoPayload.response.status.message:\"denied by attestor\""
                .to_owned(),
            true,
        ),
        row(
            "tutorial: dry run",
            "resource.type=\"k8s_cluster\" AND jsonPayload.enforcementMode=\"DRYRUN_AUDIT_LOG_ONLY\""
                .to_owned(),
            true,
        ),
        row(
            "tutorial: break-glass of one day, as gcloud",
            format!("timestamp>=\"2020-01-01T00:00:00Z\" AND {break_glass}"),
            true,
        ),
        row("severity=ERROR", "severity=ERROR".to_owned(), false),
        row(
            "one image by its digest, once",
            format!("{image}:\"{digest}\""),
            false,
        ),
        row(
            "one image by its reference, once",
            format!("{image}=\"{rare}\""),
            false,
        ),
        row("a digest anywhere, once", format!("\"{digest}\""), false),
        row(
            "a namespace, 20 times",
            "protoPayload.request.metadata.namespace=\"rare-team\"".to_owned(),
            false,
        ),
        row(
            "a namespace that is not there",
            "protoPayload.request.metadata.namespace=\"nowhere\"".to_owned(),
            false,
        ),
        row(
            "break-glass of a namespace, once",
            format!("{break_glass} protoPayload.request.metadata.namespace=\"rare-door\""),
            false,
        ),
        row(
            "a second in the middle",
            format!("timestamp>=\"{}\" AND timestamp<\"{}\"", middle.0, middle.1),
            false,
        ),
        row("everything", String::new(), false),
    ])
}

/// Has Pods judged: 9 in 10 are attested, some are refused, some would be, and one in 10 000 goes through the door.
async fn admit(server: &Server, entries: usize) -> Outcome<()> {
    let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
    let client = server.client(false)?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..CONCURRENCY {
        let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
        workers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= entries {
                    return Ok::<(), Box<dyn std::error::Error + Send + Sync>>(());
                }
                let answer = client.post(&url).json(&review(number, entries)).send().await?;
                if !answer.status().is_success() {
                    return Err(answer.text().await?.into());
                }
                answer.bytes().await?;
            }
        }));
    }
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

fn review(number: usize, entries: usize) -> Value {
    let attested = inputs::image(u32::try_from(number).unwrap_or(0) % ATTESTED);
    let unpinned = format!(
        "us-central1-docker.pkg.dev/bench/app/tool-{}:latest",
        number % 100
    );
    let team = format!("team-{}", number % 40);
    let mut annotations = json!({});
    let (namespace, image) = match number {
        _ if number == entries / 2 => (team, inputs::image(RARE_IMAGE)),
        _ if number == entries / 3 || number % 10_000 == 123 => {
            annotations = json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1234: payments are down" });
            let namespace = if number == entries / 3 {
                "rare-door".to_owned()
            } else {
                team
            };
            (namespace, unpinned)
        }
        _ if number % (entries / 20).max(1) == 17 => ("rare-team".to_owned(), attested),
        _ if number % 50 == 7 => ("staging".to_owned(), unpinned),
        _ if number.is_multiple_of(20) => (team, unpinned),
        _ => (team, attested),
    };
    let name = format!(
        "service-{}-{:010x}-{:05x}",
        number % 300,
        number % 7_919,
        number % 99_991
    );
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("705ab4f5-6393-11e8-b7cc-{number:012x}"),
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "name": name, "namespace": namespace, "operation": "CREATE",
            "userInfo": { "username": format!("system:serviceaccount:ci:deployer-{}", number % 20) },
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    })
}

/// Waits until queries need not read what nobody looked at: all but the last block.
async fn wait_for_index(server: &Server) -> Outcome<()> {
    let url = format!("{}/metrics", server.url("health")?);
    let client = reqwest::Client::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        let text = client.get(&url).send().await?.text().await?;
        let missing = text
            .lines()
            .find_map(|line| line.strip_prefix("binauthz_log_unindexed_bytes "));
        if missing
            .and_then(|number| number.parse::<u64>().ok())
            .is_some_and(|bytes| bytes < 1 << 20)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the index was not ready within ten minutes".into())
}

/// The milliseconds until there is an entry or the end of the log, and how many entries came first.
async fn first_page(server: &Server, filter: &str) -> Outcome<(f64, usize)> {
    let api = inputs::Api::of(server)?;
    let mut token = String::new();
    // The connection is no part of it.
    let nothing = json!({ "resourceNames": ["projects/other"] });
    api.ask("POST", "/v2/entries:list", Some(&nothing)).await?;
    let begun = Instant::now();
    loop {
        let body = json!({
            "resourceNames": ["projects/bench"], "filter": filter, "orderBy": "timestamp desc", "pageSize": 50,
            "pageToken": token,
        });
        let page = api.ask("POST", "/v2/entries:list", Some(&body)).await?;
        let found = page["entries"].as_array().map_or(0, Vec::len);
        match page["nextPageToken"].as_str() {
            Some(next) if found == 0 => token = next.to_owned(),
            _ => return Ok((begun.elapsed().as_secs_f64() * 1e3, found)),
        }
    }
}

/// A second around the verdict on the rare image.
async fn middle_time(server: &Server, entries: usize) -> Outcome<(String, String)> {
    let api = inputs::Api::of(server)?;
    let digest = inputs::digest(RARE_IMAGE);
    let mut token = String::new();
    for _ in 0..100 {
        let body = json!({
            "resourceNames": ["projects/bench"], "filter": format!("\"{digest}\""), "pageToken": token,
        });
        let page = api.ask("POST", "/v2/entries:list", Some(&body)).await?;
        if let Some(time) = page["entries"][0]["timestamp"].as_str() {
            let second = time.get(..19).ok_or("no time")?;
            return Ok((format!("{second}Z"), format!("{second}.999999Z")));
        }
        token = page["nextPageToken"].as_str().ok_or("not found")?.to_owned();
    }
    Err(format!("the middle one of {entries} was not found").into())
}

fn files(folder: &Path, end: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Takes the records out of the page cache: `dd` tells the kernel so.
fn forget(folder: &Path) -> Outcome<()> {
    for path in files(folder, "")? {
        let input = format!("if={}", path.display());
        Command::new("dd")
            .args([input.as_str(), "iflag=nocache", "count=0"])
            .stderr(Stdio::null())
            .status()?;
    }
    Ok(())
}
