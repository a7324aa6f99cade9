//! Google's own Python clients, over REST and, as they do it by themselves, over gRPC.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::shell::Shell;
use binauthz_conformance::{Desk, review, tools};
use serde_json::json;

use crate::signatures::{prepare, prepared};

const CLIENTS: &[&str] = &["python-clients"];

#[test]
fn the_main_flow() {
    if let Some(desk) = prepared(CLIENTS) {
        main_flow(&desk, "rest");
    }
}

#[test]
fn the_main_flow_over_grpc() {
    if let Some(desk) = Desk::secure(CLIENTS) {
        prepare(&desk);
        main_flow(&desk, "grpc");
    }
}

#[test]
fn the_main_flow_over_grpc_without_tls() {
    if let Some(desk) = prepared(CLIENTS) {
        main_flow(&desk, "grpc-insecure");
    }
}

#[test]
fn log_entries_over_http() {
    if let Some(desk) = prepared(CLIENTS) {
        log_entries(&desk, "http");
    }
}

#[test]
fn log_entries_over_grpc() {
    if let Some(desk) = Desk::secure(CLIENTS) {
        prepare(&desk);
        log_entries(&desk, "grpc");
    }
}

#[test]
fn log_entries_over_grpc_without_tls() {
    if let Some(desk) = prepared(CLIENTS) {
        log_entries(&desk, "grpc-insecure");
    }
}

#[test]
fn monitoring_over_grpc() {
    if let Some(desk) = Desk::secure(CLIENTS) {
        prepare(&desk);
        monitoring(&desk, "grpc");
    }
}

#[test]
fn monitoring_over_grpc_without_tls() {
    if let Some(desk) = prepared(CLIENTS) {
        monitoring(&desk, "grpc-insecure");
    }
}

/// The program makes the metric, waits until the file tells that something was denied, and asks for the count.
fn monitoring(desk: &Desk, transport: &str) {
    let image = format!("{IMAGES}/hotfix:latest");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/monitoring.py");
    let shell = python(desk, script, transport);
    shell
        .run("\"$PYTHON\" \"$SCRIPT\" define")
        .ok()
        .says(&["defined"]);
    for _ in 0..3 {
        desk.admit(&review::pod("p", &image)).denied(&[]);
    }
    shell
        .run("\"$PYTHON\" \"$SCRIPT\" read")
        .ok()
        .says(&["counted 3"]);
}

fn log_entries(desk: &Desk, transport: &str) {
    let image = format!("{IMAGES}/hotfix:latest");
    let why = json!({"alpha.image-policy.k8s.io/break-glass": "Emergency fix for incident INC-1234"});
    desk.admit(&review::deployment("emergency-fix", &image, &why))
        .admitted();
    desk.admit(&review::pod("p", &image)).denied(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/entries.py");
    python(desk, script, transport)
        .run("\"$PYTHON\" \"$SCRIPT\"")
        .ok()
        .says(&["found"]);
}

/// A shell for a program of Python that speaks to the server by this transport.
fn python(desk: &Desk, script: &str, transport: &str) -> Shell {
    let mut shell = desk.shell.clone();
    shell.set("TRANSPORT", transport);
    let authority = desk.server.webhook_ca().display().to_string();
    shell.set("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", authority);
    shell.set("SCRIPT", script);
    let python = tools::python().map_or_else(String::new, |path| path.display().to_string());
    shell.set("PYTHON", python);
    shell
}

fn main_flow(desk: &Desk, transport: &str) {
    let image = format!("{IMAGES}/myservice@sha256:{}", "b".repeat(64));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/main_flow.py");
    let mut shell = python(desk, script, transport);
    shell.set("IMAGE", image.as_str());
    desk.admit(&review::pod("p", &image)).denied(&[]);
    shell
        .run("\"$PYTHON\" \"$SCRIPT\"")
        .ok()
        .says(&["signed and verified"]);
    desk.admit(&review::pod("p", &image)).admitted();
}
