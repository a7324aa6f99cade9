//! What log-based metrics counted.

use crate::{CommitError, Counted, CursorMove, Forget, Found, MetricPoint, Reader, Settlement, Store};

const METRIC: &str = "projects/demo/metrics/blocked@1";

fn added(one: &str, other: &str) -> String {
    let number = |text: &str| text.parse::<i64>().unwrap();
    (number(one) + number(other)).to_string()
}

fn point(metric: &str, series: &str, minute: i64, value: i64) -> MetricPoint {
    MetricPoint {
        metric: metric.into(),
        series: series.into(),
        minute,
        value: value.to_string(),
    }
}

fn settlement(expect: Option<&str>, cursor: &str, points: Vec<MetricPoint>) -> Settlement {
    forgetting(expect, cursor, (points, Forget::default()))
}

/// As [`settlement`], with what is forgotten; without a number of points, of more than a thousand.
fn forgetting(
    expect: Option<&str>,
    cursor: &str,
    (points, forget): (Vec<MetricPoint>, Forget),
) -> Settlement {
    let most_points = match forget.most_points {
        0 => 1_000,
        most => most,
    };
    Settlement {
        lead: None,
        cursor: Some(CursorMove {
            expect: expect.map(str::to_owned),
            to: cursor.into(),
        }),
        found: Found::Metrics(Counted {
            points,
            merge: added,
            forget: Forget {
                most_points,
                ..forget
            },
        }),
    }
}

/// Series, minute and value of every point.
async fn all(store: &Store, metric: &str) -> Vec<(String, i64, String)> {
    let mut found = Vec::new();
    for row in store.metric_series(metric).await.unwrap() {
        for (minute, value) in store
            .metric_points(row.id, (i64::MIN, i64::MAX), 100)
            .await
            .unwrap()
        {
            found.push((row.series.clone(), minute, value));
        }
    }
    found
}

pub(super) async fn points_and_the_cursor_move_together(store: &Store) {
    assert_eq!(store.cursor(Reader::Metrics).await.unwrap(), None);
    let first = settlement(None, "1", vec![point(METRIC, "a", 7, 1)]);
    store.settle(first.clone()).await.unwrap();
    assert_eq!(store.cursor(Reader::Metrics).await.unwrap().as_deref(), Some("1"));
    // The same once more, and one that starts elsewhere, change nothing.
    for stale in [first, settlement(Some("2"), "3", vec![point(METRIC, "a", 7, 5)])] {
        let refused = store.settle(stale).await;
        assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    }
    let mut long = point(METRIC, "a", 8, 1);
    long.value = "1".repeat(crate::MAX_DOCUMENT + 1);
    let refused = store
        .settle(settlement(Some("1"), "2", vec![point(METRIC, "a", 7, 5), long]))
        .await;
    assert!(
        matches!(refused, Err(CommitError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(store.cursor(Reader::Metrics).await.unwrap().as_deref(), Some("1"));
    assert_eq!(all(store, METRIC).await, [("a".into(), 7, "1".into())]);
}

pub(super) async fn points_are_merged_and_read_in_order(store: &Store) {
    let other = "projects/demo/metrics/other@1";
    let points = vec![
        point(METRIC, "b", 9, 1),
        point(METRIC, "a", 8, 2),
        point(METRIC, "a", 7, 3),
        point(METRIC, "a", 8, 4),
        point(other, "a", 8, 5),
    ];
    store.settle(settlement(None, "1", points)).await.unwrap();
    let again = vec![point(METRIC, "a", 7, 10)];
    store.settle(settlement(Some("1"), "2", again)).await.unwrap();
    let expected = [("a", 7, "13"), ("a", 8, "6"), ("b", 9, "1")];
    let expected = expected.map(|(series, minute, value)| (series.to_owned(), minute, value.to_owned()));
    assert_eq!(all(store, METRIC).await, expected);
    assert_eq!(store.counted_metrics().await.unwrap(), [METRIC, other]);
    let rows = store.metric_series(METRIC).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.newest).collect::<Vec<_>>(), [8, 9]);
    let a = rows.first().unwrap().id;
    assert_eq!(
        store.metric_points(a, (8, 8), 10).await.unwrap(),
        [(8, "6".to_owned())]
    );
    assert_eq!(store.metric_points(a, (7, 8), 1).await.unwrap().len(), 1);
    assert_eq!(store.metric_points(a, (9, 20), 10).await.unwrap(), []);
}

pub(super) async fn what_is_old_too_much_or_gone_is_forgotten(store: &Store) {
    let other = "projects/demo/metrics/other@1";
    let minutes = |metric: &str, series: &str, minutes: std::ops::Range<i64>| {
        minutes
            .map(|minute| point(metric, series, minute, 1))
            .collect::<Vec<_>>()
    };
    let mut points = minutes(METRIC, "a", 0..10);
    points.extend(minutes(METRIC, "b", 0..3));
    points.extend(minutes(other, "a", 5..8));
    store.settle(settlement(None, "1", points)).await.unwrap();
    let old = Forget {
        before: 4,
        ..Forget::default()
    };
    store
        .settle(forgetting(Some("1"), "2", (Vec::new(), old)))
        .await
        .unwrap();
    assert_eq!(all(store, METRIC).await.len(), 6);
    assert_eq!(store.metric_series(METRIC).await.unwrap().len(), 1);
    // Of sixteen ids the last four are kept.
    let many = Forget {
        most_points: 4,
        ..Forget::default()
    };
    store
        .settle(forgetting(Some("2"), "3", (Vec::new(), many)))
        .await
        .unwrap();
    assert_eq!(all(store, METRIC).await.len(), 0);
    assert_eq!(all(store, other).await.len(), 3);
    let gone = Forget {
        metrics: vec![other.into(), "projects/demo/metrics/never@1".into()],
        ..Forget::default()
    };
    store
        .settle(forgetting(Some("3"), "4", (minutes(METRIC, "a", 20..21), gone)))
        .await
        .unwrap();
    assert_eq!(store.counted_metrics().await.unwrap(), [METRIC]);
    assert_eq!(all(store, other).await.len(), 0);
}
