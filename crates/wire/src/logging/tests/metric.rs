use binauthz_core::time::UnixTime;

use super::*;
use crate::json::InvalidField;
use crate::logging::metric::{Buckets, LogMetric, read_metric, write_metric, write_stored_metric};

fn read(value: serde_json::Value) -> Result<LogMetric, InvalidField> {
    read_metric(value.into())
}

const FILTER: &str =
    r#"resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor""#;

fn with(member: &str, value: serde_json::Value) -> serde_json::Value {
    let mut metric = json!({"name": "m", "filter": "severity>=ERROR"});
    metric[member] = value;
    metric
}

/// As gcloud sends it for `logging metrics create`.
#[test]
fn a_metric_of_gcloud() {
    let metric = read(json!({
        "description": "Count of deployments blocked", "filter": FILTER, "name": "binauthz-blocked-deployments",
    }))
    .unwrap();
    assert!(metric.filter.test(&e1()));
    let time = UnixTime::from_seconds(1_795_420_800);
    let project = "demo".parse().unwrap();
    let written = write_metric(&project, &metric, time, time);
    assert_eq!(
        written,
        json!({
            "name": "binauthz-blocked-deployments", "description": "Count of deployments blocked", "filter": FILTER,
            "resourceName": "projects/demo/metrics/binauthz-blocked-deployments",
            "createTime": "2026-11-23T08:00:00Z", "updateTime": "2026-11-23T08:00:00Z",
            "metricDescriptor": {
                "name": "projects/demo/metricDescriptors/logging.googleapis.com/user/binauthz-blocked-deployments",
                "type": "logging.googleapis.com/user/binauthz-blocked-deployments",
                "metricKind": "DELTA", "valueType": "INT64", "unit": "1",
                "description": "Count of deployments blocked",
            },
        })
    );
    assert_eq!(
        read(written).unwrap(),
        metric,
        "`metrics update` sends back what it got"
    );
}

#[test]
fn a_metric_with_everything() {
    let metric = read(json!({
        "name": "a/b", "filter": "log_id(\"mylog\")", "disabled": true,
        "value_extractor": "EXTRACT(jsonPayload.n)",
        "label_extractors": {"status": "EXTRACT(httpRequest.status)", "who": "REGEXP_EXTRACT(jsonPayload.s, \"(.)\")"},
        "metric_descriptor": {
            "metric_kind": 2, "value_type": "DISTRIBUTION", "unit": "s", "display_name": "N",
            "labels": [{"key": "status", "value_type": "INT64", "description": "HTTP"}],
        },
        "bucket_options": {"linear_buckets": {"num_finite_buckets": 3, "width": 2, "offset": 1}},
    }))
    .unwrap();
    assert!(metric.disabled);
    let distribution = metric.distribution.as_ref().unwrap();
    assert_eq!(distribution.extractor.of(&e5()), "8.5");
    assert_eq!(
        distribution.buckets.as_ref().unwrap().bounds(),
        [1.0, 3.0, 5.0, 7.0]
    );
    let labels: Vec<_> = metric
        .labels
        .iter()
        .map(|label| label.extractor.of(&e5()))
        .collect();
    assert_eq!(labels, ["404", "1"]);
    let stored = write_stored_metric(&metric);
    assert_eq!(read(stored.clone()).unwrap(), metric, "{stored}");
    let time = UnixTime::from_seconds(0);
    let written = write_metric(&"demo".parse().unwrap(), &metric, time, time);
    assert_eq!(written["resourceName"], "projects/demo/metrics/a%2Fb");
    assert_eq!(written["metricDescriptor"]["labels"][1], json!({"key": "who"}));
}

#[test]
fn buckets_have_bounds() {
    let exponential = Buckets::Exponential {
        count: 3,
        growth: 2.0,
        scale: 1.0,
    };
    assert_eq!(exponential.bounds(), [1.0, 2.0, 4.0, 8.0]);
    assert_eq!(Buckets::Explicit(vec![0.5, 1.0]).bounds(), [0.5, 1.0]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn metrics_that_are_refused() {
    let extractor = |member: &str, value: serde_json::Value| {
        let mut metric = with("valueExtractor", json!("EXTRACT(jsonPayload.n)"));
        metric[member] = value;
        metric
    };
    for (value, expected) in [
        (json!({"filter": "x"}), "`name` is required"),
        (json!({"name": "m"}), "`filter` is required"),
        (with("name", json!("/m")), "`name`: expected at most 100"),
        (with("name", json!("a b")), "`name`: expected at most 100"),
        (
            with("filter", json!("thud=x")),
            "`filter`: column 1: `thud` is not a field",
        ),
        (with("frob", json!(1)), "`frob` is not a known field"),
        (
            with("bucketName", json!("x")),
            "`bucketName`: entries are counted per project",
        ),
        (
            with("valueExtractor", json!("jsonPayload.n")),
            "`valueExtractor`: column 1: expected `EXTRACT(FIELD)`",
        ),
        (
            with("labelExtractors", json!({"a": "x"})),
            "`labelExtractors[\"a\"]`: column 1: expected",
        ),
        (
            with("metricDescriptor", json!({"labels": [{"key": "a"}]})),
            "`metricDescriptor.labels[0].key`: has no extractor",
        ),
        (
            with("metricDescriptor", json!({"metricKind": "GAUGE"})),
            "`metricDescriptor.metricKind`: expected `DELTA`",
        ),
        (
            with("metricDescriptor", json!({"valueType": "DISTRIBUTION"})),
            "`metricDescriptor.valueType`: expected `INT64`",
        ),
        (
            extractor("metricDescriptor", json!({"valueType": 2})),
            "`metricDescriptor.valueType`: expected `DISTRIBUTION`",
        ),
        (
            with("bucketOptions", json!({"explicitBuckets": {"bounds": [1]}})),
            "`bucketOptions`: is for metrics with a `valueExtractor`",
        ),
        (
            extractor("bucketOptions", json!({"explicitBuckets": {"bounds": [2, 1]}})),
            "`bucketOptions.explicitBuckets.bounds`: expected 1 to 200 bounds",
        ),
        (
            extractor(
                "bucketOptions",
                json!({"linearBuckets": {"numFiniteBuckets": 201, "width": 1}}),
            ),
            "`bucketOptions.linearBuckets.numFiniteBuckets`: expected 1 to 200",
        ),
        (
            extractor(
                "bucketOptions",
                json!({"exponentialBuckets": {"numFiniteBuckets": 2, "growthFactor": 1}}),
            ),
            "`bucketOptions.exponentialBuckets.growthFactor`: expected a number above 1",
        ),
        (
            extractor("bucketOptions", json!({})),
            "`bucketOptions`: expected one of",
        ),
    ] {
        let error = read(value.clone()).expect_err(&value.to_string()).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
