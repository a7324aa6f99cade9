//! Whether a condition holds, for which series, and since when.

use std::collections::BTreeMap;
use std::time::Duration;

use binauthz_wire::monitoring::Filter;
use binauthz_wire::monitoring::policy::{
    Absence, Aggregation, Aligner, Condition, ConditionKind, MissingData, Reducer, Threshold, Trigger,
    group_labels,
};

use super::clock::micros;
use super::series::{Counted, Key};

/// What one value is made of where nothing is said.
const DEFAULT_PERIOD: Duration = Duration::from_secs(60);

/// What a condition remembers from one evaluation to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Since when it has been so, without a break, for each group of series.
    since: BTreeMap<Key, i64>,
    /// When each group last had a point.
    seen: BTreeMap<Key, i64>,
}

impl Memory {
    /// Takes it that this group of series has been so for as long as anybody asks; what is known better stays.
    pub fn assume(&mut self, key: &Key) {
        const LONG_AGO: i64 = i64::MIN / 2;
        self.since.entry(key.clone()).or_insert(LONG_AGO);
        self.seen.entry(key.clone()).or_insert(LONG_AGO);
    }
}

/// What an evaluation found.
#[derive(Debug, Default, PartialEq)]
pub struct Finding {
    /// The groups of series for which it has been so for long enough.
    pub met: Vec<Key>,
    /// Whether there are enough of them.
    pub holds: bool,
    /// The value of the first of them.
    pub value: f64,
}

/// How far back a condition looks, in microseconds.
pub fn horizon(condition: &Condition) -> i64 {
    match &condition.kind {
        ConditionKind::Threshold(threshold) => period(&threshold.aggregations),
        ConditionKind::Absent(absence) => micros(absence.duration).max(period(&absence.aggregations)),
        ConditionKind::MatchedLog(_) => 0,
    }
}

/// How far back a condition must be evaluated again to know since when it has been so, in microseconds.
pub fn look_back(condition: &Condition) -> i64 {
    let lasting = match &condition.kind {
        ConditionKind::Threshold(threshold) => micros(threshold.duration),
        ConditionKind::Absent(_) | ConditionKind::MatchedLog(_) => 0,
    };
    horizon(condition).saturating_add(lasting)
}

fn period(aggregations: &[Aggregation]) -> i64 {
    let given = aggregations.first().map(|step| step.alignment_period);
    micros(given.filter(|period| !period.is_zero()).unwrap_or(DEFAULT_PERIOD))
}

/// Evaluates a condition over a metric at `time`. A condition on logs is not evaluated but met by each entry.
pub fn evaluate(condition: &Condition, counted: &Counted, memory: &mut Memory, time: i64) -> Finding {
    match &condition.kind {
        ConditionKind::Threshold(threshold) => over(threshold, counted, memory, time),
        ConditionKind::Absent(absence) => absent(absence, counted, memory, time),
        ConditionKind::MatchedLog(_) => Finding::default(),
    }
}

fn over(threshold: &Threshold, counted: &Counted, memory: &mut Memory, time: i64) -> Finding {
    let values = values(&threshold.filter, &threshold.aggregations, counted, time);
    let mut so = Vec::new();
    for (key, value) in &values {
        let was_so = memory.since.contains_key(key);
        let is_so = match (value, threshold.missing_data) {
            (Some(value), _) => threshold.comparison.holds(*value, threshold.value),
            (None, None) => threshold.comparison.holds(0.0, threshold.value),
            (None, Some(MissingData::Active)) => true,
            (None, Some(MissingData::Inactive)) => false,
            (None, Some(MissingData::NoOp)) => was_so,
        };
        if is_so {
            so.push((key.clone(), value.unwrap_or_default()));
        }
    }
    memory
        .since
        .retain(|key, _| so.iter().any(|(found, _)| found == key));
    let mut finding = Finding::default();
    for (key, value) in so {
        let since = *memory.since.entry(key.clone()).or_insert(time);
        if time - since >= micros(threshold.duration) {
            if finding.met.is_empty() {
                finding.value = value;
            }
            finding.met.push(key);
        }
    }
    finding.holds = enough(threshold.trigger, finding.met.len(), values.len());
    finding
}

/// A series that had a point and has none since. One that never had any is not missed.
fn absent(absence: &Absence, counted: &Counted, memory: &mut Memory, time: i64) -> Finding {
    let values = values(&absence.filter, &absence.aggregations, counted, time);
    let mut finding = Finding::default();
    for (key, value) in &values {
        let seen = memory.seen.entry(key.clone()).or_insert(time);
        if value.is_some() {
            *seen = time;
        }
        if time - *seen >= micros(absence.duration) {
            finding.met.push(key.clone());
        }
    }
    finding.holds = enough(absence.trigger, finding.met.len(), values.len());
    finding
}

