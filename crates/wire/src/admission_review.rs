//! `admission.k8s.io/v1` AdmissionReview: what the API server asks, and what it is told.
//!
//! There is no reply that starts out "allowed": each is built whole, from a decision or from an explicit reason why
//! no decision is needed.

mod custom;

pub use custom::CustomReview;

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::decision::{Decision, Effect, Finding};
use serde::Serialize;

use crate::refusal::{OnRecord, refusal};
use crate::strict::{self, List, Text, strict_struct};
use crate::workload::{self, InvalidWorkload, Kind, Workload};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The reason Google's webhook gives, which people and log queries know.
const VIOLATES_POLICY: &str = "VIOLATES_POLICY";
/// The audit annotation that says what was let through.
const OVERRIDDEN: &str = "overridden-verification-result";
/// While the warnings of a request have at most 4096 characters in all, the API server passes them on whole; beyond, it
/// cuts each at 256 and drops the rest. Bytes are counted here, which are never fewer.
const WARNING_BYTES: usize = 4_000;
/// Bytes of one: room for the longest reference there is, its attestor and the way to the digest.
const LONGEST_WARNING: usize = 1_000;
/// Of [`WARNING_BYTES`], for `and N more`.
const MORE_BYTES: usize = 64;
/// One cause per image, but a reply must stay small whatever the Pod; the message names all of them anyway.
const MOST_CAUSES: usize = 64;

/// Why a body is not an AdmissionReview we can answer. The caller gets a 400, and the API server's failure policy
/// decides; shipped manifests say `Fail`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReview {
    /// Not JSON, or JSON that has two readings.
    #[error("the body is not an acceptable AdmissionReview: {0}")]
    Malformed(String),
    /// JSON of another kind.
    #[error("expected `admission.k8s.io/v1` `AdmissionReview`, got `{api_version}` `{kind}`")]
    OtherKind {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A review that is not a question.
    #[error("the AdmissionReview has no `request`")]
    NoRequest,
    /// Without it no reply can be matched.
    #[error("the AdmissionReview's request has no `uid`")]
    NoUid,
}

strict_struct! {
    struct Envelope<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        request: Request<'a> = "request",
    }
}

strict_struct! {
    struct Request<'a> {
        uid: Text<'a> = "uid",
        kind: WireKind<'a> = "kind",
        sub_resource: Text<'a> = "subResource",
        name: Text<'a> = "name",
        namespace: Text<'a> = "namespace",
        operation: Text<'a> = "operation",
        user_info: UserInfo<'a> = "userInfo",
        object: workload::Object<'a> = "object",
        old_object: workload::Object<'a> = "oldObject",
        dry_run: bool = "dryRun",
    }
}

strict_struct! {
    struct WireKind<'a> {
        group: Text<'a> = "group",
        version: Text<'a> = "version",
        kind: Text<'a> = "kind",
    }
}

strict_struct! {
    struct UserInfo<'a> {
        username: Text<'a> = "username",
        groups: List<Text<'a>> = "groups",
    }
}

/// A question of the API server.
#[derive(Debug)]
pub struct Review<'a> {
    uid: Cow<'a, str>,
    kind: Kind<'a>,
    sub_resource: Cow<'a, str>,
    name: Cow<'a, str>,
    namespace: Cow<'a, str>,
    operation: Cow<'a, str>,
    username: Cow<'a, str>,
    groups: Vec<Text<'a>>,
    dry_run: bool,
    object: Option<workload::Object<'a>>,
    old_object: Option<workload::Object<'a>>,
}

/// The groups of whoever asks.
#[derive(Debug, Default)]
pub struct Groups<'a>(Vec<Text<'a>>);

impl Groups<'_> {
    /// Their names.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().map(|group| group.0.clone().into_owned()).collect()
    }
}

/// What a question is about, once it is understood.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once per request and taken apart at once"
)]
pub enum Matter<'a> {
    /// An object that would run images, and what it was before, if this is an update of something readable.
    Judge {
        /// The object as it would be.
        workload: Workload<'a>,
        /// As it was. It may only save work, never excuse anything.
        old: Option<Workload<'a>>,
    },
    /// Something is deleted: no image starts because of it.
    Deletion,
    /// A custom resource that names no image, as it may.
    NoImage,
}

/// Reads a review.
pub fn read(body: &[u8]) -> Result<Review<'_>, InvalidReview> {
    let envelope: Envelope<'_> = strict::read(body).map_err(InvalidReview::Malformed)?;
    review_of(envelope)
}

