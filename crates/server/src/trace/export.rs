//! From the queue to the collector, by OTLP over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::otlp::{self, Identifiers};
use super::{Finished, Tracer};
use crate::alert::channel::Poster;
use crate::app::App;
use crate::listen::Shutdown;

/// Requests told of in one post: some 2 KB each with their parts, 1 MB in all.
const BATCH: usize = 512;
/// How long the first request of a batch waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// How long what is left at the shutdown may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Exports until the shutdown, and then what is left. A batch that the collector does not take is dropped and counted: a
/// trace is not worth a second queue.
pub(crate) async fn export(app: Arc<App>, mut shutdown: Shutdown) {
    let Some(tracer) = &app.tracer else { return };
    let Some(mut queue) = tracer.take_queue() else {
        return;
    };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => break,
            taken = queue.recv_many(&mut batch, BATCH) => if taken == 0 { return },
        }
        if batch.len() < BATCH {
            tokio::select! {
                () = shutdown.begun() => {}
                () = tokio::time::sleep(GATHERING) => {}
            }
            fill(&mut queue, &mut batch);
        }
        let count = batch.len();
        tokio::select! {
            biased;
            () = post(tracer, &app.poster, &mut batch) => {}
            () = overdue(&mut shutdown) => {
                batch.clear();
                tracer.dropped(count);
            }
        }
    }
    queue.close();
    let rest = async {
        loop {
            fill(&mut queue, &mut batch);
            if batch.is_empty() {
                return;
            }
            post(tracer, &app.poster, &mut batch).await;
        }
    };
    if tokio::time::timeout(FAREWELL, rest).await.is_err() {
        tracing::warn!("traces were left when the server stopped");
    }
}

/// The shutdown has begun, and what was being sent had its time.
async fn overdue(shutdown: &mut Shutdown) {
    shutdown.begun().await;
    tokio::time::sleep(FAREWELL).await;
}

fn fill(queue: &mut Receiver<Finished>, batch: &mut Vec<Finished>) {
    while batch.len() < BATCH {
        match queue.try_recv() {
            Ok(finished) => batch.push(finished),
            Err(_) => return,
        }
    }
}

/// Posts a batch and empties it, whatever comes of it.
async fn post(tracer: &Tracer, poster: &Poster, batch: &mut Vec<Finished>) {
    let count = batch.len();
    let mut random = vec![0; Identifiers::needed(batch)];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        // Zeros are no identifiers, and nothing would be exported.
        tracer.dropped(count);
        batch.clear();
        return;
    }
    let body = otlp::request(batch, Identifiers(&random)).to_string();
    batch.clear();
    match poster.post_json(&tracer.endpoint, body).await {
        Ok(answer) => {
            let rejected = rejected(&answer).min(count);
            tracer.exported(count - rejected);
            tracer.dropped(rejected);
        }
        Err(error) => {
            tracing::debug!(%error, count, "the collector did not take the traces");
            tracer.dropped(count);
        }
    }
}

/// How many spans the collector says it did not take.
fn rejected(answer: &[u8]) -> usize {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    let number = rejected
        .as_u64()
        .or_else(|| rejected.as_str().and_then(|text| text.parse().ok()));
    number
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_rejects_is_read_in_either_form() {
        for (answer, expected) in [
            ("", 0),
            ("{}", 0),
            ("nonsense", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (
                r#"{"partialSuccess":{"rejectedSpans":"7","errorMessage":"x"}}"#,
                7,
            ),
            (r#"{"partialSuccess":{"rejectedSpans":7}}"#, 7),
            (r#"{"partialSuccess":{"rejectedSpans":-1}}"#, 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}
