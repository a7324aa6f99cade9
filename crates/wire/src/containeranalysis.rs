//! `containeranalysis.googleapis.com` (Grafeas): notes and occurrences of the kind ATTESTATION.

use binauthz_core::attestation::{MAX_SIGNATURE_LEN, MAX_SIGNATURES, Signature};
use binauthz_core::name::{InvalidName, NoteName, ResourceId};
use binauthz_core::payload::MAX_PAYLOAD_LEN;
use binauthz_core::time::UnixTime;
use serde_json::{Map, json};

use crate::field_mask::FieldMask;
use crate::json::{Element, EnumRow, InvalidField, Object, Value, bytes_out, timestamp_out};

/// Google's `NoteKind`s. Only attestations are kept here; the others are known so that the refusal can name them.
const KINDS: &[EnumRow<NoteKind>] = &[
    ("ATTESTATION", 7, NoteKind::Attestation),
    ("VULNERABILITY", 1, NoteKind::Other),
    ("BUILD", 2, NoteKind::Other),
    ("IMAGE", 3, NoteKind::Other),
    ("PACKAGE", 4, NoteKind::Other),
    ("DEPLOYMENT", 5, NoteKind::Other),
    ("DISCOVERY", 6, NoteKind::Other),
    ("UPGRADE", 8, NoteKind::Other),
    ("COMPLIANCE", 9, NoteKind::Other),
    ("DSSE_ATTESTATION", 10, NoteKind::Other),
    ("VULNERABILITY_ASSESSMENT", 11, NoteKind::Other),
    ("SBOM_REFERENCE", 12, NoteKind::Other),
    ("SECRET", 13, NoteKind::Other),
];

/// The oneof members of a note or an occurrence that we do not keep.
const OTHER_DETAILS: [&str; 15] = [
    "vulnerability",
    "build",
    "image",
    "package",
    "deployment",
    "discovery",
    "upgrade",
    "compliance",
    "dsseAttestation",
    "vulnerabilityAssessment",
    "sbom",
    "sbomReference",
    "secret",
    "baseImage",
    "buildType",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum NoteKind {
    Attestation,
    Other,
}

/// What an update of a note may change. The name, the kind and the times are not among it.
const NOTE_FIELDS: &[&str] = &[
    "shortDescription",
    "longDescription",
    "relatedUrl",
    "expirationTime",
    "relatedNoteNames",
    "attestation.hint.humanReadableName",
];

/// Notes of one `batchCreate`, as Google has it.
const MAX_BATCH: usize = 1_000;
const MAX_TEXT: usize = 4096;
const MAX_LINKS: usize = 100;
const MAX_RESOURCE_URI: usize = 1024;

/// A note as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// One sentence.
    pub short_description: String,
    /// More of them.
    pub long_description: String,
    /// Links: URL and label.
    pub related_url: Vec<(String, String)>,
    /// When it stops meaning anything; kept, not acted on.
    pub expiration_time: Option<UnixTime>,
    /// Other notes.
    pub related_note_names: Vec<String>,
    /// Who attests, for a person.
    pub human_readable_name: String,
}

/// Reads a note. `name`, `kind` and the times mean nothing in a request, beyond that a kind must be ATTESTATION.
pub fn read_note(value: Value) -> Result<Note, InvalidField> {
    read_note_object(Object::new(value, "")?)
}

/// Reads an update of a note: what `mask` names comes from the body, the rest is as `before`. Without a mask the body is
/// the whole note.
pub fn read_note_update(value: Value, mask: &str, before: Note) -> Result<Note, InvalidField> {
    let mask = FieldMask::parse(mask, NOTE_FIELDS)?;
    if mask.is_all() {
        return read_note(value);
    }
    let given = read_note_fields(Object::new(value, "")?, |object| {
        object.take_optional_object("attestation")
    })?;
    let mut note = before;
    if mask.covers("shortDescription") {
        note.short_description = given.short_description;
    }
    if mask.covers("longDescription") {
        note.long_description = given.long_description;
    }
    if mask.covers("relatedUrl") {
        note.related_url = given.related_url;
    }
    if mask.covers("expirationTime") {
        note.expiration_time = given.expiration_time;
    }
    if mask.covers("relatedNoteNames") {
        note.related_note_names = given.related_note_names;
    }
    if mask.covers("attestation.hint.humanReadableName") {
        note.human_readable_name = given.human_readable_name;
    }
    Ok(note)
}

