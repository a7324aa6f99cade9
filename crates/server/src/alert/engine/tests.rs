use binauthz_wire::logging::metric::read_metric;
use binauthz_wire::logging::{Node, Payload, Severity};
use binauthz_wire::monitoring::policy::read_policy;
use serde_json::{Value, json};

use super::*;

const POLICY: &str = "projects/p/alertPolicies/1";

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn engine() -> Engine {
    let mut number = 0;
    let mut engine = Engine::new(move || {
        number += 1;
        format!("i{number}")
    });
    let metric = |name: &str, text: &str| {
        let filter = format!("textPayload=\"{text}\"");
        (
            "p".to_owned(),
            read_metric(json!({ "name": name, "filter": filter }).into()).unwrap(),
        )
    };
    engine.count(vec![metric("m", "blocked"), metric("n", "other")]);
    engine
}

fn watched(conditions: &Value, more: Value) -> Watched {
    let mut body = json!({ "displayName": "P", "conditions": conditions });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let mut policy = read_policy(body.into()).unwrap();
    policy.name_conditions(POLICY);
    Watched {
        name: POLICY.into(),
        project: "p".into(),
        policy,
    }
}

fn above(metric: &str, value: i64) -> Value {
    json!({ "displayName": metric, "conditionThreshold": {
        "filter": format!("metric.type=\"logging.googleapis.com/user/{metric}\""),
        "comparison": "COMPARISON_GT", "thresholdValue": value,
    } })
}

fn on_logs(more: Value) -> Watched {
    let condition = json!([{ "conditionMatchedLog": { "filter": "textPayload=\"blocked\"",
        "labelExtractors": {"what": "EXTRACT(textPayload)"} } }]);
    let mut strategy = json!({ "notificationRateLimit": {"period": "300s"} });
    for (key, value) in more.as_object().unwrap() {
        strategy[key] = value.clone();
    }
    watched(&condition, json!({ "alertStrategy": strategy }))
}

fn entry(text: &str, project: &str, location: &str, seconds: i64) -> Entry<'static> {
    Entry::new(format!("projects/{project}/logs/x"), "id", at(seconds))
        .severity(Severity::Error)
        .resource(
            "k8s_cluster",
            Node::labels([("location".to_owned(), location.to_owned())]),
        )
        .payload(Payload::Text(Node::from(text.to_owned())))
}

/// What an entry at this second, and the end of the second, have to tell.
fn seen(engine: &mut Engine, entry: &Entry<'_>, second: i64) -> Vec<Notice> {
    let mut notices = engine.observe(entry, (at(second), at(second)));
    notices.extend(engine.tick(at(second)));
    notices
}

/// What happened by each second: `+i1` began, `-i1` ended, `!i1` was told again.
fn played(engine: &mut Engine, entries: &[(&str, i64)], until: i64) -> Vec<(i64, String)> {
    let mut told = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for second in 0..=until {
        let mut notices = Vec::new();
        for (text, _) in entries.iter().filter(|(_, when)| *when == second) {
            notices.extend(engine.observe(&entry(text, "p", "x", second), (at(second), at(second))));
        }
        notices.extend(engine.tick(at(second)));
        for notice in notices.into_iter().filter(|notice| notice.is_wanted) {
            let id = notice.incident.id.clone();
            let sign = match notice.incident.state() {
                State::Closed => "-",
                State::Open if known.contains(&id) => "!",
                State::Open => "+",
            };
            known.push(id.clone());
            told.push((second, format!("{sign}{id}")));
        }
    }
    told
}

fn expected(told: &[(i64, &str)]) -> Vec<(i64, String)> {
    told.iter()
        .map(|(second, text)| (*second, (*text).to_owned()))
        .collect()
}

