//! The repository keeps its own rules.

#[test]
fn the_tree_is_tidy() {
    let findings = xtask::tidy::run(&xtask::repository_root()).expect("the checkout can be read");
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n{} findings", list.join("\n"), list.len());
}
