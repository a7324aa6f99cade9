use binauthz_core::name::ClusterName;
use binauthz_core::policy::Evaluation;
use binauthz_core::time::UnixTime;
use serde_json::json;

use super::*;

fn create(cluster: serde_json::Value) -> Result<(ClusterId, Cluster), InvalidField> {
    read_create_request(json!({ "parent": "projects/demo/locations/l", "cluster": cluster }).into())
}

fn update(update: serde_json::Value) -> Result<BinaryAuthorization, InvalidField> {
    read_update_request(json!({ "name": "n", "update": update }).into())
        .map(|update| update.binary_authorization)
}

#[test]
fn what_gcloud_creates_is_kept_and_comes_back() {
    let pools =
        json!([{ "config": { "oauthScopes": ["s"] }, "initialNodeCount": 3, "name": "default-pool" }]);
    let (id, cluster) = create(json!({
        "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" },
        "name": "c2",
        "nodePools": pools,
        "masterAuth": { "clusterCaCertificate": "ZmFrZQ==", "password": "secret" },
        "workload_identity_config": { "workloadPool": "mesh.example.com" },
        "endpoint": "10.0.0.1",
    }))
    .unwrap();
    assert_eq!(id.as_str(), "c2");
    assert_eq!(
        cluster.binary_authorization.mode,
        EvaluationMode::ProjectSingleton
    );
    assert_eq!(cluster.workload_pool.as_deref(), Some("mesh.example.com"));
    assert_eq!(cluster.certificate_authority.as_deref(), Some(&b"fake"[..]));
    let stored = serde_json::Value::from(write_stored_cluster(&cluster));
    assert!(!stored.to_string().contains("secret"));
    assert_eq!(read_stored_cluster(stored.into()).unwrap(), cluster);

    let name: ClusterName = "projects/demo/locations/us-central1-a/clusters/c2"
        .parse()
        .unwrap();
    let view = ClusterView {
        name: &name,
        version: "v1beta1",
        id: "1".into(),
        etag: "e".into(),
        created: UnixTime::from_seconds(0),
    };
    let shown = write_cluster(&cluster, &view);
    for (pointer, expected) in [
        ("/name", json!("c2")),
        ("/zone", json!("us-central1-a")),
        ("/location", json!("us-central1-a")),
        ("/endpoint", json!("10.0.0.1")),
        ("/masterAuth/clusterCaCertificate", json!("ZmFrZQ==")),
        (
            "/binaryAuthorization",
            json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" }),
        ),
        ("/nodePools", pools),
        (
            "/selfLink",
            json!(format!("https://container.googleapis.com/v1beta1/{name}")),
        ),
        ("/createTime", json!("1970-01-01T00:00:00Z")),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn a_cluster_nobody_said_more_about_enforces_nothing() {
    let (_, cluster) = create(json!({ "name": "c" })).unwrap();
    assert_eq!(cluster, Cluster::default());
    assert_eq!(
        cluster.binary_authorization.mode.evaluation(),
        Evaluation::Disabled
    );
}

#[test]
fn modes_by_name_and_by_number_and_what_they_enforce() {
    for (given, expected, evaluation) in [
        (
            json!({ "evaluationMode": "DISABLED" }),
            EvaluationMode::Disabled,
            Evaluation::Disabled,
        ),
        (
            json!({ "evaluationMode": 0 }),
            EvaluationMode::Disabled,
            Evaluation::Disabled,
        ),
        (
            json!({ "evaluationMode": 2 }),
            EvaluationMode::ProjectSingleton,
            Evaluation::Enforced,
        ),
        (
            json!({ "evaluationMode": "POLICY_BINDINGS" }),
            EvaluationMode::PolicyBindings,
            Evaluation::Disabled,
        ),
        (
            json!({ "evaluationMode": "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE" }),
            EvaluationMode::PolicyBindingsAndProjectSingleton,
            Evaluation::Enforced,
        ),
        (
            json!({ "enabled": true }),
            EvaluationMode::ProjectSingleton,
            Evaluation::Enforced,
        ),
        (
            json!({ "enabled": true, "evaluationMode": "EVALUATION_MODE_UNSPECIFIED" }),
            EvaluationMode::ProjectSingleton,
            Evaluation::Enforced,
        ),
        (
            json!({ "enabled": false }),
            EvaluationMode::Disabled,
            Evaluation::Disabled,
        ),
        (
            json!({ "enabled": true, "evaluationMode": "DISABLED" }),
            EvaluationMode::Disabled,
            Evaluation::Disabled,
        ),
    ] {
        let read = update(json!({ "desiredBinaryAuthorization": given })).unwrap();
        assert_eq!(
            (read.mode, read.mode.evaluation()),
            (expected, evaluation),
            "{given}"
        );
    }
}

#[test]
fn bindings_come_back_as_they_were_given() {
    let given = json!({
        "evaluationMode": "POLICY_BINDINGS",
        "policyBindings": [
            { "name": "projects/demo/platforms/gke/policies/p1" },
            { "name": "projects/demo/platforms/gke/policies/p2", "enforcementMode": "AUDIT_AND_DRYRUN" },
        ],
    });
    let read = update(json!({ "desiredBinaryAuthorization": given })).unwrap();
    assert_eq!(write_binary_authorization(&read), given);
}

#[test]
fn mistakes_are_named_with_their_path() {
    let binding = |binding| json!({ "desiredBinaryAuthorization": { "evaluationMode": "POLICY_BINDINGS", "policyBindings": [binding] } });
    for (given, expected) in [
        (json!({}), "`update.desiredBinaryAuthorization` is required"),
        (
            json!({ "desiredNodeVersion": "1.33" }),
            "`update.desiredNodeVersion`: is not changed here",
        ),
        (
            json!({ "desiredBinaryAuthorization": { "evaluationMode": "ENFORCE" } }),
            "`update.desiredBinaryAuthorization.evaluationMode` is `ENFORCE`, which is not one of",
        ),
        (
            json!({ "desiredBinaryAuthorization": { "evaluationMode": 3 } }),
            "`update.desiredBinaryAuthorization.evaluationMode` is 3",
        ),
        (
            json!({ "desiredBinaryAuthorization": { "mode": "DISABLED" } }),
            "`update.desiredBinaryAuthorization.mode` is not a known field",
        ),
        (
            json!({ "desiredBinaryAuthorization": { "policyBindings": [{ "name": "x" }] } }),
            "`update.desiredBinaryAuthorization.policyBindings`: means nothing with the evaluation mode `DISABLED`",
        ),
        (
            binding(json!({ "name": "projects/p/policies/x" })),
            "`update.desiredBinaryAuthorization.policyBindings[0].name`: expected `projects/PROJECT/platforms",
        ),
        (
            binding(json!({ "name": "projects/p/platforms/gke/policies/x", "enforcementMode": "audit" })),
            "`update.desiredBinaryAuthorization.policyBindings[0].enforcementMode`",
        ),
    ] {
        let error = update(given.clone()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{given}\n{error}");
    }
    for (given, expected) in [
        (json!({}), "`cluster.name` is required"),
        (json!({ "name": "a/b" }), "`cluster.name`"),
        (
            json!({ "name": "c", "binaryAuthorizaton": {} }),
            "`cluster.binaryAuthorizaton` is not a known field; did you mean `binaryAuthorization`?",
        ),
        (
            json!({ "name": "c", "workloadIdentityConfig": { "workloadPool": "a/b" } }),
            "`cluster.workloadIdentityConfig.workloadPool`: expected a trust domain",
        ),
        (
            json!({ "name": "c", "description": "x".repeat(MAX_KEPT) }),
            "`cluster`: its description is longer",
        ),
        (
            json!({ "name": "c", "endpoint": "a\nb" }),
            "`cluster.endpoint`: expected one line",
        ),
    ] {
        let error = create(given.clone()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{given}\n{error}");
    }
}

#[test]
fn an_operation_is_done_from_the_start() {
    let operation = Operation {
        id: "operation-1-a".into(),
        kind: OperationKind::Update,
        cluster: "projects/demo/locations/l/clusters/c".parse().unwrap(),
        time: UnixTime::from_seconds(1),
    };
    let read = read_operation(
        write_stored_operation(&operation).into(),
        &operation.id,
        operation.time,
    )
    .unwrap();
    assert_eq!(read, operation);
    let shown = write_operation(&operation, "v1");
    assert_eq!(shown["name"], "operation-1-a");
    assert_eq!(shown["status"], "DONE");
    assert_eq!(shown["operationType"], "UPDATE_CLUSTER");
    assert_eq!(
        shown["targetLink"],
        "https://container.googleapis.com/v1/projects/demo/locations/l/clusters/c"
    );
}
