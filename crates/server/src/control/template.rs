//! Path templates: which row of the route table a request path belongs to.
//!
//! A template reads `/{version}/projects/{project}/attestors/{attestor}:getIamPolicy`. `{version}` stands for one of the
//! API versions the row lists; every other `{name}` captures one whole segment, and a last `{name**}` all that are left. A request path is split at `/` **before**
//! it is decoded, and each segment is decoded exactly once, so an encoded slash stays inside its segment and is judged by
//! the name grammar of the handler instead of moving the borders of the path.

use super::routes::{ApiVersion, Route, Verb};

/// One segment of a template.
#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Version,
    Literal(&'static str),
    Parameter(&'static str),
    /// The last one: all segments that are left.
    Rest(&'static str),
}

/// A template in the form that is matched.
#[derive(Debug)]
pub(super) struct Template {
    segments: Vec<Segment>,
    custom_verb: Option<&'static str>,
}

/// What a path captured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) version: ApiVersion,
    pub(super) params: Vec<(&'static str, String)>,
    literals: usize,
}

/// A request path, split and decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestPath {
    segments: Vec<String>,
    custom_verb: Option<String>,
}

/// Why a request path has no row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unmatched {
    /// A percent-encoding that does not decode to UTF-8 text.
    Undecodable,
    /// No row has this path.
    UnknownPath,
    /// Rows have this path, for these methods only.
    OtherMethods(Vec<Verb>),
    /// Rows have this path up to its last colon; what follows is none of their custom verbs, which are these.
    UnknownVerb { given: String, known: Vec<&'static str> },
}

/// The route table in the form that is matched.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<(Template, Route)>,
}

impl Table {
    pub(super) fn new(routes: Vec<Route>) -> Table {
        Table {
            rows: routes
                .into_iter()
                .map(|route| (Template::parse(route.template), route))
                .collect(),
        }
    }

    /// Every row.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.rows.iter().map(|(_, route)| route)
    }

    /// The row of a request, and what its path captured. The row with more literal segments wins, so that
    /// `occurrences:batchCreate` is never read as an occurrence of that name.
    pub(super) fn find(&self, verb: Option<Verb>, path: &str) -> Result<(&Route, Captured), Unmatched> {
        let path = self.read(path).ok_or(Unmatched::Undecodable)?;
        if let Some(unknown) = self.unknown_verb(&path) {
            return Err(unknown);
        }
        let mut best: Option<(&Route, Captured)> = None;
        let mut others = Vec::new();
        for (template, route) in &self.rows {
            let Some(captured) = template.capture(&path, route.versions) else {
                continue;
            };
            if Some(route.verb) != verb {
                others.push(route.verb);
            } else if best
                .as_ref()
                .is_none_or(|(_, known)| captured.literals > known.literals)
            {
                best = Some((route, captured));
            }
        }
        match best {
            Some(found) => Ok(found),
            None if others.is_empty() => Err(Unmatched::UnknownPath),
            None => Err(Unmatched::OtherMethods(others)),
        }
    }

    /// The custom verb of a path that no row has with it. Where an id may have a colon, of a project or a digest, nothing
    /// after one is taken for a verb.
    fn unknown_verb(&self, path: &RequestPath) -> Option<Unmatched> {
        let (segments, given) = path.split_verb()?;
        let of_path = |row: &&(Template, Route)| {
            row.0
                .capture_segments(segments.as_slice(), row.1.versions)
                .is_some()
        };
        let rows: Vec<&(Template, Route)> = self.rows.iter().filter(of_path).collect();
        let is_known = rows
            .iter()
            .any(|(template, _)| template.custom_verb == Some(given));
        let has_plain = rows
            .iter()
            .any(|(template, _)| template.custom_verb.is_none() && !template.ends_in_id_with_colons());
        if is_known || !has_plain {
            return None;
        }
        let mut known: Vec<&str> = rows
            .iter()
            .filter_map(|(template, _)| template.custom_verb)
            .collect();
        known.sort_unstable();
        known.dedup();
        Some(Unmatched::UnknownVerb {
            given: given.to_owned(),
            known,
        })
    }

    /// Splits and decodes. A custom verb is recognised only if some row has it, because ids may contain colons
    /// (`versions/sha256:…`).
    fn read(&self, path: &str) -> Option<RequestPath> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').map(decode).collect::<Option<Vec<String>>>()?;
        let mut custom_verb = None;
        if let Some((before, after)) = segments.last().and_then(|last| last.rsplit_once(':'))
            && self
                .rows
                .iter()
                .any(|(template, _)| template.custom_verb == Some(after))
        {
            custom_verb = Some(after.to_owned());
            let before = before.to_owned();
            segments.pop();
            segments.push(before);
        }
        Some(RequestPath {
            segments,
            custom_verb,
        })
    }
}

