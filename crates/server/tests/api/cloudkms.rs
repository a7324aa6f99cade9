//! Cloud KMS as gcloud and the Python client use it, over HTTP.

use crate::support::Desk;
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use binauthz_keyring::{HashAlgorithm, MessageDigest};
use reqwest::Method;
use serde_json::{Value, json};

const RINGS: &str = "/v1/projects/demo/locations/global/keyRings";
const MESSAGE: &[u8] = b"hello";

async fn with_ring() -> Desk {
    let server = Desk::new().await;
    server
        .send(
            Method::POST,
            &format!("{RINGS}?keyRingId=r&alt=json"),
            Some(json!({})),
        )
        .await
        .ok();
    server
}

fn key_body(algorithm: &str) -> Value {
    json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": algorithm, "protectionLevel": "SOFTWARE" } })
}

async fn with_key(algorithm: &str) -> (Desk, String) {
    let server = with_ring().await;
    let path = format!("{RINGS}/r/cryptoKeys?cryptoKeyId=k");
    server
        .send(Method::POST, &path, Some(key_body(algorithm)))
        .await
        .ok();
    (server, format!("{RINGS}/r/cryptoKeys/k"))
}

#[tokio::test]
async fn rings_are_created_once_listed_and_read() {
    let server = with_ring().await;
    let again = format!("{RINGS}?keyRingId=r");
    server
        .send(Method::POST, &again, Some(json!({})))
        .await
        .refused("ALREADY_EXISTS", "keyRings/r");
    let ring = server.send(Method::GET, &format!("{RINGS}/r"), None).await.ok();
    assert_eq!(ring["name"], "projects/demo/locations/global/keyRings/r");
    let list = server
        .send(Method::GET, &format!("{RINGS}?pageSize=100"), None)
        .await
        .ok();
    assert_eq!(list["keyRings"], json!([ring]));
    server
        .send(Method::GET, &format!("{RINGS}/x"), None)
        .await
        .refused("NOT_FOUND", "keyRings/x");
    for bad in ["", "a.b", "a%2Fb", "%20"] {
        let answer = server
            .send(Method::POST, &format!("{RINGS}?keyRingId={bad}"), Some(json!({})))
            .await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let locations = server
        .send(Method::GET, "/v1/projects/demo/locations?pageSize=100", None)
        .await
        .ok();
    assert_eq!(locations["locations"][0]["locationId"], "global");
}

#[tokio::test]
async fn a_key_has_an_enabled_version_at_once() {
    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    let shown = server.send(Method::GET, &key, None).await.ok();
    assert_eq!(shown["purpose"], "ASYMMETRIC_SIGN");
    assert_eq!(shown["destroyScheduledDuration"], "2592000s");
    let version = server
        .send(Method::GET, &format!("{key}/cryptoKeyVersions/1"), None)
        .await
        .ok();
    assert_eq!(
        (&version["state"], &version["algorithm"]),
        (&json!("ENABLED"), &json!("EC_SIGN_P256_SHA256"))
    );
    let path = format!("{RINGS}/r/cryptoKeys?cryptoKeyId=k");
    server
        .send(Method::POST, &path, Some(key_body("EC_SIGN_P256_SHA256")))
        .await
        .refused("ALREADY_EXISTS", "cryptoKeys/k");
}

#[tokio::test]
async fn keys_that_cannot_be_are_refused_with_the_reason() {
    let server = with_ring().await;
    let path = format!("{RINGS}/r/cryptoKeys?cryptoKeyId=k");
    for (body, part) in [
        (json!({}), "`purpose`"),
        (json!({ "purpose": "ENCRYPT_DECRYPT" }), "signing keys only"),
        (key_body("RSA_SIGN_RAW_PKCS1_2048"), "expected one of"),
        (key_body("EC_SIGN_P521_SHA512"), "EC_SIGN_P521_SHA512"),
    ] {
        server
            .send(Method::POST, &path, Some(body))
            .await
            .refused("INVALID_ARGUMENT", part);
    }
    let mut hasty = key_body("EC_SIGN_P256_SHA256");
    hasty["destroyScheduledDuration"] = json!("3600s");
    server
        .send(Method::POST, &path, Some(hasty))
        .await
        .refused("INVALID_ARGUMENT", "24 hours");
    let nowhere = format!("{RINGS}/x/cryptoKeys?cryptoKeyId=k");
    let body = Some(key_body("EC_SIGN_P256_SHA256"));
    server
        .send(Method::POST, &nowhere, body)
        .await
        .refused("NOT_FOUND", "keyRings/x");
    assert_eq!(
        server
            .send(Method::GET, &format!("{RINGS}/r/cryptoKeys"), None)
            .await
            .ok(),
        json!({})
    );
}

#[tokio::test]
async fn labels_and_the_next_algorithm_change_and_nothing_else() {
    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    let labels = Some(json!({ "labels": { "x": "y" }, "purpose": "ASYMMETRIC_SIGN" }));
    let shown = server
        .send(Method::PATCH, &format!("{key}?updateMask=labels"), labels)
        .await
        .ok();
    assert_eq!(shown["labels"], json!({ "x": "y" }));
    let template = Some(json!({ "versionTemplate": { "algorithm": 13 } }));
    let path = format!("{key}?updateMask=version_template.algorithm");
    let shown = server.send(Method::PATCH, &path, template.clone()).await.ok();
    assert_eq!(shown["versionTemplate"]["algorithm"], "EC_SIGN_P384_SHA384");
    assert_eq!(shown["labels"], json!({ "x": "y" }), "the mask left them alone");
    let version = server
        .send(Method::POST, &format!("{key}/cryptoKeyVersions"), Some(json!({})))
        .await
        .ok();
    assert_eq!(version["algorithm"], "EC_SIGN_P384_SHA384");
    assert!(
        version["name"]
            .as_str()
            .unwrap()
            .ends_with("/cryptoKeyVersions/2")
    );
    let immutable = format!("{key}?updateMask=destroyScheduledDuration");
    server
        .send(Method::PATCH, &immutable, template.clone())
        .await
        .refused("INVALID_ARGUMENT", "updateMask");
    server
        .send(Method::PATCH, &key, template)
        .await
        .refused("INVALID_ARGUMENT", "updateMask");
}

#[tokio::test]
async fn versions_are_listed_by_number_page_by_page() {
    let server = with_ring().await;
    let path = format!("{RINGS}/r/cryptoKeys?cryptoKeyId=lazy&skipInitialVersionCreation=True");
    server
        .send(Method::POST, &path, Some(key_body("EC_SIGN_ED25519")))
        .await
        .ok();
    let versions = format!("{RINGS}/r/cryptoKeys/lazy/cryptoKeyVersions");
    assert_eq!(server.send(Method::GET, &versions, None).await.ok(), json!({}));
    for _ in 0..11 {
        server.send(Method::POST, &versions, Some(json!({}))).await.ok();
    }
    let mut numbers = Vec::new();
    let mut token = String::new();
    loop {
        let page = server
            .send(
                Method::GET,
                &format!("{versions}?pageSize=4&pageToken={token}"),
                None,
            )
            .await
            .ok();
        for version in page["cryptoKeyVersions"].as_array().unwrap() {
            numbers.push(
                version["name"]
                    .as_str()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .parse::<u32>()
                    .unwrap(),
            );
        }
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_signature_verifies_under_the_public_key_that_is_shown() {
    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    let version = format!("{key}/cryptoKeyVersions/1");
    let digest = MessageDigest::of(HashAlgorithm::Sha256, MESSAGE);
    let body = json!({
        "digest": { "sha256": URL_SAFE.encode(digest.as_bytes()) },
        "digestCrc32c": crc32c::crc32c(digest.as_bytes()).to_string(),
    });
    let signed = server
        .send(Method::POST, &format!("{version}:asymmetricSign"), Some(body))
        .await
        .ok();
    assert_eq!(signed["name"], version["/v1/".len()..]);
    assert_eq!(signed["verifiedDigestCrc32c"], true);
    let bytes = STANDARD.decode(signed["signature"].as_str().unwrap()).unwrap();
    assert_eq!(signed["signatureCrc32c"], crc32c::crc32c(&bytes).to_string());

    let shown = server
        .send(
            Method::GET,
            &format!("{version}/publicKey?publicKeyFormat=DER"),
            None,
        )
        .await
        .ok();
    let der = STANDARD
        .decode(shown["publicKey"]["data"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        shown["pemCrc32c"],
        crc32c::crc32c(shown["pem"].as_str().unwrap().as_bytes()).to_string()
    );
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, der)
        .verify(MESSAGE, &bytes)
        .unwrap();
}

#[tokio::test]
async fn what_cannot_be_signed_is_refused_before_the_key_is_touched() {
    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    let path = format!("{key}/cryptoKeyVersions/1:asymmetricSign");
    let digest = |bytes: usize| STANDARD.encode(vec![7; bytes]);
    for (body, part) in [
        (json!({}), "`digest`"),
        (
            json!({ "digest": { "sha512": digest(64) } }),
            "signs a sha256 digest, got a sha512 digest",
        ),
        (
            json!({ "digest": { "sha256": digest(31) } }),
            "has 32 bytes, got 31",
        ),
        (
            json!({ "digest": { "sha256": digest(32) }, "data": "AAAA" }),
            "expected one of them",
        ),
        (
            json!({ "digest": { "sha256": digest(32) }, "digestCrc32c": "1" }),
            "`digestCrc32c` is 1",
        ),
        (
            json!({ "data": STANDARD.encode(MESSAGE), "dataCrc32c": "1" }),
            "`dataCrc32c` is 1",
        ),
        (json!({ "data": STANDARD.encode(vec![0; 65_537]) }), "65537 bytes"),
    ] {
        server
            .send(Method::POST, &path, Some(body))
            .await
            .refused("INVALID_ARGUMENT", part);
    }
    let absent = format!("{key}/cryptoKeyVersions/2:asymmetricSign");
    let body = Some(json!({ "data": "AAAA" }));
    server
        .send(Method::POST, &absent, body)
        .await
        .refused("NOT_FOUND", "cryptoKeyVersions/2");
}

#[tokio::test]
async fn only_an_enabled_version_is_used() {
    let (server, key) = with_key("EC_SIGN_ED25519").await;
    let version = format!("{key}/cryptoKeyVersions/1");
    let (sign, public) = (
        format!("{version}:asymmetricSign"),
        format!("{version}/publicKey"),
    );
    let data = || Some(json!({ "data": STANDARD.encode(MESSAGE), "dataCrc32c": crc32c::crc32c(MESSAGE) }));
    let refused = async |state: &str, kind: &str| {
        let sentence = format!("is not enabled, current state is: {state}.");
        let answer = server.send(Method::POST, &sign, data()).await;
        assert_eq!(answer.body["error"]["details"][0]["violations"][0]["type"], kind);
        answer.refused("FAILED_PRECONDITION", &sentence);
        server
            .send(Method::GET, &public, None)
            .await
            .refused("FAILED_PRECONDITION", &sentence);
    };
    let switch = |state: &str| {
        (
            format!("{version}?updateMask=state"),
            Some(json!({ "state": state, "name": "ignored" })),
        )
    };

    assert_eq!(
        server.send(Method::POST, &sign, data()).await.ok()["verifiedDataCrc32c"],
        true
    );
    let (path, body) = switch("DISABLED");
    assert_eq!(
        server.send(Method::PATCH, &path, body).await.ok()["state"],
        "DISABLED"
    );
    refused("DISABLED", "KEY_DISABLED").await;
    let (path, body) = switch("ENABLED");
    server.send(Method::PATCH, &path, body).await.ok();
    server.send(Method::POST, &sign, data()).await.ok();

    let scheduled = server
        .send(Method::POST, &format!("{version}:destroy"), Some(json!({})))
        .await
        .ok();
    assert_eq!(scheduled["state"], "DESTROY_SCHEDULED");
    assert!(scheduled["destroyTime"].is_string());
    refused("DESTROY_SCHEDULED", "KEY_DESTROY_SCHEDULED").await;
    let twice = format!("{version}:destroy");
    server
        .send(Method::POST, &twice, Some(json!({})))
        .await
        .refused("FAILED_PRECONDITION", "DESTROY_SCHEDULED");
    let (path, body) = switch("ENABLED");
    server
        .send(Method::PATCH, &path, body)
        .await
        .refused("FAILED_PRECONDITION", "cannot be enabled");
    let restored = server
        .send(Method::POST, &format!("{version}:restore"), Some(json!({})))
        .await
        .ok();
    assert_eq!(
        (&restored["state"], &restored["destroyTime"]),
        (&json!("DISABLED"), &Value::Null)
    );
    let again = format!("{version}:restore");
    server
        .send(Method::POST, &again, Some(json!({})))
        .await
        .refused("FAILED_PRECONDITION", "cannot be restored");
}

#[tokio::test]
async fn the_body_of_a_verb_may_repeat_the_name_and_the_path_counts() {
    let (server, key) = with_key("EC_SIGN_ED25519").await;
    let version = format!("{key}/cryptoKeyVersions/1");
    let data = json!({ "name": "ignored", "data": STANDARD.encode(MESSAGE) });
    server.post(&format!("{version}:asymmetricSign"), data).await.ok();
    let body = json!({ "name": "projects/demo/another/one" });
    for (verb, state) in [("destroy", "DESTROY_SCHEDULED"), ("restore", "DISABLED")] {
        let path = format!("{version}:{verb}");
        server
            .post(&path, json!({ "name": "x", "force": true }))
            .await
            .refused("INVALID_ARGUMENT", "force");
        let answer = server.post(&path, body.clone()).await.ok();
        assert_eq!(answer["state"], state);
        assert_eq!(answer["name"], version["/v1/".len()..]);
    }
}

#[tokio::test]
async fn a_signing_key_has_no_primary_version() {
    let (server, key) = with_key("EC_SIGN_ED25519").await;
    let body = json!({ "cryptoKeyVersionId": "1" });
    server
        .post(&format!("{key}:updatePrimaryVersion"), body.clone())
        .await
        .refused("FAILED_PRECONDITION", "ENCRYPT_DECRYPT");
    server
        .post(&format!("{RINGS}/r/cryptoKeys/x:updatePrimaryVersion"), body)
        .await
        .refused("NOT_FOUND", "cryptoKeys/x");
    assert_eq!(server.get(&key).await.ok()["primary"], Value::Null);
}

#[tokio::test]
async fn a_post_quantum_key_is_shown_bare() {
    let (server, key) = with_key("PQ_SIGN_ML_DSA_65").await;
    let public = format!("{key}/cryptoKeyVersions/1/publicKey");
    let data = |shown: &Value| {
        STANDARD
            .decode(shown["publicKey"]["data"].as_str().unwrap())
            .unwrap()
    };
    let der = data(&server.get(&format!("{public}?publicKeyFormat=DER")).await.ok());
    for format in ["NIST_PQC", "3"] {
        let shown = server
            .get(&format!("{public}?publicKeyFormat={format}"))
            .await
            .ok();
        assert_eq!(shown["publicKeyFormat"], "NIST_PQC");
        assert_eq!((&shown["pem"], &shown["pemCrc32c"]), (&Value::Null, &Value::Null));
        let bare = data(&shown);
        assert_eq!(bare.len(), 1952);
        assert!(der.ends_with(&bare) && der.len() == 1952 + 22, "{}", der.len());
        assert_eq!(
            shown["publicKey"]["crc32cChecksum"],
            crc32c::crc32c(&bare).to_string()
        );
    }
    assert!(server.get(&public).await.ok()["pem"].is_string());
    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    server
        .get(&format!(
            "{key}/cryptoKeyVersions/1/publicKey?publicKeyFormat=NIST_PQC"
        ))
        .await
        .refused(
            "INVALID_ARGUMENT",
            "`EC_SIGN_P256_SHA256`: expected `PEM` or `DER`",
        );
}

#[tokio::test]
async fn a_location_says_what_it_has() {
    let server = Desk::new().await;
    let location = server.get("/v1/projects/demo/locations/europe-west1").await.ok();
    assert_eq!(location["name"], "projects/demo/locations/europe-west1");
    assert_eq!(location["metadata"]["hsmAvailable"], false);
    assert_eq!(
        location["metadata"]["@type"],
        "type.googleapis.com/google.cloud.kms.v1.LocationMetadata"
    );
    server
        .get("/v1/projects/demo/locations/Europe")
        .await
        .refused("INVALID_ARGUMENT", "LOCATION");
}

#[tokio::test]
async fn rings_and_keys_are_paged() {
    let server = Desk::new().await;
    for ring in ["a", "b", "c"] {
        server
            .post(&format!("{RINGS}?keyRingId={ring}"), json!({}))
            .await
            .ok();
        let path = format!("{RINGS}/c/cryptoKeys?cryptoKeyId={ring}&skipInitialVersionCreation=true");
        if ring == "c" {
            for key in ["x", "y", "z"] {
                let path = path.replace("cryptoKeyId=c", &format!("cryptoKeyId={key}"));
                server.post(&path, key_body("EC_SIGN_ED25519")).await.ok();
            }
        }
    }
    assert_eq!(server.pages(RINGS, "keyRings", 2).await.len(), 3);
    let keys = format!("{RINGS}/c/cryptoKeys");
    assert_eq!(server.pages(&keys, "cryptoKeys", 2).await.len(), 3);
    for parameter in ["filter", "orderBy"] {
        server
            .get(&format!("{keys}?{parameter}=name"))
            .await
            .refused("INVALID_ARGUMENT", parameter);
    }
    server
        .get(&format!("{keys}?pageToken=nonsense"))
        .await
        .refused("INVALID_ARGUMENT", "pageToken");
}

#[tokio::test]
async fn an_update_does_not_destroy() {
    let (server, key) = with_key("EC_SIGN_ED25519").await;
    let path = format!("{key}/cryptoKeyVersions/1?updateMask=state");
    for state in ["DESTROYED", "DESTROY_SCHEDULED"] {
        let body = Some(json!({ "state": state }));
        server
            .send(Method::PATCH, &path, body)
            .await
            .refused("INVALID_ARGUMENT", ":destroy");
    }
}

/// A private key that was made elsewhere becomes a version; what is none, or none of this algorithm, leaves nothing.
#[tokio::test]
async fn a_private_key_is_imported_and_signs() {
    use binauthz_keyring::{KeyAlgorithm, SoftwareKey};

    let (server, key) = with_key("EC_SIGN_P256_SHA256").await;
    let path = format!("/binauthz{key}/cryptoKeyVersions:importPem");
    let own = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256).unwrap();
    let pem = own.to_pem().unwrap().to_string();
    let version = server.post(&path, json!({ "pem": pem })).await.ok();
    assert_eq!(version["state"], "ENABLED");
    assert!(
        version["name"]
            .as_str()
            .unwrap()
            .ends_with("/cryptoKeyVersions/2"),
        "{version}"
    );
    assert!(!version.to_string().contains("PRIVATE"));
    let public = server
        .get(&format!("{key}/cryptoKeyVersions/2/publicKey"))
        .await
        .ok();
    assert_eq!(public["pem"], own.public_key_pem().unwrap());
    let digest = MessageDigest::of(HashAlgorithm::Sha256, MESSAGE);
    let body = json!({ "digest": { "sha256": STANDARD.encode(digest.as_bytes()) } });
    let signed = server
        .post(&format!("{key}/cryptoKeyVersions/2:asymmetricSign"), body)
        .await
        .ok();
    let signature = STANDARD.decode(signed["signature"].as_str().unwrap()).unwrap();
    let own = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, own.public_key_der().unwrap());
    assert!(own.verify(MESSAGE, &signature).is_ok());

    let other = SoftwareKey::generate(KeyAlgorithm::EcSignP384Sha384).unwrap();
    let secret = "c2VjcmV0c2VjcmV0";
    for (body, part) in [
        (
            json!({ "pem": other.to_pem().unwrap().to_string() }),
            "not a usable private key for `EC_SIGN_P256_SHA256`",
        ),
        (
            json!({ "pem": other.public_key_pem().unwrap() }),
            "found `PUBLIC KEY`",
        ),
        (json!({ "pem": secret }), "expected one PEM block"),
        (
            json!({ "pem": format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n") }),
            "`pem`",
        ),
        (json!({}), "pem"),
        (json!({ "pem": "x", "password": secret }), "password"),
    ] {
        let answer = server.post(&path, body).await;
        assert!(!answer.body.to_string().contains(secret), "{}", answer.body);
        answer.refused("INVALID_ARGUMENT", part);
    }
    let nowhere = path.replace("/k/", "/none/");
    server
        .post(&nowhere, json!({ "pem": pem }))
        .await
        .refused("NOT_FOUND", "cryptoKeys/none");
    let versions = server.get(&format!("{key}/cryptoKeyVersions")).await.ok();
    assert_eq!(versions["cryptoKeyVersions"].as_array().unwrap().len(), 2);
    let rows = json!(server.audit(20).await).to_string();
    let line = pem.lines().nth(1).unwrap();
    assert!(!rows.contains(line) && !rows.contains(secret), "{rows}");
}
