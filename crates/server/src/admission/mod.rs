//! The data plane: the webhook, from bytes to an answer that was recorded.
//!
//! ```text
//! request ─► review ─► snapshot ─► plan ─► gather ─► decide ─► record ─► reply
//! ```
//!
//! After `review` nothing leaves by an error: a missing policy, a slow store, a panic or a full disk all end as a
//! [`Decision`](binauthz_core::decision::Decision), and a reply takes only what was recorded.

mod clock_cache;
mod counters;
mod deadline;
mod entry;
mod gather;
mod judge;
mod proofs;
mod record;
mod request;
mod snapshot;

pub(crate) use counters::{Counters, LATENCY_BOUNDS};
pub(crate) use entry::describe;
pub(crate) use judge::judge_workload;
pub(crate) use proofs::Proofs;
pub(crate) use snapshot::{Snapshots, enforces_anything};

use std::sync::Arc;

use binauthz_core::decide::refuse;
use binauthz_core::decision::Reason;
use binauthz_core::workload::{BREAK_GLASS_ANNOTATION, BreakGlass};
use binauthz_wire::admission_review::{self, Matter, Review};
use binauthz_wire::image_review;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use self::deadline::Deadlines;
use self::judge::{Judged, caught, judge};
use self::record::{About, Recorded, record};
use self::request::{Dialect, Refused, Target};
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
    match target.dialect {
        Dialect::Admit => {
            let review = admission_review::read(body).map_err(Refused::unreadable)?;
            Ok(admit(app, target, review, deadlines).await)
        }
        Dialect::Mutate => {
            let review = admission_review::read(body).map_err(Refused::unreadable)?;
            Ok(mutate(review))
        }
        Dialect::ImagePolicy => {
            let review = image_review::read(body).map_err(Refused::unreadable)?;
            let about = About::image_review(target, &review);
            let break_glass = review.break_glass();
            let judged = judge(app, target, judge::Question::from(&review), deadlines);
            let judged = bounded(app, judged, break_glass.as_ref(), deadlines).await;
            let recorded = record(app, &about, judged, deadlines).await;
            Ok(image_review::verdict(recorded.decision()))
        }
    }
}

async fn admit(app: &Arc<App>, target: &Target, review: Review<'_>, deadlines: &Deadlines) -> Vec<u8> {
    let address = review.address();
    if request::carries_no_image(&review) {
        return address.nothing_to_judge();
    }
    let about = About::review(target, &review);
    let namespace = review.namespace().to_owned();
    let (workload, old) = match review.into_matter() {
        Ok(Matter::Deletion) => return address.nothing_to_judge(),
        Ok(Matter::Judge { workload, old }) => (workload, old),
        Err(why) => {
            let decision = refuse(Reason::Unreviewable(why.to_string()), None);
            return address.verdict(record(app, &about, decision.into(), deadlines).await.decision());
        }
    };
    // Nothing starts that was not judged when it came in; labels and finalizers stay editable.
    if old.is_some_and(|old| workload.adds_nothing_to(&old)) {
        return address.nothing_to_judge();
    }
    let advice = app.settings.warn_only_for_workloads && !workload.is_pod();
    let about = About {
        advice,
        ..about.named(workload.name())
    };
    let break_glass = workload.break_glass();
    let judged = judge(app, target, judge::Question::of(&workload, &namespace), deadlines);
    let judged = bounded(app, judged, break_glass.as_ref(), deadlines).await;
    let recorded: Recorded = record(app, &about, judged, deadlines).await;
    if advice {
        address.advice(recorded.decision())
    } else {
        address.verdict(recorded.decision())
    }
}

/// A decision whatever happens to the judging: a panic, an overload and the end of the time are denials.
async fn bounded(
    app: &Arc<App>,
    judged: impl Future<Output = Judged>,
    break_glass: Option<&BreakGlass>,
    deadlines: &Deadlines,
) -> Judged {
    let Ok(_permit) = app.admissions.try_acquire() else {
        return refuse(Reason::Overloaded, break_glass).into();
    };
    match tokio::time::timeout_at(deadlines.judged(), caught(judged)).await {
        Ok(Some(judged)) => judged,
        Ok(None) => {
            app.counters.panicked();
            tracing::error!("a panic while judging; denied");
            refuse(Reason::Internal, break_glass).into()
        }
        Err(_) => refuse(Reason::Deadline, break_glass).into(),
    }
}

/// Copies an emergency door from a workload's own metadata to its pod template, so that its Pods carry it. Decides
/// nothing: the validating webhook sees the object again.
fn mutate(review: Review<'_>) -> Vec<u8> {
    let address = review.address();
    let Ok(Matter::Judge { workload, .. }) = review.into_matter() else {
        return address.patched(None);
    };
    let door = match workload.break_glass() {
        Some(door) if !workload.is_pod() && !workload.template_breaks_glass() => door,
        _ => return address.patched(None),
    };
    let value = if door.justification().is_empty() {
        "true"
    } else {
        door.justification()
    };
    address.patched(
        workload
            .template_annotation_patch(BREAK_GLASS_ANNOTATION, value)
            .as_ref(),
    )
}

#[cfg(test)]
mod tests;
