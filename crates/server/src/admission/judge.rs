//! From a question to a decision.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

use binauthz_core::decide::{decide, plan, refuse};
use binauthz_core::decision::{Decision, Reason};
use binauthz_core::name::ClusterName;
use binauthz_core::workload::{BreakGlass, InvalidSubject, Request, RequestedImage, Subject};
use binauthz_wire::image_review::ImageReview;
use binauthz_wire::workload::Workload;
use tokio::time::Instant;

use super::deadline::{Deadlines, by};
use super::gather::gather;
use super::snapshot::Known;
use crate::app::App;
use crate::kubernetes::Asker;
use crate::trace::{Phase, Phases};

/// What is asked, whatever the dialect.
pub(super) struct Question {
    pub(super) namespace: String,
    pub(super) service_account: Option<String>,
    pub(super) images: Vec<RequestedImage>,
    pub(super) break_glass: Option<BreakGlass>,
    /// Who opens the glass; nobody where it stays whole.
    pub(super) asker: Option<Asker>,
}

impl Question {
    /// Of a workload in the namespace of its request.
    pub(super) fn of(workload: &Workload<'_>, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            service_account: workload.service_account().map(str::to_owned),
            images: workload.requested_images(),
            break_glass: workload.break_glass(),
            asker: None,
        }
    }
}

impl From<&ImageReview<'_>> for Question {
    fn from(review: &ImageReview<'_>) -> Self {
        Self {
            namespace: review.namespace().to_owned(),
            service_account: None,
            images: review.requested_images(),
            break_glass: review.break_glass(),
            // The plugin does not say who it is.
            asker: None,
        }
    }
}

/// A decision and what it was decided from, if that was found out.
pub(super) struct Judged {
    pub(super) decision: Decision,
    pub(super) known: Option<Arc<Known>>,
    /// When the judging began, if it did.
    pub(super) begun: Option<Instant>,
}

impl From<Decision> for Judged {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            known: None,
            begun: None,
        }
    }
}

/// The verdict on a question for the cluster of the path, whatever happens on the way: a panic, an overload and the end
/// of the time are denials.
pub(super) async fn judge(
    app: &App,
    cluster: &ClusterName,
    question: Question,
    deadlines: &Deadlines,
) -> Judged {
    let break_glass = question.break_glass.clone();
    let refused = |reason| Judged::from(refuse(reason, break_glass.as_ref()));
    let Ok(_permit) = app.admissions.try_acquire() else {
        return refused(Reason::Overloaded);
    };
    // A timeout gives its work one turn, which can be enough; too late is too late all the same.
    let now = Instant::now();
    if now >= deadlines.judged() {
        return refused(Reason::Deadline);
    }
    let until = deadlines.gather(break_glass.is_some());
    let judged = caught(judge_until(app, cluster, question, until, deadlines.phases()));
    match by(deadlines.judged(), judged).await {
        Ok(Some(judged)) => Judged {
            begun: Some(now),
            ..judged
        },
        Ok(None) => {
            app.counters.panicked();
            tracing::error!("a panic while judging; denied");
            refused(Reason::Internal)
        }
        Err(_) => refused(Reason::Deadline),
    }
}

/// Why something that needs no judging is refused all the same: the cluster of the path is not registered, or nobody can
/// say whether it is. Nothing for what passes.
pub(super) async fn objection_to_passing(
    app: &App,
    cluster: &ClusterName,
    deadlines: &Deadlines,
) -> Option<Judged> {
    let registration = caught(async { app.snapshots.of(app, cluster).await.registration(cluster) });
    let reason = match by(deadlines.judged(), registration).await {
        Ok(Some(Ok(()))) => return None,
        Ok(Some(Err(reason))) => reason,
        Ok(None) => {
            app.counters.panicked();
            tracing::error!("a panic while looking for a cluster; denied");
            Reason::Internal
        }
        Err(_) => Reason::Deadline,
    };
    Some(refuse(reason, None).into())
}

pub(super) async fn judge_until(
    app: &App,
    cluster: &ClusterName,
    question: Question,
    until: Instant,
    phases: &Phases,
) -> Judged {
    let Question {
        namespace,
        service_account,
        images,
        break_glass,
        asker: _,
    } = question;
    let known = app.snapshots.of(app, cluster).await;
    let subject = match subject(cluster, &known, &namespace, service_account.as_deref()) {
        Ok(subject) => subject,
        Err(why) => return refuse(Reason::Unreviewable(why.to_string()), break_glass.as_ref()).into(),
    };
    let plan = plan(
        &known.standing,
        Request {
            subject,
            images,
            break_glass,
        },
    );
    phases.ended(Phase::Plan);
    let answers = gather(app, &plan, until).await;
    phases.ended(Phase::Gather);
    let decision = decide(plan, &answers, (app.clock)());
    phases.ended(Phase::Decide);
    Judged {
        decision,
        known: Some(known),
        begun: None,
    }
}

/// Whom a rule is chosen for.
pub(super) fn subject(
    cluster: &ClusterName,
    known: &Known,
    namespace: &str,
    service_account: Option<&str>,
) -> Result<Subject, InvalidSubject> {
    let namespace = namespace.parse()?;
    Subject::new(cluster.clone(), namespace, service_account, &known.trust_domain)
}

/// The future's output, or nothing if it panicked. Boxed: it is moved about on its way into the executor, and by
/// pointer that is cheaper than by value.
pub(super) fn caught<F: Future>(future: F) -> impl Future<Output = Option<F::Output>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(_) => Poll::Ready(None),
        }
    })
}
