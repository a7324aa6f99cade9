//! The database dies, or holds still: what was answered is there, what cannot be is refused, and it goes on by itself.

use std::time::{Duration, Instant};

use binauthz_store::acceptance::{audit, resource};
use binauthz_store::{Change, Commit, CommitError, Kind, ListQuery, Store, Unavailable};

use crate::cluster::Cluster;
use crate::proxy::{Proxy, Wire};

async fn insert(store: &Store, name: &str) -> Result<(), CommitError> {
    let commit = Commit {
        audit: audit(1, name),
        changes: vec![Change::Insert(resource(Kind::Note, name, "projects/demo", "{}"))],
    };
    store.commit(commit).await.map(drop)
}

async fn names(store: &Store) -> Vec<String> {
    let query = ListQuery {
        kind: Kind::Note,
        parent: "projects/demo".into(),
        after: None,
        limit: 5_000,
    };
    let rows = store.list(&query).await.unwrap();
    rows.into_iter().map(|row| row.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_crash_of_the_database_and_the_store_comes_back() {
    // With syncs: this one crashes.
    let Some(mut cluster) = Cluster::start(&[]).await else {
        return;
    };
    let database = cluster.database();
    let store = cluster.store(&database, "one").await;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut answered = Vec::new();
            for number in 0.. {
                let name = format!("note-{task}-{number:05}");
                match insert(&store, &name).await {
                    Ok(()) => answered.push(name),
                    Err(CommitError::Unavailable(_)) => return answered,
                    Err(other) => panic!("{other}"),
                }
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    cluster.crash();
    let mut answered = Vec::new();
    for task in tasks {
        answered.extend(task.await.unwrap());
    }
    assert!(answered.len() > 8, "too few to say anything: {}", answered.len());

    let start = Instant::now();
    let refused = insert(&store, "refused").await.unwrap_err();
    assert!(
        matches!(refused, CommitError::Unavailable(Unavailable::Postgres(_))),
        "{refused:?}"
    );
    let asked = store.resource(Kind::Note, "x").await;
    assert!(matches!(asked, Err(Unavailable::Postgres(_))), "{asked:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    cluster.run().await;
    // A look that failed is not repeated at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let there = names(&store).await;
    for name in &answered {
        assert!(there.contains(name), "`{name}` was answered and is lost");
    }
    assert!(!there.contains(&"refused".to_owned()));
    insert(&store, "after").await.unwrap();
    assert!(names(&store).await.contains(&"after".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_ends_as_a_refusal_and_holds_up_no_reader() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let store = cluster.store(&database, "one").await;
    insert(&store, "before").await.unwrap();
    let hold = std::thread::scope(|scope| {
        let holding = scope.spawn(|| {
            cluster.psql(
                &database,
                "BEGIN; SELECT * FROM binauthz.counter FOR UPDATE; SELECT pg_sleep(8)",
            )
        });
        let handle = tokio::runtime::Handle::current();
        let looked = tokio::task::block_in_place(|| {
            handle.block_on(async {
                let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(8)%' AND state = 'active'
                               AND pid <> pg_backend_pid()";
                while cluster.psql(&database, waiting).unwrap() != "1" {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let start = Instant::now();
                let (refused, read) = tokio::join!(insert(&store, "during"), async {
                    let found = store.resource(Kind::Note, "before").await;
                    (found, start.elapsed())
                });
                (refused, read, start.elapsed())
            })
        });
        let held = holding.join().unwrap();
        (looked, held)
    });
    let ((refused, (found, read_after), refused_after), held) = hold;
    held.unwrap();
    assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
    assert!(refused_after < Duration::from_secs(7), "{refused_after:?}");
    assert!(found.unwrap().is_some());
    assert!(read_after < Duration::from_secs(1), "{read_after:?}");
    insert(&store, "during").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_cut_in_between_are_not_noticed() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let store = cluster.store(&database, "one").await;
    for number in 0..3 {
        insert(&store, &format!("n{number}")).await.unwrap();
        for _ in 0..8 {
            store.resource(Kind::Note, "n0").await.unwrap().unwrap();
        }
        let cut =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'binauthz'";
        cluster.psql(&database, cut).unwrap();
    }
}

/// Long enough for the limits of a group and of an answer, with the connecting.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_cut_the_wire_ends_as_a_refusal_in_time_and_is_got_over() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let proxy = Proxy::to(&cluster).await;
    let store = Store::connect(&proxy.address(&database), "one").await.unwrap();
    for (round, wire) in [Wire::Cut, Wire::HalfClosed, Wire::Still, Wire::Mute]
        .into_iter()
        .enumerate()
    {
        insert(&store, &format!("before-{round}")).await.unwrap();
        proxy.set(wire);
        let start = Instant::now();
        let name = format!("during-{round}");
        let (written, read) = tokio::join!(insert(&store, &name), store.resource(Kind::Note, "before-0"));
        let elapsed = start.elapsed();
        // A cut that is noticed is made good for by a new connection, which is cut as well.
        assert!(
            matches!(written, Err(CommitError::Unavailable(_))),
            "{wire:?}: {written:?}"
        );
        assert!(read.is_err(), "{wire:?}: {read:?}");
        assert!(elapsed < LIMIT, "{wire:?}: {elapsed:?}");
        proxy.set(Wire::Whole);
        let start = Instant::now();
        while insert(&store, &format!("after-{round}")).await.is_err() {
            assert!(start.elapsed() < LIMIT, "{wire:?}: it does not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let there = names(&store).await;
        assert!(there.contains(&format!("after-{round}")));
        // Refused, so it is not there; unless it was said that nobody knows.
        if !matches!(written, Err(CommitError::Unavailable(Unavailable::Unsettled))) {
            assert!(!there.contains(&name), "{wire:?}");
        }
    }
}

/// The moment at which nobody knows: the commit is on its way and its answer is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_told_apart() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let proxy = Proxy::to(&cluster).await;
    let store = Store::connect(&proxy.address(&database), "one").await.unwrap();
    // The commit itself waits, long enough to cut the wire behind it.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON binauthz.audit DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION wait()";
    cluster.psql(&database, slow).unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move { insert(&store, "n").await }
    });
    let committing = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
    while cluster.psql(&database, committing).unwrap() != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Wire::Cut);
    let written = writing.await.unwrap();
    assert!(
        matches!(written, Err(CommitError::Unavailable(Unavailable::Unsettled))),
        "{written:?}"
    );
}
