//! `Policy` and its rules.

use std::collections::BTreeMap;
use std::str::FromStr;

use binauthz_core::policy::{
    AdmissionRule, Allowlist, Attestors, Enforcement, GlobalEvaluation, MAX_PATTERNS, MAX_RULES, Policy,
    Rule, Scoped,
};
use serde_json::{Map, json};

use super::Stamp;
use crate::json::{Element, EnumRow, InvalidField, Object, Value, enum_name, timestamp_out};

const GLOBAL_EVALUATION: &[EnumRow<GlobalEvaluation>] = &[
    ("ENABLE", 1, GlobalEvaluation::Enable),
    ("DISABLE", 2, GlobalEvaluation::Disable),
    (
        "GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED",
        0,
        GlobalEvaluation::Disable,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    AlwaysAllow,
    RequireAttestation,
    AlwaysDeny,
}

const MODES: &[EnumRow<Mode>] = &[
    ("ALWAYS_ALLOW", 1, Mode::AlwaysAllow),
    ("REQUIRE_ATTESTATION", 2, Mode::RequireAttestation),
    ("ALWAYS_DENY", 3, Mode::AlwaysDeny),
];

const ENFORCEMENTS: &[EnumRow<Enforcement>] = &[
    ("ENFORCED_BLOCK_AND_AUDIT_LOG", 1, Enforcement::Block),
    ("DRYRUN_AUDIT_LOG_ONLY", 2, Enforcement::DryRun),
];

/// The longest description kept.
const MAX_DESCRIPTION: usize = 4096;

const CLUSTERS: &str = "clusterAdmissionRules";
const NAMESPACES: &str = "kubernetesNamespaceAdmissionRules";
const SERVICE_ACCOUNTS: &str = "kubernetesServiceAccountAdmissionRules";
const MESH_IDENTITIES: &str = "istioServiceIdentityAdmissionRules";

/// A policy as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRequest {
    /// The policy.
    pub policy: Policy,
    /// The etag it was read with; absent means "whatever is there".
    pub etag: Option<String>,
}

/// Reads a policy. `name` and `updateTime` mean nothing in a request.
pub fn read_policy(value: Value) -> Result<PolicyRequest, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("name");
    object.ignore("updateTime");
    let etag = object.take_optional_string("etag")?;
    let description = read_description(&mut object)?;
    let global_evaluation = object
        .take_optional_enum("globalPolicyEvaluationMode", GLOBAL_EVALUATION)?
        .unwrap_or(GlobalEvaluation::Disable);
    let allowlist = read_patterns(&mut object)?;
    let scoped = read_scoped(&mut object)?;
    let default_rule = read_rule(object.take_object("defaultAdmissionRule")?)?;
    object.finish()?;
    Ok(PolicyRequest {
        policy: Policy {
            description,
            global_evaluation,
            allowlist,
            scoped,
            default_rule,
        },
        etag,
    })
}

pub(super) fn read_description(object: &mut Object) -> Result<String, InvalidField> {
    let description = object.take_optional_string("description")?.unwrap_or_default();
    if description.len() > MAX_DESCRIPTION {
        return Err(object.refused(
            "description",
            format_args!("is longer than {MAX_DESCRIPTION} bytes"),
        ));
    }
    Ok(description)
}

fn read_patterns(object: &mut Object) -> Result<Allowlist, InvalidField> {
    let items = object.take_objects("admissionWhitelistPatterns")?;
    if items.len() > MAX_PATTERNS {
        let reason = format_args!("has {} patterns, expected at most {MAX_PATTERNS}", items.len());
        return Err(object.refused("admissionWhitelistPatterns", reason));
    }
    items
        .into_iter()
        .map(|mut item| {
            let text = item.take_string("namePattern")?;
            let pattern = text.parse().map_err(|why| item.refused("namePattern", why))?;
            item.finish()?;
            Ok(pattern)
        })
        .collect()
}

fn read_scoped(object: &mut Object) -> Result<Scoped, InvalidField> {
    let clusters = object.take_map(CLUSTERS)?;
    let namespaces = object.take_map(NAMESPACES)?;
    let service_accounts = object.take_map(SERVICE_ACCOUNTS)?;
    let mesh_identities = object.take_map(MESH_IDENTITIES)?;
    let filled: Vec<&str> = [
        (CLUSTERS, clusters.len()),
        (NAMESPACES, namespaces.len()),
        (SERVICE_ACCOUNTS, service_accounts.len()),
        (MESH_IDENTITIES, mesh_identities.len()),
    ]
    .into_iter()
    .filter(|(_, rules)| *rules > 0)
    .map(|(field, _)| field)
    .collect();
    match filled.as_slice() {
        [] => Ok(Scoped::None),
        [CLUSTERS] => Ok(Scoped::ByCluster(read_rules(object, CLUSTERS, clusters)?)),
        [NAMESPACES] => Ok(Scoped::ByNamespace(read_rules(object, NAMESPACES, namespaces)?)),
        [SERVICE_ACCOUNTS] => Ok(Scoped::ByServiceAccount(read_rules(
            object,
            SERVICE_ACCOUNTS,
            service_accounts,
        )?)),
        [MESH_IDENTITIES] => Ok(Scoped::ByMeshIdentity(read_rules(
            object,
            MESH_IDENTITIES,
            mesh_identities,
        )?)),
        [first, second, ..] => {
            let reason = format_args!(
                "cannot be used together with `{first}`: only one kind of specific admission rule may be filled"
            );
            Err(object.refused(second, reason))
        }
        [other] => Err(object.refused(other, "is not a map of rules")),
    }
}