/// Reads the body of `notes:batchCreate`: notes by their ids. `parent` is in the path.
pub fn read_notes(value: Value) -> Result<Vec<(ResourceId, Note)>, InvalidField> {
    let mut object = Object::new(value, "")?;
    object.ignore("parent");
    let entries = object.take_map("notes")?;
    if entries.is_empty() || entries.len() > MAX_BATCH {
        let reason = format_args!("has {} entries, expected 1 to {MAX_BATCH}", entries.len());
        return Err(object.refused("notes", reason));
    }
    object.finish()?;
    let note = |(id, element): (String, Element)| {
        let id = id
            .parse()
            .map_err(|why: InvalidName| InvalidField::refused(element.path.clone(), why))?;
        Ok((id, read_note_object(element.into_object()?)?))
    };
    entries.into_iter().map(note).collect()
}

/// Reads a note inside another message.
pub fn read_note_object(object: Object) -> Result<Note, InvalidField> {
    read_note_fields(object, |object| object.take_object("attestation").map(Some))
}

fn read_note_fields(
    mut object: Object,
    attestation: impl FnOnce(&mut Object) -> Result<Option<Object>, InvalidField>,
) -> Result<Note, InvalidField> {
    for field in ["name", "createTime", "updateTime"] {
        object.ignore(field);
    }
    refuse_other_kinds(&mut object)?;
    let short_description = text(&mut object, "shortDescription")?;
    let long_description = text(&mut object, "longDescription")?;
    let links = object.take_objects("relatedUrl")?;
    let related_note_names = object.take_strings("relatedNoteNames")?;
    if links.len() > MAX_LINKS || related_note_names.len() > MAX_LINKS {
        return Err(object.refused("relatedUrl", format_args!("has more than {MAX_LINKS} entries")));
    }
    let related_url = links
        .into_iter()
        .map(|mut link| {
            let pair = (text(&mut link, "url")?, text(&mut link, "label")?);
            link.finish()?;
            Ok(pair)
        })
        .collect::<Result<_, _>>()?;
    let expiration_time = object.take_optional_timestamp("expirationTime")?;
    let human_readable_name = match attestation(&mut object)? {
        Some(attestation) => read_hint(attestation)?,
        None => String::new(),
    };
    object.finish()?;
    Ok(Note {
        short_description,
        long_description,
        related_url,
        expiration_time,
        related_note_names,
        human_readable_name,
    })
}

fn read_hint(mut attestation: Object) -> Result<String, InvalidField> {
    let hint = attestation.take_optional_object("hint")?;
    attestation.finish()?;
    let Some(mut hint) = hint else {
        return Ok(String::new());
    };
    let name = text(&mut hint, "humanReadableName")?;
    hint.finish()?;
    Ok(name)
}

fn text(object: &mut Object, field: &'static str) -> Result<String, InvalidField> {
    let text = object.take_optional_string(field)?.unwrap_or_default();
    if text.len() > MAX_TEXT {
        return Err(object.refused(field, format_args!("is longer than {MAX_TEXT} bytes")));
    }
    Ok(text)
}

fn refuse_other_kinds(object: &mut Object) -> Result<(), InvalidField> {
    const ONLY: &str = "is not kept by this server: only ATTESTATION notes and occurrences are";
    if object.take_optional_enum("kind", KINDS)? == Some(NoteKind::Other) {
        return Err(object.refused("kind", ONLY));
    }
    if let Some(field) = OTHER_DETAILS.into_iter().find(|field| object.has(field)) {
        return Err(object.refused(field, ONLY));
    }
    OTHER_DETAILS.into_iter().for_each(|field| object.ignore(field));
    Ok(())
}

/// Writes a note under its `name`.
pub fn write_note(name: &str, note: &Note, created: UnixTime, updated: UnixTime) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put("name", json!(name));
    put("kind", json!("ATTESTATION"));
    if !note.short_description.is_empty() {
        put("shortDescription", json!(note.short_description));
    }
    if !note.long_description.is_empty() {
        put("longDescription", json!(note.long_description));
    }
    if !note.related_url.is_empty() {
        put(
            "relatedUrl",
            note.related_url
                .iter()
                .map(|(url, label)| json!({ "url": url, "label": label }))
                .collect(),
        );
    }
    if let Some(time) = note.expiration_time {
        put("expirationTime", json!(timestamp_out(time)));
    }
    if !note.related_note_names.is_empty() {
        put("relatedNoteNames", json!(note.related_note_names));
    }
    let hint = match note.human_readable_name.as_str() {
        "" => json!({}),
        name => json!({ "hint": { "humanReadableName": name } }),
    };
    put("attestation", hint);
    put("createTime", json!(timestamp_out(created)));
    put("updateTime", json!(timestamp_out(updated)));
    serde_json::Value::Object(members)
}

/// The signed part of an occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPayload {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// Their signatures.
    pub signatures: Vec<Signature>,
}

