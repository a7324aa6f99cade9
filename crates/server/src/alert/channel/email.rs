//! E-mail: one plain text for each notice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use binauthz_core::time::UnixTime;
use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, SinglePart};

use super::smtp::Mailer;
use super::{Channel, Message, SendError, Sending};

/// The longest subject in characters.
const MAX_SUBJECT: usize = 200;
/// The longest text in bytes: summaries and documentation of a policy together have at most some ten KiB.
const MAX_TEXT: usize = 64 << 10;
/// The last second that a header can name, in the year 9999; the library panics after it.
const LAST_SECOND: u64 = 253_402_300_799;

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

    async fn deliver(&self, message: &Message<'_>) -> Result<(), SendError> {
        let unusable = |_| SendError::Never("mail cannot be sent to such an address".to_owned());
        let to: Address = self.to.parse().map_err(unusable)?;
        let text = compose(message, self.mailer.from(), &to)
            .ok_or_else(|| SendError::Never("the message cannot be written".to_owned()))?;
        self.mailer.send(&to, &text).await
    }
}

impl Channel for Email {
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a> {
        Box::pin(self.deliver(message))
    }
}

/// The message with its headers. The text is in base64 whatever is in it, and not in what suits it best: so no line of it is
/// a command or a dot, for a server that takes another end of line than we for one either.
fn compose(message: &Message<'_>, from: &Address, to: &Address) -> Option<Vec<u8>> {
    let delivery: String = message
        .delivery
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let body = Body::new_with_encoding(text(message).into_bytes(), ContentTransferEncoding::Base64).ok()?;
    let part = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body);
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mail = lettre::Message::builder()
        .date(date(message.now))
        .from(Mailbox::new(Some("binauthz".to_owned()), from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(subject(message))
        .message_id(Some(format!("<{delivery}@{}>", from.domain())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .singlepart(part)
        .ok()?;
    Some(mail.formatted())
}

/// One line. What looks like an encoded word is broken up: the library would not encode it, and a reader would decode it.
fn subject(message: &Message<'_>) -> String {
    let notice = message.notice;
    let subject = format!(
        "[{}] {}: {}",
        notice.incident.state().as_str(),
        notice.policy_name,
        notice.incident.summary
    );
    let words: Vec<&str> = subject
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ").replace("=?", "= ?");
    let end = line
        .char_indices()
        .nth(MAX_SUBJECT)
        .map_or(line.len(), |(end, _)| end);
    line.get(..end).unwrap_or_default().trim_end().to_owned()
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

/// No clock shows a time that is moved here.
fn date(now: UnixTime) -> SystemTime {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use binauthz_wire::monitoring::channel::is_mail_address;
    use proptest::prelude::*;

    use super::*;
    use crate::alert::series::Key;
    use crate::alert::{Incident, Notice};

    fn notice(policy_name: &str, summary: &str) -> Notice {
        Notice {
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
        }
    }

    fn composed_at(seconds: i64, policy_name: &str, summary: &str) -> String {
        let message = Message {
            delivery: "d1\r\nBcc: x@y",
            now: UnixTime::from_seconds(seconds),
            notice: &notice(policy_name, summary),
        };
        let (from, to) = ("binauthz@example.com", "oncall@example.com");
        let text = compose(&message, &from.parse().unwrap(), &to.parse().unwrap()).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn composed(policy_name: &str, summary: &str) -> String {
        composed_at(1_800_000_000, policy_name, summary)
    }

    /// The subject, decoded as RFC 2047 says: blanks between two encoded words are not there.
    fn subject_of(text: &str) -> String {
        let (_, rest) = text.split_once("Subject: ").unwrap();
        let (subject, _) = rest.split_once("\r\nMessage-ID: ").unwrap();
        let (mut bytes, mut was_encoded) = (Vec::new(), true);
        for word in subject.replace("\r\n", "").split(' ') {
            let encoded = word
                .strip_prefix("=?utf-8?b?")
                .and_then(|word| word.strip_suffix("?="));
            if !(was_encoded && (encoded.is_some() || bytes.is_empty())) {
                bytes.push(b' ');
            }
            was_encoded = encoded.is_some();
            bytes.extend(encoded.map_or_else(|| word.into(), |word| STANDARD.decode(word).unwrap()));
        }
        String::from_utf8(bytes).unwrap()
    }

    fn check_form(text: &str) {
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
        assert!(
            text.split("\r\n")
                .all(|line| line.len() <= 998 && line.bytes().all(|byte| matches!(byte, b' '..=b'~'))),
            "{text}"
        );
        assert!(head.split("\r\n").all(|line| !line.trim().is_empty()), "{text}");
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
        assert!(body.bytes().all(is_base64), "{text}");
    }

    #[test]
    fn nothing_that_is_told_becomes_a_header_or_ends_the_message() {
        for (hostile, subject) in [
            ("a\r\nBcc: evil@example.com", "a Bcc: evil@example.com"),
            ("a\nBcc: evil@example.com", "a Bcc: evil@example.com"),
            (
                "a\r\n.\r\nRCPT TO:<evil@example.com>",
                "a . RCPT TO:<evil@example.com>",
            ),
            ("?=\r\nBcc: evil@example.com", "?= Bcc: evil@example.com"),
            ("a\u{2028}b\u{85}\0c", "a b c"),
            ("a\r \r\n\t\r\n b", "a b"),
            ("=?utf-8?b?ZXZpbA==?=", "= ?utf-8?b?ZXZpbA== ?="),
        ] {
            let text = composed("p", hostile);
            check_form(&text);
            assert_eq!(subject_of(&text), format!("[open] p: {subject}"));
            let text = composed(hostile, "s");
            check_form(&text);
            assert_eq!(subject_of(&text), format!("[open] {subject}: s"));
        }
    }

    #[test]
    fn the_text_comes_back_whole() {
        let long = "ü€𝄞".repeat(40);
        let text = composed(&long, "held");
        assert!(
            text.starts_with("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"),
            "{text}"
        );
        for line in [
            "From: binauthz <binauthz@example.com>\r\n",
            "To: oncall@example.com\r\n",
            "Message-ID: <d1Bccxy@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(subject_of(&text), format!("[open] {long}: held"));
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
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

    #[test]
    fn a_subject_and_a_date_have_an_end() {
        let text = composed(&"x".repeat(1_000), "held");
        check_form(&text);
        assert_eq!(subject_of(&text).len(), MAX_SUBJECT);
        for (seconds, date) in [
            (i64::MIN, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 +0000"),
        ] {
            let text = composed_at(seconds, "p", "held");
            assert!(text.starts_with(&format!("Date: {date}\r\n")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_told_the_form_stays(policy in any::<String>(), summary in "([a-z ü€=?\r\n\t\0]|\\PC){0,200}") {
            let text = composed(&policy, &summary);
            check_form(&text);
            let message = Message { delivery: "d", now: UnixTime::from_seconds(0), notice: &notice(&policy, &summary) };
            prop_assert_eq!(subject_of(&text), subject(&message));
        }

        #[test]
        fn every_address_of_a_channel_is_one_for_the_library(
            user in "[a-z0-9!'{|}~-]{1,20}(\\.[a-z0-9!'{|}~-]{1,20}){0,3}",
            host in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(\\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?){0,3}",
        ) {
            let text = format!("{user}@{host}");
            prop_assume!(is_mail_address(&text));
            prop_assert!(text.parse::<Address>().is_ok(), "{text}");
        }
    }
}
