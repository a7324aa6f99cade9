//! Whose attestations are looked at, and how many.

use serde_json::{Value, json};

use crate::court::{ATTESTOR, Court, KEY_ID};

/// So many attestations of an image that prove nothing, signed by what they say is `key_id`.
async fn heap(court: &Court, image: &str, key_id: &str, count: usize) {
    let junk = |number: usize| {
        let mut occurrence = court.occurrence(image);
        // Not the same attestation twice: the store refuses that.
        let signature = format!("junk{number:08}");
        occurrence["attestation"]["signatures"] = json!([{ "publicKeyId": key_id, "signature": signature }]);
        occurrence
    };
    let occurrences: Vec<Value> = (0..count).map(junk).collect();
    court
        .desk
        .post(
            "/v1/projects/p/occurrences:batchCreate",
            json!({ "occurrences": occurrences }),
        )
        .await
        .ok();
}

#[tokio::test]
async fn a_good_attestation_is_found_above_and_below_a_heap_by_foreign_keys() {
    let court = Court::new().await;
    let image = court.unsigned();
    heap(&court, &image, "//cloudkms/v1/projects/evil/key/1", 250).await;
    let denied = court.pod(&[&image]).await;
    assert!(
        denied.denial().contains("which the attestor does not hold"),
        "{}",
        denied.denial()
    );
    let below = court.attest(&image).await;
    court.pod(&[&image]).await.admitted();
    heap(&court, &image, "//cloudkms/v1/projects/evil/key/2", 950).await;
    court.pod(&[&image]).await.admitted();
    court.desk.delete(&format!("/v1/{below}")).await.ok();
    court.pod(&[&image]).await.denial();
}

#[tokio::test]
async fn a_new_good_attestation_is_found_above_a_heap_in_our_own_keys_name() {
    let court = Court::new().await;
    let image = court.unsigned();
    heap(&court, &image, KEY_ID, 250).await;
    // There is a bound to the work, and beyond it nothing is known.
    court.pod(&[&image]).await.denial();
    assert_eq!(court.record().await["reason"], "EVIDENCE_UNAVAILABLE");
    court.attest(&image).await;
    court.pod(&[&image]).await.admitted();
}

#[tokio::test]
async fn an_attestation_that_cannot_be_good_hides_none_that_is() {
    let court = Court::new().await;
    let image = court.unsigned();
    court.attest(&image).await;
    heap(&court, &image, KEY_ID, 150).await;
    court.pod(&[&image]).await.admitted();
    let record = court.record().await;
    assert_eq!(record["images"][0]["reasons"][0]["attestor"], ATTESTOR);
}

/// The attestor with something said about when its key counts.
fn with_validity(court: &Court, validity: Value) -> Value {
    let mut attestor = court.attestor(true);
    attestor["userOwnedGrafeasNote"]["publicKeys"][0]["keyValidity"] = validity;
    attestor
}

async fn write(court: &Court, attestor: Value) -> Value {
    let written = court.desk.put(&format!("/v1/{ATTESTOR}"), attestor).await.ok();
    written["userOwnedGrafeasNote"]["publicKeys"][0]["keyValidity"].clone()
}

#[tokio::test]
async fn a_compromised_key_ends_at_once_and_what_came_before_stays_good_when_asked_for() {
    let court = Court::new().await;
    let before = court.signed().await;
    court.pod(&[&before]).await.admitted();
    let since = jiff::Timestamp::now();
    let after = court.signed().await;
    court.pod(&[&after]).await.admitted();

    write(
        &court,
        with_validity(&court, json!({ "compromisedSince": since.to_string() })),
    )
    .await;
    for image in [&before, &after] {
        let denial = court.pod(&[image]).await.denial().to_owned();
        assert!(denial.contains("is compromised"), "{denial}");
    }

    let kept = json!({ "compromisedSince": since.to_string(), "keepEarlierAttestations": true });
    let shown = write(&court, with_validity(&court, kept)).await;
    assert_eq!(shown["keepEarlierAttestations"], true);
    court.pod(&[&before]).await.admitted();
    court.pod(&[&after]).await.denial();
    // Whoever has the key now signs what they like, and it is received now.
    let stolen = court.signed().await;
    let denial = court.pod(&[&stolen]).await.denial().to_owned();
    assert!(denial.contains("received after that"), "{denial}");

    // What is said of an old attestation may change; when it was received may not.
    let updated = "?updateMask=remediation";
    let name = court.attest(&court.unsigned()).await;
    court
        .desk
        .patch(&format!("/v1/{name}{updated}"), json!({ "remediation": "x" }))
        .await
        .ok();
    court.pod(&[&before]).await.admitted();

    // A client that does not know the member leaves it as it is, under another id too.
    assert_eq!(write(&court, court.attestor(true)).await, shown);
    let mut renamed = court.attestor(true);
    renamed["userOwnedGrafeasNote"]["publicKeys"][0]["id"] = json!("//cloudkms/v1/projects/p/key/9");
    assert_eq!(write(&court, renamed).await, shown);
    court.pod(&[&after]).await.denial();
    // It ends when somebody says so.
    assert_eq!(write(&court, with_validity(&court, json!({}))).await, Value::Null);
    court.pod(&[&after]).await.admitted();
    court.pod(&[&stolen]).await.admitted();
}

#[tokio::test]
async fn a_key_counts_from_its_beginning_to_its_end() {
    let court = Court::new().await;
    let image = court.signed().await;
    let (past, future) = ("2020-01-01T00:00:00Z", "2200-01-01T00:00:00Z");
    for (validity, said) in [
        (json!({ "notBefore": future }), Some("is not valid yet")),
        (json!({ "notBefore": past, "notAfter": future }), None),
        (json!({ "notAfter": past }), Some("is not valid any more")),
        (json!({ "notAfter": future }), None),
    ] {
        write(&court, with_validity(&court, validity.clone())).await;
        let verdict = court.pod(&[&image]).await;
        match said {
            Some(said) => assert!(
                verdict.denial().contains(said),
                "{validity}: {}",
                verdict.denial()
            ),
            None => verdict.admitted(),
        }
    }
    let reversed = with_validity(&court, json!({ "notBefore": future, "notAfter": past }));
    court
        .desk
        .put(&format!("/v1/{ATTESTOR}"), reversed)
        .await
        .refused(
            "INVALID_ARGUMENT",
            "userOwnedGrafeasNote.publicKeys[0].keyValidity.notAfter",
        );
}

/// A key whose end is a moment away: nobody is told, and its proof was kept in memory.
#[tokio::test]
async fn a_proof_in_memory_ends_with_its_key() {
    let court = Court::new().await;
    let image = court.signed().await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    write(
        &court,
        with_validity(&court, json!({ "notAfter": end.to_string() })),
    )
    .await;
    court.pod(&[&image]).await.admitted();
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    assert!(
        court
            .pod(&[&image])
            .await
            .denial()
            .contains("is not valid any more")
    );
}
