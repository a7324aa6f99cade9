//! Log-based metrics: entries counted, or a number taken out of each.

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use serde_json::{Map, json};

use super::extract::{take_extractors, write_extractors};
use super::{Entry, Extractor, Query};
use crate::json::{EnumRow, InvalidField, Object, Value, enum_name, timestamp_out};

const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 8_000;
const MAX_LABELS: usize = 10;
/// Google's servers allow 200; a bucket is a number per series and minute.
const MAX_BUCKETS: i64 = 200;

/// What Cloud Monitoring calls a log-based metric, but for its name.
pub const TYPE_PREFIX: &str = "logging.googleapis.com/user/";

/// A log-based metric as a client writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogMetric {
    /// Its id; with `/` in it as such.
    pub name: String,
    /// What it counts, for people.
    pub description: String,
    /// Which entries count.
    pub filter: Query,
    /// Whether nothing is counted.
    pub disabled: bool,
    /// The unit of its values: `1` for a count.
    pub unit: String,
    /// Its name for people.
    pub display_name: String,
    /// Its labels, each with what fills it.
    pub labels: Vec<MetricLabel>,
    /// What is taken out of each entry; otherwise entries are counted.
    pub distribution: Option<DistributionOf>,
}

/// A label of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricLabel {
    /// Its key.
    pub key: String,
    /// What it holds.
    pub kind: LabelType,
    /// What it is, for people.
    pub description: String,
    /// What fills it.
    pub extractor: Extractor,
}

/// What a label holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum LabelType {
    String,
    Bool,
    Int64,
}

/// The numbers taken out of entries, and how they are sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributionOf {
    /// What takes the number.
    pub extractor: Extractor,
    /// What they are sorted into.
    pub buckets: Option<Buckets>,
}

