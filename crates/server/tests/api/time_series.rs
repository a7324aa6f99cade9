//! Log-based metrics that count, read as time series.

use std::time::Duration;

use serde_json::{Value, json};

use crate::court::{Court, created, pod, require_attestation};
use crate::support::{Desk, flags};

const BLOCKED: &str = "logging.googleapis.com/user/blocked";
/// Far more than the job waits on a busy machine.
const PATIENCE: u32 = 600;

fn percent(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// The address of a metric's series from an hour ago on.
fn series(metric: &str, more: &str) -> String {
    let now = jiff::Timestamp::now();
    let (start, end) = (now - Duration::from_secs(3_600), now + Duration::from_secs(60));
    format!(
        "/v3/projects/p/timeSeries?filter={}&interval.startTime={start}&interval.endTime={end}{more}",
        percent(&format!("metric.type=\"{metric}\"")),
    )
}

/// The sum of all points of all series.
fn total(answer: &Value) -> i64 {
    let all = answer["timeSeries"].as_array().into_iter().flatten();
    let points = all.flat_map(|one| one["points"].as_array().into_iter().flatten());
    points
        .map(|point| {
            point["value"]["int64Value"]
                .as_str()
                .unwrap()
                .parse::<i64>()
                .unwrap()
        })
        .sum()
}

/// Asks until so many entries were counted, and once more to see that there are no more of them.
async fn counted(desk: &Desk, metric: &str, expected: i64) -> Value {
    for _ in 0..PATIENCE {
        if total(&desk.get(&series(metric, "")).await.ok()) >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = desk.get(&series(metric, "")).await.ok();
    assert_eq!(total(&answer), expected, "{answer:#}");
    answer
}

async fn define(desk: &Desk, metric: Value) {
    desk.post("/v2/projects/p/metrics", metric).await.ok();
}

fn blocked() -> Value {
    json!({
        "name": "blocked",
        "filter": "resource.type=\"k8s_cluster\" protoPayload.response.status.message:\"denied by attestor\"",
    })
}

async fn write(desk: &Desk, sizes: &[Value]) {
    let entries: Vec<Value> = sizes
        .iter()
        .map(|size| json!({ "jsonPayload": { "size": size, "user": "u" } }))
        .collect();
    let body = json!({
        "logName": "projects/p/logs/app",
        "resource": { "type": "global", "labels": { "project_id": "p" } },
        "entries": entries,
    });
    desk.post("/v2/entries:write", body).await.ok();
}

#[tokio::test]
async fn refused_deployments_are_counted() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    court.pod(&[&unsigned]).await.denial();
    define(&court.desk, blocked()).await;
    for _ in 0..3 {
        court.pod(&[&unsigned]).await.denial();
        court.pod(&[&signed]).await.admitted();
    }
    // What was refused before the metric was made is not counted.
    let answer = counted(&court.desk, BLOCKED, 3).await;
    let only = &answer["timeSeries"][0];
    assert_eq!(only["metric"], json!({ "type": BLOCKED }));
    assert_eq!(
        only["resource"],
        json!({ "type": "k8s_cluster", "labels": { "project_id": "p", "location": "us-central1-a", "cluster_name": "c" } })
    );
    assert_eq!(
        (&only["metricKind"], &only["valueType"]),
        (&json!("DELTA"), &json!("INT64"))
    );
    assert_eq!(answer["unit"], "1");
    // The other metrics of before go on while one is changed, deleted and made anew.
    define(
        &court.desk,
        json!({ "name": "all", "filter": "resource.type=k8s_cluster" }),
    )
    .await;
    court.pod(&[&unsigned]).await.denial();
    counted(&court.desk, BLOCKED, 4).await;
    counted(&court.desk, "logging.googleapis.com/user/all", 1).await;
    court.desk.delete("/v2/projects/p/metrics/blocked").await.ok();
    court
        .desk
        .get(&series(BLOCKED, ""))
        .await
        .refused("NOT_FOUND", BLOCKED);
    define(&court.desk, blocked()).await;
    counted(&court.desk, BLOCKED, 0).await;
    court.pod(&[&unsigned]).await.denial();
    counted(&court.desk, BLOCKED, 1).await;
    let (_, text) = court.desk.health("/metrics").await;
    for line in [
        "binauthz_log_metric_total{project=\"p\",metric=\"all\"} 2\n",
        "binauthz_log_metric_total{project=\"p\",metric=\"blocked\"} 1\n",
        "binauthz_decision_phase_seconds_count{phase=\"judge\"} 9\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn counts_outlive_the_server_and_miss_nothing_of_meanwhile() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    define(&court.desk, blocked()).await;
    court.pod(&[&unsigned]).await.denial();
    counted(&court.desk, BLOCKED, 1).await;
    court.pod(&[&unsigned]).await.denial();
    // It may stop before this one was counted.
    let folder = court.desk.stop().await;
    let again = flags(folder.path());
    let desk = Desk::with(folder, again).await;
    counted(&desk, BLOCKED, 2).await;
    let court = Court::on_again(desk);
    court.pod(&[&unsigned]).await.denial();
    counted(&court.desk, BLOCKED, 3).await;
}

#[tokio::test]
async fn series_are_aligned_reduced_and_paged() {
    let desk = Desk::new().await;
    let metric = "logging.googleapis.com/user/lines";
    let labelled = json!({
        "name": "lines", "filter": "logName:app",
        "labelExtractors": { "size": "EXTRACT(jsonPayload.size)" },
    });
    define(&desk, labelled).await;
    write(&desk, &[json!("a"), json!("a"), json!("b"), json!("c")]).await;
    let all = counted(&desk, metric, 4).await;
    let labels: Vec<&Value> = all["timeSeries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["metric"]["labels"]["size"])
        .collect();
    assert_eq!(labels, ["a", "b", "c"]);
    let aligned = |more: &str| series(metric, &format!("&aggregation.alignmentPeriod=7200s{more}"));
    let one = desk
        .get(&aligned(
            "&aggregation.perSeriesAligner=ALIGN_SUM&aggregation.crossSeriesReducer=REDUCE_SUM",
        ))
        .await
        .ok();
    assert_eq!(one["timeSeries"].as_array().unwrap().len(), 1, "{one:#}");
    assert_eq!(
        one["timeSeries"][0]["points"][0]["value"],
        json!({ "int64Value": "4" })
    );
    let rate = desk
        .get(&aligned(
            "&aggregation.perSeriesAligner=ALIGN_RATE&aggregation.crossSeriesReducer=REDUCE_MAX\
             &aggregation.groupByFields=metric.labels.size",
        ))
        .await
        .ok();
    assert_eq!(rate["timeSeries"].as_array().unwrap().len(), 3);
    assert_eq!(
        rate["timeSeries"][0]["points"][0]["value"],
        json!({ "doubleValue": 2.0 / 7200.0 })
    );
    let headers = desk.get(&series(metric, "&view=HEADERS")).await.ok();
    assert_eq!(headers["timeSeries"].as_array().unwrap().len(), 3);
    assert!(headers["timeSeries"][0].get("points").is_none());
    // The times are part of what a token is good for.
    let address = series(metric, "&pageSize=1");
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = desk.get(&format!("{address}&pageToken={token}")).await.ok();
        found.extend(page["timeSeries"].as_array().cloned().unwrap_or_default());
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    let narrow = series(metric, "").replace(
        &percent(&format!("metric.type=\"{metric}\"")),
        &percent(&format!("metric.type=\"{metric}\" AND metric.labels.size=\"b\"")),
    );
    assert_eq!(total(&desk.get(&narrow).await.ok()), 1);
    let none = series(metric, "").replace("interval.startTime=2", "interval.startTime=1");
    let past = none.replace("interval.endTime=2", "interval.endTime=1");
    assert_eq!(desk.get(&past).await.ok(), json!({ "unit": "1" }));
}

#[tokio::test]
async fn numbers_become_distributions() {
    let desk = Desk::new().await;
    let metric = "logging.googleapis.com/user/sizes";
    let sizes = json!({
        "name": "sizes", "filter": "logName:app", "valueExtractor": "EXTRACT(jsonPayload.size)",
        "bucketOptions": { "linearBuckets": { "numFiniteBuckets": 10, "width": 10, "offset": 0 } },
        "metricDescriptor": { "metricKind": "DELTA", "valueType": "DISTRIBUTION", "unit": "By" },
    });
    define(&desk, sizes.clone()).await;
    write(
        &desk,
        &[json!(5), json!(15), json!("25"), json!("no number"), json!(1e6)],
    )
    .await;
    let mut answer = Value::Null;
    for _ in 0..PATIENCE {
        answer = desk.get(&series(metric, "")).await.ok();
        if answer.get("timeSeries").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let value = &answer["timeSeries"][0]["points"][0]["value"]["distributionValue"];
    assert_eq!(value["count"], "4", "{answer:#}");
    assert_eq!(answer["unit"], "By");
    assert_eq!(value["mean"], json!(1_000_045.0 / 4.0));
    let counts: Vec<&str> = value["bucketCounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_str().unwrap())
        .collect();
    assert_eq!(
        counts,
        ["0", "1", "1", "1", "0", "0", "0", "0", "0", "0", "0", "1"]
    );
    let aligned = |aligner: &str| {
        series(
            metric,
            &format!("&aggregation.alignmentPeriod=7200s&aggregation.perSeriesAligner={aligner}"),
        )
    };
    let middle = desk.get(&aligned("ALIGN_PERCENTILE_50")).await.ok();
    assert_eq!(
        middle["timeSeries"][0]["points"][0]["value"],
        json!({ "doubleValue": 20.0 }),
        "{middle:#}"
    );
    desk.get(&aligned("ALIGN_RATE"))
        .await
        .refused("INVALID_ARGUMENT", "aggregation.perSeriesAligner");
    // It stays what it is.
    let mut count = sizes;
    for field in ["valueExtractor", "bucketOptions", "metricDescriptor"] {
        count.as_object_mut().unwrap().remove(field);
    }
    desk.put("/v2/projects/p/metrics/sizes", count)
        .await
        .refused("INVALID_ARGUMENT", "valueExtractor");
}

#[tokio::test]
async fn questions_that_cannot_be_answered_are_refused() {
    let desk = Desk::new().await;
    define(&desk, blocked()).await;
    let good = series(BLOCKED, "");
    desk.get(&good).await.ok();
    for (address, message) in [
        ("/v3/projects/p/timeSeries".to_owned(), "`filter`"),
        (good.replace("interval.endTime", "interval.end"), "`interval.end"),
        (
            good.replace("interval.endTime=2", "interval.endTime=x2"),
            "`interval.endTime`",
        ),
        (format!("{good}&filter=x"), "`filter`"),
        (format!("{good}&orderBy=x"), "`orderBy`"),
        (format!("{good}&aggregation.frob=1"), "`aggregation.frob`"),
        (
            format!("{good}&aggregation.perSeriesAligner=UP"),
            "`aggregation.perSeriesAligner`",
        ),
        (
            format!("{good}&aggregation.perSeriesAligner=ALIGN_SUM&aggregation.alignmentPeriod=1s"),
            "`aggregation.alignmentPeriod`",
        ),
        (
            format!("{good}&secondaryAggregation.alignmentPeriod=60s"),
            "`secondaryAggregation`",
        ),
        (format!("{good}&pageToken=x"), "`pageToken`"),
        (format!("{good}&pageSize=-1"), "`pageSize`"),
    ] {
        desk.get(&address).await.refused("INVALID_ARGUMENT", message);
    }
    desk.get(&series("logging.googleapis.com/user/other", ""))
        .await
        .refused("NOT_FOUND", "user/other");
    desk.get(&good.replace("projects/p/", "projects/other/"))
        .await
        .refused("NOT_FOUND", BLOCKED);
    let viewer = desk.viewer().await;
    let seen = crate::support::answer(desk.request_as(&viewer, reqwest::Method::GET, &good)).await;
    assert_eq!(seen.ok(), json!({ "unit": "1" }));
}

#[tokio::test]
async fn metrics_and_resources_are_described() {
    let desk = Desk::new().await;
    define(&desk, blocked()).await;
    define(
        &desk,
        json!({ "name": "a/b", "description": "d", "filter": "severity>=ERROR" }),
    )
    .await;
    let all = desk.get("/v3/projects/p/metricDescriptors").await.ok();
    let types: Vec<&Value> = all["metricDescriptors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["type"])
        .collect();
    assert_eq!(types, ["logging.googleapis.com/user/a/b", BLOCKED]);
    let one = desk
        .get("/v3/projects/p/metricDescriptors/logging.googleapis.com/user/a/b")
        .await
        .ok();
    assert_eq!(one, all["metricDescriptors"][0]);
    assert_eq!(
        (&one["description"], &one["metricKind"]),
        (&json!("d"), &json!("DELTA"))
    );
    let filter = percent("metric.type = starts_with(\"logging.googleapis.com/user/b\")");
    let some = desk
        .get(&format!("/v3/projects/p/metricDescriptors?filter={filter}"))
        .await
        .ok();
    assert_eq!(some["metricDescriptors"].as_array().unwrap().len(), 1);
    let pages = desk
        .pages("/v3/projects/p/metricDescriptors", "metricDescriptors", 1)
        .await;
    assert_eq!(pages.len(), 2);
    desk.get("/v3/projects/p/metricDescriptors/x/y")
        .await
        .refused("NOT_FOUND", "x/y");
    desk.get("/v3/projects/p/metricDescriptors?filter=frob")
        .await
        .refused("INVALID_ARGUMENT", "`filter`");
    let kinds = desk
        .pages(
            "/v3/projects/p/monitoredResourceDescriptors",
            "resourceDescriptors",
            2,
        )
        .await;
    assert_eq!(kinds.len(), 3);
    let cluster = desk
        .get("/v3/projects/p/monitoredResourceDescriptors/k8s_cluster")
        .await
        .ok();
    assert_eq!(cluster["labels"][2]["key"], "cluster_name");
    desk.get("/v3/projects/p/monitoredResourceDescriptors/x")
        .await
        .refused("NOT_FOUND", "`projects/p/monitoredResourceDescriptors/x`");
}

#[tokio::test]
async fn dry_run_and_break_glass_are_counted_too() {
    let court = Court::new().await;
    define(
        &court.desk,
        json!({ "name": "opened", "filter": "labels.\"imagepolicywebhook.image-policy.k8s.io/break-glass\"=true" }),
    )
    .await;
    define(
        &court.desk,
        json!({ "name": "would", "filter": "jsonPayload.enforcementMode=DRYRUN_AUDIT_LOG_ONLY",
            "labelExtractors": { "image": "EXTRACT(jsonPayload.imageName)" } }),
    )
    .await;
    let mut object = pod(&["r.example/app:v1"]);
    object["metadata"]["annotations"] = json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1" });
    court.admit(&created(object)).await.admitted();
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court.pod(&["r.example/a:v1", "r.example/b:v1"]).await.admitted();
    counted(&court.desk, "logging.googleapis.com/user/opened", 1).await;
    let would = counted(&court.desk, "logging.googleapis.com/user/would", 2).await;
    assert_eq!(would["timeSeries"].as_array().unwrap().len(), 2);
}
