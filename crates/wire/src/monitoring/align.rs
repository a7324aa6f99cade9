//! From points of minutes to points of periods, and from many series to few.

use std::collections::BTreeMap;

use binauthz_core::time::UnixTime;

use super::distribution::Distribution;
use super::policy::{Aggregation, Aligner, Reducer, group_labels};
use super::time_series::{MetricKind, Point, PointValue, TimeSeries, ValueType};
use crate::json::InvalidField;

/// Longer than what is kept of any series in points of the shortest period: 60 days of minutes.
const MOST_PERIODS: i64 = 86_400;

/// Makes of each series what the aggregation says, in periods that go back from `end`. A point belongs to the period its
/// end is in; a period without one has no point.
pub fn aggregate(
    series: Vec<TimeSeries>,
    aggregation: &Aggregation,
    (start, end): (UnixTime, UnixTime),
) -> Result<Vec<TimeSeries>, InvalidField> {
    if aggregation.aligner == Aligner::None {
        return Ok(series);
    }
    let period = i64::try_from(aggregation.alignment_period.as_micros()).unwrap_or(i64::MAX);
    let asked = end.as_micros().saturating_sub(start.as_micros());
    if period == 0 || asked / period > MOST_PERIODS {
        let why = format_args!("the interval has more than {MOST_PERIODS} of it");
        return Err(InvalidField::refused("aggregation.alignmentPeriod", why));
    }
    let aligned = series
        .into_iter()
        .map(|series| align(series, aggregation.aligner, (end.as_micros(), period)))
        .collect::<Result<Vec<_>, _>>()?;
    reduce(aligned, aggregation)
}

fn align(
    mut series: TimeSeries,
    aligner: Aligner,
    (end, period): (i64, i64),
) -> Result<TimeSeries, InvalidField> {
    let Some((kind, value_type)) = made_by(aligner, series.value_type) else {
        let why = format_args!(
            "cannot be made of the values of `{}`: counts have no percentiles, and of distributions there are only \
             percentiles, ALIGN_DELTA, ALIGN_SUM and ALIGN_COUNT",
            series.metric_type
        );
        return Err(InvalidField::refused("aggregation.perSeriesAligner", why));
    };
    let mut periods: BTreeMap<i64, Vec<PointValue>> = BTreeMap::new();
    for point in series.points {
        let back = end.saturating_sub(point.end.as_micros()).div_euclid(period);
        periods.entry(back).or_default().push(point.value);
    }
    let seconds = real(period) / 1e6;
    let made = periods.into_iter().filter_map(|(back, values)| {
        let end = end.saturating_sub(back.saturating_mul(period));
        let start = if kind == MetricKind::Gauge {
            end
        } else {
            end.saturating_sub(period)
        };
        Some(Point {
            start: UnixTime::from_micros(start),
            end: UnixTime::from_micros(end),
            value: one_of(&values, aligner, seconds)?,
        })
    });
    series.points = made.collect();
    (series.metric_kind, series.value_type) = (kind, value_type);
    Ok(series)
}

/// What an aligner makes of values of a type, if it can.
fn made_by(aligner: Aligner, of: ValueType) -> Option<(MetricKind, ValueType)> {
    use Aligner as A;
    let is_distribution = of == ValueType::Distribution;
    match aligner {
        A::None => None,
        A::Delta | A::Sum => Some((MetricKind::Delta, of)),
        A::Count => Some((MetricKind::Gauge, ValueType::Int64)),
        A::Percentile99 | A::Percentile95 | A::Percentile50 | A::Percentile05 => {
            is_distribution.then_some((MetricKind::Gauge, ValueType::Double))
        }
        A::Rate | A::Mean => (!is_distribution).then_some((MetricKind::Gauge, ValueType::Double)),
        A::Min | A::Max => (!is_distribution).then_some((MetricKind::Gauge, of)),
    }
}

/// One value of those of a period.
fn one_of(values: &[PointValue], aligner: Aligner, seconds: f64) -> Option<PointValue> {
    let percentile = |percent| match sum(values) {
        Some(PointValue::Distribution(all)) => all.percentile(percent).map(PointValue::Double),
        _ => None,
    };
    match aligner {
        Aligner::None => None,
        Aligner::Delta | Aligner::Sum => sum(values),
        Aligner::Rate => Some(PointValue::Double(number(&sum(values)?)? / seconds)),
        Aligner::Mean => mean(values),
        Aligner::Count => Some(count(values)),
        Aligner::Min => extreme(values, f64::lt),
        Aligner::Max => extreme(values, f64::gt),
        Aligner::Percentile99 => percentile(99.0),
        Aligner::Percentile95 => percentile(95.0),
        Aligner::Percentile50 => percentile(50.0),
        Aligner::Percentile05 => percentile(5.0),
    }
}

