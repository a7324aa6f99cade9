//! One value of an entry against one value of a query.

use super::literal::{Literal, Number};
use super::node::{Node, Truth, Veil};
use super::view::View;
use crate::filter::Operator;

/// Whether `node operator literal` holds. A literal that has no reading of the node's type does not match, not even
/// with `!=`.
pub(super) fn compare(view: &View<'_>, node: &Node<'_>, operator: Operator, literal: &Literal) -> Truth {
    if let Node::Veiled(veil) = node {
        return veiled(veil, operator, literal);
    }
    if literal.is_null {
        return Truth::of(against_null(node, operator));
    }
    // On a value that is no text, "has" is "is".
    let exact = if operator == Operator::Has {
        Operator::Equal
    } else {
        operator
    };
    Truth::of(match node {
        Node::Text(text) => text_holds(view, text, operator, literal),
        Node::Integer(whole) => match literal.number {
            Some(Number::Whole(number)) => exact.holds(whole, &number),
            Some(Number::Other(number)) => exact.holds(&Number::Whole(*whole).as_f64(), &number),
            None => false,
        },
        Node::Double(double) => literal
            .number
            .is_some_and(|number| exact.holds(double, &number.as_f64())),
        Node::Bool(flag) => literal.boolean.is_some_and(|boolean| exact.holds(flag, &boolean)),
        Node::Severity(severity) => literal
            .severity
            .is_some_and(|number| exact.holds(&i64::from(severity.number()), &number)),
        Node::Time(time) => literal
            .time
            .is_some_and(|instant| operator.holds(&(i128::from(time.as_micros()) * 1_000), &instant)),
        Node::Span(span) => literal.span.is_some_and(|other| operator.holds(span, &other)),
        Node::Null | Node::List(_) | Node::Map(_) | Node::Veiled(_) => false,
    })
}

/// Whether a value that stands anywhere is one that a lone text looks for.
pub(super) fn mentions(view: &View<'_>, node: &Node<'_>, literal: &Literal) -> Truth {
    match node {
        Node::Text(text) => Truth::of(view.fold(text).contains(&literal.folded)),
        Node::Integer(_) | Node::Double(_) => compare(view, node, Operator::Equal, literal),
        Node::Severity(severity) => Truth::of(severity.name().eq_ignore_ascii_case(&literal.folded)),
        Node::Veiled(veil) => veil.contains(&literal.folded),
        _ => Truth::False,
    }
}

fn against_null(node: &Node<'_>, operator: Operator) -> bool {
    match (node, operator) {
        (Node::Null, Operator::Equal | Operator::Has) => true,
        (Node::Null | Node::List(_) | Node::Map(_), _) => false,
        (_, operator) => operator == Operator::NotEqual,
    }
}

fn text_holds(view: &View<'_>, text: &str, operator: Operator, literal: &Literal) -> bool {
    let matches = || literal.regex.as_ref().map(|regex| regex.is_match(text));
    match operator {
        Operator::Has => view.fold(text).contains(&literal.folded),
        Operator::Matches => matches() == Some(true),
        Operator::NotMatches => matches() == Some(false),
        operator => operator.holds(view.fold(text).as_ref(), literal.folded.as_str()),
    }
}

fn veiled(veil: &Veil<'_>, operator: Operator, literal: &Literal) -> Truth {
    if !veil.is_text() {
        return Truth::Unknown;
    }
    if literal.is_null {
        return Truth::of(operator == Operator::NotEqual);
    }
    match operator {
        Operator::Has => veil.contains(&literal.folded),
        Operator::Equal => veil.equals(&literal.folded),
        Operator::NotEqual => veil.equals(&literal.folded).not(),
        _ => Truth::Unknown,
    }
}
