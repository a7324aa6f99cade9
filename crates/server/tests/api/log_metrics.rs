//! Log-based metrics.

use serde_json::{Value, json};

use crate::support::Desk;

const METRICS: &str = "/v2/projects/p/metrics";

fn metric(name: &str) -> Value {
    json!({"name": name, "description": "d", "filter": "severity>=ERROR"})
}

#[tokio::test]
async fn a_metric_is_made_changed_and_deleted() {
    let desk = Desk::new().await;
    let made = desk.post(METRICS, metric("blocked")).await.ok();
    assert_eq!(made["name"], "blocked");
    assert_eq!(
        made["metricDescriptor"]["type"],
        "logging.googleapis.com/user/blocked"
    );
    assert_eq!(made["createTime"], made["updateTime"]);
    let address = format!("{METRICS}/blocked");
    assert_eq!(desk.get(&address).await.ok(), made);
    assert_eq!(desk.get(METRICS).await.ok(), json!({"metrics": [made]}));
    desk.post(METRICS, metric("blocked"))
        .await
        .refused("ALREADY_EXISTS", "blocked");
    // What was read can be written back, with what only the server says.
    let mut changed = made.clone();
    changed["filter"] = "severity=WARNING".into();
    let changed = desk.put(&address, changed).await.ok();
    assert_eq!(changed["filter"], "severity=WARNING");
    assert_eq!(changed["createTime"], made["createTime"]);
    assert_eq!(desk.get(&address).await.ok()["filter"], "severity=WARNING");
    assert_eq!(desk.get("/v2/projects/other/metrics").await.ok(), json!({}));
    assert_eq!(desk.delete(&address).await.ok(), json!({}));
    desk.get(&address).await.refused("NOT_FOUND", "blocked");
    desk.delete(&address).await.refused("NOT_FOUND", "blocked");
    // An update of what is not there makes it.
    assert_eq!(
        desk.put(&address, metric("blocked")).await.ok()["name"],
        "blocked"
    );
}

#[tokio::test]
async fn a_name_may_have_slashes() {
    let desk = Desk::new().await;
    let made = desk.post(METRICS, metric("foo/bar")).await.ok();
    assert_eq!(made["resourceName"], "projects/p/metrics/foo%2Fbar");
    for id in ["foo%252Fbar", "foo%2Fbar"] {
        assert_eq!(
            desk.get(&format!("{METRICS}/{id}")).await.ok()["name"],
            "foo/bar",
            "{id}"
        );
    }
    desk.delete(&format!("{METRICS}/foo%252Fbar")).await.ok();
    assert_eq!(desk.get(METRICS).await.ok(), json!({}));
}

#[tokio::test]
async fn what_could_never_count_is_refused() {
    let desk = Desk::new().await;
    let with = |field: &str, value: Value| {
        let mut metric = metric("m");
        metric[field] = value;
        metric
    };
    let table = [
        (with("filter", "severity>=EROR".into()), "column 11"),
        (with("filter", "".into()), "filter"),
        (with("name", "a b".into()), "name"),
        (
            with("valueExtractor", "EXTRACT(jsonPayload.n".into()),
            "valueExtractor",
        ),
        (with("unknown", "x".into()), "unknown"),
    ];
    for (metric, message) in table {
        desk.post(METRICS, metric)
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    desk.put(&format!("{METRICS}/other"), metric("m"))
        .await
        .refused("INVALID_ARGUMENT", "`other`");
    assert_eq!(desk.get(METRICS).await.ok(), json!({}));
}

#[tokio::test]
async fn a_project_has_a_hundred_at_most() {
    let desk = Desk::new().await;
    for number in 0..100 {
        desk.post(METRICS, metric(&format!("m{number}"))).await.ok();
    }
    desk.post(METRICS, metric("more"))
        .await
        .refused("FAILED_PRECONDITION", "100");
    desk.put(&format!("{METRICS}/more"), metric("more"))
        .await
        .refused("FAILED_PRECONDITION", "100");
    desk.put(&format!("{METRICS}/m7"), metric("m7")).await.ok();
    desk.post("/v2/projects/q/metrics", metric("more")).await.ok();
    assert_eq!(desk.pages(METRICS, "metrics", 30).await.len(), 100);
}
