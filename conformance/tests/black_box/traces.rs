//! Traces, read by OpenTelemetry's own definitions.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::signatures::prepare;

const PROGRAMS: &[&str] = &["python-clients"];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A receiver of traces. Dropping it kills it.
struct Collector {
    child: Child,
    port: String,
    folder: TempDir,
}

impl Collector {
    fn start() -> Option<Collector> {
        if !tools::needs(PROGRAMS) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str| folder.path().join(name);
        let log = std::fs::File::create(file("log")).expect("a log can be made");
        let child = Command::new(tools::python()?)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/otlp_receiver.py"))
            .env("READY", file("ready"))
            .env("SPANS", file("spans"))
            .env("RAW", file("raw"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Python starts");
        let mut collector = Collector {
            child,
            port: String::new(),
            folder,
        };
        let ready = collector.folder.path().join("ready");
        collector.port = poll_until(Duration::from_secs(30), || std::fs::read_to_string(&ready).ok())
            .unwrap_or_else(|| panic!("the collector is not ready: {}", collector.read("log")));
        Some(collector)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The spans so far, once one has this name and belongs to this call.
    fn spans(&self, name: &str, parent: &str) -> Vec<Value> {
        poll_until(Duration::from_secs(30), || {
            let spans: Vec<Value> = self
                .read("spans")
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let is_there = spans
                .iter()
                .any(|span| span["name"] == name && span["parent"] == parent);
            is_there.then_some(spans)
        })
        .unwrap_or_else(|| panic!("no `{name}` in\n{}\n{}", self.read("spans"), self.read("log")))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the webhook as an API server that traces itself.
fn admit_within(desk: &Desk, flags: &str, pod: &Value) {
    desk.write("review.json", &review::create(pod).to_string());
    let (authority, webhook) = (desk.server.webhook_ca(), &desk.server.webhook);
    desk.ok(&format!(
        "curl -sS --fail-with-body --cacert '{}' -H 'traceparent: 00-{TRACE}-{CALLER}-{flags}' \
         -H 'Content-Type: application/json' --data-binary @review.json '{webhook}/admit/{CLUSTER}?timeout=10s'",
        authority.display()
    ))
    .says(&["No attestations found"]);
}

#[test]
fn a_verdict_is_a_span_with_its_parts_below() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let settings = format!("otlpEndpoint: http://127.0.0.1:{}\n", collector.port);
    let Some(desk) = Desk::with_configuration(PROGRAMS, &settings) else {
        return;
    };
    prepare(&desk);
    let image = format!("{IMAGES}/unattested@sha256:{}", "c".repeat(64));
    let mut pod = review::pod("secretive", &image);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": "hush"}]);
    admit_within(&desk, "00", &review::pod("unsampled", &image));
    admit_within(&desk, "01", &pod);

    let spans = collector.spans("admission", CALLER);
    let whole: Vec<&Value> = spans.iter().filter(|span| span["name"] == "admission").collect();
    assert_eq!(whole.len(), 1, "the other trace is not kept: {spans:#?}");
    let whole = whole[0];
    assert_eq!(whole["trace"], TRACE);
    assert_eq!(whole["service"], "binauthz");
    assert_eq!(whole["kind"], "SPAN_KIND_SERVER");
    assert_eq!(
        whole["attributes"],
        json!({
            "binauthz.cluster": CLUSTER,
            "k8s.namespace.name": "default",
            "binauthz.kind": "Pod",
            "binauthz.verdict": "deny",
            "binauthz.reason": "ATTESTOR_WITHOUT_KEYS",
            "binauthz.effect": "ENFORCED",
            "binauthz.images": 1,
        })
    );
    let parts: Vec<&Value> = spans
        .iter()
        .filter(|span| span["parent"] == whole["span"])
        .collect();
    let names: Vec<&str> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
    assert_eq!(
        names,
        ["read", "plan", "gather", "decide", "record"],
        "{parts:#?}"
    );
    let nanos = |span: &Value, name: &str| span[name].as_u64().expect("a time");
    let mut from = nanos(whole, "begin");
    for part in parts {
        assert_eq!(part["trace"], TRACE);
        assert_eq!(nanos(part, "begin"), from, "{part:#?}");
        from = nanos(part, "end");
        assert!(nanos(part, "begin") <= from, "{part:#?}");
    }
    assert!(from <= nanos(whole, "end"));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    assert!(u128::from(nanos(whole, "end")).abs_diff(now.as_nanos()) < 60_000_000_000);
    let raw = collector.read("raw");
    for secret in [
        "hush",
        "PASSWORD",
        "secretive",
        "unattested",
        "jane@example.com",
        &desk.server.token,
    ] {
        assert!(!raw.contains(secret), "{secret}: {raw}");
    }
}

#[test]
fn a_call_of_the_api_is_a_span() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let settings = format!("otlpEndpoint: http://127.0.0.1:{}/\n", collector.port);
    let Some(desk) = Desk::with_configuration(PROGRAMS, &settings) else {
        return;
    };
    desk.ok(&format!(
        "curl -sS -H \"Authorization: Bearer $TOKEN\" -H 'traceparent: 00-{TRACE}-{CALLER}-01' \
         \"$API/v1/projects/demo/attestors/nobody\""
    ));
    let spans = collector.spans("binaryauthorization.GetAttestor", CALLER);
    let span = spans
        .iter()
        .find(|span| span["trace"] == TRACE)
        .expect("it is there");
    assert_eq!(span["attributes"]["binauthz.outcome"], "refused", "{span:#}");
    assert_eq!(
        span["attributes"]["rpc.service"], "binaryauthorization",
        "{span:#}"
    );
    assert_eq!(span["status"], "STATUS_CODE_UNSET", "{span:#}");
    let metrics = desk.ok(&format!("curl -sS {}/metrics", desk.server.health));
    metrics.says(&[
        "binauthz_traces_exported_total 1",
        "binauthz_traces_dropped_total 0",
    ]);
}

#[test]
fn a_collector_that_is_not_there_costs_nobody_anything() {
    let Some(desk) = Desk::with_configuration(PROGRAMS, "otlpEndpoint: http://127.0.0.1:1\n") else {
        return;
    };
    prepare(&desk);
    let image = format!("{IMAGES}/unattested@sha256:{}", "c".repeat(64));
    desk.admit(&review::pod("p", &image))
        .denied(&["No attestations found"]);
    let dropped = poll_until(Duration::from_secs(30), || {
        let metrics = desk
            .ok(&format!("curl -sS {}/metrics", desk.server.health))
            .stdout;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("binauthz_traces_dropped_total "))?;
        (!line.ends_with(" 0")).then_some(())
    });
    assert!(dropped.is_some());
    let without = Desk::with(PROGRAMS).expect("they are here");
    without
        .ok(&format!("curl -sS {}/metrics", without.server.health))
        .never_says("binauthz_traces");
}
