//! One verdict as one JSON object, of bounded length whatever the request holds.
//!
//! Every text has a limit in *written* bytes, escapes counted. They add up to less than 15 KiB, some 600 bytes as a rule;
//! images take what is left of the 16 KiB, those that were objected to first when not all fit. What was cut says `truncated` and leaves
//! the SHA-256 of the whole.

use std::fmt::Display;

use aws_lc_rs::digest::{SHA256, digest};
use binauthz_core::attestor::Attestor;
use binauthz_core::decision::{Decision, Effect, Finding, Reason};
use binauthz_core::name::AttestorName;
use binauthz_core::policy::{PolicyLabel, Snapshot, Standing};
use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_out;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::record::{About, Door};
use crate::audit::{MAXIMUM_RECORD, escape, is_plain};

const WORD: usize = 256;
const LINE: usize = 1_024;
const PARAGRAPH: usize = 2_048;
const IMAGE: usize = 768;
/// `],"imageCount":500,"truncated":true,"sha256":"…64…"}` and some.
const TAIL: usize = 160;
/// Attestors of one record: a rule requires at most 50, but names can be long.
const MOST_ATTESTORS: usize = 8;

/// What one record says, borrowed from where it is.
pub(super) struct Entry<'a> {
    pub(super) about: &'a About,
    pub(super) decision: &'a Decision,
    pub(super) standing: Option<&'a Standing>,
    pub(super) time: UnixTime,
    pub(super) latency_micros: u64,
}

impl Entry<'_> {
    /// The record, one line, at most [`MAXIMUM_RECORD`] bytes.
    pub(super) fn render(&self) -> Vec<u8> {
        let id = uuid::Uuid::now_v7();
        let (mut bytes, cut) = self.head(&id, Scale::Bounded);
        let findings = self.decision.findings();
        let room = MAXIMUM_RECORD - TAIL;
        let start = bytes.len();
        let all = append_images(&mut bytes, findings.iter(), room);
        if all && !cut {
            bytes.extend_from_slice(b"]}");
            return bytes;
        }
        if !all {
            bytes.truncate(start);
            let objected = findings.iter().filter(|finding| !finding.conforms());
            let others = findings.iter().filter(|finding| finding.conforms());
            append_images(&mut bytes, objected.chain(others), room);
        }
        let whole = hex::encode(digest(&SHA256, &self.whole(&id)));
        let tail = format!(
            r#"],"imageCount":{},"truncated":true,"sha256":"{whole}"}}"#,
            findings.len()
        );
        bytes.extend_from_slice(tail.as_bytes());
        bytes
    }

    /// Everything, without any limit: only to be hashed.
    fn whole(&self, id: &uuid::Uuid) -> Vec<u8> {
        let mut bytes = self.head(id, Scale::Whole).0;
        append_images(&mut bytes, self.decision.findings().iter(), usize::MAX);
        bytes
    }

    /// All but the images, which are left open: `{…,"images":[`. Says whether anything was cut.
    fn head(&self, id: &uuid::Uuid, scale: Scale) -> (Vec<u8>, bool) {
        let Self { about, decision, .. } = self;
        let short = |text, limit| Short::new(text, scale.limit(limit));
        let denial = decision.denial();
        let parts = Parts {
            time: timestamp_out(self.time),
            id: id.to_string(),
            cluster: short(&about.cluster, LINE),
            dialect: about.dialect,
            uid: short(&about.uid, WORD),
            operation: short(&about.operation, WORD),
            group: short(&about.group, WORD),
            version: short(&about.version, WORD),
            kind: short(&about.kind, WORD),
            sub_resource: short(&about.sub_resource, WORD),
            namespace: short(&about.namespace, WORD),
            name: short(&about.name, LINE),
            user: short(&about.user, LINE),
            service_account: short(&about.service_account, WORD),
            door: about.doors.as_ref().map(|doors| Written {
                own: Values::of(&doors.own, short),
                template: Values::of(&doors.template, short),
            }),
            dry_run: about.dry_run,
            advice: about.advice,
            latency_micros: self.latency_micros,
            verdict: Outline::new(decision, short(&denial, PARAGRAPH), |text| short(text, PARAGRAPH)),
            attestors: Revisions {
                decision,
                standing: self.standing,
            },
        };
        let texts = [
            &parts.cluster,
            &parts.uid,
            &parts.operation,
            &parts.group,
            &parts.version,
            &parts.kind,
            &parts.sub_resource,
            &parts.namespace,
        ];
        let more = [
            &parts.name,
            &parts.user,
            &parts.service_account,
            &parts.verdict.message,
        ];
        let cut = texts.iter().chain(&more).any(|text| text.cut)
            || parts.door.as_ref().is_some_and(Written::is_cut)
            || parts.verdict.justification.as_ref().is_some_and(|text| text.cut);
        let mut bytes = Vec::with_capacity(2_048);
        // Strings, numbers and maps with string keys: nothing to fail on.
        let _ = serde_json::to_writer(&mut bytes, &parts);
        let mut bytes = escape(bytes);
        bytes.pop();
        bytes.extend_from_slice(br#","images":["#);
        (bytes, cut)
    }
}

