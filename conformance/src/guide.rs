//! Plays the chapters of `docs/guide/` as a reader would: what stands in a fenced block is what is run.
//!
//! | fence | meaning |
//! |---|---|
//! | `sh` | run it; it must end well |
//! | `sh fails` | run it; it must not end well |
//! | `sh cluster`, `sh cluster fails` | the same, in a real cluster; left out where there is none |
//! | `sh elsewhere` | not run: the harness has done it (starting servers), or it needs what a test has not |
//! | `yaml` whose first line is `# NAME.yaml` | save it under that name |
//! | `text` right after a run block | what it prints: each line must occur, in this order; `…` stands for anything |
//!
//! All blocks of a chapter run in one bash, so a variable set above is there below.

use std::fmt::Write as _;

use crate::Desk;

/// One thing a reader does.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Saves a file.
    Save {
        /// Under this name.
        name: String,
        /// With this text.
        text: String,
    },
    /// Types a command.
    Run {
        /// What is typed.
        script: String,
        /// Whether it is meant to fail.
        fails: bool,
        /// Whether it needs a cluster.
        in_cluster: bool,
        /// What the reader is told to expect.
        expected: Vec<String>,
    },
}

/// Reads the steps out of a chapter.
pub fn steps(markdown: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .collect();
        match (fence, steps.last_mut()) {
            ("sh" | "sh fails" | "sh cluster" | "sh cluster fails", _) => steps.push(Step::Run {
                script: body.join("\n"),
                fails: fence.ends_with(" fails"),
                in_cluster: fence.contains(" cluster"),
                expected: Vec::new(),
            }),
            ("text", Some(Step::Run { expected, .. })) => {
                expected.extend(
                    body.iter()
                        .map(|&line| line.trim().to_owned())
                        .filter(|line| !line.is_empty()),
                );
            }
            ("yaml", _) => steps.extend(saved(&body)),
            _ => {}
        }
    }
    steps
}

fn saved(body: &[&str]) -> Option<Step> {
    let name = body.first()?.strip_prefix("# ")?;
    let text = format!("{}\n", body.join("\n"));
    name.ends_with(".yaml").then(|| Step::Save {
        name: name.to_owned(),
        text,
    })
}

const MARK: &str = "@@@ step ";

/// Whether a step needs a cluster.
pub fn needs_cluster(steps: &[Step]) -> bool {
    steps.iter().any(Step::is_in_cluster)
}

/// The steps before the first that needs a cluster, and those from there on.
pub fn split_where_the_cluster_begins(mut steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let first = steps.iter().position(Step::is_in_cluster);
    let rest = steps.split_off(first.unwrap_or(steps.len()));
    (steps, rest)
}

impl Step {
    fn is_in_cluster(&self) -> bool {
        matches!(self, Self::Run { in_cluster: true, .. })
    }
}

/// Does what the chapter says, at this desk.
#[track_caller]
pub fn follow(desk: &Desk, chapter: &str, mut steps: Vec<Step>, has_cluster: bool) {
    steps.retain(|step| has_cluster || !step.is_in_cluster());
    let mut script = "exec 2>&1\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Save { name, text } => desk.write(name, text),
            Step::Run {
                script: typed, fails, ..
            } => {
                let _ = writeln!(script, "printf '\\n{MARK}{number}\\n'");
                let _ = if *fails {
                    writeln!(
                        script,
                        "if (\n{typed}\n); then echo 'it ended well and should not have'; exit 99; fi"
                    )
                } else {
                    writeln!(script, "{typed}")
                };
            }
        }
    }
    let ran = desk.sh(&script);
    let outputs = outputs(&ran.stdout);
    let last = outputs.last().map_or(0, |(number, _)| *number);
    if ran.code != Some(0) {
        panic!(
            "{chapter}: {:#?}\nended with {:?} and printed\n{}",
            steps.get(last),
            ran.code,
            output(&outputs, last)
        );
    }
    for (number, step) in steps.iter().enumerate() {
        if let Step::Run { script, expected, .. } = step {
            let printed = output(&outputs, number);
            if let Some(line) = first_missing(expected, printed) {
                panic!("{chapter}:\n$ {script}\nshould have printed\n{line}\nbut printed\n{printed}");
            }
        }
    }
}

fn outputs(stdout: &str) -> Vec<(usize, &str)> {
    let parts = stdout.split(MARK).skip(1);
    parts
        .filter_map(|part| part.split_once('\n'))
        .filter_map(|(n, text)| Some((n.parse().ok()?, text)))
        .collect()
}

fn output<'a>(outputs: &[(usize, &'a str)], number: usize) -> &'a str {
    outputs
        .iter()
        .find(|(at, _)| *at == number)
        .map_or("", |(_, text)| text)
}

/// The first expected line that does not occur after the one before it. `…` in it stands for anything.
pub fn first_missing<'a>(expected: &'a [String], printed: &str) -> Option<&'a String> {
    let mut lines = printed.lines();
    expected
        .iter()
        .find(|wanted| !lines.by_ref().any(|line| matches(wanted, line)))
}

fn matches(wanted: &str, line: &str) -> bool {
    // Tables are aligned to what is in them: runs of spaces count as one.
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, line) = (squeezed(wanted), squeezed(line));
    let mut rest = line.as_str();
    for piece in wanted.split('…').map(str::trim).filter(|piece| !piece.is_empty()) {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_steps() {
        let markdown = "a\n```sh\necho a\n```\n```text\na\n```\n```yaml\n# b.yaml\nc: d\n```\n```sh elsewhere\nno\n```\n";
        let run = Step::Run {
            script: "echo a".to_owned(),
            fails: false,
            in_cluster: false,
            expected: vec!["a".to_owned()],
        };
        let save = Step::Save {
            name: "b.yaml".to_owned(),
            text: "# b.yaml\nc: d\n".to_owned(),
        };
        assert_eq!(steps(markdown), [run, save]);
    }

    #[test]
    fn what_needs_a_cluster_is_told_apart() {
        let of = |fence: &str| steps(&format!("```{fence}\ntrue\n```\n"));
        assert!(needs_cluster(&of("sh cluster")) && needs_cluster(&of("sh cluster fails")));
        assert!(!needs_cluster(&of("sh")) && !needs_cluster(&of("sh fails")));
        assert_eq!(of("sh elsewhere"), []);
    }

    #[test]
    fn dots_stand_for_anything_and_nothing_else_does() {
        assert!(matches("digest: sha256:… end", "the digest:  sha256:abc  end."));
        assert!(!matches("digest: sha256:… end", "digest: sha256:abc"));
    }

    #[test]
    fn lines_are_expected_in_order() {
        let expected = ["a".to_owned(), "b".to_owned()];
        assert_eq!(first_missing(&expected, "a\nx\nb\n"), None);
        assert_eq!(first_missing(&expected, "b\na\n"), Some(&expected[1]));
    }
}
