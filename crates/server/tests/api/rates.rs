//! How often the API may be called, and the token that is good for one call.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Desk, answer, flags};
use binauthz_server::Flags;

const POLICY: &str = "/v1/projects/p/policy";

#[tokio::test]
async fn after_ten_wrong_tokens_nobody_at_the_address_is_answered_for_a_while() {
    let desk = Desk::configured("rateLimits: {wrongCredentials: 10}\n").await;
    desk.get(POLICY).await.ok();
    let mut statuses = Vec::new();
    for number in 0..20 {
        let wrong = format!("binauthz_wrong-{number}");
        statuses.push(answer(desk.request_as(&wrong, Method::GET, POLICY)).await.status);
    }
    // One is forgiven a second, and a slow machine takes its time.
    assert!(
        statuses[..10]
            .iter()
            .all(|status| *status == StatusCode::UNAUTHORIZED),
        "{statuses:?}"
    );
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    let response = loop {
        let response = desk
            .request_as("wrong", Method::GET, POLICY)
            .send()
            .await
            .unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break response;
        }
    };
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(body["error"]["code"], 429);
    // The webhook and the health port are asked as before.
    assert_eq!(desk.health("/readyz").await.0, StatusCode::OK);
    // What waits is answered again.
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    desk.get(POLICY).await.ok();
}

#[tokio::test]
async fn a_principal_that_calls_too_often_is_told_when_to_come_again() {
    let desk = Desk::configured("rateLimits: {perPrincipal: 2}\n").await;
    let other = desk.viewer().await;
    let mut refused = 0;
    for _ in 0..20 {
        let answered = desk.get(POLICY).await;
        if answered.status == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
            answered.refused("RESOURCE_EXHAUSTED", "too many calls of this principal");
        }
    }
    assert!(refused >= 10, "{refused}");
    answer(desk.request_as(&other, Method::GET, POLICY)).await.ok();
}

#[tokio::test]
async fn nobody_fills_the_log_with_what_he_may_not_do() {
    let desk = Desk::configured("rateLimits: {refusedCalls: 5}\n").await;
    let viewer = desk.viewer().await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let call = desk.request_as(&viewer, Method::PUT, POLICY).json(&json!({}));
        statuses.push(answer(call).await.status);
    }
    let refused = |status: &&StatusCode| **status == StatusCode::FORBIDDEN;
    assert!(
        statuses[..5].iter().all(|status| refused(&status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    let recorded = Value::from(desk.audit(100).await).to_string();
    let lines = recorded.matches("binaryauthorization.UpdatePolicy").count();
    assert_eq!(lines, statuses.iter().filter(refused).count(), "{recorded}");
    desk.get(POLICY).await.ok();
}

/// Verdicts are in the same log.
#[tokio::test]
async fn nobody_fills_the_log_with_what_he_may_do() {
    let desk = Desk::configured("rateLimits: {recordedCalls: 5}\n").await;
    let viewer = desk.viewer().await;
    let note = |number: usize| format!("/v1/projects/p/notes?noteId=n{number}");
    let mut statuses = Vec::new();
    for number in 0..20 {
        statuses.push(
            desk.post(&note(number), json!({ "attestation": {} }))
                .await
                .status,
        );
    }
    // The token of the viewer was the first of the five, and one more comes each second.
    assert!(
        statuses[..4].iter().all(|status| *status == StatusCode::OK),
        "{statuses:?}"
    );
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    let refused = loop {
        let answered = desk.post(&note(99), json!({})).await;
        if answered.status == StatusCode::TOO_MANY_REQUESTS {
            break answered;
        }
    };
    refused.refused(
        "RESOURCE_EXHAUSTED",
        "too many calls of this principal that are on record",
    );
    // Whoever reads leaves nothing, and others have their own.
    desk.get(POLICY).await.ok();
    let theirs = desk.request_as(&viewer, Method::PUT, POLICY).json(&json!({}));
    assert_eq!(answer(theirs).await.status, StatusCode::FORBIDDEN);
    // What was refused by this is on record nowhere: that is the point.
    let rows = Value::from(desk.audit(100).await).to_string();
    let notes = rows.matches("containeranalysis.CreateNote").count();
    assert!(notes < 24, "{notes}");
}

/// In earnest, where nobody chose.
#[tokio::test]
async fn a_server_in_earnest_has_no_lasting_first_token() {
    let folder = tempfile::tempdir().unwrap();
    let in_earnest = Flags {
        dev: false,
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, in_earnest).await;
    let url = |path: &str| format!("https://{}{path}", desk.addresses().api);
    let client = crate::webhook_callers::webhook(&desk, None);
    let post = async |token: &str, path: &str, body: Value| {
        answer(client.post(url(path)).bearer_auth(token).json(&body)).await
    };
    let projects = "/binauthz/v1/projects?projectId=ppp";
    post(desk.token(), projects, json!({}))
        .await
        .refused("PERMISSION_DENIED", "`bootstrap` lacks the permission");
    let tokens = "/binauthz/v1/tokens?tokenId=root";
    let made = post(desk.token(), tokens, json!({ "role": "admin" })).await.ok();
    post(made["token"].as_str().unwrap(), projects, json!({}))
        .await
        .ok();
    let again = post(
        desk.token(),
        "/binauthz/v1/tokens?tokenId=more",
        json!({ "role": "admin" }),
    )
    .await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    let file = std::fs::read_to_string(desk.folder().join("admin.token")).unwrap();
    assert!(file.starts_with("# used up"), "{file}");
}

#[tokio::test]
async fn the_first_token_is_good_for_one_call() {
    let desk = Desk::configured("bootstrapToken: once\n").await;
    desk.get(POLICY)
        .await
        .refused("PERMISSION_DENIED", "`bootstrap` lacks the permission");
    let tokens = "/binauthz/v1/tokens?tokenId=root";
    for body in [
        json!({}),
        json!({ "role": "viewer" }),
        json!({ "role": "admin", "projects": ["p"] }),
    ] {
        desk.post(tokens, body)
            .await
            .refused("INVALID_ARGUMENT", "must be an administrator's");
    }
    let (one, two) = tokio::join!(
        desk.post(tokens, json!({ "role": "admin" })),
        desk.post("/binauthz/v1/tokens?tokenId=second", json!({ "role": "admin" })),
    );
    let made: Vec<_> = [one, two]
        .into_iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .collect();
    assert_eq!(made.len(), 1);
    let root = made[0].body["token"].as_str().unwrap().to_owned();
    assert_eq!(desk.get(POLICY).await.status, StatusCode::UNAUTHORIZED);
    answer(desk.request_as(&root, Method::GET, POLICY)).await.ok();
    let left = std::fs::read_to_string(desk.folder().join("admin.token")).unwrap();
    assert!(left.starts_with("# used up"), "{left}");
    // Nor after a restart, whatever is in the file.
    let folder = desk.stop().await;
    let flags = Flags {
        config: Some(folder.path().join("binauthz.yaml")),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    assert_eq!(desk.get(POLICY).await.status, StatusCode::UNAUTHORIZED);
    answer(desk.request_as(&root, Method::GET, POLICY)).await.ok();
}
