//! The Merkle tree of RFC 6962, section 2.1, as far as it must be kept to add leaves and to name the root.

use super::{Hash, hash};

/// The roots of the perfect subtrees, largest first; their sizes are the one-bits of the number of leaves, so there are
/// at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Tree {
    /// A tree of `size` leaves from its subtrees; nothing if there are more or fewer than that size has.
    pub fn from_subtrees(size: u64, subtrees: Vec<[u8; 32]>) -> Option<Self> {
        let expected = usize::try_from(size.count_ones()).ok()?;
        (subtrees.len() == expected).then_some(Self { size, subtrees })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn subtrees(&self) -> &[[u8; 32]] {
        &self.subtrees
    }

    /// Adds a leaf.
    pub fn push(&mut self, line: &[u8]) {
        let mut node = hash(&[&[0], line]);
        // Every one-bit at the end of the old size is a subtree that this leaf completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = hash(&[&[1], &left, &node]);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// The root of the tree as it is.
    pub fn root(&self) -> [u8; 32] {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            Some(smallest) => subtrees.fold(*smallest, |right, left| hash(&[&[1], left, &right])),
            None => hash(&[]),
        }
    }
}
