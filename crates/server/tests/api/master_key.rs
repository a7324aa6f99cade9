//! The change of the master key: under load, cut off at any point, and with something in the store that does not open.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_store::{Change, Commit, Store};
use serde_json::{Value, json};

use crate::receiver::{Does, Receiver};
use crate::support::{Desk, audit_row, flags};

const REWRAP: &str = "/binauthz/v1/masterKey:rewrap";
const KEYS: &str = "/v1/projects/demo/locations/global/keyRings/r/cryptoKeys";

/// A server with `count` keys of a key ring.
async fn with_keys(count: usize) -> Desk {
    let desk = Desk::new().await;
    let rings = "/v1/projects/demo/locations/global/keyRings?keyRingId=r";
    desk.post(rings, json!({})).await.ok();
    for number in 0..count {
        let body = json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": "EC_SIGN_P256_SHA256" } });
        desk.post(&format!("{KEYS}?cryptoKeyId=k{number}"), body)
            .await
            .ok();
    }
    desk
}

async fn sign(desk: &Desk, number: usize) -> Value {
    let body = json!({ "digest": { "sha256": STANDARD.encode([7; 32]) } });
    let path = format!("{KEYS}/k{number}/cryptoKeyVersions/1:asymmetricSign");
    desk.post(&path, body).await.ok()
}

fn master(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("master.key")).unwrap()
}

#[tokio::test]
async fn everything_that_was_sealed_opens_afterwards_and_not_under_the_old_key() {
    let desk = with_keys(3).await;
    let receiver = Receiver::new(Does::Answer(200, "ok")).await;
    let channel = json!({ "type": "webhook_tokenauth", "displayName": "c", "labels": { "url": receiver.url, "secret": "hush" } });
    let channel = desk
        .post("/v3/projects/demo/notificationChannels", channel)
        .await
        .ok();
    let channel = channel["name"].as_str().unwrap().to_owned();
    let before = master(desk.folder());

    let answer = desk.post(REWRAP, json!({})).await.ok();
    // Three keys, the channel's secrets, and the keys of the two logs.
    assert_eq!(
        answer,
        json!({ "resealed": 6, "finished": true, "unreadable": [], "protectionLevel": "SOFTWARE" })
    );
    assert_ne!(master(desk.folder()), before);
    assert!(!desk.folder().join("master.previous").exists());
    let mut rows = desk.audit(20).await;
    rows.retain(|row| row["method"] == "binauthz.RewrapMasterKey");
    assert_eq!(rows.len(), 1, "{rows:?}");

    for number in 0..3 {
        sign(&desk, number).await;
    }
    let verified = desk
        .post(&format!("/binauthz/v1/{channel}:verify"), json!({}))
        .await
        .ok();
    assert_eq!(verified["delivered"], true, "{verified}");
    // The same again: another key, and as many things.
    assert_eq!(desk.post(REWRAP, json!({})).await.ok()["resealed"], 6);
    let origin = |folder: &Path| std::fs::read(folder.join("journal/origin")).unwrap();
    let log = origin(desk.folder());

    // A start with the new key opens all of it, the log too; with the old key there is no start.
    let folder = desk.stop().await;
    let restarted = flags(folder.path());
    let desk = Desk::with(folder, restarted).await;
    sign(&desk, 0).await;
    assert_eq!(origin(desk.folder()), log);
    let folder = desk.stop().await;
    std::fs::write(folder.path().join("master.key"), &before).unwrap();
    let settings = binauthz_server::Settings::new(flags(folder.path())).unwrap();
    let refused = binauthz_server::Server::start(settings).await.unwrap_err();
    assert!(refused.to_string().contains("master.key"), "{refused}");
    // The log was not taken for somebody else's.
    assert_eq!(origin(folder.path()), log);
}

/// The files as a crash between two steps leaves them.
#[tokio::test]
async fn a_change_that_was_cut_off_is_no_harm_and_goes_on() {
    let desk = with_keys(2).await;
    let folder = desk.stop().await;
    let old = master(folder.path());
    let file = |name: &str| folder.path().join(name);
    // The new key is there, and nothing is sealed under it yet.
    std::fs::write(file("master.previous"), &old).unwrap();
    std::fs::write(file("master.key"), [9; 32]).unwrap();
    let desk = {
        let flags = flags(folder.path());
        Desk::with(folder, flags).await
    };
    sign(&desk, 0).await;
    let version = desk
        .post(&format!("{KEYS}/k1/cryptoKeyVersions"), json!({}))
        .await
        .ok();
    assert_eq!(version["state"], "ENABLED");
    assert!(
        desk.folder().join("master.previous").exists(),
        "nothing is forgotten before it may be"
    );
    // Only what the old key sealed is sealed anew, and the key is not changed once more.
    let answer = desk.post(REWRAP, json!({})).await.ok();
    assert_eq!(
        (&answer["resealed"], &answer["finished"]),
        (&json!(4), &json!(true))
    );
    assert_eq!(master(desk.folder()), [9; 32]);
    assert!(!desk.folder().join("master.previous").exists());
    sign(&desk, 0).await;
    sign(&desk, 1).await;
}

