//! What others' webhooks let through. Each test is named after the trick.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, UID, always, created, pod, updated};

/// An object of each kind around one pod spec.
fn around(spec: &Value) -> Vec<Value> {
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": spec });
    let object = |api_version: &str, kind: &str, rest: Value| json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "web" }, "spec": rest });
    let mut pod_template = object("v1", "PodTemplate", Value::Null);
    pod_template["template"] = template.clone();
    vec![
        object("v1", "Pod", spec.clone()),
        pod_template,
        object("v1", "ReplicationController", json!({ "template": template })),
        object("apps/v1", "Deployment", json!({ "template": template })),
        object("apps/v1", "ReplicaSet", json!({ "template": template })),
        object("apps/v1", "StatefulSet", json!({ "template": template })),
        object("apps/v1", "DaemonSet", json!({ "template": template })),
        object("batch/v1", "Job", json!({ "template": template })),
        object(
            "batch/v1",
            "CronJob",
            json!({ "jobTemplate": { "spec": { "template": template } } }),
        ),
    ]
}

#[tokio::test]
async fn an_image_in_any_field_of_any_kind() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let container = |image: &str| json!({ "name": "x", "image": image });
    let volume = |image: &str| json!({ "name": "v", "image": { "reference": image } });
    let spec = |containers: &str, init: &str, ephemeral: &str, volumes: &str| {
        json!({
            "containers": [container(containers)], "initContainers": [container(init)],
            "ephemeralContainers": [container(ephemeral)], "volumes": [volume(volumes), { "name": "e", "emptyDir": {} }],
        })
    };
    for object in around(&spec(&signed, &signed, &signed, &signed)) {
        court.admit(&created(object)).await.admitted();
    }
    let (s, u) = (signed.as_str(), unsigned.as_str());
    let hidden = [
        (spec(u, s, s, s), "containers[0]"),
        (spec(s, u, s, s), "initContainers[0]"),
        (spec(s, s, u, s), "ephemeralContainers[0]"),
        (spec(s, s, s, u), "volumes[0].image.reference"),
    ];
    for (spec, field) in hidden {
        for object in around(&spec) {
            let kind = object["kind"].clone();
            let verdict = court.admit(&created(object)).await;
            assert!(verdict.denial().contains(u), "{kind}");
            let named = verdict.0["response"]["status"]["details"]["causes"][0]["field"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(named.ends_with(field), "{kind} {named}");
        }
    }
}

#[tokio::test]
async fn one_bad_image_among_good_ones_wherever_it_stands() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for bad in 0..3 {
            let mut object = pod(&[&signed]);
            object["spec"][list] = (0..3)
                .map(|at| json!({ "name": format!("c{at}"), "image": if at == bad { &unsigned } else { &signed } }))
                .collect();
            court.admit(&created(object)).await.denial();
        }
    }
}

#[tokio::test]
async fn ephemeral_containers_through_their_subresource() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let mut debugged = pod(&[&signed]);
    debugged["spec"]["ephemeralContainers"] = json!([{ "name": "debug", "image": unsigned }]);
    let mut review = updated(pod(&[&signed]), debugged);
    review["request"]["subResource"] = "ephemeralcontainers".into();
    court.admit(&review).await.denial();
    let mut old_form = created(json!({
        "apiVersion": "v1", "kind": "EphemeralContainers", "metadata": { "name": "web" },
        "ephemeralContainers": [{ "name": "debug", "image": unsigned }],
    }));
    old_form["request"]["operation"] = "UPDATE".into();
    old_form["request"]["subResource"] = "ephemeralcontainers".into();
    court.admit(&old_form).await.denial();
}

#[tokio::test]
async fn kinds_nobody_knows_and_objects_that_are_not_there() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    let unknown =
        json!({ "apiVersion": "example.com/v9", "kind": "Foo", "metadata": { "name": "x" }, "spec": {} });
    assert!(court.admit(&created(unknown)).await.denial().contains("Foo"));
    let mut disguised = created(pod(&[&unsigned]));
    disguised["request"]["kind"]["kind"] = "ConfigMap".into();
    court.admit(&disguised).await.denial();
    let mut scale = created(pod(&[&unsigned]));
    scale["request"]["kind"] = json!({ "group": "autoscaling", "version": "v1", "kind": "Scale" });
    court.admit(&scale).await.denial();
    let mut nothing = created(pod(&[&unsigned]));
    nothing["request"]["object"] = Value::Null;
    court.admit(&nothing).await.denial();
    court
        .admit(&created(json!({ "apiVersion": "v1", "kind": "Pod" })))
        .await
        .denial();
    court
        .admit(&created(
            json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [] } }),
        ))
        .await
        .denial();
    court
        .admit(&created(
            json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [{ "name": "c" }] } }),
        ))
        .await
        .denial();
    court.policy(always("ALWAYS_ALLOW")).await;
    let empty = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": { "containers": [] } });
    court.admit(&created(empty)).await.denial();
}

