//! What somebody looks for, as lines and blocks of lines are held against it before any of them is read.
//!
//! It leaves out what cannot be wanted, and never more than that: in doubt a line is read. Most lines say that something
//! was admitted as it should be, and most filters are about something else.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Demand, Query};
use memchr::memmem;

use super::shape::{Form, Shape, Shapes};
use super::words::{Sought, Words};

/// What some filters of projects look for.
#[derive(Debug)]
pub(crate) struct Needle {
    /// The projects somebody looks at, and the shapes that are wanted of the lines of each.
    projects: BTreeMap<String, Shapes>,
    /// Those of any project.
    shapes: Shapes,
    texts: Texts,
    sought: Sought,
    /// When it arrived, in microseconds; both included.
    oldest: i64,
    newest: i64,
}

impl Needle {
    /// What these filters look for, each in its project's log, whenever it arrived.
    pub(crate) fn new<'q>(filters: impl IntoIterator<Item = (&'q str, &'q Query)>) -> Needle {
        let (mut projects, mut shapes) = (BTreeMap::<String, Shapes>::new(), Shapes::default());
        // Many projects have the same filters: the shipped ones.
        let mut known: BTreeMap<&str, Shapes> = BTreeMap::new();
        let mut demands = Vec::new();
        for (project, query) in filters {
            let wanted = match known.entry(query.text()) {
                Place::Occupied(known) => *known.get(),
                Place::Vacant(place) => {
                    demands.push(query.demand());
                    *place.insert(Shapes::wanted_by(query))
                }
            };
            shapes.add(wanted);
            projects.entry(project.to_owned()).or_default().add(wanted);
        }
        Needle {
            projects,
            shapes,
            texts: Texts::new(&demands),
            sought: Sought::new(&Demand::Any(demands)),
            oldest: i64::MIN,
            newest: i64::MAX,
        }
    }

    /// As [`Needle::new`], what one filter looks for in some projects.
    pub(crate) fn of(projects: &[String], query: &Query) -> Needle {
        Needle::new(projects.iter().map(|project| (project.as_str(), query)))
    }

    /// Only what arrived between two times, both included.
    pub(crate) fn between(self, (oldest, newest): (i64, i64)) -> Needle {
        Needle {
            oldest,
            newest,
            ..self
        }
    }

    /// Whether anybody looks at the project.
    pub(crate) fn looks_at(&self, project: &str) -> bool {
        self.projects.contains_key(project)
    }

    /// Whether something that arrived then may be wanted.
    pub(super) fn is_then(&self, arrival: UnixTime) -> bool {
        (self.oldest..=self.newest).contains(&arrival.as_micros())
    }

    /// Whether a line may have an entry that is wanted. Reads no more of it than it must.
    pub(super) fn may_be(&self, line: &[u8]) -> bool {
        let Some((shape, project)) = Shape::with_project(line) else {
            return !self.projects.is_empty();
        };
        if !self.shapes.contains(shape) {
            return false;
        }
        match (project, shape.form()) {
            (Some(project), _) => self
                .projects
                .get(project)
                .is_some_and(|wanted| wanted.contains(shape)),
            (None, Form::Written) => self.texts.may_be_in(line),
            (None, _) => true,
        }
    }

    /// Whether one of some lines may have one, by the times of the first and the last, their shapes and their words.
    pub(super) fn may_be_among(&self, (oldest, newest): (i64, i64), shapes: Shapes, words: &Words) -> bool {
        newest >= self.oldest
            && oldest <= self.newest
            && self.shapes.meets(shapes)
            && self.sought.may_be_in(words)
    }
}

/// Texts one of which is in each entry that somebody wrote and a filter wants; nothing if any entry may be wanted.
#[derive(Debug)]
struct Texts(Option<Vec<String>>);

/// Texts a line is searched for: each takes a microsecond for 10 KiB. Of more, any entry may be wanted.
const MOST_TEXTS: usize = 32;

