//! The conditions of an alert policy.

use std::time::Duration;

use serde_json::{Map, json};

use super::super::{Filter, MAX_NAME, take_text};
use crate::json::{EnumRow, InvalidField, Object, duration_out, enum_name};
use crate::logging::extract::{take_extractors, write_extractors};
use crate::logging::{Extractor, Query};

/// How long a condition may look back: everything younger is kept for it.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Google's servers take two; what a second one makes of the first is not computed here.
const MAX_AGGREGATIONS: usize = 1;
const MAX_GROUPS: usize = 16;
const MAX_EXTRACTORS: usize = 10;

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// `projects/P/alertPolicies/ID/conditions/N`; not there before the server gave it.
    pub name: Option<String>,
    /// Its name for people.
    pub display_name: String,
    /// What must be so.
    pub kind: ConditionKind,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionKind {
    /// A metric is above or below something.
    Threshold(Threshold),
    /// A metric has no points.
    Absent(Absence),
    /// A log entry is written.
    MatchedLog(LogMatch),
}

/// `conditionThreshold`
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Which time series. It names one metric.
    pub filter: Filter,
    /// What is made of them before they are compared.
    pub aggregations: Vec<Aggregation>,
    /// How each value is compared with the threshold.
    pub comparison: Comparison,
    /// With what it is compared.
    pub value: f64,
    /// For how long that must hold.
    pub duration: Duration,
    /// For how many series.
    pub trigger: Trigger,
    /// What a series without new points means.
    pub missing_data: Option<MissingData>,
}

/// `conditionAbsent`
#[derive(Debug, Clone, PartialEq)]
pub struct Absence {
    /// Which time series. It names one metric.
    pub filter: Filter,
    /// What is made of them first.
    pub aggregations: Vec<Aggregation>,
    /// For how long there must be no point.
    pub duration: Duration,
    /// For how many series.
    pub trigger: Trigger,
}

/// `conditionMatchedLog`
#[derive(Debug, Clone, PartialEq)]
pub struct LogMatch {
    /// Which entries.
    pub filter: Query,
    /// What is taken out of an entry, by the name it gets.
    pub label_extractors: Vec<(String, Extractor)>,
}

/// One step from series to series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// The time that becomes one point.
    pub alignment_period: Duration,
    /// How the points of that time become one.
    pub aligner: Aligner,
    /// How series become one.
    pub reducer: Reducer,
    /// The labels that series must share to become one.
    pub group_by: Vec<String>,
}

/// How the points of one period become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it does")]
pub enum Aligner {
    None,
    Delta,
    Rate,
    Min,
    Max,
    Mean,
    Count,
    Sum,
    Percentile99,
    Percentile95,
    Percentile50,
    Percentile05,
}

impl Aligner {
    /// Whether it looks into distributions.
    fn is_percentile(self) -> bool {
        use Aligner::{Percentile05, Percentile50, Percentile95, Percentile99};
        matches!(self, Percentile99 | Percentile95 | Percentile50 | Percentile05)
    }
}

/// How several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it does")]
pub enum Reducer {
    None,
    Mean,
    Min,
    Max,
    Sum,
    Count,
}

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it does")]
pub enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

/// For how many series a condition must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trigger {
    /// At least so many.
    Count(u32),
    /// At least so many in a hundred.
    Percent(f64),
}

/// What a series without new points means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingData {
    /// That the condition does not hold.
    Inactive,
    /// That it holds.
    Active,
    /// Nothing new.
    NoOp,
}

impl Comparison {
    /// Whether it holds.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::Greater => value > threshold,
            Comparison::GreaterOrEqual => value >= threshold,
            Comparison::Less => value < threshold,
            Comparison::LessOrEqual => value <= threshold,
            Comparison::Equal => value == threshold,
            Comparison::NotEqual => value != threshold,
        }
    }
}

