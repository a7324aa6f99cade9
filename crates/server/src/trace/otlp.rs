//! OTLP's JSON: identifiers in hexadecimal, 64-bit numbers as text, enums as numbers.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Attribute, Finished};

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// Random bytes, handed out as identifiers.
pub(super) struct Identifiers<'a>(pub(super) &'a [u8]);

impl Identifiers<'_> {
    /// How many bytes the spans of these requests need.
    pub(super) fn needed(batch: &[Finished]) -> usize {
        batch
            .iter()
            .map(|finished| 16 + 8 * (1 + finished.parts.len()))
            .sum()
    }

    /// None when there are no more; all zeros would be no identifier.
    fn next(&mut self, length: usize) -> Option<String> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        taken.iter().any(|byte| *byte != 0).then(|| hex::encode(taken))
    }
}

/// An `ExportTraceServiceRequest` with the spans of these requests.
pub(super) fn request(batch: &[Finished], mut identifiers: Identifiers<'_>) -> Value {
    let spans: Vec<Value> = batch
        .iter()
        .filter_map(|finished| spans(finished, &mut identifiers))
        .flatten()
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", &Attribute::Text("binauthz".to_owned())),
            attribute("service.version", &Attribute::Text(version.to_owned())),
        ] },
        "scopeSpans": [{ "scope": { "name": "binauthz", "version": version }, "spans": spans }],
    }] })
}

/// The span of a request, and those of its parts.
fn spans(finished: &Finished, identifiers: &mut Identifiers<'_>) -> Option<Vec<Value>> {
    let own_trace = identifiers.next(16)?;
    let trace = finished
        .parent
        .map_or(own_trace, |parent| hex::encode(parent.trace()));
    let root = identifiers.next(8)?;
    let ended = u128::try_from(finished.ended.as_micros()).ok()? * 1_000;
    let began = ended.checked_sub(finished.took.as_nanos())?;
    let attributes: Vec<Value> = finished
        .attributes
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect();
    let mut whole = json!({
        "traceId": trace,
        "spanId": root,
        "name": finished.name,
        "kind": SERVER,
        "startTimeUnixNano": began.to_string(),
        "endTimeUnixNano": ended.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = finished.parent {
        whole["parentSpanId"] = json!(hex::encode(parent.span()));
    }
    if finished.failed {
        whole["status"] = json!({ "code": ERROR });
    }
    let mut spans = vec![whole];
    let at = |after: Duration| (began + after.as_nanos()).min(ended).to_string();
    for (name, from, until) in &finished.parts {
        spans.push(json!({
            "traceId": trace,
            "spanId": identifiers.next(8)?,
            "parentSpanId": root,
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": at(*from),
            "endTimeUnixNano": at(*until),
        }));
    }
    Some(spans)
}

fn attribute(key: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        Attribute::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests {
    use super::super::Parent;
    use super::super::tests::finished;
    use super::*;

    #[test]
    fn a_request_is_a_span_and_its_parts_are_below_it() {
        let parent = Parent::read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let batch = [finished(parent), finished(None)];
        let random: Vec<u8> = (1..=u8::try_from(Identifiers::needed(&batch)).unwrap()).collect();
        assert_eq!(random.len(), 64);
        let written = request(&batch, Identifiers(&random));
        let spans = &written["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans.as_array().unwrap().len(), 4, "{written:#}");
        assert_eq!(
            spans[0],
            json!({
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": "1112131415161718",
                "parentSpanId": "b7ad6b7169203331",
                "name": "admission",
                "kind": 2,
                "startTimeUnixNano": "1500000000",
                "endTimeUnixNano": "2000000000",
                "attributes": [
                    { "key": "binauthz.verdict", "value": { "stringValue": "deny" } },
                    { "key": "binauthz.images", "value": { "intValue": "2" } },
                ],
            })
        );
        assert_eq!(
            spans[1],
            json!({
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": "191a1b1c1d1e1f20",
                "parentSpanId": "1112131415161718",
                "name": "read",
                "kind": 1,
                "startTimeUnixNano": "1500000000",
                "endTimeUnixNano": "1600000000",
            })
        );
        assert_eq!(spans[2]["traceId"], "2122232425262728292a2b2c2d2e2f30");
        assert_eq!(spans[2].get("parentSpanId"), None);
        // Where there is no randomness there is no span, rather than one that is another's.
        let none = request(&batch, Identifiers(&[0; 64]));
        assert_eq!(none["resourceSpans"][0]["scopeSpans"][0]["spans"], json!([]));
    }
}
