//! Time series of log-based metrics, and what is said of the metrics.

use binauthz_core::name::ProjectId;
use binauthz_store::Kind;
use binauthz_wire::logging::metric::write_metric_descriptor;
use binauthz_wire::monitoring::align::aggregate;
use binauthz_wire::monitoring::descriptor::{RESOURCES, ResourceDescriptor, write_resource_descriptor};
use binauthz_wire::monitoring::query::read_series_query;
use binauthz_wire::monitoring::time_series::{TimeSeries, write_time_series};
use binauthz_wire::monitoring::{Filter, Series};
use serde_json::Value;

use super::all;
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;
use crate::control::listing::{self, Page};
use crate::counting::{Definition, Refused, series_of};

/// Points of one page. One of a count is 130 bytes of JSON: 2.6 MB, below the 4 MiB that a gRPC client takes.
const PAGE_POINTS: u32 = 20_000;
/// The same for points with 200 buckets.
const PAGE_DISTRIBUTIONS: u32 = 1_000;

const FIELDS: &[&str] = &[
    "filter",
    "interval",
    "aggregation",
    "secondaryAggregation",
    "orderBy",
    "view",
];
const LISTS: &[&str] = &["aggregation.groupByFields", "secondaryAggregation.groupByFields"];

/// The log-based metrics of a project, by name.
async fn definitions(app: &App, project: &ProjectId) -> Result<Vec<Definition>, ApiError> {
    let rows = all(app, Kind::LogMetric, &format!("projects/{project}")).await?;
    Ok(rows.iter().filter_map(Definition::of).collect())
}

pub(super) async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let asked = call.query.message(FIELDS, LISTS);
    let list = format!("projects/{project}/timeSeries {asked:?}");
    let query = read_series_query(asked)?;
    let metric_type = query.filter.metric_type().unwrap_or_default();
    let all = definitions(app, &project).await?;
    let Some(definition) = all.iter().find(|one| one.metric_type() == metric_type) else {
        return Err(ApiError::not_found(format!(
            "`{}` is not a metric of `projects/{project}`: its metrics are the log-based ones, \
             `logging.googleapis.com/user/NAME`",
            shown(metric_type)
        )));
    };
    let most = match definition.metric.distribution {
        Some(_) => PAGE_DISTRIBUTIONS,
        None => PAGE_POINTS,
    };
    let page = Page::of(&call, list, most, most)?;
    let mut series = series_of(app, definition, &query, call.now)
        .await
        .map_err(refused)?;
    if let Some(aggregation) = &query.aggregation {
        series = aggregate(series, aggregation, (query.start, query.end))?;
    }
    let size = call.page_size(most, most)?;
    let (series, next) = cut(
        series,
        page.after().as_deref(),
        usize::try_from(size).unwrap_or(usize::MAX),
    )?;
    let written = series.iter().map(|one| {
        let mut written = write_time_series(one);
        if let (false, Some(members)) = (query.with_points, written.as_object_mut()) {
            members.remove("points");
        }
        written
    });
    let next = next.map(|key| page.token(&key));
    let mut reply = listing::reply("timeSeries", written.collect(), next);
    reply["unit"] = definition.metric.unit.as_str().into();
    Ok(Reply::json(reply))
}

fn refused(why: Refused) -> ApiError {
    match why {
        Refused::Unavailable(error) => error.into(),
        Refused::TooMany(most) => ApiError::invalid_argument(format!(
            "`interval`: holds more than {most} points: ask for a shorter one, or for fewer series by a filter of labels"
        )),
    }
}

/// The page from the place on that a token names: the series' number, and how many of its points were given already.
fn cut(
    all: Vec<TimeSeries>,
    after: Option<&str>,
    size: usize,
) -> Result<(Vec<TimeSeries>, Option<String>), ApiError> {
    let (first, given) = match after {
        None => (0, 0),
        Some(text) => text
            .split_once(':')
            .and_then(|(first, given)| Some((first.parse::<usize>().ok()?, given.parse::<usize>().ok()?)))
            .ok_or_else(|| ApiError::invalid_argument("`pageToken` is not a token of this list"))?,
    };
    let (mut page, mut left) = (Vec::new(), size);
    for (index, mut series) in all.into_iter().enumerate().skip(first) {
        let from = if index == first { given } else { 0 };
        if left == 0 {
            return Ok((page, Some(format!("{index}:{from}"))));
        }
        let points: Vec<_> = series.points.drain(..).skip(from).collect();
        let is_cut = points.len() > left;
        let taken = points.len().min(left);
        // A series without points, of which only the labels are wanted, is something to send as well.
        left -= taken.max(1);
        series.points = points.into_iter().take(taken).collect();
        page.push(series);
        if is_cut {
            return Ok((page, Some(format!("{index}:{}", from + taken))));
        }
    }
    Ok((page, None))
}

fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

