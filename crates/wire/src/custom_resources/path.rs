//! A way through an object: names of fields with dots between them, `[*]` for every item of a list.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Fields of one path. Objects of Kubernetes are nested less deeply.
const MAX_STEPS: usize = 32;
/// Nodes one path may lead to, in lists of lists too; a workload may name 500 images.
const MAX_NODES: usize = 1_000;

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no path: expected up to {MAX_STEPS} names of fields with dots between them, such as `spec.steps[*].image`",
    .0.escape_debug()
)]
pub struct InvalidPath(String);

/// Why an object does not have what a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Astray {
    /// Something is there, and of another type.
    Unexpected {
        /// Where.
        location: String,
        /// What should be there.
        expected: &'static str,
    },
    /// More than anything real has.
    TooMany,
}

/// A way through an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    field: String,
    /// `[*]`
    each: bool,
}

/// What a path leads to in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    /// The path with the numbers of the items: `spec.steps[0].image`.
    pub(crate) location: String,
    /// The value, which is not `null`.
    pub(crate) value: &'a Value,
}

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Path, InvalidPath> {
        let step = |word: &str| {
            let (field, each) = match word.strip_suffix("[*]") {
                Some(field) => (field, true),
                None => (word, false),
            };
            // Names of fields in schemas; with these characters a location is a JSON pointer with other separators.
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (!field.is_empty() && field.len() <= 128 && field.bytes().all(allowed)).then(|| Step {
                field: field.to_owned(),
                each,
            })
        };
        let steps: Option<Vec<Step>> = text.split('.').take(MAX_STEPS + 1).map(step).collect();
        steps
            .filter(|steps| steps.len() <= MAX_STEPS)
            .map(|steps| Path { steps })
            .ok_or_else(|| InvalidPath(text.chars().take(200).collect()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Step { field, each }) in self.steps.iter().enumerate() {
            let (dot, suffix) = (if at == 0 { "" } else { "." }, if *each { "[*]" } else { "" });
            write!(formatter, "{dot}{field}{suffix}")?;
        }
        Ok(())
    }
}

impl Path {
    /// Everything it leads to. What is absent or `null` on the way leads nowhere; what is of another type is an error:
    /// an image may be hidden in it.
    pub(crate) fn nodes<'a>(&self, object: &'a Value) -> Result<Vec<Node<'a>>, Astray> {
        let mut nodes = vec![Node {
            location: String::new(),
            value: object,
        }];
        for step in &self.steps {
            let mut next = Vec::new();
            for node in &nodes {
                step.of(node, &mut next)?;
            }
            nodes = next;
        }
        Ok(nodes)
    }
}

impl Step {
    fn of<'a>(&self, node: &Node<'a>, next: &mut Vec<Node<'a>>) -> Result<(), Astray> {
        let fields = node.value.as_object().ok_or_else(|| Astray::Unexpected {
            location: node.location.clone(),
            expected: "an object",
        })?;
        let dot = if node.location.is_empty() { "" } else { "." };
        let location = format!("{}{dot}{}", node.location, self.field);
        let Some(value) = fields.get(&self.field).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        if !self.each {
            next.push(Node { location, value });
            return Ok(());
        }
        let items = value.as_array().ok_or_else(|| Astray::Unexpected {
            location: location.clone(),
            expected: "a list",
        })?;
        for (at, value) in items.iter().enumerate() {
            if next.len() >= MAX_NODES {
                return Err(Astray::TooMany);
            }
            let location = format!("{location}[{at}]");
            if !value.is_null() {
                next.push(Node { location, value });
            }
        }
        Ok(())
    }
}

impl Node<'_> {
    /// The error for a value of another type.
    pub(crate) fn is_not(&self, expected: &'static str) -> Astray {
        Astray::Unexpected {
            location: self.location.clone(),
            expected,
        }
    }

    /// The location as a JSON pointer; no name in it needs an escape.
    pub(crate) fn pointer(&self) -> String {
        let slashes = self.location.replace(['.', '['], "/").replace(']', "");
        format!("/{slashes}")
    }
}