/// An occurrence as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The note it is attached to.
    pub note: NoteName,
    /// The image it is about, verbatim: with or without a scheme.
    pub resource_uri: String,
    /// What to do about it, for a person.
    pub remediation: String,
    /// The attestation.
    pub attestation: SignedPayload,
}

/// Reads an occurrence. `name`, `kind` and the times mean nothing in a request, beyond that a kind must be ATTESTATION.
pub fn read_occurrence(value: Value) -> Result<Occurrence, InvalidField> {
    read_occurrence_object(Object::new(value, "")?)
}

/// Reads an occurrence inside another message.
pub fn read_occurrence_object(mut object: Object) -> Result<Occurrence, InvalidField> {
    for field in ["name", "createTime", "updateTime"] {
        object.ignore(field);
    }
    refuse_other_kinds(&mut object)?;
    if object.has("envelope") {
        return Err(object.refused(
            "envelope",
            "is not verified for attestations: use `attestation.serializedPayload` and `signatures`",
        ));
    }
    object.ignore("envelope");
    let note = object.take_parsed("noteName")?;
    let resource_uri = object.take_string("resourceUri")?;
    if resource_uri.len() > MAX_RESOURCE_URI {
        return Err(object.refused(
            "resourceUri",
            format_args!("is longer than {MAX_RESOURCE_URI} bytes"),
        ));
    }
    let remediation = text(&mut object, "remediation")?;
    let attestation = read_attestation(object.take_object("attestation")?, 1)?;
    object.finish()?;
    Ok(Occurrence {
        note,
        resource_uri,
        remediation,
        attestation,
    })
}

/// Reads the update of an occurrence: its remediation, which is all that can be updated. The rest of the occurrence may
/// come along and means nothing.
pub fn read_remediation(value: Value) -> Result<String, InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in [
        "name",
        "createTime",
        "updateTime",
        "noteName",
        "resourceUri",
        "attestation",
    ] {
        object.ignore(field);
    }
    refuse_other_kinds(&mut object)?;
    let remediation = text(&mut object, "remediation")?;
    object.finish()?;
    Ok(remediation)
}

/// Reads `AttestationOccurrence` with `fewest` signatures at least.
pub(crate) fn read_attestation(mut object: Object, fewest: usize) -> Result<SignedPayload, InvalidField> {
    let payload = object.take_bytes("serializedPayload")?;
    if payload.len() > MAX_PAYLOAD_LEN {
        return Err(object.refused(
            "serializedPayload",
            format_args!("is longer than {MAX_PAYLOAD_LEN} bytes"),
        ));
    }
    if object.has("jwts") {
        return Err(object.refused("jwts", "are not verified by this server: use `signatures`"));
    }
    object.ignore("jwts");
    let items = object.take_objects("signatures")?;
    if items.len() < fewest || items.len() > MAX_SIGNATURES {
        let reason = format_args!(
            "has {} entries, expected {fewest} to {MAX_SIGNATURES}",
            items.len()
        );
        return Err(object.refused("signatures", reason));
    }
    let signatures = items.into_iter().map(read_signature).collect::<Result<_, _>>()?;
    object.finish()?;
    Ok(SignedPayload { payload, signatures })
}

fn read_signature(mut object: Object) -> Result<Signature, InvalidField> {
    let key_id = object.take_string("publicKeyId")?;
    let bytes = object.take_bytes("signature")?;
    if bytes.len() > MAX_SIGNATURE_LEN {
        return Err(object.refused(
            "signature",
            format_args!("is longer than {MAX_SIGNATURE_LEN} bytes"),
        ));
    }
    object.finish()?;
    Ok(Signature { key_id, bytes })
}

/// Writes an occurrence under its `name`.
pub fn write_occurrence(
    name: &str,
    occurrence: &Occurrence,
    created: UnixTime,
    updated: UnixTime,
) -> serde_json::Value {
    let signatures: Vec<_> = occurrence
        .attestation
        .signatures
        .iter()
        .map(|signature| json!({ "publicKeyId": signature.key_id, "signature": bytes_out(&signature.bytes) }))
        .collect();
    let mut value = json!({
        "name": name,
        "resourceUri": occurrence.resource_uri,
        "noteName": occurrence.note.to_string(),
        "kind": "ATTESTATION",
        "createTime": timestamp_out(created),
        "updateTime": timestamp_out(updated),
        "attestation": {
            "serializedPayload": bytes_out(&occurrence.attestation.payload),
            "signatures": signatures,
        },
    });
    if let Some(members) = value
        .as_object_mut()
        .filter(|_| !occurrence.remediation.is_empty())
    {
        members.insert("remediation".to_owned(), json!(occurrence.remediation));
    }
    value
}

#[cfg(test)]
mod tests;
