//! From a verdict to whoever is told: real admissions, a real receiver.

use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_server::alert::channel::signature;
use serde_json::{Value, json};

use crate::court::{Court, always, created, pod};
use crate::receiver::{Does, Receiver};
use crate::support::Desk;

const SECRET: &str = "hush";
const POLICIES: &str = "/v3/projects/p/alertPolicies";
const CHANNELS: &str = "/v3/projects/p/notificationChannels";
const BREAK_GLASS: &str = "/v3/projects/p/alertPolicies/binauthz-break-glass";
const BLOCKED: &str = "/v3/projects/p/alertPolicies/binauthz-blocked-deployments";
const GUARD: &str = "/v3/projects/p/alertPolicies/binauthz-guard";
const INCIDENTS: &str = "/binauthz/v1/projects/p/incidents";
const LETTERS: &str = "/binauthz/v1/projects/p/deadLetters";
/// Promised from the record of a verdict to the receiver.
const SOON: Duration = Duration::from_secs(2);
/// For what waits for something else.
const PATIENCE: Duration = Duration::from_secs(20);

/// A channel that leads to a receiver; its name.
async fn channel(desk: &Desk, receiver: &Receiver) -> String {
    let labels = json!({ "url": receiver.url, "secret": SECRET });
    let body = json!({ "type": "webhook_tokenauth", "labels": labels });
    let made = desk.post(CHANNELS, body).await.ok();
    made["name"].as_str().unwrap().to_owned()
}

/// These channels are told by the policy.
async fn told_by(desk: &Desk, policy: &str, channels: &[&str]) {
    let update = json!({ "notificationChannels": channels });
    desk.patch(&format!("{policy}?updateMask=notificationChannels"), update)
        .await
        .ok();
}

/// A court whose break-glass policy tells a receiver; the channel's name.
async fn court(does: Does) -> (Court, Receiver, String) {
    let court = Court::new().await;
    let receiver = Receiver::new(does).await;
    let name = channel(&court.desk, &receiver).await;
    told_by(&court.desk, BREAK_GLASS, &[&name]).await;
    (court, receiver, name)
}

fn by_break_glass(name: &str, image: &str) -> Value {
    let mut object = pod(&[image]);
    object["metadata"]["name"] = json!(name);
    object["metadata"]["annotations"] = json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1234" });
    created(object)
}

async fn break_glass(court: &Court) {
    let review = by_break_glass("hotfix", &court.unsigned());
    court.admit(&review).await.admitted();
}

async fn incidents(desk: &Desk, query: &str) -> Vec<Value> {
    let listed = desk.get(&format!("{INCIDENTS}{query}")).await.ok();
    listed["incidents"].as_array().cloned().unwrap_or_default()
}

async fn letters(desk: &Desk) -> Vec<Value> {
    let listed = desk.get(LETTERS).await.ok();
    listed["deadLetters"].as_array().cloned().unwrap_or_default()
}

/// Asks until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The one incident that is open.
async fn open_incident(desk: &Desk) -> Value {
    eventually("an open incident", async || {
        let mut open = incidents(desk, "?state=open").await;
        assert!(open.len() < 2, "{open:?}");
        open.pop()
    })
    .await
}

/// What comes up is looked for every 100 ms: by now it would have.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

