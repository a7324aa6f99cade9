//! Text from elsewhere made safe for a terminal.

pub(super) use binauthz_wire::yaml::acts_on_display as is_hostile;

/// One line of text: every hostile character, line ends included, is shown as an escape.
pub(crate) fn plain(text: &str) -> String {
    escape(text, |_| false)
}

/// Text of several lines: line ends stay, every other hostile character is shown as an escape.
pub(crate) fn plain_lines(text: &str) -> String {
    escape(text, |c| c == '\n' || c == '\t')
}

fn escape(text: &str, keep: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) && !keep(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON text whose strings hold no hostile character: serde_json escapes C0 only.
pub(super) fn json_safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside strings JSON has no hostile character but the line end of the pretty printer.
        if is_hostile(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_shown_and_others_kept() {
        let table = [
            ("plain text – ü 🦀", "plain text – ü 🦀"),
            ("a\tb\nc", "a\\tb\\nc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}0m", "\\u{9b}0m"),
            ("x\u{202e}y\u{2066}z", "x\\u{202e}y\\u{2066}z"),
        ];
        for (text, expected) in table {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(plain_lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"k": "a\u{7f}\u{9b}\u{202e}\n"});
        let text = json_safe(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(text.chars().all(|c| !is_hostile(c) || c == '\n'), "{text:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON"),
            value
        );
    }
}
