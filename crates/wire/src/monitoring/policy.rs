//! Alert policies: what is watched, and who is told.

mod condition;

pub use condition::{
    Absence, Aggregation, Aligner, Comparison, Condition, ConditionKind, LogMatch, MissingData, Reducer,
    Threshold, Trigger, group_labels, is_group_field, take_aggregation,
};

use std::time::Duration;

use serde_json::{Map, json};

use super::{MAX_NAME, Mutation, labels_out, take_labels, take_text};
use crate::field_mask::FieldMask;
use crate::json::{EnumRow, InvalidField, Object, Value, duration_out, enum_name};

/// As at Google.
const MAX_CONDITIONS: usize = 6;
const MAX_CHANNELS: usize = 16;
const MAX_DOCUMENTATION: usize = 8 << 10;
const MAX_LINKS: usize = 3;
const SHORTEST_AUTO_CLOSE: Duration = Duration::from_secs(30 * 60);

/// The fields of a policy that an update may name.
pub const FIELDS: &[&str] = &[
    "displayName",
    "documentation",
    "documentation.content",
    "documentation.mimeType",
    "documentation.subject",
    "documentation.links",
    "userLabels",
    "conditions",
    "combiner",
    "enabled",
    "notificationChannels",
    "alertStrategy",
    "severity",
];

/// An alert policy as a client writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertPolicy {
    /// Its name for people.
    pub display_name: String,
    /// What its notifications say beside the facts.
    pub documentation: Option<Documentation>,
    /// Its owner's notes.
    pub user_labels: Vec<(String, String)>,
    /// What is watched; at least one.
    pub conditions: Vec<Condition>,
    /// How several conditions make one incident.
    pub combiner: Combiner,
    /// Whether anything is watched.
    pub enabled: bool,
    /// The names of the channels that are told.
    pub notification_channels: Vec<String>,
    /// How often, and until when.
    pub strategy: Option<AlertStrategy>,
    /// How bad an incident is.
    pub severity: Option<AlertSeverity>,
}

/// What notifications say beside the facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documentation {
    /// Text in Markdown.
    pub content: String,
    /// The subject of mails.
    pub subject: String,
    /// Links: name and URL.
    pub links: Vec<(String, String)>,
}

/// How several conditions make one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combiner {
    /// All must hold.
    And,
    /// One must hold.
    Or,
    /// All must hold for the same resource.
    AndWithMatchingResource,
}

/// How bad an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says how bad")]
pub enum AlertSeverity {
    Critical,
    Error,
    Warning,
}

/// How often channels are told, and when an incident ends by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertStrategy {
    /// At most one notification in this time; for conditions on logs only.
    pub rate_limit: Option<Duration>,
    /// On what notifications are sent; empty: on both.
    pub prompts: Vec<Prompt>,
    /// After this time without data an incident is closed.
    pub auto_close: Option<Duration>,
}

/// On what a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// An incident begins.
    Opened,
    /// It ends.
    Closed,
}

const COMBINERS: &[EnumRow<Combiner>] = &[
    ("AND", 1, Combiner::And),
    ("OR", 2, Combiner::Or),
    ("AND_WITH_MATCHING_RESOURCE", 3, Combiner::AndWithMatchingResource),
];

const SEVERITIES: &[EnumRow<AlertSeverity>] = &[
    ("CRITICAL", 1, AlertSeverity::Critical),
    ("ERROR", 2, AlertSeverity::Error),
    ("WARNING", 3, AlertSeverity::Warning),
];

const PROMPTS: &[EnumRow<Prompt>] = &[("OPENED", 1, Prompt::Opened), ("CLOSED", 3, Prompt::Closed)];

impl AlertPolicy {
    /// The policy after an update, which may leave out what `mask` does not name.
    pub fn updated(&self, value: Value, mask: &FieldMask) -> Result<AlertPolicy, InvalidField> {
        let update = take(Object::new(value, "")?)?;
        let mut policy = self.clone();
        if mask.covers("displayName") {
            policy.display_name = update.display_name;
        }
        policy.documentation = document(mask, update.documentation, policy.documentation);
        if mask.covers("userLabels") {
            policy.user_labels = update.user_labels;
        }
        if mask.covers("conditions") {
            policy.conditions = update.conditions;
        }
        if mask.covers("combiner") {
            policy.combiner = update.combiner;
        }
        if mask.covers("enabled") {
            policy.enabled = update.enabled;
        }
        if mask.covers("notificationChannels") {
            policy.notification_channels = update.notification_channels;
        }
        if mask.covers("alertStrategy") {
            policy.strategy = update.strategy;
        }
        if mask.covers("severity") {
            policy.severity = update.severity;
        }
        policy.whole()
    }

