//! Cold decisions: each asks for an image nobody asked for before, with one P-256 attestation in the database.

use std::sync::Arc;

use bytes::Bytes;

use crate::load;
use crate::process::{BARE, SERVE, Server};
use crate::{Outcome, inputs, line};

const IMAGES: u32 = 6_000;
const CONCURRENCY: usize = 8;
const PROMISED_MILLISECONDS: f64 = 1.0;
/// The issue's: a cold decision in checks of a signature. What a request costs that nobody decides is not in it.
const PROMISED_CHECKS: f64 = 3.0;

/// Server CPU of the same requests to a handler that decides nothing.
async fn bare(bodies: &Arc<Vec<Bytes>>) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(BARE, folder.path()).await?;
    let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
    let client = server.client(false)?;
    let came = load::post(&server, (&client, &url), bodies, (bodies.len(), CONCURRENCY)).await?;
    Ok(came.cpu_micros)
}

pub(crate) async fn measure() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    let signer = inputs::Signer::new()?;
    inputs::prepare(&server, &signer).await?;
    inputs::attest(&server, &signer, 0..IMAGES).await?;
    println!(
        "cold decisions: {IMAGES} images never asked for before, one P-256 attestation each, one container per Pod\n"
    );
    let bodies = (0..IMAGES)
        .map(|number| inputs::review(&[number]))
        .collect::<Outcome<Vec<_>>>()?;
    let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
    let client = server.client(false)?;
    let size = (bodies.len(), CONCURRENCY);
    let bodies = Arc::new(bodies);
    let cold = load::post(&server, (&client, &url), &bodies, size).await?;
    let warm = load::post(&server, (&client, &url), &bodies, size).await?;
    println!(
        "the same again, warm: {:.1} µs of server CPU, median wait {:.2} ms",
        warm.cpu_micros,
        warm.median.as_secs_f64() * 1e3
    );
    println!("cold: median wait {:.2} ms", cold.median.as_secs_f64() * 1e3);
    let check = signer.check_micros()?;
    let handler = bare(&bodies).await?;
    println!("one check of a P-256 signature: {check:.1} µs; the bare handler: {handler:.1} µs\n");
    Ok(line(
        "server CPU per cold decision (HTTP and record included)",
        cold.cpu_micros / 1e3,
        "ms",
        PROMISED_MILLISECONDS,
    ) & line(
        "the decision without the bare handler, in signature checks",
        (cold.cpu_micros - handler) / check,
        "×",
        PROMISED_CHECKS,
    ))
}
