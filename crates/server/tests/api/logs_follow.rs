//! Following the log: verdicts from a place on, entries over gRPC; and the report on the emergency door.

use std::time::Duration;

use googleapis_tonic_google_logging_v2::google::logging::v2 as logging;
use serde_json::{Value, json};

use crate::court::{ATTESTOR, Court, created, pod, require_attestation};
use crate::support::Desk;
use crate::wire::Channel;

use logging::logging_service_v2_client::LoggingServiceV2Client as Logging;

const FOLLOW: &str = "/binauthz/v1/projects/p/decisions:follow";
const REPORT: &str = "/binauthz/v1/projects/p/decisions:reportBreakGlass";

fn names(page: &Value) -> Vec<String> {
    let verdicts = page["decisions"].as_array().into_iter().flatten();
    verdicts
        .map(|verdict| verdict["images"][0]["image"].as_str().unwrap().to_owned())
        .collect()
}

fn token(page: &Value) -> &str {
    page["nextPageToken"].as_str().unwrap()
}

#[tokio::test]
async fn verdicts_are_followed_without_a_gap_across_a_restart() {
    let court = Court::new().await;
    court.pod(&["r.example/before:v1"]).await;
    let begun = court.desk.get(FOLLOW).await.ok();
    assert_eq!(names(&begun), Vec::<String>::new(), "from now on");
    court.pod(&["r.example/one:v1"]).await;
    court.pod(&["r.example/two:v1"]).await;
    let next = |token: &str, more: &str| format!("{FOLLOW}?pageToken={token}{more}");
    let first = court.desk.get(&next(token(&begun), "&pageSize=1")).await.ok();
    assert_eq!(names(&first), ["r.example/one:v1"]);
    let second = court.desk.get(&next(token(&first), "")).await.ok();
    assert_eq!(names(&second), ["r.example/two:v1"]);
    let none = court.desk.get(&next(token(&second), "")).await.ok();
    assert_eq!(names(&none), Vec::<String>::new());
    court.pod(&["r.example/three:v1"]).await;

    let court = court.restarted().await;
    court.pod(&["r.example/four:v1"]).await;
    let after = court.desk.get(&next(token(&none), "")).await.ok();
    assert_eq!(names(&after), ["r.example/three:v1", "r.example/four:v1"]);
    let all = court
        .desk
        .get(&format!("{FOLLOW}?since=2020-01-01T00:00:00Z"))
        .await
        .ok();
    assert_eq!(names(&all).len(), 5, "{all}");
}

#[tokio::test]
async fn what_is_followed_is_narrowed_and_bounded() {
    let court = Court::new().await;
    let signed = court.signed().await;
    court.pod(&[&signed]).await;
    court.pod(&["r.example/app:v1"]).await;
    let since = "since=2020-01-01T00:00:00Z";
    for (query, expected) in [
        ("", 2),
        ("&verdict=DENY", 1),
        ("&namespace=prod", 0),
        ("&effect=ENFORCED", 2),
        ("&filter=severity%3DERROR", 1),
        ("&filter=severity%3DERROR&verdict=ALLOW", 0),
        ("&filter=resource.type%3D%22global%22", 0),
        ("&filter=timestamp%3E%222999-01-01%22", 0),
    ] {
        let found = court.desk.get(&format!("{FOLLOW}?{since}{query}")).await.ok();
        assert_eq!(names(&found).len(), expected, "{query}");
        token(&found);
    }
    let other = "/binauthz/v1/projects/other/decisions:follow";
    let found = court.desk.get(&format!("{other}?{since}")).await.ok();
    assert_eq!(names(&found), Vec::<String>::new());
    for (query, message) in [
        ("filter=severity%3E%3DEROR", "column 11"),
        ("since=yesterday", "since"),
        ("pageToken=1-2", "pageToken"),
        ("pageToken=AAAA", "pageToken"),
        ("pageSize=many", "pageSize"),
    ] {
        court
            .desk
            .get(&format!("{FOLLOW}?{query}"))
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    // The place of another log is none of this one.
    let elsewhere = Court::new().await;
    let foreign = elsewhere.desk.get(FOLLOW).await.ok();
    court
        .desk
        .get(&format!("{FOLLOW}?pageToken={}", token(&foreign)))
        .await
        .refused("INVALID_ARGUMENT", "pageToken");
}

fn opened(image: &str, why: &str, name: &str) -> Value {
    let mut object = pod(&[image]);
    object["metadata"]["name"] = name.into();
    object["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": why});
    let mut review = created(object);
    review["request"]["name"] = name.into();
    review
}