fn review_of(envelope: Envelope<'_>) -> Result<Review<'_>, InvalidReview> {
    let text = |text: Option<Text<'_>>| text.unwrap_or_default().0.into_owned();
    if !is(&envelope.api_version, API_VERSION) || !is(&envelope.kind, KIND) {
        let (api_version, kind) = (text(envelope.api_version), text(envelope.kind));
        return Err(InvalidReview::OtherKind {
            api_version: cut(&api_version, 100),
            kind: cut(&kind, 100),
        });
    }
    let request = envelope.request.ok_or(InvalidReview::NoRequest)?;
    let kind = request.kind.unwrap_or_default();
    let user = request.user_info.unwrap_or_default();
    let uid = request
        .uid
        .filter(|uid| !uid.0.is_empty())
        .ok_or(InvalidReview::NoUid)?;
    Ok(Review {
        uid: uid.0,
        kind: Kind {
            group: kind.group.unwrap_or_default().0,
            version: kind.version.unwrap_or_default().0,
            kind: kind.kind.unwrap_or_default().0,
        },
        sub_resource: request.sub_resource.unwrap_or_default().0,
        name: request.name.unwrap_or_default().0,
        namespace: request.namespace.unwrap_or_default().0,
        operation: request.operation.unwrap_or_default().0,
        username: user.username.unwrap_or_default().0,
        groups: user.groups.unwrap_or_default().0,
        dry_run: request.dry_run.unwrap_or(false),
        object: request.object,
        old_object: request.old_object,
    })
}

impl<'a> Review<'a> {
    /// The request's id, which the reply must echo.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// What the object is.
    pub fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// The subresource, such as `ephemeralcontainers`; empty for the object itself.
    pub fn sub_resource(&self) -> &str {
        &self.sub_resource
    }

    /// The object's name as the request gives it; may be empty for generated names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of the request. What the object says about its namespace is never asked.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `CREATE`, `UPDATE`, …
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Who asked the API server.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The groups they are in.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.0.as_ref())
    }

    /// Takes the groups away, for whoever needs them after the object was read.
    pub fn take_groups(&mut self) -> Groups<'a> {
        Groups(std::mem::take(&mut self.groups))
    }

    /// Whether nothing will be stored, so nothing may be notified.
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// What a reply needs to know; outlives the body.
    pub fn address(&self) -> Address {
        Address {
            uid: self.uid.clone().into_owned(),
            group: self.kind.group.clone().into_owned(),
            kind: self.kind.kind.clone().into_owned(),
            name: self.name.clone().into_owned(),
        }
    }

    /// What is to be judged. An error ends as a denial.
    pub fn into_matter(self) -> Result<Matter<'a>, InvalidWorkload> {
        if self.operation == "DELETE" {
            return Ok(Matter::Deletion);
        }
        let object = self.object.ok_or(InvalidWorkload::NoObject)?;
        let workload = Workload::extract(&self.kind, object)?;
        // An old object we cannot read narrows nothing; the new one is judged in full.
        let old = match self.operation.as_ref() {
            "UPDATE" => self
                .old_object
                .and_then(|old| Workload::extract(&self.kind, old).ok()),
            _ => None,
        };
        Ok(Matter::Judge { workload, old })
    }
}

/// Where a reply goes and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    uid: String,
    group: String,
    kind: String,
    name: String,
}

impl Address {
    /// The request's id.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The verdict as a reply, and where it is on record.
    pub fn verdict(&self, decision: &Decision, on_record: Option<OnRecord<'_>>) -> Vec<u8> {
        let mut warnings = Vec::new();
        if decision.overridden() {
            let prefix = match decision.effect() {
                Effect::BrokenGlass { .. } => "admitted by break-glass; without it: ",
                _ => "admitted by dry run; when enforced: ",
            };
            warnings = warnings_of(prefix, decision);
        }
        let response = Response {
            allowed: decision.admitted(),
            status: (!decision.admitted()).then(|| self.denial(decision, on_record)),
            audit_annotations: Some(audit_annotations(decision)),
            warnings,
            ..self.response()
        };
        envelope(&response)
    }

    /// The verdict as a mere warning: for workload kinds that are not enforced early. The Pods are judged later. What is
    /// admitted anyway is told as ever.
    pub fn advice(&self, decision: &Decision, on_record: Option<OnRecord<'_>>) -> Vec<u8> {
        if decision.admitted() {
            return self.verdict(decision, on_record);
        }
        let mut annotations = audit_annotations(decision);
        annotations.insert("advice".to_owned(), "true".into());
        annotations.insert(OVERRIDDEN.to_owned(), decision.overridden_result().into());
        envelope(&Response {
            allowed: true,
            audit_annotations: Some(annotations),
            warnings: warnings_of("its Pods will be denied: ", decision),
            ..self.response()
        })
    }

