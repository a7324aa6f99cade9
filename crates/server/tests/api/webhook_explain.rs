//! A refusal, followed by the id that it ends with.

use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, created, pod};

/// The id at the end of a refusal.
fn id_of(sentence: &str) -> String {
    let (_, rest) = sentence.split_once("binauthz explain ").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

async fn explained(court: &Court, id: &str) -> Value {
    court
        .desk
        .get(&format!("/binauthz/v1/projects/p/decisions/{id}"))
        .await
        .ok()
}

#[tokio::test]
async fn a_refusal_leads_to_its_record_and_to_what_was_tried() {
    let court = Court::new().await;
    let image = court.unsigned();
    let verdict = court.pod(&[&image]).await;
    let id = id_of(verdict.denial());
    // Others before and after it.
    for _ in 0..3 {
        court.pod(&[&court.unsigned()]).await.denial();
    }
    let found = explained(&court, &id).await;
    assert_eq!(
        (&found["decision"]["id"], &found["decision"]["images"][0]["image"]),
        (&json!(id), &json!(image))
    );
    let today = &found["today"];
    assert_eq!(
        (&today["verdict"], &today["reason"]),
        (&json!("DENY"), &json!("NO_ATTESTATIONS"))
    );
    assert_eq!(
        today["explanation"]["images"][0]["image"],
        image.as_str(),
        "{found:#}"
    );
    // What changes afterwards changes nothing that was.
    court.attest(&image).await;
    let found = explained(&court, &id).await;
    assert_eq!(
        (&found["decision"]["verdict"], &found["today"]["verdict"]),
        (&json!("DENY"), &json!("ALLOW"))
    );
    // Asking is no verdict.
    assert_eq!(court.records().await.len(), 4);
}

#[tokio::test]
async fn an_opened_door_is_explained_as_one() {
    let court = Court::new().await;
    let mut opened = pod(&[&court.unsigned()]);
    opened["metadata"]["labels"] = json!({"image-policy.k8s.io/break-glass": "true"});
    court.admit(&created(opened)).await.admitted();
    let id = court.record().await["id"].as_str().unwrap().to_owned();
    let today = &explained(&court, &id).await["today"];
    assert_eq!(
        (&today["effect"], &today["verdict"], &today["conforms"]),
        (&json!("BREAK_GLASS"), &json!("ALLOW"), &json!(false))
    );
}

#[tokio::test]
async fn what_is_no_decision_of_the_project_is_not_found() {
    let court = Court::new().await;
    let id = id_of(court.pod(&[&court.unsigned()]).await.denial());
    let get = |project: &str, id: &str| {
        let path = format!("/binauthz/v1/projects/{project}/decisions/{id}");
        let desk = &court.desk;
        async move { desk.get(&path).await }
    };
    get("p", &id).await.ok();
    get("other", &id).await.refused("NOT_FOUND", &id);
    let mut unknown = id.clone();
    unknown.replace_range(id.len() - 4.., if id.ends_with("0000") { "0001" } else { "0000" });
    get("p", &unknown).await.refused("NOT_FOUND", &unknown);
    // Far in the past, far in the future.
    for id in [
        "00000000-0000-7000-8000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ] {
        get("p", id).await.refused("NOT_FOUND", id);
    }
    for id in ["x", "705ab4f5-6393-11e8-b7cc-42010a800002", "..%2f..", "%00"] {
        get("p", id)
            .await
            .refused("INVALID_ARGUMENT", "UUID of version 7");
    }
}

#[tokio::test]
async fn every_refusal_that_was_recorded_says_where() {
    let court = Court::new().await;
    let image_review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": court.unsigned()}], "namespace": "default"}});
    let answer = court.ask("imagepolicy", &image_review).await;
    let id = id_of(answer["status"]["reason"].as_str().unwrap());
    assert_eq!(explained(&court, &id).await["decision"]["dialect"], "ImageReview");

    let mut unknown = pod(&["nginx"]);
    unknown["kind"] = json!("Thing");
    let verdict = court.admit(&created(unknown)).await;
    let found = explained(&court, &id_of(verdict.denial())).await;
    assert_eq!(found["decision"]["reason"], "UNREVIEWABLE");
    assert_eq!(
        found.get("today"),
        None,
        "there is nothing to judge again: {found:#}"
    );

    // A cluster that nobody registered is judged, too, and again when it is asked about.
    let path = CLUSTER.replace("clusters/c", "clusters/other");
    let (_, answer) = court
        .raw(
            &format!("/admit/{path}"),
            created(pod(&["nginx"])).to_string().into_bytes(),
        )
        .await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = id_of(answer["response"]["status"]["message"].as_str().unwrap());
    assert_eq!(
        explained(&court, &id).await["decision"]["reason"],
        "CLUSTER_NOT_REGISTERED"
    );
}
