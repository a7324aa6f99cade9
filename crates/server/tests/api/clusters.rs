//! `/v1/projects/P/locations/L/clusters` and its operations, as gcloud uses them.

use serde_json::{Value, json};

use crate::support::Desk;

const CLUSTERS: &str = "/v1/projects/demo/locations/us-central1-a/clusters";
const CLUSTER: &str = "/v1/projects/demo/locations/us-central1-a/clusters/my-cluster";

async fn create(desk: &Desk, cluster: Value) -> Value {
    desk.post(
        CLUSTERS,
        json!({ "cluster": cluster, "parent": "projects/demo/locations/us-central1-a" }),
    )
    .await
    .ok()
}

fn desired(mode: &str) -> Value {
    json!({ "name": "n", "update": { "desiredBinaryAuthorization": { "evaluationMode": mode } } })
}

#[tokio::test]
async fn the_life_of_a_cluster() {
    let desk = Desk::new().await;
    let operation = create(
        &desk,
        json!({ "name": "my-cluster", "nodePools": [{ "name": "p" }] }),
    )
    .await;
    assert_eq!(operation["operationType"], "CREATE_CLUSTER");
    assert_eq!(operation["status"], "DONE");
    let again = json!({ "cluster": { "name": "my-cluster" } });
    desk.post(CLUSTERS, again)
        .await
        .refused("ALREADY_EXISTS", "locations/us-central1-a/clusters/my-cluster");

    let cluster = desk.get(CLUSTER).await.ok();
    assert_eq!(cluster["name"], "my-cluster");
    assert_eq!(cluster["status"], "RUNNING");
    assert_eq!(cluster["binaryAuthorization"]["evaluationMode"], "DISABLED");
    assert_eq!(
        cluster["workloadIdentityConfig"]["workloadPool"],
        "demo.svc.id.goog"
    );
    assert_eq!(cluster["endpoint"], "my-cluster.us-central1-a.demo.invalid");
    assert_eq!(cluster["nodePools"], json!([{ "name": "p" }]));

    let operation = desk
        .put(CLUSTER, desired("PROJECT_SINGLETON_POLICY_ENFORCE"))
        .await
        .ok();
    assert_eq!(operation["operationType"], "UPDATE_CLUSTER");
    let changed = desk.get(CLUSTER).await.ok();
    assert_eq!(
        changed["binaryAuthorization"],
        json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" })
    );
    assert_ne!(changed["etag"], cluster["etag"]);
    for kept in ["id", "nodePools", "createTime", "workloadIdentityConfig"] {
        assert_eq!(changed[kept], cluster[kept], "{kept}");
    }

    desk.delete(CLUSTER).await.ok();
    desk.get(CLUSTER).await.refused(
        "NOT_FOUND",
        "binauthz clusters create my-cluster --location=us-central1-a",
    );
    desk.delete(CLUSTER).await.refused("NOT_FOUND", "my-cluster");
    desk.put(CLUSTER, desired("DISABLED"))
        .await
        .refused("NOT_FOUND", "my-cluster");
}

#[tokio::test]
async fn an_update_may_say_which_state_it_changes() {
    let desk = Desk::new().await;
    create(&desk, json!({ "name": "my-cluster" })).await;
    let mut update = desired("PROJECT_SINGLETON_POLICY_ENFORCE");
    update["update"]["etag"] = desk.get(CLUSTER).await.ok()["etag"].clone();
    desk.put(CLUSTER, update.clone()).await.ok();
    let mut back = desired("DISABLED");
    for etag in [update["update"]["etag"].clone(), json!("nonsense")] {
        back["update"]["etag"] = etag;
        desk.put(CLUSTER, back.clone())
            .await
            .refused("ABORTED", "my-cluster");
    }
    assert_eq!(
        desk.get(CLUSTER).await.ok()["binaryAuthorization"]["evaluationMode"],
        "PROJECT_SINGLETON_POLICY_ENFORCE"
    );
    desk.put(CLUSTER, desired("DISABLED")).await.ok();
}

#[tokio::test]
async fn every_version_and_both_forms_of_the_address_show_one_cluster() {
    let desk = Desk::new().await;
    create(&desk, json!({ "name": "my-cluster" })).await;
    let reference = desk.get(CLUSTER).await.ok();
    for version in ["v1", "v1beta1", "v1alpha1"] {
        for place in ["locations", "zones"] {
            let path = format!("/{version}/projects/demo/{place}/us-central1-a/clusters/my-cluster");
            let mut cluster = desk.get(&path).await.ok();
            assert!(
                cluster["selfLink"]
                    .as_str()
                    .unwrap()
                    .contains(&format!("/{version}/"))
            );
            cluster["selfLink"] = reference["selfLink"].clone();
            assert_eq!(cluster, reference, "{path}");
        }
    }
    desk.get(&CLUSTER.replace("v1", "v2"))
        .await
        .refused("NOT_FOUND", "is not an address of this server");
}

