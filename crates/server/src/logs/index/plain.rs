//! The words of a line that says that something was admitted as it should be, without rendering it: most lines are such,
//! and follow others like them.
//!
//! What such a line is rendered to consists of its own texts, between characters that are in no word, of what its kind is
//! rendered to, and of what every line is. So the words of its bytes are enough where the last two are known, and of those
//! bytes the ones that differ from the line before. This may be more than it is rendered to, and is never less.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use binauthz_core::time::UnixTime;
use memchr::memmem::Finder;

use super::super::record::{Image, Policy, Reason, Verdict};
use super::super::shape::{Effect, Form, Shape};
use super::super::words::Words;
use super::super::{insert_id, verdicts};

/// What a block has of lines of each shape.
#[derive(Debug, Default)]
pub(super) struct Plain {
    shapes: HashMap<Shape, Known>,
    /// The beginning of the last line's id, which 65 536 lines have.
    place: Option<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the last line says.
    before: Vec<u8>,
    /// The kinds of object, each with its group, its version, its part and the operation, as the lines have them.
    kinds: HashSet<Box<[u8]>>,
}

/// The parts of a line that matter here.
struct Parts<'l> {
    /// From its reason to before its place in the log.
    texts: &'l [u8],
    kind: &'l [u8],
    sequence: u64,
}

impl Plain {
    /// Adds the words of a line, if it is plain and its kind is known here already.
    pub(super) fn add(&mut self, (shape, line): (Shape, &[u8]), words: &mut Words) -> bool {
        let Some(parts) = parts(shape, line) else {
            return false;
        };
        let known = self
            .shapes
            .get_mut(&shape)
            .filter(|known| known.kinds.contains(parts.kind));
        let Some(known) = known else {
            return false;
        };
        add_new(parts.texts, &known.before, words);
        known.before.clear();
        known.before.extend_from_slice(parts.texts);
        let place = parts.sequence >> 16;
        if self.place.replace(place) != Some(place) {
            // A word is known by its beginning, and this one is a word also where an id of the same beginning is none.
            words.add(insert_id((place << 16) | 0xffff, 0).as_bytes());
        }
        true
    }

    /// Learns the kind of a line that was rendered, whose words therefore are there.
    pub(super) fn learn(&mut self, (shape, line): (Shape, &[u8]), words: &mut Words) {
        if let Some(parts) = parts(shape, line) {
            self.shapes
                .entry(shape)
                .or_default()
                .kinds
                .insert(parts.kind.into());
            words.include(&ALWAYS);
        }
    }