fn read_rules<K>(
    object: &Object,
    field: &str,
    entries: Vec<(String, Element)>,
) -> Result<BTreeMap<K, AdmissionRule>, InvalidField>
where
    K: FromStr<Err: std::fmt::Display> + Ord,
{
    if entries.len() > MAX_RULES {
        let reason = format_args!("has {} rules, expected at most {MAX_RULES}", entries.len());
        return Err(object.refused(field, reason));
    }
    let mut rules = BTreeMap::new();
    for (key, element) in entries {
        let rule = element.into_object()?;
        let parsed = key
            .parse()
            .map_err(|why: K::Err| InvalidField::refused(rule.path(), why))?;
        let path = rule.path().to_owned();
        if rules.insert(parsed, read_rule(rule)?).is_some() {
            return Err(InvalidField::refused(
                path,
                "names the same subject as another rule",
            ));
        }
    }
    Ok(rules)
}

fn read_rule(mut object: Object) -> Result<AdmissionRule, InvalidField> {
    let mode = object.take_enum("evaluationMode", MODES)?;
    let enforcement = object.take_enum("enforcementMode", ENFORCEMENTS)?;
    let mut names = Vec::new();
    for (index, text) in object
        .take_strings("requireAttestationsBy")?
        .into_iter()
        .enumerate()
    {
        let path = format!("{}[{index}]", object.path_of("requireAttestationsBy"));
        names.push(text.parse().map_err(|why| InvalidField::refused(path, why))?);
    }
    let rule = match mode {
        Mode::RequireAttestation => {
            let attestors = Attestors::new(names);
            Rule::RequireAttestations(attestors.map_err(|why| object.refused("requireAttestationsBy", why))?)
        }
        Mode::AlwaysAllow | Mode::AlwaysDeny if !names.is_empty() => {
            let reason = "must be empty unless `evaluationMode` is `REQUIRE_ATTESTATION`";
            return Err(object.refused("requireAttestationsBy", reason));
        }
        Mode::AlwaysAllow => Rule::AlwaysAllow,
        Mode::AlwaysDeny => Rule::AlwaysDeny,
    };
    object.finish()?;
    Ok(AdmissionRule { rule, enforcement })
}

/// Writes a policy under its `name`.
pub fn write_policy(name: &str, policy: &Policy, stamp: &Stamp) -> serde_json::Value {
    let mut members = Map::new();
    members.insert("name".to_owned(), json!(name));
    if !policy.description.is_empty() {
        members.insert("description".to_owned(), json!(policy.description));
    }
    let mode = enum_name(GLOBAL_EVALUATION, policy.global_evaluation);
    members.insert("globalPolicyEvaluationMode".to_owned(), json!(mode));
    if !policy.allowlist.is_empty() {
        let patterns: Vec<_> = policy
            .allowlist
            .iter()
            .map(|pattern| json!({ "namePattern": pattern.as_str() }))
            .collect();
        members.insert("admissionWhitelistPatterns".to_owned(), json!(patterns));
    }
    let scoped = match &policy.scoped {
        Scoped::None => None,
        Scoped::ByCluster(rules) => Some((CLUSTERS, write_rules(rules, ToString::to_string))),
        Scoped::ByNamespace(rules) => Some((NAMESPACES, write_rules(rules, ToString::to_string))),
        Scoped::ByServiceAccount(rules) => Some((SERVICE_ACCOUNTS, write_rules(rules, ToString::to_string))),
        Scoped::ByMeshIdentity(rules) => Some((
            MESH_IDENTITIES,
            write_rules(rules, |identity| format!("spiffe://{identity}")),
        )),
    };
    if let Some((field, rules)) = scoped {
        members.insert(field.to_owned(), rules);
    }
    members.insert(
        "defaultAdmissionRule".to_owned(),
        write_rule(&policy.default_rule),
    );
    write_stamp(&mut members, stamp);
    serde_json::Value::Object(members)
}

pub(super) fn write_stamp(members: &mut Map<String, serde_json::Value>, stamp: &Stamp) {
    if let Some(updated) = stamp.updated {
        members.insert("updateTime".to_owned(), json!(timestamp_out(updated)));
    }
    if !stamp.etag.is_empty() {
        members.insert("etag".to_owned(), json!(stamp.etag));
    }
}

fn write_rules<K>(rules: &BTreeMap<K, AdmissionRule>, key: impl Fn(&K) -> String) -> serde_json::Value {
    rules
        .iter()
        .map(|(subject, rule)| (key(subject), write_rule(rule)))
        .collect::<Map<_, _>>()
        .into()
}

fn write_rule(rule: &AdmissionRule) -> serde_json::Value {
    let enforcement = enum_name(ENFORCEMENTS, rule.enforcement);
    match &rule.rule {
        Rule::AlwaysAllow => json!({ "evaluationMode": "ALWAYS_ALLOW", "enforcementMode": enforcement }),
        Rule::AlwaysDeny => json!({ "evaluationMode": "ALWAYS_DENY", "enforcementMode": enforcement }),
        Rule::RequireAttestations(attestors) => {
            let names: Vec<String> = attestors.iter().map(ToString::to_string).collect();
            json!({
                "evaluationMode": "REQUIRE_ATTESTATION",
                "enforcementMode": enforcement,
                "requireAttestationsBy": names,
            })
        }
    }
}
