//! A verdict as JSON, for people and programs who ask before they deploy: the words of the audit record, and on request
//! what was tried. The server's `:decide` and a verdict given from a snapshot are this one text.

use binauthz_core::decision::{Decision, Effect, Finding, Reason};
use binauthz_core::image::{ImagePattern, ImageRef};
use binauthz_core::name::ClusterKey;
use binauthz_core::policy::{GlobalEvaluation, Policy, Scoped, Snapshot};
use binauthz_core::workload::Subject;
use serde_json::{Map, Value, json};

use crate::manifest::Manifest;

/// Patterns named one by one for an image; a policy has up to 10 000, and a request up to some hundred images.
const PATTERNS_NAMED: usize = 12;
/// Attestations named one by one for an image and an attestor; up to 200 are looked at.
const REJECTED_NAMED: usize = 20;

/// The decision on an object of a manifest.
pub fn describe_object(decision: &Decision, object: &Manifest) -> Value {
    let mut described = describe(decision);
    if let Value::Object(members) = &mut described {
        members.insert("kind".to_owned(), json!(object.kind().kind));
        members.insert("name".to_owned(), json!(object.name()));
    }
    described
}

/// What becomes of an object of a manifest that names no image, as it may: it passes, and nothing was decided.
pub fn describe_no_image(object: &Manifest) -> Value {
    json!({
        "verdict": word(true),
        "conforms": true,
        "message": "it names no image",
        "images": [],
        "kind": object.kind().kind,
        "name": object.name(),
    })
}

/// The decision.
pub fn describe(decision: &Decision) -> Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: Value| members.insert(key.to_owned(), value);
    put("verdict", json!(word(decision.admitted())));
    put("conforms", json!(decision.conforms()));
    put("reason", json!(decision.reason_code()));
    put("effect", json!(decision.effect().code()));
    put("message", json!(decision.denial()));
    if let Effect::BrokenGlass { justification } = decision.effect() {
        put("justification", json!(justification));
    }
    if let Some(rule) = decision.rule() {
        put("rule", json!(rule.to_string()));
    }
    if let Some(policy) = decision.policy() {
        put("policy", json!({"name": policy.name, "etag": policy.etag}));
    }
    put("images", decision.findings().iter().map(image).collect());
    members.into()
}

/// What was tried on the way to the decision, and why it did not help: `snapshot` is what it was decided from and
/// `subject` for whom, as far as they were known.
pub fn explain(decision: &Decision, snapshot: Option<&Snapshot>, subject: Option<&Subject>) -> Value {
    let mut members = Map::new();
    if let (Some(snapshot), Some(subject)) = (snapshot, subject)
        && rules_were_looked_at(decision)
        && let Some(scope) = scope(&snapshot.policy.scoped, subject)
    {
        members.insert("scope".to_owned(), json!(scope));
    }
    let tried = |finding: &Finding| tried(finding, snapshot.filter(|_| decision.policy().is_some()));
    members.insert(
        "images".to_owned(),
        decision.findings().iter().map(tried).collect(),
    );
    members.into()
}

fn word(good: bool) -> &'static str {
    if good { "ALLOW" } else { "DENY" }
}

fn image(finding: &Finding) -> Value {
    let reasons = finding.reasons().iter().map(|why| reason(why, finding.image()));
    json!({
        "field": finding.location(),
        "image": finding.image(),
        "verdict": word(finding.conforms()),
        "reasons": reasons.collect::<Vec<Value>>(),
    })
}

fn reason(reason: &Reason, image: &str) -> Value {
    match reason {
        // By far the most frequent reason; its sentence would repeat what stands beside it.
        Reason::Attested {
            attestor,
            occurrence,
            key_id,
        } => json!({
            "code": reason.code(),
            "attestor": attestor.to_string(),
            "occurrence": occurrence.to_string(),
            "key": &**key_id,
        }),
        _ => json!({"code": reason.code(), "message": reason.sentence(image)}),
    }
}

fn rules_were_looked_at(decision: &Decision) -> bool {
    let unknown = |finding: &Finding| finding.reasons().contains(&Reason::SubjectUnknown);
    decision.rule().is_some() || decision.findings().iter().any(unknown)
}

