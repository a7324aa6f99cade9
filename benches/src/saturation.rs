//! Warm admissions at half of what the server can answer, and at twice of it: how long they take then, and whether any is wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use binauthz_cli::load::{Came, Load, Until, svg};

use crate::load::{must_be_good, reviews};
use crate::process::{SERVE, Server};
use crate::{Outcome, inputs, line};

const CONCURRENCY: usize = 32;
/// Room for what waits while the server is asked more than it can answer.
const CROWD: usize = 512;
const WARM_UP: Duration = Duration::from_secs(3);
const LENGTH: Duration = Duration::from_secs(10);
/// The issue's, of a hundred admissions 99, at half of what can be answered.
const PROMISED_MILLISECONDS: f64 = 5.0;

/// Measures; with a file, draws it there, too.
pub(crate) async fn measure(plot: Option<&Path>) -> Outcome<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(SERVE, folder.path()).await?;
    inputs::prepare_three(&server).await?;
    let client = server.client(false)?;
    let url = format!("{}{}", server.url("webhook")?, inputs::WEBHOOK_PATH);
    let bodies = Arc::new(vec![inputs::review(&[0, 1, 2])?]);
    let load = |at_once, length, per_second| Load {
        at_once,
        until: Until::Elapsed(length),
        per_second,
    };
    let ask = async |load| reviews(load, (&client, &url), &bodies).await;
    ask(load(CONCURRENCY, WARM_UP, None)).await;
    let most = ask(load(CONCURRENCY, LENGTH, None)).await;
    must_be_good(&most)?;
    let saturation = most.per_second();
    println!("warm admissions of a Pod with 3 containers, TLS, HTTP/1.1, driver and server on one machine\n");
    show("as many as it answers", &most);
    let half = ask(load(CONCURRENCY, LENGTH, Some(saturation / 2.0))).await;
    show("half of that", &half);
    let double = ask(load(CROWD, LENGTH, Some(saturation * 2.0))).await;
    show("twice of that is due", &double);
    // Those that the driver found no room for were never asked.
    let unsent = double.faults.get("not sent").map_or(0, |(count, _)| *count);
    println!("{unsent} of the latter were due and not sent, for want of room\n");
    if let Some(path) = plot {
        let lines = [
            ("half of what it answers", &half.waits),
            ("as many as it answers", &most.waits),
        ];
        std::fs::write(path, svg("Warm admissions of a Pod with 3 containers", &lines))?;
    }
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let wrong = |came: &Came| came.faulty() as f64;
    let kept = line(
        "p99 at half of what it answers",
        millis(half.waits.percentile(0.99)),
        "ms",
        PROMISED_MILLISECONDS,
    ) & line("wrong, late or missing answers then", wrong(&half), "", 0.0)
        & line(
            "the same when asked for twice as much",
            wrong(&double) - unsent as f64,
            "",
            0.0,
        );
    Ok(kept)
}

fn show(what: &str, came: &Came) {
    let millis = |share| came.waits.percentile(share).as_secs_f64() * 1e3;
    println!(
        "{what:<24} {:>7.0} a second   p50 {:>7.2} ms   p90 {:>7.2} ms   p99 {:>7.2} ms   max {:>7.2} ms",
        came.per_second(),
        millis(0.5),
        millis(0.9),
        millis(0.99),
        came.waits.max().as_secs_f64() * 1e3,
    );
}