impl Trigger {
    /// Google's servers show it even when nobody set it.
    const DEFAULT: Trigger = Trigger::Count(1);
}

const COMPARISONS: &[EnumRow<Comparison>] = &[
    ("COMPARISON_GT", 1, Comparison::Greater),
    ("COMPARISON_GE", 2, Comparison::GreaterOrEqual),
    ("COMPARISON_LT", 3, Comparison::Less),
    ("COMPARISON_LE", 4, Comparison::LessOrEqual),
    ("COMPARISON_EQ", 5, Comparison::Equal),
    ("COMPARISON_NE", 6, Comparison::NotEqual),
];

/// `None`: known, but nothing that this server can compute.
const ALIGNERS: &[EnumRow<Option<Aligner>>] = &[
    ("ALIGN_NONE", 0, Some(Aligner::None)),
    ("ALIGN_DELTA", 1, Some(Aligner::Delta)),
    ("ALIGN_RATE", 2, Some(Aligner::Rate)),
    ("ALIGN_INTERPOLATE", 3, None),
    ("ALIGN_NEXT_OLDER", 4, None),
    ("ALIGN_MIN", 10, Some(Aligner::Min)),
    ("ALIGN_MAX", 11, Some(Aligner::Max)),
    ("ALIGN_MEAN", 12, Some(Aligner::Mean)),
    ("ALIGN_COUNT", 13, Some(Aligner::Count)),
    ("ALIGN_SUM", 14, Some(Aligner::Sum)),
    ("ALIGN_STDDEV", 15, None),
    ("ALIGN_COUNT_TRUE", 16, None),
    ("ALIGN_FRACTION_TRUE", 17, None),
    ("ALIGN_PERCENTILE_99", 18, Some(Aligner::Percentile99)),
    ("ALIGN_PERCENTILE_95", 19, Some(Aligner::Percentile95)),
    ("ALIGN_PERCENTILE_50", 20, Some(Aligner::Percentile50)),
    ("ALIGN_PERCENTILE_05", 21, Some(Aligner::Percentile05)),
    ("ALIGN_PERCENT_CHANGE", 23, None),
    ("ALIGN_COUNT_FALSE", 24, None),
];

const REDUCERS: &[EnumRow<Option<Reducer>>] = &[
    ("REDUCE_NONE", 0, Some(Reducer::None)),
    ("REDUCE_MEAN", 1, Some(Reducer::Mean)),
    ("REDUCE_MIN", 2, Some(Reducer::Min)),
    ("REDUCE_MAX", 3, Some(Reducer::Max)),
    ("REDUCE_SUM", 4, Some(Reducer::Sum)),
    ("REDUCE_STDDEV", 5, None),
    ("REDUCE_COUNT", 6, Some(Reducer::Count)),
    ("REDUCE_COUNT_TRUE", 7, None),
    ("REDUCE_FRACTION_TRUE", 8, None),
    ("REDUCE_PERCENTILE_99", 9, None),
    ("REDUCE_PERCENTILE_95", 10, None),
    ("REDUCE_PERCENTILE_50", 11, None),
    ("REDUCE_PERCENTILE_05", 12, None),
    ("REDUCE_COUNT_FALSE", 15, None),
];

const MISSING_DATA: &[EnumRow<MissingData>] = &[
    ("EVALUATION_MISSING_DATA_INACTIVE", 1, MissingData::Inactive),
    ("EVALUATION_MISSING_DATA_ACTIVE", 2, MissingData::Active),
    ("EVALUATION_MISSING_DATA_NO_OP", 3, MissingData::NoOp),
];

/// The forms of conditions in languages of their own.
const OTHER_LANGUAGES: [(&str, &str); 3] = [
    ("conditionMonitoringQueryLanguage", "MQL"),
    ("conditionPrometheusQueryLanguage", "PromQL"),
    ("conditionSql", "SQL"),
];

