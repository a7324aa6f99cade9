//! What a thousand wrong tokens a second do to the webhook: the same Pods at the same pace, by turns with somebody who
//! tries tokens on the management API and without. Nothing limits them here, so every one is looked up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::load::{median, percentile};
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

const ROUNDS: usize = 7;
/// Of one round, with or without.
const LASTS: Duration = Duration::from_secs(8);
/// A second; a round's p99 then stands on the 32 slowest of 3 200.
const ADMISSIONS: u32 = 400;
/// A second; the issue's.
const WRONG: u32 = 1_000;

pub(crate) async fn measure() -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare_three(&server).await?;
    let pods = Pods {
        client: server.client(true)?,
        url: format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH),
        body: inputs::review(&[0, 1, 2])?,
    };
    let guesser = Guesser {
        client: reqwest::Client::new(),
        url: format!("{}/v1/projects/bench/policy", server.url("api")?),
        answered: AtomicUsize::new(0),
    };
    let guesser = Arc::new(guesser);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut guessed = Vec::new();
    for round in 0..=ROUNDS {
        let calm = pods.waits().await?;
        let before = guesser.answered.load(Ordering::Relaxed);
        let (troubled, tried) = tokio::join!(pods.waits(), Arc::clone(&guesser).guess());
        tried?;
        let troubled = troubled?;
        // The first is to warm up.
        if round > 0 {
            without.push(calm.as_secs_f64() * 1e3);
            with.push(troubled.as_secs_f64() * 1e3);
            let answered = guesser.answered.load(Ordering::Relaxed) - before;
            guessed.push(answered as f64 / LASTS.as_secs_f64());
        }
    }
    report(&without, &with, median(guessed))
}

fn report(without: &[f64], with: &[f64], guessed: f64) -> Outcome<bool> {
    let range = |waits: &[f64]| {
        let least = waits.iter().copied().fold(f64::INFINITY, f64::min);
        (least, waits.iter().copied().fold(0.0, f64::max))
    };
    let show = |what: &str, waits: &[f64]| {
        let (least, most) = range(waits);
        let middle = median(waits.to_vec());
        println!("{what:<28} p99 {middle:.2} ms, by round {least:.2} to {most:.2} ms");
    };
    println!(
        "{ADMISSIONS} warm admissions a second, {ROUNDS} rounds of {} s by turns; the median of the rounds",
        LASTS.as_secs()
    );
    show("nobody tries tokens", without);
    show(&format!("{guessed:.0} wrong tokens a second"), with);
    if guessed < f64::from(WRONG) * 0.95 {
        return Err(format!("only {guessed:.0} wrong tokens a second were answered").into());
    }
    println!();
    let (_, noise) = range(without);
    Ok(line(
        "p99 with wrong tokens, against the noise without",
        median(with.to_vec()),
        "ms",
        noise,
    ))
}

/// Pods that come at a pace, whether the last was answered or not.
struct Pods {
    client: reqwest::Client,
    url: String,
    body: Bytes,
}

impl Pods {
    /// What 99 of a hundred did not exceed, from when each was due.
    async fn waits(&self) -> Outcome<Duration> {
        let mut asked = JoinSet::new();
        paced(ADMISSIONS, |due| {
            let request = self
                .client
                .post(&self.url)
                .header("content-type", "application/json")
                .body(self.body.clone());
            asked.spawn(async move {
                let answer = request.send().await?.bytes().await?;
                let is_admitted = answer.windows(14).any(|part| part == br#""allowed":true"#);
                Ok::<_, reqwest::Error>((due.elapsed(), is_admitted))
            });
        })
        .await;
        let mut waits = Vec::new();
        while let Some(answered) = asked.join_next().await {
            let (waited, is_admitted) = answered??;
            if !is_admitted {
                return Err("a Pod was not admitted".into());
            }
            waits.push(waited);
        }
        waits.sort_unstable();
        Ok(percentile(&waits, 99).unwrap_or_default())
    }
}

/// Somebody without a token who tries some.
struct Guesser {
    client: reqwest::Client,
    url: String,
    answered: AtomicUsize,
}

impl Guesser {
    async fn guess(self: Arc<Self>) -> Outcome<()> {
        let mut tried = JoinSet::new();
        let mut number = self.answered.load(Ordering::Relaxed);
        paced(WRONG, |_| {
            number += 1;
            let (guesser, token) = (Arc::clone(&self), format!("binauthz_guess-{number:030}"));
            tried.spawn(async move {
                let answer = guesser.client.get(&guesser.url).bearer_auth(token).send().await?;
                let status = answer.status();
                answer.bytes().await?;
                guesser.answered.fetch_add(1, Ordering::Relaxed);
                Ok::<_, reqwest::Error>(status)
            });
        })
        .await;
        while let Some(answered) = tried.join_next().await {
            let status = answered??;
            if status != reqwest::StatusCode::UNAUTHORIZED {
                return Err(format!("a wrong token was answered with {status}").into());
            }
        }
        Ok(())
    }
}

/// Does it so often a second for as long as a round lasts, at even distances; what is late is made up for.
async fn paced(per_second: u32, mut begin: impl FnMut(Instant)) {
    let mut clock = interval(Duration::from_secs(1) / per_second);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    while begun.elapsed() < LASTS {
        let due = clock.tick().await;
        begin(due.into_std());
    }
}