impl Texts {
    fn new(demands: &[Demand<'_>]) -> Texts {
        let texts: Option<Vec<String>> = demands
            .iter()
            .map(|demand| text_of(demand).filter(|text| is_written(text)).map(str::to_owned))
            .collect();
        Texts(texts.filter(|texts| texts.len() <= MOST_TEXTS))
    }

    fn may_be_in(&self, line: &[u8]) -> bool {
        match &self.0 {
            Some(texts) if is_simple(line) => {
                let line = line.to_ascii_lowercase();
                texts
                    .iter()
                    .any(|text| memmem::find(&line, text.as_bytes()).is_some())
            }
            _ => true,
        }
    }
}

/// The longest text that is in every entry of which so much is demanded.
fn text_of<'q>(demand: &Demand<'q>) -> Option<&'q str> {
    match demand {
        Demand::Within(text) | Demand::Is(text) => Some(text),
        Demand::All(parts) => parts.iter().filter_map(text_of).max_by_key(|text| text.len()),
        Demand::Any(_) | Demand::Nothing => None,
    }
}

/// Whether the text, being in an entry, is in its line: not part of what is added when an entry is read.
fn is_written(text: &str) -> bool {
    const ADDED: [&str; 3] = ["insertid", "receivetimestamp", "timestamp"];
    let like_id_or_time = |byte: u8| byte.is_ascii_hexdigit() || b"-:.tz+".contains(&byte);
    text.is_ascii() && !text.bytes().all(like_id_or_time) && !ADDED.iter().any(|added| added.contains(text))
}

