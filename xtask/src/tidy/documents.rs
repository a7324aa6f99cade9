//! Prose goes stale where it names things. What the documents and the comments name must exist: files, folders,
//! headings, and what `FILE::NAME` says is in the file.

use super::Finding;
use super::files::Tree;

/// A word in backticks that begins so is a path of the repository.
const FOLDERS: &[&str] = &[
    "crates/",
    "conformance/",
    "benches/",
    "fuzz/",
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
    for (path, text) in tree.texts() {
        let is_document = path.ends_with(".md");
        if !is_document && !path.ends_with(".rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let is_prose = is_document || line.trim_start().starts_with("//");
            let mut named = if is_prose { in_backticks(line) } else { Vec::new() };
            if is_document {
                named.extend(line.split("](").skip(1).filter_map(|rest| link(path, rest)));
            }
            for problem in named.iter().filter_map(|name| name.problem(tree)) {
                findings.push(Finding::new(format!("{path}:{}", number + 1), problem));
            }
        }
    }
    findings
}

/// Something of the repository that a text names.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    path: String,
    part: Part,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// `FILE::ITEM`
    Item(String),
    /// `[…](FILE#HEADING)`
    Heading(String),
}

impl Name {
    fn problem(&self, tree: &Tree) -> Option<String> {
        let path = &self.path;
        if !tree.holds(path) {
            return Some(format!("names `{path}`, which does not exist"));
        }
        let text = tree.text(path).unwrap_or_default();
        match &self.part {
            Part::Whole => None,
            Part::Item(item) if text.split(|letter| !is_word(letter)).any(|word| word == item) => None,
            Part::Item(item) => Some(format!("names `{item}` of `{path}`, which is not there")),
            Part::Heading(heading) if headings(text).any(|known| known == *heading) => None,
            Part::Heading(heading) => Some(format!("leads to `{path}#{heading}`, which is no heading there")),
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The headings of a document as they are linked to: lower case, hyphens for spaces, no other signs.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    titles.map(|title| {
        let kept = title
            .chars()
            .filter(|letter| is_word(*letter) || matches!(letter, ' ' | '-'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}

fn in_backticks(line: &str) -> Vec<Name> {
    line.split('`').skip(1).step_by(2).filter_map(path_name).collect()
}

fn path_name(word: &str) -> Option<Name> {
    let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder));
    if !is_path || word.contains(['*', '{', '<', '…', ' ']) {
        return None;
    }
    let (path, part) = match word.split_once("::") {
        Some((path, item)) => {
            let item = item.rsplit("::").next().unwrap_or(item);
            (path, Part::Item(item.trim_end_matches("()").to_owned()))
        }
        None => (word.split(':').next().unwrap_or(word), Part::Whole),
    };
    Some(Name {
        path: path.to_owned(),
        part,
    })
}

fn link(document: &str, rest: &str) -> Option<Name> {
    let target = rest.split(')').next()?;
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (target, part) = match target.split_once('#') {
        Some((target, heading)) => (target, Part::Heading(heading.to_owned())),
        None => (target, Part::Whole),
    };
    let mut path: Vec<&str> = document.split('/').collect();
    if target.is_empty() {
        let is_heading = part != Part::Whole;
        return is_heading.then(|| Name {
            path: document.to_owned(),
            part,
        });
    }
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
    Some(Name {
        path: path.join("/"),
        part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_are_recognised() {
        let name = |path: &str, part| Name {
            path: path.to_owned(),
            part,
        };
        let line = "see `crates/core/src/decide.rs::plan`, `xtask/src/main.rs:3`, `docs/*.md` and `serve`";
        assert_eq!(
            in_backticks(line),
            [
                name("crates/core/src/decide.rs", Part::Item("plan".to_owned())),
                name("xtask/src/main.rs", Part::Whole)
            ]
        );
        let at = |rest| link("docs/guide/a.md", rest);
        assert_eq!(
            at("../b.md#c)"),
            Some(name("docs/b.md", Part::Heading("c".to_owned())))
        );
        assert_eq!(at("b.md) and"), Some(name("docs/guide/b.md", Part::Whole)));
        assert_eq!(
            at("#c)"),
            Some(name("docs/guide/a.md", Part::Heading("c".to_owned())))
        );
        for elsewhere in ["https://e)", "mailto:a@b)", ")"] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn items_and_headings_must_be_there_and_comments_count() {
        let cases = [
            ("docs/a.md", "`crates/a/src/b.rs::judge`", 0),
            ("docs/a.md", "`crates/a/src/b.rs::Judge::judge()`", 0),
            ("docs/a.md", "`crates/a/src/b.rs::jud`", 1),
            ("docs/a.md", "[b](b.md#what-its-for)", 0),
            ("docs/a.md", "[b](b.md#what-it-is-for)", 1),
            ("crates/a/src/c.rs", "    // see `docs/b.md`", 0),
            ("crates/a/src/c.rs", "/// see `docs/c.md`", 1),
            ("crates/a/src/c.rs", "let a = \"`docs/c.md`\";", 0),
            ("crates/a/src/c.rs", "// [c](c.md)", 0),
            ("docs/a.txt", "`docs/c.md`", 0),
        ];
        for (path, text, expected) in cases {
            let mut tree = Tree::default();
            for path in EXPECTED {
                tree.add(path, "");
            }
            tree.add("crates/a/src/b.rs", "pub fn judge() {}\n");
            tree.add("docs/b.md", "# B\n\n## What it's for\n");
            tree.add(path, text);
            assert_eq!(check(&tree).len(), expected, "{path}: {text}");
        }
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
