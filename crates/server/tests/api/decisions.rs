//! The record of verdicts, and verdicts asked for beforehand.

use serde_json::json;

use crate::court::{CLUSTER, Court, created, pod};

#[tokio::test]
async fn a_record_says_what_decide_says() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let mut opened = pod(&["r.example/app:v1"]);
    opened["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": "INC-1"});
    for object in [
        pod(&[&signed]),
        pod(&[&unsigned, "gke.gcr.io/pause"]),
        pod(&["a b"]),
        opened,
    ] {
        court.admit(&created(object.clone())).await;
        let recorded = court.record().await;
        let decide = format!("/binauthz/v1/{CLUSTER}:decide?namespace=default");
        let described = court.desk.post(&decide, object).await.ok()["decisions"][0].clone();
        for (field, value) in described.as_object().unwrap() {
            assert_eq!(recorded[field], *value, "{field} of {described}");
        }
        assert!(recorded.get("explanation").is_none() && described.get("explanation").is_none());
    }
}

#[tokio::test]
async fn an_explanation_is_given_to_whoever_asks_for_it() {
    let court = Court::new().await;
    let mut policy = court.desk.get("/v1/projects/p/policy").await.ok();
    policy["globalPolicyEvaluationMode"] = "ENABLE".into();
    court.desk.put("/v1/projects/p/policy", policy).await.ok();
    let decide = format!("/binauthz/v1/{CLUSTER}:decide?explain=true");
    let described = court.desk.post(&decide, pod(&["r.example/app:v1"])).await.ok()["decisions"][0].clone();
    let patterns = &described["explanation"]["images"][0]["patterns"];
    assert_eq!(patterns["systemCount"], 3, "{described}");
    court
        .desk
        .post(
            &format!("/binauthz/v1/{CLUSTER}:decide?explain=perhaps"),
            pod(&["a"]),
        )
        .await
        .refused("INVALID_ARGUMENT", "explain");
}

#[tokio::test]
async fn the_log_is_narrowed_by_what_a_record_says() {
    let court = Court::new().await;
    let signed = court.signed().await;
    court.pod(&[&signed]).await;
    court.pod(&["r.example/app:v1"]).await;
    court.pod(&["other.example/app:v1", "r.example/app:v2"]).await;
    for (query, expected) in [
        ("", 3),
        ("verdict=DENY", 2),
        ("verdict=ALLOW", 1),
        ("reason=ATTESTED", 1),
        ("reason=NOT_PINNED&verdict=ALLOW", 0),
        ("namespace=default", 3),
        ("namespace=prod", 0),
        ("effect=ENFORCED", 3),
        ("effect=DRY_RUN", 0),
        ("image=other.example", 1),
        ("image=r.example/app", 2),
        ("since=2020-01-01T00:00:00Z", 3),
        ("since=2999-01-01T00:00:00Z", 0),
        ("filter=severity>=ERROR", 2),
        ("filter=severity>=ERROR%20%23%20as%20written&verdict=ALLOW", 0),
        ("filter=severity=NOTICE%20OR%20severity=ERROR&verdict=DENY", 2),
        // Neither is taken for anything but a name.
        ("namespace=default%22%20OR%20%22", 0),
        ("namespace=DEFAULT", 0),
    ] {
        let address = format!("/binauthz/v1/projects/p/decisions?{query}");
        let listed = court.desk.get(&address).await.ok();
        let count = listed["decisions"].as_array().map_or(0, Vec::len);
        assert_eq!(count, expected, "{query}: {listed}");
    }
    let none = court
        .desk
        .get("/binauthz/v1/projects/p/decisions?since=2999-01-01T00:00:00Z&pageSize=1")
        .await
        .ok();
    assert_eq!(none.get("nextPageToken"), None, "what is older is not looked for");
    court
        .desk
        .get("/binauthz/v1/projects/p/decisions?since=yesterday")
        .await
        .refused("INVALID_ARGUMENT", "`since`");
    for (parameter, named) in [("filter=severity>", "filter"), ("pageToken=1-0", "pageToken")] {
        let address = format!("/binauthz/v1/projects/p/decisions?{parameter}");
        court.desk.get(&address).await.refused("INVALID_ARGUMENT", named);
    }
    let pages = court
        .desk
        .pages("/binauthz/v1/projects/p/decisions?verdict=DENY", "decisions", 1);
    assert_eq!(pages.await.len(), 2);
}

#[tokio::test]
async fn what_the_server_was_told_is_readable() {
    let court = Court::new().await;
    let settings = court.desk.get("/binauthz/v1/settings").await.ok();
    assert_eq!(settings["requirePolicy"], false);
    assert_eq!(
        (
            &settings["effective"]["dev"],
            &settings["effective"]["bootstrapToken"]
        ),
        (&json!("true"), &json!("permanent"))
    );
    assert!(
        settings["certificateEndTime"].as_str().unwrap() > "2026",
        "{settings}"
    );
    assert!(!settings.to_string().contains(court.desk.token()), "{settings}");
    assert_eq!(settings["customResources"], json!([]));
}

#[tokio::test]
async fn what_the_webhook_is_not_asked_about_is_refused_or_left_out() {
    let court = Court::new().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [map, pod(&["r.example/app:v1"])]});
    let decide = format!("/binauthz/v1/{CLUSTER}:decide");
    let refused = court.desk.post(&decide, list.clone()).await;
    refused.refused("INVALID_ARGUMENT", "is not known to carry images");
    let as_webhook = format!("{decide}?asWebhook=true");
    let described = court.desk.post(&as_webhook, list).await.ok();
    assert_eq!(described["decisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(described["decisions"][0]["kind"], "Pod");
    assert_eq!(
        court.desk.post(&as_webhook, map).await.ok()["decisions"],
        json!([])
    );
    // What is reviewed and cannot be read is denied, and what may mean something else is not guessed.
    let empty =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
    let refused = court.desk.post(&decide, empty.clone()).await;
    refused.refused("INVALID_ARGUMENT", "names no image");
    let denied = court.desk.post(&as_webhook, empty).await.ok()["decisions"][0].clone();
    assert_eq!(
        (&denied["verdict"], &denied["reason"]),
        (&json!("DENY"), &json!("UNREVIEWABLE"))
    );
    let other = json!({"apiVersion": "apps/v9", "kind": "Deployment", "metadata": {"name": "d"}});
    let refused = court.desk.post(&as_webhook, other).await;
    refused.refused("INVALID_ARGUMENT", "is of a version that is not known");
}
