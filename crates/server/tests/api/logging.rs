//! Cloud Logging: what was decided, as log entries.

use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, created, pod, require_attestation};
use crate::support::{Desk, answer};

const WEBHOOK: &str = "imagepolicywebhook.image-policy.k8s.io";
const BLOCKED: &str = "resource.type=\"k8s_cluster\" protoPayload.response.status=\"Failure\" \
    (protoPayload.response.reason=\"VIOLATES_POLICY\" OR protoPayload.response.reason=\"Forbidden\")";
const OPENED: &str = "resource.type=\"k8s_cluster\" \
    protoPayload.request.metadata.annotations.\"alpha.image-policy.k8s.io/break-glass\" != \"\"";
const DRY_RUN: &str =
    "resource.type=\"k8s_cluster\" AND jsonPayload.enforcementMode=\"DRYRUN_AUDIT_LOG_ONLY\"";
/// Only verdicts: calls that set the stage are recorded too.
const VERDICTS: &str = "resource.type=\"k8s_cluster\"";

/// The entries of a filter, the newest first.
async fn entries(court: &Court, filter: &str) -> Vec<Value> {
    page(court, filter, "timestamp desc", 1000).await.0
}

/// All entries in an order, in pages of a size; and how many pages there were.
async fn page(court: &Court, filter: &str, order: &str, size: usize) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut token) = (Vec::new(), 0, Value::Null);
    loop {
        let request = json!({
            "resourceNames": ["projects/p"], "filter": filter, "orderBy": order, "pageSize": size, "pageToken": token,
        });
        let mut answer = court.desk.post("/v2/entries:list", request).await.ok();
        pages += 1;
        if let Some(found) = answer["entries"].as_array_mut() {
            assert!(found.len() <= size, "{found:?}");
            entries.append(found);
        }
        match answer.get("nextPageToken") {
            Some(next) => token = next.clone(),
            None => return (entries, pages),
        }
    }
}

fn opened() -> Value {
    let mut object = pod(&["r.example/app:v1"]);
    object["metadata"]["annotations"] =
        json!({"alpha.image-policy.k8s.io/break-glass": "INC-1", "other": "secret"});
    object
}

#[tokio::test]
async fn a_denial_is_an_entry_in_googles_shape() {
    let court = Court::new().await;
    let signed = court.signed().await;
    court.pod(&["r.example/app:v1", &signed]).await;
    let found = entries(&court, BLOCKED).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let entry = &found[0];
    assert_eq!(
        entry["logName"],
        "projects/p/logs/cloudaudit.googleapis.com%2Factivity"
    );
    assert_eq!(entry["severity"], "ERROR");
    assert_eq!(entry["timestamp"], entry["receiveTimestamp"]);
    assert_eq!(entry["insertId"].as_str().unwrap().len(), 16);
    assert_eq!(entry["operation"]["id"], entry["insertId"]);
    let labels = json!({"project_id": "p", "location": "us-central1-a", "cluster_name": "c"});
    assert_eq!(
        entry["resource"],
        json!({"type": "k8s_cluster", "labels": labels})
    );
    let payload = &entry["protoPayload"];
    assert_eq!(payload["methodName"], "io.k8s.core.v1.pods.create");
    assert_eq!(payload["resourceName"], "core/v1/namespaces/default/pods/web");
    assert_eq!(
        payload["authenticationInfo"]["principalEmail"],
        "alice@example.com"
    );
    assert_eq!(
        payload["request"]["spec"]["containers"],
        json!([{"image": "r.example/app:v1"}, {"image": signed}])
    );
    let message = payload["response"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!(
            "admission webhook \"{WEBHOOK}\" denied the request: Image r.example/app:v1 denied by attestor "
        )),
        "{message}"
    );
    assert_eq!(payload["status"], json!({"code": 3, "message": message}));
    let causes = payload["response"]["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[0]["reason"]), (1, &json!("NOT_PINNED")));
    assert_eq!(payload["metadata"]["verdict"], "DENY");
    assert_eq!(payload["metadata"]["serviceAccount"], "default");
}

