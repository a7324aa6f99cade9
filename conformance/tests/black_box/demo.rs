//! `binauthz demo` tells a true story, and the README shows what it prints.

use std::path::Path;

use binauthz_conformance::guide::first_missing;
use binauthz_conformance::shell::Shell;
use binauthz_conformance::tools;

#[test]
fn the_story_ends_well_and_the_readme_quotes_it() {
    if !tools::needs(&["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut shell = Shell::new(folder.path());
    shell.set("DEMO", tools::binauthz().display().to_string());
    let ran = shell.run("\"$DEMO\" demo").ok();
    ran.clone()
        .says(&["NO_ATTESTATIONS", "BREAK_GLASS", "DRY_RUN", "INC-1234"]);

    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let quoted = readme
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let quoted: Vec<String> = quoted
        .expect("the README quotes the demo")
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect();
    if let Some(line) = first_missing(&quoted, &ran.stdout) {
        panic!("the README quotes\n{line}\nbut the demo printed\n{ran}");
    }
}