#[test]
fn a_threshold_begins_and_ends_an_incident() {
    let mut engine = engine();
    engine.watch(
        vec![watched(
            &json!([above("m", 0)]),
            json!({ "notificationChannels": ["c"] }),
        )],
        at(0),
    );
    let notice = seen(&mut engine, &entry("blocked", "p", "x", 1), 1)
        .pop()
        .unwrap();
    assert_eq!(notice.channels, ["c"]);
    assert_eq!(
        (notice.policy_name.as_str(), notice.condition_name.as_str()),
        ("P", "m")
    );
    assert_eq!(notice.incident.condition, format!("{POLICY}/conditions/1"));
    assert_eq!(notice.incident.metric_type, "logging.googleapis.com/user/m");
    assert_eq!(
        notice.incident.about.resource_labels,
        [("location".to_owned(), "x".to_owned())]
    );
    assert_eq!(
        notice.incident.summary,
        "`m` holds: the value is 1, the threshold 0"
    );
    assert_eq!(engine.open().count(), 1);
    for second in 2..100 {
        let ended = engine.tick(at(second)).pop().map(|notice| notice.incident.ended);
        assert_eq!(ended, (second == 61).then_some(Some(at(61))), "{second}");
    }
    assert_eq!(engine.open().count(), 0);
}

#[test]
fn what_does_not_count_begins_nothing() {
    let mut engine = engine();
    engine.watch(vec![watched(&json!([above("m", 0)]), json!({}))], at(0));
    for other in [entry("fine", "p", "x", 1), entry("blocked", "q", "x", 1)] {
        assert_eq!(seen(&mut engine, &other, 1), []);
    }
    engine.watch(
        vec![watched(&json!([above("m", 0)]), json!({ "enabled": false }))],
        at(2),
    );
    assert_eq!(played(&mut engine, &[("blocked", 3)], 10), []);
}

#[test]
fn incidents_follow_one_another() {
    let mut engine = engine();
    engine.watch(vec![watched(&json!([above("m", 1)]), json!({}))], at(0));
    let entries = [
        ("blocked", 1),
        ("blocked", 2),
        ("blocked", 30),
        ("blocked", 200),
        ("blocked", 210),
    ];
    assert_eq!(
        played(&mut engine, &entries, 300),
        expected(&[(2, "+i1"), (62, "-i1"), (210, "+i2"), (260, "-i2")])
    );
}

#[test]
fn conditions_are_combined() {
    let both = json!([above("m", 0), above("n", 0)]);
    let entries = [("blocked", 1), ("other", 30)];
    for (combiner, told) in [
        ("OR", vec![(1, "+i1"), (30, "+i2"), (61, "-i1"), (90, "-i2")]),
        ("AND", vec![(30, "+i1"), (61, "-i1")]),
        ("AND_WITH_MATCHING_RESOURCE", vec![(30, "+i1"), (61, "-i1")]),
    ] {
        let mut engine = engine();
        engine.watch(vec![watched(&both, json!({ "combiner": combiner }))], at(0));
        assert_eq!(played(&mut engine, &entries, 200), expected(&told), "{combiner}");
    }
    let mut engine = engine();
    let matching = json!({ "combiner": "AND_WITH_MATCHING_RESOURCE" });
    engine.watch(vec![watched(&both, matching)], at(0));
    assert_eq!(seen(&mut engine, &entry("blocked", "p", "here", 1), 1), []);
    assert_eq!(seen(&mut engine, &entry("other", "p", "there", 1), 1), []);
    assert_eq!(seen(&mut engine, &entry("other", "p", "here", 2), 2).len(), 1);
}

#[test]
fn each_matching_entry_is_told_but_not_too_often() {
    let mut engine = engine();
    engine.watch(vec![on_logs(json!({ "autoClose": "1800s" }))], at(0));
    let entries = [
        ("blocked", 1),
        ("other", 2),
        ("blocked", 100),
        ("blocked", 301),
        ("blocked", 302),
        ("blocked", 3000),
    ];
    assert_eq!(
        played(&mut engine, &entries, 3001),
        expected(&[(1, "+i1"), (301, "!i1"), (2102, "-i1"), (3000, "+i2")])
    );
    let incident = engine.open().next().unwrap();
    assert_eq!(
        incident.about.metric_labels,
        [("what".to_owned(), "blocked".to_owned())]
    );
    assert_eq!(incident.about.resource_type, "k8s_cluster");
}

#[test]
fn only_what_is_wanted_is_told() {
    for (prompts, told) in [
        (json!(["OPENED"]), vec![(1, "+i1")]),
        (json!(["CLOSED"]), vec![(61, "-i1")]),
    ] {
        let mut engine = engine();
        let strategy = json!({ "alertStrategy": {"notificationPrompts": prompts} });
        engine.watch(vec![watched(&json!([above("m", 0)]), strategy)], at(0));
        assert_eq!(played(&mut engine, &[("blocked", 1)], 100), expected(&told));
    }
}

