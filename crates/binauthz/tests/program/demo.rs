//! The demonstration, as a newcomer starts it.

use crate::common::{Run, program};

#[test]
fn the_story_is_true_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(
        &program()
            .arg("demo")
            .env("TMPDIR", folder.path())
            .output()
            .expect("the program starts"),
    );
    assert_eq!(run.code, 0, "{}\n{}", run.out, run.error);
    for sentence in [
        "denied by attestor projects/demo/attestors/image-signing-attestor: No attestations found",
        "✓ admitted: the signature was found and verified",
        "Emergency fix for incident INC-1234",
        "BREAK_GLASS",
        "DRY_RUN",
        "Every step came out as it should",
    ] {
        assert!(run.out.contains(sentence), "{sentence}\n{}", run.out);
    }
    for line in run.out.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert!(!line.contains('\u{1b}'), "coloured without a terminal: {line:?}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "something was left behind"
    );
}

#[test]
fn a_demonstration_that_cannot_be_played_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = program()
        .arg("demo")
        .env("TMPDIR", folder.path().join("missing"))
        .output();
    let run = Run::of(&run.expect("the program starts"));
    assert_eq!(run.code, 2, "{}", run.out);
    assert!(run.error.contains("could not make the folder"), "{}", run.error);
}
