//! What holds for every call: methods that stand for others, bodies, queries.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::court::Court;
use crate::support::{Desk, answer};

const NOTES: &str = "/v1/projects/p/notes";
const FORM: &str = "application/x-www-form-urlencoded";

fn meaning(desk: &Desk, method: &str, path: &str) -> RequestBuilder {
    desk.request(Method::POST, path)
        .header("x-http-method-override", method)
}

fn form(desk: &Desk, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    meaning(desk, "GET", path).header("content-type", FORM).body(body)
}

#[tokio::test]
async fn a_post_may_stand_for_another_method() {
    let desk = Desk::new().await;
    desk.post(&format!("{NOTES}?noteId=n"), json!({ "attestation": {} }))
        .await
        .ok();
    let note = format!("{NOTES}/n");
    let read = answer(meaning(&desk, "GET", &note)).await.ok();
    assert_eq!(read["name"], "projects/p/notes/n");
    let body = json!({ "shortDescription": "s" });
    let patch = meaning(&desk, "PATCH", &format!("{note}?updateMask=shortDescription"));
    assert_eq!(answer(patch.json(&body)).await.ok()["shortDescription"], "s");
    let rule = json!({ "defaultAdmissionRule": { "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" } });
    answer(meaning(&desk, "PUT", "/v1/projects/p/policy").json(&rule))
        .await
        .ok();
    let row = &desk.audit(1).await[0];
    assert_eq!(row["method"], "binaryauthorization.UpdatePolicy");
    answer(meaning(&desk, "DELETE", &note)).await.ok();
    assert_eq!(desk.audit(1).await[0]["method"], "containeranalysis.DeleteNote");
    answer(meaning(&desk, "POST", &format!("{NOTES}?noteId=m")).json(&json!({ "attestation": {} })))
        .await
        .ok();
}

