//! The record of a verdict, on disk before the answer.

use binauthz_core::decision::{Decision, Effect, Finding, unrecorded};
use binauthz_core::time::UnixTime;
use binauthz_wire::admission_review::Review;
use binauthz_wire::image_review::ImageReview;
use binauthz_wire::json::timestamp_out;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::deadline::Deadlines;
use super::request::Target;
use crate::app::App;
use crate::audit::MAXIMUM_RECORD;

/// The longest text of one field; a longer one is cut and the record says so.
const MAX_TEXT: usize = 1_024;
/// Images listed in one record, 64 × (image 512 + reasons 1 024) could pass the limit; then they are counted only.
const MAX_IMAGES: usize = 64;

/// What a verdict is about, for the record. No environment, no secret: an explicit list.
#[derive(Debug)]
pub(super) struct About {
    cluster: String,
    dialect: &'static str,
    uid: String,
    operation: String,
    kind: String,
    sub_resource: String,
    namespace: String,
    name: String,
    user: String,
    dry_run: bool,
}

impl About {
    pub(super) fn review(target: &Target, review: &Review<'_>) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            dialect: "AdmissionReview",
            uid: review.uid().to_owned(),
            operation: review.operation().to_owned(),
            kind: review.kind().kind.clone().into_owned(),
            sub_resource: review.sub_resource().to_owned(),
            namespace: review.namespace().to_owned(),
            name: review.name().to_owned(),
            user: review.username().to_owned(),
            dry_run: review.dry_run(),
        }
    }

    pub(super) fn image_review(target: &Target, review: &ImageReview<'_>) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            dialect: "ImageReview",
            uid: String::new(),
            operation: String::new(),
            kind: "Pod".to_owned(),
            sub_resource: String::new(),
            namespace: review.namespace().to_owned(),
            name: String::new(),
            user: String::new(),
            dry_run: false,
        }
    }

    /// The object's own name, where the request gives none.
    pub(super) fn named(mut self, name: &str) -> Self {
        if self.name.is_empty() {
            name.clone_into(&mut self.name);
        }
        self
    }
}

/// A decision that is on disk, or that says that it could not be. Only [`record`] makes one.
#[derive(Debug)]
pub(super) struct Recorded(Decision);

impl Recorded {
    pub(super) fn decision(&self) -> &Decision {
        &self.0
    }
}

/// Writes the record and waits for the disk. Without a record an enforced decision becomes a denial, and a broken glass
/// stays open and is shouted about.
pub(super) async fn record(app: &App, about: &About, decision: Decision, deadlines: &Deadlines) -> Recorded {
    let now = (app.clock)();
    let durable = app.journal.append(render(about, &decision, now, deadlines));
    let failure = match timeout_at(deadlines.answer(), durable).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why.to_string()),
        Err(_) => Some("the verdict journal took too long".to_owned()),
    };
    let decision = match failure {
        None => decision,
        Some(why) => {
            let broken = matches!(decision.effect(), Effect::BrokenGlass { .. });
            app.counters.unrecorded(broken);
            let (cluster, name, user) = (&about.cluster, &about.name, &about.user);
            tracing::error!(%why, %cluster, %name, %user, break_glass = broken, "a verdict could not be recorded");
            unrecorded(&decision)
        }
    };
    app.counters.verdict(&decision, deadlines.start().elapsed());
    Recorded(decision)
}

fn render(about: &About, decision: &Decision, now: UnixTime, deadlines: &Deadlines) -> Vec<u8> {
    let mut cut = Cut(false);
    let micros = u64::try_from(deadlines.start().elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut record = describe(decision);
    if let Some(members) = record.as_object_mut() {
        let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
        put("time", timestamp_out(now).into());
        put("id", uuid::Uuid::now_v7().to_string().into());
        put("cluster", cut.text(&about.cluster));
        put("dialect", about.dialect.into());
        put("uid", cut.text(&about.uid));
        put("operation", cut.text(&about.operation));
        put("kind", cut.text(&about.kind));
        put("subResource", cut.text(&about.sub_resource));
        put("namespace", cut.text(&about.namespace));
        put("name", cut.text(&about.name));
        put("user", cut.text(&about.user));
        put("dryRun", about.dry_run.into());
        put("latencyMicros", micros.into());
        if cut.0 {
            put("truncated", true.into());
        }
    }
    let bytes = record.to_string().into_bytes();
    // Half of the limit: the journal escapes what would break a line.
    if bytes.len() <= MAXIMUM_RECORD / 2 {
        return bytes;
    }
    if let Some(members) = record.as_object_mut() {
        members.insert("images".to_owned(), json!([]));
        members.insert("imageCount".to_owned(), decision.findings().len().into());
        members.insert("truncated".to_owned(), true.into());
    }
    record.to_string().into_bytes()
}

struct Cut(bool);

impl Cut {
    fn text(&mut self, text: &str) -> Value {
        let short: String = text.chars().take(MAX_TEXT).collect();
        self.0 |= short.len() < text.len();
        short.into()
    }
}

/// A decision for people and programs: the record's, and the API's answer to those who ask first.
pub(crate) fn describe(decision: &Decision) -> Value {
    let word = |admitted: bool| if admitted { "ALLOW" } else { "DENY" };
    let mut cut = Cut(false);
    let images: Vec<Value> = decision
        .findings()
        .iter()
        .take(MAX_IMAGES)
        .map(|finding| image(finding, &mut cut))
        .collect();
    let mut value = json!({
        "verdict": word(decision.admitted()),
        "conforms": decision.conforms(),
        "reason": decision.reason_code(),
        "effect": decision.effect().code(),
        "images": images,
        "message": cut.text(&decision.denial()),
    });
    if let Some(members) = value.as_object_mut() {
        if let Effect::BrokenGlass { justification } = decision.effect() {
            members.insert("justification".to_owned(), cut.text(justification));
        }
        if let Some(rule) = decision.rule() {
            members.insert("rule".to_owned(), rule.to_string().into());
        }
        if let Some(policy) = decision.policy() {
            members.insert(
                "policy".to_owned(),
                json!({ "name": policy.name, "etag": policy.etag }),
            );
        }
        if cut.0 || decision.findings().len() > MAX_IMAGES {
            members.insert("truncated".to_owned(), true.into());
        }
    }
    value
}

fn image(finding: &Finding, cut: &mut Cut) -> Value {
    let reasons: Vec<Value> = finding
        .reasons()
        .iter()
        .map(
            |reason| json!({ "code": reason.code(), "message": cut.text(&reason.sentence(finding.image())) }),
        )
        .collect();
    json!({
        "field": finding.location(),
        "image": cut.text(finding.image()),
        "verdict": if finding.conforms() { "ALLOW" } else { "DENY" },
        "reasons": reasons,
    })
}
