use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000_000;

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// A series of counts: minutes and values, in any order.
fn counted(name: &str, points: &[(i64, i64)]) -> TimeSeries {
    TimeSeries {
        metric_type: "m".to_owned(),
        metric_labels: labels(&[("name", name)]),
        resource_type: "k8s_cluster".to_owned(),
        resource_labels: labels(&[("location", "l"), ("project_id", "p")]),
        metric_kind: MetricKind::Delta,
        value_type: ValueType::Int64,
        points: points
            .iter()
            .map(|(minute, count)| Point {
                start: UnixTime::from_micros((minute - 1) * MINUTE),
                end: UnixTime::from_micros(minute * MINUTE),
                value: PointValue::Int64(*count),
            })
            .collect(),
    }
}

fn distributed(points: &[(i64, &[f64])]) -> TimeSeries {
    let mut series = counted(
        "d",
        &points.iter().map(|(minute, _)| (*minute, 0)).collect::<Vec<_>>(),
    );
    series.value_type = ValueType::Distribution;
    for (point, (_, numbers)) in series.points.iter_mut().zip(points) {
        let mut distribution = Distribution::empty(vec![0.0, 10.0, 20.0]);
        numbers.iter().for_each(|number| distribution.add(*number));
        point.value = PointValue::Distribution(distribution);
    }
    series
}

fn step(minutes: u64, aligner: Aligner, reducer: Reducer, group_by: &[&str]) -> Aggregation {
    Aggregation {
        alignment_period: Duration::from_secs(minutes * 60),
        aligner,
        reducer,
        group_by: group_by.iter().map(|field| (*field).to_owned()).collect(),
    }
}

fn over(series: Vec<TimeSeries>, step: &Aggregation, minutes: i64) -> Result<Vec<TimeSeries>, String> {
    let interval = (UnixTime::from_micros(0), UnixTime::from_micros(minutes * MINUTE));
    aggregate(series, step, interval).map_err(|error| error.to_string())
}

/// Ends in minutes, and values.
fn shown(series: &TimeSeries) -> Vec<(i64, PointValue)> {
    let point = |point: &Point| (point.end.as_micros() / MINUTE, point.value.clone());
    series.points.iter().map(point).collect()
}

#[test]
fn each_aligner_makes_its_value() {
    use PointValue::{Double, Int64};
    let points = &[(10, 5), (9, 1), (6, 2), (1, 7)];
    for (aligner, youngest, middle) in [
        (Aligner::Delta, Int64(6), Int64(2)),
        (Aligner::Sum, Int64(6), Int64(2)),
        (Aligner::Count, Int64(2), Int64(1)),
        (Aligner::Min, Int64(1), Int64(2)),
        (Aligner::Max, Int64(5), Int64(2)),
        (Aligner::Mean, Double(3.0), Double(2.0)),
        (Aligner::Rate, Double(6.0 / 240.0), Double(2.0 / 240.0)),
    ] {
        let made = over(
            vec![counted("a", points)],
            &step(4, aligner, Reducer::None, &[]),
            10,
        )
        .unwrap();
        let oldest = shown(&made[0]).pop().unwrap();
        assert_eq!(shown(&made[0])[..2], [(10, youngest), (6, middle)], "{aligner:?}");
        // The period of the first minute began before the interval.
        assert_eq!(oldest.0, 2, "{aligner:?}");
        let is_gauge = made[0].metric_kind == MetricKind::Gauge;
        assert!(
            made[0]
                .points
                .iter()
                .all(|point| is_gauge == (point.start == point.end))
        );
    }
}

#[test]
fn distributions_have_percentiles_and_counts_have_none() {
    let series = || vec![distributed(&[(2, &[1.0, 2.0]), (1, &[15.0, 15.0])])];
    for (aligner, expected) in [
        (Aligner::Percentile50, 10.0),
        (Aligner::Percentile99, 19.8),
        (Aligner::Percentile05, 1.0),
        (Aligner::Percentile95, 19.0),
    ] {
        let made = over(series(), &step(2, aligner, Reducer::None, &[]), 2).unwrap();
        assert!(
            matches!(made[0].points[0].value, PointValue::Double(found) if (found - expected).abs() < 1e-9),
            "{aligner:?}: {made:?}"
        );
    }
    let all = over(series(), &step(2, Aligner::Delta, Reducer::None, &[]), 2).unwrap();
    assert!(matches!(&all[0].points[0].value, PointValue::Distribution(all) if all.count == 4));
    for aligner in [Aligner::Rate, Aligner::Mean, Aligner::Min, Aligner::Max] {
        let error = over(series(), &step(2, aligner, Reducer::None, &[]), 2).unwrap_err();
        assert!(
            error.starts_with("`aggregation.perSeriesAligner`: cannot be made"),
            "{error}"
        );
    }
    let error = over(
        vec![counted("a", &[(1, 1)])],
        &step(2, Aligner::Percentile50, Reducer::None, &[]),
        2,
    );
    assert!(error.unwrap_err().contains("perSeriesAligner"));
    let error = over(series(), &step(2, Aligner::Sum, Reducer::Max, &[]), 2).unwrap_err();
    assert!(error.starts_with("`aggregation.crossSeriesReducer`"), "{error}");
    let made = over(series(), &step(2, Aligner::Sum, Reducer::Mean, &[]), 2).unwrap();
    assert_eq!(shown(&made[0]), [(2, PointValue::Double(8.25))]);
}

