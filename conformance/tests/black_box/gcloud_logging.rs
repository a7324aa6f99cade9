//! `gcloud logging`: the tutorial's filters find what was decided, and its metrics count.

use std::time::Duration;

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review, tools};
use serde_json::{Value, json};

use crate::story;

const DRY_RUN: &str =
    "resource.type=\"k8s_cluster\" AND jsonPayload.enforcementMode=\"DRYRUN_AUDIT_LOG_ONLY\"";
const OPENED: &str = "resource.type=\"k8s_cluster\"
  protoPayload.request.metadata.annotations.\"alpha.image-policy.k8s.io/break-glass\" != \"\"";
const BLOCKED: &str = "resource.type=\"k8s_cluster\"
  protoPayload.response.status=\"Failure\"
  (protoPayload.response.reason=\"VIOLATES_POLICY\" OR protoPayload.response.reason=\"Forbidden\")";

/// An attestor without a key and the tutorial's policy: nothing is signed here.
fn guarded() -> Option<Desk> {
    let desk = Desk::with(&["gcloud"])?;
    story::cluster(&desk);
    story::note(&desk);
    story::attestor(&desk);
    story::policy(&desk);
    Some(desk)
}

fn read(desk: &Desk, filter: &str, options: &str) -> Vec<Value> {
    let found = desk.ok(&format!("gcloud logging read '{filter}' {options} --format=json"));
    found.json().as_array().cloned().unwrap_or_default()
}

fn unattested() -> String {
    format!("{IMAGES}/unattested-image:latest")
}

#[test]
fn what_a_dry_run_would_have_denied_is_a_table() {
    let Some(desk) = guarded() else { return };
    desk.ok(
        "gcloud beta container clusters update my-cluster --zone us-central1-a \
             --binauthz-evaluation-mode=POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
    );
    let policy = story::POLICY.replace("ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY");
    desk.write("dry-run.yaml", &policy);
    desk.ok("gcloud container binauthz policy import dry-run.yaml");
    desk.admit(&review::pod("pause", "registry.k8s.io/pause:3.9"))
        .admitted();
    assert_eq!(read(&desk, DRY_RUN, "--limit=50"), Vec::<Value>::new());
    desk.admit(&review::pod("test-unsigned", &unattested()))
        .admitted();
    let table = desk.ok(&format!(
        "gcloud logging read '{DRY_RUN}' --limit=50 \
         --format=\"table(timestamp, jsonPayload.podName, jsonPayload.imageName)\""
    ));
    table
        .says(&[
            "TIMESTAMP",
            "POD_NAME",
            "IMAGE_NAME",
            "test-unsigned",
            &unattested(),
        ])
        .never_says("pause");
    desk.ok("gcloud logging logs list").says(&[
        "projects/demo/logs/binaryauthorization.googleapis.com%2Fpolicy",
        "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
    ]);
}

#[test]
fn what_was_blocked_and_what_broke_the_glass_is_found() {
    let Some(desk) = guarded() else { return };
    desk.admit(&review::pod("test-unsigned", &unattested()))
        .denied(&[]);
    let why = json!({"alpha.image-policy.k8s.io/break-glass": "Emergency fix for incident INC-1234"});
    desk.admit(&review::deployment("emergency-fix", &unattested(), &why))
        .admitted();
    desk.admit(&review::pod("pause", "registry.k8s.io/pause:3.9"))
        .admitted();

    let blocked = read(&desk, BLOCKED, "--limit=10");
    assert_eq!(blocked.len(), 1, "{blocked:#?}");
    assert_eq!(
        blocked[0]["protoPayload"]["resourceName"],
        "core/v1/namespaces/default/pods/test-unsigned"
    );
    let opened = read(&desk, OPENED, "");
    assert_eq!(opened.len(), 1, "{opened:#?}");
    assert_eq!(
        opened[0]["protoPayload"]["methodName"],
        "io.k8s.apps.v1.deployments.create"
    );
    let both = "protoPayload.authenticationInfo.principalEmail=\"jane@example.com\" severity>=WARNING";
    for options in ["--order=asc", "--order=desc", "--freshness=1h", "--limit=2"] {
        assert_eq!(read(&desk, both, options).len(), 2, "{options}");
    }
    assert_eq!(read(&desk, both, "--limit=1").len(), 1);
    let view = "--bucket=_Default --location=global --view=_AllLogs";
    assert_eq!(read(&desk, BLOCKED, view).len(), 1);
    desk.ok("gcloud logging write a/b '{\"step\": \"deployed\"}' --payload-type=json --severity=NOTICE");
    let written = read(&desk, "jsonPayload.step=\"deployed\"", "");
    assert_eq!(written[0]["logName"], "projects/demo/logs/a%2Fb", "{written:#?}");
    desk.ok("gcloud logging logs delete a/b --quiet");
    assert_eq!(
        read(&desk, "jsonPayload.step=\"deployed\"", ""),
        Vec::<Value>::new()
    );
    desk.sh("gcloud logging logs delete cloudaudit.googleapis.com/activity --quiet")
        .refused(&["cannot be deleted"]);
    desk.sh("gcloud logging read 'severity>=EROR'")
        .refused(&["expected a severity"]);
    desk.sh("gcloud logging read 'severity>=ERROR' --organization=1")
        .refused(&["projects"]);
}

#[test]
fn metrics_are_made_changed_and_deleted() {
    let Some(desk) = Desk::with(&["gcloud"]) else {
        return;
    };
    desk.ok(&format!(
        "gcloud logging metrics create binauthz-denials --description='Denied by Binary Authorization' \
         --log-filter='{BLOCKED}'"
    ));
    let described = desk
        .ok("gcloud logging metrics describe binauthz-denials --format=json")
        .json();
    assert_eq!(described["filter"], BLOCKED, "{described:#}");
    assert_eq!(
        described["metricDescriptor"]["type"],
        "logging.googleapis.com/user/binauthz-denials"
    );
    desk.ok("gcloud logging metrics update binauthz-denials --description='Refused'");
    let listed = desk.ok("gcloud logging metrics list --format=json").json();
    assert_eq!(listed[0]["description"], "Refused", "{listed:#}");
    assert_eq!(listed[0]["filter"], BLOCKED, "{listed:#}");
    desk.ok("gcloud logging metrics create foo/bar --description=x --log-filter='severity>=ERROR'");
    desk.ok("gcloud logging metrics describe foo/bar")
        .says(&["foo/bar"]);
    desk.sh("gcloud logging metrics create never --description=x --log-filter='severity>=EROR'")
        .refused(&["column 11"]);
    for name in ["foo/bar", "binauthz-denials"] {
        desk.ok(&format!("gcloud logging metrics delete {name} --quiet"));
    }
    assert_eq!(
        desk.ok("gcloud logging metrics list --format=json").json(),
        json!([])
    );
}

/// gcloud follows over gRPC, always over TLS, with the grpcio of the Python it runs on.
#[test]
fn entries_are_followed_as_they_come() {
    let Some(mut desk) = Desk::secure(&["gcloud", "python-clients"]) else {
        return;
    };
    let python = tools::python().map_or_else(String::new, |path| path.display().to_string());
    let authority = desk.server.webhook_ca().display().to_string();
    desk.shell.set("CLOUDSDK_PYTHON", python);
    desk.shell.set("CLOUDSDK_PYTHON_SITEPACKAGES", "1");
    desk.shell.set("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", authority);
    desk.shell.set("PYTHONUNBUFFERED", "1");
    desk.ok(
        "gcloud alpha logging tail 'textPayload:\"followed\"' --buffer-window=1s --format='value(textPayload)' \
             > followed.txt 2> notes.txt &
         echo $! > tail.pid
         until grep -q Initializing notes.txt; do sleep 0.2; done",
    );
    // It says so before it has connected: what is written meanwhile is not followed.
    desk.ok("for try in $(seq 60); do
           gcloud logging write mine \"followed $try\" > written.txt 2>&1 || { cat written.txt; exit 1; }
           grep -q followed followed.txt && break
         done
         kill $(cat tail.pid)
         cat notes.txt followed.txt")
        .says(&["Initializing tail session", "followed "]);
    desk.sh("timeout 60 gcloud alpha logging tail 'severity>=EROR'")
        .ok()
        .says(&["Invalid argument", "column 11"]);
}

/// What is counted of a metric, once there is as much as expected.
fn counted(desk: &Desk, name: &str, expected: i64) -> Option<i64> {
    let path = format!(
        "/v3/projects/demo/timeSeries?filter=metric.type%3D%22logging.googleapis.com%2Fuser%2F{name}%22\
         &interval.startTime=2026-01-01T00:00:00Z&interval.endTime=2099-01-01T00:00:00Z\
         &aggregation.alignmentPeriod=86400s&aggregation.perSeriesAligner=ALIGN_SUM\
         &aggregation.crossSeriesReducer=REDUCE_SUM"
    );
    poll_until(Duration::from_secs(30), || {
        let answer = desk.api("GET", &path, None).ok();
        let value = answer["timeSeries"][0]["points"][0]["value"]["int64Value"].as_str()?;
        value.parse().ok().filter(|count| *count >= expected)
    })
}

#[test]
fn the_tutorials_metric_counts_what_was_blocked() {
    let Some(desk) = guarded() else { return };
    desk.ok(
        "gcloud logging metrics create binauthz-blocked-deployments \
         --description='Count of deployments blocked by Binary Authorization' \
         --log-filter='resource.type=\"k8s_cluster\" protoPayload.response.status.message:\"denied by attestor\"'",
    );
    let image = format!("{IMAGES}/unattested-image:latest");
    for _ in 0..2 {
        desk.admit(&review::pod("test-unsigned", &image)).denied(&[]);
    }
    assert_eq!(counted(&desk, "binauthz-blocked-deployments", 2), Some(2));
    // Sizes make a distribution.
    desk.write(
        "sizes.yaml",
        "filter: logName:app\nvalueExtractor: EXTRACT(jsonPayload.size)\n\
         metricDescriptor: {metricKind: DELTA, valueType: DISTRIBUTION}\n\
         bucketOptions: {linearBuckets: {numFiniteBuckets: 4, width: 10, offset: 0}}\n",
    );
    desk.ok("gcloud logging metrics create sizes --config-from-file=sizes.yaml");
    let described = desk
        .ok("gcloud logging metrics describe sizes --format=json")
        .json();
    assert_eq!(
        described["metricDescriptor"]["valueType"], "DISTRIBUTION",
        "{described:#}"
    );
}