#[tokio::test]
async fn the_tutorials_filters_find_their_entries_and_no_others() {
    let court = Court::new().await;
    let signed = court.signed().await;
    court.pod(&[&signed]).await;
    court.pod(&["r.example/app:v1"]).await;
    court.admit(&created(opened())).await;
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court
        .pod(&["r.example/one:v1", &signed, "r.example/two:v1"])
        .await;
    let table = [
        (VERDICTS, 6),
        (BLOCKED, 1),
        (OPENED, 1),
        (DRY_RUN, 2),
        ("protoPayload.response.status.message:\"denied by attestor\"", 1),
        ("severity=WARNING", 4),
        ("severity=NOTICE resource.type=\"k8s_cluster\"", 1),
        ("jsonPayload.imageName=\"r.example/two:v1\"", 1),
        (
            "labels.\"imagepolicywebhook.image-policy.k8s.io/dry-run\"=\"true\"",
            1,
        ),
        (
            "labels.\"imagepolicywebhook.image-policy.k8s.io/break-glass\"=\"true\"",
            1,
        ),
        ("log_id(\"binaryauthorization.googleapis.com/policy\")", 2),
        ("secret", 0),
        ("resource.labels.cluster_name=\"other\"", 0),
        ("timestamp>=\"2999-01-01\"", 0),
        ("timestamp<\"2000-01-01\"", 0),
        ("timestamp>=\"2999-01-01\" timestamp<\"2000-01-01\"", 0),
    ];
    for (filter, expected) in table {
        for order in ["timestamp desc", "timestamp asc"] {
            let (found, _) = page(&court, filter, order, 1000).await;
            assert_eq!(found.len(), expected, "{filter}: {found:#?}");
        }
    }
}

#[tokio::test]
async fn what_was_let_through_says_what_it_was_let_through_from() {
    let court = Court::new().await;
    court.admit(&created(opened())).await;
    let entry = entries(&court, OPENED).await.swap_remove(0);
    assert_eq!(entry["severity"], "WARNING");
    let overridden = entry["labels"][format!("{WEBHOOK}/overridden-verification-result")]
        .as_str()
        .unwrap();
    assert!(
        overridden.starts_with("'r.example/app:v1' : Image r.example/app:v1 denied by attestor "),
        "{overridden}"
    );
    let payload = &entry["protoPayload"];
    assert_eq!(
        payload["request"]["metadata"]["annotations"],
        json!({"alpha.image-policy.k8s.io/break-glass": "INC-1"})
    );
    assert_eq!(payload["response"], payload["request"]);
    assert_eq!(payload["metadata"]["justification"], "INC-1");
    assert!(payload.get("status").is_none(), "{payload}");

    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court.pod(&["r.example/app:v1"]).await;
    let entry = entries(&court, DRY_RUN).await.swap_remove(0);
    assert!(entry["insertId"].as_str().unwrap().ends_with("-1"), "{entry}");
    let payload = &entry["jsonPayload"];
    assert_eq!(
        (
            &payload["podName"],
            &payload["imageName"],
            &payload["reason"],
            &payload["field"]
        ),
        (
            &json!("web"),
            &json!("r.example/app:v1"),
            &json!("NOT_PINNED"),
            &json!("spec.containers[0]")
        )
    );
}

#[tokio::test]
async fn a_door_that_does_not_open_is_recorded_as_it_is() {
    let court = Court::new().await;
    let mut object = pod(&["r.example/app:v1"]);
    object["metadata"]["labels"] = json!({"image-policy.k8s.io/break-glass": "yes", "app": "web"});
    court.admit(&created(object)).await;
    assert_eq!(court.record().await["door"], json!({"own": {"label": "yes"}}));
    let entry = entries(&court, BLOCKED).await.swap_remove(0);
    assert_eq!(
        entry["protoPayload"]["request"]["metadata"]["labels"],
        json!({"image-policy.k8s.io/break-glass": "yes"})
    );
    court.pod(&["r.example/app:v1"]).await;
    let record = court.record().await;
    assert!(record.get("door").is_none());
    assert_eq!((&record["group"], &record["version"]), (&json!(""), &json!("v1")));
}