    /// Gives every condition that has none yet a name under the policy's own. A condition keeps its name over updates;
    /// one that names another policy was copied from there and gets a new one.
    pub fn name_conditions(&mut self, policy: &str) {
        let prefix = format!("{policy}/conditions/");
        let mut taken: Vec<String> = Vec::new();
        for condition in &mut self.conditions {
            condition.name = condition
                .name
                .take()
                .filter(|name| name.starts_with(&prefix) && !taken.contains(name));
            taken.extend(condition.name.clone());
        }
        let free = (1_u32..)
            .map(|number| format!("{prefix}{number}"))
            .filter(|name| !taken.contains(name));
        for (condition, name) in self
            .conditions
            .iter_mut()
            .filter(|condition| condition.name.is_none())
            .zip(free)
        {
            condition.name = Some(name);
        }
    }

    /// What must hold between the members.
    fn whole(self) -> Result<AlertPolicy, InvalidField> {
        let refused = |path: &str, why: &str| Err(InvalidField::refused(path, why));
        if self.conditions.is_empty() {
            return refused("conditions", "expected at least one condition");
        }
        let rate_limited = self
            .strategy
            .as_ref()
            .is_some_and(|strategy| strategy.rate_limit.is_some());
        let on_logs = self
            .conditions
            .iter()
            .any(|condition| matches!(condition.kind, ConditionKind::MatchedLog(_)));
        match (on_logs, rate_limited) {
            (true, _) if self.conditions.len() > 1 => refused(
                "conditions",
                "expected a condition with `conditionMatchedLog` to be the only one",
            ),
            (true, false) => refused(
                "alertStrategy.notificationRateLimit",
                "is required with `conditionMatchedLog`: say how often it may notify, such as `{\"period\": \"300s\"}`",
            ),
            (false, true) => refused(
                "alertStrategy.notificationRateLimit",
                "is for policies with `conditionMatchedLog` only",
            ),
            _ => Ok(self),
        }
    }
}

/// The documentation after an update, which may name a part of it. There is one MIME type, so an update of it changes
/// nothing.
fn document(
    mask: &FieldMask,
    update: Option<Documentation>,
    current: Option<Documentation>,
) -> Option<Documentation> {
    let (update, mut documentation) = (update.unwrap_or_default(), current.unwrap_or_default());
    if mask.covers("documentation.content") {
        documentation.content = update.content;
    }
    if mask.covers("documentation.subject") {
        documentation.subject = update.subject;
    }
    if mask.covers("documentation.links") {
        documentation.links = update.links;
    }
    Some(documentation).filter(|documentation| *documentation != Documentation::default())
}

/// Reads a policy. Its name and its records mean nothing in a request; the names of its conditions are kept.
pub fn read_policy(value: Value) -> Result<AlertPolicy, InvalidField> {
    take(Object::new(value, "")?)?.whole()
}

fn take(mut object: Object) -> Result<AlertPolicy, InvalidField> {
    for field in ["name", "creationRecord", "mutationRecord", "validity"] {
        object.ignore(field);
    }
    let conditions = object.take_objects("conditions")?;
    if conditions.len() > MAX_CONDITIONS {
        let why = format_args!("has more than {MAX_CONDITIONS} entries");
        return Err(object.refused("conditions", why));
    }
    let policy = AlertPolicy {
        display_name: take_text(&mut object, "displayName", MAX_NAME)?,
        documentation: take_documentation(&mut object)?,
        user_labels: take_labels(&mut object, "userLabels")?,
        conditions: conditions
            .into_iter()
            .map(condition::take)
            .collect::<Result<_, _>>()?,
        combiner: object
            .take_optional_enum("combiner", COMBINERS)?
            .unwrap_or(Combiner::Or),
        enabled: object.take_optional_bool("enabled")?.unwrap_or(true),
        notification_channels: object.take_strings("notificationChannels")?,
        strategy: take_strategy(&mut object)?,
        severity: object.take_optional_enum("severity", SEVERITIES)?,
    };
    if policy.notification_channels.len() > MAX_CHANNELS {
        let why = format_args!("has more than {MAX_CHANNELS} entries");
        return Err(object.refused("notificationChannels", why));
    }
    object.finish()?;
    Ok(policy)
}

