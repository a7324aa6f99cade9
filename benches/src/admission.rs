//! Warm admissions: everything they need is in memory. What is left is HTTP, TLS, parsing, the verdict and its record.

use std::sync::Arc;

use crate::load::{self, median};
use crate::process::{BARE, SERVE, Server};
use crate::{Outcome, inputs, line};

const ROUNDS: usize = 7;
/// The kernel counts in hundredths of a second: that is 0.5 µs of each.
const REQUESTS: usize = 20_000;
const CONCURRENCY: usize = 32;
/// The issue's: no more than this many times the bare handler.
const PROMISED_RATIO: f64 = 2.0;

pub(crate) async fn measure() -> Outcome<bool> {
    let (ours, bare) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let server = Server::start(SERVE, ours.path()).await?;
    let yardstick = Server::start(BARE, bare.path()).await?;
    inputs::prepare_three(&server).await?;
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    println!(
        "warm admission of a Pod with 3 containers, REQUIRE_ATTESTATION, {} bytes, keep-alive TLS, {CONCURRENCY} at once,\n\
         {ROUNDS} rounds of {REQUESTS} by turns with the bare handler, medians of the server's CPU time\n",
        bodies.first().map_or(0, bytes::Bytes::len)
    );
    let mut kept = true;
    for (http2, name) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
        let (mut full, mut empty, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        let (our_client, bare_client) = (server.client(http2)?, yardstick.client(http2)?);
        let our_url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
        let bare_url = yardstick.url("webhook")?;
        for round in 0..=ROUNDS {
            let size = (REQUESTS, CONCURRENCY);
            let ours = load::post(&server, (&our_client, &our_url), &bodies, size).await?;
            let bare = load::post(&yardstick, (&bare_client, &bare_url), &bodies, size).await?;
            // The first round opens connections and fills caches.
            if round > 0 {
                full.push(ours.cpu_micros);
                empty.push(bare.cpu_micros);
                waits.push(ours.median.as_secs_f64() * 1e3);
            }
        }
        let (full, empty) = (median(full), median(empty));
        println!(
            "{name:<9} bare {empty:6.1} µs   admission {full:6.1} µs   median wait {:.2} ms",
            median(waits)
        );
        kept &= line(
            &format!("{name}: admission against the bare handler"),
            full / empty,
            "×",
            PROMISED_RATIO,
        );
    }
    Ok(kept)
}
