//! Cloud Monitoring's alert policies and notification channels.

use serde_json::{Value, json};

use crate::support::Desk;

const POLICIES: &str = "/v3/projects/p/alertPolicies";
const CHANNELS: &str = "/v3/projects/p/notificationChannels";
const METRIC: &str = "metric.type=\"logging.googleapis.com/user/binauthz-blocked-deployments\"";

/// As the tutorial's command sends it.
fn policy(name: &str) -> Value {
    json!({
        "displayName": name,
        "conditions": [{
            "displayName": "Unsigned image deployment attempted",
            "conditionThreshold": {
                "comparison": "COMPARISON_GT", "duration": "0s", "filter": METRIC, "thresholdValue": 0.0,
            },
        }],
    })
}

fn webhook() -> Value {
    json!({
        "type": "webhook_basicauth", "displayName": "hook",
        "labels": {"url": "https://hooks.test/a", "username": "u", "password": "hush-hush"},
    })
}

/// A desk without the policies that every project has from the start.
async fn bare_desk() -> Desk {
    let desk = Desk::new().await;
    for id in [
        "binauthz-break-glass",
        "binauthz-blocked-deployments",
        "binauthz-guard",
    ] {
        desk.delete(&format!("{POLICIES}/{id}")).await.ok();
    }
    desk
}

async fn created(desk: &Desk, path: &str, body: Value) -> Value {
    desk.post(path, body).await.ok()
}

fn path_of(resource: &Value) -> String {
    format!("/v3/{}", resource["name"].as_str().unwrap())
}

