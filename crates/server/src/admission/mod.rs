//! The data plane: the webhook, from bytes to an answer that was recorded.
//!
//! ```text
//! request ─► case ─► snapshot ─► plan ─► gather ─► decide ─► record ─► reply
//! ```
//!
//! After `case` nothing leaves by an error: a missing policy, a slow store, a panic or a full disk all end as a
//! [`Decision`](binauthz_core::decision::Decision), and a reply leaves only when it was recorded.

mod about;
mod callers;
mod case;
mod clock_cache;
mod counters;
mod deadline;
mod enforcement;
mod entry;
mod gather;
mod glass;
mod judge;
mod line;
mod preview;
mod proofs;
mod record;
mod request;
mod snapshot;
mod traced;

pub(crate) use counters::{Counters, LATENCY_BOUNDS};
pub(crate) use preview::{again, judged, preview};
pub(crate) use proofs::Proofs;
pub(crate) use snapshot::Snapshots;

use std::sync::Arc;

use binauthz_core::decide::refuse;
use binauthz_core::name::ClusterName;
use binauthz_store::Unavailable;
use binauthz_wire::event;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use self::case::{Case, Recipient};
use self::deadline::Deadlines;
use self::judge::{caught, judge, objection_to_passing};
use self::record::{Refused as RefusedOnRecord, record};
use self::request::{Held, Refused, Target};
use crate::app::App;
use crate::kubernetes::{self, Refusal};
use crate::listen::Peer;
use crate::trace::{Phase, Phases};

/// Whether anything is enforced, by policies and registered clusters as they are now.
pub(crate) async fn enforces_anything(app: &App) -> Result<bool, Unavailable> {
    app.snapshots.enforcement(app).await
}

/// Answers one request of the webhook port.
pub(crate) async fn handle(app: &Arc<App>, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match caught(answer(app, peer, request)).await {
        Some(response) => response,
        // Before there was a question or after there was a verdict: only the API server's failure policy is left.
        None => {
            app.counters.panicked();
            tracing::error!("a panic outside of the judging; answered with an error");
            reply(StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    }
}

async fn answer(app: &Arc<App>, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let now = Instant::now();
    let phases = Phases::begin(app.tracer.as_ref(), request.headers(), now);
    let deadlines = Deadlines::new(request.uri().query(), now).watched(phases);
    let target = Target::of(&request).and_then(|target| {
        let bound = app.settings.webhook_client_authorities.is_some();
        match bound.then(|| callers::must_be(peer, &target.cluster)) {
            Some(Err(refused)) => Err(refused),
            _ => Ok(target),
        }
    });
    let case = match target {
        Ok(target) => read(app, &target, request, &deadlines)
            .await
            .map(|(case, body)| (target, case, body)),
        Err(refused) => {
            // Read all the same: a client that is still sending would see a reset stream instead of the answer.
            request::discard(request, &deadlines).await;
            Err(refused)
        }
    };
    match case {
        Ok((target, case, body)) => {
            deadlines.phases().ended(Phase::Read);
            reply(
                StatusCode::OK,
                respond(app, &target, (case, body), &deadlines).await,
            )
        }
        Err(refused) => {
            app.counters.refused();
            reply(refused.status, refused.body())
        }
    }
}

/// What the body comes to. The body itself is kept only where a refusal would be told to the cluster: whom it is about is
/// read then, and not before.
async fn read<'a>(
    app: &'a App,
    target: &Target,
    request: Request<Incoming>,
    deadlines: &Deadlines,
) -> Result<(Case, Option<Held<'a>>), Refused> {
    let body = request::body(request, &app.bodies, deadlines).await?;
    let case = Case::read(app, target, body.bytes())?;
    Ok((
        case,
        kubernetes::wants_events(app, &target.cluster).then_some(body),
    ))
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
    (case, body): (Case, Option<Held<'_>>),
    deadlines: &Deadlines,
) -> Vec<u8> {
    let cluster = &target.cluster;
    let (recipient, mut about, judged) = match case {
        Case::Answered(answer) => return answer,
        Case::Patch(address, patch) => {
            // Without a patch it is for the validating webhook to say what is wrong.
            let registered = objection_to_passing(app, cluster, deadlines).await.is_none();
            return address.patched(registered.then_some(&patch));
        }
        Case::Passing(address, about) => match objection_to_passing(app, cluster, deadlines).await {
            None => return address.nothing_to_judge(),
            Some(judged) => (Recipient::of(address, about.advice), about, judged),
        },
        Case::Unreviewable(recipient, about, reason) => (recipient, about, refuse(reason, None).into()),
        Case::Open(recipient, about, question) => {
            let closed = match question.break_glass {
                None => None,
                // Boxed: what asks a cluster is large, and every admission would carry it.
                Some(_) => Box::pin(glass::refusal(app, cluster, &question, deadlines)).await,
            };
            match closed {
                Some(reason) => (
                    recipient.strict(),
                    about.advised(false),
                    refuse(reason, None).into(),
                ),
                None => {
                    let judged = judge(app, cluster, question, deadlines).await;
                    (recipient, about, judged)
                }
            }
        }
    };
    about.tells = body.is_some();
    let recorded = record(app, (&recipient, &about), judged, deadlines).await;
    let (answer, refused) = recorded.into_answer();
    if let (Some(refused), Some(body)) = (refused, body) {
        tell(app, cluster, refused, body.bytes());
    }
    answer
}

/// Leaves a refusal for the job that writes Events.
fn tell(app: &App, cluster: &ClusterName, refused: RefusedOnRecord, body: &[u8]) {
    let RefusedOnRecord {
        time,
        why,
        message,
        id,
    } = refused;
    if let Some(about) = event::About::of_review(body) {
        app.kubernetes.tell(Refusal {
            cluster: cluster.clone(),
            time,
            about,
            why,
            message,
            decision: id.to_string(),
        });
    }
}

#[cfg(test)]
mod tests;
