//! From a file to a database: everything, or nothing.

use binauthz_store::acceptance::{audit, occurrence, resource};
use binauthz_store::{
    Alerted, AuditOrder, AuditQuery, Change, Commit, Counted, CursorMove, DeliveryRow, Forget, Found,
    IncidentRow, Kind, ListQuery, LogCheckpointRow, Logged, MergedRow, MetricPoint, OccurrenceQuery,
    OccurrenceScope, Reader, Settlement, Store, TokenRow, TransferError, transfer,
};

use crate::cluster::Cluster;

fn merged(one: &str, other: &str) -> String {
    format!("{one}{other}")
}

fn alerted() -> Found {
    let delivery = |id: &str, died| DeliveryRow {
        sequence: 0,
        id: id.into(),
        project: "p".into(),
        channel: "c".into(),
        incident: "i1".into(),
        begun: 1,
        failures: 2,
        due: 3,
        document: "{}".into(),
        died,
        reason: "why".into(),
    };
    Found::Alerts(Alerted {
        now: 10,
        incidents: vec![IncidentRow {
            id: "i1".into(),
            project: "p".into(),
            policy: "o".into(),
            started: 1,
            ended: None,
            document: "{}".into(),
        }],
        deliveries: vec![delivery("d1", None), delivery("d2", Some(9))],
        attempts: vec![],
    })
}

fn logged() -> Found {
    Found::Logs(Logged {
        own: Some(LogCheckpointRow {
            origin: "log".into(),
            verifier_key: "log+key".into(),
            note: "note".into(),
            published: 7,
        }),
        merged: Some(MergedRow {
            number: 3,
            note: "merged".into(),
        }),
    })
}

fn counted() -> Found {
    Found::Metrics(Counted {
        points: (0..100)
            .map(|minute| MetricPoint {
                metric: "m".into(),
                series: "s".into(),
                minute,
                value: "1".into(),
            })
            .collect(),
        merge: merged,
        forget: Forget {
            most_points: 1_000,
            ..Forget::default()
        },
    })
}

/// Something of everything, what no text should hold among it.
async fn filled(store: &Store) {
    let mut changes = vec![
        Change::PutSealedKey {
            name: "k".into(),
            sealed: vec![0, 1, 255],
        },
        Change::InsertToken(TokenRow {
            id: "ci".into(),
            hash: [7; 32],
            principal: "ci@example.com".into(),
            document: "{}".into(),
            created: 5,
            expires: None,
            revoked: Some(9),
        }),
    ];
    for name in ["a", "a\0b", "ä\u{202e}", "B", "'; --"] {
        changes.push(Change::Insert(resource(Kind::Note, name, "projects/demo", name)));
    }
    for number in 0..300 {
        let mut row = occurrence(number, "demo", "projects/demo/notes/n");
        if number % 7 == 0 {
            row.digest = None;
        }
        changes.push(Change::InsertOccurrence(row));
    }
    store
        .commit(Commit {
            audit: audit(1, "m"),
            changes,
        })
        .await
        .unwrap();
    for time in 2..200 {
        let audit = audit(time, "\"\n\0");
        store
            .commit(Commit {
                audit,
                changes: vec![],
            })
            .await
            .unwrap();
    }
    for found in [alerted(), counted(), logged()] {
        let cursor = Some(CursorMove {
            expect: None,
            to: "{\"at\":1}".into(),
        });
        let settlement = Settlement {
            lead: None,
            cursor,
            found,
        };
        store.settle(settlement).await.unwrap();
    }
}