impl RequestPath {
    /// The segments without the custom verb, and what looks like one: letters after the last colon.
    fn split_verb(&self) -> Option<(Vec<String>, &str)> {
        let mut segments = self.segments.clone();
        if let Some(verb) = &self.custom_verb {
            return Some((segments, verb));
        }
        let (before, after) = self.segments.last()?.rsplit_once(':')?;
        let is_verb = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_alphabetic());
        segments.pop();
        segments.push(before.to_owned());
        is_verb.then_some((segments, after))
    }
}

impl Template {
    pub(super) fn parse(text: &'static str) -> Template {
        let text = text.strip_prefix('/').unwrap_or(text);
        let (path, custom_verb) = match text.rsplit_once(':') {
            Some((path, verb)) => (path, Some(verb)),
            None => (text, None),
        };
        Template {
            segments: path.split('/').map(segment).collect(),
            custom_verb,
        }
    }

    #[cfg(test)]
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) | Segment::Rest(name) => Some(*name),
            Segment::Version | Segment::Literal(_) => None,
        })
    }

    fn capture(&self, path: &RequestPath, versions: &[ApiVersion]) -> Option<Captured> {
        if self.custom_verb != path.custom_verb.as_deref() {
            return None;
        }
        self.capture_segments(&path.segments, versions)
    }

    fn ends_in_id_with_colons(&self) -> bool {
        matches!(
            self.segments.last(),
            Some(Segment::Parameter("project" | "digest"))
        )
    }

    fn capture_segments(&self, segments: &[String], versions: &[ApiVersion]) -> Option<Captured> {
        let has_rest = matches!(self.segments.last(), Some(Segment::Rest(_)));
        if self.segments.len() > segments.len() || (self.segments.len() < segments.len() && !has_rest) {
            return None;
        }
        let mut captured = Captured {
            version: ApiVersion::V1,
            params: Vec::new(),
            literals: 0,
        };
        for (index, (segment, text)) in self.segments.iter().zip(segments).enumerate() {
            match segment {
                Segment::Version => {
                    captured.version = *versions.iter().find(|version| version.as_str() == text)?;
                }
                Segment::Literal(literal) if literal == text => captured.literals += 1,
                Segment::Parameter(name) if !text.is_empty() => captured.params.push((name, text.clone())),
                Segment::Rest(name) => {
                    let rest = segments.get(index..).unwrap_or_default();
                    if rest.iter().any(String::is_empty) {
                        return None;
                    }
                    captured.params.push((name, rest.join("/")));
                }
                Segment::Literal(_) | Segment::Parameter(_) => return None,
            }
        }
        Some(captured)
    }
}

fn segment(text: &'static str) -> Segment {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some("version") => Segment::Version,
        Some(name) => match name.strip_suffix("**") {
            Some(name) => Segment::Rest(name),
            None => Segment::Parameter(name),
        },
        None => Segment::Literal(text),
    }
}

