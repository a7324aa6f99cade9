//! Decisions on images whose proofs are not in memory, with the attestations in PostgreSQL, against `pgbench` asking the same
//! database the same question.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use binauthz_conformance::database::Database;
use binauthz_conformance::tools;
use binauthz_store::{Address, Store};

use crate::load::{self, median};
use crate::process::{SERVE, Server};
use crate::{Outcome, filled, inputs, line_at_least};

/// The issue's. No more than 65,536 proofs are kept, so in turn none is met again.
pub(crate) const DIGESTS: u32 = 100_000;
/// A Pod asks about some images at once, so that HTTP and the record are not what is measured.
const IMAGES: u32 = 10;
const CONCURRENCY: usize = 32;
/// Questions to the store at once, without the server.
const ASKED: usize = 128;
const ROUNDS: usize = 3;
const SECONDS: u32 = 8;
/// The issue's.
const PROMISED_SHARE: f64 = 0.7;

/// The question of an admission, word for word. The digest of a number is made as [`inputs::digest`] makes it, which costs the
/// database a few microseconds that the server does without.
const SCRIPT: &str = r"\set n random(0, LAST)
SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
FROM binauthz.occurrence WHERE digest = decode(lpad(to_hex((:n::bigint * 2654435761) & 4294967295), 8, '0')
  || repeat('5a', 24) || lpad(to_hex(:n::bigint), 8, '0'), 'hex')
  AND note = 'NOTE' AND (created, name) < (9223372036854775807, '')
ORDER BY created DESC, name DESC LIMIT 200;
";

pub(crate) async fn measure(digests: u32) -> Outcome<bool> {
    let digests = digests / IMAGES * IMAGES;
    let database = Database::start().ok_or("this needs PostgreSQL")?;
    let folder = tempfile::tempdir()?;
    let server = Server::start_with(SERVE, folder.path(), &[&database.url()]).await?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(&server, &signer).await?;
    let store = Store::connect(&Address::new(&database.url())?, "bench").await?;
    filled::fill(&store, &signer, 0..digests).await?;
    database.ask("binauthz", "VACUUM ANALYZE binauthz.occurrence");
    println!(
        "{digests} digests in turn, {IMAGES} in a Pod, {CONCURRENCY} Pods at once, attestations in PostgreSQL; {ROUNDS} rounds \
         by turns with pgbench, medians\n"
    );
    let script = folder.path().join("question.sql");
    let text = SCRIPT.replace("LAST", &(digests - 1).to_string());
    std::fs::write(&script, text.replace("NOTE", inputs::NOTE))?;
    let bodies = (0..digests / IMAGES)
        .map(|pod| inputs::review(&(pod * IMAGES..(pod + 1) * IMAGES).collect::<Vec<_>>()))
        .collect::<Outcome<Vec<_>>>()?;
    let (bodies, url) = (
        Arc::new(bodies),
        format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH),
    );
    let client = server.client(false)?;
    let (mut whole, mut alone, mut theirs, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(pgbench(&database, &script)?);
        let began = Instant::now();
        let size = (bodies.len(), CONCURRENCY);
        let came = load::post(&server, (&client, &url), &bodies, size).await?;
        whole.push(f64::from(digests) / began.elapsed().as_secs_f64());
        cpu.push(came.cpu_micros / f64::from(IMAGES));
        alone.push(questions(&store, digests).await?);
    }
    let (whole, alone, theirs) = (median(whole), median(alone), median(theirs));
    println!("pgbench              {theirs:>8.0} a second");
    println!("the store's question {alone:>8.0} a second");
    println!(
        "whole decisions      {whole:>8.0} images a second, {:.0} µs of server CPU each\n",
        median(cpu)
    );
    let kept = line_at_least(
        "the store's question, against pgbench",
        alone / theirs,
        "×",
        PROMISED_SHARE,
    );
    Ok(kept
        & line_at_least(
            "whole decisions, against pgbench",
            whole / theirs,
            "×",
            PROMISED_SHARE,
        ))
}

/// Questions a second over as many connections as a server has for them.
fn pgbench(database: &Database, script: &Path) -> Outcome<f64> {
    let program = tools::postgresql()
        .ok_or("this needs PostgreSQL")?
        .join("pgbench");
    let output = Command::new(program)
        .args([
            "-n", "-M", "prepared", "-c", "4", "-j", "1", "-U", "binauthz", "-T",
        ])
        .arg(SECONDS.to_string())
        .arg("-h")
        .arg(database.folder())
        .arg("-f")
        .arg(script)
        .arg("binauthz")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = found.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// The same by the store, each digest once.
async fn questions(store: &Store, digests: u32) -> Outcome<f64> {
    let began = Instant::now();
    let mut askers = tokio::task::JoinSet::new();
    for first in 0..ASKED as u32 {
        let store = store.clone();
        askers.spawn(async move {
            for number in (first..digests).step_by(ASKED) {
                let digest = inputs::digest(number);
                let found = store
                    .occurrences_of(inputs::NOTE, digest.as_bytes(), None, 200)
                    .await?;
                if found.len() != 1 {
                    return Err(format!("{} attestations of image {number}", found.len()).into());
                }
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = askers.join_next().await {
        ended??;
    }
    Ok(f64::from(digests) / began.elapsed().as_secs_f64())
}
