//! The patterns of a policy, and an index of them, so that ten thousand cost about what ten do.
//!
//! The index only proposes. What it proposes must match by [`ImagePattern::matches`] before it exempts
//! anything, so a fault in here can refuse an image but not admit one.

use crate::image::{ImagePattern, ImageRef, Wildcard};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Patterns in the order they were written. They are read like a slice and never change, so a clone is
/// the same list.
#[derive(Clone, Default)]
pub struct Allowlist(Arc<Indexed>);

#[derive(Default)]
struct Indexed {
    patterns: Vec<ImagePattern>,
    index: Index,
}

impl Allowlist {
    /// The first pattern that exempts `image`, if one does.
    pub fn exempting(&self, image: &ImageRef) -> Option<&ImagePattern> {
        let place = self.0.index.first(image)?;
        self.get(place).filter(|pattern| pattern.matches(image))
    }
}

impl From<Vec<ImagePattern>> for Allowlist {
    fn from(patterns: Vec<ImagePattern>) -> Self {
        let index = Index::of(&patterns);
        Self(Arc::new(Indexed { patterns, index }))
    }
}

impl FromIterator<ImagePattern> for Allowlist {
    fn from_iter<I: IntoIterator<Item = ImagePattern>>(patterns: I) -> Self {
        Vec::from_iter(patterns).into()
    }
}

impl Deref for Allowlist {
    type Target = [ImagePattern];

    fn deref(&self) -> &[ImagePattern] {
        &self.0.patterns
    }
}

impl<'a> IntoIterator for &'a Allowlist {
    type Item = &'a ImagePattern;
    type IntoIter = std::slice::Iter<'a, ImagePattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The index follows from the patterns.
impl PartialEq for Allowlist {
    fn eq(&self, other: &Self) -> bool {
        self.0.patterns == other.0.patterns
    }
}

impl Eq for Allowlist {}

impl fmt::Debug for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.patterns.fmt(f)
    }
}

/// Where the first pattern of each form stands.
///
/// The maps are hashed with a random seed, so nobody can write names that collide; no answer depends
/// on it.
#[derive(Default)]
struct Index {
    /// Patterns without a wildcard, by their text.
    exact: HashMap<Box<str>, usize>,
    /// Patterns with one, by what they say up to their last slash.
    folders: HashMap<Box<str>, Folder>,
    /// Most slashes in the name of a folder.
    deepest: usize,
}

impl Index {
    fn of(patterns: &[ImagePattern]) -> Self {
        let mut index = Self::default();
        let mut folders: HashMap<Box<str>, BTreeMap<Box<str>, Own>> = HashMap::new();
        for (place, pattern) in patterns.iter().enumerate() {
            let prefix = pattern.prefix();
            if pattern.wildcard() == Wildcard::None {
                index.exact.entry(prefix.into()).or_insert(place);
                continue;
            }
            // A wildcard stands after a slash, always.
            let Some((folder, stem)) = prefix.rfind('/').and_then(|at| prefix.split_at_checked(at + 1))
            else {
                continue;
            };
            let stems = folders.entry(folder.into()).or_default();
            stems.entry(stem.into()).or_default().add(place, pattern);
            index.deepest = index.deepest.max(folder.matches('/').count());
        }
        index.folders = folders
            .into_iter()
            .map(|(name, stems)| (name, Folder::of(stems)))
            .collect();
        index
    }

    /// The place of the first pattern that matches, as far as the index knows.
    fn first(&self, image: &ImageRef) -> Option<usize> {
        let written = image.as_written();
        let without_tag = image.has_tag_and_digest();
        // A pattern of that very text names the tag.
        let mut first = match without_tag {
            true => None,
            false => self.exact.get(written).copied(),
        };
        for (at, _) in written.match_indices('/').take(self.deepest) {
            let Some((name, rest)) = written.split_at_checked(at + 1) else {
                continue;
            };
            if let Some(folder) = self.folders.get(name) {
                first = earlier(first, folder.first(rest, without_tag));
            }
        }
        first
    }
}

fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The first place for images of either kind.
#[derive(Clone, Copy, Default)]
struct Place {
    any: Option<usize>,
    /// Not counting patterns that name a tag: they exempt no image that also has a digest.
    without_tag: Option<usize>,
}