    /// The reply where there is nothing to judge: a deletion, or an update that changes no image.
    pub fn nothing_to_judge(&self) -> Vec<u8> {
        envelope(&Response {
            allowed: true,
            ..self.response()
        })
    }

    /// The reply of a mutating webhook: let it through to the validating one, with a JSON Patch or without.
    pub fn patched(&self, patch: Option<&serde_json::Value>) -> Vec<u8> {
        let patch = patch.map(|patch| STANDARD.encode(patch.to_string()));
        let patch_type = patch.is_some().then_some("JSONPatch");
        envelope(&Response {
            allowed: true,
            patch,
            patch_type,
            ..self.response()
        })
    }

    /// The parts every reply has. `allowed` is false here and every caller names its own.
    fn response(&self) -> Response<'_> {
        Response {
            uid: &self.uid,
            allowed: false,
            status: None,
            audit_annotations: None,
            warnings: Vec::new(),
            patch: None,
            patch_type: None,
        }
    }

    fn denial(&self, decision: &Decision, on_record: Option<OnRecord<'_>>) -> serde_json::Value {
        // `code` stays unset, as Google's does: the API server then answers 400.
        serde_json::json!({
            "status": "Failure",
            "message": refusal(decision, on_record),
            "reason": VIOLATES_POLICY,
            "details": {
                "name": self.name,
                "group": self.group,
                "kind": self.kind,
                "causes": decision.findings().iter().filter(|finding| !finding.conforms()).take(MOST_CAUSES).map(cause)
                    .collect::<Vec<_>>(),
            },
        })
    }
}

fn cause(finding: &Finding) -> serde_json::Value {
    let sentences: Vec<String> = finding
        .objections()
        .map(|objection| objection.sentence(finding.image()))
        .collect();
    serde_json::json!({
        "reason": finding.objections().next().map_or("INTERNAL", |objection| objection.code()),
        "message": sentences.join(" "),
        "field": finding.location(),
    })
}

/// Keys without prefix: the API server puts the webhook's name before them.
pub(crate) fn audit_annotations(decision: &Decision) -> serde_json::Map<String, serde_json::Value> {
    let mut annotations = serde_json::Map::new();
    let mut note = |key: &str, value: String| annotations.insert(key.to_owned(), value.into());
    match decision.effect() {
        Effect::Enforced => {}
        Effect::DryRun if !decision.overridden() => {}
        Effect::DryRun => {
            note("dry-run", "true".to_owned());
        }
        // Break-glass is always noted, also where the policy would have let it pass.
        Effect::BrokenGlass { .. } => {
            note("break-glass", "true".to_owned());
        }
    }
    if decision.overridden() {
        note(OVERRIDDEN, decision.overridden_result());
    }
    annotations
}

/// One warning for each different objection, as many whole ones as fit, and how many did not.
fn warnings_of(prefix: &str, decision: &Decision) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut warnings = Vec::new();
    let (mut room, mut more) = (WARNING_BYTES - MORE_BYTES, 0_usize);
    for finding in decision.findings() {
        for objection in finding.objections() {
            // It travels in an HTTP header and ends in a terminal: nothing in it may move the cursor.
            let warning = line(&format!("{prefix}{}", objection.sentence(finding.image())));
            if !seen.insert(warning.clone()) {
                continue;
            }
            match room.checked_sub(warning.len()) {
                Some(rest) => {
                    room = rest;
                    warnings.push(warning);
                }
                None => more = more.saturating_add(1),
            }
        }
    }
    if more > 0 {
        warnings.push(format!("and {more} more"));
    }
    warnings
}

/// One line of bounded length. A sentence of ours is shorter; what is not holds a name that somebody made long.
fn line(text: &str) -> String {
    let mut line = text.replace(is_unprintable, " ");
    if line.len() > LONGEST_WARNING {
        let mut end = LONGEST_WARNING;
        while !line.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Control characters, line separators, and what changes the direction of a text.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "no_annotations")]
    audit_annotations: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
}

fn no_annotations(annotations: &Option<serde_json::Map<String, serde_json::Value>>) -> bool {
    annotations.as_ref().is_none_or(serde_json::Map::is_empty)
}

fn envelope(response: &Response<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Reply<'a> {
        api_version: &'static str,
        kind: &'static str,
        response: &'a Response<'a>,
    }
    // Strings and maps with string keys: nothing to fail on. An empty body would be a failure to the API server.
    serde_json::to_vec(&Reply {
        api_version: API_VERSION,
        kind: KIND,
        response,
    })
    .unwrap_or_default()
}

fn is(text: &Option<Text<'_>>, expected: &str) -> bool {
    text.as_ref().is_some_and(|text| text.0 == expected)
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
#[path = "admission_review/tests.rs"]
mod tests;
