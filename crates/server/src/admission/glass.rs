//! The emergency door, where the cluster says who may open it.

use binauthz_core::decision::Reason;
use binauthz_core::name::ClusterName;
use binauthz_core::policy::{Evaluation, Standing};
use tokio::time::timeout_at;

use super::deadline::Deadlines;
use super::judge::{Question, caught};
use crate::app::App;
use crate::kubernetes::{self, Opening};

/// Why the door does not open that a question wants open: whoever asks may not open it, or nobody can say.
///
/// Then the object is refused, whatever its images are. Its annotation would stay: the Pods of a workload are made by a
/// controller that may open doors, and would come in by it when their images no longer conform.
pub(super) async fn refusal(
    app: &App,
    cluster: &ClusterName,
    question: &Question,
    deadlines: &Deadlines,
) -> Option<Reason> {
    if question.break_glass.is_none() || !kubernetes::reviews(app, cluster) {
        return None;
    }
    let until = deadlines.gather(true);
    let known = timeout_at(until, caught(app.snapshots.of(app, cluster))).await;
    // Where nothing is judged there is no door.
    if let Ok(Some(known)) = known
        && let Standing::Registered(snapshot) = &known.standing
        && snapshot.evaluation == Evaluation::Disabled
    {
        return None;
    }
    let asker = question.asker.as_ref();
    match kubernetes::opening(app, cluster, asker, &question.namespace, until).await {
        Opening::Granted => None,
        Opening::Closed(why) => Some(Reason::BreakGlassClosed(why)),
    }
}
