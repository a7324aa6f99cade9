//! The house rules that a compiler does not know: which way dependencies point, how long things may get,
//! what must not be written down. `xtask/tests/tidy.rs` runs this, so breaking a rule breaks a test.

use std::fmt;
use std::path::Path;

pub mod arrows;
pub mod bans;
pub mod budgets;
pub mod bypasses;
pub mod documents;
pub mod files;
pub mod metadata;
pub mod walls;
pub mod words;

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a path, a path with a line, or the name of a package.
    pub place: String,
    /// What is wrong there and what is expected.
    pub problem: String,
}

impl Finding {
    /// A finding about `place`.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

/// Why the tree could not be read at all.
#[derive(Debug)]
pub struct CannotLook(pub String);

impl fmt::Display for CannotLook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for CannotLook {}

/// Every finding in the checkout at `root`.
pub fn run(root: &Path) -> Result<Vec<Finding>, CannotLook> {
    let tree = files::Tree::read(root)?;
    let workspace = metadata::Workspace::read(root)?;
    let ban_list = tree.text("deny.toml").unwrap_or_default();

    let mut findings = arrows::check(&workspace);
    findings.extend(bans::check(&workspace, &bans::parse(ban_list)));
    findings.extend(budgets::check(&tree));
    findings.extend(words::check(&tree));
    findings.extend(walls::check(&tree));
    findings.extend(documents::check(&tree));
    findings.extend(bypasses::check(&tree));
    Ok(findings)
}
