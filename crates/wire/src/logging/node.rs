//! The parts of an entry, known and not known.

use std::borrow::Cow;

use binauthz_core::time::UnixTime;

use super::literal::fold;
use crate::json::{self, EnumRow, duration_out, enum_name, timestamp_out};

/// One value of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// JSON's `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Double(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// An instant.
    Time(UnixTime),
    /// A duration in nanoseconds.
    Span(i128),
    /// How bad it is.
    Severity(Severity),
    /// A list.
    List(Vec<Node<'a>>),
    /// Names and values, each name once.
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
    /// Something that is not known here.
    Veiled(Veil<'a>),
}

/// `google.logging.type.LogSeverity`, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// None was given.
    #[default]
    Default,
    /// For developers.
    Debug,
    /// Routine.
    Info,
    /// Normal, but worth a look.
    Notice,
    /// Might become a problem.
    Warning,
    /// Likely a problem.
    Error,
    /// A severe problem.
    Critical,
    /// Somebody must act now.
    Alert,
    /// Nothing works.
    Emergency,
}

pub(super) const SEVERITIES: &[EnumRow<Severity>] = &[
    ("DEFAULT", 0, Severity::Default),
    ("DEBUG", 100, Severity::Debug),
    ("INFO", 200, Severity::Info),
    ("NOTICE", 300, Severity::Notice),
    ("WARNING", 400, Severity::Warning),
    ("ERROR", 500, Severity::Error),
    ("CRITICAL", 600, Severity::Critical),
    ("ALERT", 700, Severity::Alert),
    ("EMERGENCY", 800, Severity::Emergency),
];

impl Severity {
    /// Its name: `WARNING`.
    pub fn name(self) -> &'static str {
        enum_name(SEVERITIES, self)
    }

    pub(super) fn number(self) -> i32 {
        let row = SEVERITIES.iter().find(|(_, _, severity)| *severity == self);
        row.map_or(0, |(_, number, _)| *number)
    }
}

/// An answer that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Yes, whatever is veiled.
    True,
    /// No, whatever is veiled.
    False,
    /// It depends on what is veiled.
    Unknown,
}

impl Truth {
    pub(super) fn of(known: bool) -> Truth {
        if known { Truth::True } else { Truth::False }
    }

    /// Whether one of them holds; asks no further than needed.
    pub(super) fn any(answers: impl IntoIterator<Item = Truth>) -> Truth {
        let mut answer = Truth::False;
        for next in answers {
            match next {
                Truth::True => return Truth::True,
                Truth::Unknown => answer = Truth::Unknown,
                Truth::False => {}
            }
        }
        answer
    }

    /// Whether all of them hold; asks no further than needed.
    pub(super) fn all(answers: impl IntoIterator<Item = Truth>) -> Truth {
        let mut answer = Truth::True;
        for next in answers {
            match next {
                Truth::False => return Truth::False,
                Truth::Unknown => answer = Truth::Unknown,
                Truth::True => {}
            }
        }
        answer
    }

    pub(super) fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

/// What is known of a part of an entry that is not at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Veil<'a> {
    known: Known<'a>,
}

#[derive(Debug, Clone, PartialEq)]
enum Known<'a> {
    /// Any value; or none at all.
    Nothing,
    Text {
        fragments: Vec<Cow<'a, str>>,
        /// Made of `A-Z a-z 0-9 . _ : @ -` only.
        plain: bool,
    },
}

impl<'a> Veil<'a> {
    /// Any value of any type, or none at all.
    pub fn anything() -> Veil<'a> {
        Veil {
            known: Known::Nothing,
        }
    }

    /// Some text.
    pub fn text() -> Veil<'a> {
        Veil {
            known: Known::Text {
                fragments: Vec::new(),
                plain: false,
            },
        }
    }

    /// Some text, perhaps empty, made of `A-Z a-z 0-9 . _ : @ -` only.
    pub fn plain_text() -> Veil<'a> {
        Veil {
            known: Known::Text {
                fragments: Vec::new(),
                plain: true,
            },
        }
    }

    /// The same, with one more thing that the text contains somewhere. Says nothing of [`Veil::anything`].
    #[must_use]
    pub fn containing(mut self, fragment: impl Into<Cow<'a, str>>) -> Veil<'a> {
        if let Known::Text { fragments, .. } = &mut self.known {
            fragments.push(fragment.into());
        }
        self
    }

    /// Whether it is text for certain.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.known, Known::Text { .. })
    }

    /// Whether the folded text contains `folded`.
    pub(super) fn contains(&self, folded: &str) -> Truth {
        let Known::Text { fragments, plain } = &self.known else {
            return Truth::Unknown;
        };
        if folded.is_empty() {
            return Truth::True;
        }
        if *plain && !folded.chars().all(is_plain) {
            return Truth::False;
        }
        let found = fragments
            .iter()
            .any(|fragment| inner(fragment, *plain).is_some_and(|inner| inner.contains(folded)));
        if found { Truth::True } else { Truth::Unknown }
    }

    /// Whether the folded text is `folded`.
    pub(super) fn equals(&self, folded: &str) -> Truth {
        let Known::Text { fragments, plain } = &self.known else {
            return Truth::Unknown;
        };
        let foreign = *plain && !folded.chars().all(is_plain);
        let lacking = fragments
            .iter()
            .any(|fragment| inner(fragment, *plain).is_some_and(|inner| !folded.contains(inner.as_ref())));
        if foreign || lacking {
            Truth::False
        } else {
            Truth::Unknown
        }
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._:@-".contains(character)
}