pub(super) fn take(mut object: Object) -> Result<Condition, InvalidField> {
    for (field, language) in OTHER_LANGUAGES {
        if object.has(field) {
            let why = format_args!(
                "conditions in {language} are not evaluated by this server: use `conditionThreshold`, \
                 `conditionAbsent` or `conditionMatchedLog`"
            );
            return Err(object.refused(field, why));
        }
    }
    let name = object.take_optional_string("name")?;
    let display_name = take_text(&mut object, "displayName", MAX_NAME)?;
    let threshold = object.take_optional_object("conditionThreshold")?;
    let absent = object.take_optional_object("conditionAbsent")?;
    let matched = object.take_optional_object("conditionMatchedLog")?;
    let kind = match (threshold, absent, matched) {
        (Some(threshold), None, None) => ConditionKind::Threshold(take_threshold(threshold)?),
        (None, Some(absence), None) => ConditionKind::Absent(take_absence(absence)?),
        (None, None, Some(matched)) => ConditionKind::MatchedLog(take_log_match(matched)?),
        (None, None, None) => return missing_kind(object),
        _ => {
            let why = "expected one of `conditionThreshold`, `conditionAbsent` and `conditionMatchedLog`";
            return Err(InvalidField::refused(object.path(), why));
        }
    };
    object.finish()?;
    Ok(Condition {
        name,
        display_name,
        kind,
    })
}

/// A misspelt form is named before its absence is.
fn missing_kind(object: Object) -> Result<Condition, InvalidField> {
    let path = object.path().to_owned();
    object.finish()?;
    let why = "expected one of `conditionThreshold`, `conditionAbsent` and `conditionMatchedLog`";
    Err(InvalidField::refused(path, why))
}

fn take_threshold(mut object: Object) -> Result<Threshold, InvalidField> {
    for field in ["denominatorFilter", "denominatorAggregations", "forecastOptions"] {
        if object.has(field) {
            return Err(object.refused(field, "ratios and forecasts are not evaluated by this server"));
        }
    }
    let threshold = Threshold {
        filter: take_filter(&mut object)?,
        aggregations: take_aggregations(&mut object)?,
        comparison: object.take_enum("comparison", COMPARISONS)?,
        value: object.take_optional_f64("thresholdValue")?.unwrap_or_default(),
        duration: take_period(&mut object, "duration")?.unwrap_or_default(),
        trigger: take_trigger(&mut object)?,
        missing_data: object.take_optional_enum("evaluationMissingData", MISSING_DATA)?,
    };
    object.finish()?;
    Ok(threshold)
}

fn take_absence(mut object: Object) -> Result<Absence, InvalidField> {
    let absence = Absence {
        filter: take_filter(&mut object)?,
        aggregations: take_aggregations(&mut object)?,
        duration: take_period(&mut object, "duration")?.unwrap_or_default(),
        trigger: take_trigger(&mut object)?,
    };
    if absence.duration.is_zero() {
        return Err(object.refused(
            "duration",
            "expected how long there must be no data, such as `300s`",
        ));
    }
    object.finish()?;
    Ok(absence)
}

fn take_log_match(mut object: Object) -> Result<LogMatch, InvalidField> {
    let text = object.take_string("filter")?;
    let filter = Query::parse(&text).map_err(|error| object.within("filter", &error))?;
    let label_extractors = take_extractors(&mut object, MAX_EXTRACTORS)?;
    object.finish()?;
    Ok(LogMatch {
        filter,
        label_extractors,
    })
}

fn take_filter(object: &mut Object) -> Result<Filter, InvalidField> {
    let text = object.take_string("filter")?;
    let filter = Filter::parse(&text).map_err(|error| object.within("filter", &error))?;
    if filter.metric_type().is_none() {
        let why = "expected `metric.type = \"…\"`: a condition is about one metric";
        return Err(object.refused("filter", why));
    }
    Ok(filter)
}

