//! The verdict on a workload that nobody is about to run: for people who ask first. Nothing is recorded.

use std::time::Duration;

use binauthz_core::name::ClusterName;
use binauthz_core::policy::Standing;
use binauthz_wire::manifest::{InvalidObject, Manifest};
use binauthz_wire::verdict;
use serde_json::Value;
use tokio::time::Instant;

use super::judge::{Judged, Question, judge_until, subject};
use crate::app::App;
use crate::trace::Phases;

/// As long as an API server waits by default.
const WAIT: Duration = Duration::from_secs(10);

/// The verdict on an object in `namespace`, or in the one it names itself, or in `default`; with what was tried if
/// `explain` is set.
pub(crate) async fn preview(
    app: &App,
    cluster: &ClusterName,
    object: &Manifest,
    namespace: Option<&str>,
    explain: bool,
) -> Result<Value, InvalidObject> {
    let workload = object.workload()?;
    let namespace = namespace
        .or_else(|| workload.written_namespace())
        .unwrap_or("default");
    let question = Question::of(&workload, namespace);
    let Judged { decision, known, .. } =
        judge_until(app, cluster, question, Instant::now() + WAIT, &Phases::default()).await;
    let mut described = verdict::describe_object(&decision, object);
    if explain {
        let snapshot = known.as_ref().and_then(|known| match &known.standing {
            Standing::Registered(snapshot) => Some(snapshot.as_ref()),
            Standing::Unregistered | Standing::NoPolicy | Standing::Unavailable(_) => None,
        });
        let subject = known
            .as_ref()
            .and_then(|known| subject(cluster, known, namespace, workload.service_account()).ok());
        described["explanation"] = verdict::explain(&decision, snapshot, subject.as_ref());
    }
    Ok(described)
}