/// What of a folded fragment stands unchanged in the whole folded text. An ASCII letter or `<`, `=`, `>` may melt with
/// a combining mark that follows the fragment; nothing melts with what precedes it. Other scripts are left out.
fn inner<'b>(fragment: &'b str, plain: bool) -> Option<Cow<'b, str>> {
    if !fragment.is_ascii() {
        return None;
    }
    let whole = fragment
        .strip_suffix(|last: char| !plain && (last.is_ascii_alphabetic() || "<=>".contains(last)))
        .unwrap_or(fragment);
    Some(fold(whole))
}

impl<'a> Node<'a> {
    /// The member of that name, if this is a map that has one.
    pub(super) fn member(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Node::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// A map from text to text.
    pub fn labels<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Node<'a>
    where
        K: Into<Cow<'a, str>>,
        V: Into<Node<'a>>,
    {
        Node::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// As JSON. What is veiled is `null`: nobody should be shown such an entry.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Node::Null | Node::Veiled(_) => serde_json::Value::Null,
            Node::Bool(flag) => (*flag).into(),
            Node::Integer(number) => (*number).into(),
            Node::Double(number) => (*number).into(),
            Node::Text(text) => text.as_ref().into(),
            Node::Time(time) => timestamp_out(*time).into(),
            Node::Span(nanoseconds) => span_out(*nanoseconds).into(),
            Node::Severity(severity) => severity.name().into(),
            Node::List(items) => items.iter().map(Node::to_json).collect(),
            Node::Map(members) => members
                .iter()
                .map(|(key, node)| (key.as_ref().to_owned(), node.to_json()))
                .collect(),
        }
    }
}

fn span_out(nanoseconds: i128) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let nanoseconds = nanoseconds.unsigned_abs();
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
    let rest = u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
    format!("{sign}{}", duration_out(std::time::Duration::new(seconds, rest)))
}

impl<'a> From<&'a str> for Node<'a> {
    fn from(text: &'a str) -> Node<'a> {
        Node::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Node::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Node<'a> {
    fn from(text: Cow<'a, str>) -> Node<'a> {
        Node::Text(text)
    }
}

impl<'a> From<Veil<'a>> for Node<'a> {
    fn from(veil: Veil<'a>) -> Node<'a> {
        Node::Veiled(veil)
    }
}

impl<'a> From<&'a serde_json::Value> for Node<'a> {
    fn from(value: &'a serde_json::Value) -> Node<'a> {
        match value {
            serde_json::Value::Null => Node::Null,
            serde_json::Value::Bool(flag) => Node::Bool(*flag),
            serde_json::Value::Number(number) => from_number(number),
            serde_json::Value::String(text) => text.as_str().into(),
            serde_json::Value::Array(items) => Node::List(items.iter().map(Node::from).collect()),
            serde_json::Value::Object(members) => {
                let member = |(key, value): (&'a String, &'a serde_json::Value)| {
                    (Cow::Borrowed(key.as_str()), Node::from(value))
                };
                Node::Map(members.iter().map(member).collect())
            }
        }
    }
}

impl From<json::Value> for Node<'_> {
    fn from(value: json::Value) -> Self {
        match value {
            json::Value::Null => Node::Null,
            json::Value::Bool(flag) => Node::Bool(flag),
            json::Value::Number(number) => from_number(&number),
            json::Value::String(text) => text.into(),
            json::Value::Array(items) => Node::List(items.into_iter().map(Node::from).collect()),
            json::Value::Object(members) => {
                let member = |(key, value): (String, json::Value)| (Cow::Owned(key), Node::from(value));
                Node::Map(members.into_iter().map(member).collect())
            }
        }
    }
}

fn from_number<'a>(number: &serde_json::Number) -> Node<'a> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Node::Integer(whole),
        (None, Some(double)) => Node::Double(double),
        (None, None) => Node::Null,
    }
}