#[derive(Clone, Copy)]
enum Scale {
    Bounded,
    Whole,
}

impl Scale {
    fn limit(self, limit: usize) -> usize {
        match self {
            Self::Bounded => limit,
            Self::Whole => usize::MAX,
        }
    }
}

/// Appends images while they end before `room`; says whether all did.
fn append_images<'a>(bytes: &mut Vec<u8>, findings: impl Iterator<Item = &'a Finding>, room: usize) -> bool {
    let limit = if room == usize::MAX { usize::MAX } else { IMAGE };
    for (index, finding) in findings.enumerate() {
        let before = bytes.len();
        if index > 0 {
            bytes.push(b',');
        }
        let from = bytes.len();
        let _ = serde_json::to_writer(&mut *bytes, &Image { finding, limit });
        if bytes.get(from..).is_some_and(|image| !is_plain(image)) {
            let image = bytes.split_off(from);
            bytes.extend_from_slice(&escape(image));
        }
        if bytes.len() > room {
            bytes.truncate(before);
            return false;
        }
    }
    true
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    time: String,
    id: String,
    cluster: Short<'a>,
    dialect: &'static str,
    uid: Short<'a>,
    operation: Short<'a>,
    group: Short<'a>,
    version: Short<'a>,
    kind: Short<'a>,
    sub_resource: Short<'a>,
    namespace: Short<'a>,
    name: Short<'a>,
    user: Short<'a>,
    #[serde(skip_serializing_if = "Short::is_empty")]
    service_account: Short<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<Written<'a>>,
    dry_run: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    advice: bool,
    latency_micros: u64,
    #[serde(flatten)]
    verdict: Outline<'a>,
    attestors: Revisions<'a>,
}

/// What is written at the emergency doors.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Values::are_missing")]
    own: Values<'a>,
    #[serde(skip_serializing_if = "Values::are_missing")]
    template: Values<'a>,
}

impl Written<'_> {
    fn is_cut(&self) -> bool {
        [&self.own, &self.template]
            .into_iter()
            .flat_map(|values| [&values.label, &values.annotation])
            .flatten()
            .any(|text| text.cut)
    }
}

#[derive(Serialize)]
struct Values<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation: Option<Short<'a>>,
}

impl<'a> Values<'a> {
    fn of(door: &'a Door, short: impl Fn(&'a str, usize) -> Short<'a>) -> Values<'a> {
        let value = |text: &'a Option<String>| text.as_deref().map(|text| short(text, LINE));
        Values {
            label: value(&door.label),
            annotation: value(&door.annotation),
        }
    }

    fn are_missing(&self) -> bool {
        self.label.is_none() && self.annotation.is_none()
    }
}

/// The verdict without its images.
#[derive(Serialize)]
struct Outline<'a> {
    verdict: &'static str,
    conforms: bool,
    reason: &'static str,
    effect: &'static str,
    message: Short<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy<'a>>,
}

impl<'a> Outline<'a> {
    fn new(decision: &'a Decision, message: Short<'a>, short: impl Fn(&'a str) -> Short<'a>) -> Self {
        Self {
            verdict: word(decision.admitted()),
            conforms: decision.conforms(),
            reason: decision.reason_code(),
            effect: decision.effect().code(),
            message,
            justification: match decision.effect() {
                Effect::BrokenGlass { justification } => Some(short(justification)),
                Effect::Enforced | Effect::DryRun => None,
            },
            rule: decision.rule().map(|rule| Shown(rule)),
            policy: decision.policy().map(Policy),
        }
    }
}

fn word(admitted: bool) -> &'static str {
    if admitted { "ALLOW" } else { "DENY" }
}