#[test]
fn an_incident_that_goes_on_is_closed_in_the_end_and_does_not_begin_at_once_again() {
    let mut engine = engine();
    let below = json!([{ "conditionThreshold": { "filter": "metric.type=\"logging.googleapis.com/user/m\"",
        "comparison": "COMPARISON_LT", "thresholdValue": 1 } }]);
    engine.watch(
        vec![watched(
            &below,
            json!({ "alertStrategy": {"autoClose": "1800s"} }),
        )],
        at(0),
    );
    assert_eq!(
        played(&mut engine, &[("blocked", 1), ("blocked", 2000)], 2100),
        expected(&[(61, "+i1"), (1861, "-i1"), (2060, "+i2")])
    );
}

#[test]
fn a_jump_of_the_clock_neither_begins_nor_ends_anything() {
    let mut engine = engine();
    engine.watch(vec![watched(&json!([above("m", 2)]), json!({}))], at(1_000));
    engine.tick(at(1_000));
    // One entry a minute is never three in a minute, whatever the clock says.
    let mut clock = 1_000;
    for minute in 0..30 {
        match minute {
            5 => clock -= 3_600,
            15 => clock += 86_400,
            _ => {}
        }
        assert_eq!(
            engine.observe(&entry("blocked", "p", "x", clock), (at(clock), at(clock))),
            [],
            "minute {minute}"
        );
        for _ in 0..60 {
            clock += 1;
            assert_eq!(engine.tick(at(clock)), [], "minute {minute}");
        }
    }
    // Three in a minute are, over a jump, too.
    for jump in [0, 86_400, -86_400] {
        clock += jump;
        engine.observe(&entry("blocked", "p", "x", clock), (at(clock), at(clock)));
    }
    clock += 1;
    assert_eq!(engine.tick(at(clock)).len(), 1);
}

#[test]
fn entries_of_the_past_are_seen_as_they_were() {
    let mut engine = engine();
    let mut condition = above("m", 0);
    condition["conditionThreshold"]["duration"] = json!("120s");
    engine.watch(vec![watched(&json!([condition]), json!({}))], at(0));
    // Between the two it did not hold, although nobody asked then.
    for second in [100, 900] {
        assert_eq!(
            engine.observe(&entry("blocked", "p", "x", second), (at(second), at(5_000))),
            [],
            "{second}"
        );
    }
    assert_eq!(engine.tick(at(5_000)), []);
}

#[test]
fn a_change_of_a_policy_keeps_what_did_not_change() {
    let mut engine = engine();
    let first = watched(&json!([above("m", 0)]), json!({}));
    engine.watch(vec![first.clone()], at(0));
    assert_eq!(seen(&mut engine, &entry("blocked", "p", "x", 1), 1).len(), 1);
    let mut renamed = first.clone();
    renamed.policy.display_name = "Q".into();
    assert_eq!(engine.watch(vec![renamed], at(2)), []);
    assert_eq!(engine.tick(at(2)), []);
    assert_eq!(engine.open().count(), 1);
    // Another condition under the same name is another one.
    let mut other = watched(&json!([above("n", 0)]), json!({}));
    other.policy.conditions[0]
        .name
        .clone_from(&first.policy.conditions[0].name);
    let ended = engine.watch(vec![other], at(3));
    assert_eq!(ended[0].incident.state(), State::Closed);
    assert_eq!(engine.open().count(), 0);
    assert_eq!(engine.watch(Vec::new(), at(4)), []);
}

#[test]
fn open_incidents_are_taken_up() {
    let mut engine = engine();
    let policy = watched(&json!([above("m", 0)]), json!({}));
    engine.watch(vec![policy.clone()], at(0));
    seen(&mut engine, &entry("blocked", "p", "x", 1), 1);
    let open: Vec<Incident> = engine.open().cloned().collect();
    let mut next = self::engine();
    next.watch(vec![policy], at(5));
    let mut strange = open[0].clone();
    strange.condition = "gone".into();
    let strays = next.take_up([open.clone(), vec![strange.clone()]].concat(), (at(5), at(5)));
    assert_eq!(strays, [strange]);
    assert_eq!(next.open().cloned().collect::<Vec<_>>(), open);
    // Nothing is counted any more, so it ends, once.
    let ended = next.tick(at(6));
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].incident.id, open[0].id);
    assert_eq!(next.tick(at(7)), []);
}