#[tokio::test]
async fn lists_are_of_one_location_or_of_all() {
    let desk = Desk::new().await;
    create(&desk, json!({ "name": "a" })).await;
    create(&desk, json!({ "name": "b" })).await;
    desk.post(
        "/v1/projects/demo/zones/europe-west1/clusters",
        json!({ "cluster": { "name": "c" } }),
    )
    .await
    .ok();
    desk.post(
        "/v1/projects/other/locations/europe-west1/clusters",
        json!({ "cluster": { "name": "d" } }),
    )
    .await
    .ok();
    for (path, expected) in [
        ("/v1/projects/demo/locations/-/clusters", vec!["c", "a", "b"]),
        ("/v1/projects/demo/zones/-/clusters", vec!["c", "a", "b"]),
        (
            "/v1/projects/demo/locations/us-central1-a/clusters",
            vec!["a", "b"],
        ),
        ("/v1/projects/demo/locations/us-central1/clusters", vec![]),
        ("/v1/projects/other/locations/-/clusters", vec!["d"]),
    ] {
        let list = desk.get(path).await.ok();
        let names: Vec<&str> = list["clusters"]
            .as_array()
            .map(|clusters| {
                clusters
                    .iter()
                    .map(|cluster| cluster["name"].as_str().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        assert_eq!(names, expected, "{path}");
    }
}

#[tokio::test]
async fn operations_are_found_again_and_done() {
    let desk = Desk::new().await;
    let created = create(&desk, json!({ "name": "my-cluster" })).await;
    let name = created["name"].as_str().unwrap();
    let path = format!("/v1/projects/demo/locations/us-central1-a/operations/{name}");
    assert_eq!(desk.get(&path).await.ok(), created);
    assert_eq!(desk.get(&path.replace("locations", "zones")).await.ok(), created);
    let list = desk.get("/v1/projects/demo/locations/-/operations").await.ok();
    assert_eq!(list["operations"], json!([created]));
    for elsewhere in ["us-central1-b", "us-central1"] {
        let path = path.replace("us-central1-a", elsewhere);
        desk.get(&path).await.refused("NOT_FOUND", name);
    }
    desk.get(&path.replace("demo", "other"))
        .await
        .refused("NOT_FOUND", name);
}

#[tokio::test]
async fn old_operations_make_room() {
    let desk = Desk::new().await;
    let first = create(&desk, json!({ "name": "my-cluster" })).await;
    let mut last = Value::Null;
    for _ in 0..100 {
        last = desk.put(CLUSTER, desired("DISABLED")).await.ok();
    }
    let list = desk.get("/v1/projects/demo/locations/-/operations").await.ok();
    let operations = list["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 100);
    assert!(operations.contains(&last) && !operations.contains(&first));
}

#[tokio::test]
async fn mistakes_change_nothing_and_say_what_to_do() {
    let desk = Desk::new().await;
    create(&desk, json!({ "name": "my-cluster" })).await;
    let before = desk.get(CLUSTER).await.ok();
    for (body, message) in [
        (
            json!({ "update": { "desiredNodeVersion": "1" } }),
            "`update.desiredNodeVersion`: is not changed here",
        ),
        (desired("ENFORCE"), "is `ENFORCE`, which is not one of"),
        (json!({}), "update"),
        (json!([]), "object"),
    ] {
        desk.put(CLUSTER, body).await.refused("INVALID_ARGUMENT", message);
    }
    assert_eq!(desk.get(CLUSTER).await.ok(), before);
    for (path, cluster, message) in [
        (CLUSTERS, json!({ "name": "bad/name" }), "cluster.name"),
        (
            CLUSTERS,
            json!({ "name": "x", "binaryAuthorisation": {} }),
            "did you mean `binaryAuthorization`?",
        ),
        (
            "/v1/projects/demo/locations/US/clusters",
            json!({ "name": "x" }),
            "LOCATION",
        ),
    ] {
        desk.post(path, json!({ "cluster": cluster }))
            .await
            .refused("INVALID_ARGUMENT", message);
    }
    let list = desk.get("/v1/projects/demo/locations/-/clusters").await.ok();
    assert_eq!(list["clusters"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn changes_leave_audit_rows_and_readings_none() {
    let desk = Desk::new().await;
    create(&desk, json!({ "name": "my-cluster" })).await;
    desk.get(CLUSTER).await.ok();
    desk.put(CLUSTER, desired("NONSENSE"))
        .await
        .refused("INVALID_ARGUMENT", "NONSENSE");
    let entries = desk.get("/binauthz/v1/audit").await.ok();
    let rows: Vec<(&str, &str)> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["method"].as_str().unwrap(), row["resource"].as_str().unwrap()))
        .collect();
    let name = "projects/demo/locations/us-central1-a/clusters/my-cluster";
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.contains(&("container.CreateCluster", name)), "{rows:?}");
    assert!(
        rows.iter()
            .any(|(method, _)| *method == "container.UpdateCluster"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn get_server_config_offers_no_versions() {
    let desk = Desk::new().await;
    let config = desk
        .get("/v1/projects/demo/locations/us-central1-a/serverConfig")
        .await
        .ok();
    assert_eq!(config["validMasterVersions"], json!([]));
    desk.get("/v1/projects/demo/zones/us-central1-a/serverconfig")
        .await
        .ok();
}
