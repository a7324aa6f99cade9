//! What cargo says about packages and who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::CannotLook;

/// What ships. Other platforms pull in crates that no build of ours contains.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The resolved dependency graph, by package name (versions of one name are taken together).
#[derive(Debug, Default)]
pub struct Workspace {
    /// The packages of the workspace with what each names in its manifest.
    pub members: BTreeMap<String, Member>,
    /// Every resolved package with the packages it depends on directly.
    pub edges: BTreeMap<String, BTreeSet<String>>,
}

/// One package of ours.
#[derive(Debug, Default)]
pub struct Member {
    /// Packages in `[dependencies]` and `[build-dependencies]`.
    pub dependencies: BTreeSet<String>,
    /// Packages in `[dev-dependencies]`.
    pub dev_dependencies: BTreeSet<String>,
}

impl Workspace {
    /// Asks cargo, without the network.
    pub fn read(root: &Path) -> Result<Self, CannotLook> {
        let metadata = [
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            PLATFORM,
        ];
        let document: Value = serde_json::from_slice(&cargo(root, &metadata)?)
            .map_err(|error| CannotLook(format!("`cargo metadata` printed no JSON: {error}")))?;
        let mut workspace = Self::from_document(&document);
        // The graph of `cargo metadata` has edges of features nobody enables; `cargo tree` has what is built.
        let tree = [
            "tree",
            "--workspace",
            "--offline",
            "--target",
            PLATFORM,
            "--prefix",
            "none",
            "--format",
            "{p}",
        ];
        workspace.keep_only(&String::from_utf8_lossy(&cargo(root, &tree)?));
        Ok(workspace)
    }

    fn keep_only(&mut self, listing: &str) {
        let built: BTreeSet<&str> = listing
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        self.edges.retain(|name, _| built.contains(name.as_str()));
        for edges in self.edges.values_mut() {
            edges.retain(|name| built.contains(name.as_str()));
        }
    }

    fn from_document(document: &Value) -> Self {
        let ours: BTreeSet<&str> = strings(&document["workspace_members"]).collect();
        let mut workspace = Self::default();
        let mut names = BTreeMap::new();
        for package in items(&document["packages"]) {
            let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
                continue;
            };
            names.insert(id, name);
            if ours.contains(id) {
                workspace.members.insert(name.to_owned(), member(package));
            }
        }
        for node in items(&document["resolve"]["nodes"]) {
            let Some(name) = node["id"].as_str().and_then(|id| names.get(id)) else {
                continue;
            };
            let edges = workspace.edges.entry((*name).to_owned()).or_default();
            edges.extend(
                strings(&node["dependencies"])
                    .filter_map(|id| names.get(id))
                    .map(|&name| name.to_owned()),
            );
        }
        workspace
    }

    /// Who depends directly on `package`.
    pub fn dependents(&self, package: &str) -> BTreeSet<&str> {
        let depends = |edges: &BTreeSet<String>| edges.contains(package);
        self.edges
            .iter()
            .filter(|(_, edges)| depends(edges))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// A chain of dependencies from `from` to `to`, if there is one. Dev-dependencies of `from` do not count.
    pub fn chain(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let first = self.members.get(from).map(|member| &member.dependencies)?;
        let mut waiting: Vec<Vec<String>> = first
            .iter()
            .map(|name| vec![from.to_owned(), name.clone()])
            .collect();
        while let Some(chain) = waiting.pop() {
            let Some(last) = chain.last() else { continue };
            if last == to {
                return Some(chain);
            }
            if !seen.insert(last.clone()) {
                continue;
            }
            for next in self.edges.get(last).into_iter().flatten() {
                waiting.push(chain.iter().cloned().chain([next.clone()]).collect());
            }
        }
        None
    }
}

pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Result<Vec<u8>, CannotLook> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| CannotLook(format!("`cargo` did not start: {error}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(CannotLook(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

fn member(package: &Value) -> Member {
    let mut member = Member::default();
    for dependency in items(&package["dependencies"]) {
        let Some(name) = dependency["name"].as_str() else {
            continue;
        };
        let list = match dependency["kind"].as_str() {
            Some("dev") => &mut member.dev_dependencies,
            _ => &mut member.dependencies,
        };
        list.insert(name.to_owned());
    }
    member
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace() -> Workspace {
        Workspace::from_document(&json!({
            "workspace_members": ["a 1"],
            "packages": [
                {"id": "a 1", "name": "a", "dependencies": [{"name": "b", "kind": null}, {"name": "t", "kind": "dev"}]},
                {"id": "b 1", "name": "b", "dependencies": []},
                {"id": "c 1", "name": "c", "dependencies": []},
                {"id": "t 1", "name": "t", "dependencies": []}
            ],
            "resolve": {"nodes": [
                {"id": "a 1", "dependencies": ["b 1", "t 1"]},
                {"id": "b 1", "dependencies": ["c 1"]},
                {"id": "c 1", "dependencies": []},
                {"id": "t 1", "dependencies": ["c 1"]}
            ]}
        }))
    }

    #[test]
    fn a_chain_goes_through_what_others_depend_on() {
        assert_eq!(
            workspace().chain("a", "c"),
            Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn a_dev_dependency_is_no_chain() {
        assert_eq!(workspace().chain("a", "t"), None);
        assert!(workspace().members["a"].dev_dependencies.contains("t"));
    }

    #[test]
    fn what_is_not_built_is_not_in_the_graph() {
        let mut workspace = workspace();
        workspace.keep_only("a v1.0.0\nb v1.0.0\nt v1.0.0\n");
        assert_eq!(workspace.chain("a", "c"), None);
        assert_eq!(workspace.dependents("b"), BTreeSet::from(["a"]));
    }

    #[test]
    fn dependents_are_direct() {
        assert_eq!(workspace().dependents("c"), BTreeSet::from(["b", "t"]));
    }
}
