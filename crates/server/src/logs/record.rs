//! What a line of the journal says.

use std::borrow::Cow;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_from;
use serde::Deserialize;

/// The beginning of a verdict's line.
const VERDICT: &[u8] = br#"{"time":""#;
/// The beginning of the line of a call of the API.
pub(super) const CALL: &[u8] = br#"{"log":"call","time":""#;

/// The beginning of the line of an entry that somebody wrote.
const ENTRY: &[u8] = br#"{"log":"entry","time":""#;

/// A verdict as it was recorded. What an older server did not record is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Verdict<'a> {
    #[serde(borrow)]
    pub(super) cluster: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) dialect: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) uid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) operation: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) group: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) version: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) sub_resource: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) service_account: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) door: Doors<'a>,
    pub(super) dry_run: bool,
    pub(super) advice: bool,
    #[serde(borrow)]
    pub(super) verdict: Cow<'a, str>,
    pub(super) conforms: bool,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) effect: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) justification: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) policy: Policy<'a>,
    #[serde(borrow)]
    pub(super) images: Vec<Image<'a>>,
    pub(super) image_count: Option<u32>,
    pub(super) truncated: bool,
    #[serde(borrow)]
    pub(super) sha256: Cow<'a, str>,
    pub(super) seq: u64,
}

/// What was written at the emergency doors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Doors<'a> {
    #[serde(borrow)]
    pub(super) own: Door<'a>,
    #[serde(borrow)]
    pub(super) template: Door<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Door<'a> {
    #[serde(borrow)]
    pub(super) label: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) annotation: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Policy<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) etag: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Image<'a> {
    #[serde(borrow)]
    pub(super) field: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) image: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) verdict: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reasons: Vec<Reason<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

impl Verdict<'_> {
    pub(super) fn is_denial(&self) -> bool {
        self.verdict == "DENY" && !self.advice
    }

    /// Whether it was let through although something speaks against it.
    pub(super) fn is_overridden(&self) -> bool {
        !self.is_denial() && !self.conforms
    }
}

impl Image<'_> {
    pub(super) fn is_denied(&self) -> bool {
        self.verdict == "DENY"
    }

    /// What speaks against it.
    pub(super) fn objections(&self) -> impl Iterator<Item = &Reason<'_>> {
        const HARMLESS: [&str; 5] = [
            "ALLOWLISTED",
            "SYSTEM_IMAGE",
            "ALWAYS_ALLOW",
            "EVALUATION_DISABLED",
            "ATTESTED",
        ];
        self.reasons
            .iter()
            .filter(|reason| !HARMLESS.contains(&reason.code.as_ref()))
    }

    /// The objections as sentences.
    pub(super) fn why(&self) -> String {
        let sentences: Vec<&str> = self.objections().map(|reason| reason.message.as_ref()).collect();
        sentences.join(" ")
    }
}

/// A call of the API that changed something or tried to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) principal: Cow<'a, str>,
    /// `binaryauthorization.UpdatePolicy`
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) resource: Cow<'a, str>,
    pub(super) code: i32,
    #[serde(borrow)]
    pub(super) request_id: Cow<'a, str>,
    pub(super) audit_sequence: i64,
    pub(super) detail: serde_json::Map<String, serde_json::Value>,
    pub(super) seq: u64,
}

/// A line of which more than its kind and its time may be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Verdict,
    Call,
    Entry,
}

/// What kind of line it is and when that happened; nothing for the lines that the log writes about itself. Looks at the
/// line's beginning only.
pub(crate) fn glance(line: &[u8]) -> Option<(Kind, UnixTime)> {
    let (kind, rest) = beginning(line)?;
    let end = rest.iter().take(40).position(|byte| *byte == b'"')?;
    let time = std::str::from_utf8(rest.get(..end)?).ok()?;
    Some((kind, timestamp_from(time)?))
}

/// What kind of line it is, and the line from its time on.
pub(super) fn beginning(line: &[u8]) -> Option<(Kind, &[u8])> {
    const BEGINNINGS: [(Kind, &[u8]); 3] =
        [(Kind::Verdict, VERDICT), (Kind::Call, CALL), (Kind::Entry, ENTRY)];
    BEGINNINGS
        .into_iter()
        .find_map(|(kind, beginning)| Some((kind, line.strip_prefix(beginning)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_tells_kind_and_time() {
        let time = timestamp_from("2026-11-23T08:18:25.234686Z").unwrap();
        let verdict = br#"{"time":"2026-11-23T08:18:25.234686Z","id":"x"}"#;
        assert_eq!(glance(verdict), Some((Kind::Verdict, time)));
        let call = br#"{"log":"call","time":"2026-11-23T08:18:25.234686Z"}"#;
        assert_eq!(glance(call), Some((Kind::Call, time)));
        for other in [
            r#"{"log":"segment","segment":1}"#,
            r#"{"log":"checkpoint","note":"x"}"#,
            r#"{"time":"yesterday"}"#,
            r#"{"time":"2026-11-23T08:18:25"#,
            r#"{"n":1}"#,
            "",
        ] {
            assert_eq!(glance(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_an_older_server_recorded_is_read() {
        let old = r#"{"time":"2026-11-23T08:18:25Z","cluster":"projects/p/locations/l/clusters/c","kind":"Pod",
            "verdict":"DENY","images":[{"field":"spec.containers[0]","image":"a\"b","verdict":"DENY",
            "reasons":[{"code":"ALWAYS_ALLOW","message":"m"},{"code":"NOT_PINNED","message":"why"}]}],"new":{"x":1}}"#;
        let verdict: Verdict<'_> = serde_json::from_str(old).unwrap();
        assert!(verdict.is_denial() && !verdict.is_overridden() && verdict.group.is_empty());
        assert_eq!(verdict.images[0].why(), "why");
        assert_eq!(verdict.images[0].image, "a\"b");
    }
}