impl Place {
    fn of(place: usize, pattern: &ImagePattern) -> Self {
        Self {
            any: Some(place),
            without_tag: (!pattern.names_tag()).then_some(place),
        }
    }

    fn earlier(self, other: Self) -> Self {
        Self {
            any: earlier(self.any, other.any),
            without_tag: earlier(self.without_tag, other.without_tag),
        }
    }

    fn get(self, without_tag: bool) -> Option<usize> {
        if without_tag { self.without_tag } else { self.any }
    }
}

/// The first `STEM*` and the first `STEM**` of a folder.
#[derive(Clone, Copy, Default)]
struct Own {
    within: Place,
    across: Place,
}

impl Own {
    fn add(&mut self, place: usize, pattern: &ImagePattern) {
        let place = Place::of(place, pattern);
        match pattern.wildcard() {
            Wildcard::None => {}
            Wildcard::WithinComponent => self.within = self.within.earlier(place),
            Wildcard::Across => self.across = self.across.earlier(place),
        }
    }
}

/// What stands between a folder and a wildcard, in the order of the text. Often one: the empty text.
struct Folder {
    stems: Vec<Stem>,
}

struct Stem {
    text: Box<str>,
    /// The longest other stem that this one begins with.
    parent: Option<usize>,
    /// One further up, so that a long line of stems takes few steps: see [`jump_over`].
    jump: Option<usize>,
    /// How many stems this one begins with.
    depth: usize,
    /// The first places of this stem and of all that it begins with.
    first: Own,
}

impl Folder {
    fn of(stems: BTreeMap<Box<str>, Own>) -> Self {
        let mut done: Vec<Stem> = Vec::with_capacity(stems.len());
        for (text, own) in stems {
            // In this order a stem comes after all that it begins with, and the last one before it
            // is either one of these or begins with the longest of them.
            let mut parent = done.len().checked_sub(1);
            while let Some(stem) = parent.and_then(|place| done.get(place)) {
                if text.starts_with(&*stem.text) {
                    break;
                }
                parent = stem.parent;
            }
            let above = parent.and_then(|place| done.get(place));
            let jump = above.and_then(|stem| jump_over(stem, &done)).or(parent);
            let depth = above.map_or(0, |stem| stem.depth + 1);
            let first = above.map_or(own, |stem| Own {
                within: own.within.earlier(stem.first.within),
                across: own.across.earlier(stem.first.across),
            });
            done.push(Stem {
                text,
                parent,
                jump,
                depth,
                first,
            });
        }
        Self { stems: done }
    }

    fn first(&self, rest: &str, without_tag: bool) -> Option<usize> {
        let stem = self.longest(rest)?;
        let across = stem.first.across.get(without_tag);
        if rest.contains('/') {
            return across;
        }
        earlier(across, stem.first.within.get(without_tag))
    }

    /// The longest stem that `rest` begins with. All shorter ones are among those it begins with.
    fn longest(&self, rest: &str) -> Option<&Stem> {
        let after = self.stems.partition_point(|stem| *stem.text <= *rest);
        let mut stem = self.stems.get(after.checked_sub(1)?)?;
        let pairs = stem.text.bytes().zip(rest.bytes());
        let common = pairs.take_while(|(one, other)| one == other).count();
        while stem.text.len() > common {
            let jumped = stem.jump.and_then(|place| self.stems.get(place));
            stem = match jumped.filter(|jumped| jumped.text.len() > common) {
                Some(jumped) => jumped,
                None => self.stems.get(stem.parent?)?,
            };
        }
        Some(stem)
    }
}

/// Where the stem after this one jumps to, if further than to this one: two jumps of the same length are one of twice
/// their length. That makes a line of n stems some 2·log₂ n steps long, wherever one stops (Myers, "An applicative
/// random-access stack", 1983).
fn jump_over(stem: &Stem, done: &[Stem]) -> Option<usize> {
    let over = done.get(stem.jump?)?;
    let further = done.get(over.jump?)?;
    (stem.depth - over.depth == over.depth - further.depth)
        .then_some(over.jump)
        .flatten()
}
