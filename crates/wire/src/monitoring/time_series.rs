//! Time series: what was counted.

use binauthz_core::time::UnixTime;
use serde_json::{Map, json};

use super::distribution::Distribution;
use super::{Series, labels_out, take_labels};
use crate::json::{EnumRow, InvalidField, Object, Value, enum_name, timestamp_out};

/// The points of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSeries {
    /// Its metric.
    pub metric_type: String,
    /// The metric's labels.
    pub metric_labels: Vec<(String, String)>,
    /// What it is about.
    pub resource_type: String,
    /// That thing's labels.
    pub resource_labels: Vec<(String, String)>,
    /// How its points relate to time.
    pub metric_kind: MetricKind,
    /// What its points hold.
    pub value_type: ValueType,
    /// Its points, the youngest first.
    pub points: Vec<Point>,
}

/// How points relate to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// What was so at a moment.
    Gauge,
    /// What happened in a time.
    Delta,
    /// What has happened since a start.
    Cumulative,
}

/// What points hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum ValueType {
    Bool,
    Int64,
    Double,
    String,
    Distribution,
}

/// One value and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Where its time begins; for a gauge, where it ends.
    pub start: UnixTime,
    /// Where its time ends.
    pub end: UnixTime,
    /// The value.
    pub value: PointValue,
}

/// A value of a point.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum PointValue {
    Bool(bool),
    Int64(i64),
    Double(f64),
    String(String),
    Distribution(Distribution),
}

const METRIC_KINDS: &[EnumRow<MetricKind>] = &[
    ("GAUGE", 1, MetricKind::Gauge),
    ("DELTA", 2, MetricKind::Delta),
    ("CUMULATIVE", 3, MetricKind::Cumulative),
];

const VALUE_TYPES: &[EnumRow<ValueType>] = &[
    ("BOOL", 1, ValueType::Bool),
    ("INT64", 2, ValueType::Int64),
    ("DOUBLE", 3, ValueType::Double),
    ("STRING", 4, ValueType::String),
    ("DISTRIBUTION", 5, ValueType::Distribution),
];

impl TimeSeries {
    /// What identifies it within its project.
    pub fn series<'a>(&'a self, project: &'a str) -> Series<'a> {
        Series {
            project,
            metric_type: &self.metric_type,
            metric_labels: &self.metric_labels,
            resource_type: &self.resource_type,
            resource_labels: &self.resource_labels,
        }
    }
}

impl PointValue {
    fn kind(&self) -> ValueType {
        match self {
            PointValue::Bool(_) => ValueType::Bool,
            PointValue::Int64(_) => ValueType::Int64,
            PointValue::Double(_) => ValueType::Double,
            PointValue::String(_) => ValueType::String,
            PointValue::Distribution(_) => ValueType::Distribution,
        }
    }
}

/// Writes a series with its points.
pub fn write_time_series(series: &TimeSeries) -> serde_json::Value {
    let labelled = |kind: &str, labels: &[(String, String)]| {
        let mut members = Map::new();
        members.insert("type".to_owned(), json!(kind));
        if !labels.is_empty() {
            members.insert("labels".to_owned(), labels_out(labels));
        }
        serde_json::Value::from(members)
    };
    json!({
        "metric": labelled(&series.metric_type, &series.metric_labels),
        "resource": labelled(&series.resource_type, &series.resource_labels),
        "metricKind": enum_name(METRIC_KINDS, series.metric_kind),
        "valueType": enum_name(VALUE_TYPES, series.value_type),
        "points": series.points.iter().map(write_point).collect::<Vec<_>>(),
    })
}

fn write_point(point: &Point) -> serde_json::Value {
    let value = match &point.value {
        PointValue::Bool(flag) => json!({ "boolValue": flag }),
        PointValue::Int64(number) => json!({ "int64Value": number.to_string() }),
        PointValue::Double(number) => json!({ "doubleValue": number }),
        PointValue::String(text) => json!({ "stringValue": text }),
        PointValue::Distribution(distribution) => {
            json!({ "distributionValue": write_distribution(distribution) })
        }
    };
    json!({
        "interval": { "startTime": timestamp_out(point.start), "endTime": timestamp_out(point.end) },
        "value": value,
    })
}

