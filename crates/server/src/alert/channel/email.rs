//! E-mail: one plain text for each notice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::smtp::Mailer;
use super::{Channel, Message, Sending};

/// The longest subject in characters.
const MAX_SUBJECT: usize = 200;
/// The longest text in bytes: summaries and documentation of a policy together have at most some ten KiB.
const MAX_TEXT: usize = 64 << 10;
/// An encoded word has at most 75 characters (RFC 2047), 12 of which are its frame: 45 bytes make 60 of base64.
const BYTES_OF_WORD: usize = 45;

/// A mailbox.
pub struct Email {
    mailer: Mailer,
    to: String,
}

impl Email {
    /// The mailbox of an address.
    pub fn new(mailer: Mailer, to: String) -> Email {
        Email { mailer, to }
    }
}

impl Channel for Email {
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a> {
        let text = compose(message, self.mailer.from(), &self.to);
        Box::pin(async move { self.mailer.send(&self.to, &text).await })
    }
}

/// The message with its headers. Whatever comes from people and logs is encoded in base64, so that it can end no line, begin
/// no header and be no dot on a line of its own.
fn compose(message: &Message<'_>, from: &str, to: &str) -> String {
    let notice = message.notice;
    let subject = format!(
        "[{}] {}: {}",
        notice.incident.state().as_str(),
        notice.policy_name,
        notice.incident.summary
    );
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    let host = from.rsplit_once('@').map_or(from, |(_, host)| host);
    let delivery: String = message
        .delivery
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let headers = [
        format!("Date: {}", date(message)),
        format!("From: binauthz <{from}>"),
        format!("To: <{to}>"),
        format!("Subject: {}", encoded_words(&subject)),
        format!("Message-ID: <{delivery}@{host}>"),
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
    ];
    format!("{}\r\n\r\n{}", headers.join("\r\n"), folded(&text(message)))
}

fn text(message: &Message<'_>) -> String {
    let notice = message.notice;
    let incident = &notice.incident;
    let time = |time| binauthz_wire::json::timestamp_out(time);
    let mut lines = vec![
        incident.summary.clone(),
        String::new(),
        format!("Policy:    {}", notice.policy_name),
        format!("Condition: {}", notice.condition_name),
        format!("Project:   {}", notice.project),
        format!("Incident:  {}", incident.id),
        format!("State:     {}", incident.state().as_str()),
        format!("Began:     {}", time(incident.started)),
    ];
    lines.extend(incident.ended.map(|ended| format!("Ended:     {}", time(ended))));
    if !notice.documentation.is_empty() {
        lines.extend([String::new(), notice.documentation.clone()]);
    }
    let mut text = lines.join("\n");
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text.push('\n');
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

fn date(message: &Message<'_>) -> String {
    jiff::Timestamp::from_second(message.now.as_seconds())
        .ok()
        .and_then(|time| {
            jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_string(&time)
                .ok()
        })
        // No clock shows such a time; a mail server then writes its own.
        .unwrap_or_default()
}

/// A text as encoded words (RFC 2047), each on a line of its own.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if word.len() + c.len_utf8() > BYTES_OF_WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    words.join("\r\n ")
}

/// Base64 in lines of 76 characters.
fn folded(text: &str) -> String {
    let encoded = STANDARD.encode(text);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use binauthz_core::time::UnixTime;

    use super::*;
    use crate::alert::series::Key;
    use crate::alert::{Incident, Notice};

    fn composed(policy_name: &str, summary: &str) -> String {
        let notice = Notice {
            incident: Incident {
                id: "i7".into(),
                policy: "projects/p/alertPolicies/1".into(),
                condition: "c".into(),
                started: UnixTime::from_seconds(7),
                renewed: UnixTime::from_seconds(7),
                notified: UnixTime::from_seconds(7),
                ended: None,
                metric_type: "m".into(),
                about: Key::default(),
                summary: summary.into(),
            },
            project: "p".into(),
            policy_name: policy_name.into(),
            condition_name: "C".into(),
            documentation: "d\n.\nQUIT".into(),
            user_labels: Vec::new(),
            channels: Vec::new(),
            is_wanted: true,
        };
        let message = Message {
            delivery: "d1\r\nBcc: x@y",
            now: UnixTime::from_seconds(1_800_000_000),
            notice: &notice,
        };
        compose(&message, "binauthz@example.com", "oncall@example.com")
    }

    #[test]
    fn nothing_that_is_told_becomes_a_header_or_ends_the_message() {
        for hostile in [
            "a\r\nBcc: evil@example.com",
            "a\nBcc: evil@example.com",
            "a\r\n.\r\nRCPT TO:<evil@example.com>",
            "?=\r\nBcc: evil@example.com",
            "a\u{2028}b\u{85}c\0",
        ] {
            for text in [composed(hostile, "s"), composed("p", hostile)] {
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                let names: Vec<&str> = head
                    .split("\r\n")
                    .filter(|line| !line.starts_with(' '))
                    .map(|line| line.split_once(": ").unwrap().0)
                    .collect();
                assert_eq!(
                    names,
                    [
                        "Date",
                        "From",
                        "To",
                        "Subject",
                        "Message-ID",
                        "Auto-Submitted",
                        "MIME-Version",
                        "Content-Type",
                        "Content-Transfer-Encoding"
                    ],
                    "{text}"
                );
                assert!(text.is_ascii() && !text.contains("evil"), "{text}");
                assert!(
                    text.split("\r\n")
                        .all(|line| line.len() <= 78 && !line.contains(['\r', '\n']))
                );
                assert!(body.split("\r\n").all(|line| !line.starts_with('.')));
            }
        }
    }

    #[test]
    fn the_text_comes_back_whole() {
        let long = "ü€𝄞".repeat(40);
        let text = composed(&long, "held");
        assert!(text.starts_with("Date: Fri, 15 Jan 2027 08:00:00 "), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let subject = head
            .split("Subject: ")
            .nth(1)
            .unwrap()
            .split("\r\nMessage-ID")
            .next()
            .unwrap();
        let decoded: Vec<u8> = subject
            .split("\r\n ")
            .flat_map(|word| {
                STANDARD
                    .decode(
                        word.strip_prefix("=?utf-8?B?")
                            .unwrap()
                            .strip_suffix("?=")
                            .unwrap(),
                    )
                    .unwrap()
            })
            .collect();
        let decoded = String::from_utf8(decoded).unwrap();
        assert!(
            format!("[open] {long}: held").starts_with(&decoded) && decoded.chars().count() <= MAX_SUBJECT
        );
        let body = String::from_utf8(STANDARD.decode(body.replace("\r\n", "")).unwrap()).unwrap();
        for line in [
            "held\r\n",
            "Condition: C\r\n",
            "Incident:  i7\r\n",
            "Began:     1970-01-01T00:00:07Z\r\n",
            "d\r\n.\r\nQUIT\r\n",
        ] {
            assert!(body.contains(line), "{body}");
        }
    }
}
