//! The API's own description, read and tried by a program that knows nothing else of it.

use std::process::Command;

use binauthz_conformance::{Desk, tools};

/// What must hold of every answer.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Some 270 addresses, 8 inputs each besides what the form itself suggests, a few milliseconds for one: half a minute. On a
/// busy machine it ends after a minute with what it has tried.
const BOUNDS: &str = "--max-examples=8 --max-time=60 --request-timeout=20";
/// The same inputs every time, of both kinds, good and bad; nothing is kept of them.
const INPUTS: &str = "--mode=all --phases=coverage,fuzzing --seed=1 --generation-database=none";

/// Whatever is sent where, in whatever form: no failure of the server's own, and every answer as the document says.
#[test]
fn odd_input_gets_an_answer_as_the_document_says() {
    let Some(desk) = Desk::with(&["schemathesis"]) else {
        return;
    };
    let schemathesis = tools::schemathesis().expect("it is here");
    let server = &desk.server;
    let output = Command::new(schemathesis)
        .args(["run", &format!("{}/openapi.json", server.api)])
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        .args(["--checks", CHECKS])
        .args(BOUNDS.split(' '))
        .args(INPUTS.split(' '))
        // It waits for verdicts that nobody asks for.
        .args(["--exclude-path-regex", ":follow$"])
        .args(["--no-color", "--warnings=off"])
        .current_dir(&server.data)
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.contains("No issues found"), "{said}");
}
