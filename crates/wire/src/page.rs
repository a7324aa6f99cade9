//! Page sizes and page tokens. A token is opaque to clients and only good for the list it came from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::InvalidField;

/// First byte of every token, so that a later form can be told apart.
const FORM: u8 = 1;
/// Names are below 1 KiB; 4 KiB of text is more than any token we made.
const LONGEST: usize = 4096;

/// Where a list continues: after the item of this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken {
    after: String,
}

impl PageToken {
    /// The token for the page after `after`. `list` names the list (parent, filter): a token of another list is refused.
    pub fn encode(list: &str, after: &str) -> String {
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(&fingerprint(list).to_be_bytes());
        bytes.extend_from_slice(after.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was made for the same list.
    pub fn decode(list: &str, token: &str) -> Result<PageToken, InvalidField> {
        let refuse = || {
            InvalidField::refused(
                "pageToken",
                "is not a token of this list; use the `nextPageToken` of its last page",
            )
        };
        if token.len() > LONGEST {
            return Err(refuse());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refuse())?;
        let body = bytes.strip_prefix(&[FORM]).ok_or_else(refuse)?;
        let after = body
            .strip_prefix(&fingerprint(list).to_be_bytes())
            .ok_or_else(refuse)?;
        let after = std::str::from_utf8(after).map_err(|_| refuse())?;
        if after.is_empty() {
            return Err(refuse());
        }
        Ok(PageToken {
            after: after.to_owned(),
        })
    }

    /// The key of the last item already sent.
    pub fn after(&self) -> &str {
        &self.after
    }
}

/// The number of items to send: absent or 0 is the default, more than the maximum is capped, negative is refused.
pub fn page_size(requested: Option<i64>, default: usize, maximum: usize) -> Result<usize, InvalidField> {
    match requested {
        None | Some(0) => Ok(default),
        Some(size) if size < 0 => Err(InvalidField::refused("pageSize", "must not be negative")),
        Some(size) => Ok(usize::try_from(size).unwrap_or(maximum).min(maximum)),
    }
}

/// FNV-1a. It guards against mistakes, not against people: a token grants nothing that its bearer could not list.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_for_its_own_list_only() {
        let token = PageToken::encode("projects/p/attestors|", "projects/p/attestors/a");
        let read = PageToken::decode("projects/p/attestors|", &token).unwrap();
        assert_eq!(read.after(), "projects/p/attestors/a");
        assert!(PageToken::decode("projects/q/attestors|", &token).is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        let empty = PageToken::encode("l", "");
        let long = "A".repeat(5000);
        for token in ["", "x", "AQ", "!!", "AQAAAAAAAAAAYQ==", &empty, &long] {
            assert!(PageToken::decode("l", token).is_err(), "{token}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let table = [
            (None, 20),
            (Some(0), 20),
            (Some(5), 5),
            (Some(i64::from(i32::MAX)), 1000),
            (Some(i64::MAX), 1000),
        ];
        for (requested, expected) in table {
            assert_eq!(page_size(requested, 20, 1000).unwrap(), expected);
        }
        assert!(page_size(Some(-1), 20, 1000).is_err());
    }
}
