//! A short form of the measurement of the same name, so that it holds whenever the tests do.

use std::io::Write as _;
use std::process::Command;

use binauthz_conformance::tools;

/// Some ten kills.
const SECONDS: &str = "20";

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed() {
    if !tools::needs(&["PostgreSQL"]) {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_binauthz-benches"))
        .args(["kills", SECONDS])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    // Not `println!`: the harness would swallow it.
    let _ = writeln!(std::io::stdout(), "{text}");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
