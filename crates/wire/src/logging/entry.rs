//! One log entry.

use std::borrow::Cow;

use binauthz_core::time::UnixTime;

use super::fields::{ENTRY, Field, Kind};
use super::node::{Node, Severity, Veil};

/// One log entry, whole or partly veiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    time: UnixTime,
    /// Always a map.
    pub(super) root: Node<'a>,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload<'a> {
    /// `textPayload`
    Text(Node<'a>),
    /// `jsonPayload`, a map.
    Json(Node<'a>),
    /// `protoPayload`, a map with `@type`.
    Proto(Node<'a>),
}

impl<'a> Entry<'a> {
    /// An entry that was received when it happened.
    pub fn new(log_name: impl Into<Node<'a>>, insert_id: impl Into<Node<'a>>, time: UnixTime) -> Entry<'a> {
        let root = Node::Map(Vec::new());
        Entry { time, root }
            .with("logName", log_name.into())
            .with("insertId", insert_id.into())
            .with("timestamp", Node::Time(time))
            .with("receiveTimestamp", Node::Time(time))
    }

    /// An entry of which it is not known which one it is and when it was: to be asked about, not to be shown.
    pub fn veiled(log_name: impl Into<Node<'a>>) -> Entry<'a> {
        let time = UnixTime::from_micros(0);
        Entry::of(Node::Map(Vec::new()), time)
            .with("logName", log_name.into())
            .with("insertId", Veil::text().into())
            .with("timestamp", Veil::anything().into())
            .with("receiveTimestamp", Veil::anything().into())
    }

    /// An entry of which nothing is known.
    pub fn unknown() -> Entry<'a> {
        ENTRY
            .iter()
            .fold(Entry::veiled(Veil::anything()), |entry, field| {
                entry.with(field.name, Veil::anything().into())
            })
    }

    /// An entry of members of `LogEntry`.
    pub(super) fn of(root: Node<'a>, time: UnixTime) -> Entry<'a> {
        Entry { time, root }
    }

    /// With when it was received, if not when it happened.
    #[must_use]
    pub fn received(self, time: UnixTime) -> Entry<'a> {
        self.with("receiveTimestamp", Node::Time(time))
    }

    /// With how bad it is.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Entry<'a> {
        self.with("severity", Node::Severity(severity))
    }

    /// With where it happened.
    #[must_use]
    pub fn resource(self, kind: impl Into<Node<'a>>, labels: Node<'a>) -> Entry<'a> {
        let mut members = vec![(Cow::Borrowed("type"), kind.into())];
        if !is_empty(&labels) {
            members.push((Cow::Borrowed("labels"), labels));
        }
        self.with("resource", Node::Map(members))
    }

    /// With its labels.
    #[must_use]
    pub fn labels(self, labels: Node<'a>) -> Entry<'a> {
        self.with("labels", labels)
    }

    /// With the operation that it is the only entry of.
    #[must_use]
    pub fn operation(self, id: impl Into<Node<'a>>, producer: &'a str) -> Entry<'a> {
        let members = [
            ("id", id.into()),
            ("producer", producer.into()),
            ("first", Node::Bool(true)),
            ("last", Node::Bool(true)),
        ];
        self.with("operation", Node::labels(members))
    }

    /// With what it is about.
    #[must_use]
    pub fn payload(self, payload: Payload<'a>) -> Entry<'a> {
        match payload {
            Payload::Text(node) => self.with("textPayload", node),
            Payload::Json(node) => self.with("jsonPayload", node),
            Payload::Proto(node) => self.with("protoPayload", node),
        }
    }

    /// When it happened.
    pub fn time(&self) -> UnixTime {
        self.time
    }

    /// The name of its log, if it is known.
    pub fn log_name(&self) -> Option<&str> {
        self.text("logName")
    }

    /// Its id, if it is known.
    pub fn insert_id(&self) -> Option<&str> {
        self.text("insertId")
    }

    /// Gives every text in it, and every key. A [`super::Demand`] is about them as [`super::fold`] makes them.
    pub fn texts(&self, each: &mut dyn FnMut(&str)) {
        texts(&self.root, each);
    }

    /// What it is about: a type and its labels, as far as they are texts.
    pub fn monitored_resource(&self) -> (&str, Vec<(&str, &str)>) {
        let resource = self.root.member("resource");
        let kind = text_of(resource.and_then(|resource| resource.member("type"))).unwrap_or_default();
        let labels = match resource.and_then(|resource| resource.member("labels")) {
            Some(Node::Map(labels)) => labels
                .iter()
                .filter_map(|(key, value)| Some((key.as_ref(), text_of(Some(value))?)))
                .collect(),
            _ => Vec::new(),
        };
        (kind, labels)
    }

    /// As JSON. An entry with veils cannot be shown: they come out as `null`.
    pub fn to_json(&self) -> serde_json::Value {
        message_out(&self.root, ENTRY)
    }

    /// Sets a member of `LogEntry`; an empty one is left out.
    pub(super) fn with(mut self, name: &'static str, node: Node<'a>) -> Entry<'a> {
        if let Node::Map(members) = &mut self.root {
            members.retain(|(key, _)| key != name);
            if !is_empty(&node) {
                members.push((Cow::Borrowed(name), node));
            }
        }
        self
    }

    pub(super) fn at(mut self, time: UnixTime) -> Entry<'a> {
        self.time = time;
        self.with("timestamp", Node::Time(time))
    }

    fn text(&self, name: &str) -> Option<&str> {
        text_of(self.root.member(name))
    }
}

fn text_of<'n>(node: Option<&'n Node<'_>>) -> Option<&'n str> {
    match node {
        Some(Node::Text(text)) => Some(text),
        _ => None,
    }
}

fn texts(node: &Node<'_>, each: &mut dyn FnMut(&str)) {
    match node {
        Node::Text(text) => each(text),
        Node::List(items) => items.iter().for_each(|item| texts(item, each)),
        Node::Map(members) => members.iter().for_each(|(key, node)| {
            each(key);
            texts(node, each);
        }),
        _ => {}
    }
}

fn is_empty(node: &Node<'_>) -> bool {
    match node {
        Node::Text(text) => text.is_empty(),
        Node::Map(members) => members.is_empty(),
        Node::Severity(severity) => *severity == Severity::Default,
        _ => false,
    }
}

/// proto3 JSON: integers of 64 bits are text.
fn message_out(node: &Node<'_>, fields: &[Field]) -> serde_json::Value {
    let Node::Map(members) = node else {
        return node.to_json();
    };
    let member = |(key, node): &(Cow<'_, str>, Node<'_>)| {
        let field = fields.iter().find(|field| field.name == key);
        let value = match (field.map(|field| field.kind), node) {
            (Some(Kind::Message(inner)), _) => message_out(node, inner),
            (Some(Kind::Long), Node::Integer(number)) => number.to_string().into(),
            _ => node.to_json(),
        };
        (key.as_ref().to_owned(), value)
    };
    members.iter().map(member).collect()
}
