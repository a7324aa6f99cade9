//! Google's own Python clients, over REST and, as they do it by themselves, over gRPC.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Desk, review, tools};

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

fn main_flow(desk: &Desk, transport: &str) {
    let image = format!("{IMAGES}/myservice@sha256:{}", "b".repeat(64));
    let mut shell = desk.shell.clone();
    shell.set("IMAGE", image.as_str());
    shell.set("TRANSPORT", transport);
    let authority = desk.server.webhook_ca().display().to_string();
    shell.set("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", authority);
    shell.set(
        "SCRIPT",
        concat!(env!("CARGO_MANIFEST_DIR"), "/python/main_flow.py"),
    );
    shell.set(
        "PYTHON",
        tools::python().map_or_else(String::new, |path| path.display().to_string()),
    );
    desk.admit(&review::pod("p", &image)).denied(&[]);
    shell
        .run("\"$PYTHON\" \"$SCRIPT\"")
        .ok()
        .says(&["signed and verified"]);
    desk.admit(&review::pod("p", &image)).admitted();
}