struct Policy<'a>(&'a PolicyLabel);

impl Serialize for Policy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("etag", &self.0.etag)?;
        map.end()
    }
}

/// Names that follow a grammar, and so are short and printable.
struct Shown<'a>(&'a (dyn Display + 'a));

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The revision each attestor had that was asked: which keys were trusted.
struct Revisions<'a> {
    decision: &'a Decision,
    standing: Option<&'a Standing>,
}

impl Serialize for Revisions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(Standing::Registered(snapshot)) = self.standing {
            for attestor in asked(self.decision, snapshot) {
                map.serialize_entry(&Shown(attestor.name()), &attestor.revision())?;
            }
        }
        map.end()
    }
}

fn asked<'a>(decision: &'a Decision, snapshot: &'a Snapshot) -> Vec<&'a Attestor> {
    let mut asked: Vec<&Attestor> = Vec::new();
    for name in decision
        .findings()
        .iter()
        .flat_map(Finding::reasons)
        .filter_map(attestor_of)
    {
        let known = asked.iter().any(|attestor| attestor.name() == name);
        if let (false, Some(attestor)) = (
            known || asked.len() >= MOST_ATTESTORS,
            snapshot.attestors.get(name),
        ) {
            asked.push(attestor);
        }
    }
    asked
}

fn attestor_of(reason: &Reason) -> Option<&AttestorName> {
    match reason {
        Reason::Attested { attestor, .. }
        | Reason::NotPinned(attestor)
        | Reason::NoAttestations(attestor)
        | Reason::NoValidAttestations { attestor, .. }
        | Reason::AttestorWithoutKeys(attestor)
        | Reason::EvidenceUnavailable { attestor, .. } => Some(attestor),
        _ => None,
    }
}

struct Image<'a> {
    finding: &'a Finding,
    limit: usize,
}

impl Serialize for Image<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { finding, limit } = self;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("field", finding.location())?;
        map.serialize_entry("image", &Short::new(finding.image(), *limit))?;
        map.serialize_entry("verdict", word(finding.conforms()))?;
        map.serialize_entry("reasons", &Reasons(self))?;
        map.end()
    }
}

struct Reasons<'a>(&'a Image<'a>);

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Image { finding, limit } = self.0;
        serializer.collect_seq(finding.reasons().iter().map(|reason| Why {
            reason,
            image: finding.image(),
            limit: *limit,
        }))
    }
}

struct Why<'a> {
    reason: &'a Reason,
    image: &'a str,
    limit: usize,
}

impl Serialize for Why<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.reason.code())?;
        // By far the most frequent reason; its sentence would repeat what stands beside it.
        if let Reason::Attested {
            attestor,
            occurrence,
            key_id,
        } = self.reason
        {
            map.serialize_entry("attestor", &Shown(attestor))?;
            map.serialize_entry("occurrence", &Shown(occurrence))?;
            map.serialize_entry("key", &Short::new(key_id, self.limit))?;
        } else {
            let sentence = self.reason.sentence(self.image);
            map.serialize_entry("message", &Short::new(&sentence, self.limit))?;
        }
        map.end()
    }
}

/// A text cut to a number of written bytes.
struct Short<'a> {
    text: &'a str,
    cut: bool,
}

impl<'a> Short<'a> {
    fn new(text: &'a str, limit: usize) -> Self {
        // No byte of UTF-8 is written as more than six.
        if text.len() <= limit / 6 {
            return Self { text, cut: false };
        }
        let mut written = 0_usize;
        let end = text.char_indices().find(|(_, character)| {
            written = written.saturating_add(written_length(*character));
            written > limit
        });
        match end {
            Some((end, _)) => Self {
                text: text.get(..end).unwrap_or_default(),
                cut: true,
            },
            None => Self { text, cut: false },
        }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Serialize for Short<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text)
    }
}

