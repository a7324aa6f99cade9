//! A cluster that says who may break the glass, and that is told of refusals. What a real API server says to this is
//! tested in a real cluster; here it fails in every way there is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, created, pod, require_attestation};
use crate::receiver::{Does, Receiver, Request};
use crate::support::{Desk, flags};

const BREAK_GLASS: &str = "alpha.image-policy.k8s.io/break-glass";
const REVIEW: &str = "reviewBreakGlass: true";
const EVENTS: &str = "events: true";
const GRANTED: &str = r#"{"kind": "SubjectAccessReview", "status": {"allowed": true}}"#;
const DENIED: &str = r#"{"kind": "SubjectAccessReview", "status": {"allowed": false}}"#;
const TAKEN: Does = Does::Answer(201, r#"{"kind": "Event"}"#);

/// A court whose server asks the API server at an address.
async fn court_at(address: &str, asks: &str, extra: &str) -> Court {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    });
    std::fs::write(path("kubeconfig"), kubeconfig.to_string()).unwrap();
    let file = path("kubeconfig").display().to_string();
    let config = format!(
        "guard: {{clusters: ['{CLUSTER}=c'], kubeconfig: {file}, everySeconds: 3600, {asks}}}\n{extra}"
    );
    std::fs::write(path("binauthz.yaml"), config).unwrap();
    let flags = binauthz_server::Flags {
        config: Some(path("binauthz.yaml")),
        ..flags(folder.path())
    };
    Court::on(Desk::with(folder, flags).await).await
}

/// The requests that are not those of the guard, which looks at the cluster by itself.
fn asked(api: &Receiver) -> Vec<Request> {
    let is_ours = |request: &Request| {
        request.line().starts_with("POST /apis/authorization.k8s.io/") || request.line().ends_with("/events")
    };
    api.requests().into_iter().filter(is_ours).collect()
}

/// So many of them, once they have come.
async fn wait_for(api: &Receiver, count: usize) -> Vec<Request> {
    let begun = Instant::now();
    while asked(api).len() < count {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{} of {count}",
            asked(api).len()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asked(api)
}

async fn court(receiver: &Receiver, asks: &str) -> Court {
    court_at(receiver.url.trim_end_matches("/hook"), asks, "").await
}

fn opened(image: &str) -> Value {
    let mut pod = pod(&[image]);
    pod["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    created(pod)
}

#[tokio::test]
async fn the_cluster_says_who_may_break_the_glass() {
    let api = Receiver::new(Does::Answer(201, GRANTED)).await;
    let court = court(&api, REVIEW).await;
    let image = court.unsigned();
    // Nobody is asked about what opens no door.
    court.pod(&[&image]).await.denial();
    court.pod(&[&court.signed().await]).await.admitted();
    assert!(asked(&api).is_empty());

    court.admit(&opened(&image)).await.admitted();
    let record = court.record().await;
    assert_eq!(
        (&record["effect"], record.get("breakGlassClosed")),
        (&json!("BREAK_GLASS"), None)
    );
    let got = asked(&api);
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].line(),
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
    );
    assert_eq!(got[0].header("authorization"), Some("Bearer t"));
    assert_eq!(
        got[0].body["spec"],
        json!({"user": "alice@example.com", "groups": ["system:authenticated"],
            "resourceAttributes": {"namespace": "default", "verb": "use", "group": "binauthz", "resource": "breakglass"}})
    );

    api.turns(Does::Answer(201, DENIED));
    let verdict = court.admit(&opened(&image)).await;
    let why = "`alice@example.com` may not `use` `breakglass.binauthz` in namespace `default`";
    assert!(
        verdict.denial().starts_with(&format!(
            "Denied by Binary Authorization: break-glass does not open: {why}. To see why: "
        )),
        "{}",
        verdict.denial()
    );
    let record = court.record().await;
    assert_eq!(
        (
            &record["effect"],
            &record["reason"],
            &record["door"]["own"]["annotation"]
        ),
        (
            &json!("ENFORCED"),
            &json!("BREAK_GLASS_CLOSED"),
            &json!("INC-1234")
        )
    );
    // The annotation is not for them to write: it would still be there when the image no longer conforms.
    let signed = court.signed().await;
    court.admit(&opened(&signed)).await.denial();
    court.pod(&[&signed]).await.admitted();
    let metrics = court.desk.health("/metrics").await.1;
    for row in [
        "{outcome=\"granted\"} 1",
        "{outcome=\"denied\"} 2",
        "{outcome=\"failed\"} 0",
    ] {
        assert!(
            metrics.contains(&format!("binauthz_break_glass_reviews_total{row}\n")),
            "{row}"
        );
    }
}