#[tokio::test]
async fn pages_go_on_where_they_ended_also_within_a_record() {
    let court = Court::new().await;
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    for _ in 0..3 {
        court
            .pod(&["r.example/one:v1", "r.example/two:v1", "r.example/three:v1"])
            .await;
    }
    for order in ["timestamp desc", "timestamp asc", "timestamp", ""] {
        let (whole, _) = page(&court, VERDICTS, order, 1000).await;
        assert_eq!(whole.len(), 12);
        for size in [1, 2, 5, 12] {
            let (found, pages) = page(&court, VERDICTS, order, size).await;
            assert_eq!(found, whole, "{order} in pages of {size}");
            assert!(pages >= 12 / size, "{pages}");
        }
        let times: Vec<&str> = whole
            .iter()
            .map(|entry| entry["timestamp"].as_str().unwrap())
            .collect();
        let newest_first = order.ends_with("desc");
        assert!(times.is_sorted_by(|one, other| if newest_first { one >= other } else { one <= other }));
    }
}

#[tokio::test]
async fn times_bound_what_is_found() {
    let court = Court::new().await;
    for _ in 0..4 {
        court.pod(&["r.example/app:v1"]).await;
    }
    let all = entries(&court, VERDICTS).await;
    let time = |index: usize| all[index]["timestamp"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        (format!("{VERDICTS} timestamp>=\"{}\"", time(1)), 2),
        (format!("{VERDICTS} timestamp>\"{}\"", time(1)), 1),
        (format!("{VERDICTS} timestamp<=\"{}\"", time(1)), 3),
        (
            format!("{VERDICTS} timestamp<\"{}\" timestamp>=\"{}\"", time(0), time(2)),
            2,
        ),
        (format!("{VERDICTS} timestamp=\"{}\"", time(3)), 1),
    ] {
        for order in ["timestamp desc", "timestamp asc"] {
            assert_eq!(
                page(&court, &filter, order, 1000).await.0.len(),
                expected,
                "{filter} {order}"
            );
        }
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_meant_is_refused() {
    let court = Court::new().await;
    let names = json!(["projects/p"]);
    let table = [
        (json!({}), "INVALID_ARGUMENT", "resourceNames"),
        (
            json!({"resourceNames": ["p"]}),
            "INVALID_ARGUMENT",
            "resourceNames[0]",
        ),
        (
            json!({"resourceNames": ["projects/p", "projects/p/logs/x"]}),
            "INVALID_ARGUMENT",
            "resourceNames[1]",
        ),
        (
            json!({"resourceNames": ["organizations/1"]}),
            "PERMISSION_DENIED",
            "projects only",
        ),
        (
            json!({"resourceNames": vec!["projects/p"; 101]}),
            "INVALID_ARGUMENT",
            "101",
        ),
        (
            json!({"resourceNames": names, "filter": "severity>=EROR"}),
            "INVALID_ARGUMENT",
            "column 11",
        ),
        (
            json!({"resourceNames": names, "filter": "thud=1"}),
            "INVALID_ARGUMENT",
            "column 1",
        ),
        (
            json!({"resourceNames": names, "orderBy": "severity"}),
            "INVALID_ARGUMENT",
            "orderBy",
        ),
        (
            json!({"resourceNames": names, "pageSize": -1}),
            "INVALID_ARGUMENT",
            "pageSize",
        ),
        (
            json!({"resourceNames": names, "pageToken": "x"}),
            "INVALID_ARGUMENT",
            "pageToken",
        ),
        (
            json!({"resourceNames": names, "flter": "x"}),
            "INVALID_ARGUMENT",
            "flter",
        ),
    ];
    for (request, status, message) in table {
        court
            .desk
            .post("/v2/entries:list", request)
            .await
            .refused(status, message);
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let court = Court::new().await;
    let names = json!(["projects/p"]);
    court.pod(&["r.example/app:v1"]).await;
    court.pod(&["r.example/app:v1"]).await;
    let request = |filter: &str, token: &Value| json!({"resourceNames": names, "filter": filter, "pageSize": 1, "pageToken": token});
    let first = court
        .desk
        .post("/v2/entries:list", request(VERDICTS, &Value::Null))
        .await
        .ok();
    court
        .desk
        .post("/v2/entries:list", request(BLOCKED, &first["nextPageToken"]))
        .await
        .refused("INVALID_ARGUMENT", "pageToken");
    court
        .desk
        .post("/v2/entries:list", request(VERDICTS, &first["nextPageToken"]))
        .await
        .ok();
}

#[tokio::test]
async fn a_project_sees_its_own_entries_only() {
    let court = Court::new().await;
    court.pod(&["r.example/app:v1"]).await;
    let of = |name: &str| json!({"resourceNames": [name], "filter": VERDICTS});
    let count = |answer: Value| answer["entries"].as_array().map_or(0, Vec::len);
    for (name, expected) in [
        ("projects/p", 1),
        ("projects/p/locations/global/buckets/_Default/views/_AllLogs", 1),
        ("projects/other", 0),
        ("projects/us", 0),
    ] {
        let found = court.desk.post("/v2/entries:list", of(name)).await.ok();
        assert_eq!(count(found), expected, "{name}");
    }
    let old = json!({"projectIds": ["p"], "filter": VERDICTS});
    assert_eq!(count(court.desk.post("/v2/entries:list", old).await.ok()), 1);
    // Who may only read may read this, but not what is about no project.
    let viewer = court.desk.viewer().await;
    let list = |name: &str| {
        let request = court
            .desk
            .request_as(&viewer, reqwest::Method::POST, "/v2/entries:list");
        answer(request.json(&of(name)))
    };
    assert_eq!(count(list("projects/p").await.ok()), 1);
    list("projects/_")
        .await
        .refused("PERMISSION_DENIED", "projects/_");
}

#[tokio::test]
async fn the_logs_that_have_entries_are_listed() {
    let court = Court::new().await;
    let logs = "/v2/projects/p/logs";
    court.pod(&["r.example/app:v1"]).await;
    let activity = "projects/p/logs/cloudaudit.googleapis.com%2Factivity";
    assert_eq!(court.desk.get(logs).await.ok(), json!({"logNames": [activity]}));
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court.pod(&["r.example/app:v1"]).await;
    let policy = "projects/p/logs/binaryauthorization.googleapis.com%2Fpolicy";
    assert_eq!(
        court.desk.get(logs).await.ok(),
        json!({"logNames": [policy, activity]})
    );
    let view = "/v2/projects/p/locations/global/buckets/_Default/views/_AllLogs/logs";
    assert_eq!(
        court.desk.get(view).await.ok(),
        json!({"logNames": [policy, activity]})
    );
    assert_eq!(court.desk.get("/v2/projects/other/logs").await.ok(), json!({}));
}

#[tokio::test]
async fn a_question_of_the_image_policy_plugin_is_an_entry_too() {
    let court = Court::new().await;
    let review = json!({
        "apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": "r.example/app:v1"}], "namespace": "default",
            "annotations": {"alpha.image-policy.k8s.io/break-glass": "false"}},
    });
    court.ask("imagepolicy", &review).await;
    let entry = entries(&court, BLOCKED).await.swap_remove(0);
    let payload = &entry["protoPayload"];
    assert_eq!(payload["response"]["reason"], "Forbidden");
    assert_eq!(payload["status"]["code"], 7);
    assert_eq!(payload["methodName"], "io.k8s.core.v1.pods.create");
    assert_eq!(
        payload["request"]["metadata"]["annotations"],
        json!({"alpha.image-policy.k8s.io/break-glass": "false"})
    );
    assert!(court.record().await["cluster"] == CLUSTER);
}

