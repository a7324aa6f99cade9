//! The data plane: the webhook, from bytes to an answer that was recorded.
//!
//! ```text
//! request ─► case ─► snapshot ─► plan ─► gather ─► decide ─► record ─► reply
//! ```
//!
//! After `case` nothing leaves by an error: a missing policy, a slow store, a panic or a full disk all end as a
//! [`Decision`](binauthz_core::decision::Decision), and a reply takes only what was recorded.

mod case;
mod clock_cache;
mod counters;
mod deadline;
mod entry;
mod gather;
mod judge;
mod preview;
mod proofs;
mod record;
mod request;
mod snapshot;

pub(crate) use counters::{Counters, LATENCY_BOUNDS};
pub(crate) use preview::preview;
pub(crate) use proofs::Proofs;
pub(crate) use snapshot::{Snapshots, enforces_anything};

use std::sync::Arc;

use binauthz_core::decide::refuse;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use self::case::Case;
use self::deadline::Deadlines;
use self::judge::{caught, judge};
use self::record::record;
use self::request::{Refused, Target};
use crate::app::App;

/// Answers one request of the webhook port.
pub(crate) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match caught(answer(app, request)).await {
        Some(response) => response,
        // Before there was a question or after there was a verdict: only the API server's failure policy is left.
        None => {
            app.counters.panicked();
            tracing::error!("a panic outside of the judging; answered with an error");
            reply(StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    }
}

async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let deadlines = Deadlines::new(request.uri().query(), Instant::now());
    let answered = match Target::of(&request) {
        Ok(target) => match request::body(request, &deadlines).await {
            Ok(body) => respond(app, &target, &body, &deadlines).await,
            Err(refused) => Err(refused),
        },
        Err(refused) => {
            // Read all the same: a client that is still sending would see a reset stream instead of the answer.
            let _ = request::body(request, &deadlines).await;
            Err(refused)
        }
    };
    match answered {
        Ok(body) => reply(StatusCode::OK, body),
        Err(refused) => {
            app.counters.refused();
            reply(refused.status, refused.body())
        }
    }
}

fn reply(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn respond(
    app: &Arc<App>,
    target: &Target,
    body: &[u8],
    deadlines: &Deadlines,
) -> Result<Vec<u8>, Refused> {
    let (recipient, about, judged) = match Case::read(app, target, body)? {
        Case::Answered(answer) => return Ok(answer),
        Case::Unreviewable(recipient, about, reason) => (recipient, about, refuse(reason, None).into()),
        Case::Open(recipient, about, question) => {
            let judged = judge(app, &target.cluster, question, deadlines).await;
            (recipient, about, judged)
        }
    };
    Ok(recipient.answer(&record(app, &about, judged, deadlines).await))
}

#[cfg(test)]
mod tests;