fn enough(trigger: Trigger, met: usize, all: usize) -> bool {
    match trigger {
        Trigger::Count(count) => met >= usize::try_from(count.max(1)).unwrap_or(usize::MAX),
        #[expect(clippy::cast_precision_loss, reason = "there are at most 1 000 series")]
        Trigger::Percent(percent) => met > 0 && met as f64 * 100.0 >= percent * all as f64,
    }
}

/// The values of the groups of series that a condition looks at.
fn values(
    filter: &Filter,
    aggregations: &[Aggregation],
    counted: &Counted,
    time: i64,
) -> BTreeMap<Key, Option<f64>> {
    let step = aggregations.first();
    let aligner = step.map_or(Aligner::None, |step| step.aligner);
    let window = (time, period(aggregations));
    let reducer = step.map_or(Reducer::None, |step| step.reducer);
    let mut groups: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for key in counted.keys().filter(|key| filter.matches(counted.series(key))) {
        let group = match (reducer, step) {
            (Reducer::None, _) | (_, None) => key.clone(),
            (_, Some(step)) => shared(key, &step.group_by),
        };
        let values = groups.entry(group).or_default();
        values.extend(counted.value(key, window, aligner));
    }
    groups
        .into_iter()
        .map(|(key, values)| (key, reduced(&values, reducer)))
        .collect()
}

/// The part of a key that a group shares.
fn shared(key: &Key, group_by: &[String]) -> Key {
    let by_type = group_by.iter().any(|field| field == "resource.type");
    let resource_labels = group_labels(&key.resource_labels, "resource", group_by);
    Key {
        metric_labels: group_labels(&key.metric_labels, "metric", group_by),
        resource_type: if by_type || !resource_labels.is_empty() {
            key.resource_type.clone()
        } else {
            String::new()
        },
        resource_labels,
    }
}

