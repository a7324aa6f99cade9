//! What must not be written down: unfinished work, tests that do not run, one machine's paths, I/O in the pure
//! crates, and private keys outside of their own.

use super::Finding;
use super::files::{Tree, before_tests, is_test_module};

/// Written in pieces, so that this table does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Folders that exist on somebody's machine only.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/", "tmp/"),
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
];

/// `core`, `wire` and `keyring` neither panic nor look around: a panicking judge is a judge that was silenced.
const PURE: &[&str] = &["crates/core/src/", "crates/wire/src/", "crates/keyring/src/"];
const PANICS: &[&str] = &[".unwrap()", ".expect(", "panic!(", "unreachable!("];
const AROUND: &[&str] = &[
    "std::env",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "SystemTime::now",
    "Instant::now",
    "std::thread",
    "println!(",
    "print!(",
];

/// The halves of keys that sign. The benchmarks make their own inputs.
const SIGNING: &[&str] = &["EcdsaKeyPair", "RsaKeyPair", "Ed25519KeyPair", "rsa::KeyPair"];
const SIGNERS: &[&str] = &["crates/keyring/src/", "benches/src/", "xtask/src/"];

/// `core` types have no wire form of their own; signed statements are JSON and are read privately.
const SERDE_IN_CORE: &[&str] = &[
    "crates/core/src/payload.rs",
    "crates/core/src/signature/",
    "crates/core/src/strict_json.rs",
];

/// Finds every such place.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree
        .texts()
        .filter(|(path, _)| !path.ends_with(".lock") && !path.ends_with(".svg"))
    {
        machine_paths(path, text, &mut findings);
        if path.ends_with(".rs") {
            find(
                path,
                text,
                UNFINISHED,
                "is not allowed: finish it or leave it out",
                &mut findings,
            );
            if !is_test_module(path) {
                production(path, before_tests(text), &mut findings);
            }
        }
    }
    findings
}

fn production(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if PURE.iter().any(|pure| path.starts_with(pure)) {
        find(
            path,
            text,
            PANICS,
            "is not allowed in a crate that must not panic",
            findings,
        );
        find(
            path,
            text,
            AROUND,
            "is not allowed in a crate without I/O: take it as an argument",
            findings,
        );
    }
    if !SIGNERS.iter().any(|signer| path.starts_with(signer)) {
        find(path, text, SIGNING, "belongs in `crates/keyring`", findings);
    }
    let is_private_json = SERDE_IN_CORE.iter().any(|allowed| path.starts_with(allowed));
    if path.starts_with("crates/core/src/") && !is_private_json {
        find(
            path,
            text,
            &["Serialize", "Deserialize"],
            "belongs in `crates/wire`",
            findings,
        );
    }
}

fn find(path: &str, text: &str, words: &[&str], problem: &str, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        if is_comment(line) {
            continue;
        }
        for word in words.iter().filter(|word| line.contains(**word)) {
            findings.push(Finding::new(
                format!("{path}:{}", number + 1),
                format!("`{word}` {problem}"),
            ));
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn machine_paths(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        let names_one = MACHINE_FOLDERS.iter().any(|folder| {
            let followed = |(at, _): (usize, &str)| {
                let next = line.get(at + folder.len()..).and_then(|rest| rest.chars().next());
                // Part of a longer path or of a URL: somebody else's folder of that name.
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                next.is_some_and(|next| next.is_ascii_alphabetic())
                    && !before.is_some_and(|before| before.is_ascii_alphanumeric())
            };
            line.match_indices(folder).any(followed)
        });
        if names_one {
            let place = format!("{path}:{}", number + 1);
            findings.push(Finding::new(place, "names a folder of one machine".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut tree = Tree::default();
        tree.add(path, text);
        check(&tree)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn each_rule_has_its_twin() {
        let todo = concat!("    todo", "!()\n");
        let path = concat!("see /", "tmp/x\n");
        let cases: &[(&str, &str, bool)] = &[
            ("crates/cli/src/a.rs", todo, true),
            ("crates/cli/src/a.rs", "// nothing to do\n", false),
            ("docs/a.md", path, true),
            ("docs/a.md", "see https://example.test/root/a\n", false),
            ("crates/core/src/a.rs", "let a = b.unwrap();\n", true),
            ("crates/cli/src/a.rs", "let a = b.unwrap();\n", false),
            (
                "crates/core/src/a.rs",
                "#[cfg(test)]\nmod tests {\n    a.unwrap();\n}\n",
                false,
            ),
            ("crates/core/src/a/tests.rs", "a.unwrap();\n", false),
            ("crates/wire/src/a.rs", "use std::fs;\n", true),
            ("crates/store/src/a.rs", "use std::fs;\n", false),
            ("crates/wire/src/a.rs", "std::thread::sleep(a);\n", true),
            ("crates/wire/src/a.rs", "print!(\"a\");\n", true),
            ("crates/cli/src/a.rs", "print!(\"a\");\n", false),
            (
                "crates/server/src/a.rs",
                "let a = EcdsaKeyPair::generate();\n",
                true,
            ),
            (
                "crates/keyring/src/a.rs",
                "let a = EcdsaKeyPair::generate();\n",
                false,
            ),
            (
                "crates/core/tests/a.rs",
                "let a = EcdsaKeyPair::generate();\n",
                false,
            ),
            ("crates/core/src/policy/mod.rs", "#[derive(Serialize)]\n", true),
            ("crates/core/src/payload.rs", "#[derive(Deserialize)]\n", false),
        ];
        for (path, text, is_found) in cases {
            assert_eq!(!found(path, text).is_empty(), *is_found, "{path}: {text}");
        }
    }
}
