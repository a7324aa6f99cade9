//! What every engine does with incidents and notices on their way.

use super::*;
use crate::{
    Alerted, Attempt, CursorMove, DeadLetterQuery, DeliveryRow, Found, IncidentQuery, IncidentRow,
    IncidentState, KEEP_CLOSED_INCIDENTS, KEEP_DEAD_LETTERS, MAX_CLOSED_INCIDENTS, MAX_DEAD_LETTERS,
    MAX_WAITING, Reader, Settlement,
};

fn incident(id: &str, project: &str, started: i64) -> IncidentRow {
    IncidentRow {
        id: id.into(),
        project: project.into(),
        policy: format!("projects/{project}/alertPolicies/1"),
        started,
        ended: None,
        document: "{}".into(),
    }
}

fn delivery(id: &str, project: &str) -> DeliveryRow {
    DeliveryRow {
        sequence: 0,
        id: id.into(),
        project: project.into(),
        channel: format!("projects/{project}/notificationChannels/1"),
        incident: "i1".into(),
        begun: 10,
        failures: 0,
        due: 10,
        document: "{\"told\":1}".into(),
        died: None,
        reason: String::new(),
    }
}

fn settlement(found: Alerted, cursor: Option<(Option<&str>, &str)>) -> Settlement {
    Settlement {
        lead: None,
        cursor: cursor.map(|(expect, to)| CursorMove {
            expect: expect.map(str::to_owned),
            to: to.to_owned(),
        }),
        found: Found::Alerts(found),
    }
}

async fn settle(store: &Store, found: Alerted) {
    store.settle(settlement(found, None)).await.unwrap();
}

