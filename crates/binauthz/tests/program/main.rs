//! The program as it is started. (That this test exists is also what makes `cargo test --workspace` build the
//! program, which the black-box tests of `conformance` start.)

mod commands;
mod common;
mod decide;
mod demo;
mod doctor;
mod lists;
mod output;
mod release;

use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    common::program()
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn it_says_what_it_is() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("binauthz "));
}

#[test]
fn wrong_usage_ends_with_two() {
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(
        run(&["serve", "--dev"]).status.code(),
        Some(2),
        "`--data-dir` is required"
    );
}
