//! A verdict as a tree: what was tried, in order, and why it did not help.

use binauthz_core::{
    decision::{Decision, Effect, Finding, Reason},
    image::ImageRef,
    policy::{GlobalEvaluation, Policy},
};

use crate::output::plain;

/// Patterns shown one by one; more of them are counted.
const PATTERNS_SHOWN: usize = 12;

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

/// The tree of a decision.
pub(crate) fn tree(title: &str, decision: &Decision, policy: &Policy) -> Node {
    let mut below = vec![Node::leaf(match decision.policy() {
        Some(label) if label.etag.is_empty() => {
            format!("policy {} (the default: nothing was set)", label.name)
        }
        Some(label) => format!("policy {} (etag {})", label.name, label.etag),
        None => "no policy was reached".to_owned(),
    })];
    if let Some(rule) = decision.rule() {
        below.push(Node::leaf(format!("rule: {rule}")));
    }
    match decision.effect() {
        Effect::Enforced => {}
        Effect::DryRun => below.push(Node::leaf("dry run: a violation is recorded and let through")),
        Effect::BrokenGlass { justification } if justification.is_empty() => {
            below.push(Node::leaf("break-glass: a violation is recorded and let through"));
        }
        Effect::BrokenGlass { justification } => {
            below.push(Node::leaf(format!(
                "break-glass: let through and recorded; justification: {justification}"
            )));
        }
    }
    below.extend(decision.findings().iter().map(|finding| image(finding, policy)));
    Node::with(title, below)
}

fn image(finding: &Finding, policy: &Policy) -> Node {
    let mark = if finding.conforms() { "✓" } else { "✗" };
    let exempt = |reason: &Reason| {
        matches!(
            reason,
            Reason::Allowlisted(_) | Reason::SystemImage(_) | Reason::EvaluationDisabled
        )
    };
    let mut below = Vec::new();
    if !finding.reasons().iter().any(exempt) && !finding.image().is_empty() {
        below.push(patterns(finding.image(), policy));
    }
    below.extend(finding.reasons().iter().map(|why| reason(why, finding.image())));
    Node::with(
        format!("{mark} {} {}", finding.location(), finding.image())
            .trim_end()
            .to_owned(),
        below,
    )
}

/// The patterns that were tried, and what those for the same repository would have needed.
fn patterns(image: &str, policy: &Policy) -> Node {
    let shown = policy.allowlist.iter().take(PATTERNS_SHOWN).map(|pattern| {
        let near = image
            .parse()
            .is_ok_and(|image: ImageRef| pattern.as_str().starts_with(image.repository()));
        let why = pattern
            .warnings()
            .first()
            .filter(|_| near)
            .map(|warning| format!(": it {}", warning.explanation()));
        Node::leaf(format!(
            "{} does not match{}",
            pattern.as_str(),
            why.unwrap_or_default()
        ))
    });
    let mut below: Vec<Node> = shown.collect();
    if policy.allowlist.len() > PATTERNS_SHOWN {
        below.push(Node::leaf(format!(
            "and {} more, none matches",
            policy.allowlist.len() - PATTERNS_SHOWN
        )));
    }
    let system = match policy.global_evaluation {
        GlobalEvaluation::Enable => ", and those of the system policy",
        GlobalEvaluation::Disable => "",
    };
    Node::with(
        format!("not exempt: {} patterns tried{system}", policy.allowlist.len()),
        below,
    )
}

fn reason(reason: &Reason, image: &str) -> Node {
    let mark = if reason.conforms() { "✓" } else { "✗" };
    let below = match reason {
        Reason::NoValidAttestations { rejected, .. } => rejected
            .iter()
            .map(|(occurrence, why)| Node::leaf(format!("✗ {occurrence}: {why}")))
            .collect(),
        Reason::NoAttestations(_) => vec![Node::leaf(
            "no attestation of this digest hangs on the attestor's note",
        )],
        _ => Vec::new(),
    };
    Node::with(
        format!("{mark} {} {}", reason.code(), reason.sentence(image)),
        below,
    )
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