fn shown_names(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["displayName"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_policy_is_made_read_changed_and_deleted() {
    let desk = bare_desk().await;
    let made = created(&desk, POLICIES, policy("Blocked")).await;
    let name = made["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("projects/p/alertPolicies/"), "{name}");
    assert_eq!(made["combiner"], "OR");
    assert_eq!(made["enabled"], true);
    assert_eq!(made["conditions"][0]["name"], format!("{name}/conditions/1"));
    // gcloud's `conditions update` does not live without it.
    assert_eq!(made["conditions"][0]["conditionThreshold"]["trigger"]["count"], 1);
    assert_eq!(made["creationRecord"]["mutatedBy"], "admin");
    let path = path_of(&made);
    assert_eq!(desk.get(&path).await.ok(), made);

    let update = json!({ "displayName": "New", "enabled": false, "conditions": made["conditions"] });
    let updated = desk
        .patch(&format!("{path}?updateMask=display_name"), update.clone())
        .await
        .ok();
    assert_eq!(
        (&updated["displayName"], &updated["enabled"]),
        (&json!("New"), &json!(true))
    );
    assert_eq!(updated["creationRecord"], made["creationRecord"]);
    let updated = desk.patch(&path, update).await.ok();
    assert_eq!(updated["enabled"], false);
    assert_eq!(updated["conditions"], made["conditions"]);
    assert_eq!(desk.get(&path).await.ok(), updated);
    let rows = desk.audit(1).await;
    assert_eq!(rows[0]["method"], "monitoring.UpdateAlertPolicy");
    assert_eq!(rows[0]["resource"], name);

    desk.delete(&path).await.ok();
    desk.get(&path).await.refused("NOT_FOUND", "was not found");
    desk.delete(&path).await.refused("NOT_FOUND", "was not found");
    desk.patch(&path, json!({}))
        .await
        .refused("NOT_FOUND", "was not found");
    assert_eq!(desk.get(POLICIES).await.ok(), json!({}));
}

#[tokio::test]
async fn policies_that_are_refused() {
    let desk = Desk::new().await;
    let with = |member: &str, value: Value| {
        let mut policy = policy("x");
        policy[member] = value;
        policy
    };
    for (body, message) in [
        (
            json!({ "displayName": "x" }),
            "`conditions`: expected at least one condition",
        ),
        (with("frob", json!(1)), "`frob` is not a known field"),
        (
            with(
                "notificationChannels",
                json!(["projects/q/notificationChannels/1"]),
            ),
            "expected `projects/p/",
        ),
        (
            with("notificationChannels", json!(["YOUR_NOTIFICATION_CHANNEL"])),
            "`notificationChannels[0]`: expected",
        ),
    ] {
        desk.post(POLICIES, body)
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    let absent = with(
        "notificationChannels",
        json!(["projects/p/notificationChannels/1"]),
    );
    desk.post(POLICIES, absent)
        .await
        .refused("INVALID_ARGUMENT", "create it first");
}

#[tokio::test]
async fn updates_that_are_refused() {
    let desk = Desk::new().await;
    let mut absent = policy("x");
    absent["notificationChannels"] = json!(["projects/p/notificationChannels/1"]);
    let path = path_of(&created(&desk, POLICIES, policy("x")).await);
    for (mask, body, status, message) in [
        (
            "",
            json!({}),
            "INVALID_ARGUMENT",
            "`conditions`: expected at least one",
        ),
        (
            "frob",
            policy("x"),
            "INVALID_ARGUMENT",
            "`frob` cannot be updated",
        ),
        (
            "conditions.name",
            policy("x"),
            "INVALID_ARGUMENT",
            "cannot be updated alone",
        ),
        (
            "notification_channels",
            absent,
            "INVALID_ARGUMENT",
            "create it first",
        ),
    ] {
        desk.patch(&format!("{path}?updateMask={mask}"), body)
            .await
            .refused(status, message);
    }
    desk.get(&format!("{POLICIES}/a%20b"))
        .await
        .refused("INVALID_ARGUMENT", "is not an id");
    desk.get(&format!("{POLICIES}/7"))
        .await
        .refused("NOT_FOUND", "was not found");
}

#[tokio::test]
async fn a_part_of_the_documentation_is_updated_alone() {
    let desk = Desk::new().await;
    let mut body = policy("x");
    body["documentation"] = json!({ "content": "one", "subject": "s" });
    let path = path_of(&created(&desk, POLICIES, body.clone()).await);
    body["documentation"] = json!({ "content": "two", "mimeType": "text/markdown" });
    let mask = "documentation.content,documentation.mime_type";
    let updated = desk
        .patch(&format!("{path}?updateMask={mask}"), body.clone())
        .await
        .ok();
    assert_eq!(
        (
            &updated["documentation"]["content"],
            &updated["documentation"]["subject"]
        ),
        (&json!("two"), &json!("s"))
    );
    let updated = desk
        .patch(&format!("{path}?updateMask=documentation"), body)
        .await
        .ok();
    assert_eq!(
        updated["documentation"],
        json!({ "content": "two", "mimeType": "text/markdown" })
    );
}

#[tokio::test]
async fn policies_are_listed_sorted_and_filtered() {
    let desk = bare_desk().await;
    for name in ["b", "c", "a", "b"] {
        created(&desk, POLICIES, policy(name)).await;
    }
    created(&desk, "/v3/projects/q/alertPolicies", policy("other")).await;
    let all = desk.get(POLICIES).await.ok();
    assert_eq!(all["totalSize"], 4);
    assert_eq!(
        shown_names(all["alertPolicies"].as_array().unwrap()),
        ["b", "c", "a", "b"]
    );
    for (query, expected) in [
        ("orderBy=display_name", vec!["a", "b", "b", "c"]),
        ("orderBy=displayName%20desc", vec!["c", "b", "b", "a"]),
        ("orderBy=-display_name", vec!["c", "b", "b", "a"]),
        ("filter=display_name%3D%22b%22", vec!["b", "b"]),
        (
            "filter=displayName!%3D%22b%22&orderBy=displayName",
            vec!["a", "c"],
        ),
        ("filter=enabled%3Dfalse", vec![]),
    ] {
        for size in [1, 2, 10] {
            let found = desk
                .pages(&format!("{POLICIES}?{query}"), "alertPolicies", size)
                .await;
            assert_eq!(shown_names(&found), expected, "{query} by {size}");
        }
    }
    for (query, message) in [
        ("orderBy=frob", "`orderBy`"),
        ("filter=frob%3D1", "`frob` is not a field"),
        ("pageToken=x", "`pageToken`"),
        ("pageSize=-1", "pageSize"),
    ] {
        desk.get(&format!("{POLICIES}?{query}"))
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    let token = desk.get(&format!("{POLICIES}?pageSize=1")).await.ok()["nextPageToken"].clone();
    desk.get(&format!(
        "{POLICIES}?orderBy=displayName&pageToken={}",
        token.as_str().unwrap()
    ))
    .await
    .refused("INVALID_ARGUMENT", "pageToken");
}

#[tokio::test]
async fn a_channel_keeps_its_secret_to_itself() {
    let desk = Desk::new().await;
    let made = created(&desk, CHANNELS, webhook()).await;
    assert_eq!(made["labels"]["password"], "****");
    assert_eq!(made["labels"]["username"], "u");
    assert_eq!(made["enabled"], true);
    let path = path_of(&made);
    assert_eq!(desk.get(&path).await.ok(), made);
    // As gcloud does it: what was read goes back.
    let mut body = made.clone();
    body["displayName"] = "renamed".into();
    let updated = desk
        .patch(&format!("{path}?updateMask=display_name,labels"), body)
        .await
        .ok();
    assert_eq!(updated["displayName"], "renamed");
    assert_eq!(updated["labels"], made["labels"]);
    assert_eq!(updated["mutationRecords"].as_array().unwrap().len(), 1);
    let changed =
        json!({ "labels": {"url": "https://hooks.test/b", "username": "u", "password": "other-hush"} });
    let updated = desk
        .patch(&format!("{path}?updateMask=labels"), changed)
        .await
        .ok();
    assert_eq!(updated["labels"]["password"], "****");
    // It goes to no other receiver than the one it was given for.
    let elsewhere =
        json!({ "labels": {"url": "https://elsewhere.test/b", "username": "u", "password": "****"} });
    desk.patch(&format!("{path}?updateMask=labels"), elsewhere)
        .await
        .refused("INVALID_ARGUMENT", "expected the secret itself");
    let audit = Value::from(desk.audit(10).await).to_string();
    let folder = desk.stop().await;
    for secret in ["hush-hush", "other-hush"] {
        assert!(!audit.contains(secret), "{audit}");
        for file in ["binauthz.db", "binauthz.db-wal"] {
            let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {file}");
        }
    }
}

#[tokio::test]
async fn a_webhook_without_a_secret_is_given_one() {
    let desk = Desk::new().await;
    let body = json!({ "type": "webhook_tokenauth", "labels": {"url": "https://hooks.test/a"} });
    let made = created(&desk, CHANNELS, body.clone()).await;
    let secret = made["labels"]["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 64);
    let again = created(&desk, CHANNELS, body).await;
    assert_ne!(again["labels"]["secret"], made["labels"]["secret"]);
    assert_eq!(desk.get(&path_of(&made)).await.ok()["labels"]["secret"], "****");
    let given =
        json!({ "type": "webhook_tokenauth", "labels": {"url": "https://hooks.test/a", "secret": "mine"} });
    assert_eq!(created(&desk, CHANNELS, given).await["labels"]["secret"], "****");
}

#[tokio::test]
async fn channels_that_are_refused() {
    let desk = Desk::with_mail().await;
    for (body, message) in [
        (
            json!({ "type": "pubsub", "labels": {"topic": "t"} }),
            "`type`: expected a kind of channel",
        ),
        (
            json!({ "type": "email" }),
            "`labels[\"email_address\"]` is required",
        ),
        (
            json!({ "type": "pagerduty", "labels": {"service_key": "****"} }),
            "expected the secret itself",
        ),
        (
            json!({ "type": "webhook_tokenauth", "labels": {"url": "ftp://a"} }),
            "expected a URL",
        ),
    ] {
        desk.post(CHANNELS, body)
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    let path = path_of(&created(&desk, CHANNELS, webhook()).await);
    // The secret of one kind is none of another.
    let other = json!({ "type": "pagerduty", "labels": {"service_key": "****"} });
    desk.patch(&path, other)
        .await
        .refused("INVALID_ARGUMENT", "expected the secret itself");
    desk.patch(&format!("{path}?updateMask=labels.url"), webhook())
        .await
        .refused("INVALID_ARGUMENT", "cannot be updated alone");
    let email = json!({ "type": "email", "labels": {"email_address": "a@example.com"} });
    assert_eq!(desk.patch(&path, email).await.ok()["type"], "email");
    desk.patch(&path, webhook()).await.ok();
}

#[tokio::test]
async fn channels_are_listed_as_gcloud_asks() {
    let desk = Desk::with_mail().await;
    created(&desk, CHANNELS, webhook()).await;
    for name in ["x", "a"] {
        let body =
            json!({ "type": "email", "displayName": name, "labels": {"email_address": "a@example.com"} });
        created(&desk, CHANNELS, body).await;
    }
    for (query, expected) in [
        ("", vec!["hook", "x", "a"]),
        ("filter=type%3D%22email%22", vec!["x", "a"]),
        (
            "filter=type%3D%22email%22%20AND%20(displayName%3D%22x%22)&orderBy=display_name",
            vec!["x"],
        ),
        ("orderBy=type%20desc,display_name", vec!["hook", "a", "x"]),
    ] {
        let found = desk
            .pages(&format!("{CHANNELS}?{query}"), "notificationChannels", 2)
            .await;
        assert_eq!(shown_names(&found), expected, "{query}");
    }
}

#[tokio::test]
async fn a_channel_that_a_policy_tells_is_deleted_only_by_force() {
    let desk = Desk::new().await;
    let channel = created(&desk, CHANNELS, webhook()).await;
    let mut body = policy("x");
    body["notificationChannels"] = json!([channel["name"]]);
    let told = created(&desk, POLICIES, body).await;
    let path = path_of(&channel);
    desk.delete(&path)
        .await
        .refused("FAILED_PRECONDITION", "is told by `projects/p/alertPolicies/");
    desk.get(&path).await.ok();
    desk.delete(&format!("{path}?force=True")).await.ok();
    desk.get(&path).await.refused("NOT_FOUND", "was not found");
    let left = desk.get(&path_of(&told)).await.ok();
    assert!(left.get("notificationChannels").is_none(), "{left}");
    assert_eq!(left["conditions"], told["conditions"]);
    // Nobody tells this one.
    let path = path_of(&created(&desk, CHANNELS, webhook()).await);
    desk.delete(&path).await.ok();
}

#[tokio::test]
async fn kinds_and_snoozes_are_listed() {
    let desk = Desk::new().await;
    const KINDS: &str = "/v3/projects/p/notificationChannelDescriptors";
    let kinds = desk.pages(KINDS, "channelDescriptors", 2).await;
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "email",
            "pagerduty",
            "slack",
            "webhook_basicauth",
            "webhook_tokenauth"
        ]
    );
    let email = desk.get(&format!("{KINDS}/email")).await.ok();
    assert_eq!(email["labels"][0]["key"], "email_address");
    desk.get(&format!("{KINDS}/pubsub"))
        .await
        .refused("NOT_FOUND", "is not a kind of channel");
    assert_eq!(desk.get("/v3/projects/p/snoozes").await.ok(), json!({}));
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let desk = Desk::new().await;
    let token = desk.viewer().await;
    let made = created(&desk, CHANNELS, webhook()).await;
    let read = desk.request_as(&token, reqwest::Method::GET, &path_of(&made));
    assert_eq!(
        crate::support::answer(read).await.ok()["labels"]["password"],
        "****"
    );
    for (method, path) in [
        (reqwest::Method::POST, POLICIES.to_owned()),
        (reqwest::Method::DELETE, path_of(&made)),
    ] {
        let refused = crate::support::answer(desk.request_as(&token, method, &path).json(&policy("x"))).await;
        refused.refused("PERMISSION_DENIED", "lacks the permission `monitoring.");
    }
}