async fn waiting(store: &Store) -> Vec<String> {
    let rows = store.waiting_deliveries(0, 5_000).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

async fn dead(store: &Store, project: &str, before: Option<i64>, limit: u32) -> Vec<DeliveryRow> {
    let query = DeadLetterQuery {
        project: project.into(),
        before,
        limit,
    };
    store.dead_letters(&query).await.unwrap()
}

async fn listed(store: &Store, query: IncidentQuery) -> Vec<String> {
    let rows = store.incidents(&query).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

pub(super) async fn a_settlement_is_whole_or_nothing_and_leaves_no_audit_row(store: &Store) {
    assert_eq!(store.cursor(Reader::Alerts).await.unwrap(), None);
    let found = Alerted {
        now: 10,
        incidents: vec![incident("i1", "p", 5)],
        deliveries: vec![delivery("d1", "p"), delivery("d2", "p")],
        attempts: Vec::new(),
    };
    store
        .settle(settlement(found, Some((None, "first"))))
        .await
        .unwrap();
    let again = Alerted {
        now: 20,
        incidents: vec![incident("i2", "p", 6)],
        // The id is taken.
        deliveries: vec![delivery("d3", "p"), delivery("d1", "p")],
        attempts: vec![Attempt::Delivered { id: "d2".into() }],
    };
    store
        .settle(settlement(again, Some((Some("first"), "second"))))
        .await
        .unwrap_err();
    let long = Alerted {
        incidents: vec![IncidentRow {
            document: "x".repeat(MAX_DOCUMENT + 1),
            ..incident("i3", "p", 7)
        }],
        ..Alerted::default()
    };
    let refused = store
        .settle(settlement(long, Some((Some("first"), "third"))))
        .await;
    assert!(
        matches!(refused, Err(CommitError::TooLarge { .. })),
        "{refused:?}"
    );
    // Who begins elsewhere than the last one ended has not seen what it found.
    let stale = Alerted {
        incidents: vec![incident("i2", "p", 6)],
        ..Alerted::default()
    };
    let refused = store.settle(settlement(stale, Some((None, "fourth")))).await;
    assert!(matches!(refused, Err(CommitError::Stale { .. })), "{refused:?}");
    assert_eq!(
        store.cursor(Reader::Alerts).await.unwrap().as_deref(),
        Some("first")
    );
    assert_eq!(store.cursor(Reader::Metrics).await.unwrap(), None);
    assert_eq!(store.incident("p", "i2").await.unwrap(), None);
    assert_eq!(waiting(store).await, ["d1", "d2"]);
    assert_eq!(audit_count(store).await, 0);
}

pub(super) async fn incidents_are_listed_the_newest_first(store: &Store) {
    let mut rows: Vec<_> = (1..=5)
        .map(|number| incident(&format!("i{number}"), "p", 100 + number / 2))
        .collect();
    rows.push(incident("q1", "q", 50));
    let settlement = Alerted {
        now: 10,
        incidents: rows,
        ..Alerted::default()
    };
    settle(store, settlement).await;
    let ended = IncidentRow {
        ended: Some(110),
        document: "{\"ended\":true}".into(),
        ..incident("i3", "p", 101)
    };
    let settlement = Alerted {
        now: 120,
        incidents: vec![ended.clone()],
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(store.incident("p", "i3").await.unwrap(), Some(ended));
    assert_eq!(store.incident("q", "i3").await.unwrap(), None);
    let query = |state, before, limit| IncidentQuery {
        project: "p".into(),
        state,
        before,
        limit,
    };
    let open = Some(IncidentState::Open);
    let (two, key) = (["i5", "i4"], Some((102, "i4".to_owned())));
    assert_eq!(listed(store, query(None, None, 2)).await, two);
    assert_eq!(
        listed(store, query(None, key.clone(), 9)).await,
        ["i3", "i2", "i1"]
    );
    assert_eq!(listed(store, query(open, key, 9)).await, ["i2", "i1"]);
    let closed = Some(IncidentState::Closed);
    assert_eq!(listed(store, query(closed, None, 9)).await, ["i3"]);
    let ids = |rows: Vec<IncidentRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(
        ids(store.open_incidents("", 3).await.unwrap()),
        ["i1", "i2", "i4"]
    );
    assert_eq!(ids(store.open_incidents("i4", 9).await.unwrap()), ["i5", "q1"]);
}

pub(super) async fn closed_incidents_are_forgotten_in_the_end(store: &Store) {
    let ended = |id: &str, at: i64| IncidentRow {
        ended: Some(at),
        ..incident(id, "p", 1)
    };
    let now = KEEP_CLOSED_INCIDENTS + 100;
    let settlement = Alerted {
        now,
        incidents: vec![ended("old", 99), ended("young", 100), incident("open", "p", 1)],
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(store.incident("p", "old").await.unwrap(), None);
    assert!(store.incident("p", "young").await.unwrap().is_some());
    let many = (0..MAX_CLOSED_INCIDENTS).map(|number| ended(&format!("n{number:05}"), now));
    let settlement = Alerted {
        now,
        incidents: many.collect(),
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(store.incident("p", "young").await.unwrap(), None);
    assert!(store.incident("p", "n00000").await.unwrap().is_some());
    assert!(store.incident("p", "open").await.unwrap().is_some());
}

pub(super) async fn a_delivery_waits_until_it_is_taken_or_given_up(store: &Store) {
    let settlement = Alerted {
        now: 10,
        deliveries: ["d1", "d2", "d3"].map(|id| delivery(id, "p")).to_vec(),
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(waiting(store).await, ["d1", "d2", "d3"]);
    let (id, reason) = ("d2".to_owned(), "the answer was 503".to_owned());
    let attempts = vec![
        Attempt::Delivered { id: "d1".into() },
        Attempt::Again {
            id: id.clone(),
            failures: 1,
            due: 12,
            reason: reason.clone(),
        },
        Attempt::Dead {
            id: "d3".into(),
            failures: 4,
            reason: "the answer was 404".into(),
        },
        // Gone already.
        Attempt::Delivered { id: "d9".into() },
    ];
    let settlement = Alerted {
        now: 11,
        attempts,
        ..Alerted::default()
    };
    settle(store, settlement).await;
    let again = store.waiting_delivery("d2").await.unwrap().unwrap();
    assert_eq!((again.failures, again.due, &again.reason), (1, 12, &reason));
    assert_eq!(again.document, "{\"told\":1}");
    assert_eq!(waiting(store).await, ["d2"]);
    assert_eq!(store.waiting_delivery("d3").await.unwrap(), None);
    let letters = dead(store, "p", None, 9).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].id.as_str(), letters[0].died), ("d3", Some(11)));
    assert_eq!(
        (letters[0].failures, letters[0].reason.as_str()),
        (4, "the answer was 404")
    );
    // What died is not sent, nor brought back by a late step.
    let late = Attempt::Again {
        id: "d3".into(),
        failures: 5,
        due: 1,
        reason,
    };
    let settlement = Alerted {
        now: 12,
        attempts: vec![late, Attempt::Delivered { id: "d3".into() }],
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(dead(store, "p", None, 9).await, letters);
}

pub(super) async fn dead_letters_are_retried_deleted_and_forgotten(store: &Store) {
    let letter = |number: i64, died: i64| DeliveryRow {
        died: Some(died),
        failures: 3,
        reason: "why".into(),
        ..delivery(&format!("d{number}"), "p")
    };
    let now = KEEP_DEAD_LETTERS + 100;
    let settlement = Alerted {
        now,
        deliveries: vec![letter(1, 99), letter(2, 100), letter(3, now), delivery("w", "p")],
        ..Alerted::default()
    };
    settle(store, settlement).await;
    let ids = |rows: Vec<DeliveryRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(dead(store, "p", None, 9).await), ["d3", "d2"]);
    let newest = dead(store, "p", None, 1).await.remove(0);
    assert_eq!(ids(dead(store, "p", Some(newest.sequence), 9).await), ["d2"]);
    assert_eq!(ids(dead(store, "q", None, 9).await), [""; 0]);

    let retry = |project: &str, id: &str| Change::RetryDeadLetter {
        project: project.into(),
        id: id.into(),
    };
    let delete = |project: &str, id: &str| Change::DeleteDeadLetter {
        project: project.into(),
        id: id.into(),
    };
    for (project, id) in [("q", "d2"), ("p", "d9"), ("p", "w")] {
        expect_missing(commit(store, vec![retry(project, id)]).await, id);
        expect_missing(commit(store, vec![delete(project, id)]).await, id);
    }
    commit(store, vec![retry("p", "d2")]).await.unwrap();
    let row = store.waiting_delivery("d2").await.unwrap().unwrap();
    assert_eq!((row.failures, row.begun, row.due), (0, 1_000, 1_000));
    commit(store, vec![delete("p", "d3")]).await.unwrap();
    assert_eq!(dead(store, "p", None, 9).await, []);
    assert_eq!(audit_count(store).await, 2);

    let many = (0..i64::from(MAX_DEAD_LETTERS) + 1).map(|number| letter(100 + number, now));
    let settlement = Alerted {
        now,
        deliveries: many.collect(),
        ..Alerted::default()
    };
    settle(store, settlement).await;
    let first = dead(store, "p", None, 5_000).await;
    let second = dead(store, "p", first.last().map(|row| row.sequence), 5_000).await;
    let third = dead(store, "p", second.last().map(|row| row.sequence), 5_000).await;
    assert_eq!((first.len(), second.len(), third.len()), (5_000, 5_000, 0));
    assert_eq!(second.last().unwrap().id, "d101");
}

pub(super) async fn of_too_many_deliveries_the_oldest_are_given_up(store: &Store) {
    let many = (0..=MAX_WAITING).map(|number| delivery(&format!("d{number}"), "p"));
    let settlement = Alerted {
        now: 7,
        deliveries: many.collect(),
        ..Alerted::default()
    };
    settle(store, settlement).await;
    assert_eq!(waiting(store).await[0], "d1");
    let letters = dead(store, "p", None, 9).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].id.as_str(), letters[0].died), ("d0", Some(7)));
    assert!(letters[0].reason.contains("10000 newer"), "{}", letters[0].reason);
}
