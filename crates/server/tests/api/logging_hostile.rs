//! The log against those who would forge it, hide in it or wear it out.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::court::{Court, created, pod};
use crate::support::Desk;

fn list(filter: &str) -> Value {
    json!({"resourceNames": ["projects/p"], "filter": filter, "orderBy": "timestamp desc"})
}

/// AU-01: whatever is written at the emergency door, a record is one line, and nobody's terminal acts on it.
#[tokio::test]
async fn a_forged_line_is_a_text() {
    let court = Court::new().await;
    let forged =
        "x\n{\"time\":\"2026-01-01T00:00:00Z\",\"verdict\":\"ALLOW\"}\r\u{1b}[2J\u{9b}2J\u{202e}\u{2028}end";
    let mut object = pod(&["r.example/app:v1"]);
    object["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": forged});
    let before = lines(&court.desk).len();
    court.admit(&created(object)).await.admitted();
    let record = court.record().await;
    assert_eq!(record["justification"], forged);
    let all = lines(&court.desk);
    let own: Vec<&String> = all[before..]
        .iter()
        .filter(|line| line.starts_with("{\"time\":"))
        .collect();
    assert_eq!(own.len(), 1, "{own:?}");
    let acting = own[0]
        .chars()
        .find(|character| character.is_control() || ['\u{202e}', '\u{2028}'].contains(character));
    assert_eq!(acting, None, "{own:?}");
    let filter = "protoPayload.metadata.effect=\"BREAK_GLASS\"";
    let found = court.desk.post("/v2/entries:list", list(filter)).await.ok();
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    assert_eq!(
        found["entries"][0]["protoPayload"]["metadata"]["justification"],
        forged
    );
    let forgery = court
        .desk
        .post(
            "/v2/entries:list",
            list("timestamp<\"2026-01-02\" resource.type=\"k8s_cluster\""),
        )
        .await
        .ok();
    assert_eq!(forgery, json!({}));
}

/// AU-06: what somebody called a thing is a text of an answer that no browser takes for a page; whoever asks, and also where
/// nothing is found.
#[tokio::test]
async fn a_name_that_is_a_script_is_a_text() {
    let court = Court::new().await;
    let script = "<img src=x onerror=alert(1)>";
    let mut object = pod(&["r.example/app:v1"]);
    object["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": script});
    court.admit(&created(object)).await.admitted();
    let desk = &court.desk;
    let log = desk.request(Method::POST, "/v2/entries:list");
    let log = log.json(&list("protoPayload.metadata.effect=\"BREAK_GLASS\""));
    let health = |path: &str| {
        let url = format!("http://{}{path}", desk.addresses().health);
        reqwest::Client::new().get(url)
    };
    for (request, kind, says) in [
        (log, "application/json; charset=UTF-8", Some(script)),
        (
            desk.request(Method::GET, &format!("/v1/{script}")),
            "application/json; charset=UTF-8",
            None,
        ),
        (
            desk.request_as("nobody", Method::GET, "/v1/projects/p/policy"),
            "application/json; charset=UTF-8",
            None,
        ),
        (
            health("/metrics"),
            "text/plain; version=0.0.4; charset=utf-8",
            None,
        ),
        (
            health(&format!("/{script}")),
            "text/plain; version=0.0.4; charset=utf-8",
            None,
        ),
    ] {
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind, "{answer:?}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; frame-ancestors 'none'"
        );
        let text = answer.text().await.unwrap();
        assert!(says.is_none_or(|says| text.contains(says)), "{text}");
    }
}

/// Every line of the journal, as it is on the disk.
fn lines(desk: &Desk) -> Vec<String> {
    let bytes = std::fs::read(desk.folder().join("journal/segment-0000000001.jsonl")).unwrap();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// AU-05: what is too long is cut, and says so; the record is found all the same.
#[tokio::test]
async fn a_long_justification_is_cut_and_found() {
    let court = Court::new().await;
    let mut object = pod(&["r.example/app:v1"]);
    let long = format!("INC-77 {}", "\u{1}é\"".repeat(60_000));
    object["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": long});
    court.admit(&created(object)).await.admitted();
    let record = court.record().await;
    assert_eq!(record["truncated"], true);
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    let longest = lines(&court.desk).iter().map(String::len).max().unwrap();
    assert!(longest <= 16 * 1024 + 256, "{longest}");
    let filter = "protoPayload.metadata.justification:\"INC-77\" protoPayload.metadata.truncated=true";
    let found = court.desk.post("/v2/entries:list", list(filter)).await.ok();
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
}

