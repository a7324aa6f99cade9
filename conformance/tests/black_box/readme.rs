//! What the README tells a reader to type for `gcloud` is typed.

use std::path::Path;

use binauthz_conformance::shell::Shell;
use binauthz_conformance::tools;

/// Stands in for what a test has not: a build, and ports that are nobody else's. Nobody waits for a server that is gone.
const PRELUDE: &str = r#"
cargo() { :; }
binauthz() {
    if [ "$1" = serve ]; then
        exec "$PROGRAM" "$@" --api-listen=127.0.0.1:0 --webhook-listen=127.0.0.1:0 --health-listen=127.0.0.1:0 2> server.log
    fi
    "$PROGRAM" "$@"
}
sleep() { kill -0 $! && command sleep "$@"; }
trap 'kill $! 2> /dev/null || true' EXIT
"#;

#[test]
fn the_commands_of_the_readme_do_what_they_say() {
    if !tools::needs(&["gcloud"]) {
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let typed = readme
        .split("## Try it with gcloud")
        .nth(1)
        .and_then(|rest| rest.split("```sh\n").nth(1))
        .and_then(|rest| rest.split("```").next())
        .expect("the README shows commands");
    assert!(
        typed.contains("binauthz serve --dev") && typed.contains("gcloud "),
        "{typed}"
    );
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut shell = Shell::new(folder.path());
    shell.set("PROGRAM", tools::binauthz().display().to_string());
    let stopped = "kill $!; wait $! || true; [ ! -e data/addresses.json ] && echo 'the address is gone'";
    shell
        .run(&format!("{PRELUDE}\n{typed}\n{stopped}"))
        .ok()
        .says(&["evaluationMode: ALWAYS_ALLOW", "the address is gone"]);
}
