//! Runs measurements and puts what they print into `docs/performance.md`, in the places that are marked for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured: ";
const END: &str = "<!-- measured -->";
/// What is not measured, and goes with everything that is.
const MACHINE: &str = "machine";

/// Runs those that are named, or all; whether every promise was kept.
pub(crate) fn write(names: &[&str]) -> Outcome<bool> {
    let path = Path::new(ROOT).join(DOCUMENT);
    let places = places(&std::fs::read_to_string(&path)?)?;
    let is_wanted = |words: &str| names.is_empty() || names.contains(&name(words)) || name(words) == MACHINE;
    if let Some(unknown) = names
        .iter()
        .find(|name| !places.iter().any(|words| self::name(words) == **name))
    {
        return Err(format!("{DOCUMENT} has no place for `{unknown}`").into());
    }
    let mut kept = true;
    for words in places.iter().filter(|words| is_wanted(words)) {
        println!("== {words}");
        let text = match name(words) {
            MACHINE => machine()?,
            _ => {
                let output = measured(words)?;
                kept &= output.1;
                output.0
            }
        };
        print!("{text}");
        // Read anew: a measurement may take long, and the document be written by others meanwhile.
        let document = std::fs::read_to_string(&path)?;
        std::fs::write(&path, replaced(&document, words, &text)?)?;
    }
    Ok(kept)
}

fn name(words: &str) -> &str {
    words.split_whitespace().next().unwrap_or_default()
}

/// What a measurement prints, and whether its promises were kept. One that could not be made is an error: what was measured
/// before stays.
fn measured(words: &str) -> Outcome<(String, bool)> {
    let output = Command::new(std::env::current_exe()?)
        .args(words.split_whitespace())
        .current_dir(ROOT)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    match output.status.code() {
        Some(code @ (0 | 1)) => Ok((text, code == 0)),
        _ => Err(format!("{words}: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// What all of it ran on, and when.
fn machine() -> Outcome<String> {
    let read = |path: &str| std::fs::read_to_string(PathBuf::from("/proc").join(path));
    let said = |program: &str, arguments: &[&str]| -> Outcome<String> {
        let output = Command::new(program).args(arguments).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let cpus = read("cpuinfo")?;
    let field = |text: &str, name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == name);
        found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let count = std::thread::available_parallelism()?;
    let (memory, load) = (field(&read("meminfo")?, "MemTotal"), read("loadavg")?);
    let load = load.split_whitespace().next().unwrap_or_default();
    Ok(format!(
        "{count} × {}, {memory} of memory, Linux {}\n{}\nrun on {}, load average {load} before\n",
        field(&cpus, "model name"),
        said("uname", &["-r"])?,
        said("rustc", &["--version"])?,
        said("date", &["-u", "+%F"])?,
    ))
}

/// The words of each place, in their order.
fn places(document: &str) -> Outcome<Vec<String>> {
    let mut places = Vec::new();
    for part in document.split(BEGIN).skip(1) {
        let (words, rest) = part.split_once(" -->\n").ok_or("a mark has no end of its line")?;
        if !rest.contains(END) {
            return Err(format!("the place of `{words}` has no end").into());
        }
        places.push(words.to_owned());
    }
    Ok(places)
}

/// The document with this text in its place.
fn replaced(document: &str, words: &str, text: &str) -> Outcome<String> {
    let mark = format!("{BEGIN}{words} -->\n");
    let missing = || format!("{DOCUMENT} has no place for `{words}`");
    let (before, rest) = document.split_once(&mark).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let text = text.trim_matches('\n');
    Ok(format!("{before}{mark}```text\n{text}\n```\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# P\n<!-- measured: a 1 -->\n```text\nold\n```\n<!-- measured -->\nwords\n<!-- measured: b -->\n<!-- measured -->\n";

    #[test]
    fn what_was_measured_takes_the_place_of_what_was_there() {
        assert_eq!(places(SAMPLE).unwrap(), ["a 1", "b"]);
        let new = replaced(SAMPLE, "a 1", "\nnew\n\nlines\n").unwrap();
        assert_eq!(new, SAMPLE.replace("old", "new\n\nlines"));
        let both = replaced(&new, "b", "more\n").unwrap();
        assert!(
            both.ends_with("<!-- measured: b -->\n```text\nmore\n```\n<!-- measured -->\n"),
            "{both}"
        );
        assert_eq!(replaced(&both, "b", "more").unwrap(), both);
    }

    #[test]
    fn a_place_that_is_not_there_is_an_error() {
        assert!(replaced(SAMPLE, "c", "x").is_err());
        assert!(replaced(SAMPLE, "a", "x").is_err());
        assert!(places("<!-- measured: a -->\nno end").is_err());
        assert!(places("<!-- measured: a").is_err());
    }

    #[test]
    fn every_measurement_has_a_place() {
        let document = std::fs::read_to_string(Path::new(ROOT).join(DOCUMENT)).unwrap();
        let places = places(&document).unwrap();
        let names: Vec<&str> = places.iter().map(|words| name(words)).collect();
        for wanted in crate::NAMES.iter().filter(|wanted| **wanted != "report") {
            assert!(names.contains(wanted), "{DOCUMENT} has no place for `{wanted}`");
        }
    }

    #[test]
    fn the_machine_is_known() {
        let machine = machine().unwrap();
        assert!(
            machine.contains("rustc 1.") && machine.contains("Linux"),
            "{machine}"
        );
    }
}
