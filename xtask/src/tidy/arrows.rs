//! Dependencies point inwards: `core` ← `wire` ← { `keyring`, `registry`, `kubernetes`, `store` } ← { `server`, `cli` } ← `binauthz`.

use super::Finding;
use super::metadata::Workspace;

/// Which packages of ours each package may name. A package that is not here may not exist: adding one is a
/// decision about a border, written down in `docs/decisions/`.
const ARROWS: &[(&str, &[&str])] = &[
    ("binauthz-core", &[]),
    ("binauthz-wire", &["binauthz-core"]),
    ("binauthz-keyring", &[]),
    ("binauthz-registry", &["binauthz-core"]),
    ("binauthz-kubernetes", &["binauthz-core", "binauthz-wire"]),
    ("binauthz-store", &[]),
    (
        "binauthz-server",
        &[
            "binauthz-core",
            "binauthz-keyring",
            "binauthz-kubernetes",
            "binauthz-registry",
            "binauthz-store",
            "binauthz-wire",
        ],
    ),
    (
        "binauthz-cli",
        &[
            "binauthz-core",
            "binauthz-keyring",
            "binauthz-kubernetes",
            "binauthz-wire",
        ],
    ),
    ("binauthz", &["binauthz-cli", "binauthz-server"]),
    // Black boxes: they know the program by its ports and its output only.
    ("binauthz-conformance", &[]),
    // May build inputs with the judge's own types, fill a store to measure it and ask a cluster, with the load driver of the
    // command line and the databases of the black-box tests, but starts the real program.
    (
        "binauthz-benches",
        &[
            "binauthz-cli",
            "binauthz-conformance",
            "binauthz-core",
            "binauthz-kubernetes",
            "binauthz-server",
            "binauthz-store",
            "binauthz-wire",
        ],
    ),
    // Reads with every decoder of the pure crates.
    (
        "binauthz-fuzz",
        &["binauthz-core", "binauthz-keyring", "binauthz-wire"],
    ),
    ("xtask", &[]),
];

/// What the pure crates must not reach, however many steps away: a runtime, a socket, a database, a log.
const PURE: &[&str] = &["binauthz-core", "binauthz-wire", "binauthz-keyring"];
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "http",
    "reqwest",
    "rusqlite",
    "sqlx",
    "rustls",
    "tracing",
    "axum",
];
/// What they must not name themselves. OpenPGP brings both, for what is never called here.
const NOT_NAMED: &[&str] = &["rand", "rand_core", "getrandom", "log"];

/// Checks every package of the workspace against the table above.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, member) in &workspace.members {
        let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| package == name) else {
            findings.push(Finding::new(
                name,
                "is not in the table of `xtask/src/tidy/arrows.rs`",
            ));
            continue;
        };
        for dependency in member.dependencies.union(&member.dev_dependencies) {
            let is_ours = workspace.members.contains_key(dependency);
            if is_ours && dependency != name && !allowed.contains(&dependency.as_str()) {
                findings.push(Finding::new(name, format!("must not depend on `{dependency}`")));
            }
        }
    }
    for pure in PURE {
        let member = workspace.members.get(*pure);
        let named = NOT_NAMED
            .iter()
            .filter(|name| member.is_some_and(|member| member.dependencies.contains(**name)));
        findings.extend(named.map(|name| Finding::new(*pure, format!("must not depend on `{name}`"))));
        for impure in IMPURE {
            if let Some(chain) = workspace.chain(pure, impure) {
                findings.push(Finding::new(
                    *pure,
                    format!("reaches `{impure}`: {}", chain.join(" → ")),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::metadata::Member;
    use super::*;

    fn workspace(members: &[(&str, &[&str])], edges: &[(&str, &[&str])]) -> Workspace {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let member = |names| Member {
            dependencies: set(names),
            dev_dependencies: BTreeSet::new(),
        };
        Workspace {
            members: members
                .iter()
                .map(|&(name, names)| (name.to_owned(), member(names)))
                .collect(),
            edges: edges
                .iter()
                .map(|&(name, names)| (name.to_owned(), set(names)))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn an_arrow_inwards_is_fine() {
        let workspace = workspace(
            &[
                ("binauthz-core", &["serde"]),
                ("binauthz-wire", &["binauthz-core"]),
            ],
            &[],
        );
        assert_eq!(check(&workspace), []);
    }

    #[test]
    fn an_arrow_outwards_is_found() {
        let workspace = workspace(
            &[("binauthz-core", &["binauthz-wire"]), ("binauthz-wire", &[])],
            &[],
        );
        assert_eq!(
            check(&workspace),
            [Finding::new(
                "binauthz-core",
                "must not depend on `binauthz-wire`"
            )]
        );
    }

    #[test]
    fn a_runtime_behind_another_crate_is_found() {
        let workspace = workspace(&[("binauthz-core", &["helper"])], &[("helper", &["tokio"])]);
        let found = check(&workspace);
        assert_eq!(
            found,
            [Finding::new(
                "binauthz-core",
                "reaches `tokio`: binauthz-core → helper → tokio"
            )]
        );
    }

    #[test]
    fn randomness_is_found_where_it_is_named_and_not_behind_another_crate() {
        let named = workspace(&[("binauthz-core", &["rand"])], &[]);
        assert_eq!(
            check(&named),
            [Finding::new("binauthz-core", "must not depend on `rand`")]
        );
        let behind = workspace(&[("binauthz-core", &["pgp"])], &[("pgp", &["rand"])]);
        assert_eq!(check(&behind), []);
        assert_eq!(check(&workspace(&[("binauthz-server", &["rand"])], &[])), []);
    }

    #[test]
    fn an_unknown_package_is_found() {
        assert_eq!(check(&workspace(&[("binauthz-new", &[])], &[])).len(), 1);
    }
}
