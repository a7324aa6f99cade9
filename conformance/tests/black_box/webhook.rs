//! The webhook listener as a kube-apiserver meets it: TLS, both HTTP versions, hostile and odd bodies.

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::review;
use serde_json::{Value, json};

use crate::signatures::prepared;

fn pinned() -> String {
    format!("{IMAGES}/myservice@sha256:{}", "a".repeat(64))
}

#[test]
fn tls_is_checked_and_both_http_versions_are_served() {
    let Some(desk) = prepared(&["openssl"]) else {
        return;
    };
    let mut shell = desk.shell.clone();
    shell.set("WEBHOOK", desk.server.webhook.as_str());
    shell.set("CA", desk.server.webhook_ca().display().to_string());
    desk.write(
        "review.json",
        &review::create(&review::pod("p", &pinned())).to_string(),
    );
    let post = "curl -sS --max-time 20 -H 'Content-Type: application/json' --data-binary @review.json -o answer.json -w '%{http_version}'";
    let url = format!("\"$WEBHOOK/admit/{CLUSTER}?timeout=10s\"");
    shell
        .run(&format!("{post} --cacert \"$CA\" --http1.1 {url}"))
        .ok()
        .says(&["1.1"]);
    shell
        .run(&format!("{post} --cacert \"$CA\" --http2 {url}"))
        .ok()
        .says(&["2"]);
    // Without our authority the certificate means nothing.
    shell.run(&format!("{post} {url}")).refused(&["certificate"]);
    shell
        .run("echo | openssl s_client -connect \"${WEBHOOK#https://}\" -CAfile \"$CA\" -tls1_1 2>&1")
        .refused(&[]);
    shell.run("echo | openssl s_client -connect \"${WEBHOOK#https://}\" -CAfile \"$CA\" -verify_return_error -tls1_3 2>&1")
        .ok()
        .says(&["Verify return code: 0"]);
}

#[test]
fn every_place_for_an_image_is_looked_at() {
    let Some(desk) = prepared(&[]) else { return };
    let exempt = "registry.k8s.io/pause:3.9";
    let mut policy = crate::signatures::policy("ENFORCED_BLOCK_AND_AUDIT_LOG");
    policy["admissionWhitelistPatterns"] = json!([{"namePattern": "registry.k8s.io/*"}]);
    desk.api("PUT", "/v1/projects/demo/policy", Some(&policy)).ok();
    desk.admit(&review::pod("p", exempt)).admitted();
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        let mut pod = review::pod("p", exempt);
        pod["spec"][field] = json!([{"name": "x", "image": pinned()}]);
        desk.admit(&pod).denied(&[&pinned()]);
    }
    let mut pod = review::pod("p", exempt);
    pod["spec"]["volumes"] = json!([{"name": "v", "image": {"reference": pinned()}}]);
    desk.admit(&pod).denied(&[&pinned()]);
    let template = review::deployment("d", &pinned(), &json!({}))["spec"]["template"].clone();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"}, "spec": {"template": template}});
    desk.admit(&job).denied(&[&pinned()]);
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "default"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}});
    desk.admit(&cron).denied(&[&pinned()]);
}

#[test]
fn break_glass_opens_for_what_says_so_and_for_nothing_else() {
    let Some(desk) = prepared(&[]) else { return };
    let cases = [
        (
            json!({"labels": {"image-policy.k8s.io/break-glass": "true"}}),
            true,
        ),
        (
            json!({"labels": {"image-policy.k8s.io/break-glass": "yes"}}),
            false,
        ),
        (
            json!({"annotations": {"alpha.image-policy.k8s.io/break-glass": "true"}}),
            true,
        ),
        (
            json!({"annotations": {"alpha.image-policy.k8s.io/break-glass": "INC-1234"}}),
            true,
        ),
        (
            json!({"annotations": {"alpha.image-policy.k8s.io/break-glass": "False"}}),
            false,
        ),
        (
            json!({"annotations": {"alpha.image-policy.k8s.io/break-glass": " "}}),
            false,
        ),
        (json!({"annotations": {"break-glass": "true"}}), false),
    ];
    for (metadata, opens) in cases {
        let mut pod = review::pod("p", &pinned());
        pod["metadata"] = metadata;
        pod["metadata"]["name"] = json!("p");
        pod["metadata"]["namespace"] = json!("default");
        let verdict = desk.admit(&pod);
        assert_eq!(verdict.response["allowed"], opens, "{pod:#} {verdict:#?}");
        assert_eq!(verdict.annotation("break-glass").is_some(), opens, "{verdict:#?}");
    }
}

#[test]
fn an_unknown_cluster_is_denied_and_an_unreadable_body_is_refused() {
    let Some(desk) = prepared(&[]) else { return };
    let question = review::create(&review::pod("p", "registry.k8s.io/pause:3.9"));
    let elsewhere = "projects/demo/locations/us-central1-a/clusters/nobody-knows-it";
    desk.review("admit", elsewhere, &question)
        .denied(&["nobody-knows-it"]);
    for body in ["", "{", "[]", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}"] {
        let reply = desk.webhook(&format!("/admit/{CLUSTER}"), body);
        assert_ne!(reply.json["response"]["allowed"], true, "{reply:#?}");
        assert!(
            reply.status == 400 || reply.json["response"]["allowed"] == false,
            "{reply:#?}"
        );
    }
    let nowhere = desk.webhook("/admit", &question.to_string());
    assert_eq!(nowhere.status, 404, "{nowhere:#?}");
}

#[test]
fn image_reviews_are_answered_in_their_own_dialect() {
    let Some(desk) = prepared(&[]) else { return };
    let review = json!({"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "metadata": {},
        "spec": {"containers": [{"image": pinned()}], "namespace": "default"}, "status": {"allowed": false}});
    let ask = |review: &Value| {
        desk.webhook(
            &format!("/imagepolicy/{CLUSTER}?timeout=30s"),
            &review.to_string(),
        )
        .ok()
    };
    let answer = ask(&review);
    assert_eq!(answer["kind"], "ImageReview", "{answer:#}");
    assert_eq!(answer["status"]["allowed"], false, "{answer:#}");
    assert!(
        answer["status"]["reason"]
            .as_str()
            .is_some_and(|text| text.contains("No attestations found")),
        "{answer:#}"
    );
    let mut opened = review;
    opened["spec"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": "INC-1234"});
    assert_eq!(ask(&opened)["status"]["allowed"], true);
}

#[test]
fn health_is_told_and_verdicts_survive_a_kill() {
    let Some(desk) = prepared(&[]) else { return };
    let mut shell = desk.shell.clone();
    shell.set("HEALTH", desk.server.health.as_str());
    shell
        .run("curl -sSf \"$HEALTH/livez\" && curl -sSf \"$HEALTH/readyz\"")
        .ok();
    desk.admit(&review::pod("p", &pinned())).denied(&[]);
    shell
        .run("curl -sSf \"$HEALTH/metrics\"")
        .ok()
        .says(&["binauthz_"]);
    let before = desk.api("GET", "/v1/projects/demo/policy", None).ok();
    let desk = desk.restarted_after_kill();
    assert_eq!(desk.api("GET", "/v1/projects/demo/policy", None).ok(), before);
    desk.admit(&review::pod("p", &pinned()))
        .denied(&["No attestations found"]);
}
