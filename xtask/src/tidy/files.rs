//! The text files of the checkout, read once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::CannotLook;

/// Every text file that git tracks or would add, by its path from the root.
#[derive(Debug, Default)]
pub struct Tree {
    texts: BTreeMap<String, String>,
    others: Vec<String>,
}

impl Tree {
    /// Reads what `git ls-files` names, tracked or not yet added.
    pub fn read(root: &Path) -> Result<Self, CannotLook> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|error| CannotLook(format!("`git ls-files` did not start: {error}")))?;
        if !listing.status.success() {
            return Err(CannotLook(String::from_utf8_lossy(&listing.stderr).into_owned()));
        }
        let mut tree = Self::default();
        for path in String::from_utf8_lossy(&listing.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
        {
            match std::fs::read(root.join(path)).map(String::from_utf8) {
                Ok(Ok(text)) => tree.add(path, &text),
                // Binary, or deleted in the work tree but not yet in the index.
                Ok(Err(_)) => tree.others.push(path.to_owned()),
                Err(_) => {}
            }
        }
        Ok(tree)
    }

    /// Puts one file in; tests build trees this way.
    pub fn add(&mut self, path: &str, text: &str) {
        self.texts.insert(path.to_owned(), text.to_owned());
    }

    /// The text of the file at `path`.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All text files: path and text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files whose text is compiled into something that ships or that helps to build it.
    pub fn production_sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts()
            .filter(|(path, _)| path.ends_with(".rs") && path.contains("/src/") && !is_test_module(path))
    }

    /// Whether `path` is a file or a folder of the checkout.
    pub fn holds(&self, path: &str) -> bool {
        let wanted = path.trim_end_matches('/');
        let within = |name: &str| {
            name == wanted
                || name
                    .strip_prefix(wanted)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.texts.keys().any(|name| within(name)) || self.others.iter().any(|name| within(name))
    }
}

/// Whether the whole file is a module of unit tests, kept apart from what it tests.
pub fn is_test_module(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The part of a source file before its unit tests.
pub fn before_tests(text: &str) -> &str {
    let mut offset = 0;
    let mut attribute = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some(start) = attribute.take()
            && (trimmed.starts_with("mod ") || trimmed.starts_with("pub mod "))
        {
            return text.get(..start).unwrap_or(text);
        }
        if trimmed == "#[cfg(test)]" {
            attribute = Some(offset);
        }
        offset += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_are_cut_off_and_helpers_under_cfg_test_are_not() {
        let text = "fn a() {}\n#[cfg(test)]\nfn helper() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(before_tests(text), "fn a() {}\n#[cfg(test)]\nfn helper() {}\n");
        assert_eq!(before_tests("fn a() {}\n"), "fn a() {}\n");
    }

    #[test]
    fn a_folder_is_held_when_a_file_lies_under_it() {
        let mut tree = Tree::default();
        tree.add("docs/guide/one.md", "");
        assert!(tree.holds("docs/guide/"));
        assert!(tree.holds("docs/guide/one.md"));
        assert!(!tree.holds("docs/gui"));
    }
}