/// The calls in the log once there are as many: they come there a moment after they are answered.
async fn calls(desk: &Desk, filter: &str, count: usize) -> Vec<Value> {
    let request = json!({
        "resourceNames": ["projects/p", "projects/_"], "orderBy": "timestamp desc", "pageSize": 1000,
        "filter": format!("resource.type=\"audited_resource\" {filter}"),
    });
    for _ in 0..100 {
        let found = desk.post("/v2/entries:list", request.clone()).await.ok();
        let found = found["entries"].as_array().cloned().unwrap_or_default();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{count} calls did not come into the log");
}

#[tokio::test]
async fn a_call_that_changes_something_is_an_entry_once() {
    let desk = Desk::new().await;
    let note = json!({ "attestation": { "hint": { "humanReadableName": "signed" } } });
    desk.post("/v1/projects/p/notes?noteId=one", note.clone())
        .await
        .ok();
    desk.post("/v1/projects/p/notes?noteId=one", note.clone())
        .await
        .refused("ALREADY_EXISTS", "one");
    let viewer = desk.viewer().await;
    let denied = desk.request_as(&viewer, reqwest::Method::POST, "/v1/projects/p/notes?noteId=two");
    answer(denied.json(&note))
        .await
        .refused("PERMISSION_DENIED", "lacks");
    desk.get("/v1/projects/p/notes/one").await.ok();
    let found = calls(&desk, "", 4).await;
    assert_eq!(found.len(), 4, "{found:#?}");
    let of = |index: usize| &found[index]["protoPayload"];
    assert_eq!(of(3)["methodName"], "grafeas.v1.Grafeas.CreateNote");
    assert_eq!(of(3)["resourceName"], "projects/p/notes/one");
    assert_eq!(
        (&found[3]["severity"], &found[2]["severity"]),
        (&json!("NOTICE"), &json!("ERROR"))
    );
    assert_eq!(of(2)["status"]["code"], 6);
    assert_eq!(of(2)["authorizationInfo"][0]["granted"], true);
    assert_eq!(of(1)["methodName"], "binauthz.v1.CreateToken");
    assert_eq!(
        found[1]["logName"],
        "projects/_/logs/cloudaudit.googleapis.com%2Factivity"
    );
    assert_eq!(of(0)["authorizationInfo"][0]["granted"], false);
    assert_eq!(of(0)["authenticationInfo"]["principalEmail"], "token:viewer");
    let failed = calls(&desk, "severity>=ERROR", 2).await;
    assert_eq!(failed.len(), 2);

    // Nothing is lost and nothing comes twice when the server is stopped and started.
    let folder = desk.stop().await;
    let flags = crate::support::flags(folder.path());
    let desk = Desk::with(folder, flags).await;
    desk.post("/v1/projects/p/notes?noteId=three", note).await.ok();
    let after = calls(&desk, "", 5).await;
    assert_eq!(after[1..], found[..]);
    assert_eq!(after.len(), 5);
}

fn written(text: &str) -> Value {
    json!({"textPayload": text})
}

/// A write request as the clients send it.
fn writing(log: &str, entries: Vec<Value>) -> Value {
    json!({
        "logName": format!("projects/p/logs/{log}"), "resource": {"type": "global", "labels": {"project_id": "p"}},
        "entries": entries,
    })
}

#[tokio::test]
async fn what_is_written_is_found_among_the_verdicts() {
    let court = Court::new().await;
    court.pod(&["r.example/app:v1"]).await;
    let write = "/v2/entries:write";
    assert_eq!(
        court
            .desk
            .post(write, writing("a%2Fb", vec![written("one"), written("two")]))
            .await
            .ok(),
        json!({})
    );
    court.pod(&["r.example/app:v2"]).await;
    let found = entries(&court, "textPayload:* OR resource.type=\"k8s_cluster\"").await;
    let kinds: Vec<&Value> = found.iter().map(|entry| &entry["resource"]["type"]).collect();
    assert_eq!(kinds, ["k8s_cluster", "global", "global", "k8s_cluster"]);
    for order in ["timestamp desc", "timestamp asc"] {
        let filter = "textPayload:* OR resource.type=\"k8s_cluster\"";
        let (whole, _) = page(&court, filter, order, 1000).await;
        for size in [1, 2, 3] {
            assert_eq!(page(&court, filter, order, size).await.0, whole, "{order} {size}");
        }
    }
    let entry = entries(&court, "textPayload=\"two\"").await.swap_remove(0);
    assert_eq!(entry["logName"], "projects/p/logs/a%2Fb");
    assert_eq!(entry["insertId"].as_str().unwrap().len(), 16);
    assert_eq!(entry["timestamp"], entry["receiveTimestamp"]);
    let mut own = written("three");
    own["insertId"] = "mine".into();
    own["timestamp"] = json!(entry["timestamp"].as_str().unwrap().replace("Z", "+00:00"));
    own["severity"] = "WARNING".into();
    court.desk.post(write, writing("a%2Fb", vec![own])).await.ok();
    let found = entries(&court, "insertId=\"mine\"").await.swap_remove(0);
    assert_eq!(
        (&found["severity"], &found["timestamp"]),
        (&json!("WARNING"), &entry["timestamp"])
    );
    let logs = court.desk.get("/v2/projects/p/logs").await.ok();
    assert_eq!(logs["logNames"][0], "projects/p/logs/a%2Fb");
    // The entries are the record: no call of the API is reported beside them.
    assert!(
        court
            .desk
            .audit(50)
            .await
            .iter()
            .all(|row| row["method"] != "logging.WriteLogEntries")
    );
    // Entries are none of the verdicts.
    assert_eq!(court.records().await.len(), 2);
}

#[tokio::test]
async fn what_may_not_be_written_is_refused() {
    let desk = Desk::new().await;
    let write = "/v2/entries:write";
    let of = |log: &str, entry: Value| writing(log, vec![written("good"), entry]);
    let table = [
        (
            of("cloudaudit.googleapis.com%2Factivity", written("x")),
            "PERMISSION_DENIED",
            "cloudaudit",
        ),
        (
            of("binaryauthorization.googleapis.com%2fpolicy", written("x")),
            "PERMISSION_DENIED",
            "binaryauthorization",
        ),
        (
            of(
                "a",
                json!({"textPayload": "x", "timestamp": "2001-01-01T00:00:00Z"}),
            ),
            "INVALID_ARGUMENT",
            "entries[1].timestamp",
        ),
        (
            of("a", json!({"textPayload": "x".repeat(300_000)})),
            "INVALID_ARGUMENT",
            "entries[1]",
        ),
        (
            of("a", json!({"textPayload": "\u{7f}".repeat(200_000)})),
            "INVALID_ARGUMENT",
            "too long",
        ),
        (of("a b", written("x")), "INVALID_ARGUMENT", "logName"),
        (of("a", json!({"text": "x"})), "INVALID_ARGUMENT", "text"),
        (
            writing("a", vec![written("x"); 1_001]),
            "INVALID_ARGUMENT",
            "1001",
        ),
    ];
    for (request, status, message) in table {
        desk.post(write, request).await.refused(status, message);
    }
    let viewer = desk.viewer().await;
    let request = desk.request_as(&viewer, reqwest::Method::POST, write);
    answer(request.json(&writing("a", vec![written("x")])))
        .await
        .refused("PERMISSION_DENIED", "logging.logEntries.create");
    let mut dry = writing("a", vec![written("dry")]);
    dry["dry_run"] = true.into();
    desk.post(write, dry).await.ok();
    let list = json!({"resourceNames": ["projects/p"], "filter": "textPayload=\"dry\" OR textPayload=\"x\""});
    assert_eq!(desk.post("/v2/entries:list", list).await.ok(), json!({}));
    // With `partialSuccess` the good ones are kept, and the fault is still told.
    let mut partly = of("part", json!({"textPayload": 1}));
    partly["partialSuccess"] = true.into();
    desk.post(write, partly)
        .await
        .refused("INVALID_ARGUMENT", "entries[1]");
    let list = json!({"resourceNames": ["projects/p"], "filter": "log_id(\"part\")"});
    let kept = desk.post("/v2/entries:list", list).await.ok();
    assert_eq!(kept["entries"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_deleted_log_is_gone_until_it_is_written_again() {
    let desk = Desk::new().await;
    let write = "/v2/entries:write";
    for log in ["a%2Fb", "other"] {
        desk.post(write, writing(log, vec![written("old")])).await.ok();
    }
    let count = async || {
        let list = json!({"resourceNames": ["projects/p"], "filter": "textPayload:*"});
        let found = desk.post("/v2/entries:list", list).await.ok();
        found["entries"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(count().await, 2);
    desk.delete("/v2/projects/p/logs/a%252Fb").await.ok();
    assert_eq!(count().await, 1);
    desk.delete("/v2/projects/p/logs/a%252Fb")
        .await
        .refused("NOT_FOUND", "a%2Fb");
    desk.post(write, writing("a%2Fb", vec![written("new")]))
        .await
        .ok();
    assert_eq!(count().await, 2);
    desk.delete("/v2/projects/p/logs/none")
        .await
        .refused("NOT_FOUND", "none");
    for log in [
        "cloudaudit.googleapis.com%252Factivity",
        "binaryauthorization.googleapis.com%2Fpolicy",
    ] {
        desk.delete(&format!("/v2/projects/p/logs/{log}"))
            .await
            .refused("FAILED_PRECONDITION", "cannot be deleted");
    }
}
