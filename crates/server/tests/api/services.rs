//! `/v1/projects/P/services`, as `gcloud services` uses it.

use serde_json::{Value, json};

use crate::support::Desk;

const SERVICES: &str = "/v1/projects/demo/services";

fn path(service: &str) -> String {
    format!("{SERVICES}/{service}.googleapis.com")
}

async fn state(desk: &Desk, service: &str) -> Value {
    desk.get(&path(service)).await.ok()["state"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    list["services"]
        .as_array()
        .map(|services| {
            services
                .iter()
                .map(|service| service["config"]["name"].as_str().unwrap())
                .collect()
        })
        .unwrap_or_default()
}

#[tokio::test]
async fn what_is_served_is_enabled_until_it_is_disabled() {
    let desk = Desk::new().await;
    assert_eq!(state(&desk, "container").await, "ENABLED");
    assert_eq!(state(&desk, "compute").await, "DISABLED");

    let operation = desk
        .post(&format!("{}:enable", path("compute")), json!({}))
        .await
        .ok();
    assert_eq!(operation["done"], true);
    assert_eq!(
        operation["response"]["@type"],
        "type.googleapis.com/google.api.serviceusage.v1.EnableServiceResponse"
    );
    assert_eq!(
        operation["response"]["service"],
        desk.get(&path("compute")).await.ok()
    );
    assert_eq!(state(&desk, "compute").await, "ENABLED");
    let name = operation["name"].as_str().unwrap();
    assert_eq!(desk.get(&format!("/v1/{name}")).await.ok(), operation);
    desk.get("/v1/operations/acat.p2-1-2")
        .await
        .refused("NOT_FOUND", "acat.p2-1-2");

    let body = json!({ "checkIfServiceHasUsage": "SKIP", "disableDependentServices": true });
    desk.post(&format!("{}:disable", path("container")), body)
        .await
        .ok();
    assert_eq!(state(&desk, "container").await, "DISABLED");
    // The Python clients write numbers.
    desk.post(
        &format!("{}:disable", path("compute")),
        json!({ "checkIfServiceHasUsage": 1 }),
    )
    .await
    .ok();
    assert_eq!(state(&desk, "compute").await, "DISABLED");
    desk.post(
        &format!("{}:disable", path("cloudkms")),
        json!({ "checkIfServiceHasUsage": "OFTEN" }),
    )
    .await
    .refused("INVALID_ARGUMENT", "checkIfServiceHasUsage");
    assert_eq!(state(&desk, "cloudkms").await, "ENABLED");
    assert_eq!(
        desk.get("/v1/projects/other/services/container.googleapis.com")
            .await
            .ok()["state"],
        "ENABLED"
    );
}

#[tokio::test]
async fn several_are_enabled_at_once_or_none() {
    let desk = Desk::new().await;
    let batch = format!("{SERVICES}:batchEnable");
    let ids = json!({ "serviceIds": ["compute.googleapis.com", "dns.googleapis.com"] });
    let operation = desk.post(&batch, ids).await.ok();
    assert_eq!(operation["response"]["services"].as_array().unwrap().len(), 2);
    assert_eq!(state(&desk, "dns").await, "ENABLED");
    let ids = json!({ "serviceIds": ["iam.googleapis.com", "nonsense"] });
    desk.post(&batch, ids)
        .await
        .refused("INVALID_ARGUMENT", "`nonsense` is not the name of a service");
    assert_eq!(state(&desk, "iam").await, "DISABLED");
    desk.post(&batch, json!({}))
        .await
        .refused("INVALID_ARGUMENT", "serviceIds");
    desk.post(&format!("{}:enable", path("a b")), json!({}))
        .await
        .refused("INVALID_ARGUMENT", "name of a service");
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let desk = Desk::new().await;
    desk.post(&format!("{}:disable", path("cloudkms")), json!({}))
        .await
        .ok();
    let enabled = desk
        .get(&format!("{SERVICES}?filter=state:ENABLED&pageSize=200"))
        .await
        .ok();
    assert!(names(&enabled).contains(&"container.googleapis.com"));
    assert!(!names(&enabled).contains(&"cloudkms.googleapis.com"));
    let disabled = desk.get(&format!("{SERVICES}?filter=state:DISABLED")).await.ok();
    assert_eq!(names(&disabled), ["cloudkms.googleapis.com"]);
    desk.get(&format!("{SERVICES}?filter=name:x"))
        .await
        .refused("INVALID_ARGUMENT", "state:ENABLED");

    let all = desk.get(SERVICES).await.ok();
    let mut paged: Vec<String> = Vec::new();
    let mut token = String::new();
    loop {
        let page = desk
            .get(&format!("{SERVICES}?pageSize=3&pageToken={token}"))
            .await
            .ok();
        paged.extend(names(&page).into_iter().map(str::to_owned));
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, names(&all));
}
