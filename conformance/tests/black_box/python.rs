//! Google's own Python clients, over REST.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{review, tools};

use crate::signatures::prepared;

#[test]
fn the_main_flow() {
    let Some(desk) = prepared(&["python-clients"]) else {
        return;
    };
    let image = format!("{IMAGES}/myservice@sha256:{}", "b".repeat(64));
    let mut shell = desk.shell.clone();
    shell.set("IMAGE", image.as_str());
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
