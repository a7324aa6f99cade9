//! Attestations as Container Analysis' occurrences.

use reqwest::Method;
use serde_json::{Value, json};

use crate::court::{ATTESTOR, Court, KEY_ID};
use crate::support::answer;

const OCCURRENCES: &str = "/v1/projects/p/occurrences";
const BATCH: &str = "/v1/projects/p/occurrences:batchCreate";

async fn count(court: &Court) -> usize {
    court.desk.pages(OCCURRENCES, "occurrences", 100).await.len()
}

#[tokio::test]
async fn what_is_not_about_its_image_is_not_stored() {
    let court = Court::new().await;
    let (one, two) = (court.unsigned(), court.unsigned());
    let good = court.occurrence(&one);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut occurrence = good.clone();
        change(&mut occurrence);
        occurrence
    };
    let cases = [
        (
            with(&|occurrence| occurrence["resourceUri"] = json!(two)),
            "INVALID_ARGUMENT",
            "but the signed payload is about",
        ),
        (
            with(&|occurrence| occurrence["resourceUri"] = json!("r.test/a/b:latest")),
            "INVALID_ARGUMENT",
            "names no digest",
        ),
        (
            with(&|occurrence| occurrence["attestation"]["serializedPayload"] = json!("e30=")),
            "INVALID_ARGUMENT",
            "attestation.serializedPayload",
        ),
        (
            with(&|occurrence| occurrence["attestation"]["signatures"] = json!([])),
            "INVALID_ARGUMENT",
            "attestation.signatures",
        ),
        (
            with(&|occurrence| occurrence["noteName"] = json!("projects/p/notes/missing")),
            "NOT_FOUND",
            "projects/p/notes/missing",
        ),
        (
            with(&|occurrence| occurrence["attestation"]["jwts"] = json!([{ "compactJwt": "x" }])),
            "INVALID_ARGUMENT",
            "attestation.jwts",
        ),
    ];
    for (occurrence, code, expected) in cases {
        court
            .desk
            .post(OCCURRENCES, occurrence.clone())
            .await
            .refused(code, expected);
        // One bad entry spoils the batch.
        let batch = json!({ "parent": "projects/p", "occurrences": [good, occurrence] });
        court.desk.post(BATCH, batch).await.refused(code, expected);
        assert_eq!(count(&court).await, 0, "{expected}");
    }
    // Empty is absent.
    let empty = with(&|occurrence| occurrence["attestation"]["jwts"] = json!([]));
    court.desk.post(OCCURRENCES, empty).await.ok();
    court
        .desk
        .post(OCCURRENCES, good)
        .await
        .refused("ALREADY_EXISTS", "occurrence ID");
}