/// Percent-decoding, once. `+` is a plus sign in a path.
pub(super) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let (pair, tail) = tail.split_at_checked(2)?;
        let mut byte = [0_u8];
        hex::decode_to_slice(pair, &mut byte).ok()?;
        bytes.extend(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::routes::{Api, Class};
    use super::*;

    fn route(verb: Verb, template: &'static str) -> Route {
        Route {
            verb,
            template,
            versions: &[ApiVersion::V1, ApiVersion::V1Beta1],
            api: Api::BinaryAuthorization,
            name: "Test",
            permission: "test.test",
            class: Class::Read,
            handler: |_, _| Box::pin(async { Ok(super::super::call::Reply::empty()) }),
        }
    }

    fn table() -> Table {
        Table::new(vec![
            route(Verb::Get, "/{version}/projects/{project}/attestors/{attestor}"),
            route(Verb::Put, "/{version}/projects/{project}/attestors/{attestor}"),
            route(
                Verb::Get,
                "/{version}/projects/{project}/attestors/{attestor}:getIamPolicy",
            ),
            route(
                Verb::Get,
                "/{version}/projects/{project}/occurrences:vulnerabilitySummary",
            ),
            route(Verb::Get, "/{version}/projects/{project}/special/{id}"),
            route(Verb::Get, "/{version}/projects/{project}/special/literal"),
            route(Verb::Get, "/{version}/projects/{project}"),
            route(Verb::Get, "/{version}/projects/{project}/versions/{digest}"),
            route(Verb::Post, "/{version}/projects/{project}/special/{id}:enable"),
            route(Verb::Get, "/own/v1/things"),
            route(Verb::Get, "/{version}/projects/{project}/kinds/{kind**}"),
        ])
    }

    /// A path, its row, and what it captures.
    type Case = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
    );

    const CASES: &[Case] = &[
        (
            "/v1/projects/p/kinds/example.com/a%2Fb/c",
            "/{version}/projects/{project}/kinds/{kind**}",
            &[("project", "p"), ("kind", "example.com/a/b/c")],
        ),
        (
            "/v1/projects/p/kinds/one",
            "/{version}/projects/{project}/kinds/{kind**}",
            &[("project", "p"), ("kind", "one")],
        ),
        (
            "/v1/projects/p/attestors/a",
            "/{version}/projects/{project}/attestors/{attestor}",
            &[("project", "p"), ("attestor", "a")],
        ),
        (
            "/v1beta1/projects/p/attestors/a/",
            "/{version}/projects/{project}/attestors/{attestor}",
            &[("project", "p"), ("attestor", "a")],
        ),
        (
            "/v1/projects/p/attestors/sha256:a1",
            "/{version}/projects/{project}/attestors/{attestor}",
            &[("project", "p"), ("attestor", "sha256:a1")],
        ),
        (
            "/v1/projects/example.com:p",
            "/{version}/projects/{project}",
            &[("project", "example.com:p")],
        ),
        (
            "/v1/projects/p/versions/sha256:ab",
            "/{version}/projects/{project}/versions/{digest}",
            &[("project", "p"), ("digest", "sha256:ab")],
        ),
        (
            "/v1/projects/p/attestors/a:getIamPolicy",
            "/{version}/projects/{project}/attestors/{attestor}:getIamPolicy",
            &[("project", "p"), ("attestor", "a")],
        ),
        (
            "/v1/projects/p/attestors/a%3AgetIamPolicy",
            "/{version}/projects/{project}/attestors/{attestor}:getIamPolicy",
            &[("project", "p"), ("attestor", "a")],
        ),
        (
            "/v1/projects/p/attestors/x:y:getIamPolicy",
            "/{version}/projects/{project}/attestors/{attestor}:getIamPolicy",
            &[("project", "p"), ("attestor", "x:y")],
        ),
        (
            "/v1/projects/p/occurrences:vulnerabilitySummary",
            "/{version}/projects/{project}/occurrences:vulnerabilitySummary",
            &[("project", "p")],
        ),
        (
            "/v1/projects/p/attestors/..%2f..%2fp2%2fattestors%2fx",
            "/{version}/projects/{project}/attestors/{attestor}",
            &[("project", "p"), ("attestor", "../../p2/attestors/x")],
        ),
        (
            "/v1/projects/p/attestors/foo%252Fbar",
            "/{version}/projects/{project}/attestors/{attestor}",
            &[("project", "p"), ("attestor", "foo%2Fbar")],
        ),
        (
            "/v1/projects/p/special/literal",
            "/{version}/projects/{project}/special/literal",
            &[("project", "p")],
        ),
        ("/own/v1/things", "/own/v1/things", &[]),
    ];

    #[test]
    fn paths_find_their_rows() {
        let table = table();
        for (path, template, params) in CASES {
            let (route, captured) = table
                .find(Some(Verb::Get), path)
                .unwrap_or_else(|error| panic!("{path}: {error:?}"));
            assert_eq!(route.template, *template, "{path}");
            let params: Vec<(&'static str, String)> = params
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect();
            assert_eq!(captured.params, params, "{path}");
        }
        assert_eq!(
            table
                .find(Some(Verb::Get), "/v1beta1/projects/p/attestors/a")
                .map(|found| found.1.version),
            Ok(ApiVersion::V1Beta1)
        );
    }

    #[test]
    fn other_paths_do_not() {
        let table = table();
        let cases: &[(Verb, &str, Unmatched)] = &[
            (Verb::Get, "/v2/projects/p/attestors/a", Unmatched::UnknownPath),
            (Verb::Get, "/", Unmatched::UnknownPath),
            (Verb::Get, "//projects/p/attestors/a", Unmatched::UnknownPath),
            (Verb::Get, "/v1/projects//attestors/a", Unmatched::UnknownPath),
            (
                Verb::Get,
                "/v1/projects/p/attestors/:getIamPolicy",
                Unmatched::UnknownPath,
            ),
            (Verb::Get, "/v1/projects/p/attestors/a/b", Unmatched::UnknownPath),
            (Verb::Get, "/v1/projects/p/attestors/../a", Unmatched::UnknownPath),
            (Verb::Get, "/v1/projects/p/attestors/%zz", Unmatched::Undecodable),
            (Verb::Get, "/v1/projects/p/attestors/%ff", Unmatched::Undecodable),
            (Verb::Get, "/v1/projects/p/attestors/%2", Unmatched::Undecodable),
            (
                Verb::Put,
                "/v1/projects/p/attestors/a:getIamPolicy",
                Unmatched::OtherMethods(vec![Verb::Get]),
            ),
            (
                Verb::Delete,
                "/v1/projects/p/attestors/a",
                Unmatched::OtherMethods(vec![Verb::Get, Verb::Put]),
            ),
        ];
        for (verb, path, expected) in cases {
            assert_eq!(
                table.find(Some(*verb), path).map(|found| found.0.template),
                Err(match expected {
                    Unmatched::Undecodable => Unmatched::Undecodable,
                    Unmatched::UnknownPath => Unmatched::UnknownPath,
                    Unmatched::OtherMethods(verbs) => Unmatched::OtherMethods(verbs.clone()),
                    Unmatched::UnknownVerb { given, known } => Unmatched::UnknownVerb {
                        given: given.clone(),
                        known: known.clone(),
                    },
                }),
                "{path}"
            );
        }
    }

    #[test]
    fn a_verb_that_no_row_has_is_named() {
        let table = table();
        let cases: &[(Verb, &str, &str, &[&'static str])] = &[
            (
                Verb::Post,
                "/v1/projects/p/attestors/a:paint",
                "paint",
                &["getIamPolicy"],
            ),
            (
                Verb::Get,
                "/v1/projects/p/attestors/a:paint",
                "paint",
                &["getIamPolicy"],
            ),
            // A verb of other rows.
            (
                Verb::Post,
                "/v1/projects/p/attestors/a:enable",
                "enable",
                &["getIamPolicy"],
            ),
            (
                Verb::Post,
                "/v1/projects/p/special/literal:paint",
                "paint",
                &["enable"],
            ),
        ];
        for (verb, path, given, known) in cases {
            let found = table.find(Some(*verb), path).map(|found| found.0.template);
            let expected = Unmatched::UnknownVerb {
                given: (*given).to_owned(),
                known: known.to_vec(),
            };
            assert_eq!(found, Err(expected), "{path}");
        }
        // Nobody has that path, with a verb or without.
        assert_eq!(
            table
                .find(Some(Verb::Get), "/v1/nothing:paint")
                .map(|found| found.0.template),
            Err(Unmatched::UnknownPath)
        );
    }
}