/// A filter costs little whatever is in it, and a bad one is told where.
#[tokio::test]
async fn a_filter_wears_nobody_out() {
    let court = Court::new().await;
    for number in 0..20 {
        court.pod(&[&format!("r.example/app-{number}:v1")]).await;
    }
    let long = "a".repeat(10_000);
    let table = [
        (format!("protoPayload.methodName=~\"{long}\""), None),
        (
            format!("protoPayload.methodName=~\"({})\"", vec!["a*"; 2_500].join("|")),
            None,
        ),
        ("protoPayload.methodName=~\"(a*)*(b*)*$\"".to_owned(), None),
        (format!("\"{long}\""), None),
        (
            "protoPayload.methodName=~\"(((a{100}){100}){100})\"".to_owned(),
            Some("too large"),
        ),
        (
            format!("protoPayload.methodName=~\"{}\"", "(".repeat(10_000)),
            Some("column"),
        ),
        (format!("protoPayload.methodName=~\"{long}[\""), Some("column")),
        (
            format!("{}severity=ERROR{}", "(".repeat(5_000), ")".repeat(5_000)),
            Some("column"),
        ),
        (
            vec!["severity=ERROR"; 5_000].join(" OR "),
            Some("20000 characters"),
        ),
        (vec!["a"; 300].join(" OR "), Some("at most 200 texts")),
        ("severity=ERROR AND".to_owned(), Some("column")),
        ("severity=ERROR \u{0}".to_owned(), Some("column")),
        (
            "nothing.such=1".to_owned(),
            Some("`nothing.such` is not a field of a log entry"),
        ),
        ("resource.kind=1".to_owned(), Some("column 1")),
    ];
    for (filter, refusal) in table {
        let begun = Instant::now();
        let answer = court.desk.post("/v2/entries:list", list(&filter)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:.80} took {:?}",
            filter,
            begun.elapsed()
        );
        match refusal {
            None => {
                answer.ok();
            }
            Some(message) => answer.refused("INVALID_ARGUMENT", message),
        }
    }
}

#[tokio::test]
async fn an_order_is_one_of_two() {
    let court = Court::new().await;
    for order in [
        "timestamp sideways",
        "timestamp desc, severity",
        "timestamp desc\n",
        "TIMESTAMP",
        "-timestamp",
        "1",
    ] {
        let mut request = list("");
        request["orderBy"] = order.into();
        let answer = court.desk.post("/v2/entries:list", request).await;
        match order {
            // White space is none of the order.
            "timestamp desc\n" => {
                answer.ok();
            }
            _ => answer.refused("INVALID_ARGUMENT", "orderBy"),
        }
    }
}

/// The token of a page grants no other list, and no bytes in it are believed.
#[tokio::test]
async fn a_forged_token_is_refused() {
    let court = Court::new().await;
    for _ in 0..3 {
        court.pod(&["r.example/app:v1"]).await;
    }
    let mut request = list("resource.type=\"k8s_cluster\"");
    request["pageSize"] = 1.into();
    let first = court.desk.post("/v2/entries:list", request.clone()).await.ok();
    let token = first["nextPageToken"].as_str().unwrap().to_owned();
    request["pageToken"] = token.clone().into();
    court.desk.post("/v2/entries:list", request.clone()).await.ok();
    for (member, value) in [
        ("filter", json!("severity=ERROR")),
        ("orderBy", json!("timestamp asc")),
        ("resourceNames", json!(["projects/q"])),
        ("pageToken", json!(format!("{token}AA"))),
        ("pageToken", json!("A".repeat(10_000))),
        ("pageToken", json!(token.chars().rev().collect::<String>())),
    ] {
        let mut other = request.clone();
        other[member] = value;
        court
            .desk
            .post("/v2/entries:list", other)
            .await
            .refused("INVALID_ARGUMENT", "pageToken");
    }
}

/// AU-07: who did something is who showed the credential, whatever a header says.
#[tokio::test]
async fn no_header_says_who_it_was() {
    let desk = Desk::new().await;
    let note = json!({"attestation": {"hint": {"humanReadableName": "n"}}});
    let mut request = desk
        .request(Method::POST, "/v1/projects/p/notes?noteId=n")
        .json(&note);
    for name in [
        "x-remote-user",
        "x-forwarded-user",
        "x-forwarded-for",
        "x-goog-authenticated-user-email",
        "impersonate-user",
    ] {
        request = request.header(name, "system:mallory");
    }
    assert!(request.send().await.unwrap().status().is_success());
    let rows = desk.audit(10).await;
    assert!(
        rows.iter()
            .any(|row| row["method"] == "containeranalysis.CreateNote"),
        "{rows:?}"
    );
    assert!(
        rows.iter().all(|row| !row.to_string().contains("mallory")),
        "{rows:?}"
    );
}
