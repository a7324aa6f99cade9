//! What a comparison looks at: the values at the end of a path, perhaps made into others by functions.

use binauthz_core::time::UnixTime;
use regex::Regex;

use super::fields::{Holds, Path};
use super::literal::{Number, boolean_from, number_from, span_from, time_from};
use super::node::{Node, Truth};

/// A path and what is made of its values, innermost function first.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) path: Path,
    pub(super) transforms: Vec<Transform>,
}

/// A function from one value to another.
#[derive(Debug, Clone)]
pub(super) enum Transform {
    /// `cast(…, TYPE)`
    Cast(Type),
    /// `regexp_extract(…, "re")`: what the one group matches first.
    Extract(Regex),
}

/// What `cast` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Int64,
    Double,
    Bool,
    String,
    Timestamp,
    Duration,
}

pub(super) const TYPES: [(&str, Type); 6] = [
    ("INT64", Type::Int64),
    ("DOUBLE", Type::Double),
    ("BOOL", Type::Bool),
    ("STRING", Type::String),
    ("TIMESTAMP", Type::Timestamp),
    ("DURATION", Type::Duration),
];

impl Subject {
    pub(super) fn holds(&self) -> Holds {
        match self.transforms.last() {
            None => self.path.holds,
            Some(Transform::Extract(_)) => Holds::Text,
            Some(Transform::Cast(kind)) => match kind {
                Type::Int64 | Type::Double => Holds::Number,
                Type::Bool => Holds::Bool,
                Type::String => Holds::Text,
                Type::Timestamp => Holds::Time,
                Type::Duration => Holds::Span,
            },
        }
    }

    /// Whether there is a value there at all.
    pub(super) fn is_present(&self, root: &Node<'_>) -> Truth {
        let found = |node: &Node<'_>| self.transformed(node, &mut |_| Truth::True);
        let expanded = !self.transforms.is_empty();
        self.find(root, expanded, &mut |node| match node {
            Node::Veiled(veil) if !veil.is_text() => Truth::Unknown,
            node => found(node),
        })
        .unwrap_or(Truth::False)
    }

    /// Whether the test holds for one of the values; lists are their elements.
    pub(super) fn any(&self, root: &Node<'_>, test: &mut dyn FnMut(&Node<'_>) -> Truth) -> Truth {
        let found = self.find(root, true, &mut |node| self.transformed(node, test));
        match (found, &self.path.default) {
            (Some(truth), _) => truth,
            (None, Some(default)) => self.transformed(default, test),
            (None, None) => Truth::False,
        }
    }

    /// The answer for what the path leads to; `None` when it leads nowhere.
    fn find(
        &self,
        root: &Node<'_>,
        expanded: bool,
        test: &mut dyn FnMut(&Node<'_>) -> Truth,
    ) -> Option<Truth> {
        if let Some(rest) = self.path.below_response_status() {
            let response = root
                .member("protoPayload")
                .and_then(|payload| payload.member("response"));
            let status = response.and_then(|response| response.member("status"));
            if let (Some(response), Some(true)) = (response, status.map(is_scalar)) {
                return walk(response, rest, expanded, test);
            }
        }
        walk(root, &self.path.names, expanded, test)
    }

    fn transformed(&self, node: &Node<'_>, test: &mut dyn FnMut(&Node<'_>) -> Truth) -> Truth {
        transformed(node, &self.transforms, test)
    }
}

fn transformed(node: &Node<'_>, transforms: &[Transform], test: &mut dyn FnMut(&Node<'_>) -> Truth) -> Truth {
    let Some((first, rest)) = transforms.split_first() else {
        return test(node);
    };
    if let Node::Veiled(_) = node {
        return Truth::Unknown;
    }
    match first.of(node) {
        Some(node) => transformed(&node, rest, test),
        None => Truth::False,
    }
}

fn is_scalar(node: &Node<'_>) -> bool {
    match node {
        Node::Map(_) | Node::List(_) => false,
        Node::Veiled(veil) => veil.is_text(),
        _ => true,
    }
}

/// Follows names through maps and through the elements of lists.
fn walk(
    node: &Node<'_>,
    names: &[String],
    expanded: bool,
    test: &mut dyn FnMut(&Node<'_>) -> Truth,
) -> Option<Truth> {
    match (node, names.split_first()) {
        (Node::List(items), next) if next.is_some() || expanded => {
            // An element that leads nowhere is as good as one that does not fit: both are no match.
            let mut each = |item| walk(item, names, expanded, test).unwrap_or(Truth::False);
            let mut answer = Truth::False;
            for item in items {
                match each(item) {
                    Truth::True => return Some(Truth::True),
                    Truth::Unknown => answer = Truth::Unknown,
                    Truth::False => {}
                }
            }
            Some(answer)
        }
        (node, None) => Some(test(node)),
        (Node::Veiled(veil), Some(_)) if !veil.is_text() => Some(Truth::Unknown),
        (node, Some((name, rest))) => walk(node.member(name)?, rest, expanded, test),
    }
}

impl Transform {
    fn of(&self, node: &Node<'_>) -> Option<Node<'static>> {
        match self {
            Transform::Cast(kind) => kind.of(node),
            Transform::Extract(regex) => {
                let Node::Text(text) = node else {
                    return None;
                };
                let found = regex.captures(text)?.get(1)?;
                Some(found.as_str().to_owned().into())
            }
        }
    }
}

impl Type {
    fn of(self, node: &Node<'_>) -> Option<Node<'static>> {
        match (self, node) {
            (Type::String, node) => scalar_text(node).map(Node::from),
            (Type::Bool, Node::Bool(flag)) => Some(Node::Bool(*flag)),
            (Type::Bool, Node::Text(text)) => boolean_from(text).map(Node::Bool),
            (Type::Timestamp, Node::Time(time)) => Some(Node::Time(*time)),
            (Type::Timestamp, Node::Text(text)) => {
                let micros = i64::try_from(time_from(text)?.div_euclid(1_000)).ok()?;
                Some(Node::Time(UnixTime::from_micros(micros)))
            }
            (Type::Duration, Node::Span(span)) => Some(Node::Span(*span)),
            (Type::Duration, Node::Text(text)) => span_from(text).map(Node::Span),
            (Type::Int64, node) => match number_of(node)? {
                Number::Whole(number) => Some(Node::Integer(number)),
                Number::Other(number) => whole(number).map(Node::Integer),
            },
            (Type::Double, node) => Some(Node::Double(number_of(node)?.as_f64())),
            _ => None,
        }
    }
}

fn number_of(node: &Node<'_>) -> Option<Number> {
    match node {
        Node::Integer(number) => Some(Number::Whole(*number)),
        Node::Double(number) => Some(Number::Other(*number)),
        Node::Bool(flag) => Some(Number::Whole(i64::from(*flag))),
        Node::Text(text) => number_from(text),
        Node::Severity(severity) => Some(Number::Whole(i64::from(severity.number()))),
        _ => None,
    }
}

/// Without what comes after the point, within what a double counts exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53")]
    (number.abs() <= EXACT).then_some(number as i64)
}

/// A single value as text; `None` for `null`, lists, maps and what is veiled.
pub(super) fn scalar_text(node: &Node<'_>) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.as_ref().to_owned()),
        Node::Null | Node::List(_) | Node::Map(_) | Node::Veiled(_) => None,
        other => match other.to_json() {
            serde_json::Value::String(text) => Some(text),
            value => Some(value.to_string()),
        },
    }
}
