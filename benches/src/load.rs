//! Requests over kept-alive connections, and what they cost the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_cli::load::{Came, Fault, Load, Until, drive};
use bytes::Bytes;

use crate::Outcome;
use crate::process::Server;

/// What the address of the webhook says: an answer after it is none.
const TIMEOUT: Duration = Duration::from_secs(10);

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
    let load = Load {
        at_once: concurrency,
        until: Until::Requests(requests as u64),
        per_second: None,
    };
    let before = server.cpu()?;
    let came = reviews(load, (client, url), bodies).await;
    let used = server.cpu()? - before;
    must_be_good(&came)?;
    Ok(Round {
        cpu_micros: used.as_secs_f64() * 1e6 / requests as f64,
        median: came.waits.percentile(0.5),
        p99: came.waits.percentile(0.99),
    })
}

/// Posts the bodies in turn for as long as the load says.
pub(crate) async fn reviews(
    load: Load,
    (client, url): (&reqwest::Client, &str),
    bodies: &Arc<Vec<Bytes>>,
) -> Came {
    let (client, url, bodies) = (client.clone(), Arc::<str>::from(url), Arc::clone(bodies));
    drive(load, move |number| {
        let place = usize::try_from(number).unwrap_or_default() % bodies.len();
        let body = bodies.get(place).cloned().unwrap_or_default();
        let request = client.post(&*url).header("content-type", "application/json");
        review(request.body(body))
    })
    .await
}

async fn review(request: reqwest::RequestBuilder) -> Result<(), Fault> {
    let fault = |kind: &str, sentence: String| Fault {
        kind: kind.to_owned(),
        sentence,
    };
    let began = Instant::now();
    let failed = |error: reqwest::Error| fault("no answer", error.to_string());
    let answer = request
        .send()
        .await
        .map_err(failed)?
        .bytes()
        .await
        .map_err(failed)?;
    if began.elapsed() > TIMEOUT {
        return Err(fault("too late", format!("after {:?}", began.elapsed())));
    }
    match answer.windows(14).any(|part| part == br#""allowed":true"#) {
        true => Ok(()),
        false => Err(fault(
            "not admitted",
            String::from_utf8_lossy(&answer).into_owned(),
        )),
    }
}

/// An error with what went wrong first, if anything did.
pub(crate) fn must_be_good(came: &Came) -> Outcome<()> {
    match came.faults.first_key_value() {
        None => Ok(()),
        Some((kind, (count, sentence))) => Err(format!("{count} × {kind}: {sentence}").into()),
    }
}

/// What that many of a hundred do not exceed. The values are sorted.
pub(crate) fn percentile<T: Copy>(sorted: &[T], hundredths: usize) -> Option<T> {
    let place = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied()
}

/// The middle one of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
