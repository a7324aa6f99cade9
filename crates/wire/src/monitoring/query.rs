//! What is asked of time series: which, of when, and what is to be made of them.

use binauthz_core::time::UnixTime;

use super::Filter;
use super::policy::{Aggregation, Reducer, is_group_field, take_aggregation};
use super::time_series::take_interval;
use crate::json::{EnumRow, InvalidField, Object, Value};

/// A question for time series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesQuery {
    /// Which series. It names one metric.
    pub filter: Filter,
    /// Points end after this.
    pub start: UnixTime,
    /// Points end by this.
    pub end: UnixTime,
    /// What is made of them.
    pub aggregation: Option<Aggregation>,
    /// Whether points are wanted, or only which series there are.
    pub with_points: bool,
}

/// `true` with points.
const VIEWS: &[EnumRow<bool>] = &[("FULL", 0, true), ("HEADERS", 1, false)];

/// Reads the members of `ListTimeSeriesRequest` that are not about pages.
pub fn read_series_query(value: Value) -> Result<SeriesQuery, InvalidField> {
    let mut object = Object::new(value, "")?;
    let text = object.take_string("filter")?;
    let filter = Filter::parse(&text).map_err(|error| object.within("filter", &error))?;
    if filter.metric_type().is_none() {
        let why = "expected `metric.type = \"…\"`: a list is of one metric's series";
        return Err(object.refused("filter", why));
    }
    let (start, end) = take_interval(&mut object)?;
    let aggregation = match object.take_optional_object("aggregation")? {
        None => None,
        Some(given) => Some(aggregation(given)?),
    };
    if object.has("secondaryAggregation") {
        return Err(object.refused("secondaryAggregation", "is not computed by this server"));
    }
    if object.has("orderBy") {
        let why = "expected nothing: series come by their labels, and points with the youngest first";
        return Err(object.refused("orderBy", why));
    }
    object.ignore("secondaryAggregation");
    object.ignore("orderBy");
    let with_points = object.take_optional_enum("view", VIEWS)?.unwrap_or(true);
    object.finish()?;
    Ok(SeriesQuery {
        filter,
        start,
        end,
        aggregation,
        with_points,
    })
}

fn aggregation(object: Object) -> Result<Aggregation, InvalidField> {
    let path = object.path_of("groupByFields");
    let aggregation = take_aggregation(object)?;
    for (index, field) in aggregation.group_by.iter().enumerate() {
        if aggregation.reducer != Reducer::None && !is_group_field(field) {
            let why = "expected `metric.labels.KEY`, `resource.labels.KEY`, `resource.type`, `metric.type` or `project`";
            return Err(InvalidField::refused(format!("{path}[{index}]"), why));
        }
    }
    Ok(aggregation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::policy::Aligner;
    use super::*;

    fn read(value: serde_json::Value) -> Result<SeriesQuery, String> {
        read_series_query(value.into()).map_err(|error| error.to_string())
    }

    fn full() -> serde_json::Value {
        json!({
            "filter": "metric.type=\"m\" AND resource.type=\"k8s_cluster\"",
            "interval": { "startTime": "2026-11-23T08:00:00Z", "endTime": "2026-11-23T09:00:00Z" },
            "aggregation": { "alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_PERCENTILE_95",
                "crossSeriesReducer": "REDUCE_MAX", "groupByFields": ["metric.labels.a", "resource.label.b"] },
            "view": "HEADERS",
        })
    }

    #[test]
    fn a_question_is_read() {
        let query = read(full()).unwrap();
        assert_eq!(query.end.as_micros() - query.start.as_micros(), 3_600_000_000);
        assert!(!query.with_points);
        let aggregation = query.aggregation.unwrap();
        assert_eq!(aggregation.aligner, Aligner::Percentile95);
        assert_eq!(aggregation.group_by.len(), 2);
        let short =
            json!({ "filter": "metric.type=\"m\"", "interval": { "endTime": "2026-11-23T09:00:00Z" } });
        let query = read(short).unwrap();
        assert_eq!(
            (query.start, query.aggregation, query.with_points),
            (query.end, None, true)
        );
    }

    #[test]
    fn a_question_that_cannot_be_answered_names_its_field() {
        for (path, value, expected) in [
            ("/filter", json!(""), "`filter` is required"),
            (
                "/filter",
                json!("resource.type=\"x\""),
                "`filter`: expected `metric.type",
            ),
            ("/filter", json!("metric.type="), "`filter`: "),
            ("/interval", json!(null), "`interval` is required"),
            ("/interval/endTime", json!(""), "`interval.endTime` is required"),
            (
                "/interval/endTime",
                json!("now"),
                "`interval.endTime` must be a time",
            ),
            (
                "/interval/startTime",
                json!("2027-01-01T00:00:00Z"),
                "`interval.startTime`: is after",
            ),
            (
                "/aggregation/alignmentPeriod",
                json!("59s"),
                "`aggregation.alignmentPeriod`: expected at least",
            ),
            (
                "/aggregation/alignmentPeriod",
                json!(""),
                "`aggregation.alignmentPeriod`: expected at least",
            ),
            (
                "/aggregation/perSeriesAligner",
                json!("ALIGN_STDDEV"),
                "`aggregation.perSeriesAligner`: is not computed",
            ),
            (
                "/aggregation/perSeriesAligner",
                json!("ALIGN_NONE"),
                "`aggregation.perSeriesAligner`: expected an aligner",
            ),
            (
                "/aggregation/crossSeriesReducer",
                json!("REDUCE_STDDEV"),
                "`aggregation.crossSeriesReducer`: is not",
            ),
            (
                "/aggregation/groupByFields",
                json!(["x"]),
                "`aggregation.groupByFields[0]`: expected",
            ),
            ("/view", json!("HALF"), "`view` is `HALF`"),
        ] {
            let mut query = full();
            *query.pointer_mut(path).unwrap() = value;
            let error = read(query).unwrap_err();
            assert!(error.starts_with(expected), "{path}: {error}");
        }
        for field in ["orderBy", "secondaryAggregation", "frob"] {
            let mut query = full();
            query[field] = json!({ "a": 1 });
            let error = read(query).unwrap_err();
            assert!(error.starts_with(&format!("`{field}`")), "{error}");
        }
    }
}
