//! ASCII armor, strictly: one block, its own label, a correct checksum if there is one, nothing around it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The block that a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    PublicKey,
    Message,
    Signature,
}

impl Label {
    pub(super) const fn first_line(self) -> &'static str {
        match self {
            Self::PublicKey => "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            Self::Message => "-----BEGIN PGP MESSAGE-----",
            Self::Signature => "-----BEGIN PGP SIGNATURE-----",
        }
    }

    const fn last_line(self) -> &'static str {
        match self {
            Self::PublicKey => "-----END PGP PUBLIC KEY BLOCK-----",
            Self::Message => "-----END PGP MESSAGE-----",
            Self::Signature => "-----END PGP SIGNATURE-----",
        }
    }
}

/// The bytes of the one block that `text` is. White space may surround it, nothing else.
pub(super) fn dearmor(text: &str, label: Label) -> Option<Vec<u8>> {
    let mut lines = text.trim_ascii().lines().map(str::trim_ascii_end);
    if lines.next()? != label.first_line() {
        return None;
    }
    // Headers are unsigned remarks such as `Version:` and `Comment:`; an empty line ends them.
    loop {
        match lines.next()? {
            "" => break,
            header if is_header(header) => {}
            _ => return None,
        }
    }
    let mut encoded = String::with_capacity(text.len());
    let mut checksum = None;
    let end = loop {
        let line = lines.next()?;
        if line.starts_with('-') {
            break line;
        }
        // The checksum is the last line before the end.
        if checksum.is_some() {
            return None;
        }
        match line.strip_prefix('=') {
            Some(sum) if !encoded.is_empty() && sum.len() == 4 => checksum = Some(STANDARD.decode(sum).ok()?),
            _ => encoded.push_str(line),
        }
    };
    if end != label.last_line() || lines.next().is_some() {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    match checksum {
        Some(sum) if sum != crc24(&bytes) => None,
        _ => Some(bytes),
    }
}

fn is_header(line: &str) -> bool {
    line.split_once(": ")
        .or_else(|| line.split_once(':'))
        .is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// The checksum of RFC 9580 section 6.1.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let sum = bytes.iter().fold(0x00b7_04ce_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 16), |sum, _| {
            let shifted = sum << 1;
            if shifted & 0x0100_0000 == 0 {
                shifted
            } else {
                shifted ^ 0x0186_4cfb
            }
        })
    });
    let [_, high, middle, low] = sum.to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n=R/WP\n-----END PGP SIGNATURE-----\n";

    fn with_sum(text: &str) -> String {
        let sum = STANDARD.encode(crc24(b"hello"));
        text.replace("=R/WP", &format!("={sum}"))
    }

    proptest::proptest! {
        #[test]
        fn what_was_armored_is_read(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            width in 1_usize..77,
            with_sum in proptest::prelude::any::<bool>(),
        ) {
            let encoded = STANDARD.encode(&bytes);
            let lines: String = encoded
                .as_bytes()
                .chunks(width * 4)
                .map(|line| String::from_utf8(line.to_vec()).unwrap() + "\n")
                .collect();
            // Without data there is no last line for a checksum to follow.
            let sum = if with_sum && !bytes.is_empty() {
                format!("={}\n", STANDARD.encode(crc24(&bytes)))
            } else {
                String::new()
            };
            for label in [Label::PublicKey, Label::Message, Label::Signature] {
                let text = format!("{}\n\n{lines}{sum}{}\n", label.first_line(), label.last_line());
                assert_eq!(dearmor(&text, label).as_ref(), Some(&bytes), "{text}");
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,100}|(-----(BEGIN|END) PGP SIGNATURE-----|[\n=:A-Za-z0-9+/-]){0,20}") {
            let _ = dearmor(&text, Label::Signature);
        }
    }

    #[test]
    fn one_block_is_read() {
        let good = with_sum(GOOD);
        for text in [
            good.clone(),
            good.replace('\n', "\r\n"),
            format!("\n  {good}\n"),
            good.replace("-----\n\na", "-----\nVersion: GnuPG v2\nComment: x: y\n\na"),
            good.replace(&format!("={}\n", STANDARD.encode(crc24(b"hello"))), ""),
        ] {
            assert_eq!(
                dearmor(&text, Label::Signature).as_deref(),
                Some(&b"hello"[..]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let good = with_sum(GOOD);
        let bad = [
            String::new(),
            good.replace("SIGNATURE", "MESSAGE"),
            good.replace("END PGP SIGNATURE", "END PGP MESSAGE"),
            good.replace("-----\n\na", "-----\na"),
            good.replace("-----\n\na", "-----\n{\"critical\": {}}\n\na"),
            good.replace("aGVsbG8=", "aGVsbG8"),
            good.replace("aGVsbG8=", "aGVsbG9="),
            good.replace("aGVsbG8=", "aGVs bG8="),
            good.replace("aGVsbG8=\n", ""),
            format!("text\n{good}"),
            format!("{good}text"),
            format!("{good}{good}"),
            good.replace("-----END PGP SIGNATURE-----\n", ""),
        ];
        for text in bad {
            assert_eq!(dearmor(&text, Label::Signature), None, "{text:?}");
        }
    }
}