/// Whether the line says its texts as they are.
fn is_simple(line: &[u8]) -> bool {
    line.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::shape::tests::{filter, other_line, record, wanted_entries, wanted_in};
    use super::*;

    fn needle(filters: &[(&str, &str)]) -> Needle {
        let filters: Vec<(&str, Query)> = filters
            .iter()
            .map(|(project, text)| (*project, Query::parse(text).unwrap()))
            .collect();
        Needle::new(filters.iter().map(|(project, query)| (*project, query)))
    }

    /// A verdict in the log of `demo`.
    fn verdict(word: &str, effect: &str, name: &str) -> String {
        format!(
            r#"{{"time":"2026-11-23T08:18:25.5Z","verdict":"{word}","conforms":{},"effect":"{effect}","dryRun":false,"reason":"R","id":"01","dialect":"AdmissionReview","cluster":"projects/demo/locations/l/clusters/c","uid":"u","operation":"CREATE","group":"","version":"v1","kind":"Pod","subResource":"","namespace":"n","name":"{name}","user":"alice","latencyMicros":12,"message":"","attestors":{{}},"images":[],"seq":7}}"#,
            word == "ALLOW",
        )
    }

    #[test]
    fn a_plain_admission_is_passed_over_by_filters_that_are_about_something_else() {
        let line = verdict("ALLOW", "ENFORCED", "web");
        for (text, is_passed_over) in [
            (
                "labels.\"imagepolicywebhook.image-policy.k8s.io/break-glass\"=\"true\"",
                true,
            ),
            ("protoPayload.response.status=\"Failure\"", true),
            (
                "protoPayload.response.status.message:\"denied by attestor\"",
                true,
            ),
            ("protoPayload.response.reason=\"VIOLATES_POLICY\"", true),
            ("severity>=WARNING", true),
            ("resource.type=\"audited_resource\"", true),
            ("protoPayload.status.code>0", true),
            ("logName:\"other\"", false),
            ("jsonPayload.x=1", true),
            ("severity=NOTICE", false),
            ("", false),
            ("protoPayload.request.metadata.name=\"web\"", false),
            ("protoPayload.request.metadata.name=\"other\"", false),
            ("protoPayload.authenticationInfo.principalEmail=\"alice\"", false),
            ("protoPayload.metadata.verdict=\"ALLOW\"", false),
            ("protoPayload.metadata.verdict=\"DENY\"", true),
            ("resource.labels.cluster_name=\"c\"", false),
            ("operation.producer=\"k8s.io\"", false),
            ("timestamp>\"2020-01-01\"", false),
            ("\"web\"", false),
            ("NOT severity>=WARNING", false),
        ] {
            let may_be = needle(&[("demo", text)]).may_be(line.as_bytes());
            assert_eq!(!may_be, is_passed_over, "{text}");
            let wanted = wanted_entries(&line, &Query::parse(text).unwrap());
            assert!(may_be || wanted == 0, "{text} wants what is passed over");
        }
    }

    #[test]
    fn everything_else_is_read() {
        let needle = needle(&[("demo", "severity>=WARNING OR labels:*")]);
        for (word, effect, may_be) in [
            ("ALLOW", "ENFORCED", false),
            ("ALLOW", "DRY_RUN", false),
            ("ALLOW", "BREAK_GLASS", true),
            ("DENY", "ENFORCED", true),
        ] {
            let line = verdict(word, effect, "web");
            assert_eq!(needle.may_be(line.as_bytes()), may_be, "{word} {effect}");
        }
        // What somebody calls a Pod changes nothing, and what is of no known shape is read.
        let name = r#"x\",\"verdict\":\"ALLOW\",\"conforms\":true,\"cluster\":\"projects/other/"#;
        assert!(needle.may_be(verdict("DENY", "ENFORCED", name).as_bytes()));
        assert!(needle.may_be(b"{\"time\":\"2026-11-23T08:18:25Z\",\"cluster\":\"projects/other/\"}"));
    }

    #[test]
    fn lines_of_projects_that_nobody_looks_at_are_passed_over() {
        let denied = verdict("DENY", "ENFORCED", "web");
        let may_be = |filters: &[(&str, &str)]| needle(filters).may_be(denied.as_bytes());
        assert!(may_be(&[("demo", "severity>=WARNING")]));
        assert!(!may_be(&[("other", "severity>=WARNING")]));
        // Each project has its own filters.
        assert!(!may_be(&[
            ("other", "severity>=WARNING"),
            ("demo", "severity=NOTICE")
        ]));
        assert!(may_be(&[
            ("other", "severity>=WARNING"),
            ("demo", "severity=NOTICE"),
            ("demo", "severity=ERROR")
        ]));
        let nobody = Needle::new([]);
        assert!(!nobody.looks_at("demo") && !nobody.may_be(denied.as_bytes()) && !nobody.may_be(b"{}"));
        assert!(!nobody.may_be_among((0, 0), Shapes::ALL, &Words::default()));
        // A name that is not said as it is has to be read.
        let escaped = denied.replace("projects/demo/", "projects/d\\u0065mo/");
        assert!(needle(&[("demo", "severity>=WARNING")]).may_be(escaped.as_bytes()));
    }

    #[test]
    fn entries_of_others_are_read_if_they_say_what_is_looked_for() {
        let may_be = |filters: &[&str], line: &str| {
            let filters: Vec<(&str, &str)> = filters.iter().map(|text| ("p", *text)).collect();
            needle(&filters).may_be(line.as_bytes())
        };
        let line = |entry: &str| {
            format!(r#"{{"log":"entry","time":"2026-11-23T08:18:25Z","entry":{entry},"seq":7}}"#)
        };
        let said = line(r#"{"textPayload":"Robot arm"}"#);
        assert!(may_be(&["textPayload:robot"], &said));
        assert!(may_be(&["textPayload:robot", "textPayload:other"], &said));
        assert!(!may_be(&["textPayload:other"], &said));
        assert!(!may_be(&["textPayload:robots"], &said));
        // No text, or one that may come from elsewhere.
        for text in [
            "severity>=ERROR",
            "\"beef\"",
            "insertId:7",
            "\"timestamp\"",
            "textPayload:rüst",
        ] {
            assert!(may_be(&[text], &said), "{text}");
            assert!(may_be(&["textPayload:other", text], &said), "{text}");
        }
        assert!(may_be(
            &["textPayload:other"],
            &line(r#"{"textPayload":"\u006fther"}"#)
        ));
        assert!(may_be(&["textPayload:other"], &line(r#"{"textPayload":"ﬀ"}"#)));
        let many: Vec<String> = (0..=MOST_TEXTS)
            .map(|number| format!("textPayload:word{number}x"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(!may_be(&many[1..], &said) && may_be(&many, &said));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        /// With the filters of others beside it, in its own project and in another one.
        #[test]
        fn a_line_that_is_wanted_is_let_through(
            record in record(), other in other_line(), texts in prop::collection::vec(filter(), 1..4),
            projects in prop::collection::vec(select(vec!["p", "demo", "_"]), 3),
        ) {
            let queries: Vec<(&str, Query)> = texts
                .iter()
                .zip(projects)
                .filter_map(|(text, project)| Some((project, Query::parse(text).ok()?)))
                .collect();
            let needle = Needle::new(queries.iter().map(|(project, query)| (*project, query)));
            for line in [record.line(), other] {
                let wanted = |(project, query): &(&str, Query)| {
                    wanted_in(&line, query, &|its| its == *project) > 0
                };
                if queries.iter().any(wanted) {
                    prop_assert!(needle.may_be(line.as_bytes()), "{:?} want {}", texts, line);
                }
            }
        }
    }
}