#[tokio::test]
async fn where_nothing_is_judged_nobody_is_asked() {
    let api = Receiver::new(Does::Answer(201, DENIED)).await;
    let court = court(&api, REVIEW).await;
    let image = court.unsigned();
    let mode = |mode: &str| {
        let body = json!({"update": {"desiredBinaryAuthorization": {"evaluationMode": mode}}});
        let desk = &court.desk;
        async move { desk.put(&format!("/v1/{CLUSTER}"), body).await.ok() }
    };
    mode("DISABLED").await;
    court.admit(&opened(&image)).await.admitted();
    assert!(asked(&api).is_empty());
    mode("PROJECT_SINGLETON_POLICY_ENFORCE").await;
    court.admit(&opened(&image)).await.denial();
    assert_eq!(asked(&api).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_asked_stays_closed() {
    let api = Receiver::new(Does::Hang).await;
    let court = court(&api, REVIEW).await;
    let image = court.unsigned();
    let both = r#"{"status": {"allowed": true, "denied": true}}"#;
    let forbidden = r#"{"kind": "Status", "reason": "Forbidden", "message": "no right"}"#;
    for does in [
        Does::Answer(201, both),
        Does::Answer(201, "{}"),
        Does::Answer(201, r#"{"status": {"allowed": "true"}}"#),
        Does::Answer(201, r#"{"status": true}"#),
        Does::Answer(201, "true"),
        Does::Answer(201, "not JSON"),
        Does::Answer(403, forbidden),
        Does::Answer(500, GRANTED),
        Does::Answer(404, GRANTED),
        Does::Redirect,
        Does::Hang,
        Does::Flood(201),
    ] {
        api.turns(does);
        let begun = Instant::now();
        let body = opened(&image).to_string().into_bytes();
        let (_, answer) = court.raw(&format!("/admit/{CLUSTER}?timeout=2s"), body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(message.contains("break-glass does not open: "), "{answer}");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "in time for the API server"
        );
        let record = court.record().await;
        assert_eq!(
            (&record["effect"], &record["verdict"]),
            (&json!("ENFORCED"), &json!("DENY"))
        );
    }
    let nowhere = court_at("http://127.0.0.1:1", REVIEW, "").await;
    let verdict = nowhere.admit(&opened(&nowhere.unsigned())).await;
    assert!(
        verdict.denial().contains("could not be asked"),
        "{}",
        verdict.denial()
    );
}

#[tokio::test]
async fn who_is_not_named_opens_nothing() {
    let api = Receiver::new(Does::Answer(201, GRANTED)).await;
    let court = court(&api, REVIEW).await;
    let image_review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": court.unsigned()}], "annotations": {BREAK_GLASS: "INC-1"}, "namespace": "default"}});
    let answer = court.ask("imagepolicy", &image_review).await;
    assert_eq!(answer["status"]["allowed"], false, "{answer}");
    let mut nobody = opened(&court.unsigned());
    nobody["request"]["userInfo"] = json!({"groups": ["system:masters"]});
    let verdict = court.admit(&nobody).await;
    assert!(
        verdict.denial().contains("the request does not say who asks"),
        "{}",
        verdict.denial()
    );
    assert!(asked(&api).is_empty());
}

#[tokio::test]
async fn a_workload_whose_door_stays_closed_is_more_than_warned_about() {
    let api = Receiver::new(Does::Answer(201, DENIED)).await;
    let address = api.url.trim_end_matches("/hook").to_owned();
    let court = court_at(&address, REVIEW, "warnOnlyForWorkloads: true\n").await;
    let image = court.unsigned();
    let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    court.admit(&created(deployment.clone())).await.admitted();
    deployment["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1"});
    court.admit(&created(deployment)).await.denial();
    assert_eq!(court.record().await.get("advice"), None);
}

#[tokio::test]
async fn a_refusal_is_told_once_to_the_controller_or_on_the_object() {
    let api = Receiver::new(TAKEN).await;
    let court = court(&api, EVENTS).await;
    let image = court.unsigned();
    let sentence = court.pod(&[&image]).await.denial().to_owned();
    let got = wait_for(&api, 1).await;
    assert_eq!(got[0].line(), "POST /api/v1/namespaces/default/events");
    let event = &got[0].body;
    assert_eq!(
        (&event["type"], &event["reason"], &event["message"]),
        (
            &json!("Warning"),
            &json!("BinaryAuthorizationDenied"),
            &json!(sentence)
        )
    );
    assert_eq!(
        event["involvedObject"],
        json!({"kind": "Pod", "apiVersion": "v1", "namespace": "default", "name": "web"})
    );
    let id = court.record().await["id"].clone();
    assert_eq!(event["metadata"]["annotations"]["binauthz/decision"], id);

    // Again and again the same; a dry run; and what is let in.
    for _ in 0..5 {
        court.pod(&[&image]).await.denial();
    }
    let mut dry_run = created(pod(&[&court.unsigned()]));
    dry_run["request"]["dryRun"] = json!(true);
    court.admit(&dry_run).await.denial();
    court.admit(&opened(&court.unsigned())).await.admitted();
    court.pod(&[&court.signed().await]).await.admitted();
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    court.pod(&[&court.unsigned()]).await.admitted();
    court
        .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
        .await;
    // The next one is another.
    let mut owned = pod(&[&image]);
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "x", "controller": true}]);
    court.admit(&created(owned)).await.denial();
    let got = wait_for(&api, 2).await;
    assert_eq!(got.len(), 2);
    assert_eq!(
        got[1].body["involvedObject"],
        json!({"kind": "ReplicaSet", "apiVersion": "apps/v1", "namespace": "default", "name": "r", "uid": "x"})
    );
    let metrics = court.desk.health("/metrics").await.1;
    for row in [
        "{outcome=\"sent\"} 2",
        "{outcome=\"repeated\"} 5",
        "{outcome=\"failed\"} 0",
    ] {
        assert!(
            metrics.contains(&format!("binauthz_refusal_events_total{row}\n")),
            "{row} in {metrics}"
        );
    }
}

