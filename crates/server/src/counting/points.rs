//! The points of a metric, as time series.

use std::collections::BTreeMap;

use binauthz_core::time::UnixTime;
use binauthz_store::Unavailable;
use binauthz_wire::monitoring::Series;
use binauthz_wire::monitoring::query::SeriesQuery;
use binauthz_wire::monitoring::time_series::{MetricKind, Point, PointValue, TimeSeries, ValueType};

use super::definition::Definition;
use super::value::{Counted, SeriesKey};
use crate::app::App;

/// Points of one answer before they are aggregated. A count takes 50 bytes and a distribution with 200 buckets 3 KB:
/// 10 MB as a rule and 600 MB at the very worst, so distributions count for as many points as they have buckets.
const MOST_POINTS: usize = 200_000;
/// Points of one question to the store: some 5 ms, so that nobody waits long for his turn.
const PAGE: u32 = 5_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// Why there are no series.
#[derive(Debug)]
pub(crate) enum Refused {
    Unavailable(Unavailable),
    /// The interval holds more than this many points.
    TooMany(usize),
}

impl From<Unavailable> for Refused {
    fn from(error: Unavailable) -> Self {
        Refused::Unavailable(error)
    }
}

type Labels = Vec<(String, String)>;

/// The series of a metric that have points in the interval, by their labels, with the youngest point first. Where no
/// points are wanted there is one each.
pub(crate) async fn series_of(
    app: &App,
    definition: &Definition,
    query: &SeriesQuery,
    now: UnixTime,
) -> Result<Vec<TimeSeries>, Refused> {
    let metric_type = definition.metric_type();
    let mut found: BTreeMap<(Labels, String, Labels), BTreeMap<i64, PointValue>> = BTreeMap::new();
    let mut left = MOST_POINTS;
    for row in app.store.metric_series(&definition.key).await? {
        let Some(key) = SeriesKey::from_text(&row.series) else {
            continue;
        };
        let series = Series {
            project: &definition.project,
            metric_type: &metric_type,
            metric_labels: &key.metric,
            resource_type: &key.resource,
            resource_labels: &key.labels,
        };
        if !query.filter.matches(series) {
            continue;
        }
        let bounds = key.bounds();
        let points = found.entry((key.metric, key.resource, key.labels)).or_default();
        read_points(app, row.id, (query, now), &mut |minute, counted: Counted| {
            left = left
                .checked_sub(bounds.len().max(1))
                .ok_or(Refused::TooMany(MOST_POINTS))?;
            let value = counted.into_value(&bounds);
            // The minute in which the buckets were changed is in two series.
            if let PointValue::Distribution(more) = &value
                && let Some(PointValue::Distribution(known)) = points.get_mut(&minute)
            {
                known.merge(more);
            } else {
                points.insert(minute, value);
            }
            Ok(())
        })
        .await?;
    }
    found.retain(|_, points| !points.is_empty());
    let of = |((metric_labels, resource_type, resource_labels), points): (
        (Labels, String, Labels),
        BTreeMap<_, _>,
    )| {
        TimeSeries {
            metric_type: metric_type.clone(),
            metric_labels,
            resource_type,
            resource_labels,
            metric_kind: MetricKind::Delta,
            value_type: match definition.metric.distribution {
                Some(_) => ValueType::Distribution,
                None => ValueType::Int64,
            },
            points: points
                .into_iter()
                .rev()
                .filter_map(|(minute, value)| point(minute, value, (query, now)))
                .collect(),
        }
    };
    Ok(found.into_iter().map(of).collect())
}

/// Reads the points of one series within the interval.
async fn read_points(
    app: &App,
    series: i64,
    (query, now): (&SeriesQuery, UnixTime),
    each: &mut (dyn FnMut(i64, Counted) -> Result<(), Refused> + Send),
) -> Result<(), Refused> {
    let last = query.end.as_micros().div_euclid(MINUTE_MICROS);
    let mut from = query.start.as_micros().div_euclid(MINUTE_MICROS);
    loop {
        let rows = app.store.metric_points(series, (from, last), PAGE).await?;
        let is_last = rows.len() < PAGE as usize;
        for (minute, value) in rows {
            from = minute.saturating_add(1);
            if interval(minute, (query, now)).is_none() {
                continue;
            }
            if let Some(counted) = Counted::from_text(&value) {
                each(minute, counted)?;
                if !query.with_points {
                    return Ok(());
                }
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

fn point(minute: i64, value: PointValue, at: (&SeriesQuery, UnixTime)) -> Option<Point> {
    let (start, end) = interval(minute, at)?;
    Some(Point { start, end, value })
}

/// The time of a minute's point, if it ends in the interval. The minute that is not over yet ends where the interval
/// does.
fn interval(minute: i64, (query, now): (&SeriesQuery, UnixTime)) -> Option<(UnixTime, UnixTime)> {
    let start = UnixTime::from_micros(minute.saturating_mul(MINUTE_MICROS));
    let end = UnixTime::from_micros(minute.saturating_add(1).saturating_mul(MINUTE_MICROS));
    let end = if end > now { end.min(query.end) } else { end };
    (query.start < end && end <= query.end && start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use binauthz_wire::monitoring::query::read_series_query;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_minute_belongs_to_the_interval_its_end_is_in() {
        let seconds = |second: i64| UnixTime::from_seconds(1_795_420_800 + second);
        let minute = 1_795_420_800 / 60;
        for (start, end, now, expected) in [
            (0, 60, 100, Some(60)),
            (-60, 120, 100, Some(60)),
            (0, 59, 100, None),
            (60, 120, 100, None),
            (59, 60, 100, Some(60)),
            // It is not over yet.
            (0, 30, 30, Some(30)),
            (0, 20, 30, Some(20)),
            (0, 90, 30, Some(60)),
            (-60, 0, 30, None),
            (30, 30, 30, None),
        ] {
            let query = read_series_query(
                json!({
                    "filter": "metric.type=\"m\"",
                    "interval": {
                        "startTime": binauthz_wire::json::timestamp_out(seconds(start)),
                        "endTime": binauthz_wire::json::timestamp_out(seconds(end)),
                    },
                })
                .into(),
            )
            .unwrap();
            let found = interval(minute, (&query, seconds(now)));
            assert_eq!(
                found.map(|(_, end)| end),
                expected.map(seconds),
                "({start}, {end}] at {now}"
            );
        }
    }
}