fn written_length(character: char) -> usize {
    match character {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        // Perhaps escaped as `\uXXXX`, never longer.
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use binauthz_core::decide::refuse;
    use binauthz_core::workload::BreakGlass;

    use super::super::record::Doors;
    use super::*;

    fn about(filler: &str) -> About {
        let text = || filler.to_owned();
        let door = || Door {
            label: Some(text()),
            annotation: Some(text()),
        };
        About {
            cluster: text(),
            uid: text(),
            operation: text(),
            group: text(),
            version: text(),
            kind: text(),
            sub_resource: text(),
            namespace: text(),
            name: text(),
            user: text(),
            service_account: text(),
            doors: Some(Box::new(Doors {
                own: door(),
                template: door(),
            })),
            ..About::default()
        }
    }

    fn rendered(filler: &str) -> (Vec<u8>, serde_json::Value) {
        let opened = BreakGlass::read(None, Some(&format!("why {filler}")));
        let decision = refuse(Reason::Unreviewable(filler.to_owned()), opened.as_ref());
        let about = about(filler);
        let entry = Entry {
            about: &about,
            decision: &decision,
            standing: None,
            time: UnixTime::from_seconds(0),
            latency_micros: 1,
        };
        let bytes = entry.render();
        let value = serde_json::from_slice(&bytes).unwrap();
        (bytes, value)
    }

    #[test]
    fn no_filler_makes_a_record_too_long_or_too_many_lines() {
        for character in [
            "x", "\"", "\\", "\n", "\u{1b}", "\u{7f}", "\u{9b}", "é", "\u{202e}", "\u{feff}", "💣",
        ] {
            let (bytes, value) = rendered(&character.repeat(100_000));
            assert!(bytes.len() <= MAXIMUM_RECORD, "{character:?} {}", bytes.len());
            assert_eq!(escape(bytes.clone()), bytes, "{character:?}");
            assert_eq!(value["truncated"], true);
            assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
        }
    }

    #[test]
    fn what_fits_is_not_cut() {
        let (_, value) = rendered("INC-1");
        assert!(value.get("truncated").is_none());
        assert_eq!(
            (&value["name"], &value["justification"]),
            (&"INC-1".into(), &"why INC-1".into())
        );
        assert_eq!(
            value["door"]["template"],
            serde_json::json!({"label": "INC-1", "annotation": "INC-1"})
        );
        assert_eq!(value["serviceAccount"], "INC-1");
    }

    /// Whoever searches tells records apart by their fixed places.
    #[test]
    fn a_record_has_its_shape() {
        use crate::logs::shape::{Effect, Form, Shape, Verdict};

        let opened = BreakGlass::read(None, Some("INC-1"));
        for (dry_run, advice, opened, filler) in [
            (false, false, None, "x"),
            (true, false, opened.as_ref(), "\",\"dryRun\":"),
            (false, true, opened.as_ref(), "é\n"),
        ] {
            let decision = refuse(Reason::Unreviewable("why".to_owned()), opened);
            let about = About {
                dry_run,
                advice,
                ..about(filler)
            };
            let entry = Entry {
                about: &about,
                decision: &decision,
                standing: None,
                time: UnixTime::from_seconds(0),
                latency_micros: 1,
            };
            let expected = Verdict {
                effect: match opened {
                    Some(_) => Effect::BreakGlass,
                    None => Effect::Enforced,
                },
                denies: !decision.admitted(),
                conforms: decision.conforms(),
                advice,
                dry_run,
                door: true,
            };
            let shape = Shape::of(&entry.render());
            assert_eq!(shape.map(Shape::form), Some(Form::Verdict(expected)), "{filler}");
        }
    }

    #[test]
    fn what_is_not_written_at_a_door_is_not_recorded() {
        let decision = refuse(Reason::Unreviewable("why".to_owned()), None);
        let about = About {
            doors: Some(Box::new(Doors {
                own: Door::default(),
                template: Door {
                    label: Some(String::new()),
                    annotation: None,
                },
            })),
            ..About::default()
        };
        let record = |about: &About| {
            let entry = Entry {
                about,
                decision: &decision,
                standing: None,
                time: UnixTime::from_seconds(0),
                latency_micros: 1,
            };
            serde_json::from_slice::<serde_json::Value>(&entry.render()).unwrap()
        };
        assert_eq!(
            record(&about)["door"],
            serde_json::json!({"template": {"label": ""}})
        );
        assert!(record(&About::default()).get("door").is_none());
    }

    #[test]
    fn a_cut_is_at_a_character() {
        assert_eq!(Short::new("ab💣💣", 9).text, "ab💣");
        assert_eq!(Short::new("a\"b", 3).text, "a\"");
        assert!(!Short::new("abc", 3).cut);
    }
}
