//! `entries:write`: entries as others write them.

use std::borrow::Cow;

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;

use super::entry::Entry;
use super::fields::{AUDIT_LOG, AuditField, ENTRY, Field, Kind, is_name};
use super::node::{Node, SEVERITIES};
use crate::json::{InvalidField, Object, Value};

/// The largest entry as JSON, in bytes, as Google's.
pub const MAX_ENTRY: usize = 256 << 10;
const MAX_LABELS: usize = 64;
const MAX_ID: usize = 512;
/// Entries may be late by thirty days and early by one, as at Google.
const MOST_LATE_SECONDS: i64 = 30 * 86_400;
const MOST_EARLY_SECONDS: i64 = 86_400;

/// What one write request says about all its entries that do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    log_name: Option<String>,
    resource: Option<Node<'static>>,
    labels: Vec<(String, String)>,
}

impl Defaults {
    /// Takes `logName`, `resource` and `labels` of a write request.
    pub fn take(object: &mut Object) -> Result<Defaults, InvalidField> {
        let log_name = object.take_optional_string("logName")?;
        if let Some(name) = &log_name {
            project_of(name).map_err(|why| object.refused("logName", why))?;
        }
        let resource = match ENTRY.iter().find(|field| field.name == "resource") {
            Some(field) => take(object, field)?,
            None => None,
        };
        let labels = object.take_string_map("labels")?;
        Ok(Defaults {
            log_name,
            resource,
            labels,
        })
    }
}

/// An entry as it was written: without an id and a time, if its writer leaves these to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenEntry {
    entry: Entry<'static>,
    project: ProjectId,
    has_insert_id: bool,
    timestamp: Option<UnixTime>,
}

impl WrittenEntry {
    /// The project whose log it goes to.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// When it happened, if its writer says so.
    pub fn timestamp(&self) -> Option<UnixTime> {
        self.timestamp
    }

    /// The entry, with an id if it has none, received at this time.
    pub fn into_entry(self, insert_id: &str, received: UnixTime) -> Entry<'static> {
        let mut entry = self.entry;
        if !self.has_insert_id {
            entry = entry.with("insertId", insert_id.to_owned().into());
        }
        entry.at(self.timestamp.unwrap_or(received)).received(received)
    }
}

/// Reads one entry of a write request. `path` is `entries[i]`; `now` judges its time.
pub fn read_entry(
    value: Value,
    path: &str,
    defaults: &Defaults,
    now: UnixTime,
) -> Result<WrittenEntry, InvalidField> {
    let mut object = Object::new(value, path)?;
    // Output only; clients that copy entries send them back.
    for field in ["receiveTimestamp", "metadata"] {
        object.ignore(field);
    }
    let mut members = take_fields(&mut object, ENTRY)?;
    apply(defaults, &mut members);
    let project = check(&object, &members)?;
    let timestamp = match member(&members, "timestamp") {
        Some(Node::Time(time)) => Some(*time),
        _ => None,
    };
    if let Some(time) = timestamp {
        let age = now.as_seconds().saturating_sub(time.as_seconds());
        if age > MOST_LATE_SECONDS {
            return Err(object.refused("timestamp", "is more than 30 days in the past"));
        }
        if age < -MOST_EARLY_SECONDS {
            return Err(object.refused("timestamp", "is more than 24 hours in the future"));
        }
    }
    object.finish()?;
    let has_insert_id = member(&members, "insertId").is_some();
    let entry = assemble(members);
    let length = entry.to_json().to_string().len();
    if length > MAX_ENTRY {
        let why = format_args!("has {length} bytes, expected at most {MAX_ENTRY}");
        return Err(InvalidField::refused(path, why));
    }
    Ok(WrittenEntry {
        entry,
        project,
        has_insert_id,
        timestamp,
    })
}

/// Reads an entry as [`Entry::to_json`] wrote it.
pub fn read_stored(value: Value) -> Result<Entry<'static>, InvalidField> {
    let mut object = Object::new(value, "")?;
    let members = take_fields(&mut object, ENTRY)?;
    object.finish()?;
    Ok(assemble(members))
}

type Members = Vec<(Cow<'static, str>, Node<'static>)>;

fn assemble(members: Members) -> Entry<'static> {
    let time = match member(&members, "timestamp") {
        Some(Node::Time(time)) => *time,
        _ => UnixTime::from_micros(0),
    };
    Entry::of(Node::Map(members), time)
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Node<'static>> {
    members.iter().find(|(key, _)| key == name).map(|(_, node)| node)
}

/// What the request says for all entries; what an entry says itself wins.
fn apply(defaults: &Defaults, members: &mut Members) {
    let mut add = |name: &'static str, node: Option<Node<'static>>| {
        if let Some(node) = node
            && member(members, name).is_none()
        {
            members.push((name.into(), node));
        }
    };
    add("logName", defaults.log_name.clone().map(Node::from));
    add("resource", defaults.resource.clone());
    if defaults.labels.is_empty() {
        return;
    }
    add("labels", Some(Node::Map(Vec::new())));
    let labels = members.iter_mut().find(|(key, _)| key == "labels");
    if let Some((_, Node::Map(labels))) = labels {
        for (key, value) in &defaults.labels {
            if !labels.iter().any(|(known, _)| known == key) {
                labels.push((key.clone().into(), value.clone().into()));
            }
        }
    }
}

