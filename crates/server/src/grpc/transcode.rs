//! From the message of a method to the call of the REST API that it is.
//!
//! The field that names the resource becomes the path, one field or the rest becomes the body, and what is left becomes
//! the query, as the method's row says.

use std::fmt::Write as _;

use binauthz_wire::json::Value;
use binauthz_wire::status;
use serde_json::{Map, Value as Json};

use super::methods::Method;
use crate::control::error::ApiError;
use crate::control::query::Query;
use crate::control::routes::{self, Verb};

/// A call of the REST API.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) body: Value,
}

/// The variable of a template and what is around it.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) before: &'static str,
    /// The field, with dots where it is inside another.
    field: &'static str,
    /// `projects/*/attestors/*`; `**` is any name, and at the end any rest of one.
    pub(super) form: &'static str,
    pub(super) after: &'static str,
}

/// Most templates have one: `entries:list` names what it is about in its body.
pub(super) fn variable(method: &Method) -> Option<Variable> {
    let (before, rest) = method.template.split_once('{')?;
    let (variable, after) = rest.split_once('}')?;
    let (field, form) = variable.split_once('=')?;
    Some(Variable {
        before,
        field,
        form,
        after,
    })
}

/// The call that `message` asks for.
pub(super) fn ask(method: &Method, mut message: Map<String, Json>) -> Result<Asked, ApiError> {
    let path = path(method, &mut message)?;
    let verb = method
        .verbs
        .iter()
        .copied()
        .find(|verb| routes::name_at(*verb, &path).is_some())
        .or(method.verbs.first().copied())
        .unwrap_or(Verb::Get);
    let has_body = !matches!(verb, Verb::Get | Verb::Delete);
    let body = match method.body {
        "*" if has_body => Json::Object(std::mem::take(&mut message)),
        "" | "*" => Json::Null,
        field => message.remove(field).unwrap_or(Json::Null),
    };
    let mut pairs = Vec::new();
    for (name, value) in message {
        add_pairs(&mut pairs, name, value);
    }
    Ok(Asked {
        verb,
        path,
        query: Query::of_pairs(pairs),
        body: if body.is_null() {
            Value::empty_object()
        } else {
            body.into()
        },
    })
}

/// Takes out of a reply what only the REST API's form of it has: the resource name of a log-based metric.
pub(super) fn leave_out(method: &Method, reply: &mut Json) {
    let leave_out = |metric: &mut Json| {
        if let Some(members) = metric.as_object_mut() {
            members.remove("resourceName");
        }
    };
    match method.response().as_str() {
        "google.logging.v2.LogMetric" => leave_out(reply),
        "google.logging.v2.ListLogMetricsResponse" => {
            let metrics = reply.get_mut("metrics").and_then(Json::as_array_mut);
            metrics.into_iter().flatten().for_each(leave_out);
        }
        _ => {}
    }
}

/// The path, from the field that names the resource. At the top of the message the field is then used up; inside another
/// it stays there, as it does in a body over HTTP.
fn path(method: &Method, message: &mut Map<String, Json>) -> Result<String, ApiError> {
    let Some(Variable {
        before,
        field,
        form,
        after,
    }) = variable(method)
    else {
        return Ok(method.template.to_owned());
    };
    let taken = match field.split_once('.') {
        Some((outer, inner)) => message.get(outer).and_then(|outer| outer.get(inner)).cloned(),
        None => message.remove(field),
    };
    let name = taken.as_ref().and_then(Json::as_str).unwrap_or_default();
    if !has_form(name, form) {
        let shown: String = name.chars().take(200).collect();
        let expected = format!("is `{shown}`, expected the form `{form}`");
        let detail = status::bad_request(&[(field, &expected)]);
        return Err(ApiError::invalid_argument(format!("`{field}` {expected}")).with_detail(detail));
    }
    let segments: Vec<String> = name.split('/').map(encoded).collect();
    Ok(format!("{before}{}{after}", segments.join("/")))
}

/// Whether a name has as many segments as the form, none of them empty, and the same words where the form has words.
fn has_form(name: &str, form: &str) -> bool {
    let mut segments = name.split('/');
    if form == "**" {
        return segments.all(|segment| !segment.is_empty());
    }
    if let Some(begin) = form.strip_suffix("/**") {
        let length = begin.split('/').count();
        let (first, rest): (Vec<&str>, Vec<&str>) =
            (segments.by_ref().take(length).collect(), segments.collect());
        return has_form(&first.join("/"), begin)
            && !rest.is_empty()
            && rest.iter().all(|segment| !segment.is_empty());
    }
    let fits = form.split('/').all(|word| match segments.next() {
        Some(segment) => !segment.is_empty() && (word == "*" || word == segment),
        None => false,
    });
    fits && segments.next().is_none()
}