#[tokio::test]
async fn nothing_written_in_the_object_is_evidence() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    let metadata = [
        json!({ "ownerReferences": [] }),
        json!({ "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true }] }),
        json!({ "annotations": { "kyverno.io/verify-images": "{\"all\":\"pass\"}" } }),
        json!({ "annotations": { "imagepolicywebhook.image-policy.k8s.io/overridden-verification-result": "pass" } }),
        json!({ "annotations": { "kubernetes.io/config.mirror": "1", "kubernetes.io/config.source": "file" } }),
        json!({ "labels": { "admission.example.com/ignore": "true", "policy": "exempt" } }),
        json!({ "namespace": "kube-system" }),
        json!({ "deletionTimestamp": "2026-11-23T00:00:00Z" }),
    ];
    for extra in metadata {
        let mut object = pod(&[&unsigned]);
        for (key, value) in extra.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        court.admit(&created(object)).await.denial();
    }
}

#[tokio::test]
async fn the_namespace_is_the_requests_and_not_the_objects() {
    let court = Court::new().await;
    let policy = json!({
        "defaultAdmissionRule": always("ALWAYS_DENY"),
        "kubernetesNamespaceAdmissionRules": { "exempt": always("ALWAYS_ALLOW") },
    });
    court.desk.put("/v1/projects/p/policy", policy).await.ok();
    let mut object = pod(&["nginx"]);
    object["metadata"]["namespace"] = "exempt".into();
    let mut review = created(object);
    review["request"]["namespace"] = "prod".into();
    court.admit(&review).await.denial();
    review["request"]["namespace"] = "exempt".into();
    court.admit(&review).await.admitted();
    for bad in ["", "Exempt", "exempt\n", "exempt/x"] {
        review["request"]["namespace"] = bad.into();
        court.admit(&review).await.denial();
    }
}

#[tokio::test]
async fn one_body_has_one_reading() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let review = created(pod(&[&signed])).to_string();
    let path = format!("/admit/{CLUSTER}");
    let image = format!(r#""image":"{signed}""#);
    assert!(review.contains(&image));
    let duplicates = [
        review.replace(&image, &format!(r#"{image},"image":"{unsigned}""#)),
        review.replace(&image, &format!(r#"{image},"im\u0061ge":"{unsigned}""#)),
        review.replace(r#""dryRun":false"#, r#""dryRun":false,"dryRun":true"#),
        review.replace(r#""containers":"#, r#""containers":[],"containers":"#),
        review.replace(
            r#""serviceAccountName":"#,
            r#""hostNetwork":true,"hostNetwork":false,"serviceAccountName":"#,
        ),
    ];
    for body in duplicates {
        assert_ne!(body, review);
        let (status, text) = court.raw(&path, body.into_bytes()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains("twice"), "{text}");
    }
    // Another spelling is another key, which nobody reads: the image is what `image` says.
    let spelled = review.replace(&image, &format!(r#""Image":"{signed}","image":"{unsigned}""#));
    let (status, text) = court.raw(&path, spelled.into_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["response"]["allowed"],
        false
    );
}

#[tokio::test]
async fn bodies_that_are_no_reviews() {
    let court = Court::new().await;
    let path = format!("/admit/{CLUSTER}");
    let mut without_uid = created(pod(&["nginx"]));
    without_uid["request"].as_object_mut().unwrap().remove("uid");
    let mut other_version = created(pod(&["nginx"]));
    other_version["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"not json".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        format!("{}{}", "{\"a\":".repeat(50_000), "}".repeat(50_000)).into_bytes(),
        without_uid.to_string().into_bytes(),
        other_version.to_string().into_bytes(),
        format!("{}{{}}", created(pod(&["nginx"]))).into_bytes(),
    ];
    for body in bodies {
        for dialect in ["admit", "mutate", "imagepolicy"] {
            let (status, text) = court.raw(&path.replace("admit", dialect), body.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{dialect} {text}");
        }
    }
    court.admit(&created(pod(&["nginx"]))).await.denial();
}

#[tokio::test]
async fn requests_that_are_no_questions_and_never_a_redirect() {
    let court = Court::new().await;
    let review = created(pod(&["nginx"])).to_string();
    let request = |method: Method, path: &str| court.webhook.request(method, court.url(path));
    let good = format!("/admit/{CLUSTER}");
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let answer = request(method, &good).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    for media_type in ["text/plain", "application/yaml", "application/jsonx", ""] {
        let answer = request(Method::POST, &good)
            .header(header::CONTENT_TYPE, media_type)
            .body(review.clone());
        assert_eq!(
            answer.send().await.unwrap().status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{media_type}"
        );
    }
    let with_charset =
        request(Method::POST, &good).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    assert_eq!(
        with_charset.body(review.clone()).send().await.unwrap().status(),
        StatusCode::OK
    );
    let compressed = request(Method::POST, &good)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(review.clone());
    assert_eq!(
        compressed.send().await.unwrap().status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    for path in [
        "/",
        "/admit",
        "/admit/",
        "//admit",
        &format!("/{good}"),
        &format!("{good}/"),
        "/admit?x",
        "/metrics",
        "/livez",
    ] {
        let answer = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(review.clone());
        assert_eq!(
            answer.send().await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_cluster_nobody_registered() {
    let court = Court::new().await;
    court.policy(always("ALWAYS_ALLOW")).await;
    for cluster in [
        CLUSTER.replace("clusters/c", "clusters/other"),
        CLUSTER.replace("/p/", "/q/"),
        CLUSTER.replace("-a", "-b"),
    ] {
        let (status, text) = court
            .raw(
                &format!("/admit/{cluster}"),
                created(pod(&["nginx"])).to_string().into_bytes(),
            )
            .await;
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&reply["response"]["allowed"], &reply["response"]["uid"]),
            (&json!(false), &json!(UID)),
            "{cluster}"
        );
    }
    court.pod(&["nginx"]).await.admitted();
}

#[tokio::test]
async fn bodies_too_large_for_any_object() {
    let court = Court::new().await;
    let mut review = created(pod(&["nginx"]));
    review["request"]["object"]["metadata"]["annotations"] = json!({ "filler": "x".repeat(8 << 20) });
    let request = court
        .webhook
        .post(court.url(&format!("/admit/{CLUSTER}")))
        .json(&review);
    // Refused by its declared length: the rest may not even be taken from the wire.
    match request.send().await {
        Ok(answer) => assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
    }
    court.policy(always("ALWAYS_ALLOW")).await;
    review["request"]["object"]["metadata"]["annotations"] = json!({ "filler": "x".repeat(6 << 20) });
    court.admit(&review).await.admitted();
}

#[tokio::test]
async fn records_are_one_line_of_bounded_length_without_secrets() {
    let court = Court::new().await;
    let secret = "marker-of-a-secret-value";
    let mut object = pod(&["nginx"]);
    object["metadata"]["name"] = "x\n{\"verdict\":\"ALLOW\"}\u{1b}[2J\u{202e}".into();
    object["metadata"]["annotations"] = json!({
        "alpha.image-policy.k8s.io/break-glass": format!("why\r\n\u{1b}]0;owned\u{7}{}", "\u{202e}\u{1f4a3}".repeat(64 << 10)),
        "note": secret,
    });
    object["spec"]["containers"] = (0..400)
        .map(|at| {
            json!({
                "name": format!("c{at}"), "image": format!("\u{202e}{}", "\u{1f4a3}".repeat(300)),
                "env": [{ "name": "PASSWORD", "value": secret }], "args": [secret],
            })
        })
        .collect();
    let mut review = created(object);
    review["request"]["userInfo"] =
        json!({ "username": "\u{2028}".repeat(5_000), "extra": { "token": [secret] } });
    court.admit(&review).await.admitted();
    let segment =
        std::fs::read_to_string(court.desk.folder().join("journal/segment-0000000001.jsonl")).unwrap();
    // Behind the records there is room for more.
    let segment = segment.trim_end_matches('\0');
    let records: Vec<&str> = segment
        .lines()
        .filter(|line| !line.starts_with("{\"log\":"))
        .collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].len() <= (16 << 10) + 128, "{}", records[0].len());
    assert!(
        segment
            .chars()
            .all(|c| c == '\n' || (!c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c)))
    );
    assert!(!segment.contains(secret));
    let record = court.record().await;
    assert_eq!(
        (&record["truncated"], &record["effect"]),
        (&json!(true), &json!("BREAK_GLASS"))
    );
    assert_eq!(record["imageCount"], 400);
}

/// AU-07: who asks is who the API server says; headers are anybody's.
#[tokio::test]
async fn no_header_says_who_asked() {
    let court = Court::new().await;
    let url = format!("https://{}/admit/{CLUSTER}", court.desk.addresses().webhook);
    let mut request = court.webhook.post(url).json(&created(pod(&["nginx"])));
    for name in [
        "x-remote-user",
        "x-remote-group",
        "x-forwarded-for",
        "x-forwarded-user",
        "impersonate-user",
        "authorization",
    ] {
        request = request.header(name, "system:mallory");
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["response"]["allowed"], false);
    let record = court.record().await;
    assert_eq!(
        record["user"],
        created(pod(&["nginx"]))["request"]["userInfo"]["username"]
    );
    assert!(!record.to_string().contains("mallory"), "{record}");
}

#[tokio::test]
async fn another_spelling_of_an_attested_image() {
    let court = Court::new().await;
    let image = court.signed().await;
    let (repository, digest) = image.split_once('@').unwrap();
    let elsewhere = format!("evil.example/{}@{digest}", repository.rsplit('/').next().unwrap());
    // As in Google's product the digest binds and the name does not: the same bytes run.
    court.pod(&[&elsewhere]).await.admitted();
    court
        .pod(&[&format!("{repository}:latest@{digest}")])
        .await
        .admitted();
    for spelled in [
        format!("{repository}@{}", digest.to_uppercase()),
        format!("{repository}@{}", &digest[..digest.len() - 1]),
        format!("{repository}@sha512:{}", &digest[7..]),
        format!("{repository}:{}", &digest[7..]),
        format!(" {image}"),
        format!("{image} "),
        format!("{image}\n"),
    ] {
        court.pod(&[&spelled]).await.denial();
    }
}
