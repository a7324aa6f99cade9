//! The shape of a line: what can be told of it without reading it, so that a filter that cannot match leaves it unread.

use std::sync::LazyLock;

use binauthz_wire::logging::{Entry, Query, Truth};
use memchr::memmem::Finder;

use super::record::{Kind, beginning};
use super::veiled;

/// What a line says at its fixed places. There are [`Shape::COUNT`] of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape(u8);

/// What a verdict was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) effect: Effect,
    /// It says `DENY`.
    pub(crate) denies: bool,
    /// Nothing speaks against the object.
    pub(crate) conforms: bool,
    /// It was a warning only.
    pub(crate) advice: bool,
    /// The API server only tried.
    pub(crate) dry_run: bool,
    /// Something is written at an emergency door, whatever it is.
    pub(crate) door: bool,
}

/// What a verdict's effect was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Enforced,
    DryRun,
    BreakGlass,
}

/// What came of a call of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Denied,
    Failed,
}

/// A shape, spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Verdict(Verdict),
    Call(Outcome),
    /// An entry that somebody wrote: it can be anything.
    Written,
}

impl Effect {
    const ALL: [Effect; 3] = [Effect::Enforced, Effect::DryRun, Effect::BreakGlass];

    /// As a record has it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Effect::Enforced => "ENFORCED",
            Effect::DryRun => "DRY_RUN",
            Effect::BreakGlass => "BREAK_GLASS",
        }
    }
}

impl Verdict {
    pub(crate) fn is_denial(self) -> bool {
        self.denies && !self.advice
    }

    /// Whether it was let through although something speaks against it.
    pub(crate) fn is_overridden(self) -> bool {
        !self.is_denial() && !self.conforms
    }
}

impl Shape {
    /// 3 effects and 5 flags, 3 outcomes of a call, what others wrote.
    pub(crate) const COUNT: u8 = 3 * FLAGS + 4;

    /// The shape of a line; nothing of a line that is of no known one, which has to be read.
    pub(crate) fn of(line: &[u8]) -> Option<Shape> {
        Shape::with_project(line).map(|(shape, _)| shape)
    }

    /// As [`Shape::of`], with the id of the project whose log its entries are in, where that can be told too. Looks at few
    /// of its bytes: within a text every quotation mark has a backslash before it, so a member is where its name is.
    pub(crate) fn with_project(line: &[u8]) -> Option<(Shape, Option<&str>)> {
        let (kind, rest) = beginning(line)?;
        let (form, project) = match kind {
            Kind::Verdict => verdict(rest).map(|(verdict, project)| (Form::Verdict(verdict), project))?,
            Kind::Call => (Form::Call(outcome(rest)?), None),
            Kind::Entry => (Form::Written, None),
        };
        Some((Shape::from(form), project))
    }

    /// What it says.
    pub(crate) fn form(self) -> Form {
        match self.0.checked_sub(3 * FLAGS) {
            None => {
                let flag = |bit: u8| self.0 & (1 << bit) != 0;
                let effect = match self.0 / FLAGS {
                    0 => Effect::Enforced,
                    1 => Effect::DryRun,
                    _ => Effect::BreakGlass,
                };
                Form::Verdict(Verdict {
                    effect,
                    denies: flag(0),
                    conforms: flag(1),
                    advice: flag(2),
                    dry_run: flag(3),
                    door: flag(4),
                })
            }
            Some(0) => Form::Call(Outcome::Done),
            Some(1) => Form::Call(Outcome::Denied),
            Some(2) => Form::Call(Outcome::Failed),
            Some(_) => Form::Written,
        }
    }

    fn all() -> impl Iterator<Item = Shape> {
        (0..Shape::COUNT).map(Shape)
    }
}

/// Ways to set the flags of a verdict.
const FLAGS: u8 = 1 << 5;

impl From<Form> for Shape {
    fn from(form: Form) -> Shape {
        Shape(match form {
            Form::Verdict(verdict) => {
                let flags = [
                    verdict.denies,
                    verdict.conforms,
                    verdict.advice,
                    verdict.dry_run,
                    verdict.door,
                ];
                let bits = flags
                    .into_iter()
                    .zip(0..)
                    .map(|(flag, bit)| u8::from(flag) << bit);
                let effect = match verdict.effect {
                    Effect::Enforced => 0,
                    Effect::DryRun => 1,
                    Effect::BreakGlass => 2,
                };
                effect * FLAGS + bits.sum::<u8>()
            }
            Form::Call(Outcome::Done) => 3 * FLAGS,
            Form::Call(Outcome::Denied) => 3 * FLAGS + 1,
            Form::Call(Outcome::Failed) => 3 * FLAGS + 2,
            Form::Written => 3 * FLAGS + 3,
        })
    }
}

/// A set of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shapes(u128);

// One bit for each.
const _: () = assert!(Shape::COUNT as u32 <= u128::BITS);

impl Shapes {
    /// Every shape: of lines of which nothing is known.
    pub(crate) const ALL: Shapes = Shapes(u128::MAX);

