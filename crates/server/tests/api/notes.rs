//! Container Analysis' notes.

use serde_json::{Value, json};

use crate::support::Desk;

const NOTES: &str = "/v1/projects/p/notes";

fn attestation(name: &str) -> Value {
    json!({ "attestation": { "hint": { "humanReadableName": name } } })
}

async fn with_note(body: Value) -> Desk {
    let desk = Desk::new().await;
    desk.post(&format!("{NOTES}?noteId=n"), body).await.ok();
    desk
}

fn ids(notes: &[Value]) -> Vec<&str> {
    notes
        .iter()
        .map(|note| note["name"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect()
}

/// A mask, a body, the place it changes and what is there afterwards.
fn masks() -> Vec<(&'static str, Value, &'static str, Value)> {
    vec![
        (
            "shortDescription",
            json!({ "shortDescription": "s2" }),
            "/shortDescription",
            json!("s2"),
        ),
        (
            "long_description",
            json!({ "longDescription": "l2" }),
            "/longDescription",
            json!("l2"),
        ),
        ("relatedUrl", json!({}), "/relatedUrl", Value::Null),
        (
            "expirationTime",
            json!({ "expirationTime": null }),
            "/expirationTime",
            Value::Null,
        ),
        (
            "relatedNoteNames",
            json!({ "relatedNoteNames": ["projects/p/notes/o"] }),
            "/relatedNoteNames/0",
            json!("projects/p/notes/o"),
        ),
        (
            "attestation.hint.humanReadableName",
            attestation("one"),
            "/attestation/hint/humanReadableName",
            json!("one"),
        ),
        (
            "attestation.hint.human_readable_name",
            attestation("two"),
            "/attestation/hint/humanReadableName",
            json!("two"),
        ),
        (
            "attestation.hint",
            attestation("three"),
            "/attestation/hint/humanReadableName",
            json!("three"),
        ),
        (
            "attestation",
            attestation("four"),
            "/attestation/hint/humanReadableName",
            json!("four"),
        ),
        ("attestation", json!({}), "/attestation", json!({})),
    ]
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    let whole = json!({
        "shortDescription": "short", "longDescription": "long",
        "relatedUrl": [{ "url": "https://example.com", "label": "l" }],
        "expirationTime": "2030-01-01T00:00:00Z", "relatedNoteNames": ["projects/p/notes/m"],
        "attestation": { "hint": { "humanReadableName": "who" } },
    });
    let desk = with_note(whole.clone()).await;
    let path = format!("{NOTES}/n");
    let before = desk.get(&path).await.ok();
    for (mask, body, pointer, expected) in masks() {
        desk.patch(&path, whole.clone()).await.ok();
        // What the mask does not name may come along, and does not count.
        let mut given = body;
        if mask != "shortDescription" {
            given["shortDescription"] = json!("not named");
        }
        let updated = desk.patch(&format!("{path}?updateMask={mask}"), given).await.ok();
        assert_eq!(
            updated.pointer(pointer).unwrap_or(&Value::Null),
            &expected,
            "{mask}"
        );
        assert_eq!(desk.get(&path).await.ok(), updated, "{mask}");
        let top = pointer.split('/').nth(1).unwrap();
        for (field, value) in before.as_object().unwrap() {
            if field != top && field != "updateTime" {
                assert_eq!(&updated[field], value, "{mask} left `{field}` alone");
            }
        }
    }
}

#[tokio::test]
async fn without_a_mask_the_body_is_the_whole_note() {
    let desk = with_note(json!({ "shortDescription": "s", "attestation": {} })).await;
    let path = format!("{NOTES}/n");
    for mask in ["", "?updateMask=", "?updateMask=*"] {
        let updated = desk.patch(&format!("{path}{mask}"), attestation("x")).await.ok();
        assert_eq!(updated["shortDescription"], Value::Null);
        desk.patch(&format!("{path}{mask}"), json!({ "shortDescription": "s" }))
            .await
            .refused("INVALID_ARGUMENT", "`attestation` is required");
    }
    for (mask, body, expected) in [
        ("kind", json!({}), "`kind` cannot be updated"),
        ("attestation.hint.x", json!({}), "cannot be updated"),
        ("name", json!({}), "`name` cannot be updated"),
        (
            "shortDescription",
            json!({ "shortDescriptoin": "x" }),
            "shortDescriptoin",
        ),
        ("shortDescription", json!({ "kind": "BUILD" }), "kind"),
        (
            "shortDescription",
            json!({ "attestation": { "hint": { "x": 1 } } }),
            "attestation.hint.x",
        ),
    ] {
        desk.patch(&format!("{path}?updateMask={mask}"), body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    assert_eq!(
        desk.get(&path).await.ok()["attestation"],
        attestation("x")["attestation"]
    );
    desk.patch(&format!("{NOTES}/m?updateMask=shortDescription"), json!({}))
        .await
        .refused("NOT_FOUND", "notes/m");
}

#[tokio::test]
async fn several_notes_are_created_or_none() {
    let desk = with_note(attestation("there")).await;
    let batch = format!("{NOTES}:batchCreate");
    let both = json!({ "parent": "projects/ignored", "notes": { "a": attestation("x"), "b": { "attestation": {} } } });
    let made = desk.post(&batch, both).await.ok();
    assert_eq!(ids(made["notes"].as_array().unwrap()), ["a", "b"]);
    assert_eq!(desk.get(&format!("{NOTES}/a")).await.ok(), made["notes"][0]);

    let many: serde_json::Map<String, Value> = (0..1001)
        .map(|n| (format!("n{n}"), json!({ "attestation": {} })))
        .collect();
    for (body, code, expected) in [
        (
            json!({ "notes": { "c": attestation("x"), "n": attestation("x") } }),
            "ALREADY_EXISTS",
            "projects/p/notes/n",
        ),
        (
            json!({ "notes": { "c": attestation("x"), "d": { "build": {} } } }),
            "INVALID_ARGUMENT",
            "notes[\"d\"].build",
        ),
        (
            json!({ "notes": { "c": attestation("x"), "d e": attestation("x") } }),
            "INVALID_ARGUMENT",
            "notes[\"d e\"]",
        ),
        (
            json!({ "notes": { "c": {} } }),
            "INVALID_ARGUMENT",
            "notes[\"c\"].attestation",
        ),
        (
            json!({ "notes": [attestation("c")] }),
            "INVALID_ARGUMENT",
            "notes",
        ),
        (
            json!({ "notes": many }),
            "INVALID_ARGUMENT",
            "1001 entries, expected 1 to 1000",
        ),
        (json!({ "notes": {} }), "INVALID_ARGUMENT", "0 entries"),
        (json!({}), "INVALID_ARGUMENT", "notes"),
    ] {
        desk.post(&batch, body).await.refused(code, expected);
    }
    let listed = desk.get(NOTES).await.ok();
    assert_eq!(ids(listed["notes"].as_array().unwrap()), ["a", "b", "n"]);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let desk = Desk::new().await;
    for (id, short) in [
        ("build-1", "by the builder"),
        ("build-2", ""),
        ("qa", "by Q\u{41}"),
    ] {
        let body = json!({ "shortDescription": short, "attestation": {} });
        desk.post(&format!("{NOTES}?noteId={id}"), body).await.ok();
    }
    let list = async |filter: &str| {
        let filter: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        desk.pages(&format!("{NOTES}?filter={filter}"), "notes", 1).await
    };
    for (filter, expected) in [
        ("", vec!["build-1", "build-2", "qa"]),
        ("kind=\"ATTESTATION\"", vec!["build-1", "build-2", "qa"]),
        ("kind=\"VULNERABILITY\"", vec![]),
        ("noteId=\"qa\"", vec!["qa"]),
        ("has_prefix(noteId, \"build\")", vec!["build-1", "build-2"]),
        (
            "name=\"projects/p/notes/qa\" OR note_id=\"build-2\"",
            vec!["build-2", "qa"],
        ),
        ("shortDescription:\"by\" AND NOT noteId=\"qa\"", vec!["build-1"]),
        (
            "createTime>\"2020-01-01T00:00:00Z\" AND noteId=\"qa\"",
            vec!["qa"],
        ),
        ("updateTime<\"2020-01-01T00:00:00Z\"", vec![]),
    ] {
        assert_eq!(ids(&list(filter).await), expected, "{filter}");
    }
    for filter in ["resourceUri%3D%22x%22", "kind", "kind%3D", "createTime%3D%22x%22"] {
        desk.get(&format!("{NOTES}?filter={filter}"))
            .await
            .refused("INVALID_ARGUMENT", "filter");
    }
    // A token is good for its own filter only.
    let page = desk.get(&format!("{NOTES}?pageSize=1")).await.ok();
    let token = page["nextPageToken"].as_str().unwrap();
    desk.get(&format!(
        "{NOTES}?pageSize=1&pageToken={token}&filter=noteId%3D%22qa%22"
    ))
    .await
    .refused("INVALID_ARGUMENT", "pageToken");
}

#[tokio::test]
async fn a_note_that_an_attestor_uses_stays() {
    let desk = with_note(attestation("x")).await;
    let attestor = json!({ "userOwnedGrafeasNote": { "noteReference": "projects/p/notes/n" } });
    desk.post("/v1/projects/q/attestors?attestorId=a", attestor)
        .await
        .ok();
    let path = format!("{NOTES}/n");
    desk.delete(&path)
        .await
        .refused("FAILED_PRECONDITION", "the note of `projects/q/attestors/a`");
    desk.delete("/v1/projects/q/attestors/a").await.ok();
    desk.delete(&path).await.ok();
    desk.get(&path).await.refused("NOT_FOUND", "notes/n");
    desk.delete(&path).await.refused("NOT_FOUND", "notes/n");
    desk.post(&format!("{NOTES}?noteId=n"), attestation("x"))
        .await
        .ok();
    desk.post(&format!("{NOTES}?noteId=n"), attestation("x"))
        .await
        .refused("ALREADY_EXISTS", "notes/n");
    desk.post(&format!("{NOTES}/?noteId=m"), attestation("x"))
        .await
        .ok();
}