/// What the store answers to everything that can be asked.
async fn told(store: &Store) -> String {
    let list = ListQuery {
        kind: Kind::Note,
        parent: String::new(),
        after: None,
        limit: 1_000,
    };
    let occurrences = OccurrenceQuery {
        scope: OccurrenceScope::Project("demo".into()),
        digest: None,
        after: None,
        limit: 1_000,
    };
    let log = AuditQuery {
        order: AuditOrder::OldestFirst,
        beyond: None,
        limit: 1_000,
    };
    let series = store.metric_series("m").await.unwrap();
    let points = store
        .metric_points(series[0].id, (0, 1_000), 1_000)
        .await
        .unwrap();
    let dead = binauthz_store::DeadLetterQuery {
        project: "p".into(),
        before: None,
        limit: 9,
    };
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{series:?}\n{points:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        store.list(&list).await.unwrap(),
        store.list_occurrences(&occurrences).await.unwrap(),
        store.audit_rows(&log).await.unwrap(),
        store.own_audit_rows(None, 1_000).await.unwrap(),
        store.list_tokens().await.unwrap(),
        store.sealed_key("k").await.unwrap(),
        store.open_incidents("", 9).await.unwrap(),
        store.waiting_deliveries(0, 9).await.unwrap(),
        store.dead_letters(&dead).await.unwrap(),
        (
            store.cursor(Reader::Alerts).await.unwrap(),
            store.cursor(Reader::Metrics).await.unwrap(),
            store.log_checkpoints().await.unwrap(),
            store.merged_checkpoint().await.unwrap(),
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_copied_and_what_comes_next_has_the_next_numbers() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let file = Store::open(&path).unwrap();
    filled(&file).await;
    let database = cluster.database();
    let copied = transfer(&path, &cluster.address(&database), "one").await.unwrap();
    let rows: Vec<(&str, u64)> = copied.iter().map(|one| (one.table, one.rows)).collect();
    let expected = [
        ("resource", 5),
        ("occurrence", 300),
        ("sealed_key", 1),
        ("token", 1),
        ("audit", 199),
        ("log_cursor", 3),
        ("alert_incident", 1),
        ("alert_delivery", 2),
        ("log_checkpoint", 1),
        ("merged_checkpoint", 1),
        ("metric_series", 1),
        ("metric_point", 100),
    ];
    assert_eq!(rows, expected);
    let shared = cluster.store(&database, "one").await;
    assert_eq!(told(&shared).await, told(&file).await);
    // The next of each is numbered alike.
    let mut next = Vec::new();
    for store in [&file, &shared] {
        let changes = vec![Change::Insert(resource(Kind::Note, "next", "", "{}"))];
        next.push(
            store
                .commit(Commit {
                    audit: audit(9, "m"),
                    changes,
                })
                .await
                .unwrap(),
        );
        let settlement = Settlement {
            lead: None,
            cursor: None,
            found: Found::Metrics(Counted {
                points: vec![MetricPoint {
                    metric: "m".into(),
                    series: "t".into(),
                    minute: 1,
                    value: "1".into(),
                }],
                merge: merged,
                forget: Forget {
                    most_points: 1_000,
                    ..Forget::default()
                },
            }),
        };
        store.settle(settlement).await.unwrap();
    }
    assert_eq!(next[0], next[1]);
    // A second time there is something in it.
    let again = transfer(&path, &cluster.address(&database), "one").await;
    assert!(matches!(again, Err(TransferError::NotEmpty)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_changes_on_the_way_is_noticed_and_undone() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    filled(&Store::open(&path).unwrap()).await;
    let database = cluster.database();
    drop(cluster.store(&database, "one").await);
    let meddle = "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN NEW.principal := 'mallory'; RETURN NEW; END $$;
                  CREATE TRIGGER meddle BEFORE INSERT ON binauthz.audit FOR EACH ROW
                  WHEN (NEW.sequence = 7) EXECUTE FUNCTION meddle()";
    cluster.psql(&database, meddle).unwrap();
    let refused = transfer(&path, &cluster.address(&database), "one").await;
    assert!(
        matches!(refused, Err(TransferError::Different { table: "audit" })),
        "{refused:?}"
    );
    let left = "SELECT (SELECT count(*) FROM binauthz.resource) + (SELECT count(*) FROM binauthz.audit)
                + (SELECT revision FROM binauthz.counter)";
    assert_eq!(cluster.psql(&database, left).unwrap(), "0");

    let missing = transfer(&folder.path().join("no.db"), &cluster.address(&database), "one").await;
    assert!(matches!(missing, Err(TransferError::Open(_))), "{missing:?}");
    assert!(!folder.path().join("no.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dumped_and_restored_is_the_same_and_goes_on() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let (database, restored) = (cluster.database(), cluster.database());
    let store = cluster.store(&database, "one").await;
    filled(&store).await;
    cluster.restore(&database, &restored);
    let copy = cluster.store(&restored, "one").await;
    assert_eq!(told(&copy).await, told(&store).await);
    let mut next = Vec::new();
    for store in [&store, &copy] {
        let changes = vec![Change::Insert(resource(Kind::Note, "next", "", "{}"))];
        next.push(
            store
                .commit(Commit {
                    audit: audit(9, "m"),
                    changes,
                })
                .await
                .unwrap(),
        );
    }
    assert_eq!(next[0], next[1]);
}
