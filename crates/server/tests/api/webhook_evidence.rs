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
