//! Prose goes stale where it names things. What the documents name must exist.

use super::Finding;
use super::files::Tree;

/// A word in backticks that begins so is a path of the repository.
const FOLDERS: &[&str] = &[
    "crates/",
    "conformance/",
    "benches/",
    "docs/",
    "xtask/",
    ".ci/",
    "deploy/",
    "console/",
];

/// Documents a reader expects at the root.
const EXPECTED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "deny.toml",
    ".ci/run",
];

/// Finds documents that are missing and names in documents that lead nowhere.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let missing = EXPECTED.iter().filter(|path| !tree.holds(path));
    let mut findings: Vec<Finding> = missing.map(|path| Finding::new(*path, "is missing")).collect();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".md")) {
        for (number, line) in text.lines().enumerate() {
            for named in names(path, line) {
                if !tree.holds(&named) {
                    let place = format!("{path}:{}", number + 1);
                    findings.push(Finding::new(
                        place,
                        format!("names `{named}`, which does not exist"),
                    ));
                }
            }
        }
    }
    findings
}

fn names(document: &str, line: &str) -> Vec<String> {
    let mut names: Vec<String> = line
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(path_in_backticks)
        .collect();
    names.extend(line.split("](").skip(1).filter_map(|rest| link(document, rest)));
    names
}

fn path_in_backticks(word: &str) -> Option<String> {
    let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder));
    let is_pattern = word.contains(['*', '{', '<', '…', ' ']);
    let path = word.split("::").next().unwrap_or(word);
    let path = path.split(':').next().unwrap_or(path);
    (is_path && !is_pattern).then(|| path.to_owned())
}

fn link(document: &str, rest: &str) -> Option<String> {
    let target = rest.split(')').next()?.split('#').next()?;
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_are_recognised() {
        let line =
            "see `crates/core/src/decide.rs::plan`, `docs/*.md`, [a](../b.md#c), [d](https://e) and `serve`";
        assert_eq!(
            names("docs/guide/a.md", line),
            ["crates/core/src/decide.rs", "docs/b.md"]
        );
    }

    #[test]
    fn a_name_that_leads_nowhere_is_found_and_one_that_leads_somewhere_is_not() {
        let mut tree = Tree::default();
        for path in EXPECTED {
            tree.add(path, "");
        }
        tree.add("docs/a.md", "[b](b.md)\n");
        assert_eq!(
            check(&tree),
            [Finding::new(
                "docs/a.md:1",
                "names `docs/b.md`, which does not exist"
            )]
        );
        tree.add("docs/b.md", "");
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(check(&Tree::default()).len(), EXPECTED.len());
    }
}
