//! Size budgets: they prove no quality, they catch decay.

use super::Finding;
use super::files::{Tree, before_tests};

/// From the line of `fn` to the closing brace. A function longer than a screen hides its exits.
const FUNCTION_LINES: usize = 70;
/// Lines of a file before its unit tests.
const FILE_LINES: usize = 600;

/// Finds files and functions over their budget.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.production_sources()
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let production = before_tests(text);
    let mut findings = Vec::new();
    let lines = production.lines().count();
    if lines > FILE_LINES {
        findings.push(Finding::new(
            path,
            format!("{lines} production lines (limit {FILE_LINES})"),
        ));
    }
    let mut open: Option<(usize, usize)> = None;
    for (number, line) in production.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if opens_function(line) {
            open = Some((number, indent));
        }
        if let Some((start, start_indent)) = open
            && line.trim_end().len() == start_indent + 1
            && line.trim() == "}"
        {
            let length = number - start;
            if length > FUNCTION_LINES {
                let place = format!("{path}:{}", start + 1);
                findings.push(Finding::new(
                    place,
                    format!("function of {length} lines (limit {FUNCTION_LINES})"),
                ));
            }
            open = None;
        }
    }
    findings
}

fn opens_function(line: &str) -> bool {
    let mut words = line.trim_start();
    if let Some(rest) = words.strip_prefix("pub") {
        words = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((_, rest)) => rest,
            None => rest,
        };
        words = words.trim_start();
    }
    for keyword in ["const ", "async "] {
        words = words.strip_prefix(keyword).unwrap_or(words);
    }
    words.starts_with("fn ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(body_lines: usize) -> String {
        format!(
            "    pub(crate) async fn long() {{\n{}    }}\n",
            "        step();\n".repeat(body_lines)
        )
    }

    #[test]
    fn seventy_lines_fit_and_seventy_one_do_not() {
        assert_eq!(check_file("a.rs", &function(FUNCTION_LINES - 1)), []);
        let found = check_file("a.rs", &function(FUNCTION_LINES));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "a.rs:1");
    }

    #[test]
    fn a_file_is_measured_without_its_tests() {
        let long = "\n".repeat(FILE_LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(check_file("a.rs", &format!("{long}{tests}")), []);
        assert_eq!(check_file("a.rs", &format!("{long}\n{tests}")).len(), 1);
    }
}