#[tokio::test]
async fn an_api_server_that_takes_no_events_holds_nobody_up() {
    let api = Receiver::new(Does::Hang).await;
    let court = court(&api, EVENTS).await;
    let begun = Instant::now();
    for at in 0..1_100 {
        let mut pod = pod(&["nginx"]);
        pod["metadata"]["name"] = json!(format!("web-{at}"));
        court.admit(&created(pod)).await.denial();
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no admission waits for an Event"
        );
    }
    let count = |metrics: &str, outcome: &str| -> u64 {
        let row = format!("binauthz_refusal_events_total{{outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&row));
        line.unwrap().parse().unwrap()
    };
    let metrics = court.desk.health("/metrics").await.1;
    assert!(
        count(&metrics, "dropped") > 0 && count(&metrics, "sent") == 0,
        "{metrics}"
    );

    let api = Receiver::new(Does::Answer(
        403,
        r#"{"kind": "Status", "reason": "Forbidden", "message": "no"}"#,
    ))
    .await;
    let court = self::court(&api, EVENTS).await;
    court.pod(&["nginx"]).await.denial();
    wait_for(&api, 1).await;
    let begun = Instant::now();
    while count(&court.desk.health("/metrics").await.1, "failed") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_keeps_the_glass_whole() {
    let api = Receiver::new(Does::Answer(201, GRANTED)).await;
    let court = court(&api, REVIEW).await;
    court.admit(&opened(&court.unsigned())).await.admitted();
    std::fs::remove_file(court.desk.folder().join("kubeconfig")).unwrap();
    let verdict = court.admit(&opened(&court.unsigned())).await;
    assert!(
        verdict.denial().contains("who may open it could not be asked: "),
        "{}",
        verdict.denial()
    );
    // Another cluster of the same server is not asked at all.
    let other = json!({"cluster": {"name": "other",
        "binaryAuthorization": {"evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE"}}});
    let clusters = "/v1/projects/p/locations/us-central1-a/clusters";
    court.desk.post(clusters, other).await.ok();
    let path = format!("/admit/{}", CLUSTER.replace("clusters/c", "clusters/other"));
    let body = opened(&court.unsigned()).to_string().into_bytes();
    let (_, answer) = court.raw(&path, body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
}