fn take_documentation(object: &mut Object) -> Result<Option<Documentation>, InvalidField> {
    let Some(mut given) = object.take_optional_object("documentation")? else {
        return Ok(None);
    };
    let form = given.take_optional_string("mimeType")?;
    if form.is_some_and(|form| form != "text/markdown") {
        return Err(given.refused("mimeType", "expected `text/markdown`"));
    }
    let links = given.take_objects("links")?;
    if links.len() > MAX_LINKS {
        return Err(given.refused("links", format_args!("has more than {MAX_LINKS} entries")));
    }
    let documentation = Documentation {
        content: take_text(&mut given, "content", MAX_DOCUMENTATION)?,
        subject: take_text(&mut given, "subject", MAX_NAME)?,
        links: links
            .into_iter()
            .map(|mut link| {
                let pair = (
                    take_text(&mut link, "displayName", MAX_NAME)?,
                    take_text(&mut link, "url", 2083)?,
                );
                link.finish()?;
                Ok(pair)
            })
            .collect::<Result<_, _>>()?,
    };
    given.finish()?;
    Ok(Some(documentation).filter(|documentation| *documentation != Documentation::default()))
}

fn take_strategy(object: &mut Object) -> Result<Option<AlertStrategy>, InvalidField> {
    let Some(mut given) = object.take_optional_object("alertStrategy")? else {
        return Ok(None);
    };
    if given.has("notificationChannelStrategy") {
        let why = "incidents are not notified again by this server";
        return Err(given.refused("notificationChannelStrategy", why));
    }
    let rate_limit = match given.take_optional_object("notificationRateLimit")? {
        None => None,
        Some(mut limit) => {
            let Some(period) = limit.take_optional_duration("period")? else {
                return Err(InvalidField::missing(limit.path_of("period")));
            };
            if period.is_zero() {
                return Err(limit.refused("period", "expected more than `0s`"));
            }
            limit.finish()?;
            Some(period)
        }
    };
    let prompts = given
        .take_array("notificationPrompts")?
        .into_iter()
        .map(|element| element.into_enum(PROMPTS))
        .collect::<Result<_, _>>()?;
    let auto_close = given.take_optional_duration("autoClose")?;
    if auto_close.is_some_and(|period| period < SHORTEST_AUTO_CLOSE) {
        let why = format_args!("expected at least `{}`", duration_out(SHORTEST_AUTO_CLOSE));
        return Err(given.refused("autoClose", why));
    }
    let strategy = AlertStrategy {
        rate_limit,
        prompts,
        auto_close,
    };
    given.finish()?;
    Ok(Some(strategy).filter(|strategy| *strategy != AlertStrategy::default()))
}

/// Writes a policy as it is kept: without its name and records.
pub fn write_stored_policy(policy: &AlertPolicy) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    if !policy.display_name.is_empty() {
        put("displayName", json!(policy.display_name));
    }
    if let Some(documentation) = &policy.documentation {
        put("documentation", write_documentation(documentation));
    }
    if !policy.user_labels.is_empty() {
        put("userLabels", labels_out(&policy.user_labels));
    }
    put(
        "conditions",
        policy.conditions.iter().map(condition::write).collect(),
    );
    put("combiner", json!(enum_name(COMBINERS, policy.combiner)));
    put("enabled", json!(policy.enabled));
    if !policy.notification_channels.is_empty() {
        put("notificationChannels", json!(policy.notification_channels));
    }
    if let Some(strategy) = &policy.strategy {
        put("alertStrategy", write_strategy(strategy));
    }
    if let Some(severity) = policy.severity {
        put("severity", json!(enum_name(SEVERITIES, severity)));
    }
    members.into()
}

/// Writes a policy as clients see it.
pub fn write_policy(
    name: &str,
    policy: &AlertPolicy,
    created: &Mutation,
    updated: &Mutation,
) -> serde_json::Value {
    let mut written = write_stored_policy(policy);
    if let Some(members) = written.as_object_mut() {
        members.insert("name".to_owned(), json!(name));
        members.insert("creationRecord".to_owned(), created.to_json());
        members.insert("mutationRecord".to_owned(), updated.to_json());
    }
    written
}

fn write_documentation(documentation: &Documentation) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    if !documentation.content.is_empty() {
        put("content", json!(documentation.content));
        put("mimeType", json!("text/markdown"));
    }
    if !documentation.subject.is_empty() {
        put("subject", json!(documentation.subject));
    }
    if !documentation.links.is_empty() {
        let link = |(name, url): &(String, String)| json!({ "displayName": name, "url": url });
        put("links", documentation.links.iter().map(link).collect());
    }
    members.into()
}

fn write_strategy(strategy: &AlertStrategy) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    if let Some(period) = strategy.rate_limit {
        put("notificationRateLimit", json!({ "period": duration_out(period) }));
    }
    if !strategy.prompts.is_empty() {
        let name = |prompt: &Prompt| json!(enum_name(PROMPTS, *prompt));
        put("notificationPrompts", strategy.prompts.iter().map(name).collect());
    }
    if let Some(period) = strategy.auto_close {
        put("autoClose", json!(duration_out(period)));
    }
    members.into()
}