/// Why a scoped rule applies, or none does; nothing for a policy that has only its default rule.
fn scope(scoped: &Scoped, subject: &Subject) -> Option<String> {
    let service_account = subject.service_account.as_ref();
    let identity = subject.mesh_identity.as_ref();
    let (map, count, key, found) = match scoped {
        Scoped::None => return None,
        Scoped::ByCluster(rules) => {
            let key = ClusterKey::from(&subject.cluster);
            let found = rules.contains_key(&key);
            ("clusterAdmissionRules", rules.len(), Some(key.to_string()), found)
        }
        Scoped::ByNamespace(rules) => (
            "kubernetesNamespaceAdmissionRules",
            rules.len(),
            Some(subject.namespace.to_string()),
            rules.contains_key(&subject.namespace),
        ),
        Scoped::ByServiceAccount(rules) => (
            "kubernetesServiceAccountAdmissionRules",
            rules.len(),
            service_account.map(ToString::to_string),
            service_account.is_some_and(|key| rules.contains_key(key)),
        ),
        Scoped::ByMeshIdentity(rules) => (
            "istioServiceIdentityAdmissionRules",
            rules.len(),
            identity.map(|key| format!("spiffe://{key}")),
            identity.is_some_and(|key| rules.contains_key(key)),
        ),
    };
    Some(match key {
        _ if count == 0 => format!("{map} is empty: the default rule applies"),
        Some(key) if found => format!("{map} has a rule for `{key}`"),
        Some(key) => format!("{map} has {count} rules and none for `{key}`: the default rule applies"),
        None => format!("{map} has {count} rules, and who asks is not known: only exempt images pass"),
    })
}

/// What was tried for one image.
fn tried(finding: &Finding, snapshot: Option<&Snapshot>) -> Value {
    let mut members = Map::new();
    members.insert("field".to_owned(), json!(finding.location()));
    members.insert("image".to_owned(), json!(finding.image()));
    let settled = |reason: &Reason| {
        matches!(
            reason,
            Reason::Allowlisted(_) | Reason::SystemImage(_) | Reason::EvaluationDisabled | Reason::NoImages
        )
    };
    if let Some(snapshot) = snapshot.filter(|_| !finding.reasons().iter().any(settled)) {
        members.insert("patterns".to_owned(), patterns(finding.image(), snapshot));
    }
    let reasons = finding.reasons().iter().enumerate();
    let rejected: Vec<Value> = reasons
        .filter_map(|(index, reason)| rejections(index, reason))
        .collect();
    if !rejected.is_empty() {
        members.insert("rejected".to_owned(), rejected.into());
    }
    members.into()
}

/// The patterns that do not match: those for the same repository first, with what they would have needed.
fn patterns(image: &str, snapshot: &Snapshot) -> Value {
    let Policy {
        allowlist,
        global_evaluation,
        ..
    } = &snapshot.policy;
    let repository = image
        .parse::<ImageRef>()
        .map(|image| image.repository().to_owned())
        .ok();
    let near = |pattern: &&ImagePattern| {
        repository
            .as_deref()
            .is_some_and(|repository| pattern.as_str().starts_with(repository))
    };
    let far = allowlist.iter().filter(|pattern| !near(pattern));
    let named = allowlist.iter().filter(near).chain(far).take(PATTERNS_NAMED);
    let named = named.map(|pattern| {
        let mut entry = json!({"pattern": pattern.as_str()});
        if let (true, Some(warning), Some(members)) =
            (near(&pattern), pattern.warnings().first(), entry.as_object_mut())
        {
            members.insert("note".to_owned(), json!(format!("it {}", warning.explanation())));
        }
        entry
    });
    let system = match global_evaluation {
        GlobalEvaluation::Enable => snapshot.system.patterns().len(),
        GlobalEvaluation::Disable => 0,
    };
    json!({
        "count": allowlist.len(),
        "systemCount": system,
        "notMatching": named.collect::<Vec<Value>>(),
    })
}

/// The attestations that proved nothing to one attestor, whose reason is the image's `index`th.
fn rejections(index: usize, reason: &Reason) -> Option<Value> {
    let Reason::NoValidAttestations { attestor, rejected } = reason else {
        return None;
    };
    let named = rejected.iter().take(REJECTED_NAMED);
    let named =
        named.map(|(occurrence, why)| json!({"occurrence": occurrence.to_string(), "why": why.to_string()}));
    Some(json!({
        "reason": index,
        "attestor": attestor.to_string(),
        "count": rejected.len(),
        "attestations": named.collect::<Vec<Value>>(),
    }))
}

#[cfg(test)]
#[path = "verdict/tests.rs"]
mod tests;
