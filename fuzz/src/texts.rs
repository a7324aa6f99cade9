//! Small languages and tokens: filters, page tokens, the texts in fields.

use binauthz_core::time::UnixTime;
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::filter::Filter;
use binauthz_wire::logging::{Entry, Query, Truth};
use binauthz_wire::monitoring::{Filter as MetricFilter, Series};
use binauthz_wire::page::PageToken;
use binauthz_wire::{artifactregistry, json};

use crate::Outcome;

pub(crate) fn log_filter(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = Query::parse(text);
        if let Ok(query) = &read {
            check_query(text, query);
        }
        Outcome::of(&read)
    })
}

/// What is said of an entry nobody knows holds of one that is known; nothing is wanted outside of the times.
fn check_query(text: &str, query: &Query) {
    assert_eq!(query.text(), text);
    let time = UnixTime::from_seconds(1_788_220_800);
    let entry = Entry::new("projects/p/logs/l", "id", time);
    let wanted = query.test(&entry);
    match query.test_partly(&Entry::unknown()) {
        Truth::True => assert!(wanted, "wanted whatever it is, and not wanted"),
        Truth::False => assert!(!wanted, "not wanted whatever it is, and wanted"),
        _ => {}
    }
    let times = query.times();
    assert!(
        !wanted || (times.from <= time && time <= times.until),
        "wanted outside of its times"
    );
    let _ = query.demand();
}

const FIELDS: &[&str] = &["kind", "resourceUri", "noteProjectId", "noteId", "createTime"];

pub(crate) fn list_filter(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = Filter::parse(text, FIELDS);
        if let Ok(filter) = &read {
            let value = |name: &str| {
                if name == "createTime" {
                    "2026-09-01T00:00:00Z".to_owned()
                } else {
                    name.to_owned()
                }
            };
            let wanted = filter.matches(&value);
            let suffix = filter.required_suffix("resourceUri");
            assert!(!wanted || suffix.is_none_or(|suffix| "resourceUri".ends_with(suffix)));
        }
        Outcome::of(&read)
    })
}

pub(crate) fn metric_filter(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = MetricFilter::parse(text);
        if let Ok(filter) = &read {
            assert_eq!(filter.text(), text);
            let series = |metric_type| Series {
                project: "p",
                metric_type,
                metric_labels: &[],
                resource_type: "k8s_cluster",
                resource_labels: &[],
            };
            if let Some(named) = filter.metric_type() {
                assert!(
                    !filter.matches(series(&format!("{named}x"))),
                    "another metric is matched"
                );
            }
        }
        Outcome::of(&read)
    })
}

/// A token that is taken is the one token for that place of that list.
pub(crate) fn page_token(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = PageToken::decode("l", text);
        if let Ok(token) = &read {
            assert_eq!(PageToken::encode("l", token.after()), text);
            assert!(PageToken::decode("m", text).is_err(), "good for another list");
        }
        Outcome::of(&read)
    })
}

/// Times, lengths of time, bytes in base64, field masks, packages: the texts that stand in fields.
pub(crate) fn field_value(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let time = json::timestamp_from(text);
        if let Some(time) = time {
            assert_eq!(json::timestamp_from(&json::timestamp_out(time)), Some(time));
        }
        let duration = json::duration_from(text);
        if let Some(duration) = duration {
            assert_eq!(json::duration_from(&json::duration_out(duration)), Some(duration));
        }
        let bytes = json::bytes_from(text);
        if let Some(bytes) = &bytes {
            assert_eq!(json::bytes_from(&json::bytes_out(bytes)).as_ref(), Some(bytes));
        }
        let mask = FieldMask::parse(text, FIELDS);
        let _ = artifactregistry::package_from(text);
        let is_read = time.is_some() || duration.is_some() || bytes.is_some() || mask.is_ok();
        if is_read { Outcome::Read } else { Outcome::Refused }
    })
}
