//! The ban list of `deny.toml`, enforced here too: `cargo deny` is not on every machine, this test is.
//!
//! Only the form the file uses is understood: one `{ crate = "…", wrappers = ["…"], reason = "…" },` per line.

use super::Finding;
use super::metadata::Workspace;

/// A crate nobody but its wrappers may depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The name of the crate.
    pub package: String,
    /// The packages that may depend on it directly; none: it must not be in the graph at all.
    pub wrappers: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Reads the lines of the `deny` list.
pub fn parse(text: &str) -> Vec<Ban> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Ban> {
    let line = line.trim();
    if !line.starts_with("{ crate = ") {
        return None;
    }
    let wrappers = match line.split_once("wrappers = [") {
        Some((_, rest)) => quoted(rest.split_once(']')?.0),
        None => Vec::new(),
    };
    Some(Ban {
        package: value(line, "crate = ")?,
        wrappers,
        reason: value(line, "reason = ")?,
    })
}

fn value(line: &str, key: &str) -> Option<String> {
    quoted(line.split_once(key)?.1).into_iter().next()
}

fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Finds every dependent that is not a wrapper.
pub fn check(workspace: &Workspace, bans: &[Ban]) -> Vec<Finding> {
    if bans.is_empty() {
        return vec![Finding::new("deny.toml", "has no ban that could be read")];
    }
    let mut findings = Vec::new();
    for ban in bans {
        for dependent in workspace.dependents(&ban.package) {
            if !ban.wrappers.iter().any(|wrapper| wrapper == dependent) {
                let problem = format!("must not depend on `{}`: {}", ban.package, ban.reason);
                findings.push(Finding::new(dependent, problem));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const LIST: &str = r#"
deny = [
    { crate = "openssl", reason = "one TLS stack" },
    { crate = "rusqlite", wrappers = ["binauthz-store", "tool"], reason = "one writer" },
]
"#;

    fn workspace(dependent: &str, package: &str) -> Workspace {
        let edges = BTreeMap::from([(dependent.to_owned(), BTreeSet::from([package.to_owned()]))]);
        Workspace {
            members: BTreeMap::new(),
            edges,
        }
    }

    #[test]
    fn both_forms_are_read() {
        let bans = parse(LIST);
        assert_eq!(bans.len(), 2);
        assert_eq!(bans[0].wrappers, [""; 0]);
        assert_eq!(bans[1].wrappers, ["binauthz-store", "tool"]);
        assert_eq!(bans[1].reason, "one writer");
    }

    #[test]
    fn a_wrapper_may_and_another_may_not() {
        let bans = parse(LIST);
        assert_eq!(check(&workspace("binauthz-store", "rusqlite"), &bans), []);
        let found = check(&workspace("binauthz-server", "rusqlite"), &bans);
        assert_eq!(
            found,
            [Finding::new(
                "binauthz-server",
                "must not depend on `rusqlite`: one writer"
            )]
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_is_a_finding() {
        assert_eq!(check(&Workspace::default(), &parse("")).len(), 1);
    }
}
