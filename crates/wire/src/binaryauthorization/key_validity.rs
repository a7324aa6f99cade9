//! `keyValidity` of an attestor's public key, an extension: when the key counts.
//!
//! Google's clients do not know the member and drop it when they read, change and write an attestor. So its absence says
//! nothing, and an empty object says that the key always counts.

use binauthz_core::validity::{Compromise, Earlier, KeyValidity};
use serde_json::{Map, json};

use crate::json::{InvalidField, Object, timestamp_out};

/// The member's name.
pub(super) const FIELD: &str = "keyValidity";

/// Reads it.
pub(super) fn read(mut object: Object) -> Result<KeyValidity, InvalidField> {
    let not_before = object.take_optional_timestamp("notBefore")?;
    let not_after = object.take_optional_timestamp("notAfter")?;
    let since = object.take_optional_timestamp("compromisedSince")?;
    let keeps_earlier = object.take_optional_bool("keepEarlierAttestations")?;
    let compromise = match (since, keeps_earlier) {
        (Some(since), Some(true)) => Some(Compromise {
            since,
            earlier: Earlier::Kept,
        }),
        (Some(since), _) => Some(Compromise {
            since,
            earlier: Earlier::Refused,
        }),
        (None, None | Some(false)) => None,
        (None, Some(true)) => {
            let reason = "is for a key with `compromisedSince`: earlier than what?";
            return Err(object.refused("keepEarlierAttestations", reason));
        }
    };
    let validity = KeyValidity::new(not_before, not_after, compromise)
        .map_err(|why| object.refused("notAfter", format_args!("must be after `notBefore`: {why}")))?;
    object.finish()?;
    Ok(validity)
}

/// Writes it; nothing for a key that always counts.
pub(super) fn write(validity: Option<&KeyValidity>) -> Option<serde_json::Value> {
    let validity = validity.filter(|validity| **validity != KeyValidity::ALWAYS)?;
    let compromise = validity.compromise();
    let times = [
        ("notBefore", validity.not_before()),
        ("notAfter", validity.not_after()),
        ("compromisedSince", compromise.map(|compromise| compromise.since)),
    ];
    let mut members: Map<String, serde_json::Value> = times
        .into_iter()
        .filter_map(|(name, time)| Some((name.to_owned(), json!(timestamp_out(time?)))))
        .collect();
    if compromise.is_some_and(|compromise| compromise.earlier == Earlier::Kept) {
        members.insert("keepEarlierAttestations".to_owned(), json!(true));
    }
    Some(members.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    fn reads(value: serde_json::Value) -> Result<KeyValidity, InvalidField> {
        read(Object::new(Value::from(value), FIELD)?)
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        for value in [
            json!({ "notBefore": "2026-01-01T00:00:00Z" }),
            json!({ "notAfter": "2026-01-01T00:00:00.000001Z" }),
            json!({ "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2027-01-01T00:00:00Z" }),
            json!({ "compromisedSince": "2026-01-01T00:00:00Z" }),
            json!({ "compromisedSince": "2026-01-01T00:00:00Z", "keepEarlierAttestations": true }),
        ] {
            let read = reads(value.clone()).unwrap();
            assert_eq!(write(Some(&read)), Some(value));
        }
        let always = reads(json!({ "keepEarlierAttestations": false })).unwrap();
        assert_eq!(
            (always, write(Some(&always)), write(None)),
            (KeyValidity::ALWAYS, None, None)
        );
        let strict = json!({ "compromisedSince": "2026-01-01T00:00:00Z", "keepEarlierAttestations": false });
        let strict = reads(strict).unwrap().compromise().unwrap();
        assert_eq!(strict.earlier, Earlier::Refused);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (value, part) in [
            (json!({ "notBefore": "2026-01-01" }), "keyValidity.notBefore"),
            (
                json!({ "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z" }),
                "notAfter",
            ),
            (
                json!({ "keepEarlierAttestations": true }),
                "keepEarlierAttestations",
            ),
            (json!({ "compromisedSince": true }), "compromisedSince"),
            (json!({ "compromised": true }), "compromised"),
        ] {
            let error = reads(value.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
