//! What a measurement came to, as a table and for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    failure::{Exit, Failure},
    load::Came,
    output::{self, Format},
};

const COLUMNS: &str = "way,requests,requestsPerSecond:label=PER_SECOND,meanMilliseconds:label=MEAN_MS,\
                       p50Milliseconds:label=P50_MS,p90Milliseconds:label=P90_MS,p99Milliseconds:label=P99_MS,\
                       maxMilliseconds:label=MAX_MS,errors";
/// A time of everything that was asked one way.
type Figure = fn(&Came) -> Duration;
/// Those that are compared.
const FIGURES: [(&str, Figure); 5] = [
    ("meanMilliseconds", |came| came.waits.mean()),
    ("p50Milliseconds", |came| came.waits.percentile(0.5)),
    ("p90Milliseconds", |came| came.waits.percentile(0.9)),
    ("p99Milliseconds", |came| came.waits.percentile(0.99)),
    ("maxMilliseconds", |came| came.waits.max()),
];

/// Both ways of a measurement.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) without: Came,
    pub(super) with: Came,
}

impl Report {
    /// Prints it; what went wrong is said on standard error, too.
    pub(super) fn print(&self, format: Option<&Format>) -> Result<(), Failure> {
        output::show_list(format, &self.entries(), COLUMNS)?;
        for (name, came) in self.ways() {
            for (kind, (count, sentence)) in &came.faults {
                output::note(&format!(
                    "{name} the webhook: {count} × {kind}, first: {sentence}"
                ));
            }
        }
        Ok(())
    }

    /// Whether everything was as it should be.
    pub(super) fn exit(&self) -> Exit {
        let is_good = |came: &Came| came.faults.is_empty() && came.waits.count() > 0;
        match self.ways().iter().all(|(_, came)| is_good(came)) {
            true => Exit::Done,
            false => Exit::Refused,
        }
    }

    fn ways(&self) -> [(&'static str, &Came); 2] {
        [("without", &self.without), ("with", &self.with)]
    }

    fn entries(&self) -> Vec<Value> {
        let mut entries: Vec<Value> = self.ways().iter().map(|(name, came)| entry(name, came)).collect();
        let figure = |of: Figure| millis(of(&self.with)) - millis(of(&self.without));
        let mut added: Map<String, Value> = FIGURES
            .iter()
            .map(|(name, of)| ((*name).to_owned(), json!(rounded(figure(*of)))))
            .collect();
        added.insert("way".to_owned(), "added".into());
        entries.push(added.into());
        entries
    }
}

fn entry(name: &str, came: &Came) -> Value {
    let figures = FIGURES.iter();
    let mut entry: Map<String, Value> = figures
        .map(|(name, of)| ((*name).to_owned(), json!(rounded(millis(of(came))))))
        .collect();
    let faults = came.faults.iter();
    let faults: Map<String, Value> = faults
        .map(|(kind, (count, _))| (kind.clone(), json!(count)))
        .collect();
    entry.insert("way".to_owned(), name.into());
    entry.insert("requests".to_owned(), json!(came.waits.count() + came.faulty()));
    entry.insert("requestsPerSecond".to_owned(), json!(rounded(came.per_second())));
    entry.insert("errors".to_owned(), json!(came.faulty()));
    entry.insert("errorsByKind".to_owned(), faults.into());
    entry.into()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// To a thousandth: more digits are noise.
fn rounded(value: f64) -> f64 {
    if value.is_finite() {
        (value * 1e3).round() / 1e3
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn came(micros: &[u64], faults: &[(&str, u64)]) -> Came {
        let mut came = Came {
            took: Duration::from_secs(2),
            faults: BTreeMap::new(),
            ..Came::default()
        };
        for micros in micros {
            came.waits.record(Duration::from_micros(*micros));
        }
        for (kind, count) in faults {
            came.faults
                .insert((*kind).to_owned(), (*count, "as a test".to_owned()));
        }
        came
    }

    #[test]
    fn what_is_added_is_the_difference() {
        let report = Report {
            without: came(&[100, 100, 100, 200], &[]),
            with: came(&[150, 150, 150, 240], &[]),
        };
        let entries = report.entries();
        let figure = |number: usize, name: &str| entries[number][name].as_f64().expect("a number");
        assert_eq!(
            (figure(0, "p50Milliseconds"), figure(1, "p50Milliseconds")),
            (0.1, 0.15)
        );
        assert_eq!(
            (figure(2, "p50Milliseconds"), figure(2, "maxMilliseconds")),
            (0.05, 0.04)
        );
        assert_eq!(
            (figure(0, "requests"), figure(0, "requestsPerSecond")),
            (4.0, 2.0)
        );
        assert_eq!(report.exit(), Exit::Done);
        let table = output::render_list(None, &entries, COLUMNS);
        let heading: Vec<&str> = table
            .lines()
            .next()
            .expect("a heading")
            .split_whitespace()
            .collect();
        assert_eq!(
            heading,
            [
                "WAY",
                "REQUESTS",
                "PER_SECOND",
                "MEAN_MS",
                "P50_MS",
                "P90_MS",
                "P99_MS",
                "MAX_MS",
                "ERRORS"
            ]
        );
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn an_error_or_no_answer_at_all_is_no_success() {
        let good = || came(&[100], &[]);
        for (without, with) in [
            (good(), came(&[100], &[("HTTP 503", 1)])),
            (came(&[100], &[("no answer", 2)]), good()),
            (good(), came(&[], &[])),
        ] {
            let report = Report { without, with };
            assert_eq!(report.exit(), Exit::Refused, "{report:?}");
        }
        let report = Report {
            without: good(),
            with: came(&[100], &[("HTTP 503", 1)]),
        };
        let entries = report.entries();
        assert_eq!(entries[1]["errorsByKind"]["HTTP 503"], 1);
        assert_eq!(
            (&entries[1]["errors"], &entries[1]["requests"]),
            (&json!(1), &json!(2))
        );
    }
}
