//! Objects in the making.

use std::borrow::Cow;

use binauthz_wire::logging::Node;

/// The members of an object.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Members<'a> {
    /// Adds a member; an empty text or object is left out.
    pub(super) fn put(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Node<'a>>) {
        let value = value.into();
        let is_empty = match &value {
            Node::Text(text) => text.is_empty(),
            Node::Map(members) => members.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.0.push((name.into(), value));
        }
    }

    /// Adds a text that is there as long as the record is.
    pub(super) fn text(&mut self, name: &'static str, text: &'a str) {
        self.put(name, text);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_node(self) -> Node<'a> {
        Node::Map(self.0)
    }
}
