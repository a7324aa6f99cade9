//! The numbers of the control plane, and the Prometheus text form of all numbers.
//!
//! Names and label values are `&'static str`: nothing that a request carries can become one, so the number of rows is
//! bounded by the route table and a few words. The one exception is what administrators made and named themselves:
//! [`Text::named_row`].

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Answered as asked.
    Done,
    /// The caller's mistake.
    Refused,
    /// Ours.
    Failed,
}

impl Outcome {
    /// The outcome an HTTP status stands for.
    pub(crate) fn of(status: http::StatusCode) -> Outcome {
        match status.as_u16() {
            ..400 => Outcome::Done,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// How often each method was called, with what outcome, and how long that took in all.
#[derive(Debug, Default)]
pub(crate) struct ControlCounters(Mutex<BTreeMap<(&'static str, &'static str, Outcome), Calls>>);

#[derive(Debug, Default, Clone, Copy)]
struct Calls {
    count: u64,
    time: Duration,
}

impl ControlCounters {
    /// Counts a call. Its API and method are the words of its row in the route table.
    pub(crate) fn count(
        &self,
        (api, method): (&'static str, &'static str),
        outcome: Outcome,
        time: Duration,
    ) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = rows.entry((api, method, outcome)).or_default();
        calls.count += 1;
        calls.time += time;
    }

    /// Writes the rows.
    pub(crate) fn write(&self, text: &mut Text) {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        text.family("binauthz_api_requests_total", "counter", "Calls of the API");
        for ((api, method, outcome), calls) in &rows {
            let labels = [("api", *api), ("method", *method), ("outcome", outcome.as_str())];
            text.row("binauthz_api_requests_total", &labels, calls.count);
        }
        text.family(
            "binauthz_api_request_seconds_total",
            "counter",
            "Time spent on calls of the API",
        );
        for ((api, method, outcome), calls) in &rows {
            let labels = [("api", *api), ("method", *method), ("outcome", outcome.as_str())];
            text.row(
                "binauthz_api_request_seconds_total",
                &labels,
                calls.time.as_secs_f64(),
            );
        }
    }
}

/// Prometheus' text form, version 0.0.4.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// The heading of a metric.
    pub(crate) fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of something that has a name: a project, a metric. Whoever calls this says how many there can be.
    pub(crate) fn named_row(&mut self, name: &str, labels: &[(&'static str, &str)], value: impl Display) {
        let escaped = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    /// One sample.
    pub(crate) fn row(&mut self, name: &str, labels: &[(&'static str, &'static str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// A metric of one sample.
    pub(crate) fn single(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        value: impl Display,
    ) {
        self.family(name, kind, help);
        self.row(name, &[], value);
    }

    /// A histogram from counts that are not cumulated: one for each bound, and one above all.
    pub(crate) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        bounds: &[f64],
        (counts, sum): (&[u64], f64),
    ) {
        self.family(name, "histogram", help);
        self.histogram_rows(name, None, bounds, (counts, sum));
    }

    /// The rows of a histogram, of which there is one for each value of a label.
    pub(crate) fn histogram_rows(
        &mut self,
        name: &'static str,
        label: Option<(&'static str, &'static str)>,
        bounds: &[f64],
        (counts, sum): (&[u64], f64),
    ) {
        let (before, alone) = match label {
            None => (String::new(), String::new()),
            Some((key, value)) => (format!("{key}=\"{value}\","), format!("{{{key}=\"{value}\"}}")),
        };
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds
                .get(index)
                .map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(self.0, "{name}_bucket{{{before}le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(self.0, "{name}_sum{alone} {sum}\n{name}_count{alone} {total}");
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_outcome() {
        let counters = ControlCounters::default();
        let create = ("container", "CreateCluster");
        counters.count(create, Outcome::Done, Duration::from_millis(250));
        counters.count(create, Outcome::Done, Duration::from_millis(250));
        counters.count(create, Outcome::Refused, Duration::ZERO);
        let mut text = Text::default();
        counters.write(&mut text);
        let labels =
            |outcome: &str| format!("{{api=\"container\",method=\"CreateCluster\",outcome=\"{outcome}\"}}");
        let text = text.finish();
        for line in [
            format!("binauthz_api_requests_total{} 2\n", labels("done")),
            format!("binauthz_api_requests_total{} 1\n", labels("refused")),
            format!("binauthz_api_request_seconds_total{} 0.5\n", labels("done")),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }

    #[test]
    fn outcomes_follow_the_status() {
        for (status, expected) in [
            (200, "done"),
            (304, "done"),
            (400, "refused"),
            (429, "refused"),
            (500, "failed"),
        ] {
            let status = http::StatusCode::from_u16(status).unwrap();
            assert_eq!(Outcome::of(status).as_str(), expected, "{status}");
        }
    }

    #[test]
    fn a_histogram_is_cumulated() {
        let mut text = Text::default();
        text.histogram("h", "help", &[0.5, 1.0], (&[1, 0, 2], 7.5));
        let expected = "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 1\n\
                        h_bucket{le=\"+Inf\"} 3\nh_sum 7.5\nh_count 3\n";
        assert_eq!(text.finish(), expected);
        let mut text = Text::default();
        text.histogram_rows("h", Some(("phase", "read")), &[0.5], (&[1, 2], 7.5));
        let expected = "h_bucket{phase=\"read\",le=\"0.5\"} 1\nh_bucket{phase=\"read\",le=\"+Inf\"} 3\n\
                        h_sum{phase=\"read\"} 7.5\nh_count{phase=\"read\"} 3\n";
        assert_eq!(text.finish(), expected);
    }
}