#[tokio::test]
async fn what_opens_under_no_key_keeps_the_old_one() {
    let desk = with_keys(2).await;
    let damaged = "projects/demo/locations/global/keyRings/r/cryptoKeys/k0/cryptoKeyVersions/1";
    let folder = desk.stop().await;
    put(
        folder.path(),
        damaged,
        b"\x01 no key of ours sealed this, whatever it says",
    )
    .await;
    let restarted = flags(folder.path());
    let desk = Desk::with(folder, restarted).await;
    let answer = desk.post(REWRAP, json!({})).await.ok();
    assert_eq!(
        (&answer["finished"], &answer["unreadable"]),
        (&json!(false), &json!([damaged]))
    );
    assert!(desk.folder().join("master.previous").exists());
    sign(&desk, 1).await;

    // Nobody knows what this is, so nobody may forget what opens it.
    let folder = desk.stop().await;
    put(folder.path(), "settings/ofTomorrow", b"\x01sealed").await;
    let restarted = flags(folder.path());
    let desk = Desk::with(folder, restarted).await;
    let unknown = desk.post(REWRAP, json!({})).await;
    unknown.refused(
        "FAILED_PRECONDITION",
        "`settings/ofTomorrow` is sealed and of no kind",
    );
    assert!(desk.folder().join("master.previous").exists());
}

async fn put(folder: &Path, name: &str, sealed: &[u8]) {
    let store = Store::open(&folder.join("binauthz.db")).unwrap();
    let changes = vec![Change::PutSealedKey {
        name: name.to_owned(),
        sealed: sealed.to_vec(),
    }];
    store
        .commit(Commit {
            audit: audit_row(),
            changes,
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn keys_are_made_and_used_all_the_while() {
    let desk = with_keys(20).await;
    let work = async {
        for number in 0..40 {
            sign(&desk, number % 20).await;
            let versions = format!("{KEYS}/k{}/cryptoKeyVersions", number % 20);
            let version = desk.post(&versions, json!({})).await.ok();
            let body = json!({ "digest": { "sha256": STANDARD.encode([7; 32]) } });
            let path = format!("/v1/{}:asymmetricSign", version["name"].as_str().unwrap());
            desk.post(&path, body).await.ok();
        }
    };
    let changes = async {
        let mut finished = 0;
        for _ in 0..6 {
            let answer = desk.post(REWRAP, json!({})).await.ok();
            assert_eq!(answer["finished"], true, "{answer}");
            finished += 1;
        }
        finished
    };
    let ((), finished) = tokio::join!(work, changes);
    assert_eq!(finished, 6);
    let folder = desk.stop().await;
    let restarted = flags(folder.path());
    let desk = Desk::with(folder, restarted).await;
    for number in 0..20 {
        sign(&desk, number).await;
    }
}

#[tokio::test]
async fn it_is_the_administrators_and_takes_nothing() {
    let desk = Desk::new().await;
    let viewer = desk.viewer().await;
    let request = desk
        .request_as(&viewer, reqwest::Method::POST, REWRAP)
        .json(&json!({}));
    crate::support::answer(request)
        .await
        .refused("PERMISSION_DENIED", "binauthz.masterKey.rewrap");
    desk.post(REWRAP, json!({ "key": "mine" }))
        .await
        .refused("INVALID_ARGUMENT", "key");
    desk.post(REWRAP, json!({ "protectionLevel": "HIGH" }))
        .await
        .refused("INVALID_ARGUMENT", "protectionLevel");
    // Without a token there is nothing to protect it by.
    desk.post(REWRAP, json!({ "protectionLevel": "HSM" }))
        .await
        .refused("FAILED_PRECONDITION", "`pkcs11.masterKeyLabel` is missing");
    assert!(!desk.folder().join("master.previous").exists());
}
