use binauthz_core::time::UnixTime;
use binauthz_store::{Kind, Resource};
use binauthz_wire::json::timestamp_out;
use binauthz_wire::monitoring::time_series::PointValue;
use serde_json::{Value, json};

use super::super::definition::needle;
use super::*;

/// 2026-11-23T08:00:00Z.
const BEGIN: i64 = 1_795_420_800;

/// What every entry of these tests has.
const ANY: &str = "logName:logs";

fn definition(project: &str, metric: &Value) -> Definition {
    let name = metric["name"].as_str().unwrap();
    let row = Resource {
        kind: Kind::LogMetric,
        name: format!("projects/{project}/metrics/{name}"),
        parent: format!("projects/{project}"),
        document: metric.to_string(),
        revision: 1,
        created: BEGIN * 1_000_000,
        updated: BEGIN * 1_000_000,
    };
    Definition::of(&row).unwrap()
}

fn metric(filter: &str, more: &Value) -> Value {
    let mut metric = json!({ "name": "m", "filter": filter });
    for (key, value) in more.as_object().unwrap() {
        metric[key] = value.clone();
    }
    metric
}

/// A written entry: received so many seconds after the beginning.
fn entry(second: i64, entry: Value) -> Vec<u8> {
    let time = timestamp_out(UnixTime::from_seconds(BEGIN + second));
    let mut whole = json!({
        "logName": "projects/p/logs/app", "resource": { "type": "global", "labels": { "project_id": "p" } },
        "timestamp": time, "insertId": "i", "receiveTimestamp": time,
    });
    for (key, value) in entry.as_object().unwrap() {
        whole[key] = value.clone();
    }
    format!(r#"{{"log":"entry","time":"{time}","entry":{whole},"seq":1}}"#).into_bytes()
}

fn verdict(second: i64, verdict: &str, conforms: bool) -> Vec<u8> {
    let time = timestamp_out(UnixTime::from_seconds(BEGIN + second));
    format!(
        r#"{{"time":"{time}","cluster":"projects/p/locations/l/clusters/c","kind":"Pod","verdict":"{verdict}","conforms":{conforms},"reason":"NOT_ATTESTED","images":[],"seq":7}}"#
    )
    .into_bytes()
}

/// Labels, minute after the beginning, and value of what was counted.
type Tallied = (Vec<(String, String)>, i64, String);

fn tallied(definitions: &[Definition], lines: &[Vec<u8>]) -> Vec<Tallied> {
    let mut known = Known::default();
    let mut tally = Tally::new(definitions, &mut known);
    let needle = needle(definitions);
    for seen in lines.iter().filter_map(|line| Seen::of(line)) {
        tally.line(seen, &needle);
    }
    let (points, _) = tally.into_points();
    points
        .into_iter()
        .map(|point| {
            let key = SeriesKey::from_text(&point.series).unwrap();
            (key.metric, point.minute - BEGIN / 60, point.value)
        })
        .collect()
}

fn none() -> Vec<(String, String)> {
    Vec::new()
}

#[test]
fn what_a_filter_wants_is_counted_by_the_minute() {
    let blocked = definition("p", &metric("severity=ERROR", &json!({})));
    let lines = [
        verdict(1, "DENY", false),
        verdict(59, "DENY", false),
        verdict(60, "DENY", false),
        verdict(61, "ALLOW", true),
        verdict(62, "ALLOW", false),
        entry(63, json!({ "severity": "ERROR" })),
        entry(64, json!({ "severity": "INFO" })),
        b"{\"log\":\"segment\"}".to_vec(),
        b"{\"time\":\"2026-11-23T08:00:09Z\",\"verdict\":\"DENY\" torn".to_vec(),
    ];
    let mut found = tallied(&[blocked], &lines);
    found.sort();
    // The verdicts are about a cluster and the entry is not.
    assert_eq!(
        found,
        [
            (none(), 0, "2".to_owned()),
            (none(), 1, "1".to_owned()),
            (none(), 1, "1".to_owned())
        ]
    );
}

#[test]
fn counting_begins_with_the_metric_and_stays_in_its_project() {
    let all = json!({});
    let lines = [
        verdict(0, "DENY", false),
        verdict(-1, "DENY", false),
        verdict(1, "DENY", false),
    ];
    assert_eq!(
        tallied(&[definition("p", &metric(ANY, &all))], &lines),
        [(none(), 0, "1".to_owned())]
    );
    assert_eq!(tallied(&[definition("other", &metric(ANY, &all))], &lines), []);
    assert_eq!(
        tallied(
            &[definition("p", &metric(ANY, &json!({"disabled": true})))],
            &lines
        ),
        []
    );
}

#[test]
fn an_entry_counts_for_its_own_time_within_limits() {
    let at = |second: i64| {
        let time = timestamp_out(UnixTime::from_seconds(BEGIN + second));
        entry(100_000, json!({ "timestamp": time }))
    };
    for (second, counts) in [
        (100_000 - 86_400, true),
        (100_000 - 86_401, false),
        (100_600, true),
        (100_601, false),
        (100_000, true),
    ] {
        let found = tallied(&[definition("p", &metric(ANY, &json!({})))], &[at(second)]);
        let expected = counts.then(|| (none(), second / 60, "1".to_owned()));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{second}");
    }
}

#[test]
fn labels_are_taken_out_and_cut() {
    let labelled = metric(
        ANY,
        &json!({ "labelExtractors": { "user": "EXTRACT(jsonPayload.user)" } }),
    );
    let by = |user: Value| entry(1, json!({ "jsonPayload": { "user": user, "x": 1 } }));
    let lines = [
        by("a".into()),
        by("b".into()),
        by("a".into()),
        by(Value::Null),
        by("x".repeat(2_000).into()),
    ];
    let mut found = tallied(&[definition("p", &labelled)], &lines);
    found.sort();
    let user = |name: &str| vec![("user".to_owned(), name.to_owned())];
    assert_eq!(
        found,
        [
            (user(""), 0, "1".to_owned()),
            (user("a"), 0, "2".to_owned()),
            (user("b"), 0, "1".to_owned()),
            (user(&"x".repeat(labels::LONGEST_LABEL)), 0, "1".to_owned()),
        ]
    );
}

#[test]
fn numbers_make_distributions_and_what_is_none_is_left_out() {
    let sized = metric(
        ANY,
        &json!({
            "valueExtractor": "EXTRACT(jsonPayload.size)",
            "bucketOptions": { "explicitBuckets": { "bounds": [10.0, 20.0] } },
        }),
    );
    let of = |size: Value| entry(1, json!({ "jsonPayload": { "size": size, "x": 1 } }));
    let lines = [
        of(5.into()),
        of("15".into()),
        of("many".into()),
        of(Value::Null),
        of(25.5.into()),
        of("inf".into()),
    ];
    let definition = definition("p", &sized);
    let found = tallied(std::slice::from_ref(&definition), &lines);
    assert_eq!(found.len(), 1);
    let value = Counted::from_text(&found[0].2).unwrap().into_value(&[10.0, 20.0]);
    let PointValue::Distribution(value) = value else {
        panic!("{value:?}")
    };
    assert_eq!((value.count, value.bucket_counts), (3, vec![1, 1, 1]));
    assert!((value.mean - 45.5 / 3.0).abs() < 1e-9);
}

#[test]
fn too_many_series_overflow_into_one() {
    let labelled = metric(
        ANY,
        &json!({ "labelExtractors": { "user": "EXTRACT(jsonPayload.user)" } }),
    );
    let definitions = [definition("p", &labelled)];
    let mut known = Known::default();
    let mut tally = Tally::new(&definitions, &mut known);
    let needle = needle(&definitions);
    for user in (0..MOST_SERIES + 5).chain([0]) {
        let line = entry(1, json!({ "jsonPayload": { "user": user.to_string() } }));
        tally.line(Seen::of(&line).unwrap(), &needle);
    }
    let (points, counts) = tally.into_points();
    assert_eq!(counts, [(MOST_SERIES as u64 + 6, 5)]);
    assert_eq!(points.len(), MOST_SERIES + 1);
    let overflow: Vec<_> = points
        .iter()
        .filter(|point| SeriesKey::from_text(&point.series).unwrap().metric[0].0 == OVERFLOW)
        .collect();
    assert_eq!((overflow.len(), overflow[0].value.as_str()), (1, "5"));
    // What is known from before has its place whatever else is there.
    let mut known = Known::default();
    for series in 0..=MOST_SERIES {
        known.learn("m", &series.to_string());
    }
    assert!(known.admit("m", "0") && known.admit("m", &MOST_SERIES.to_string()));
    assert!(!known.admit("m", "new") && known.admit("n", "new"));
}
