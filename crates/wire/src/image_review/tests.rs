use binauthz_core::decide::refuse;
use binauthz_core::decision::Reason;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const RECORDED: &[u8] = include_bytes!(
    "../../tests/fixtures/kubernetes/v1.36.2-imagereview-pod-create-3-containers-annotations.json"
);
const EPHEMERAL: &[u8] =
    include_bytes!("../../tests/fixtures/kubernetes/v1.36.2-imagereview-ephemeralcontainers-denied.json");

fn review(spec: &str) -> String {
    format!(r#"{{"kind":"ImageReview","apiVersion":"imagepolicy.k8s.io/v1alpha1","spec":{spec}}}"#)
}

#[test]
fn what_the_plugin_sends_is_understood() {
    let review = read(RECORDED).unwrap();
    assert_eq!(review.namespace(), "team-b");
    let images = review.requested_images();
    assert_eq!(images.len(), 3);
    assert_eq!(
        (images[2].location.as_str(), &*images[2].written),
        ("spec.containers[2]", "registry.example.com/init:1.0")
    );
    assert!(review.break_glass().is_none());
    assert_eq!(read(EPHEMERAL).unwrap().requested_images().len(), 1);
}

#[test]
fn the_door_is_the_annotation_only() {
    let table = [
        (
            r#"{"alpha.image-policy.k8s.io/break-glass":"INC-1"}"#,
            Some("INC-1"),
        ),
        (r#"{"alpha.image-policy.k8s.io/break-glass":"false"}"#, None),
        (
            r#"{"mycluster.image-policy.k8s.io/ticket-1234":"break-glass"}"#,
            None,
        ),
        (r#"{"image-policy.k8s.io/break-glass":"true"}"#, None),
        ("null", None),
    ];
    for (annotations, expected) in table {
        let body = review(&format!(
            r#"{{"containers":[{{"image":"i"}}],"annotations":{annotations}}}"#
        ));
        let opened = read(body.as_bytes()).unwrap().break_glass();
        assert_eq!(
            opened.as_ref().map(BreakGlass::justification),
            expected,
            "{annotations}"
        );
    }
}

#[test]
fn anything_else_is_refused() {
    let specs = [
        "null",
        "{}",
        r#"{"containers":[]}"#,
        r#"{"containers":null}"#,
        r#"{"containers":[null]}"#,
        r#"{"containers":[{"image":"S","image":"U"}]}"#,
        r#"{"containers":[{"image":"S"}],"x":{"a":1,"a":1}}"#,
        r#"{"containers":[{"image":["S"]}]}"#,
    ];
    for spec in specs {
        assert!(read(review(spec).as_bytes()).is_err(), "{spec}");
    }
    let other = review(r#"{"containers":[{"image":"i"}]}"#).replace("v1alpha1", "v1");
    assert!(matches!(
        read(other.as_bytes()),
        Err(InvalidImageReview::OtherKind { .. })
    ));
    let many = vec![r#"{"image":"i"}"#; MAX_IMAGES + 1].join(",");
    assert_eq!(
        read(review(&format!(r#"{{"containers":[{many}]}}"#)).as_bytes()).unwrap_err(),
        InvalidImageReview::TooManyImages
    );
}

#[test]
fn the_reply_carries_verdict_reason_and_annotations() {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let denied = parsed(&verdict(&refuse(Reason::Deadline, None), None));
    let message = "Denied by Binary Authorization: the time given for the decision ran out";
    let expected = json!({
        "apiVersion": "imagepolicy.k8s.io/v1alpha1",
        "kind": "ImageReview",
        "status": { "allowed": false, "reason": message },
    });
    assert_eq!(denied, expected);
    let opened = BreakGlass::read(None, Some("true"));
    let admitted = parsed(&verdict(&refuse(Reason::Deadline, opened.as_ref()), None));
    assert_eq!(admitted["status"]["allowed"], true);
    assert_eq!(admitted["status"]["auditAnnotations"]["break-glass"], "true");
    assert!(admitted["status"].get("reason").is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}