#[tokio::test]
async fn what_is_stored_is_looked_at_and_refused_to_nobody() {
    let court = Court::new().await;
    let found = async || court.desk.audit(1).await[0]["detail"].clone();
    let image = court.unsigned();
    let name = court.attest(&image).await;
    let facts = found().await;
    assert_eq!((&facts["verified"], &facts["rejected"]), (&json!(1), &json!(0)));
    assert_eq!(
        facts["verification"],
        json!([{ "attestor": ATTESTOR, "occurrence": name, "key": KEY_ID }])
    );

    // A signature of another statement; the attestation is stored, and does not count.
    let mut forged = court.occurrence(&court.unsigned());
    let digest = forged["resourceUri"]
        .as_str()
        .unwrap()
        .split_once("//")
        .unwrap()
        .1
        .to_owned();
    forged["attestation"]["signatures"] = court.statement(&image)["signatures"].clone();
    court.desk.post(OCCURRENCES, forged).await.ok();
    let facts = found().await;
    assert_eq!((&facts["verified"], &facts["rejected"]), (&json!(0), &json!(1)));
    let why = facts["verification"][0]["rejected"].as_str().unwrap();
    assert!(why.contains("does not verify"), "{why}");
    court.pod(&[&digest]).await.denial();

    // Before its key.
    let attestor = "/v1/projects/p/attestors/image-signing-attestor";
    court.desk.put(attestor, court.attestor(false)).await.ok();
    let early = court.signed().await;
    let why = found().await["verification"][0]["rejected"].clone();
    assert_eq!(why, "the attestor has no public keys");
    court.desk.put(attestor, court.attestor(true)).await.ok();
    court.pod(&[&early]).await.admitted();

    // Nobody listens to that note yet.
    court
        .desk
        .post("/v1/projects/p/notes?noteId=new", json!({ "attestation": {} }))
        .await
        .ok();
    let mut unheard = court.occurrence(&court.unsigned());
    unheard["noteName"] = json!("projects/p/notes/new");
    let batch = json!({ "occurrences": [unheard, court.occurrence(&court.unsigned())] });
    court.desk.post(BATCH, batch).await.ok();
    let facts = found().await;
    assert_eq!((&facts["verified"], &facts["rejected"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_batch_is_stored_at_once() {
    let court = Court::new().await;
    let images = [court.unsigned(), court.unsigned()];
    let occurrences: Vec<Value> = images.iter().map(|image| court.occurrence(image)).collect();
    for image in &images {
        court.pod(&[image]).await.denial();
    }
    let stored = court
        .desk
        .post(BATCH, json!({ "occurrences": occurrences }))
        .await
        .ok();
    assert_eq!(stored["occurrences"].as_array().unwrap().len(), 2);
    court.pod(&[&images[0], &images[1]]).await.admitted();
    for body in [json!({}), json!({ "occurrences": [] })] {
        court
            .desk
            .post(BATCH, body)
            .await
            .refused("INVALID_ARGUMENT", "0 entries, expected 1 to 1000");
    }
    let many = vec![json!({}); 1001];
    court
        .desk
        .post(BATCH, json!({ "occurrences": many }))
        .await
        .refused("INVALID_ARGUMENT", "1001 entries");
    assert_eq!(count(&court).await, 2);
}

#[tokio::test]
async fn an_occurrence_leads_to_its_note() {
    let court = Court::new().await;
    let name = court.attest(&court.unsigned()).await;
    let note = court.desk.get("/v1/projects/p/notes/signed").await.ok();
    assert_eq!(court.desk.get(&format!("/v1/{name}/notes")).await.ok(), note);
    let shown = court.desk.get(&format!("/v1/{name}")).await.ok();
    assert_eq!(shown["name"], name);
    court
        .desk
        .get("/v1/projects/p/occurrences/x/notes")
        .await
        .refused("NOT_FOUND", "occurrences/x");
    court
        .desk
        .get("/v1/projects/p/notes/x/occurrences")
        .await
        .refused("NOT_FOUND", "notes/x");
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let court = Court::new().await;
    let mut names = Vec::new();
    let mut images = Vec::new();
    for _ in 0..5 {
        let image = court.unsigned();
        names.push(court.attest(&image).await);
        images.push(image);
    }
    names.sort();
    let of_note = "/v1/projects/p/notes/signed/occurrences";
    for list in [OCCURRENCES, of_note] {
        let listed = court.desk.pages(list, "occurrences", 2).await;
        let listed: Vec<_> = listed.iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(listed, names, "{list}");
    }
    let list = async |filter: &str| {
        let filter: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("{OCCURRENCES}?filter={filter}");
        court.desk.pages(&path, "occurrences", 2).await.len()
    };
    let digest = images[0].split_once('@').unwrap().1;
    for (filter, expected) in [
        ("kind=\"ATTESTATION\"".to_owned(), 5),
        ("kind=\"BUILD\" OR kind=\"SBOM_REFERENCE\"".to_owned(), 0),
        ("noteName=\"projects/p/notes/signed\"".to_owned(), 5),
        ("note_name=\"projects/p/notes/other\"".to_owned(), 0),
        ("noteId=\"signed\" AND noteProjectId=\"p\"".to_owned(), 5),
        (format!("has_suffix(resourceUrl, \"{digest}\")"), 1),
        (
            format!(
                "noteName=\"projects/p/notes/signed\" AND resourceUrl=\"https://{}\"",
                images[1]
            ),
            1,
        ),
    ] {
        assert_eq!(list(&filter).await, expected, "{filter}");
    }
    court
        .desk
        .get(&format!("{OCCURRENCES}?filter=note%3D%22x%22"))
        .await
        .refused("INVALID_ARGUMENT", "noteName");
}

#[tokio::test]
async fn a_summary_of_vulnerabilities_is_empty_and_its_filter_is_read() {
    let court = Court::new().await;
    court.attest(&court.unsigned()).await;
    let summary = format!("{OCCURRENCES}:vulnerabilitySummary");
    assert_eq!(court.desk.get(&summary).await.ok(), json!({}));
    let filter = "?filter=has_prefix(resource_url,%20%22https://r.test/a%22)";
    assert_eq!(
        court.desk.get(&format!("{summary}{filter}")).await.ok(),
        json!({})
    );
    court
        .desk
        .get(&format!("{summary}?filter=severity%3DHIGH"))
        .await
        .refused("INVALID_ARGUMENT", "filter");
    court
        .desk
        .post(&summary, json!({}))
        .await
        .refused("NOT_FOUND", "expected GET");
}

#[tokio::test]
async fn what_was_attested_does_not_change_and_what_is_said_of_it_may() {
    let court = Court::new().await;
    let image = court.unsigned();
    let name = court.attest(&image).await;
    let path = format!("/v1/{name}");
    let before = court.desk.get(&path).await.ok();
    let mut changed = before.clone();
    changed["attestation"]["signatures"][0]["signature"] = json!("AAAA");
    changed["remediation"] = json!("rebuild");
    for mask in [
        "",
        "?updateMask=",
        "?updateMask=*",
        "?updateMask=attestation",
        "?updateMask=attestation.signatures",
        "?updateMask=noteName",
        "?updateMask=resource_uri",
        "?updateMask=remediation,attestation",
    ] {
        court
            .desk
            .patch(&format!("{path}{mask}"), changed.clone())
            .await
            .refused("INVALID_ARGUMENT", "an attestation cannot be changed");
        assert_eq!(court.desk.get(&path).await.ok(), before, "{mask}");
        let row = &court.desk.audit(1).await[0];
        assert_eq!(
            (&row["method"], &row["status"]),
            (
                &json!("containeranalysis.UpdateOccurrence"),
                &json!("INVALID_ARGUMENT")
            ),
            "{mask}"
        );
    }
    let updated = court
        .desk
        .patch(&format!("{path}?updateMask=remediation"), changed)
        .await
        .ok();
    assert_eq!(updated["remediation"], "rebuild");
    assert_eq!(updated["attestation"], before["attestation"]);
    assert_eq!(updated["createTime"], before["createTime"]);
    assert_eq!(court.desk.get(&path).await.ok(), updated);
    court.pod(&[&image]).await.admitted();
    court
        .desk
        .patch(
            &format!("{path}?updateMask=remediation"),
            json!({ "remediation": 1 }),
        )
        .await
        .refused("INVALID_ARGUMENT", "remediation");
    court
        .desk
        .patch("/v1/projects/p/occurrences/x?updateMask=remediation", json!({}))
        .await
        .refused("NOT_FOUND", "occurrences/x");
}

#[tokio::test]
async fn a_deletion_is_recorded_and_counts_at_once() {
    let court = Court::new().await;
    let image = court.unsigned();
    let name = court.attest(&image).await;
    court.pod(&[&image]).await.admitted();
    court.desk.delete(&format!("/v1/{name}")).await.ok();
    let row = &court.desk.audit(1).await[0];
    assert_eq!(
        (&row["method"], &row["status"], &row["resource"]),
        (
            &json!("containeranalysis.DeleteOccurrence"),
            &json!("OK"),
            &json!(name)
        )
    );
    assert!(court.pod(&[&image]).await.denial().contains(ATTESTOR));
    court
        .desk
        .send(Method::DELETE, &format!("/v1/{name}"), None)
        .await
        .refused("NOT_FOUND", &name);
}

/// What another project holds is not learnt by trying to store the same.
#[tokio::test]
async fn the_same_attestation_is_the_same_in_its_project_only() {
    let court = Court::new().await;
    let image = court.unsigned();
    let same = court.occurrence(&image);
    court.desk.post(OCCURRENCES, same.clone()).await.ok();
    let member = "user:stranger@example.com";
    let tokens = "/binauthz/v1/tokens?tokenId=stranger";
    let token = court.desk.post(tokens, json!({ "principal": member })).await.ok();
    let token = token["token"].as_str().unwrap();
    for (path, role) in [
        (
            "/v1/projects/q:setIamPolicy",
            "roles/containeranalysis.occurrences.editor",
        ),
        (
            "/v1/projects/p/notes/signed:setIamPolicy",
            "roles/containeranalysis.notes.attacher",
        ),
    ] {
        let binding = json!({ "role": role, "members": [member] });
        court
            .desk
            .post(path, json!({ "policy": { "bindings": [binding] } }))
            .await
            .ok();
    }
    let theirs = "/v1/projects/q/occurrences";
    let post = async || answer(court.desk.request_as(token, Method::POST, theirs).json(&same)).await;
    // As if nobody had it.
    let stored = post().await.ok();
    assert!(
        stored["name"]
            .as_str()
            .unwrap()
            .starts_with("projects/q/occurrences/")
    );
    post().await.refused("ALREADY_EXISTS", "occurrence ID");
    court
        .desk
        .post(OCCURRENCES, same.clone())
        .await
        .refused("ALREADY_EXISTS", "occurrence ID");
}