#[tokio::test]
async fn a_long_query_comes_in_the_body() {
    let court = Court::new().await;
    let (desk, list) = (&court.desk, "/v1/projects/p/occurrences");
    let image = court.signed().await;
    court.signed().await;
    let other = "resourceUrl=\"x\" OR ".repeat(150);
    let filter: String = format!("{other}resourceUrl=\"https://{image}\"")
        .bytes()
        .map(|byte| {
            if byte == b' ' {
                "+".to_owned()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect();
    let query = format!("alt=json&filter={filter}&pageSize=100");
    assert!(query.len() > 2048);
    let found = answer(form(desk, list, query)).await.ok();
    assert_eq!(found["occurrences"].as_array().unwrap().len(), 1);
    let both = answer(form(desk, &format!("{list}?pageSize=1"), "alt=json"))
        .await
        .ok();
    assert!(both["nextPageToken"].is_string());
    // Without a body the address says everything.
    answer(meaning(desk, "GET", list)).await.ok();

    answer(form(desk, &format!("{list}?pageSize=1"), "pageSize=2"))
        .await
        .refused("INVALID_ARGUMENT", "given twice");
    answer(form(desk, list, "filter=%zz"))
        .await
        .refused("INVALID_ARGUMENT", "percent-encoded");
    answer(form(desk, list, vec![0xff]))
        .await
        .refused("INVALID_ARGUMENT", "UTF-8");
    answer(meaning(desk, "GET", list).json(&json!({ "pageSize": 1 })))
        .await
        .refused("INVALID_ARGUMENT", FORM);
    let long = answer(form(desk, list, "a".repeat(16 * 1024 + 1))).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn what_is_meant_decides_what_is_allowed() {
    let desk = Desk::new().await;
    let viewer = desk.viewer().await;
    let policy = "/v1/projects/p/policy";
    let ask = |method: Method, meant: &str, path: &str| {
        desk.request_as(&viewer, method, path)
            .header("x-http-method-override", meant)
    };
    answer(ask(Method::POST, "GET", policy)).await.ok();
    for (meant, path, permission) in [
        ("PUT", policy, "binaryauthorization.policy.update"),
        (
            "DELETE",
            "/v1/projects/p/notes/n",
            "containeranalysis.notes.delete",
        ),
        (
            "PATCH",
            "/v1/projects/p/notes/n",
            "containeranalysis.notes.update",
        ),
        ("POST", NOTES, "containeranalysis.notes.create"),
    ] {
        answer(ask(Method::POST, meant, path))
            .await
            .refused("PERMISSION_DENIED", permission);
        assert_eq!(desk.audit(1).await[0]["detail"]["permission"], permission);
    }
    // Only a POST may stand for something else.
    for (method, meant) in [
        (Method::GET, "DELETE"),
        (Method::GET, "POST"),
        (Method::PUT, "GET"),
        (Method::DELETE, "GET"),
        (Method::POST, "get"),
        (Method::POST, "TRACE"),
        (Method::POST, ""),
    ] {
        answer(ask(method, meant, policy))
            .await
            .refused("INVALID_ARGUMENT", "X-HTTP-Method-Override");
    }
    let twice = ask(Method::POST, "GET", policy).header("x-http-method-override", "DELETE");
    answer(twice).await.refused("INVALID_ARGUMENT", "twice");
    answer(ask(Method::GET, "GET", policy)).await.ok();
}

#[tokio::test]
async fn a_verb_nobody_has_is_named() {
    let desk = Desk::new().await;
    for (method, path, expected) in [
        (
            Method::POST,
            "/v1/projects/p/attestors/a:paint",
            "`:paint` in `/v1/projects/p/attestors/a:paint`",
        ),
        (
            Method::GET,
            "/v1/projects/p/attestors/a:paint",
            "expected none or `:getIamPolicy`",
        ),
        (Method::POST, "/v1/projects/p/attestors/a:enable", "`:enable`"),
        (
            Method::POST,
            "/v1/projects/p/occurrences:batchDelete",
            "`:batchCreate`",
        ),
        (
            Method::POST,
            "/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:asymmetricDecrypt",
            "`:asymmetricSign`",
        ),
    ] {
        desk.send(method, path, Some(json!({})))
            .await
            .refused("NOT_FOUND", expected);
    }
    desk.get("/v1/projects/example.com:p").await.ok();
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_may_be_packed_and_are_bounded() {
    let desk = Desk::new().await;
    let send = async |encoding: &str, body: Vec<u8>| {
        let request = desk
            .request(Method::POST, &format!("{NOTES}?noteId=n"))
            .header("content-encoding", encoding);
        answer(request.body(body)).await
    };
    let note = json!({ "attestation": {} }).to_string();
    assert_eq!(
        send("gzip", pack(note.as_bytes())).await.ok()["name"],
        "projects/p/notes/n"
    );
    for (encoding, body, status) in [
        ("gzip", note.clone().into_bytes(), StatusCode::BAD_REQUEST),
        ("gzip", pack(&vec![b' '; 64 << 20]), StatusCode::PAYLOAD_TOO_LARGE),
        (
            "identity",
            vec![b' '; (4 << 20) + 1],
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "gzip, gzip",
            pack(&pack(note.as_bytes())),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "deflate",
            pack(note.as_bytes()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "br",
            note.clone().into_bytes(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let refused = send(encoding, body).await;
        assert_eq!(refused.status, status, "{encoding}: {}", refused.body);
        refused.refused("INVALID_ARGUMENT", "the request body");
    }
    let twice = desk
        .request(Method::POST, &format!("{NOTES}?noteId=m"))
        .header("content-encoding", "gzip")
        .header("content-encoding", "gzip")
        .body(pack(&pack(note.as_bytes())));
    assert_eq!(answer(twice).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn system_parameters_of_queries_are_taken_as_clients_write_them() {
    let desk = Desk::new().await;
    let policy = "/v1/projects/p/policy";
    let plain = desk.get(policy).await.ok();
    for query in [
        "alt=json",
        "%24alt=json%3Benum-encoding%3Dint",
        "$alt=json;enum-encoding=int",
        "key=x&prettyPrint=false",
    ] {
        assert_eq!(
            desk.get(&format!("{policy}?{query}")).await.ok(),
            plain,
            "{query}"
        );
    }
    let text = async |query: &str| {
        let request = desk.request(Method::GET, &format!("{policy}?{query}"));
        request.send().await.unwrap().text().await.unwrap()
    };
    assert_eq!(text("prettyPrint=false").await.lines().count(), 1);
    assert!(text("prettyPrint=true").await.lines().count() > 3);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
    let desk = Desk::new().await;
    let token = std::fs::read_to_string(desk.folder().join("admin.token")).unwrap();
    let mut stream = tokio::net::TcpStream::connect(desk.addresses().api)
        .await
        .unwrap();
    let head = format!(
        "POST {NOTES}?noteId=n HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{",
        token.trim()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = vec![0; 512];
    let read = tokio::time::timeout(Duration::from_secs(45), stream.read(&mut reply)).await;
    let length = read.expect("an answer within the limit and some").unwrap();
    let reply = String::from_utf8_lossy(&reply[..length]);
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    desk.get(&format!("{NOTES}/n"))
        .await
        .refused("NOT_FOUND", "notes/n");
}

/// A row that the log keeps no longer is forgotten in the store, and that is a row itself.
#[tokio::test]
async fn rows_that_are_older_than_the_log_are_forgotten() {
    use binauthz_store::{AuditRow, Commit, Store};

    let folder = Desk::new().await.stop().await;
    let store = Store::open(&folder.path().join("binauthz.db")).unwrap();
    let now = jiff::Timestamp::now().as_microsecond();
    let day = 24 * 3_600 * 1_000_000_i64;
    for (days, method) in [(401, "test.Ancient"), (399, "test.Old")] {
        let audit = AuditRow {
            time: now - days * day,
            method: method.to_owned(),
            ..crate::support::audit_row()
        };
        let changes = Vec::new();
        store.commit(Commit { audit, changes }).await.unwrap();
    }
    drop(store);
    let flags = crate::support::flags(folder.path());
    let desk = Desk::with(folder, flags).await;
    let begun = std::time::Instant::now();
    let rows = loop {
        let rows = serde_json::Value::from(desk.audit(100).await).to_string();
        if rows.contains("binauthz.PruneAudit") {
            break rows;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        !rows.contains("test.Ancient") && rows.contains("test.Old"),
        "{rows}"
    );
}
