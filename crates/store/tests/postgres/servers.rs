//! Several servers on one database: each sees what the others wrote, in one order, and one leads.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use binauthz_store::acceptance::{audit, occurrence, resource};
use binauthz_store::{
    Alerted, AuditOrder, AuditQuery, Change, Changed, Commit, CommitError, CursorMove, Found, IncidentRow,
    Kind, Lead, Reader, Settlement, Store, Touched,
};

use crate::cluster::Cluster;

async fn insert(store: &Store, name: &str) -> Result<i64, CommitError> {
    let commit = Commit {
        audit: audit(1, name),
        changes: vec![Change::Insert(resource(Kind::Note, name, "projects/demo", "{}"))],
    };
    store.commit(commit).await.map(|committed| committed.revision)
}

/// The stores of two servers.
async fn pair(cluster: &Cluster, database: &str) -> [Store; 2] {
    [
        cluster.store(database, "one").await,
        cluster.store(database, "two").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_all_servers_are_in_one_order_without_gaps() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let stores = pair(&cluster, &database).await;
    let mut tasks = Vec::new();
    for number in 0..400 {
        let store = stores[number % 2].clone();
        // Every name twice, on different servers: one of the two is refused.
        tasks.push(tokio::spawn(async move {
            insert(&store, &format!("note-{:03}", number / 2)).await
        }));
    }
    let mut revisions = BTreeSet::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(revision) => assert!(revisions.insert(revision), "revision {revision} was given twice"),
            Err(CommitError::AlreadyExists { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(
        revisions.into_iter().collect::<Vec<_>>(),
        (1..=200).collect::<Vec<i64>>()
    );
    let query = AuditQuery {
        order: AuditOrder::OldestFirst,
        beyond: None,
        limit: 1_000,
    };
    let rows = stores[0].audit_rows(&query).await.unwrap();
    let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, (1..=200).collect::<Vec<i64>>());
    // Each finds its own calls, and together they are all.
    let mut own = Vec::new();
    for store in &stores {
        own.extend(store.own_audit_rows(None, 1_000).await.unwrap());
    }
    own.sort_by_key(|row| row.sequence);
    assert_eq!(own, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_heard_of_and_told_by_the_other_server() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let (one, other) = (
        cluster.store(&database, "one").await,
        cluster.store(&database, "two").await,
    );
    // Until the other listens, it hears of nothing.
    tokio::time::timeout(Duration::from_secs(10), other.heard())
        .await
        .unwrap();
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' OR query = 'SELECT 1'";
    while cluster.psql(&database, listening).unwrap() != "2" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while tokio::time::timeout(Duration::from_millis(50), other.heard())
        .await
        .is_ok()
    {}

    let seen = other.news(0).await.unwrap().revision;
    let row = occurrence(7, "demo", "projects/demo/notes/n");
    let told = Touched::Occurrences {
        note: row.note.clone(),
        digest: row.digest.unwrap(),
    };
    let start = Instant::now();
    let commit = Commit {
        audit: audit(1, "m"),
        changes: vec![Change::InsertOccurrence(row)],
    };
    one.commit(commit).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), other.heard())
        .await
        .unwrap();
    let news = other.news(seen).await.unwrap();
    let elapsed = start.elapsed();
    assert_eq!(
        (news.revision, news.changed),
        (seen + 1, Changed::These(vec![told]))
    );
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    // Without the row of a revision in between nobody knows what that one changed.
    insert(&one, "a").await.unwrap();
    insert(&one, "b").await.unwrap();
    let forget = format!("DELETE FROM binauthz.news WHERE revision = {}", seen + 2);
    cluster.psql(&database, &forget).unwrap();
    assert_eq!(other.news(seen).await.unwrap().changed, Changed::Everything);
    let last = other.news(seen + 2).await.unwrap();
    assert_eq!(last.changed, Changed::These(vec![Touched::Kind(Kind::Note)]));
}

async fn leader(stores: &[Store]) -> (&Store, Lead) {
    let start = Instant::now();
    loop {
        for store in stores {
            if let Some(lead) = store.lead() {
                return (store, lead);
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "nobody leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_until_its_connection_ends_and_then_writes_no_more_by_it() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let stores = pair(&cluster, &database).await;
    let settlement = |lead| Settlement {
        lead: Some(lead),
        cursor: None,
        found: Found::Alerts(Alerted::default()),
    };
    let (first, lead) = leader(&stores).await;
    first.settle(settlement(lead)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(
        stores.iter().filter(|store| store.lead().is_some()).count(),
        1,
        "one of the two"
    );
    // The connection with the lock is cut; whoever leads then has another number.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    cluster.psql(&database, cut).unwrap();
    let start = Instant::now();
    let later = loop {
        let (_, later) = leader(&stores).await;
        if later != lead {
            break later;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "nobody took over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for store in &stores {
        let refused = store.settle(settlement(lead)).await;
        assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    }
    stores[0].settle(settlement(later)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_reads_its_own_log_and_takes_up_its_own_incidents() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let stores = pair(&cluster, &database).await;
    for (store, id) in stores.iter().zip(["i1", "i2"]) {
        let incident = IncidentRow {
            id: id.into(),
            project: "p".into(),
            policy: "projects/p/alertPolicies/1".into(),
            started: 1,
            ended: None,
            document: "{}".into(),
        };
        let settlement = Settlement {
            lead: None,
            cursor: Some(CursorMove {
                expect: None,
                to: id.into(),
            }),
            found: Found::Alerts(Alerted {
                incidents: vec![incident],
                ..Alerted::default()
            }),
        };
        store.settle(settlement).await.unwrap();
    }
    for (store, id) in stores.iter().zip(["i1", "i2"]) {
        assert_eq!(store.cursor(Reader::Alerts).await.unwrap().as_deref(), Some(id));
        let open = store.open_incidents("", 10).await.unwrap();
        assert_eq!(open.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [id]);
        assert!(
            store.incident("p", "i1").await.unwrap().is_some(),
            "people see all of them"
        );
    }
}