fn reduced(values: &[f64], reducer: Reducer) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let all = values.iter().copied();
    let sum: f64 = all.clone().sum();
    #[expect(clippy::cast_precision_loss, reason = "there are at most 1 000 series")]
    let count = values.len() as f64;
    Some(match reducer {
        Reducer::None | Reducer::Sum => sum,
        Reducer::Mean => sum / count,
        Reducer::Count => count,
        Reducer::Min => all.fold(f64::INFINITY, f64::min),
        Reducer::Max => all.fold(f64::NEG_INFINITY, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use binauthz_wire::monitoring::policy::read_policy;
    use serde_json::{Value, json};

    use super::*;

    fn condition(form: &str, more: &Value) -> Condition {
        let mut body = json!({ "filter": "metric.type=\"m\"" });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let policy = json!({ "conditions": [{ form: body }] });
        read_policy(policy.into()).unwrap().conditions.remove(0)
    }

    fn threshold(more: &Value) -> Condition {
        let mut body = json!({ "comparison": "COMPARISON_GT", "thresholdValue": 0 });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        condition("conditionThreshold", &body)
    }

    fn key(name: &str) -> Key {
        Key {
            metric_labels: vec![("name".into(), name.into())],
            resource_type: "k8s_cluster".into(),
            resource_labels: vec![("location".into(), "x".into())],
        }
    }

    /// Counts one for each series and second, and says in which of the asked seconds the condition holds.
    fn held(condition: &Condition, counts: &[(&str, i64)], asked: &[i64]) -> Vec<i64> {
        let (mut counted, mut memory) = (Counted::new("p", "m"), Memory::default());
        let last = asked.iter().max().copied().unwrap();
        let mut held = Vec::new();
        for second in 0..=last {
            let time = second * 1_000_000;
            for (name, _) in counts.iter().filter(|(_, at)| *at == second) {
                counted.count(key(name), time);
            }
            if evaluate(condition, &counted, &mut memory, time).holds && asked.contains(&second) {
                held.push(second);
            }
        }
        held
    }

    /// A condition, one entry for each series and second, and when the condition held.
    type Row = (Value, &'static [(&'static str, i64)], Vec<i64>);

    fn check(rows: Vec<Row>) {
        for (more, counts, expected) in rows {
            let asked = [9, 10, 40, 60, 70, 100];
            let held = held(&threshold(&more), counts, &asked);
            assert_eq!(held, expected, "{more} over {counts:?}");
        }
    }

    const ONE: &[(&str, i64)] = &[("a", 10)];
    const BOTH: &[(&str, i64)] = &[("a", 10), ("b", 10)];

    #[test]
    fn thresholds_durations_and_aggregations() {
        let sum = json!([{ "alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_SUM",
            "crossSeriesReducer": "REDUCE_SUM" }]);
        check(vec![
            (json!({}), ONE, vec![10, 40, 60]),
            (json!({}), &[], vec![]),
            (json!({ "thresholdValue": 1 }), ONE, vec![]),
            (
                json!({ "thresholdValue": 1 }),
                &[("a", 10), ("a", 10)],
                vec![10, 40, 60],
            ),
            (json!({ "thresholdValue": 1 }), BOTH, vec![]),
            (
                json!({ "thresholdValue": 1, "aggregations": sum }),
                BOTH,
                vec![10, 40, 60],
            ),
            (json!({ "duration": "30s" }), ONE, vec![40, 60]),
            (json!({ "duration": "60s" }), ONE, vec![]),
            (
                json!({ "duration": "60s" }),
                &[("a", 10), ("a", 50)],
                vec![70, 100],
            ),
        ]);
    }

    #[test]
    fn triggers() {
        let count = |count: i64| json!({ "trigger": {"count": count} });
        let percent = json!({ "trigger": {"percent": 60} });
        check(vec![
            (count(2), ONE, vec![]),
            (count(2), &[("a", 10), ("b", 40)], vec![40, 60]),
            (percent.clone(), &[("a", 10), ("b", 60)], vec![10, 40, 60]),
            // One of one is all of them; then one of two is not enough.
            (percent, &[("b", 0), ("a", 60)], vec![9, 10, 40]),
        ]);
    }

    #[test]
    fn missing_data() {
        let missing = |value: i64, comparison: &str, means: &str| {
            json!({ "thresholdValue": value, "comparison": comparison,
                "evaluationMissingData": format!("EVALUATION_MISSING_DATA_{means}") })
        };
        let below = json!({ "thresholdValue": 1, "comparison": "COMPARISON_LT" });
        check(vec![
            (below, ONE, vec![70, 100]),
            (missing(1, "COMPARISON_LT", "INACTIVE"), ONE, vec![]),
            (missing(5, "COMPARISON_GT", "ACTIVE"), ONE, vec![70, 100]),
            (
                missing(0, "COMPARISON_GT", "NO_OP"),
                ONE,
                vec![10, 40, 60, 70, 100],
            ),
        ]);
    }

    #[test]
    fn absences() {
        let silent = |more: &Value| condition("conditionAbsent", more);
        for (more, counts, expected) in [
            // The last point leaves its window after a minute.
            (json!({ "duration": "120s" }), vec![("a", 10)], vec![189, 300]),
            (
                json!({ "duration": "120s" }),
                vec![("a", 10), ("a", 100)],
                vec![300],
            ),
            // What never was is not missed.
            (json!({ "duration": "120s" }), vec![], vec![]),
            (
                json!({ "duration": "120s", "trigger": {"count": 2} }),
                vec![("a", 10)],
                vec![],
            ),
        ] {
            assert_eq!(
                held(&silent(&more), &counts, &[180, 188, 189, 300]),
                expected,
                "{more} over {counts:?}"
            );
        }
    }

    #[test]
    fn series_are_filtered_and_grouped() {
        let filter = |text: &str| threshold(&json!({ "filter": text }));
        let counts = [("a", 10)];
        assert_eq!(
            held(
                &filter("metric.type=\"m\" AND metric.labels.name=\"a\""),
                &counts,
                &[10]
            ),
            [10]
        );
        for text in [
            "metric.type=\"n\"",
            "metric.type=\"m\" AND metric.label.name=\"b\"",
            "metric.type=\"m\" AND resource.type=\"k8s_pod\"",
        ] {
            assert_eq!(held(&filter(text), &counts, &[10]), Vec::<i64>::new(), "{text}");
        }
        let grouped = shared(&key("a"), &["resource.label.location".into()]);
        assert_eq!(grouped.metric_labels, []);
        assert_eq!(grouped.resource_labels, [("location".to_owned(), "x".to_owned())]);
        assert_eq!(shared(&key("a"), &[]), Key::default());
        for (reducer, expected) in [
            (Reducer::Sum, 6.0),
            (Reducer::Mean, 2.0),
            (Reducer::Count, 3.0),
            (Reducer::Min, 1.0),
            (Reducer::Max, 3.0),
        ] {
            assert_eq!(reduced(&[3.0, 1.0, 2.0], reducer), Some(expected));
            assert_eq!(reduced(&[], reducer), None);
        }
    }
}
