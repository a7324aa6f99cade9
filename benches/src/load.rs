//! Requests over kept-alive connections, and what they cost the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::Outcome;
use crate::process::Server;

/// What one round of requests came to.
pub(crate) struct Round {
    /// Server CPU per request, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Half of the requests took no longer.
    pub(crate) median: Duration,
    /// Of a hundred requests 99 took no longer.
    pub(crate) p99: Duration,
}

/// Posts the bodies in turn, `concurrency` at a time, until `requests` are answered. Each answer must say `allowed`.
pub(crate) async fn post(
    server: &Server,
    (client, url): (&reqwest::Client, &str),
    bodies: &Arc<Vec<Bytes>>,
    (requests, concurrency): (usize, usize),
) -> Outcome<Round> {
    let next = Arc::new(AtomicUsize::new(0));
    let before = server.cpu()?;
    let mut workers = Vec::new();
    for _ in 0..concurrency {
        let (client, url, bodies, next) = (
            client.clone(),
            url.to_owned(),
            Arc::clone(bodies),
            Arc::clone(&next),
        );
        workers.push(tokio::spawn(async move {
            worker(&client, &url, &bodies, (&next, requests)).await
        }));
    }
    let mut latencies = Vec::with_capacity(requests);
    for worker in workers {
        latencies.extend(worker.await??);
    }
    let used = server.cpu()? - before;
    latencies.sort_unstable();
    Ok(Round {
        cpu_micros: used.as_secs_f64() * 1e6 / requests as f64,
        median: percentile(&latencies, 50).unwrap_or_default(),
        p99: percentile(&latencies, 99).unwrap_or_default(),
    })
}

/// What that many of a hundred do not exceed. The values are sorted.
pub(crate) fn percentile<T: Copy>(sorted: &[T], hundredths: usize) -> Option<T> {
    let place = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied()
}

async fn worker(
    client: &reqwest::Client,
    url: &str,
    bodies: &[Bytes],
    (next, requests): (&AtomicUsize, usize),
) -> Outcome<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(body) = bodies.get(number % bodies.len()).filter(|_| number < requests) else {
            return Ok(latencies);
        };
        let began = std::time::Instant::now();
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .body(body.clone());
        let answer = request.send().await?.bytes().await?;
        latencies.push(began.elapsed());
        if !answer.windows(14).any(|part| part == br#""allowed":true"#) {
            return Err(format!("not admitted: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
}

/// The middle one of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
