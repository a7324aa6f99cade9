//! Where answers go, and whose word counts.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::common::{Run, Server};

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let server = Server::start();
    server.write(
        "m.yaml",
        "{apiVersion: v1, kind: Pod, spec: {containers: [{image: a}]}}",
    );
    server.done("clusters create c --location=zone-a");
    for typed in [
        "policy export",
        "attestors list --format=json",
        "snapshot export",
        "completion bash",
        "decide m.yaml",
        "demo",
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux");
        let output = server
            .command(typed)
            .stdout(full)
            .output()
            .expect("the program starts");
        let run = Run::of(&output);
        assert_eq!(run.code, 2, "{typed}: {}", run.error);
        assert!(
            run.error.contains("could not write the answer"),
            "{typed}: {}",
            run.error
        );
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let server = Server::start();
    let mut child = server
        .command("completion bash")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let run = Run::of(&child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.error.as_str()), (0, ""));
}

#[test]
fn what_is_typed_beats_the_environment() {
    let server = Server::start();
    let data = server.path().join("data");
    let data = data.display();
    let elsewhere = [
        ("BINAUTHZ_SERVER", "http://127.0.0.1:1"),
        ("BINAUTHZ_TOKEN", "wrong"),
    ];
    let typed = server
        .command(&format!("--data-dir {data} policy export"))
        .envs(elsewhere)
        .output()
        .expect("the program starts");
    assert_eq!(Run::of(&typed).code, 0, "{}", Run::of(&typed).error);
    let after = server
        .command(&format!("policy export --data-dir {data}"))
        .envs(elsewhere)
        .output()
        .expect("the program starts");
    assert_eq!(Run::of(&after).code, 0, "{}", Run::of(&after).error);
    let environment = server
        .command("policy export")
        .envs(elsewhere)
        .output()
        .expect("the program starts");
    assert_eq!(Run::of(&environment).code, 2, "the environment's server is asked");
    let token = server.read("data/admin.token");
    let file = server
        .command(&format!("policy export --token {}", token.trim()))
        .env("BINAUTHZ_TOKEN_FILE", "/no/such/file")
        .output()
        .expect("the program starts");
    assert_eq!(Run::of(&file).code, 0, "{}", Run::of(&file).error);
}
