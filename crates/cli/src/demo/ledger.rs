//! The verdicts as the server kept them, compared with what was seen.

use serde_json::Value;

use super::review::USER;
use crate::{failure::Failure, output};

/// One verdict on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    time: String,
    verdict: String,
    effect: String,
    reason: String,
    name: String,
    image: String,
    user: String,
    justification: String,
}

/// What must be on record, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) name: &'static str,
    pub(super) verdict: &'static str,
    pub(super) effect: &'static str,
    pub(super) reason: &'static str,
    /// What break-glass leaves behind; empty elsewhere.
    pub(super) justification: &'static str,
}

/// The rows of `logs list --format=json`, oldest first.
pub(super) fn read(log: &str) -> Result<Vec<Row>, Failure> {
    let entries: Vec<Value> = serde_json::from_str(log)
        .map_err(|error| Failure::refused(format_args!("the log is not JSON: {error}")))?;
    Ok(entries.iter().rev().map(row).collect())
}

fn row(entry: &Value) -> Row {
    let text = |pointer: &str| {
        entry
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let image = text("/images/0/image");
    Row {
        // RFC 3339: what is between the `T` and the fraction.
        time: text("/time").chars().skip(11).take(8).collect(),
        verdict: text("/verdict"),
        effect: text("/effect"),
        reason: text("/reason"),
        name: text("/name"),
        image: short(&image),
        user: text("/user"),
        justification: text("/justification"),
    }
}

/// The image's own name with its tag, or with the first digits of its digest.
fn short(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or("");
    match name.split_once("@sha256:") {
        Some((name, digits)) => format!("{name}@{}…", digits.chars().take(7).collect::<String>()),
        None => name.to_owned(),
    }
}

/// A table for a person.
pub(super) fn table(rows: &[Row]) -> String {
    let heading = ["TIME", "VERDICT", "EFFECT", "REASON", "NAME", "IMAGE"]
        .map(str::to_owned)
        .to_vec();
    let cells = rows.iter().map(|row| {
        [
            &row.time,
            &row.verdict,
            &row.effect,
            &row.reason,
            &row.name,
            &row.image,
        ]
        .map(Clone::clone)
        .to_vec()
    });
    let mut text = output::align(
        &std::iter::once(heading)
            .chain(cells)
            .collect::<Vec<Vec<String>>>(),
    );
    if let Some(row) = rows.iter().find(|row| !row.justification.is_empty()) {
        text.push_str(&format!(
            "{} is justified by {}: \"{}\"\n",
            row.name, row.user, row.justification
        ));
    }
    text
}

/// Every verdict that was seen is on record, in its order, and no other.
pub(super) fn check(rows: &[Row], expected: &[Expected]) -> Result<(), Failure> {
    if rows.len() != expected.len() {
        return Err(Failure::refused(format_args!(
            "the log holds {} verdicts, expected {}",
            rows.len(),
            expected.len()
        )));
    }
    for (row, expected) in rows.iter().zip(expected) {
        let found = [
            row.name.as_str(),
            &row.verdict,
            &row.effect,
            &row.reason,
            &row.justification,
            &row.user,
        ];
        let wanted = [
            expected.name,
            expected.verdict,
            expected.effect,
            expected.reason,
            expected.justification,
            USER,
        ];
        if found != wanted {
            return Err(Failure::refused(format_args!(
                "on record is {found:?}, expected {wanted:?}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log() -> String {
        let entry = |name: &str, verdict: &str| {
            json!({"time": "2026-01-02T03:04:05.678901Z", "verdict": verdict, "effect": "ENFORCED", "reason": "ATTESTED",
                   "name": name, "user": USER, "images": [{"image": "r.example/p/app:v1"}]})
        };
        json!([entry("second", "DENY"), entry("first", "ALLOW")]).to_string()
    }

    const FIRST: Expected = Expected {
        name: "first",
        verdict: "ALLOW",
        effect: "ENFORCED",
        reason: "ATTESTED",
        justification: "",
    };
    const SECOND: Expected = Expected {
        name: "second",
        verdict: "DENY",
        effect: "ENFORCED",
        reason: "ATTESTED",
        justification: "",
    };

    #[test]
    fn the_record_must_be_what_was_seen() {
        let rows = read(&log()).expect("rows");
        assert!(check(&rows, &[FIRST, SECOND]).is_ok());
        assert!(check(&rows, &[SECOND, FIRST]).is_err(), "another order");
        assert!(check(&rows, &[FIRST]).is_err(), "one too many");
        assert!(check(&[], &[FIRST]).is_err(), "one missing");
        assert!(
            check(
                &rows,
                &[
                    FIRST,
                    Expected {
                        verdict: "ALLOW",
                        ..SECOND
                    }
                ]
            )
            .is_err(),
            "another verdict"
        );
    }

    #[test]
    fn digests_are_shown_by_their_first_digits() {
        assert_eq!(short("r.example/p/app@sha256:0123456789abcdef"), "app@0123456…");
        assert_eq!(short("r.example/p/app:v1"), "app:v1");
    }

    #[test]
    fn the_table_is_aligned() {
        let table = table(&read(&log()).expect("rows"));
        assert_eq!(
            table,
            "TIME      VERDICT  EFFECT    REASON    NAME    IMAGE\n\
             03:04:05  ALLOW    ENFORCED  ATTESTED  first   app:v1\n\
             03:04:05  DENY     ENFORCED  ATTESTED  second  app:v1\n"
        );
    }
}
