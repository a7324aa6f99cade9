//! The API's own description, read and tried by a program that knows nothing else of it.

use std::process::Command;

use binauthz_conformance::{Desk, tools};

/// Inputs for each address. There are some 220 addresses, and one takes milliseconds: half a minute in all.
const EXAMPLES: &str = "8";

/// Whatever is sent where, in whatever form: no failure of the server's own, and every answer as the document says.
#[test]
fn odd_input_gets_an_answer_as_the_document_says() {
    let Some(desk) = Desk::with(&["schemathesis"]) else {
        return;
    };
    let schemathesis = tools::schemathesis().expect("it is here");
    let server = &desk.server;
    let output = Command::new(schemathesis)
        .arg("run")
        .arg(format!("{}/openapi.json", server.api))
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args([
            "--mode",
            "all",
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
            "--seed",
            "1",
        ])
        // It waits for verdicts that nobody asks for.
        .args(["--exclude-path-regex", ":follow$", "--no-color"])
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("No issues found"), "{said}");
}