fn take_period(object: &mut Object, field: &'static str) -> Result<Option<Duration>, InvalidField> {
    let period = object.take_optional_duration(field)?;
    if period.is_some_and(|period| period > LONGEST) {
        let why = format_args!("is longer than `{}`", duration_out(LONGEST));
        return Err(object.refused(field, why));
    }
    Ok(period)
}

fn take_trigger(object: &mut Object) -> Result<Trigger, InvalidField> {
    let Some(mut trigger) = object.take_optional_object("trigger")? else {
        return Ok(Trigger::DEFAULT);
    };
    let count = trigger.take_optional_i64("count")?;
    let percent = trigger.take_optional_f64("percent")?;
    let taken = match (count, percent) {
        (None, None) => Trigger::DEFAULT,
        (Some(count), None) => match u32::try_from(count) {
            Ok(count) if count > 0 => Trigger::Count(count),
            _ => return Err(trigger.refused("count", "expected a number of series from 1")),
        },
        (None, Some(percent)) if percent > 0.0 && percent <= 100.0 => Trigger::Percent(percent),
        (None, Some(_)) => {
            return Err(trigger.refused("percent", "expected a number above 0 and up to 100"));
        }
        (Some(_), Some(_)) => {
            return Err(trigger.refused("percent", "is given beside `count`: expected one of them"));
        }
    };
    trigger.finish()?;
    Ok(taken)
}

fn take_aggregations(object: &mut Object) -> Result<Vec<Aggregation>, InvalidField> {
    let given = object.take_objects("aggregations")?;
    if given.len() > MAX_AGGREGATIONS {
        let why = format_args!("has more than {MAX_AGGREGATIONS} entry");
        return Err(object.refused("aggregations", why));
    }
    // Conditions are held against counts, which have no percentiles.
    given
        .into_iter()
        .map(|given| aggregation(given, |aligner| !aligner.is_percentile()))
        .collect()
}

const BEYOND: &str = "is not computed by this server";

/// Takes one aggregation of a question for time series.
pub fn take_aggregation(object: Object) -> Result<Aggregation, InvalidField> {
    aggregation(object, |_| true)
}

fn aggregation(mut object: Object, is_computed: fn(Aligner) -> bool) -> Result<Aggregation, InvalidField> {
    let aligner = object.take_optional_enum("perSeriesAligner", ALIGNERS)?;
    let Some(aligner) = aligner
        .unwrap_or(Some(Aligner::None))
        .filter(|aligner| is_computed(*aligner))
    else {
        return Err(object.refused("perSeriesAligner", BEYOND));
    };
    let reducer = object.take_optional_enum("crossSeriesReducer", REDUCERS)?;
    let Some(reducer) = reducer.unwrap_or(Some(Reducer::None)) else {
        return Err(object.refused("crossSeriesReducer", BEYOND));
    };
    let aggregation = Aggregation {
        alignment_period: take_period(&mut object, "alignmentPeriod")?.unwrap_or_default(),
        aligner,
        reducer,
        group_by: object.take_strings("groupByFields")?,
    };
    if aligner != Aligner::None && aggregation.alignment_period < Duration::from_secs(60) {
        return Err(object.refused("alignmentPeriod", "expected at least `60s`"));
    }
    if reducer != Reducer::None && aligner == Aligner::None {
        let why = "expected an aligner other than ALIGN_NONE, as series are reduced";
        return Err(object.refused("perSeriesAligner", why));
    }
    if aggregation.group_by.len() > MAX_GROUPS {
        return Err(object.refused(
            "groupByFields",
            format_args!("has more than {MAX_GROUPS} entries"),
        ));
    }
    object.finish()?;
    Ok(aggregation)
}

/// The labels of `kind` (`metric` or `resource`) that series must share by these fields.
pub fn group_labels(labels: &[(String, String)], kind: &str, group_by: &[String]) -> Vec<(String, String)> {
    let is_named = |label: &str| {
        group_by
            .iter()
            .any(|field| label_of(field).is_some_and(|(of, name)| of == kind && name == label))
    };
    let mut labels = labels.to_vec();
    labels.retain(|(label, _)| is_named(label));
    labels
}

