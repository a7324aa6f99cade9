//! A verdict as a tree: what was tried, in order, and why it did not help.

use serde_json::Value;

use crate::output::plain;

/// A line and what hangs below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    /// A line with nothing below it.
    pub(crate) fn leaf(text: impl Into<String>) -> Node {
        Node {
            text: text.into(),
            below: Vec::new(),
        }
    }

    /// A line with others below it.
    pub(crate) fn with(text: impl Into<String>, below: Vec<Node>) -> Node {
        Node {
            text: text.into(),
            below,
        }
    }

    /// The tree as text, one line for each node.
    pub(crate) fn draw(&self) -> String {
        let mut out = plain(&self.text) + "\n";
        draw_below(&self.below, "", &mut out);
        out
    }
}

fn draw_below(nodes: &[Node], indent: &str, out: &mut String) {
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        let (branch, rail) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        out.push_str(&format!("{indent}{branch}{}\n", plain(&node.text)));
        draw_below(&node.below, &format!("{indent}{rail}"), out);
    }
}

/// The tree of a verdict as `:decide` describes it with its explanation.
pub(crate) fn tree(title: &str, described: &Value) -> Node {
    let policy = |field: &str| described.get("policy").map(|policy| text(policy, field));
    let mut below = vec![Node::leaf(match (policy("name"), policy("etag")) {
        (Some(name), Some("")) => format!("policy {name} (the default: nothing was set)"),
        (Some(name), Some(etag)) => format!("policy {name} (etag {etag})"),
        _ => "no policy was reached".to_owned(),
    })];
    let explanation = described.get("explanation").unwrap_or(&Value::Null);
    let scope = Some(text(explanation, "scope")).filter(|scope| !scope.is_empty());
    let scope: Vec<Node> = scope.into_iter().map(Node::leaf).collect();
    match text(described, "rule") {
        "" => below.extend(scope),
        rule => below.push(Node::with(format!("rule: {rule}"), scope)),
    }
    match (text(described, "effect"), text(described, "justification")) {
        ("DRY_RUN", _) => below.push(Node::leaf("dry run: a violation is recorded and let through")),
        ("BREAK_GLASS", "") => below.push(Node::leaf("break-glass: a violation is recorded and let through")),
        ("BREAK_GLASS", why) => below.push(Node::leaf(format!(
            "break-glass: let through and recorded; justification: {why}"
        ))),
        _ => {}
    }
    // Both lists follow the order of the workload's images.
    let mut tried = array(explanation, "images");
    below.extend(
        array(described, "images").map(|finding| image(finding, tried.next().unwrap_or(&Value::Null))),
    );
    Node::with(title, below)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn count(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn mark(good: bool) -> &'static str {
    if good { "✓" } else { "✗" }
}

/// One image: what it was, what was tried, what was found.
fn image(finding: &Value, tried: &Value) -> Node {
    let passes = text(finding, "verdict") == "ALLOW";
    let mut below: Vec<Node> = tried.get("patterns").map(patterns).into_iter().collect();
    let reasons = array(finding, "reasons").enumerate();
    below.extend(reasons.map(|(index, why)| reason((index, why), finding, tried)));
    let line = format!(
        "{} {} {}",
        mark(passes),
        text(finding, "field"),
        text(finding, "image")
    );
    Node::with(line.trim_end(), below)
}

/// The patterns that were tried, and what those for the same repository would have needed.
fn patterns(tried: &Value) -> Node {
    let mut below: Vec<Node> = array(tried, "notMatching")
        .map(|entry| match (text(entry, "pattern"), text(entry, "note")) {
            (pattern, "") => Node::leaf(format!("{pattern} does not match")),
            (pattern, note) => Node::leaf(format!("{pattern} does not match: {note}")),
        })
        .collect();
    let (all, named) = (count(tried, "count"), below.len() as u64);
    if all > named {
        below.push(Node::leaf(format!("and {} more, none matches", all - named)));
    }
    let system = match count(tried, "systemCount") {
        0 => "",
        _ => ", and those of the system policy",
    };
    Node::with(format!("not exempt: {all} patterns tried{system}"), below)
}

fn reason((index, reason): (usize, &Value), finding: &Value, tried: &Value) -> Node {
    let code = text(reason, "code");
    let line = |good: bool, sentence: &str| format!("{} {code} {sentence}", mark(good));
    if let Some(attestor) = reason.get("attestor").and_then(Value::as_str) {
        let sentence = format!(
            "Image {} attested by attestor {attestor} ({}, key {})",
            text(finding, "image"),
            text(reason, "occurrence"),
            text(reason, "key")
        );
        return Node::leaf(line(true, &sentence));
    }
    let message = text(reason, "message");
    let below = match code {
        "NO_ATTESTATIONS" => vec![Node::leaf(
            "no attestation of this digest hangs on the attestor's note",
        )],
        "NO_VALID_ATTESTATIONS" => array(tried, "rejected")
            .filter(|rejected| count(rejected, "reason") == index as u64)
            .flat_map(rejected)
            .collect(),
        _ => Vec::new(),
    };
    let good = text(finding, "verdict") == "ALLOW";
    Node::with(line(good, message), below)
}

fn rejected(tried: &Value) -> Vec<Node> {
    let mut nodes: Vec<Node> = array(tried, "attestations")
        .map(|entry| Node::leaf(format!("✗ {}: {}", text(entry, "occurrence"), text(entry, "why"))))
        .collect();
    let (all, named) = (count(tried, "count"), nodes.len() as u64);
    if all > named {
        nodes.push(Node::leaf(format!("and {} more, none counts", all - named)));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_drawn_with_its_rails() {
        let tree = Node::with(
            "a",
            vec![
                Node::with("b", vec![Node::leaf("c")]),
                Node::with("d", vec![Node::leaf("e\n\u{1b}f")]),
            ],
        );
        assert_eq!(tree.draw(), "a\n├─ b\n│  └─ c\n└─ d\n   └─ e\\n\\u{1b}f\n");
    }
}
