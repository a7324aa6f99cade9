//! API tokens, and the audit log of their making.

use reqwest::Method;
use serde_json::{Value, json};

use crate::court::Court;
use crate::support::{Desk, answer};

const TOKENS: &str = "/binauthz/v1/tokens";
const POLICY: &str = "/v1/projects/p/policy";

#[tokio::test]
async fn a_token_opens_until_it_is_revoked() {
    let desk = Desk::new().await;
    let body = json!({ "role": "admin", "ttl": "3600s", "description": "for the pipeline" });
    let made = desk.post(&format!("{TOKENS}?tokenId=pipeline"), body).await.ok();
    assert_eq!(made["principal"], "token:pipeline");
    let token = made["token"].as_str().unwrap();
    let ask = |path: &str| desk.request_as(token, Method::GET, path);
    answer(ask(POLICY)).await.ok();
    let listed = answer(ask(TOKENS)).await.ok();
    assert_eq!(listed["tokens"][0]["description"], "for the pipeline");
    assert_eq!(listed["tokens"][0]["token"], Value::Null, "it is shown once");
    assert!(
        !desk
            .audit(10)
            .await
            .iter()
            .any(|row| row.to_string().contains(token))
    );
    desk.post(&format!("{TOKENS}?tokenId=pipeline"), json!({}))
        .await
        .refused("ALREADY_EXISTS", "pipeline");
    desk.delete(&format!("{TOKENS}/pipeline")).await.ok();
    assert_eq!(answer(ask(POLICY)).await.status, 401);
    assert_eq!(desk.audit(1).await[0]["method"], "binauthz.RevokeToken");
    for (path, body, expected) in [
        (
            "?tokenId=x",
            json!({ "role": "root" }),
            "`admin`, `viewer` or `member`",
        ),
        ("?tokenId=x", json!({ "ttl": "0s" }), "`ttl`"),
        ("?tokenId=X", json!({}), "is not a token id"),
        ("", json!({}), "tokenId"),
    ] {
        desk.post(&format!("{TOKENS}{path}"), body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    desk.delete(&format!("{TOKENS}/nobody"))
        .await
        .refused("NOT_FOUND", "nobody");
}

#[tokio::test]
async fn the_logs_are_read_page_by_page() {
    let court = Court::new().await;
    for _ in 0..3 {
        court.pod(&[&court.unsigned()]).await.denial();
    }
    let desk = &court.desk;
    let decisions = "/binauthz/v1/projects/p/decisions";
    assert_eq!(desk.pages(decisions, "decisions", 2).await.len(), 3);
    let all = desk.audit(100).await;
    let paged = desk.pages("/binauthz/v1/audit", "entries", 2).await;
    assert!(all.len() > 3 && paged == all);
    for path in [decisions, "/binauthz/v1/audit"] {
        desk.get(&format!("{path}?pageToken=nonsense"))
            .await
            .refused("INVALID_ARGUMENT", "pageToken");
    }
}