/// An engine that goes on where another ended: what that one saw is recalled, and its open incidents are taken up.
fn gone_on(
    policy: &Watched,
    entries: &[(&str, i64)],
    open: Vec<Incident>,
    (cursor, now): (i64, i64),
) -> Engine {
    let mut next = engine();
    next.watch(vec![policy.clone()], at(cursor));
    for (text, second) in entries {
        next.recall(&entry(text, "p", "x", *second), (at(*second), at(now)));
    }
    assert_eq!(next.take_up(open, (at(cursor), at(now))), []);
    next
}

#[test]
fn what_was_seen_before_counts_and_is_not_told_again() {
    let policy = watched(&json!([above("m", 2)]), json!({}));
    let mut next = gone_on(
        &policy,
        &[("blocked", 10), ("blocked", 20)],
        Vec::new(),
        (25, 100_000),
    );
    // What came while nobody watched is seen as it came: the third one within a minute, hours ago.
    let third = next.observe(&entry("blocked", "p", "x", 60), (at(60), at(100_000)));
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].incident.started, at(60));
    let mut next = gone_on(
        &policy,
        &[("blocked", 10), ("blocked", 20)],
        Vec::new(),
        (25, 100_000),
    );
    let late = next.observe(&entry("blocked", "p", "x", 75), (at(75), at(100_000)));
    assert_eq!(late, []);
}

#[test]
fn since_when_it_has_been_so_is_recalled() {
    let mut condition = above("m", 0);
    condition["conditionThreshold"]["duration"] = json!("120s");
    let policy = watched(&json!([condition]), json!({}));
    let entries = [("blocked", 10), ("blocked", 60), ("blocked", 110)];
    let mut next = gone_on(&policy, &entries, Vec::new(), (111, 100_000));
    assert!(next.look_back() >= 180_000_000);
    let told = next.observe(&entry("blocked", "p", "x", 131), (at(131), at(100_000)));
    assert_eq!(told.len(), 1);
    let mut fresh = gone_on(&policy, &[], Vec::new(), (111, 100_000));
    let told = fresh.observe(&entry("blocked", "p", "x", 131), (at(131), at(100_000)));
    assert_eq!(told, []);
}

#[test]
fn a_silence_that_was_told_goes_on_after_a_restart() {
    let filter = "metric.type=\"logging.googleapis.com/user/m\"";
    let silence = json!([{ "conditionAbsent": { "filter": filter, "duration": "120s" } }]);
    let policy = watched(&silence, json!({}));
    let mut engine = engine();
    engine.watch(vec![policy.clone()], at(0));
    assert_eq!(
        played(&mut engine, &[("blocked", 1)], 200),
        expected(&[(180, "+i1")])
    );
    let open: Vec<Incident> = engine.open().cloned().collect();
    let mut next = gone_on(&policy, &[], open, (90_000, 100_000));
    assert_eq!(next.tick(at(100_000)), []);
    assert_eq!(next.open().count(), 1);
    let ended = seen(&mut next, &entry("blocked", "p", "x", 100_001), 100_001);
    assert_eq!(ended[0].incident.state(), State::Closed);
}

#[test]
fn how_often_is_told_and_when_it_ends_by_itself_outlives_a_restart() {
    let policy = on_logs(json!({ "autoClose": "1800s" }));
    let mut engine = engine();
    engine.watch(vec![policy.clone()], at(0));
    assert_eq!(
        played(&mut engine, &[("blocked", 1), ("blocked", 200)], 210),
        expected(&[(1, "+i1")])
    );
    let open: Vec<Incident> = engine.open().cloned().collect();
    assert_eq!((open[0].renewed, open[0].notified), (at(200), at(1)));
    let see = |next: &mut Engine, second: i64| {
        next.observe(&entry("blocked", "p", "x", second), (at(second), at(second)))
            .len()
    };
    let mut next = gone_on(&policy, &[], open.clone(), (210, 250));
    assert_eq!((see(&mut next, 300), see(&mut next, 301)), (0, 1));
    let mut next = gone_on(&policy, &[], open, (210, 1_990));
    assert_eq!(next.tick(at(1_999)), []);
    assert_eq!(next.tick(at(2_000))[0].incident.state(), State::Closed);
}