/// Whether series can be grouped by it.
pub fn is_group_field(field: &str) -> bool {
    ["resource.type", "metric.type", "project"].contains(&field) || label_of(field).is_some()
}

/// `metric.label.K` or `resource.labels.K`: of what, and the label.
fn label_of(field: &str) -> Option<(&str, &str)> {
    let (kind, rest) = field.split_once('.')?;
    let name = rest.strip_prefix("label.").or(rest.strip_prefix("labels."))?;
    (["metric", "resource"].contains(&kind) && !name.is_empty()).then_some((kind, name))
}

pub(super) fn write(condition: &Condition) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    if let Some(name) = &condition.name {
        put("name", json!(name));
    }
    if !condition.display_name.is_empty() {
        put("displayName", json!(condition.display_name));
    }
    match &condition.kind {
        ConditionKind::Threshold(threshold) => put("conditionThreshold", write_threshold(threshold)),
        ConditionKind::Absent(absence) => put("conditionAbsent", write_absence(absence)),
        ConditionKind::MatchedLog(matched) => put("conditionMatchedLog", write_log_match(matched)),
    };
    members.into()
}

fn write_threshold(threshold: &Threshold) -> serde_json::Value {
    let mut written = json!({
        "filter": threshold.filter.text(),
        "comparison": enum_name(COMPARISONS, threshold.comparison),
        "thresholdValue": threshold.value,
        "duration": duration_out(threshold.duration),
        "trigger": write_trigger(threshold.trigger),
    });
    put_aggregations(&mut written, &threshold.aggregations);
    if let (Some(missing), Some(members)) = (threshold.missing_data, written.as_object_mut()) {
        let name = enum_name(MISSING_DATA, missing);
        members.insert("evaluationMissingData".to_owned(), json!(name));
    }
    written
}

fn write_absence(absence: &Absence) -> serde_json::Value {
    let mut written = json!({
        "filter": absence.filter.text(),
        "duration": duration_out(absence.duration),
        "trigger": write_trigger(absence.trigger),
    });
    put_aggregations(&mut written, &absence.aggregations);
    written
}

fn write_log_match(matched: &LogMatch) -> serde_json::Value {
    let mut written = json!({ "filter": matched.filter.text() });
    if let Some(members) = written.as_object_mut()
        && !matched.label_extractors.is_empty()
    {
        members.insert(
            "labelExtractors".to_owned(),
            write_extractors(&matched.label_extractors),
        );
    }
    written
}

fn write_trigger(trigger: Trigger) -> serde_json::Value {
    match trigger {
        Trigger::Count(count) => json!({ "count": count }),
        Trigger::Percent(percent) => json!({ "percent": percent }),
    }
}

fn put_aggregations(written: &mut serde_json::Value, aggregations: &[Aggregation]) {
    if let Some(members) = written.as_object_mut()
        && !aggregations.is_empty()
    {
        let aggregations = aggregations.iter().map(write_aggregation).collect();
        members.insert("aggregations".to_owned(), aggregations);
    }
}

fn write_aggregation(aggregation: &Aggregation) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    if !aggregation.alignment_period.is_zero() {
        put(
            "alignmentPeriod",
            json!(duration_out(aggregation.alignment_period)),
        );
    }
    put(
        "perSeriesAligner",
        json!(enum_name(ALIGNERS, Some(aggregation.aligner))),
    );
    if aggregation.reducer != Reducer::None {
        put(
            "crossSeriesReducer",
            json!(enum_name(REDUCERS, Some(aggregation.reducer))),
        );
    }
    if !aggregation.group_by.is_empty() {
        put("groupByFields", json!(aggregation.group_by));
    }
    members.into()
}
