//! PEM: one block, both ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// An RSA-4096 key in PKCS#8 is 3.3 KiB of PEM; four times that is no key.
const MAX_PEM_BYTES: usize = 16 * 1024;
const LINE_CHARACTERS: usize = 64;

/// Why a text is not the PEM block that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPem {
    /// Too long to be a key.
    #[error("the PEM text has {length} bytes, expected at most {MAX_PEM_BYTES}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// No block in it.
    #[error(
        "expected one PEM block, `-----BEGIN …-----` to `-----END …-----`, with nothing but white space around it"
    )]
    NoBlock,
    /// More than one block.
    #[error("expected one PEM block, found several")]
    SeveralBlocks,
    /// The lines between the borders are not base64.
    #[error("the lines between `-----BEGIN` and `-----END` are not base64")]
    Base64,
}

/// The label and contents of the only block in `text`.
pub(crate) fn decode(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), InvalidPem> {
    if text.len() > MAX_PEM_BYTES {
        return Err(InvalidPem::TooLong { length: text.len() });
    }
    let rest = text
        .trim()
        .strip_prefix("-----BEGIN ")
        .ok_or(InvalidPem::NoBlock)?;
    let (label, rest) = rest.split_once("-----").ok_or(InvalidPem::NoBlock)?;
    let (body, after) = rest
        .split_once(&format!("-----END {label}-----"))
        .ok_or(InvalidPem::NoBlock)?;
    if after.contains("-----BEGIN ") {
        return Err(InvalidPem::SeveralBlocks);
    }
    if !after.is_empty() {
        return Err(InvalidPem::NoBlock);
    }
    let compact: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let contents = STANDARD
        .decode(compact.as_bytes())
        .map_err(|_| InvalidPem::Base64)?;
    Ok((label, Zeroizing::new(contents)))
}

/// `contents` as one block of kind `label`, with a newline at the end.
pub(crate) fn encode(label: &str, contents: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(contents));
    let lines = encoded.len().div_ceil(LINE_CHARACTERS);
    // The exact size up front: growing the string would leave copies of a private key behind.
    let capacity = encoded.len() + lines + 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = encoded.as_str();
    while let Some((line, after)) = rest.split_at_checked(LINE_CHARACTERS) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back() {
        for length in 0..200_u8 {
            let contents: Vec<u8> = (0..length).collect();
            let text = encode("PUBLIC KEY", &contents);
            assert!(text.lines().all(|line| line.len() <= LINE_CHARACTERS));
            let (label, decoded) = decode(&text).unwrap();
            assert_eq!((label, decoded.as_slice()), ("PUBLIC KEY", contents.as_slice()));
        }
    }

    #[test]
    fn anything_but_one_block_is_refused() {
        let block = encode("PRIVATE KEY", &[1, 2, 3]);
        let cases = [
            (String::new(), InvalidPem::NoBlock),
            ("hello".to_owned(), InvalidPem::NoBlock),
            (format!("x{}", *block), InvalidPem::NoBlock),
            (format!("{}x", *block), InvalidPem::NoBlock),
            (
                block.replace("-----END PRIVATE", "-----END PUBLIC"),
                InvalidPem::NoBlock,
            ),
            (format!("{}{}", *block, *block), InvalidPem::SeveralBlocks),
            (block.replace("AQID", "A?ID"), InvalidPem::Base64),
            (
                " ".repeat(MAX_PEM_BYTES + 1),
                InvalidPem::TooLong {
                    length: MAX_PEM_BYTES + 1,
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(&text).unwrap_err(), expected, "{text}");
        }
    }
}