#[tokio::test]
async fn a_report_says_who_went_through_and_what_would_be_refused_today() {
    let court = Court::new().await;
    let signed = court.signed().await;
    let unsigned = court.unsigned();
    court.admit(&opened(&unsigned, "INC-1", "web")).await.admitted();
    court.admit(&opened(&unsigned, "INC-2", "web")).await.admitted();
    court.admit(&opened(&signed, "INC-3", "fine")).await.admitted();
    court
        .admit(&opened("r.example/app:v1", "INC-4", "tool"))
        .await
        .admitted();
    let mut tried = opened(&unsigned, "INC-5", "tried");
    tried["request"]["dryRun"] = true.into();
    court.admit(&tried).await.admitted();
    court.pod(&[&signed]).await;
    // It was attested afterwards.
    court.attest(&unsigned).await;

    let report = court.desk.get(REPORT).await.ok();
    assert_eq!(
        (&report["count"], &report["isComplete"]),
        (&json!(4), &json!(true)),
        "{report:#}"
    );
    let uses = report["uses"].as_array().unwrap();
    assert_eq!(uses.len(), 3);
    let of = |name: &str| uses.iter().find(|one| one["name"] == name).unwrap();
    let web = of("web");
    assert_eq!(web["count"], 2);
    assert_eq!(web["principal"], "alice@example.com");
    assert_eq!(web["images"], json!([unsigned]));
    assert_eq!(web["justifications"], json!(["INC-2", "INC-1"]));
    assert_eq!(web["overriddenVerdict"], "DENY");
    assert_eq!(web["reasons"], json!(["NO_ATTESTATIONS"]));
    assert!(web["firstTime"].as_str().unwrap() < web["lastTime"].as_str().unwrap());
    let still: Vec<&Value> = ["web", "fine", "tool"]
        .map(|name| &of(name)["stillViolating"])
        .to_vec();
    assert_eq!(still, ["no", "no", "yes"]);
    assert_eq!(of("fine")["overriddenVerdict"], "ALLOW");
    assert!(uses.iter().all(|one| one["stillRunning"] == "unknown"));

    let later = court
        .desk
        .get(&format!("{REPORT}?since=2999-01-01T00:00:00Z"))
        .await
        .ok();
    assert_eq!((&later["count"], &later["uses"]), (&json!(0), &json!([])));
    court
        .desk
        .get(&format!("{REPORT}?since=monday"))
        .await
        .refused("INVALID_ARGUMENT", "since");
    // The attestor is asked again, and it is gone.
    let mut policy = court.desk.get("/v1/projects/p/policy").await.ok();
    policy["defaultAdmissionRule"] =
        json!({"evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"});
    court.desk.put("/v1/projects/p/policy", policy).await.ok();
    let report = court.desk.get(REPORT).await.ok();
    let uses = report["uses"].as_array().unwrap();
    assert!(uses.iter().all(|one| one["stillViolating"] == "no"), "{report:#}");
    assert!(ATTESTOR.starts_with("projects/p/"));
}

fn asking(filter: &str) -> logging::TailLogEntriesRequest {
    logging::TailLogEntriesRequest {
        resource_names: vec!["projects/p".to_owned()],
        filter: filter.to_owned(),
        buffer_window: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
    }
}

type Following = tonic::Streaming<logging::TailLogEntriesResponse>;

async fn next(stream: &mut Following) -> Vec<logging::LogEntry> {
    let message = tokio::time::timeout(Duration::from_secs(10), stream.message());
    message.await.unwrap().unwrap().unwrap().entries
}

