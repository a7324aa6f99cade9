//! The verdict on a workload that nobody is about to run: for people who ask first. Nothing is recorded.

use std::sync::Arc;
use std::time::Duration;

use binauthz_core::decision::Decision;
use binauthz_core::name::ClusterName;
use binauthz_core::policy::Standing;
use binauthz_core::workload::{BreakGlass, RequestedImage, Subject};
use binauthz_wire::manifest::{InvalidObject, Manifest};
use binauthz_wire::verdict;
use serde_json::Value;
use tokio::time::Instant;

use super::judge::{Judged, Question, judge_until, subject};
use super::snapshot::Known;
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
    let Some(seen) = See::of_object(app, cluster, object, namespace).await? else {
        return Ok(verdict::describe_no_image(object));
    };
    let mut described = verdict::describe_object(&seen.decision, object);
    if explain {
        described["explanation"] = seen.explanation();
    }
    Ok(described)
}

/// The same, as the value that it is; nothing for a custom resource that names no image, as it may.
pub(crate) async fn judged(
    app: &App,
    cluster: &ClusterName,
    object: &Manifest,
    namespace: Option<&str>,
) -> Result<Option<Decision>, InvalidObject> {
    let seen = See::of_object(app, cluster, object, namespace).await?;
    Ok(seen.map(|seen| seen.decision))
}

/// The verdict on what a record is about, as of now and explained; nothing if the record does not hold all that was asked.
pub(crate) async fn again(app: &App, record: &Value) -> Option<Value> {
    let text = |field: &str| record[field].as_str();
    let images = record["images"].as_array()?;
    if record["truncated"] == true || images.is_empty() {
        return None;
    }
    let image = |image: &Value| {
        let (field, image) = (image["field"].as_str()?, image["image"].as_str()?);
        // A request that could not be judged has a finding about no field.
        (!field.is_empty()).then(|| RequestedImage::new(field, image))
    };
    let opened = text("effect") == Some("BREAK_GLASS");
    let question = Question {
        namespace: text("namespace")?.to_owned(),
        service_account: text("serviceAccount").map(str::to_owned),
        images: images.iter().map(image).collect::<Option<_>>()?,
        break_glass: opened
            .then(|| BreakGlass::read(Some("true"), text("justification")))
            .flatten(),
        asker: None,
    };
    let seen = See::of(app, &text("cluster")?.parse().ok()?, question).await;
    let mut described = verdict::describe(&seen.decision);
    described["explanation"] = seen.explanation();
    Some(described)
}

/// A verdict that is not recorded, and what it was given from.
struct See {
    decision: Decision,
    known: Option<Arc<Known>>,
    subject: Option<Subject>,
}

impl See {
    async fn of_object(
        app: &App,
        cluster: &ClusterName,
        object: &Manifest,
        namespace: Option<&str>,
    ) -> Result<Option<Self>, InvalidObject> {
        let Some(workload) = object.workload_among(&app.settings.custom_resources)? else {
            return Ok(None);
        };
        let namespace = namespace
            .or_else(|| workload.written_namespace())
            .unwrap_or("default");
        let question = Question::of(&workload, namespace);
        Ok(Some(Self::of(app, cluster, question).await))
    }

    async fn of(app: &App, cluster: &ClusterName, question: Question) -> Self {
        let (namespace, account) = (question.namespace.clone(), question.service_account.clone());
        let until = Instant::now() + WAIT;
        let Judged { decision, known, .. } =
            judge_until(app, cluster, question, until, &Phases::default()).await;
        let subject = known
            .as_ref()
            .and_then(|known| subject(cluster, known, &namespace, account.as_deref()).ok());
        Self {
            decision,
            known,
            subject,
        }
    }

    fn explanation(&self) -> Value {
        let snapshot = self.known.as_ref().and_then(|known| match &known.standing {
            Standing::Registered(snapshot) => Some(snapshot.as_ref()),
            Standing::Unregistered | Standing::NoPolicy | Standing::Unavailable(_) => None,
        });
        verdict::explain(&self.decision, snapshot, self.subject.as_ref())
    }
}