pub(super) async fn list_metrics(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let kind = |one: &Definition| one.metric_type();
    let wanted = wanted(&call)?;
    let page = page(&call, &project, "metricDescriptors")?;
    let after = page.after().unwrap_or_default();
    let mut found = definitions(app, &project).await?;
    found.retain(|one| is_wanted(&wanted, &project, (&kind(one), "")) && kind(one) > after);
    found.sort_by_key(kind);
    let next = page.cut(&mut found, kind);
    let written = found
        .iter()
        .map(|one| write_metric_descriptor(&project, &one.metric));
    Ok(Reply::json(listing::reply(
        "metricDescriptors",
        written.collect(),
        next,
    )))
}

pub(super) async fn read_metric(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, kind) = (call.project()?, call.param("metric_type"));
    let all = definitions(app, &project).await?;
    match all.iter().find(|one| one.metric_type() == kind) {
        Some(one) => Ok(Reply::json(write_metric_descriptor(&project, &one.metric))),
        None => Err(ApiError::not_found(format!(
            "`projects/{project}/metricDescriptors/{}` was not found",
            shown(kind)
        ))),
    }
}

pub(super) async fn list_resources(_: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let wanted = wanted(&call)?;
    let page = page(&call, &project, "monitoredResourceDescriptors")?;
    let after = page.after().unwrap_or_default();
    let mut found: Vec<&ResourceDescriptor> = RESOURCES.iter().collect();
    found.retain(|one| is_wanted(&wanted, &project, ("", one.kind)) && one.kind > after.as_str());
    let next = page.cut(&mut found, |one| one.kind.to_owned());
    let written: Vec<Value> = found
        .iter()
        .map(|one| write_resource_descriptor(project.as_str(), one))
        .collect();
    Ok(Reply::json(listing::reply("resourceDescriptors", written, next)))
}

pub(super) async fn read_resource(_: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, kind) = (call.project()?, call.param("resource_type"));
    match RESOURCES.iter().find(|one| one.kind == kind) {
        Some(one) => Ok(Reply::json(write_resource_descriptor(project.as_str(), one))),
        None => Err(ApiError::not_found(format!(
            "`projects/{project}/monitoredResourceDescriptors/{}` was not found",
            shown(kind)
        ))),
    }
}

fn page(call: &Call, project: &ProjectId, collection: &str) -> Result<Page, ApiError> {
    let filter = call.query.string("filter")?.unwrap_or_default();
    Page::of(
        call,
        format!("projects/{project}/{collection} {filter}"),
        100,
        1000,
    )
}

/// The filter of a list of descriptors, if one is given.
fn wanted(call: &Call) -> Result<Option<Filter>, ApiError> {
    match call.query.string("filter")? {
        None => Ok(None),
        Some(text) => Filter::parse(text)
            .map(Some)
            .map_err(|error| ApiError::invalid_argument(format!("`filter`: {}", error.description()))),
    }
}

fn is_wanted(
    filter: &Option<Filter>,
    project: &ProjectId,
    (metric_type, resource_type): (&str, &str),
) -> bool {
    let series = Series {
        project: project.as_str(),
        metric_type,
        metric_labels: &[],
        resource_type,
        resource_labels: &[],
    };
    filter.as_ref().is_none_or(|filter| filter.matches(series))
}

#[cfg(test)]
mod tests {
    use binauthz_core::time::UnixTime;
    use binauthz_wire::monitoring::time_series::{MetricKind, Point, PointValue, ValueType};

    use super::*;

    fn series(points: i64) -> TimeSeries {
        TimeSeries {
            metric_type: "m".to_owned(),
            metric_labels: vec![],
            resource_type: "global".to_owned(),
            resource_labels: vec![],
            metric_kind: MetricKind::Delta,
            value_type: ValueType::Int64,
            points: (0..points)
                .map(|at| Point {
                    start: UnixTime::from_seconds(at),
                    end: UnixTime::from_seconds(at),
                    value: PointValue::Int64(at),
                })
                .collect(),
        }
    }

    #[test]
    fn pages_are_counted_in_points_and_lose_none() {
        let all = || vec![series(3), series(0), series(5), series(2)];
        for size in 1..12 {
            let (mut after, mut points, mut pages) = (None::<String>, 0, 0);
            loop {
                let (page, next) = cut(all(), after.as_deref(), size).unwrap();
                let here: usize = page.iter().map(|one| one.points.len()).sum();
                assert!(here <= size && !page.is_empty());
                points += here;
                pages += 1;
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(points, 10, "in pages of {size}");
            assert!(pages <= 11, "{pages} pages of {size}");
        }
        for token in ["", "1", "a:b", "1:", ":1", "-1:0"] {
            assert!(cut(all(), Some(token), 5).is_err(), "{token}");
        }
        assert_eq!(cut(all(), Some("99:0"), 5).unwrap().0.len(), 0);
    }
}
