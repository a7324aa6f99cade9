//! The emergency door, where the cluster says who may open it.

use binauthz_core::name::ClusterName;

use super::about::{About, Text};
use super::case::Recipient;
use super::deadline::Deadlines;
use super::judge::Question;
use crate::app::App;
use crate::kubernetes::Opening;

/// Asks whether whoever opens the door may do so. If they may not, or nobody can say, the question is one like any other:
/// what conforms is let in, and what does not is refused, also where workloads are only warned about, because the Pods of
/// such a one are made by a controller that may open doors.
pub(super) async fn asked(
    app: &App,
    cluster: &ClusterName,
    (recipient, mut about, mut question): (Recipient, About, Question),
    deadlines: &Deadlines,
) -> (Recipient, About, Question) {
    let asker = question.asker.take();
    let until = deadlines.gather(true);
    let opening = app
        .kubernetes
        .opening(cluster, asker.as_ref(), about.text(Text::Namespace), until);
    let Opening::Closed(why) = opening.await else {
        return (recipient, about, question);
    };
    question.break_glass = None;
    about.closed = Some(why.into());
    about.advice = false;
    (recipient.strict(), about, question)
}
