//! Entries that others wrote: kept as they came, in a journal of their own.

use binauthz_core::time::UnixTime;
use binauthz_wire::json::{self, Limits, Object, Value, timestamp_out};
use binauthz_wire::logging::{Entry, read_stored};

use super::insert_id;

/// An entry as a record.
pub(crate) fn record(entry: &Entry<'_>, received: UnixTime) -> Vec<u8> {
    let (time, entry) = (timestamp_out(received), entry.to_json());
    format!(r#"{{"log":"entry","time":"{time}","entry":{entry}}}"#).into_bytes()
}

/// The entry of a record. One that was written without an id has its place in the journal for it.
pub(super) fn read(line: &[u8]) -> Option<Entry<'static>> {
    let mut record = Object::new(json::parse(line, Limits::API).ok()?, "").ok()?;
    let sequence = u64::try_from(record.take_i64("seq").ok()?).ok()?;
    let mut entry = record.take_optional_value("entry").ok()??;
    if entry.member("insertId").is_none()
        && let Value::Object(members) = &mut entry
    {
        members.push(("insertId".to_owned(), Value::String(insert_id(sequence, 0))));
    }
    read_stored(entry).ok()
}
