//! Writes one JSON object as one line, in one pass: what a verdict's record costs is paid by every admission.

use std::fmt;

use crate::audit::acts_on_display;

/// How much of a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// No more than its limit.
    Bounded,
    /// All of it: only to be hashed.
    Whole,
}

/// A line being written: printable ASCII and harmless other characters, whatever the texts hold.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    scale: Scale,
    /// Something was longer than its limit.
    pub(super) cut: bool,
}

impl Line {
    pub(super) fn new(scale: Scale) -> Self {
        Self {
            bytes: Vec::with_capacity(2_048),
            scale,
            cut: false,
        }
    }

    /// What is JSON already.
    pub(super) fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// A member of an object: `before` is what leads to its value, such as `,"name":`.
    pub(super) fn text(&mut self, before: &str, text: &str, limit: usize) {
        self.raw(before);
        self.string(text, limit);
    }

    /// The same for what is a fixed word or a name that follows a grammar, and so is short.
    pub(super) fn shown(&mut self, before: &str, shown: &dyn fmt::Display) {
        self.raw(before);
        self.bytes.push(b'"');
        // Nothing here fails to be formatted.
        let _ = fmt::write(&mut Inside(self), format_args!("{shown}"));
        self.bytes.push(b'"');
    }

    pub(super) fn flag(&mut self, before: &str, flag: bool) {
        self.raw(before);
        self.raw(if flag { "true" } else { "false" });
    }

    pub(super) fn number(&mut self, before: &str, number: u64) {
        self.raw(before);
        let _ = fmt::write(&mut Inside(self), format_args!("{number}"));
    }

    /// A string of at most `limit` *written* bytes, escapes counted; it is cut at a character.
    pub(super) fn string(&mut self, text: &str, limit: usize) {
        let limit = match self.scale {
            Scale::Bounded => limit,
            Scale::Whole => usize::MAX,
        };
        self.bytes.push(b'"');
        if text.len() <= limit && is_bare(text.as_bytes()) {
            self.bytes.extend_from_slice(text.as_bytes());
        } else {
            let end = self.bytes.len().saturating_add(limit);
            for character in text.chars() {
                let before = self.bytes.len();
                write_escaped(&mut self.bytes, character);
                if self.bytes.len() > end {
                    self.bytes.truncate(before);
                    self.cut = true;
                    break;
                }
            }
        }
        self.bytes.push(b'"');
    }
}

/// Writes into a string that is open.
struct Inside<'a>(&'a mut Line);

impl fmt::Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_bare(text.as_bytes()) {
            self.0.bytes.extend_from_slice(text.as_bytes());
        } else {
            for character in text.chars() {
                write_escaped(&mut self.0.bytes, character);
            }
        }
        Ok(())
    }
}

/// Whether nothing is to be escaped. In chunks without an early end, which the compiler turns into vector instructions.
fn is_bare(text: &[u8]) -> bool {
    let bare = |chunk: &[u8]| {
        chunk.iter().fold(true, |all, byte| {
            all & (byte.wrapping_sub(0x20) < 0x5f) & (*byte != b'"') & (*byte != b'\\')
        })
    };
    text.chunks(32).all(bare)
}

fn write_escaped(bytes: &mut Vec<u8>, character: char) {
    match character {
        '"' => bytes.extend_from_slice(br#"\""#),
        '\\' => bytes.extend_from_slice(br"\\"),
        '\n' => bytes.extend_from_slice(br"\n"),
        '\r' => bytes.extend_from_slice(br"\r"),
        '\t' => bytes.extend_from_slice(br"\t"),
        // None of them is beyond the first plane, so four digits are enough.
        _ if character.is_control() || acts_on_display(character) => {
            let escaped = format!("\\u{:04x}", u32::from(character));
            bytes.extend_from_slice(escaped.as_bytes());
        }
        _ => {
            let mut utf8 = [0; 4];
            bytes.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::escape;

    fn written(text: &str, limit: usize) -> (String, bool) {
        let mut line = Line::new(Scale::Bounded);
        line.string(text, limit);
        (String::from_utf8(line.bytes).unwrap(), line.cut)
    }

    #[test]
    fn a_cut_is_at_a_character_and_counts_what_is_written() {
        assert_eq!(written("ab💣💣", 9), ("\"ab💣\"".to_owned(), true));
        assert_eq!(written("a\"b", 3), (r#""a\"""#.to_owned(), true));
        assert_eq!(written("a\"b", 4), (r#""a\"b""#.to_owned(), false));
        assert_eq!(written("abc", 3), ("\"abc\"".to_owned(), false));
        assert_eq!(written("abcd", 3), ("\"abc\"".to_owned(), true));
        assert_eq!(written("\u{1b}x", 5), ("\"\"".to_owned(), true));
        assert_eq!(written("", 0), ("\"\"".to_owned(), false));
    }

    #[test]
    fn what_is_shown_is_escaped_too() {
        let mut line = Line::new(Scale::Bounded);
        line.shown("", &"a\"\n\u{202e}b");
        assert_eq!(line.bytes, br#""a\"\n\u202eb""#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_text_and_needs_no_escape(text in any::<String>()) {
            let (line, cut) = written(&text, usize::MAX);
            prop_assert!(!cut);
            prop_assert_eq!(&serde_json::from_str::<String>(&line).unwrap(), &text);
            prop_assert_eq!(escape(line.clone().into_bytes()), line.into_bytes());
        }

        #[test]
        fn no_text_is_longer_than_its_limit(text in any::<String>(), limit in 0_usize..64) {
            let (line, cut) = written(&text, limit);
            let read: String = serde_json::from_str(&line).unwrap();
            prop_assert!(line.len() - 2 <= limit);
            prop_assert!(text.starts_with(&read));
            prop_assert_eq!(cut, read != text);
        }
    }
}