#[test]
fn series_are_reduced_by_what_they_share() {
    use PointValue::{Double, Int64};
    let series = || {
        let mut far = counted("a", &[(2, 10)]);
        far.resource_labels = labels(&[("location", "m"), ("project_id", "p")]);
        vec![counted("a", &[(2, 1), (1, 2)]), counted("b", &[(2, 5)]), far]
    };
    for (reducer, expected) in [
        (Reducer::Sum, Int64(16)),
        (Reducer::Count, Int64(3)),
        (Reducer::Min, Int64(1)),
        (Reducer::Max, Int64(10)),
        (Reducer::Mean, Double(16.0 / 3.0)),
    ] {
        let made = over(series(), &step(1, Aligner::Sum, reducer, &[]), 2).unwrap();
        assert_eq!(
            (made.len(), shown(&made[0])[0].clone()),
            (1, (2, expected)),
            "{reducer:?}"
        );
        assert!(made[0].metric_labels.is_empty() && made[0].resource_labels.is_empty());
        assert_eq!(made[0].resource_type, "k8s_cluster");
    }
    let by = |fields: &[&str]| {
        over(series(), &step(1, Aligner::Sum, Reducer::Sum, fields), 2)
            .unwrap()
            .iter()
            .map(|one| shown(one)[0].1.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(by(&["metric.labels.name"]), [Int64(11), Int64(5)]);
    assert_eq!(by(&["resource.label.location"]), [Int64(6), Int64(10)]);
    assert_eq!(by(&["metric.label.name", "resource.labels.location"]).len(), 3);
    assert_eq!(by(&["resource.type"]), [Int64(16)]);
}

#[test]
fn too_many_periods_are_refused() {
    let error = over(vec![], &step(1, Aligner::Sum, Reducer::None, &[]), 86_401).unwrap_err();
    assert!(error.starts_with("`aggregation.alignmentPeriod`"), "{error}");
    over(vec![], &step(1, Aligner::Sum, Reducer::None, &[]), 86_400).unwrap();
}

proptest! {
    /// Whatever the period: the periods' sums are the naive ones, and together nothing is lost or counted twice.
    #[test]
    fn aligned_points_are_naive_sums(
        points in proptest::collection::btree_map(1_i64..500, 0_i64..1_000, 0..60),
        period in 1_u64..90,
    ) {
        let points: Vec<(i64, i64)> = points.into_iter().rev().collect();
        let made = over(vec![counted("a", &points)], &step(period, Aligner::Sum, Reducer::None, &[]), 500).unwrap();
        let period = i64::try_from(period).unwrap();
        let mut total = 0;
        for point in &made[0].points {
            let (end, start) = (point.end.as_micros() / MINUTE, point.start.as_micros() / MINUTE);
            prop_assert_eq!(end - start, period);
            let naive: i64 = points
                .iter()
                .filter(|(minute, _)| start < *minute && *minute <= end)
                .map(|(_, count)| count)
                .sum();
            prop_assert_eq!(&point.value, &PointValue::Int64(naive));
            total += naive;
        }
        prop_assert_eq!(total, points.iter().map(|(_, count)| count).sum::<i64>());
        prop_assert!(made[0].points.windows(2).all(|pair| pair[0].end > pair[1].end));
    }

    /// Split into series in any way and summed again, the points are those of one series.
    #[test]
    fn a_reduced_sum_is_that_of_one_series(
        points in proptest::collection::btree_map(1_i64..100, (0_i64..1_000, 0_usize..4), 0..40),
    ) {
        let whole: Vec<(i64, i64)> = points.iter().rev().map(|(minute, (count, _))| (*minute, *count)).collect();
        let parts = (0..4).map(|part| {
            let own: Vec<(i64, i64)> = points
                .iter()
                .rev()
                .filter(|(_, (_, of))| *of == part)
                .map(|(minute, (count, _))| (*minute, *count))
                .collect();
            counted(&part.to_string(), &own)
        });
        let one = over(vec![counted("a", &whole)], &step(7, Aligner::Sum, Reducer::None, &[]), 100).unwrap();
        let many = over(parts.collect(), &step(7, Aligner::Sum, Reducer::Sum, &[]), 100).unwrap();
        prop_assert_eq!(shown(&one[0]), shown(&many[0]));
    }

    /// A distribution of merged parts is that of all numbers.
    #[test]
    fn merged_distributions_are_that_of_all_numbers(
        numbers in proptest::collection::vec((-50.0_f64..50.0, 0_i64..4), 1..60),
    ) {
        let mut parts: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (number, part) in &numbers {
            parts.entry(*part + 1).or_default().push(*number);
        }
        let points: Vec<(i64, &[f64])> = parts.iter().rev().map(|(minute, numbers)| (*minute, numbers.as_slice())).collect();
        let made = over(vec![distributed(&points)], &step(4, Aligner::Sum, Reducer::None, &[]), 4).unwrap();
        let PointValue::Distribution(all) = &made[0].points[0].value else { panic!("{made:?}") };
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|(number, _)| number).sum::<f64>() / count;
        let spread: f64 = numbers.iter().map(|(number, _)| (number - mean).powi(2)).sum();
        prop_assert_eq!(all.count as usize, numbers.len());
        prop_assert!((all.mean - mean).abs() < 1e-6);
        prop_assert!((all.squared_deviation - spread).abs() < 1e-6 * spread.max(1.0));
        let inside = numbers.iter().filter(|(number, _)| (0.0..10.0).contains(number)).count();
        prop_assert_eq!(all.bucket_counts[1] as usize, inside);
        prop_assert_eq!(all.bucket_counts.iter().sum::<i64>(), all.count);
    }
}
