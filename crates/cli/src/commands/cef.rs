//! ArcSight's Common Event Format, version 0: `CEF:0|vendor|product|version|id|name|severity|key=value …`.

use binauthz_wire::yaml::acts_on_display;
use serde_json::Value;

/// One record as one line.
pub(super) fn line(record: &Value) -> String {
    if record["log"] == "call" {
        return call(record);
    }
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let images: Vec<&str> = record["images"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|image| image["image"].as_str())
        .collect();
    let (name, severity) = match (text("verdict"), text("effect"), record["conforms"].as_bool()) {
        ("DENY", _, _) => ("image denied", 7),
        (_, "BREAK_GLASS", _) => ("image admitted by break-glass", 9),
        (_, "DRY_RUN", Some(false)) => ("image would be denied", 5),
        _ => ("image admitted", 1),
    };
    let pairs = [
        ("rt", text("time")),
        ("externalId", text("id")),
        ("act", text("verdict")),
        ("suser", text("user")),
        ("msg", text("message")),
        ("reason", text("justification")),
        ("cs1Label", "cluster"),
        ("cs1", text("cluster")),
        ("cs2Label", "object"),
        (
            "cs2",
            &format!("{}/{}/{}", text("namespace"), text("kind"), text("name")),
        ),
        ("cs3Label", "images"),
        ("cs3", &images.join(" ")),
    ];
    assemble((text("reason"), name, severity), &pairs)
}

/// A call of the API.
fn call(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let failed = record["code"].as_i64().is_some_and(|code| code != 0);
    let pairs = [
        ("rt", text("time")),
        ("externalId", text("requestId")),
        ("outcome", if failed { "failure" } else { "success" }),
        ("suser", text("principal")),
        ("cs2Label", "resource"),
        ("cs2", text("resource")),
    ];
    let severity = if failed { 5 } else { 3 };
    assemble((text("method"), "API call", severity), &pairs)
}

fn assemble((id, name, severity): (&str, &str, u8), pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", extension(value)))
        .collect();
    format!(
        "CEF:0|binauthz|binauthz|{}|{}|{name}|{severity}|{}",
        env!("CARGO_PKG_VERSION"),
        header(id),
        pairs.join(" ")
    )
}

fn header(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn extension(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('=', "\\=");
    one_line(&escaped.replace('\r', "\\r").replace('\n', "\\n"))
}

fn one_line(text: &str) -> String {
    text.replace(acts_on_display, " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_one_line_whatever_is_in_it() {
        let record = json!({
            "time": "2026-11-23T08:00:00Z", "id": "i", "verdict": "DENY", "conforms": false, "reason": "NO|T", "effect": "ENFORCED",
            "user": "a=b\\c", "message": "line\nforged CEF:0|x", "cluster": "c", "namespace": "n", "kind": "Pod",
            "name": "p", "images": [{ "image": "r.test/a" }, { "image": "r.test/b\u{7}" }],
        });
        let line = line(&record);
        assert!(!line.contains('\n'), "{line}");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line,
            format!(
                "CEF:0|binauthz|binauthz|{version}|NO\\|T|image denied|7|rt=2026-11-23T08:00:00Z externalId=i act=DENY \
                 suser=a\\=b\\\\c msg=line\\nforged CEF:0|x cs1Label=cluster cs1=c cs2Label=object cs2=n/Pod/p \
                 cs3Label=images cs3=r.test/a r.test/b "
            )
        );
    }

    #[test]
    fn a_call_says_who_did_what_and_how_it_ended() {
        let call = |code: i64| {
            line(
                &json!({ "log": "call", "principal": "admin", "method": "kms.Sign", "resource": "projects/p", "code": code }),
            )
        };
        assert!(
            call(0).contains("|kms.Sign|API call|3|outcome=success suser=admin"),
            "{}",
            call(0)
        );
        assert!(
            call(7).contains("|kms.Sign|API call|5|outcome=failure"),
            "{}",
            call(7)
        );
    }

    #[test]
    fn what_was_let_through_stands_out() {
        let severity = |record: Value| line(&record).split('|').nth(6).unwrap().to_owned();
        assert_eq!(
            severity(json!({ "verdict": "ALLOW", "effect": "BREAK_GLASS" })),
            "9"
        );
        assert_eq!(
            severity(json!({ "verdict": "ALLOW", "effect": "DRY_RUN", "conforms": false })),
            "5"
        );
        assert_eq!(
            severity(json!({ "verdict": "ALLOW", "effect": "DRY_RUN", "conforms": true })),
            "1"
        );
        assert_eq!(severity(json!({})), "1");
    }
}
