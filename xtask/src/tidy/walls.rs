//! Walls inside the server. Between crates the compiler keeps them; between the modules of one crate this does.

use super::Finding;
use super::files::{Tree, before_tests, is_test_module};

/// Under a folder, a module of the same crate that must not be named.
struct Wall {
    under: &'static str,
    module: &'static str,
    reason: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        under: "crates/server/src/admission/",
        module: "control",
        reason: "a verdict does not depend on the management API",
    },
    Wall {
        under: "crates/server/src/control/",
        module: "admission",
        reason: "the management API gives no verdicts",
    },
    Wall {
        under: "crates/server/src/audit/",
        module: "admission",
        reason: "the journal keeps what it is given, whoever gives it",
    },
    Wall {
        under: "crates/server/src/audit/",
        module: "control",
        reason: "the journal keeps what it is given, whoever gives it",
    },
    Wall {
        under: "crates/server/src/listen/",
        module: "admission",
        reason: "a listener hands requests on and knows neither plane",
    },
    Wall {
        under: "crates/server/src/listen/",
        module: "control",
        reason: "a listener hands requests on and knows neither plane",
    },
];

/// The one line by which a file goes through a wall. A further name on it is a further door.
struct Door {
    file: &'static str,
    line: &'static str,
}

const DOORS: &[Door] = &[
    // Whoever asks what a workload would get must hear what the webhook would say, so it is the same judge that
    // answers. It takes a workload, or what a record says of one, and returns a decision; nothing is recorded, nothing is
    // admitted.
    Door {
        file: "crates/server/src/control/decisions.rs",
        line: "use crate::admission::{again, judged, preview};",
    },
];

/// Finds every line that names what lies behind a wall, and every door nobody uses.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        if !path.ends_with(".rs") || is_test_module(path) {
            continue;
        }
        for wall in WALLS.iter().filter(|wall| path.starts_with(wall.under)) {
            for (number, line) in before_tests(text).lines().enumerate() {
                let line = line.trim();
                if names(line, wall.module) && !is_door(path, line) {
                    let problem = format!("`{}` is behind a wall: {}", wall.module, wall.reason);
                    findings.push(Finding::new(format!("{path}:{}", number + 1), problem));
                }
            }
        }
    }
    let unused = DOORS.iter().filter(|door| {
        tree.text(door.file)
            .is_some_and(|text| !text.lines().any(|line| line.trim() == door.line))
    });
    findings.extend(unused.map(|door| {
        let problem = format!(
            "has no line `{}`: take its door out of `xtask/src/tidy/walls.rs`",
            door.line
        );
        Finding::new(door.file, problem)
    }));
    findings
}

fn is_door(path: &str, line: &str) -> bool {
    DOORS.iter().any(|door| door.file == path && door.line == line)
}

/// Whether a line names the module: as part of a path, or in an import.
fn names(line: &str, module: &str) -> bool {
    if line.starts_with("//") {
        return false;
    }
    let is_import = line.starts_with("use ") || line.starts_with("pub(crate) use ");
    line.match_indices(module).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = &rest[module.len()..];
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '"';
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word) && !before.ends_with('.');
        whole && (is_import || before.ends_with("::") || after.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        let mut tree = Tree::default();
        tree.add(path, text);
        check(&tree).len()
    }

    #[test]
    fn each_way_through_a_wall_is_found_and_has_its_twin() {
        let (data, management) = (
            "crates/server/src/admission/a.rs",
            "crates/server/src/control/a.rs",
        );
        let cases = [
            (data, "use crate::control::call;\n", 1),
            (data, "use crate::control;\n", 1),
            (data, "use crate::{app::App, control};\n", 1),
            (data, "    let a = super::super::control::call();\n", 1),
            (data, "    control::call::Call,\n", 1),
            (data, "use crate::app::App;\n", 0),
            (data, "    let control = app.control;\n", 0),
            (data, "use crate::controls::call;\n", 0),
            (data, "// see crate::control::call\n", 0),
            (
                data,
                "#[cfg(test)]\nmod tests {\n    use crate::control::call;\n}\n",
                0,
            ),
            (management, "use crate::admission::judge_workload;\n", 1),
            (
                management,
                "use crate::admission::{describe, judge_workload};\n",
                1,
            ),
            (management, "    app.admissions.close();\n", 0),
            (management, "    json!({ \"admission\": 1 })\n", 0),
            (
                "crates/server/src/control/tests.rs",
                "use crate::admission::handle;\n",
                0,
            ),
            (
                "crates/server/src/run.rs",
                "use crate::{admission, control};\n",
                0,
            ),
            (
                "crates/server/src/audit/a.rs",
                "use crate::admission::entry;\n",
                1,
            ),
            ("crates/server/src/listen/a.rs", "use crate::control::call;\n", 1),
            ("crates/cli/src/control/a.rs", "use crate::admission::a;\n", 0),
        ];
        for (path, text, expected) in cases {
            assert_eq!(found(path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn a_door_is_one_line_of_one_file() {
        for door in DOORS {
            assert_eq!(found(door.file, &format!("{}\n", door.line)), 0);
            let wider = door.line.replace(';', "::wider;");
            // Both too much and nobody at the door.
            assert_eq!(found(door.file, &format!("{wider}\n")), 2);
            assert_eq!(found(door.file, "fn a() {}\n"), 1);
        }
    }
}
