//! What was counted when it was last found good, in a file of the repository.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.baseline");
const HEAD: &str = "# Instructions per admission, with the compiler that made them. Written by\n\
                    # BINAUTHZ_BLESS=1 cargo run --release -p binauthz-benches -- instructions\n";
/// As much more or less is worth a word: both are within what two runs differ by, several times.
const WORTH_A_WORD: f64 = 0.02;

/// Instructions per request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counts {
    /// Of the handler that reads the body and answers.
    pub(crate) bare: f64,
    /// Of an admission that has its proof in memory.
    pub(crate) warm: f64,
    /// Of an admission of an image nobody asked for before.
    pub(crate) cold: f64,
}

/// Counts, and the compiler they are of.
#[derive(Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) counts: Counts,
    compiler: String,
}

impl Baseline {
    /// The committed one.
    pub(crate) fn read() -> Outcome<Self> {
        let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        Self::parse(&text)
    }

    /// Puts these counts in its place.
    pub(crate) fn write(counts: &Counts) -> Outcome<PathBuf> {
        let baseline = Self {
            counts: *counts,
            compiler: compiler()?,
        };
        std::fs::write(FILE, baseline.text())?;
        Ok(FILE.into())
    }

    fn parse(text: &str) -> Outcome<Self> {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let found = lines
                .find(|(first, _)| *first == name)
                .map(|(_, rest)| rest.trim());
            found.ok_or_else(|| format!("{FILE}: there is no line that begins with `{name}`"))
        };
        let count = |name: &str| match value(name)?.parse::<f64>() {
            Ok(count) if count.is_normal() && count > 0.0 => Ok(count),
            _ => Err(format!("{FILE}: `{name}`: expected a number of instructions")),
        };
        Ok(Self {
            counts: Counts {
                bare: count("bare")?,
                warm: count("warm")?,
                cold: count("cold")?,
            },
            compiler: value("compiler")?.to_owned(),
        })
    }

    fn text(&self) -> String {
        let Counts { bare, warm, cold } = self.counts;
        let compiler = &self.compiler;
        format!("{HEAD}compiler {compiler}\nbare {bare:.0}\nwarm {warm:.0}\ncold {cold:.0}\n")
    }

    /// What a reader of the comparison should know.
    pub(crate) fn notes(&self, now: &Counts) -> Outcome<Vec<String>> {
        let mut notes = Vec::new();
        let compiler = compiler()?;
        if compiler != self.compiler {
            let then = &self.compiler;
            notes.push(format!(
                "the baseline is of {then}, this is {compiler}: what differs may be theirs"
            ));
        }
        let change = now.bare / self.counts.bare - 1.0;
        if change.abs() > WORTH_A_WORD {
            let percent = change * 100.0;
            notes.push(format!(
                "the bare handler, which is HTTP, TLS and the reading of the review, changed by {percent:+.1} %"
            ));
        }
        for (name, now, then) in [
            ("warm", now.warm, self.counts.warm),
            ("cold", now.cold, self.counts.cold),
        ] {
            let change = now / then - 1.0;
            if change < -WORTH_A_WORD {
                let percent = change * 100.0;
                notes.push(format!(
                    "a {name} admission changed by {percent:+.1} %: BINAUTHZ_BLESS=1 keeps it"
                ));
            }
        }
        Ok(notes)
    }
}

/// Whether counts can be compared on this machine. Valgrind shows every x86-64 with AVX2 the same processor, whatever else it
/// has, and code is chosen by the processor.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_comparable() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// The baseline is of x86-64.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn is_comparable() -> bool {
    false
}

/// What `rustc` calls itself.
fn compiler() -> Outcome<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts {
            bare: 100_000.0,
            warm: 200_000.0,
            cold: 900_000.0,
        }
    }

    fn baseline() -> Baseline {
        Baseline {
            counts: counts(),
            compiler: compiler().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let baseline = baseline();
        assert_eq!(Baseline::parse(&baseline.text()).unwrap(), baseline);
    }

    #[test]
    fn the_committed_one_is_one() {
        let committed = Baseline::read().unwrap();
        assert!(committed.counts.bare < committed.counts.warm);
        assert!(committed.counts.warm < committed.counts.cold);
    }

    #[test]
    fn what_lacks_a_count_is_none() {
        let text = baseline().text();
        for (from, to) in [
            ("warm 200000", ""),
            ("warm 200000", "warm many"),
            ("warm 200000", "warm 0"),
            ("warm 200000", "warm NaN"),
            ("warm 200000", "warm inf"),
            ("warm 200000", "warm -1"),
            ("compiler", "# compiler"),
        ] {
            assert!(Baseline::parse(&text.replace(from, to)).is_err(), "{from} → {to}");
        }
    }

    #[test]
    fn a_reader_hears_of_what_makes_the_comparison_weak() {
        assert_eq!(baseline().notes(&counts()).unwrap(), Vec::<String>::new());
        let bare = Counts {
            bare: 110_000.0,
            ..counts()
        };
        assert!(baseline().notes(&bare).unwrap().join("").contains("+10.0 %"));
        let better = Counts {
            warm: 150_000.0,
            ..counts()
        };
        assert!(
            baseline()
                .notes(&better)
                .unwrap()
                .join("")
                .contains("BINAUTHZ_BLESS")
        );
        let other = Baseline {
            compiler: "rustc 1.0.0".to_owned(),
            ..baseline()
        };
        assert!(
            other
                .notes(&counts())
                .unwrap()
                .join("")
                .contains("of rustc 1.0.0")
        );
    }
}