/// Series that share what they are grouped by become one: at each time, of the points there are.
fn reduce(series: Vec<TimeSeries>, aggregation: &Aggregation) -> Result<Vec<TimeSeries>, InvalidField> {
    let reducer = aggregation.reducer;
    if reducer == Reducer::None {
        return Ok(series);
    }
    type Labels = Vec<(String, String)>;
    let mut groups: BTreeMap<(Labels, Labels, String), Vec<TimeSeries>> = BTreeMap::new();
    for one in series {
        if matches!(reducer, Reducer::Min | Reducer::Max) && one.value_type == ValueType::Distribution {
            let why = "cannot be made of distributions: expected REDUCE_SUM, REDUCE_MEAN or REDUCE_COUNT";
            return Err(InvalidField::refused("aggregation.crossSeriesReducer", why));
        }
        let by_type = aggregation.group_by.iter().any(|field| field == "resource.type");
        let key = (
            group_labels(&one.metric_labels, "metric", &aggregation.group_by),
            group_labels(&one.resource_labels, "resource", &aggregation.group_by),
            if by_type {
                one.resource_type.clone()
            } else {
                String::new()
            },
        );
        groups.entry(key).or_default().push(one);
    }
    let joined = groups
        .into_iter()
        .filter_map(|((metric_labels, resource_labels, _), group)| {
            let first = group.first()?;
            let value_type = match reducer {
                Reducer::Count => ValueType::Int64,
                Reducer::Mean => ValueType::Double,
                Reducer::None | Reducer::Sum | Reducer::Min | Reducer::Max => first.value_type,
            };
            // Where they are about things of several types, none is named.
            let is_one_type = group.iter().all(|one| one.resource_type == first.resource_type);
            Some(TimeSeries {
                metric_type: first.metric_type.clone(),
                metric_labels,
                resource_type: if is_one_type {
                    first.resource_type.clone()
                } else {
                    String::new()
                },
                resource_labels,
                metric_kind: if matches!(reducer, Reducer::Sum) {
                    first.metric_kind
                } else {
                    MetricKind::Gauge
                },
                value_type,
                points: points_of(&group, reducer),
            })
        });
    Ok(joined.collect())
}

fn points_of(group: &[TimeSeries], reducer: Reducer) -> Vec<Point> {
    let mut times: BTreeMap<UnixTime, (UnixTime, Vec<PointValue>)> = BTreeMap::new();
    for point in group.iter().flat_map(|series| &series.points) {
        let at = times
            .entry(point.end)
            .or_insert_with(|| (point.start, Vec::new()));
        at.1.push(point.value.clone());
    }
    let made = times.into_iter().rev().filter_map(|(end, (start, values))| {
        let value = match reducer {
            Reducer::None => None,
            Reducer::Sum => sum(&values),
            Reducer::Mean => mean(&values),
            Reducer::Count => Some(count(&values)),
            Reducer::Min => extreme(&values, f64::lt),
            Reducer::Max => extreme(&values, f64::gt),
        }?;
        let start = if reducer == Reducer::Sum { start } else { end };
        Some(Point { start, end, value })
    });
    made.collect()
}

/// The sum, of the type of what is summed.
fn sum(values: &[PointValue]) -> Option<PointValue> {
    match values.first()? {
        PointValue::Int64(_) => {
            let whole = |value: &PointValue| match value {
                PointValue::Int64(number) => *number,
                _ => 0,
            };
            let sum = values.iter().map(whole).fold(0, i64::saturating_add);
            Some(PointValue::Int64(sum))
        }
        PointValue::Double(_) => Some(PointValue::Double(values.iter().filter_map(number).sum())),
        PointValue::Distribution(_) => {
            let mut sum = Distribution::default();
            for value in values {
                if let PointValue::Distribution(one) = value {
                    sum.merge(one);
                }
            }
            Some(PointValue::Distribution(sum))
        }
        PointValue::Bool(_) | PointValue::String(_) => None,
    }
}

/// The mean of numbers; of distributions, that of all their numbers.
fn mean(values: &[PointValue]) -> Option<PointValue> {
    match sum(values)? {
        PointValue::Distribution(all) => Some(PointValue::Double(all.mean)),
        sum => Some(PointValue::Double(
            number(&sum)? / real(i64::try_from(values.len()).ok()?),
        )),
    }
}

fn count(values: &[PointValue]) -> PointValue {
    PointValue::Int64(i64::try_from(values.len()).unwrap_or(i64::MAX))
}

/// The value that comes before all others by `comes_first`.
fn extreme(values: &[PointValue], comes_first: fn(&f64, &f64) -> bool) -> Option<PointValue> {
    let mut found: Option<(f64, &PointValue)> = None;
    for value in values {
        let number = number(value)?;
        if found.is_none_or(|(best, _)| comes_first(&number, &best)) {
            found = Some((number, value));
        }
    }
    found.map(|(_, value)| value.clone())
}

fn number(value: &PointValue) -> Option<f64> {
    match value {
        PointValue::Int64(number) => Some(real(*number)),
        PointValue::Double(number) => Some(*number),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn real(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