#[tokio::test]
async fn a_break_glass_is_told_within_two_seconds() {
    let (court, receiver, _) = court(Does::Answer(200, "")).await;
    let desk = &court.desk;
    // What is admitted as it should be is no news.
    let image = court.signed().await;
    court.pod(&[&image]).await.admitted();
    break_glass(&court).await;
    let request = receiver.wait_for(1, SOON).await.remove(0);
    let sent: i64 = request.header("x-binauthz-timestamp").unwrap().parse().unwrap();
    let expected = signature(SECRET, UnixTime::from_seconds(sent), &request.text);
    assert_eq!(request.header("x-binauthz-signature"), Some(expected.as_str()));
    let told = &request.body["incident"];
    assert_eq!(told["state"], "open");
    assert_eq!(told["scoping_project_id"], "p");
    assert_eq!(told["policy_name"], "Binary Authorization: break-glass");
    assert_eq!(told["resource"]["labels"]["cluster_name"], "c");
    let labels = &told["metric"]["labels"];
    assert_eq!(labels["justification"], "INC-1234");
    assert_eq!(labels["user"], "alice@example.com");
    assert!(
        labels["object"].as_str().unwrap().ends_with("/pods/hotfix"),
        "{labels}"
    );
    assert!(told["summary"].as_str().unwrap().contains("INC-1234"), "{told}");

    let incident = open_incident(desk).await;
    let name = format!("projects/p/incidents/{}", told["incident_id"].as_str().unwrap());
    assert_eq!(incident["name"], name);
    assert_eq!(incident["state"], "OPEN");
    assert_eq!(
        incident["policy"],
        "projects/p/alertPolicies/binauthz-break-glass"
    );
    assert_eq!(incident["metric"]["labels"], *labels);
    let path = format!("/binauthz/v1/{name}");
    assert_eq!(desk.get(&path).await.ok(), incident);
    desk.get(&path.replace("/p/", "/q/"))
        .await
        .refused("NOT_FOUND", "was not found");
    desk.get(&format!("{INCIDENTS}?state=ajar"))
        .await
        .refused("INVALID_ARGUMENT", "expected `open` or `closed`");
    desk.get(&format!("{INCIDENTS}?pageToken=x"))
        .await
        .refused("INVALID_ARGUMENT", "");

    // The next one joins it, and is told only when five minutes are over.
    break_glass(&court).await;
    a_while().await;
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(incidents(desk, "").await.len(), 1);
    let (_, metrics) = desk.health("/metrics").await;
    for line in [
        "binauthz_alert_incidents 1\n",
        "binauthz_alert_incidents_total{state=\"open\"} 1\n",
        "binauthz_alert_deliveries_waiting 0\n",
        "binauthz_alert_deliveries_total{channel_type=\"webhook_tokenauth\",outcome=\"delivered\"} 1\n",
        "binauthz_alert_lag_seconds 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // Nothing of it is a call that somebody made.
    let rows = desk.audit(100).await;
    assert!(rows.iter().all(|row| row["principal"] == "admin"), "{rows:?}");
}

#[tokio::test]
async fn a_dry_run_of_the_cluster_is_no_alarm() {
    let (court, receiver, _) = court(Does::Answer(200, "")).await;
    let mut review = by_break_glass("hotfix", &court.unsigned());
    review["request"]["dryRun"] = json!(true);
    court.admit(&review).await.admitted();
    let mut review = created(pod(&[&court.unsigned()]));
    review["request"]["dryRun"] = json!(true);
    court.admit(&review).await.denial();
    a_while().await;
    assert_eq!(incidents(&court.desk, "").await, Vec::<Value>::new());
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn without_a_channel_an_incident_is_listed_all_the_same() {
    let court = Court::new().await;
    court.pod(&[&court.unsigned()]).await.denial();
    let incident = open_incident(&court.desk).await;
    assert_eq!(incident["policyName"], "Binary Authorization: blocked deployment");
    assert_eq!(incident["metric"]["labels"]["reason"], "NO_ATTESTATIONS");
    assert_eq!(letters(&court.desk).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_once_when_it_is_back() {
    let (court, receiver, _) = court(Does::Answer(503, "")).await;
    break_glass(&court).await;
    receiver.wait_for(2, PATIENCE).await;
    receiver.turns(Does::Answer(200, ""));
    let requests = receiver.wait_for(3, PATIENCE).await;
    a_while().await;
    assert_eq!(receiver.requests().len(), 3);
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.header("x-binauthz-delivery"))
        .collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(letters(&court.desk).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_was_refused_is_a_dead_letter_that_can_be_sent_again() {
    let (court, receiver, name) = court(Does::Answer(404, "")).await;
    let desk = &court.desk;
    break_glass(&court).await;
    let letter = eventually("a dead letter", async || letters(desk).await.pop()).await;
    assert_eq!(letter["reason"], "the answer was 404");
    assert_eq!(letter["channel"], name);
    assert_eq!(letter["attempts"], 1);
    assert_eq!(letter["notice"]["incident"]["state"], "open");
    assert_eq!(letter["incident"], open_incident(desk).await["name"]);
    let path = format!("/binauthz/v1/{}", letter["name"].as_str().unwrap());
    desk.post(&format!("{path}:retry"), json!({ "frob": 1 }))
        .await
        .refused("INVALID_ARGUMENT", "`frob`");
    desk.post(&format!("{}:retry", path.replace("/p/", "/q/")), json!({}))
        .await
        .refused("NOT_FOUND", "`projects/q/deadLetters/");
    receiver.turns(Does::Answer(200, ""));
    desk.post(&format!("{path}:retry"), json!({})).await.ok();
    assert_eq!(desk.audit(1).await[0]["method"], "binauthz.RetryDeadLetter");
    receiver.wait_for(2, SOON).await;
    assert_eq!(letters(desk).await, Vec::<Value>::new());
    desk.post(&format!("{path}:retry"), json!({}))
        .await
        .refused("NOT_FOUND", "was not found");
    desk.delete(&path).await.refused("NOT_FOUND", "was not found");
}

#[tokio::test]
async fn channels_that_are_disabled_or_gone_leave_dead_letters() {
    let (court, receiver, name) = court(Does::Answer(200, "")).await;
    let desk = &court.desk;
    let path = format!("/v3/{name}?updateMask=enabled");
    desk.patch(&path, json!({ "enabled": false })).await.ok();
    break_glass(&court).await;
    let letter = eventually("a dead letter", async || letters(desk).await.pop()).await;
    assert_eq!(letter["reason"], "the channel is disabled");
    assert!(receiver.requests().is_empty());
    let path = format!("/binauthz/v1/{}", letter["name"].as_str().unwrap());
    desk.delete(&path).await.ok();
    assert_eq!(desk.audit(1).await[0]["method"], "binauthz.DeleteDeadLetter");
    assert_eq!(letters(desk).await, Vec::<Value>::new());

    // One that is deleted while its notice waits.
    let receiver = Receiver::new(Does::Answer(503, "")).await;
    let name = channel(desk, &receiver).await;
    told_by(desk, BLOCKED, &[&name]).await;
    court.pod(&[&court.unsigned()]).await.denial();
    receiver.wait_for(1, SOON).await;
    desk.delete(&format!("/v3/{name}?force=true")).await.ok();
    let letter = eventually("a dead letter", async || letters(desk).await.pop()).await;
    assert_eq!(letter["reason"], "the channel was deleted");
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let (court, slow, name) = court(Does::Hang).await;
    let quick = Receiver::new(Does::Answer(200, "")).await;
    let other = channel(&court.desk, &quick).await;
    told_by(&court.desk, BREAK_GLASS, &[&name, &other]).await;
    break_glass(&court).await;
    quick.wait_for(1, SOON).await;
    slow.wait_for(1, SOON).await;
    // Not even what comes while it hangs.
    told_by(&court.desk, BLOCKED, &[&name, &other]).await;
    court.pod(&[&court.unsigned()]).await.denial();
    quick.wait_for(2, SOON).await;
    assert_eq!(slow.requests().len(), 1);
}

#[tokio::test]
async fn what_every_project_has_is_changed_disabled_and_deleted_for_good() {
    let (court, receiver, _) = court(Does::Answer(200, "")).await;
    let desk = &court.desk;
    let listed = desk.pages(POLICIES, "alertPolicies", 1).await;
    let names: Vec<&str> = listed
        .iter()
        .map(|policy| policy["name"].as_str().unwrap())
        .collect();
    let one = &BREAK_GLASS[4..];
    assert_eq!(names, [&BLOCKED[4..], one, &GUARD[4..]]);
    let shipped = desk.get(BLOCKED).await.ok();
    assert_eq!(shipped["creationRecord"]["mutatedBy"], "binauthz");
    assert_eq!(shipped["enabled"], true);
    let changed = desk.get(BREAK_GLASS).await.ok();
    assert_eq!(changed["creationRecord"]["mutatedBy"], "binauthz");
    assert_eq!(changed["mutationRecord"]["mutatedBy"], "admin");
    assert_eq!(changed["conditions"][0]["name"], format!("{one}/conditions/1"));

    break_glass(&court).await;
    receiver.wait_for(1, SOON).await;
    open_incident(desk).await;
    // Whatever goes on ends with its policy, and is told so.
    let disabled = json!({ "enabled": false });
    desk.patch(&format!("{BREAK_GLASS}?updateMask=enabled"), disabled)
        .await
        .ok();
    let requests = receiver.wait_for(2, SOON).await;
    assert_eq!(requests[1].body["incident"]["state"], "closed");
    let closed = eventually("a closed incident", async || {
        incidents(desk, "?state=closed").await.pop()
    })
    .await;
    assert!(closed["closeTime"].is_string(), "{closed}");
    break_glass(&court).await;
    desk.delete(BLOCKED).await.ok();
    court.pod(&[&court.unsigned()]).await.denial();
    a_while().await;
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(incidents(desk, "").await.len(), 1);

    desk.get(BLOCKED).await.refused("NOT_FOUND", "was not found");
    desk.delete(BLOCKED).await.refused("NOT_FOUND", "was not found");
    desk.patch(BLOCKED, shipped)
        .await
        .refused("NOT_FOUND", "was not found");
    desk.delete(BREAK_GLASS).await.ok();
    desk.delete(GUARD).await.ok();
    assert_eq!(desk.get(POLICIES).await.ok(), json!({}));
    let court = court.restarted().await;
    let desk = &court.desk;
    assert_eq!(desk.get(POLICIES).await.ok(), json!({}));
    desk.get("/v3/projects/q/alertPolicies/binauthz-break-glass")
        .await
        .ok();
}

#[tokio::test]
async fn blocked_deployments_are_counted_by_a_metric_of_ones_own() {
    let court = Court::new().await;
    let desk = &court.desk;
    desk.delete(BLOCKED).await.ok();
    let receiver = Receiver::new(Does::Answer(200, "")).await;
    let name = channel(desk, &receiver).await;
    // As the tutorial's commands send them.
    let filter = "resource.type=\"k8s_cluster\" protoPayload.response.status.message:\"denied by attestor\"";
    let metric = json!({ "name": "binauthz-blocked-deployments", "filter": filter });
    desk.post("/v2/projects/p/metrics", metric).await.ok();
    let filter = "metric.type=\"logging.googleapis.com/user/binauthz-blocked-deployments\"";
    let policy = json!({
        "displayName": "Binary Auth Blocked Deployment",
        "conditions": [{ "displayName": "more than two", "conditionThreshold": {
            "comparison": "COMPARISON_GT", "duration": "0s", "filter": filter, "thresholdValue": 2,
            "aggregations": [{ "alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_SUM" }],
        } }],
        "notificationChannels": [name],
    });
    desk.post(POLICIES, policy).await.ok();
    for _ in 0..2 {
        court.pod(&[&court.unsigned()]).await.denial();
    }
    a_while().await;
    assert!(receiver.requests().is_empty());
    // Before the third comes the process ends: the two are not forgotten.
    let court = court.restarted().await;
    court.pod(&[&court.unsigned()]).await.denial();
    let request = receiver.wait_for(1, SOON).await.remove(0);
    let told = &request.body["incident"];
    assert_eq!(told["condition_name"], "more than two");
    assert_eq!(
        told["metric"]["type"],
        "logging.googleapis.com/user/binauthz-blocked-deployments"
    );
    assert_eq!(
        told["summary"],
        "`more than two` holds: the value is 3, the threshold 2"
    );
}

#[tokio::test]
async fn a_restart_tells_nothing_twice() {
    let (court, receiver, _) = court(Does::Answer(200, "")).await;
    break_glass(&court).await;
    receiver.wait_for(1, SOON).await;
    let before = open_incident(&court.desk).await;
    let court = court.restarted().await;
    break_glass(&court).await;
    a_while().await;
    assert_eq!(receiver.requests().len(), 1);
    let after = open_incident(&court.desk).await;
    assert_eq!(after["name"], before["name"]);
    // A policy that is gone when the server comes back takes its incident with it.
    court.desk.delete(BREAK_GLASS).await.ok();
    eventually("a closed incident", async || {
        incidents(&court.desk, "?state=closed").await.pop()
    })
    .await;
}

#[tokio::test]
async fn incidents_come_page_by_page() {
    let court = Court::new().await;
    let desk = &court.desk;
    court.policy(always("ALWAYS_DENY")).await;
    court.pod(&[&court.unsigned()]).await.denial();
    open_incident(desk).await;
    break_glass(&court).await;
    eventually("two incidents", async || {
        (incidents(desk, "?state=open").await.len() == 2).then_some(())
    })
    .await;
    let pages = desk.pages(INCIDENTS, "incidents", 1).await;
    let policies: Vec<&str> = pages
        .iter()
        .map(|one| one["policyName"].as_str().unwrap())
        .collect();
    assert_eq!(
        policies,
        [
            "Binary Authorization: break-glass",
            "Binary Authorization: blocked deployment"
        ]
    );
    assert_eq!(
        desk.get("/binauthz/v1/projects/q/incidents").await.ok(),
        json!({})
    );
}

#[tokio::test]
async fn a_channel_is_verified_and_the_answer_says_what_happened() {
    let desk = Desk::new().await;
    let receiver = Receiver::new(Does::Answer(200, "")).await;
    let name = channel(&desk, &receiver).await;
    let path = format!("/binauthz/v1/{name}:verify");
    let answer = desk.post(&path, json!({})).await.ok();
    assert_eq!(
        (&answer["delivered"], &answer["name"]),
        (&json!(true), &json!(name))
    );
    assert!(answer["durationMillis"].is_u64(), "{answer}");
    let request = receiver.requests().remove(0);
    assert!(
        request.body["incident"]["summary"]
            .as_str()
            .unwrap()
            .starts_with("this is a test")
    );
    for (does, reason, again) in [
        (Does::Answer(404, ""), "the answer was 404", false),
        (Does::Answer(503, ""), "the answer was 503", true),
    ] {
        receiver.turns(does);
        let answer = desk.post(&path, json!({})).await.ok();
        assert_eq!(answer["delivered"], false);
        assert_eq!(
            (&answer["reason"], &answer["again"]),
            (&json!(reason), &json!(again))
        );
    }
    assert_eq!(
        desk.audit(1).await[0]["method"],
        "binauthz.VerifyNotificationChannel"
    );
    desk.post(&path, json!({ "frob": 1 }))
        .await
        .refused("INVALID_ARGUMENT", "`frob`");
    desk.post(
        &format!("/binauthz/v1/{CHANNELS}/7:verify").replace("/v3/", ""),
        json!({}),
    )
    .await
    .refused("NOT_FOUND", "was not found");
}
