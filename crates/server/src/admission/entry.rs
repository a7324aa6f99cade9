//! One verdict as one JSON object, of bounded length whatever the request holds.
//!
//! Every text has a limit in *written* bytes, escapes counted. They add up to less than 15 KiB, some 600 bytes as a rule;
//! images take what is left of the 16 KiB, those that were objected to first when not all fit. What was cut says `truncated` and leaves
//! the SHA-256 of the whole.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use binauthz_core::attestor::Attestor;
use binauthz_core::decision::{Decision, Effect, Finding, Reason};
use binauthz_core::name::AttestorName;
use binauthz_core::policy::{Snapshot, Standing};
use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_out;
use uuid::Uuid;

use super::about::{About, Door, Text};
use super::line::{Line, Scale};
use crate::audit::MAXIMUM_RECORD;

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
    /// Its name, of [`new_id`].
    pub(super) id: Uuid,
    pub(super) time: UnixTime,
    pub(super) latency_micros: u64,
}

impl Entry<'_> {
    /// The record, one line, at most [`MAXIMUM_RECORD`] bytes.
    pub(super) fn render(&self) -> Vec<u8> {
        let mut line = self.head(Scale::Bounded);
        let findings = self.decision.findings();
        let room = MAXIMUM_RECORD - TAIL;
        let start = line.bytes.len();
        let all = append_images(&mut line, findings.iter(), room);
        if all && !line.cut {
            line.raw("]}");
            return line.bytes;
        }
        if !all {
            line.bytes.truncate(start);
            let objected = findings.iter().filter(|finding| !finding.conforms());
            let others = findings.iter().filter(|finding| finding.conforms());
            append_images(&mut line, objected.chain(others), room);
        }
        let whole = hex::encode(digest(&SHA256, &self.whole()));
        line.number(r#"],"imageCount":"#, findings.len() as u64);
        line.text(r#","truncated":true,"sha256":"#, &whole, WORD);
        line.raw("}");
        line.bytes
    }

    /// Everything, without any limit: only to be hashed.
    fn whole(&self) -> Vec<u8> {
        let mut line = self.head(Scale::Whole);
        append_images(&mut line, self.decision.findings().iter(), usize::MAX);
        line.bytes
    }

    /// All but the images, which are left open: `{…,"images":[`. What a search asks about most stands first.
    fn head(&self, scale: Scale) -> Line {
        let Self { about, decision, .. } = self;
        let mut line = Line::new(scale);
        line.shown(r#"{"time":"#, &timestamp_out(self.time));
        line.text(r#","verdict":"#, word(decision.admitted()), WORD);
        line.flag(r#","conforms":"#, decision.conforms());
        line.text(r#","effect":"#, decision.effect().code(), WORD);
        line.flag(r#","dryRun":"#, about.dry_run);
        if about.advice {
            line.flag(r#","advice":"#, true);
        }
        line.text(r#","reason":"#, decision.reason_code(), WORD);
        let mut buffer = Uuid::encode_buffer();
        line.text(r#","id":"#, self.id.hyphenated().encode_lower(&mut buffer), WORD);
        line.text(r#","dialect":"#, about.dialect, WORD);
        for (before, text, limit) in MEMBERS {
            line.text(before, about.text(text), limit);
        }
        let account = about.text(Text::ServiceAccount);
        if !account.is_empty() {
            line.text(r#","serviceAccount":"#, account, WORD);
        }
        if let Some(doors) = &about.doors {
            line.raw(r#","door":{"#);
            append_door(&mut line, r#""own":{"#, &doors.own);
            append_door(&mut line, r#""template":{"#, &doors.template);
            line.raw("}");
        }
        line.number(r#","latencyMicros":"#, self.latency_micros);
        self.append_verdict(&mut line);
        line.raw(r#","images":["#);
        line
    }

    /// The rest of the verdict, without its images.
    fn append_verdict(&self, line: &mut Line) {
        let decision = self.decision;
        line.text(r#","message":"#, &decision.denial(), PARAGRAPH);
        if let Effect::BrokenGlass { justification } = decision.effect() {
            line.text(r#","justification":"#, justification, PARAGRAPH);
        }
        if let Some(rule) = decision.rule() {
            line.shown(r#","rule":"#, rule);
        }
        if let Some(policy) = decision.policy() {
            line.text(r#","policy":{"name":"#, &policy.name, LINE);
            line.text(r#","etag":"#, &policy.etag, LINE);
            line.raw("}");
        }
        // The revision each attestor had that was asked: which keys were trusted.
        line.raw(r#","attestors":{"#);
        if let Some(Standing::Registered(snapshot)) = self.standing {
            for (index, attestor) in asked(decision, snapshot).into_iter().enumerate() {
                line.shown(separator(index), attestor.name());
                line.number(":", attestor.revision());
            }
        }
        line.raw("}");
    }
}

/// What a request is about, in the record's order.
const MEMBERS: [(&str, Text, usize); 10] = [
    (r#","cluster":"#, Text::Cluster, LINE),
    (r#","uid":"#, Text::Uid, WORD),
    (r#","operation":"#, Text::Operation, WORD),
    (r#","group":"#, Text::Group, WORD),
    (r#","version":"#, Text::Version, WORD),
    (r#","kind":"#, Text::Kind, WORD),
    (r#","subResource":"#, Text::SubResource, WORD),
    (r#","namespace":"#, Text::Namespace, WORD),
    (r#","name":"#, Text::Name, LINE),
    (r#","user":"#, Text::User, LINE),
];

/// A UUID of version 7 that is a name and no secret: the time, and a number that goes on from a random one. Asking the
/// system for randomness each time would cost more than all the rest of the record's head.
pub(super) fn new_id(time: UnixTime) -> Uuid {
    static FIRST: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (high, low) = FIRST.as_u64_pair();
    let number = low.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let mut rest = [0; 10];
    for (to, from) in rest
        .iter_mut()
        .zip(high.to_be_bytes().into_iter().take(2).chain(number.to_be_bytes()))
    {
        *to = from;
    }
    let millis = u64::try_from(time.as_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

fn separator(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

/// Appends images while they end before `room`; says whether all did.
fn append_images<'a>(line: &mut Line, findings: impl Iterator<Item = &'a Finding>, room: usize) -> bool {
    for (index, finding) in findings.enumerate() {
        let before = line.bytes.len();
        line.raw(separator(index));
        append_image(line, finding);
        if line.bytes.len() > room {
            line.bytes.truncate(before);
            return false;
        }
    }
    true
}

fn append_image(line: &mut Line, finding: &Finding) {
    line.text(r#"{"field":"#, finding.location(), LINE);
    line.text(r#","image":"#, finding.image(), IMAGE);
    line.text(r#","verdict":"#, word(finding.conforms()), WORD);
    line.raw(r#","reasons":["#);
    for (index, reason) in finding.reasons().iter().enumerate() {
        line.raw(separator(index));
        line.text(r#"{"code":"#, reason.code(), WORD);
        // By far the most frequent reason; its sentence would repeat what stands beside it.
        if let Reason::Attested {
            attestor,
            occurrence,
            key_id,
        } = reason
        {
            line.shown(r#","attestor":"#, attestor);
            line.shown(r#","occurrence":"#, occurrence);
            line.text(r#","key":"#, key_id, IMAGE);
        } else {
            line.text(r#","message":"#, &reason.sentence(finding.image()), IMAGE);
        }
        line.raw("}");
    }
    line.raw("]}");
}

/// What is written at an emergency door, if anything is.
fn append_door(line: &mut Line, before: &str, door: &Door) {
    let values = [
        (r#""label":"#, &door.label),
        (r#""annotation":"#, &door.annotation),
    ];
    let written = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
    for (index, (name, value)) in written.enumerate() {
        if index == 0 {
            line.raw(if line.bytes.ends_with(b"{") { "" } else { "," });
            line.raw(before);
        }
        line.raw(separator(index));
        line.text(name, value, LINE);
    }
    if door.label.is_some() || door.annotation.is_some() {
        line.raw("}");
    }
}

fn word(admitted: bool) -> &'static str {
    if admitted { "ALLOW" } else { "DENY" }
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

#[cfg(test)]
mod tests {
    use binauthz_core::decide::refuse;
    use binauthz_core::workload::BreakGlass;

    use super::super::about::Doors;
    use super::*;
    use crate::audit::escape;

    fn about(filler: &str) -> About {
        let text = || filler.to_owned();
        let door = || Door {
            label: Some(text()),
            annotation: Some(text()),
        };
        let mut about = About::of_texts([filler; Text::COUNT]);
        about.doors = Some(Box::new(Doors {
            own: door(),
            template: door(),
        }));
        about
    }

    fn rendered(filler: &str) -> (Vec<u8>, serde_json::Value) {
        let opened = BreakGlass::read(None, Some(&format!("why {filler}")));
        let decision = refuse(Reason::Unreviewable(filler.to_owned()), opened.as_ref());
        let about = about(filler);
        let entry = Entry {
            about: &about,
            decision: &decision,
            standing: None,
            id: new_id(UnixTime::from_seconds(0)),
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

    #[test]
    fn what_is_not_written_at_a_door_is_not_recorded() {
        let decision = refuse(Reason::Unreviewable("why".to_owned()), None);
        let mut about = About::default();
        about.doors = Some(Box::new(Doors {
            own: Door::default(),
            template: Door {
                label: Some(String::new()),
                annotation: None,
            },
        }));
        let record = |about: &About| {
            let entry = Entry {
                about,
                decision: &decision,
                standing: None,
                id: new_id(UnixTime::from_seconds(0)),
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
            let mut about = about(filler).advised(advice);
            about.dry_run = dry_run;
            let entry = Entry {
                about: &about,
                decision: &decision,
                standing: None,
                id: new_id(UnixTime::from_seconds(0)),
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
    fn ids_are_of_version_7_and_differ() {
        let time = UnixTime::from_seconds(1_700_000_000);
        let ids: std::collections::HashSet<Uuid> = (0..10_000).map(|_| new_id(time)).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
            assert_eq!(id.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
        }
    }
}