    /// Knows nothing any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Adds the words of what stands between quotation marks and is not in the same place of the line before.
fn add_new(mut texts: &[u8], mut before: &[u8], words: &mut Words) {
    while texts != before {
        let same = common(texts, before);
        // A word may have begun in what they have in common.
        let begin = texts
            .get(..same)
            .and_then(|same| memchr::memrchr(b'"', same))
            .map_or(0, |mark| mark + 1);
        let (piece, behind) = to_mark(texts, same);
        words.add(piece.get(begin..).unwrap_or_default());
        (texts, before) = (behind, to_mark(before, same).1);
    }
}

/// How many bytes two texts begin with that are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    const CHUNK: usize = 64;
    let chunks = one.chunks_exact(CHUNK).zip(other.chunks_exact(CHUNK));
    let whole = CHUNK * chunks.take_while(|(one, other)| one == other).count();
    let rest = one.iter().skip(whole).zip(other.iter().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

/// What comes before the first quotation mark from a place on, and what comes behind it.
fn to_mark(bytes: &[u8], from: usize) -> (&[u8], &[u8]) {
    let mark = bytes.get(from..).and_then(|rest| memchr::memchr(b'"', rest));
    let end = mark.map_or(bytes.len(), |mark| from + mark);
    let (piece, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    (piece, rest.get(1..).unwrap_or_default())
}

/// The parts of a line that is plain: nothing speaks against what was admitted, and its texts say what they mean as they are.
fn parts(shape: Shape, line: &[u8]) -> Option<Parts<'_>> {
    static REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#","reason":""#));
    static KIND: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#","operation":""#));
    static NAMESPACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#","namespace":""#));
    let Form::Verdict(verdict) = shape.form() else {
        return None;
    };
    let is_plain = verdict.effect == Effect::Enforced
        && verdict.conforms
        && !(verdict.denies || verdict.advice || verdict.door);
    if !is_plain || !line.is_ascii() || has_letters_escaped(line) {
        return None;
    }
    let texts = line.get(REASON.find(line)?..)?;
    let end = memchr::memmem::rfind(texts, br#","seq":"#)?;
    let (texts, place) = texts.split_at_checked(end)?;
    let digits = place.get(7..)?;
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let sequence = std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()?;
    let kind = texts.get(KIND.find(texts)?..)?;
    let kind = kind.get(..NAMESPACE.find(kind)?)?;
    Some(Parts {
        texts,
        kind,
        sequence,
    })
}

/// Whether a letter or a digit of the line belongs to an escape. Those of quotation marks and of backslashes have none.
fn has_letters_escaped(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        match rest.get(at + 1) {
            Some(b'"' | b'\\') => rest = rest.get(at + 2..).unwrap_or_default(),
            _ => return true,
        }
    }
    false
}

/// The words every plain line may be rendered to, whatever it says: those of one that leaves nothing out. Its own texts are
/// too short to be words.
static ALWAYS: LazyLock<Words> = LazyLock::new(|| {
    let verdict = Verdict {
        cluster: "projects/x/locations/x/clusters/x".into(),
        verdict: "x".into(),
        effect: "x".into(),
        conforms: true,
        dialect: "x".into(),
        id: "x".into(),
        uid: "x".into(),
        group: "x".into(),
        sub_resource: "x".into(),
        namespace: "x".into(),
        name: "x".into(),
        user: "x".into(),
        service_account: "x".into(),
        dry_run: true,
        reason: "x".into(),
        message: "x".into(),
        justification: "x".into(),
        rule: "x".into(),
        policy: Policy {
            name: "x".into(),
            etag: "x".into(),
        },
        images: vec![Image {
            field: "x[0]".into(),
            image: "x".into(),
            verdict: "x".into(),
            reasons: vec![Reason::default()],
        }],
        image_count: Some(1),
        truncated: true,
        sha256: "x".into(),
        ..Verdict::default()
    };
    let mut words = Words::default();
    for entry in verdicts::render(&verdict, UnixTime::from_seconds(0)) {
        entry.texts(&mut |text| words.add_folded(text));
    }
    words
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::super::super::entries_of;
    use super::super::super::record::glance;
    use super::super::super::shape::Verdict as ShapeOfVerdict;
    use super::super::super::shape::tests::{Record, record};
    use super::*;

    fn plain_verdict(dry_run: bool) -> ShapeOfVerdict {
        ShapeOfVerdict {
            effect: Effect::Enforced,
            denies: false,
            conforms: true,
            advice: false,
            dry_run,
            door: false,
        }
    }

    /// A plain record of many sorts.
    fn line() -> impl Strategy<Value = String> {
        let changes = [
            ("", ""),
            (
                r#","latencyMicros""#,
                r#","serviceAccount":"builder","latencyMicros""#,
            ),
            (r#""policy":{"name":"projects/p/policy","etag":"e"},"#, ""),
            (r#""etag":"e""#, r#""etag":"\"Quoted==\"""#),
            ("/locations/l", ""),
            ("clusters/c", "clusters/Production"),
            (r#""operation":"CREATE""#, r#""operation":"UPDATE""#),
            (r#""group":"""#, r#""group":"apps""#),
            (r#""group":"""#, r#""group":"argoproj.io""#),
            (r#""version":"v1""#, r#""version":"v1beta1""#),
            (r#""version":"v1""#, r#""version":"""#),
            (r#""subResource":"""#, r#""subResource":"ephemeralcontainers""#),
            (
                "spec.containers[0]",
                "spec.jobTemplate.spec.volumes[0].image.reference",
            ),
            (
                r#""message":"I"#,
                r#""rule":"default admission rule","message":"I"#,
            ),
            (
                r#","seq""#,
                r#","imageCount":500,"truncated":true,"sha256":"beef","seq""#,
            ),
            (r#""kind":"Pod""#, r#""kind":"Proxy""#),
            ("ALWAYS_ALLOW", "ATTESTED"),
            (r#""reason":"NO_ATTESTATIONS""#, r#""reason":"SYSTEM_IMAGE""#),
            (r#""user":"a"#, r#""user":"\u0061"#),
            (r#""user":"a"#, r#""user":"\\na"#),
        ];
        let changes = prop::collection::vec(select(changes.to_vec()), 0..4);
        (record(), changes, any::<bool>()).prop_map(|(mut record, changes, dry_run)| {
            record.verdict = plain_verdict(dry_run);
            changes
                .into_iter()
                .fold(record.line(), |line, (from, to)| line.replacen(from, to, 1))
        })
    }

    /// Of what it is rendered to, if it is.
    fn rendered(line: &str) -> Option<Words> {
        let mut words = Words::default();
        let entries = entries_of(
            glance(line.as_bytes()).unwrap(),
            line.as_bytes(),
            &|_| true,
            |entry| {
                entry.texts(&mut |text| words.add_folded(text));
                Some(())
            },
        );
        (!entries.is_empty()).then_some(words)
    }

    fn has_all(words: &Words, some: &Words) -> bool {
        let mut both = words.clone();
        both.include(some);
        both == *words
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn no_word_is_missing_that_a_rendered_line_has(lines in prop::collection::vec(line(), 1..6)) {
            let (mut plain, mut words) = (Plain::default(), Words::default());
            for line in lines {
                let Some(full) = rendered(&line) else { continue };
                let shaped = Shape::of(line.as_bytes()).map(|shape| (shape, line.as_bytes()));
                if !shaped.is_some_and(|shaped| plain.add(shaped, &mut words)) {
                    words.include(&full);
                    if let Some(shaped) = shaped {
                        plain.learn(shaped, &mut words);
                    }
                }
                prop_assert!(has_all(&words, &full), "{}", line);
            }
        }
    }

    #[test]
    fn what_is_new_is_told_from_what_was_before() {
        let (same, other) = (format!("\"{}\"", "x".repeat(200)), "y".repeat(130));
        for (before, texts, new) in [
            ("", r#""first","second""#, "first second"),
            (r#""first","second""#, r#""first","second""#, ""),
            (
                r#""first","second""#,
                r#""first","secondary","third""#,
                "secondary third",
            ),
            (r#""first","secondary","third""#, r#""first","second""#, "second"),
            (
                r#""first second","third""#,
                r#""first seconds","third""#,
                "first seconds",
            ),
            (&format!("{same}a"), &format!("{same}{other}"), &other),
            (&format!("{same}{other}"), &same, ""),
        ] {
            let (mut words, mut expected) = (Words::default(), Words::default());
            add_new(texts.as_bytes(), before.as_bytes(), &mut words);
            expected.add(new.as_bytes());
            assert_eq!(words, expected, "{texts} after {before}");
        }
    }

    #[test]
    fn a_line_is_not_rendered_where_its_kind_is_known() {
        let mut runner = TestRunner::deterministic();
        let mut record = record().new_tree(&mut runner).unwrap().current();
        record.verdict = plain_verdict(false);
        record.namespace = "default";
        record.name = "web".to_owned();
        record.user = "alice".to_owned();
        record.images = vec![("r.test/a:latest".to_owned(), false)];
        let (mut plain, mut words) = (Plain::default(), Words::default());
        let mut add = |record: &Record| {
            let line = record.line();
            let shaped = (Shape::of(line.as_bytes()).unwrap(), line.as_bytes());
            let added = plain.add(shaped, &mut words);
            if !added {
                plain.learn(shaped, &mut words);
            }
            added
        };
        assert_eq!([add(&record), add(&record)], [false, true]);
        record.kind = if record.kind == "Pod" { "Deployment" } else { "Pod" };
        assert_eq!([add(&record), add(&record)], [false, true]);
        for name in ["stra\u{df}e", "line\nbreak"] {
            record.name = name.to_owned();
            assert!(!add(&record), "{name}");
        }
        record.name = "\"\\".to_owned();
        assert!(add(&record));
        record.verdict.denies = true;
        assert_eq!([add(&record), add(&record)], [false, false]);
    }
}