fn write_distribution(distribution: &Distribution) -> serde_json::Value {
    let mut written = json!({
        "count": distribution.count.to_string(),
        "mean": distribution.mean,
        "sumOfSquaredDeviation": distribution.squared_deviation,
    });
    if let Some(members) = written.as_object_mut()
        && !distribution.bounds.is_empty()
    {
        let options = json!({ "explicitBuckets": { "bounds": distribution.bounds } });
        members.insert("bucketOptions".to_owned(), options);
        let counts = distribution.bucket_counts.iter();
        members.insert(
            "bucketCounts".to_owned(),
            counts.map(|count| json!(count.to_string())).collect(),
        );
    }
    written
}

/// Reads a series with its points.
pub fn read_time_series(value: Value) -> Result<TimeSeries, InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in ["metadata", "unit", "description"] {
        object.ignore(field);
    }
    let (metric_type, metric_labels) = take_labelled(object.take_object("metric")?)?;
    let (resource_type, resource_labels) = take_labelled(object.take_object("resource")?)?;
    let metric_kind = object.take_enum("metricKind", METRIC_KINDS)?;
    let value_type = object.take_enum("valueType", VALUE_TYPES)?;
    let points = object
        .take_objects("points")?
        .into_iter()
        .map(|point| take_point(point, value_type))
        .collect::<Result<_, _>>()?;
    object.finish()?;
    Ok(TimeSeries {
        metric_type,
        metric_labels,
        resource_type,
        resource_labels,
        metric_kind,
        value_type,
        points,
    })
}

fn take_labelled(mut object: Object) -> Result<(String, Vec<(String, String)>), InvalidField> {
    let kind = object.take_string("type")?;
    let labels = take_labels(&mut object, "labels")?;
    object.finish()?;
    Ok((kind, labels))
}

/// Takes an `interval`; one that says no beginning is an instant.
pub(super) fn take_interval(object: &mut Object) -> Result<(UnixTime, UnixTime), InvalidField> {
    let mut interval = object.take_object("interval")?;
    let Some(end) = interval.take_optional_timestamp("endTime")? else {
        return Err(InvalidField::missing(interval.path_of("endTime")));
    };
    let start = interval.take_optional_timestamp("startTime")?.unwrap_or(end);
    if start > end {
        return Err(interval.refused("startTime", "is after `endTime`"));
    }
    interval.finish()?;
    Ok((start, end))
}

fn take_point(mut object: Object, value_type: ValueType) -> Result<Point, InvalidField> {
    let (start, end) = take_interval(&mut object)?;
    let value = take_value(object.take_object("value")?)?;
    if value.kind() != value_type {
        let why = format_args!(
            "expected a value of type `{}`",
            enum_name(VALUE_TYPES, value_type)
        );
        return Err(object.refused("value", why));
    }
    object.finish()?;
    Ok(Point { start, end, value })
}

fn take_value(mut object: Object) -> Result<PointValue, InvalidField> {
    // Inside a oneof the empty text is a value.
    let text = match object.take_optional_value("stringValue")? {
        None => None,
        Some(Value::String(text)) => Some(PointValue::String(text)),
        Some(_) => return Err(object.refused("stringValue", "expected a string")),
    };
    let distribution = match object.take_optional_object("distributionValue")? {
        None => None,
        Some(distribution) => Some(PointValue::Distribution(take_distribution(distribution)?)),
    };
    let given = [
        object.take_optional_bool("boolValue")?.map(PointValue::Bool),
        object.take_optional_i64("int64Value")?.map(PointValue::Int64),
        object.take_optional_f64("doubleValue")?.map(PointValue::Double),
        text,
        distribution,
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(value), None) => {
            object.finish()?;
            Ok(value)
        }
        _ => Err(InvalidField::refused(object.path(), "expected one value")),
    }
}

fn take_distribution(mut object: Object) -> Result<Distribution, InvalidField> {
    let mut distribution = Distribution {
        count: object.take_optional_i64("count")?.unwrap_or_default(),
        mean: object.take_optional_f64("mean")?.unwrap_or_default(),
        squared_deviation: object
            .take_optional_f64("sumOfSquaredDeviation")?
            .unwrap_or_default(),
        ..Distribution::default()
    };
    if let Some(buckets) = crate::logging::metric::take_buckets(&mut object)? {
        distribution.bounds = buckets.bounds();
    }
    for element in object.take_array("bucketCounts")? {
        let path = element.path.clone();
        let count = element.into_i64()?;
        if count < 0 {
            return Err(InvalidField::refused(path, "expected a number from 0"));
        }
        distribution.bucket_counts.push(count);
    }
    if distribution.bucket_counts.len() > distribution.bounds.len() + 1 {
        return Err(object.refused("bucketCounts", "has more entries than there are buckets"));
    }
    object.finish()?;
    Ok(distribution)
}