async fn tail(
    channel: &Channel,
    requests: Vec<logging::TailLogEntriesRequest>,
) -> Result<Following, tonic::Status> {
    let answered = Logging::new(channel.clone())
        .tail_log_entries(tokio_stream::iter(requests))
        .await;
    answered.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn entries_are_followed_over_grpc() {
    let court = Court::new().await;
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court.pod(&["r.example/before:v1"]).await;
    let channel = Channel::plain(&court.desk).await;
    let dry_run = "jsonPayload.enforcementMode=\"DRYRUN_AUDIT_LOG_ONLY\"";
    let mut some = tail(&channel, vec![asking(dry_run)]).await.unwrap();
    let mut written = tail(&channel, vec![asking("textPayload:*")]).await.unwrap();
    let mut calls = tail(&channel, vec![asking("protoPayload.methodName:\"UpdatePolicy\"")])
        .await
        .unwrap();
    court.pod(&["r.example/one:v1", "r.example/two:v1"]).await;
    let entry =
        json!({"logName": "projects/p/logs/mine", "resource": {"type": "global"}, "textPayload": "hello"});
    court
        .desk
        .post("/v2/entries:write", json!({"entries": [entry]}))
        .await
        .ok();
    let found = next(&mut some).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].log_name.ends_with("policy"), "{found:?}");
    let found = next(&mut written).await;
    assert_eq!(
        found[0].payload,
        Some(logging::log_entry::Payload::TextPayload("hello".to_owned()))
    );
    court
        .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
        .await;
    let found = next(&mut calls).await;
    assert!(
        matches!(
            found[0].payload,
            Some(logging::log_entry::Payload::ProtoPayload(_))
        ),
        "{found:?}"
    );
    // A verdict that is enforced is none of the first one's.
    court.pod(&["r.example/three:v1"]).await;
    let nothing = tokio::time::timeout(Duration::from_secs(1), some.message()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    // A server that stops says so, and does not wait for whoever listens.
    let stopping = tokio::spawn(court.desk.stop());
    let status = tokio::time::timeout(Duration::from_secs(10), some.message())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    tokio::time::timeout(Duration::from_secs(10), stopping)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_session_that_cannot_be_is_refused() {
    use tonic::Code;

    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let of = |names: &[&str], filter: &str, seconds: i64| logging::TailLogEntriesRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        filter: filter.to_owned(),
        buffer_window: Some(prost_types::Duration { seconds, nanos: 0 }),
    };
    for (request, code, message) in [
        (of(&[], "", 0), Code::InvalidArgument, "resourceNames"),
        (
            of(&["projects/p"], "severity>=EROR", 0),
            Code::InvalidArgument,
            "column 11",
        ),
        (of(&["projects/p"], "", 61), Code::InvalidArgument, "bufferWindow"),
        (of(&["projects/p"], "", -1), Code::InvalidArgument, "bufferWindow"),
        (
            of(&["organizations/1"], "", 0),
            Code::PermissionDenied,
            "projects only",
        ),
    ] {
        let status = tail(&channel, vec![request]).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(message), "{status:?}");
    }
    let status = tail(&channel, vec![]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let stranger = channel.with_token(None);
    let status = tail(&stranger, vec![asking("")]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    // Who may list may follow.
    let viewer = desk.viewer().await;
    tail(&channel.with_token(Some(&viewer)), vec![asking("")])
        .await
        .unwrap();
    let mut twice = tail(&channel, vec![asking(""), asking("")]).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), twice.message())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn a_session_ends_with_the_right_to_it() {
    let desk = Desk::new().await;
    let token = desk.viewer().await;
    let channel = Channel::plain(&desk).await.with_token(Some(&token));
    let mut stream = tail(&channel, vec![asking("")]).await.unwrap();
    desk.delete("/binauthz/v1/tokens/viewer").await.ok();
    let status = loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.message());
        match message.await.unwrap() {
            // The call that revoked it is an entry, too, of no project; others may come before the next look.
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
}

#[tokio::test]
async fn there_are_so_many_sessions_and_their_places_come_free() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(tail(&channel, vec![asking("")]).await.unwrap());
    }
    let status = tail(&channel, vec![asking("")]).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
    open.pop();
    let begun = std::time::Instant::now();
    while tail(&channel, vec![asking("")]).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no place came free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whoever may not follow, or has not said what, takes no place of those who may.
#[tokio::test]
async fn a_place_is_for_whoever_may_follow() {
    let desk = Desk::new().await;
    let body = json!({ "role": "member" });
    let stranger = desk.post("/binauthz/v1/tokens?tokenId=stranger", body).await.ok();
    let admin = Channel::plain(&desk).await;
    let stranger = admin.with_token(Some(stranger["token"].as_str().unwrap()));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..25 {
        let channel = stranger.clone();
        waiting.spawn(async move {
            let silent = tokio_stream::pending::<logging::TailLogEntriesRequest>();
            Logging::new(channel).tail_log_entries(silent).await.map(drop)
        });
    }
    for _ in 0..25 {
        let status = tail(&stranger, vec![asking("")]).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status:?}");
    }
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(tail(&admin, vec![asking("")]).await.unwrap());
    }
    let status = tail(&admin, vec![asking("")]).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
}