/// What must hold for a written entry, beyond types; gives its project.
fn check(object: &Object, members: &Members) -> Result<ProjectId, InvalidField> {
    let Some(Node::Text(log_name)) = member(members, "logName") else {
        return Err(InvalidField::missing(object.path_of("logName")));
    };
    let project = project_of(log_name).map_err(|why| object.refused("logName", why))?;
    let kind = member(members, "resource").and_then(|resource| resource.member("type"));
    if !matches!(kind, Some(Node::Text(kind)) if !kind.is_empty()) {
        return Err(InvalidField::missing(object.path_of("resource.type")));
    }
    if let Some(Node::Text(id)) = member(members, "insertId")
        && id.len() > MAX_ID
    {
        return Err(object.refused("insertId", format_args!("is longer than {MAX_ID} bytes")));
    }
    if let Some(Node::Map(labels)) = member(members, "labels")
        && labels.len() > MAX_LABELS
    {
        return Err(object.refused("labels", format_args!("has more than {MAX_LABELS} entries")));
    }
    let payloads = ["textPayload", "jsonPayload", "protoPayload"];
    let mut given = payloads
        .into_iter()
        .filter(|name| member(members, name).is_some());
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let why = format_args!("is given beside `{first}`: expected one payload");
        return Err(object.refused(second, why));
    }
    Ok(project)
}

/// The project of `projects/PROJECT/logs/ID`; the id with `/` written `%2F`.
fn project_of(log_name: &str) -> Result<ProjectId, String> {
    const FORM: &str =
        "expected `projects/PROJECT/logs/LOG`, in LOG letters, digits, `_`, `-`, `.` and `%2F` for `/`";
    let parsed = log_name
        .strip_prefix("projects/")
        .and_then(|rest| rest.split_once("/logs/"));
    let Some((project, id)) = parsed else {
        return Err(FORM.to_owned());
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let plain = id.replace("%2F", "").replace("%2f", "");
    if id.is_empty() || id.len() > MAX_ID || !plain.bytes().all(allowed) {
        return Err(FORM.to_owned());
    }
    project.parse().map_err(|_| FORM.to_owned())
}

fn take_fields(object: &mut Object, fields: &'static [Field]) -> Result<Members, InvalidField> {
    let mut members = Vec::new();
    for field in fields {
        if let Some(node) = take(object, field)? {
            members.push((Cow::Borrowed(field.name), node));
        }
    }
    Ok(members)
}

fn take(object: &mut Object, field: &'static Field) -> Result<Option<Node<'static>>, InvalidField> {
    let name = field.name;
    Ok(match field.kind {
        Kind::Text | Kind::TextPayload => object.take_optional_string(name)?.map(Node::from),
        Kind::Bool => object.take_optional_bool(name)?.map(Node::Bool),
        Kind::Integer | Kind::Long => object.take_optional_i64(name)?.map(Node::Integer),
        Kind::Time => object.take_optional_timestamp(name)?.map(Node::Time),
        Kind::Span => object.take_optional_duration(name)?.map(|span| {
            let nanoseconds = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
            Node::Span(nanoseconds)
        }),
        Kind::Severity => object.take_optional_enum(name, SEVERITIES)?.map(Node::Severity),
        Kind::Labels => match object.take_string_map(name)? {
            labels if labels.is_empty() => None,
            labels => Some(Node::labels(labels)),
        },
        Kind::Message(fields) => match object.take_optional_object(name)? {
            None => None,
            Some(mut inner) => {
                let members = take_fields(&mut inner, fields)?;
                inner.finish()?;
                Some(Node::Map(members))
            }
        },
        Kind::Struct => take_struct(object, name)?,
        Kind::Audit => take_proto(object, name)?,
    })
}

fn take_struct(object: &mut Object, name: &'static str) -> Result<Option<Node<'static>>, InvalidField> {
    match object.take_optional_value(name)? {
        None => Ok(None),
        Some(value @ Value::Object(_)) => Ok(Some(value.into())),
        Some(other) => Err(object.wrong(name, "an object", &other)),
    }
}

fn take_proto(object: &mut Object, name: &'static str) -> Result<Option<Node<'static>>, InvalidField> {
    let Some(mut node) = take_struct(object, name)? else {
        return Ok(None);
    };
    if !matches!(node.member("@type"), Some(Node::Text(_))) {
        return Err(InvalidField::missing(object.path_of(&format!("{name}.@type"))));
    }
    respell(&mut node, AUDIT_LOG, &object.path_of(name))?;
    Ok(Some(node))
}

/// AuditLog's own fields in camelCase: queries look for them under one name.
fn respell(node: &mut Node<'static>, fields: &[AuditField], path: &str) -> Result<(), InvalidField> {
    match node {
        Node::List(items) => items.iter_mut().try_for_each(|item| respell(item, fields, path)),
        Node::Map(members) => {
            let mut seen: Vec<&str> = Vec::new();
            for (key, node) in members {
                let Some(field) = fields.iter().find(|field| is_name(key, field.0)) else {
                    continue;
                };
                if seen.contains(&field.0) {
                    return Err(InvalidField::refused(
                        format!("{path}.{}", field.0),
                        "is given twice",
                    ));
                }
                seen.push(field.0);
                *key = Cow::Owned(field.0.to_owned());
                respell(node, field.1, &format!("{path}.{}", field.0))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