/// One segment of a path, so that it is decoded to what it was and to one segment.
fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Lists are repeated, messages within are dotted.
fn add_pairs(pairs: &mut Vec<(String, String)>, name: String, value: Json) {
    match value {
        Json::Null => {}
        Json::String(text) => pairs.push((name, text)),
        Json::Bool(flag) => pairs.push((name, flag.to_string())),
        Json::Number(number) => pairs.push((name, number.to_string())),
        Json::Array(items) => items
            .into_iter()
            .for_each(|item| add_pairs(pairs, name.clone(), item)),
        Json::Object(members) => {
            for (inner, value) in members {
                add_pairs(pairs, format!("{name}.{inner}"), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use binauthz_wire::status::Code;
    use serde_json::json;

    use super::super::methods::find;
    use super::*;

    fn asked(method: &str, message: Json) -> Result<Asked, ApiError> {
        let Json::Object(message) = message else {
            panic!("{message} is no message");
        };
        ask(find(method).unwrap(), message)
    }

    #[test]
    fn path_body_and_query_are_told_apart() {
        let call = asked(
            "/grafeas.v1.Grafeas/UpdateNote",
            json!({ "name": "projects/p/notes/n", "note": { "name": "x" }, "updateMask": "shortDescription" }),
        )
        .unwrap();
        assert_eq!(
            (call.verb, call.path.as_str()),
            (Verb::Patch, "/v1/projects/p/notes/n")
        );
        assert_eq!(call.query.string("updateMask").unwrap(), Some("shortDescription"));
        assert_eq!(call.query.string("name").unwrap(), None);
        assert_eq!(call.body, json!({ "name": "x" }).into());

        let call = asked(
            "/google.cloud.kms.v1.KeyManagementService/UpdateCryptoKeyVersion",
            json!({ "cryptoKeyVersion": { "name": "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1" } }),
        )
        .unwrap();
        assert_eq!(
            call.path,
            "/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
        );
        assert!(
            call.body.member("name").is_some(),
            "a name within stays where it is"
        );

        let call = asked(
            "/grafeas.v1.Grafeas/ListNotes",
            json!({ "parent": "projects/p", "pageSize": 2 }),
        )
        .unwrap();
        assert_eq!(
            (call.verb, call.path.as_str()),
            (Verb::Get, "/v1/projects/p/notes")
        );
        assert_eq!(call.query.number("pageSize").unwrap(), Some(2));
        assert_eq!(call.body, Value::empty_object());
    }

    #[test]
    fn the_verb_of_an_iam_policy_is_that_of_its_api() {
        for (resource, verb) in [
            ("projects/p/attestors/a", Verb::Get),
            ("projects/p/notes/n", Verb::Post),
            ("projects/p/nothing/n", Verb::Get),
        ] {
            let message = json!({ "resource": resource, "options": { "requestedPolicyVersion": 3 } });
            let call = asked("/google.iam.v1.IAMPolicy/GetIamPolicy", message).unwrap();
            assert_eq!(call.verb, verb, "{resource}");
            assert_eq!(call.path, format!("/v1/{resource}:getIamPolicy"));
            let in_query = call.query.string("options.requestedPolicyVersion").unwrap();
            assert_eq!(in_query, (verb == Verb::Get).then_some("3"), "{resource}");
        }
    }

    #[test]
    fn a_name_stays_in_its_place_in_the_path() {
        let call = asked(
            "/grafeas.v1.Grafeas/GetNote",
            json!({ "name": "projects/p/notes/a%2Fb?x=1#y:z ü" }),
        )
        .unwrap();
        assert_eq!(call.path, "/v1/projects/p/notes/a%252Fb%3Fx%3D1%23y%3Az%20%C3%BC");
        for name in [
            "",
            "projects/p/notes",
            "projects/p/notes/",
            "projects//notes/n",
            "projects/p/notes/n/more",
            "projects/p/occurrences/n",
            "/projects/p/notes/n",
        ] {
            let error = asked("/grafeas.v1.Grafeas/GetNote", json!({ "name": name })).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{name}");
            assert!(error.message().starts_with("`name` is `"), "{}", error.message());
        }
        let error = asked("/grafeas.v1.Grafeas/GetNote", json!({})).unwrap_err();
        assert_eq!(
            error.message(),
            "`name` is ``, expected the form `projects/*/notes/*`"
        );
        assert!(
            asked(
                "/google.iam.v1.IAMPolicy/GetIamPolicy",
                json!({ "resource": "a//b" })
            )
            .is_err()
        );
    }

    #[test]
    fn a_name_may_end_in_any_rest() {
        let asked = |name: &str| {
            asked(
                "/google.monitoring.v3.MetricService/GetMetricDescriptor",
                json!({ "name": name }),
            )
        };
        let call = asked("projects/p/metricDescriptors/logging.googleapis.com/user/a b/c").unwrap();
        assert_eq!(
            call.path,
            "/v3/projects/p/metricDescriptors/logging.googleapis.com/user/a%20b/c"
        );
        for name in [
            "projects/p/metricDescriptors",
            "projects/p/metricDescriptors/",
            "projects/p/metricDescriptors/a//b",
            "projects//metricDescriptors/a",
            "projects/p/metrics/a/b",
        ] {
            assert!(asked(name).is_err(), "{name}");
        }
    }

    #[test]
    fn lists_are_repeated_and_messages_dotted() {
        let mut pairs = Vec::new();
        add_pairs(
            &mut pairs,
            "a".to_owned(),
            json!({ "b": [1, true, "x"], "c": { "d": null, "e": "" } }),
        );
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("a.b", "1"), ("a.b", "true"), ("a.b", "x"), ("a.c.e", "")]
        );
    }
}
