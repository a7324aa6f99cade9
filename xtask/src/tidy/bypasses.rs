//! The table of known bypasses is a promise: every row names the test that keeps it, and that test is one.

use std::collections::BTreeSet;

use super::Finding;
use super::files::Tree;

const TABLE: &str = "docs/known-bypasses.md";
/// What a row says that has no test.
const NOT_YET: &str = "not there yet: ";

/// Finds rows without a test or a reason, rows of one id, and names of tests that are none.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, line) in tree.text(TABLE).unwrap_or_default().lines().enumerate() {
        let Some(cells) = row(line) else { continue };
        let mut found =
            |problem: String| findings.push(Finding::new(format!("{TABLE}:{}", number + 1), problem));
        let [id, _, _, tests] = cells.as_slice() else {
            found(format!(
                "has {} cells, expected id, flaw, rule and test",
                cells.len()
            ));
            continue;
        };
        if !seen.insert((*id).to_owned()) {
            found(format!("`{id}` has a row already"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !tests.starts_with(NOT_YET) {
            found(format!("`{id}` names no test, and no reason after `{NOT_YET}`"));
        }
        for name in named
            .into_iter()
            .filter(|name| name.contains('/') && !is_test(tree, name))
        {
            found(format!("`{name}` is no test"));
        }
    }
    findings
}

/// The cells of a row of a table; none for what heads one.
fn row(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split(" | ").map(str::trim).collect();
    let first = cells.first()?;
    let is_head = *first == "id" || first.starts_with('-');
    (!is_head).then_some(cells)
}

/// Whether `FILE::NAME` is a test of that file, or `FILE` a file of tests alone.
fn is_test(tree: &Tree, name: &str) -> bool {
    match name.split_once("::") {
        None => name.contains("/tests/") && tree.text(name).is_some(),
        Some((file, item)) => tree.text(file).is_some_and(|text| has_test(text, item)),
    }
}

/// Attributes stand above a function, the one that makes it a test among them.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let begins = line.trim_start_matches("async ").starts_with(&head);
        let above = lines.get(..at).unwrap_or_default().iter().rev();
        let mut attributes = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        begins && attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Known bypasses\n\n| id | the flaw | the rule | the test |\n|---|---|---|---|\n";

    fn found(rows: &str) -> usize {
        let mut tree = Tree::default();
        let tests = "#[test]\nfn one() {}\n\n/// Says why.\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n\n\
                     fn helper() {}\n\nproptest! {\n    /// Holds.\n    #[test]\n    fn three(a in 0..1) {}\n}\n";
        tree.add("crates/a/tests/t.rs", tests);
        tree.add("crates/a/src/lib.rs", "pub fn one() {}\n");
        tree.add(TABLE, &format!("{HEAD}{rows}"));
        check(&tree).len()
    }

    #[test]
    fn every_row_names_its_test_or_says_why_there_is_none() {
        let cases = [
            ("| A | f | r | `crates/a/tests/t.rs::one` |\n", 0),
            (
                "| A | f | r | `crates/a/tests/t.rs::two`, `crates/a/tests/t.rs::three` |\n",
                0,
            ),
            ("| A | f | r | `crates/a/tests/t.rs` |\n", 0),
            ("| A | f | r | not there yet: nobody does it |\n", 0),
            ("| A | f | r | |\n", 1),
            ("| A | f | r | it is fine |\n", 1),
            ("| A | f | r | `crates/a/tests/t.rs::four` |\n", 1),
            ("| A | f | r | `crates/a/tests/t.rs::helper` |\n", 1),
            ("| A | f | r | `crates/a/src/lib.rs::one` |\n", 1),
            ("| A | f | r | `crates/a/src/lib.rs` |\n", 1),
            ("| A | f | r | `crates/a/tests/u.rs::one` |\n", 1),
            ("| A | f | `crates/a/tests/t.rs::one` |\n", 1),
            (
                "| A | f | r | `crates/a/tests/t.rs` |\n| A | f | r | `crates/a/tests/t.rs` |\n",
                1,
            ),
        ];
        for (rows, expected) in cases {
            assert_eq!(found(rows), expected, "{rows}");
        }
    }
}
