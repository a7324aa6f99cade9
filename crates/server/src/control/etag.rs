//! Etags: a stored resource's revision in the form Google's have.
//!
//! Nine bytes in base64 between double quotes that belong to the text (`"AQAAAAAAAAAH"`), so that a policy exported to
//! YAML and imported again carries its etag along.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{ApiError, stale};

use crate::documents::ETAG_FORM as FORM;
pub(crate) use crate::documents::etag_of as of;

/// The revision that the caller has read, to be handed to the store as `expect`. No etag writes unconditionally; an etag
/// that is not one of ours cannot be the current one, so it is stale. The quotes may be lost: YAML tools eat them.
pub(crate) fn expected(etag: Option<&str>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(etag) = etag.filter(|etag| !etag.is_empty()) else {
        return Ok(None);
    };
    let bare = etag
        .strip_prefix('"')
        .and_then(|etag| etag.strip_suffix('"'))
        .unwrap_or(etag);
    let bytes = STANDARD.decode(bare).map_err(|_| stale(name))?;
    match <[u8; 9]>::try_from(bytes.as_slice()) {
        Ok([FORM, revision @ ..]) => Ok(Some(i64::from_be_bytes(revision))),
        _ => Err(stale(name)),
    }
}

/// The etag of an IAM policy, which travels as bytes.
pub(crate) fn bytes(revision: i64) -> Vec<u8> {
    revision.to_be_bytes().to_vec()
}

/// As [`expected`], for an etag that travels as bytes.
pub(crate) fn expected_bytes(etag: Option<&[u8]>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(etag) = etag.filter(|etag| !etag.is_empty()) else {
        return Ok(None);
    };
    <[u8; 8]>::try_from(etag)
        .map(|bytes| Some(i64::from_be_bytes(bytes)))
        .map_err(|_| stale(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_comes_back() {
        for revision in [0, 1, 7, i64::MAX] {
            let etag = of(revision);
            assert!(
                etag.starts_with('"') && etag.ends_with('"') && !etag.contains('='),
                "{etag}"
            );
            assert_eq!(expected(Some(&etag), "n").unwrap(), Some(revision));
            assert_eq!(
                expected(Some(etag.trim_matches('"')), "n").unwrap(),
                Some(revision)
            );
            assert_eq!(
                expected_bytes(Some(&bytes(revision)), "n").unwrap(),
                Some(revision)
            );
        }
        assert_eq!(expected(None, "n").unwrap(), None);
        assert_eq!(expected(Some(""), "n").unwrap(), None);
        assert_eq!(expected_bytes(Some(b""), "n").unwrap(), None);
    }

    #[test]
    fn a_foreign_etag_is_stale() {
        for etag in ["x", "\"GDXq/WrZN7Kp\"", "\"\"", "AAAA", "\"AQAAAAAAAAAH"] {
            assert!(expected(Some(etag), "n").is_err(), "{etag}");
        }
        assert!(expected_bytes(Some(b"1234567"), "n").is_err());
    }
}
