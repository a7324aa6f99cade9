//! Looking through everything: lone texts, and `SEARCH`.

use super::compare::mentions;
use super::fields::AUDIT_STRUCTS;
use super::literal::{Literal, fold};
use super::node::{Node, Truth};
use super::subject::scalar_text;
use super::view::View;
use crate::filter::Error;

/// Words that one `SEARCH` may look for. Each is looked for in every word of an entry.
const MOST_WORDS: usize = 100;

/// Whether the names of members are data of the writer, or the schema's.
#[derive(Clone, Copy)]
enum Names {
    Entry,
    Resource,
    Audit,
    Schema,
    Data,
}

impl Names {
    fn below(self, name: &str) -> Names {
        match (self, name) {
            (Names::Entry, "jsonPayload" | "labels") | (Names::Resource, "labels") => Names::Data,
            (Names::Entry, "protoPayload") => Names::Audit,
            (Names::Entry, "resource") => Names::Resource,
            (Names::Audit, name) if AUDIT_STRUCTS.contains(&name) => Names::Data,
            (Names::Data, _) => Names::Data,
            _ => Names::Schema,
        }
    }
}

/// Whether a value contains the text, or a key that is data does.
pub(super) fn anywhere(view: &View<'_>, literal: &Literal) -> Truth {
    below(view, view.root, Names::Entry, literal)
}

fn below(view: &View<'_>, node: &Node<'_>, names: Names, literal: &Literal) -> Truth {
    match node {
        Node::List(items) => Truth::any(items.iter().map(|item| below(view, item, names, literal))),
        Node::Map(members) => Truth::any(members.iter().map(|(key, node)| {
            let in_key = matches!(names, Names::Data) && view.fold(key).contains(&literal.folded);
            match node {
                // It may not be there at all, and its key with it.
                Node::Veiled(veil) if in_key && !veil.is_text() => Truth::Unknown,
                _ if in_key => Truth::True,
                node => below(view, node, names.below(key), literal),
            }
        })),
        node => mentions(view, node, literal),
    }
}

/// What `SEARCH` looks for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// Each must be found, as whole words side by side in one value.
    phrases: Vec<Vec<String>>,
}

impl Search {
    /// Words in any order; what stands in backticks stays together.
    pub(super) fn parse(text: &str, column: usize) -> Result<Search, Error> {
        let mut phrases = Vec::new();
        for (index, part) in text.split('`').enumerate() {
            let words = words(&fold(part));
            if index % 2 == 1 {
                phrases.push(words);
            } else {
                phrases.extend(words.into_iter().map(|word| vec![word]));
            }
        }
        if text.matches('`').count() % 2 == 1 {
            return Err(Error::at(column, "a backtick is not closed"));
        }
        phrases.retain(|phrase| !phrase.is_empty());
        let count: usize = phrases.iter().map(Vec::len).sum();
        match count {
            0 => Err(Error::at(column, "expected at least one word to search for")),
            _ if count > MOST_WORDS => {
                let why = format_args!("expected at most {MOST_WORDS} words to search for, not {count}");
                Err(Error::at(column, why))
            }
            _ => Ok(Search { phrases }),
        }
    }

    /// How many words it looks for.
    pub(super) fn len(&self) -> usize {
        self.phrases.iter().map(Vec::len).sum()
    }

    /// Whether the values under all the nodes that `each` shows have everything together. What `each` answers says
    /// whether it may have missed some: unknown.
    pub(super) fn test(
        &self,
        view: &View<'_>,
        each: impl FnOnce(&mut dyn FnMut(&Node<'_>)) -> Truth,
    ) -> Truth {
        let mut found = vec![Truth::False; self.phrases.len()];
        if each(&mut |node| self.look(view, node, &mut found)) == Truth::Unknown {
            may_be_elsewhere(&mut found);
        }
        Truth::all(found)
    }

    fn look(&self, view: &View<'_>, node: &Node<'_>, found: &mut [Truth]) {
        match node {
            Node::List(items) => items.iter().for_each(|item| self.look(view, item, found)),
            Node::Map(members) => members.iter().for_each(|(_, node)| self.look(view, node, found)),
            Node::Veiled(_) => may_be_elsewhere(found),
            scalar => {
                let words = match scalar {
                    Node::Text(text) => words(&view.fold(text)),
                    other => words(&fold(&scalar_text(other).unwrap_or_default())),
                };
                for (truth, phrase) in found.iter_mut().zip(&self.phrases) {
                    if *truth != Truth::True && words.windows(phrase.len()).any(|window| window == phrase) {
                        *truth = Truth::True;
                    }
                }
            }
        }
    }
}

fn may_be_elsewhere(found: &mut [Truth]) {
    for truth in found.iter_mut().filter(|truth| **truth == Truth::False) {
        *truth = Truth::Unknown;
    }
}

/// The words of a folded text.
fn words(folded: &str) -> Vec<String> {
    folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
