//! One entry while it is asked about.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::literal::fold;
use super::node::Node;

/// Folding a text of 256 KiB that is not ASCII takes 5 to 60 ms. A query has hundreds of conditions that may all look at
/// it, so it is folded once per entry. Shorter texts are folded as they come.
const LONG: usize = 256;

/// An entry and its folded texts.
pub(super) struct View<'e> {
    pub(super) root: &'e Node<'e>,
    /// By where the text lies and how long it is. What is in the entry stays where it is for as long as this lives, so
    /// no other text can be found under its place.
    folded: OnceCell<HashMap<(usize, usize), String>>,
}

impl<'e> View<'e> {
    pub(super) fn new(root: &'e Node<'e>) -> View<'e> {
        View {
            root,
            folded: OnceCell::new(),
        }
    }

    /// The text as [`fold`] makes it.
    pub(super) fn fold<'t>(&'t self, text: &'t str) -> Cow<'t, str> {
        if text.len() < LONG || text.is_ascii() {
            return fold(text);
        }
        let folded = self.folded.get_or_init(|| {
            let mut folded = HashMap::new();
            fold_all(self.root, &mut folded);
            folded
        });
        match folded.get(&place(text)) {
            Some(known) => Cow::Borrowed(known),
            None => fold(text),
        }
    }
}

fn place(text: &str) -> (usize, usize) {
    (text.as_ptr().addr(), text.len())
}

fn fold_all(node: &Node<'_>, folded: &mut HashMap<(usize, usize), String>) {
    let mut add = |text: &str| {
        if text.len() >= LONG && !text.is_ascii() {
            folded.insert(place(text), fold(text).into_owned());
        }
    };
    match node {
        Node::Text(text) => add(text),
        Node::List(items) => items.iter().for_each(|item| fold_all(item, folded)),
        Node::Map(members) => {
            members.iter().for_each(|(key, _)| add(key));
            members.iter().for_each(|(_, node)| fold_all(node, folded));
        }
        _ => {}
    }
}