impl DistributionOf {
    /// The number it takes out of an entry; nothing where there is no finite one.
    pub fn number(&self, entry: &Entry<'_>) -> Option<f64> {
        let number: f64 = self.extractor.of(entry).trim().parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// How the numbers are sorted: where nothing is said, as Google's servers do then.
    pub fn sorted_by(&self) -> Buckets {
        self.buckets.clone().unwrap_or(Buckets::Exponential {
            count: 64,
            growth: 2.0,
            scale: 0.01,
        })
    }
}

/// How numbers are sorted into buckets. Below the first bound and above the last lies one bucket each.
#[derive(Debug, Clone, PartialEq)]
pub enum Buckets {
    /// Buckets of one width.
    Linear {
        /// How many, without the two outer ones.
        count: u32,
        /// The width of each.
        width: f64,
        /// Where the first begins.
        offset: f64,
    },
    /// Each bucket `growth` times as wide as the one before.
    Exponential {
        /// How many, without the two outer ones.
        count: u32,
        /// The factor from bound to bound.
        growth: f64,
        /// Where the first begins.
        scale: f64,
    },
    /// These bounds.
    Explicit(Vec<f64>),
}

impl Buckets {
    /// Every bound, ascending: one less than there are buckets.
    pub fn bounds(&self) -> Vec<f64> {
        match self {
            Buckets::Linear { count, width, offset } => (0..=*count)
                .map(|index| width.mul_add(f64::from(index), *offset))
                .collect(),
            Buckets::Exponential { count, growth, scale } => (0..=*count)
                .map(|index| scale * growth.powf(f64::from(index)))
                .collect(),
            Buckets::Explicit(bounds) => bounds.clone(),
        }
    }
}

const LABEL_TYPES: &[EnumRow<LabelType>] = &[
    ("STRING", 0, LabelType::String),
    ("BOOL", 1, LabelType::Bool),
    ("INT64", 2, LabelType::Int64),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueType {
    Int64,
    Distribution,
    Other,
}

const VALUE_TYPES: &[EnumRow<ValueType>] = &[
    ("INT64", 2, ValueType::Int64),
    ("DISTRIBUTION", 5, ValueType::Distribution),
    ("BOOL", 1, ValueType::Other),
    ("DOUBLE", 3, ValueType::Other),
    ("STRING", 4, ValueType::Other),
    ("MONEY", 6, ValueType::Other),
];

/// `true` for the one kind that a log-based metric has.
const METRIC_KINDS: &[EnumRow<bool>] = &[("DELTA", 2, true), ("GAUGE", 1, false), ("CUMULATIVE", 3, false)];

/// Reads a metric. Its times mean nothing in a request.
pub fn read_metric(value: Value) -> Result<LogMetric, InvalidField> {
    let mut object = Object::new(value, "")?;
    for field in ["createTime", "updateTime", "version", "resourceName"] {
        object.ignore(field);
    }
    if object.has("bucketName") {
        let why = "entries are counted per project here: metrics on one log bucket are not kept";
        return Err(object.refused("bucketName", why));
    }
    let name = take_name(&mut object)?;
    let filter = object.take_string("filter")?;
    let filter = Query::parse(&filter).map_err(|error| object.within("filter", &error))?;
    let description = object.take_optional_string("description")?.unwrap_or_default();
    if description.len() > MAX_DESCRIPTION {
        let why = format_args!("is longer than {MAX_DESCRIPTION} bytes");
        return Err(object.refused("description", why));
    }
    let disabled = object.take_optional_bool("disabled")?.unwrap_or_default();
    let extractor = match object.take_optional_string("valueExtractor")? {
        None => None,
        Some(text) => Some(Extractor::parse(&text).map_err(|error| object.within("valueExtractor", &error))?),
    };
    let buckets = take_buckets(&mut object)?;
    let distribution = match (extractor, buckets) {
        (Some(extractor), buckets) => Some(DistributionOf { extractor, buckets }),
        (None, None) => None,
        (None, Some(_)) => {
            let why = "is for metrics with a `valueExtractor` only: a count has no buckets";
            return Err(object.refused("bucketOptions", why));
        }
    };
    let extractors = take_extractors(&mut object, MAX_LABELS)?;
    let descriptor = take_descriptor(&mut object, distribution.is_some())?;
    object.finish()?;
    Ok(LogMetric {
        name,
        description,
        filter,
        disabled,
        unit: descriptor.unit,
        display_name: descriptor.display_name,
        labels: joined_labels(descriptor.labels, extractors)?,
        distribution,
    })
}

fn take_name(object: &mut Object) -> Result<String, InvalidField> {
    let name = object.take_string("name")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.,+!*',()%/".contains(&byte);
    if name.len() > MAX_NAME || name.starts_with('/') || !name.bytes().all(allowed) {
        let why = format_args!(
            "expected at most {MAX_NAME} letters, digits or `_-.,+!*',()%/`, the first not a `/`"
        );
        return Err(object.refused("name", why));
    }
    Ok(name)
}

struct Descriptor {
    unit: String,
    display_name: String,
    labels: Vec<(String, LabelType, String)>,
}

fn take_descriptor(object: &mut Object, is_distribution: bool) -> Result<Descriptor, InvalidField> {
    let mut descriptor = Descriptor {
        unit: "1".to_owned(),
        display_name: String::new(),
        labels: Vec::new(),
    };
    let Some(mut given) = object.take_optional_object("metricDescriptor")? else {
        return Ok(descriptor);
    };
    for field in [
        "name",
        "type",
        "description",
        "launchStage",
        "metadata",
        "monitoredResourceTypes",
    ] {
        given.ignore(field);
    }
    if given.take_optional_enum("metricKind", METRIC_KINDS)? == Some(false) {
        return Err(given.refused(
            "metricKind",
            "expected `DELTA`: what happened since the last point",
        ));
    }
    let (expected, reason) = if is_distribution {
        (
            ValueType::Distribution,
            "expected `DISTRIBUTION`, as there is a `valueExtractor`",
        )
    } else {
        (
            ValueType::Int64,
            "expected `INT64`, as there is no `valueExtractor`",
        )
    };
    if given
        .take_optional_enum("valueType", VALUE_TYPES)?
        .is_some_and(|kind| kind != expected)
    {
        return Err(given.refused("valueType", reason));
    }
    if let Some(unit) = given.take_optional_string("unit")? {
        descriptor.unit = unit;
    }
    descriptor.display_name = given.take_optional_string("displayName")?.unwrap_or_default();
    for mut label in given.take_objects("labels")? {
        let key = label.take_string("key")?;
        let kind = label
            .take_optional_enum("valueType", LABEL_TYPES)?
            .unwrap_or(LabelType::String);
        let description = label.take_optional_string("description")?.unwrap_or_default();
        label.finish()?;
        descriptor.labels.push((key, kind, description));
    }
    given.finish()?;
    Ok(descriptor)
}

/// Every label has one extractor. Google's servers want each label described as well; one that is not holds text.
fn joined_labels(
    described: Vec<(String, LabelType, String)>,
    extractors: Vec<(String, Extractor)>,
) -> Result<Vec<MetricLabel>, InvalidField> {
    for (index, (key, _, _)) in described.iter().enumerate() {
        let path = format!("metricDescriptor.labels[{index}].key");
        if described.iter().take(index).any(|(known, _, _)| known == key) {
            return Err(InvalidField::refused(path, "is described twice"));
        }
        if !extractors.iter().any(|(known, _)| known == key) {
            let why = "has no extractor: expected one of that name in `labelExtractors`";
            return Err(InvalidField::refused(path, why));
        }
    }
    let label = |(key, extractor): (String, Extractor)| {
        let found = described.iter().find(|(known, _, _)| *known == key);
        MetricLabel {
            kind: found.map_or(LabelType::String, |(_, kind, _)| *kind),
            description: found.map_or(String::new(), |(_, _, description)| description.clone()),
            key,
            extractor,
        }
    };
    Ok(extractors.into_iter().map(label).collect())
}

/// Takes `bucketOptions`.
pub fn take_buckets(object: &mut Object) -> Result<Option<Buckets>, InvalidField> {
    let Some(mut given) = object.take_optional_object("bucketOptions")? else {
        return Ok(None);
    };
    let linear = given.take_optional_object("linearBuckets")?;
    let exponential = given.take_optional_object("exponentialBuckets")?;
    let explicit = given.take_optional_object("explicitBuckets")?;
    let buckets = match (linear, exponential, explicit) {
        (Some(mut linear), None, None) => {
            let count = take_count(&mut linear)?;
            let width = take_above(&mut linear, "width", 0.0)?;
            let offset = linear.take_optional_f64("offset")?.unwrap_or_default();
            linear.finish()?;
            Buckets::Linear { count, width, offset }
        }
        (None, Some(mut exponential), None) => {
            let count = take_count(&mut exponential)?;
            let growth = take_above(&mut exponential, "growthFactor", 1.0)?;
            let scale = take_above(&mut exponential, "scale", 0.0)?;
            exponential.finish()?;
            Buckets::Exponential { count, growth, scale }
        }
        (None, None, Some(explicit)) => Buckets::Explicit(take_bounds(explicit)?),
        _ => {
            let why = "expected one of `linearBuckets`, `exponentialBuckets` and `explicitBuckets`";
            return Err(object.refused("bucketOptions", why));
        }
    };
    given.finish()?;
    Ok(Some(buckets))
}

fn take_bounds(mut explicit: Object) -> Result<Vec<f64>, InvalidField> {
    let mut bounds: Vec<f64> = Vec::new();
    for element in explicit.take_array("bounds")? {
        match element.value {
            Value::Number(number) => bounds.extend(number.as_f64()),
            _ => return Err(InvalidField::refused(element.path, "expected a number")),
        }
    }
    let ascending = bounds
        .iter()
        .zip(bounds.iter().skip(1))
        .all(|(left, right)| left < right);
    if bounds.is_empty() || !ascending || i64::try_from(bounds.len()).is_ok_and(|count| count > MAX_BUCKETS) {
        let why = format_args!("expected 1 to {MAX_BUCKETS} bounds, each above the one before");
        return Err(explicit.refused("bounds", why));
    }
    explicit.finish()?;
    Ok(bounds)
}

fn take_count(object: &mut Object) -> Result<u32, InvalidField> {
    let count = object.take_i64("numFiniteBuckets")?;
    match u32::try_from(count) {
        Ok(small) if (1..=MAX_BUCKETS).contains(&count) => Ok(small),
        _ => {
            let why = format_args!("expected 1 to {MAX_BUCKETS}");
            Err(object.refused("numFiniteBuckets", why))
        }
    }
}

fn take_above(object: &mut Object, field: &'static str, limit: f64) -> Result<f64, InvalidField> {
    match object.take_optional_f64(field)? {
        Some(number) if number > limit => Ok(number),
        _ => Err(object.refused(field, format_args!("expected a number above {limit}"))),
    }
}

/// Writes a metric as it is kept, and as [`read_metric`] reads it.
pub fn write_stored_metric(metric: &LogMetric) -> serde_json::Value {
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put("name", json!(metric.name));
    put("filter", json!(metric.filter.text()));
    if !metric.description.is_empty() {
        put("description", json!(metric.description));
    }
    if metric.disabled {
        put("disabled", json!(true));
    }
    if !metric.labels.is_empty() {
        let extractors: Vec<(String, Extractor)> = metric
            .labels
            .iter()
            .map(|label| (label.key.clone(), label.extractor.clone()))
            .collect();
        put("labelExtractors", write_extractors(&extractors));
    }
    if let Some(distribution) = &metric.distribution {
        put("valueExtractor", json!(distribution.extractor.text()));
        if let Some(buckets) = &distribution.buckets {
            put("bucketOptions", write_buckets(buckets));
        }
    }
    put("metricDescriptor", write_descriptor(metric));
    members.into()
}

/// Writes what Cloud Monitoring says of a metric.
pub fn write_metric_descriptor(project: &ProjectId, metric: &LogMetric) -> serde_json::Value {
    let mut written = write_descriptor(metric);
    if let Some(members) = written.as_object_mut() {
        let kind = format!("{TYPE_PREFIX}{}", metric.name);
        let name = format!("projects/{project}/metricDescriptors/{kind}");
        members.insert("name".to_owned(), json!(name));
        members.insert("type".to_owned(), json!(kind));
        if !metric.description.is_empty() {
            members.insert("description".to_owned(), json!(metric.description));
        }
    }
    written
}

/// Writes a metric as clients see it.
pub fn write_metric(
    project: &ProjectId,
    metric: &LogMetric,
    created: UnixTime,
    updated: UnixTime,
) -> serde_json::Value {
    let mut written = write_stored_metric(metric);
    if let Some(members) = written.as_object_mut() {
        let descriptor = write_metric_descriptor(project, metric);
        members.insert("metricDescriptor".to_owned(), descriptor);
        let escaped = metric.name.replace('%', "%25").replace('/', "%2F");
        let resource_name = format!("projects/{project}/metrics/{escaped}");
        members.insert("resourceName".to_owned(), json!(resource_name));
        members.insert("createTime".to_owned(), json!(timestamp_out(created)));
        members.insert("updateTime".to_owned(), json!(timestamp_out(updated)));
    }
    written
}

fn write_descriptor(metric: &LogMetric) -> serde_json::Value {
    let value_type = if metric.distribution.is_some() {
        ValueType::Distribution
    } else {
        ValueType::Int64
    };
    let mut members = Map::new();
    let mut put = |key: &str, value: serde_json::Value| members.insert(key.to_owned(), value);
    put("metricKind", json!("DELTA"));
    put("valueType", json!(enum_name(VALUE_TYPES, value_type)));
    put("unit", json!(metric.unit));
    if !metric.display_name.is_empty() {
        put("displayName", json!(metric.display_name));
    }
    if !metric.labels.is_empty() {
        put("labels", metric.labels.iter().map(write_label).collect());
    }
    members.into()
}

/// proto3 JSON leaves out an enumeration's first value and empty text.
fn write_label(label: &MetricLabel) -> serde_json::Value {
    let mut written = Map::new();
    written.insert("key".to_owned(), json!(label.key));
    if label.kind != LabelType::String {
        written.insert("valueType".to_owned(), json!(enum_name(LABEL_TYPES, label.kind)));
    }
    if !label.description.is_empty() {
        written.insert("description".to_owned(), json!(label.description));
    }
    written.into()
}

/// Writes `bucketOptions`.
pub fn write_buckets(buckets: &Buckets) -> serde_json::Value {
    match buckets {
        Buckets::Linear { count, width, offset } => json!({
            "linearBuckets": { "numFiniteBuckets": count, "width": width, "offset": offset },
        }),
        Buckets::Exponential { count, growth, scale } => json!({
            "exponentialBuckets": { "numFiniteBuckets": count, "growthFactor": growth, "scale": scale },
        }),
        Buckets::Explicit(bounds) => json!({ "explicitBuckets": { "bounds": bounds } }),
    }
}