    /// The shapes of lines whose entries the query may want. It is asked about each of them, once.
    pub(crate) fn wanted_by(query: &Query) -> Shapes {
        let mut wanted = Shapes::default();
        for (shape, entries) in VEILED.iter() {
            if entries
                .iter()
                .any(|entry| query.test_partly(entry) != Truth::False)
            {
                wanted.insert(*shape);
            }
        }
        wanted
    }

    pub(crate) fn insert(&mut self, shape: Shape) {
        self.0 |= 1 << shape.0;
    }

    /// With those of the other, too.
    pub(crate) fn add(&mut self, other: Shapes) {
        self.0 |= other.0;
    }

    pub(crate) fn contains(self, shape: Shape) -> bool {
        self.0 & (1 << shape.0) != 0
    }

    /// Whether a shape is in both.
    pub(crate) fn meets(self, other: Shapes) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn to_bits(self) -> u128 {
        self.0
    }

    pub(crate) fn from_bits(bits: u128) -> Shapes {
        Shapes(bits)
    }
}

/// What the lines of each shape are rendered to.
static VEILED: LazyLock<Vec<(Shape, Vec<Entry<'static>>)>> = LazyLock::new(|| {
    Shape::all()
        .map(|shape| (shape, veiled::entries(shape.form())))
        .collect()
});

/// From behind the beginning of a verdict's line; and the project of its cluster. The order of the members is that of the
/// record.
fn verdict(rest: &[u8]) -> Option<(Verdict, Option<&str>)> {
    static CLUSTER: Member = LazyLock::new(|| Finder::new(br#","cluster":""#));
    static NAMESPACE: Member = LazyLock::new(|| Finder::new(br#","namespace":""#));
    static LATENCY: Member = LazyLock::new(|| Finder::new(br#","latencyMicros":"#));
    static DOOR: Member = LazyLock::new(|| Finder::new(br#","door":{"#));
    let (_, rest) = text(rest)?;
    let (word, rest) = text(rest.strip_prefix(br#","verdict":""#)?)?;
    let denies = match word {
        b"ALLOW" => false,
        b"DENY" => true,
        _ => return None,
    };
    let (conforms, rest) = boolean(rest.strip_prefix(br#","conforms":"#)?)?;
    let (code, rest) = text(rest.strip_prefix(br#","effect":""#)?)?;
    let effect = Effect::ALL
        .into_iter()
        .find(|effect| effect.code().as_bytes() == code)?;
    let (dry_run, rest) = boolean(rest.strip_prefix(br#","dryRun":"#)?)?;
    let (advice, rest) = match rest.strip_prefix(br#","advice":true"#) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.strip_prefix(br#","reason":""#)?;
    let (_, rest) = around(rest, &CLUSTER)?;
    let project = project(rest);
    let (_, rest) = around(rest, &NAMESPACE)?;
    // Without it the object might have no metadata at all; that is rare enough to be read.
    if rest.first() == Some(&b'"') {
        return None;
    }
    let (names, _) = around(rest, &LATENCY)?;
    let verdict = Verdict {
        effect,
        denies,
        conforms,
        advice,
        dry_run,
        door: DOOR.find(names).is_some(),
    };
    Some((verdict, project))
}

/// The project of a cluster's name, if that says it as it is.
fn project(cluster: &[u8]) -> Option<&str> {
    let rest = cluster.strip_prefix(b"projects/")?;
    let end = memchr::memchr3(b'/', b'\\', b'"', rest)?;
    let (project, rest) = rest.split_at_checked(end)?;
    if project.is_empty() || !rest.starts_with(b"/") {
        return None;
    }
    std::str::from_utf8(project).ok()
}

/// From behind the beginning of a call's line: its code comes before the facts, which may have any members.
fn outcome(rest: &[u8]) -> Option<Outcome> {
    /// `PERMISSION_DENIED`
    const DENIED: &[u8] = b"7";
    static CODE: Member = LazyLock::new(|| Finder::new(br#","code":"#));
    let (_, rest) = around(rest, &CODE)?;
    let end = rest.iter().take(12).position(|byte| *byte == b',')?;
    Some(match rest.get(..end)? {
        b"0" => Outcome::Done,
        DENIED => Outcome::Denied,
        _ => Outcome::Failed,
    })
}

/// A member's name, prepared to be found in many lines.
type Member = LazyLock<Finder<'static>>;

/// What is before the name of a member, and what is behind it.
fn around<'l>(line: &'l [u8], member: &Finder<'_>) -> Option<(&'l [u8], &'l [u8])> {
    let at = member.find(line)?;
    Some((line.get(..at)?, line.get(at + member.needle().len()..)?))
}

fn boolean(rest: &[u8]) -> Option<(bool, &[u8])> {
    match rest.strip_prefix(b"true") {
        Some(rest) => Some((true, rest)),
        None => Some((false, rest.strip_prefix(b"false")?)),
    }
}

/// A text without escapes, up to its end.
fn text(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', rest)?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

#[cfg(test)]
pub(super) mod tests;
