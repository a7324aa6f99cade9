//! A project under a policy, a cluster that asks, and the API server's side of the webhook.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::image::Digest;
use binauthz_core::payload;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Desk, flags, install_crypto_provider};

pub(crate) const CLUSTER: &str = "projects/p/locations/us-central1-a/clusters/c";
pub(crate) const ATTESTOR: &str = "projects/p/attestors/image-signing-attestor";
pub(crate) const KEY_ID: &str = "//cloudkms/v1/projects/p/key/1";
const REPOSITORY: &str = "us-central1-docker.pkg.dev/p/app/myservice";

/// A desk with one cluster, one attestor with one key, and a policy that requires it.
pub(crate) struct Court {
    pub(crate) desk: Desk,
    pub(crate) webhook: reqwest::Client,
    key: EcdsaKeyPair,
    images: AtomicU32,
}

/// What the webhook answered.
#[derive(Debug)]
pub(crate) struct Verdict(pub(crate) Value);

impl Court {
    pub(crate) async fn new() -> Court {
        let folder = tempfile::tempdir().unwrap();
        let flags = flags(folder.path());
        Court::on(Desk::with(folder, flags).await).await
    }

    /// On a server of one's own making.
    pub(crate) async fn on(desk: Desk) -> Court {
        install_crypto_provider();
        let court = Court::on_again(desk);
        let cluster = json!({ "cluster": {
            "name": "c",
            "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" },
        } });
        court
            .desk
            .post("/v1/projects/p/locations/us-central1-a/clusters", cluster)
            .await
            .ok();
        let note = json!({ "attestation": { "hint": { "humanReadableName": "signed" } } });
        court
            .desk
            .post("/v1/projects/p/notes?noteId=signed", note)
            .await
            .ok();
        court
            .desk
            .post(
                "/v1/projects/p/attestors?attestorId=image-signing-attestor",
                court.attestor(true),
            )
            .await
            .ok();
        court
            .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
            .await;
        court
    }

    /// On a server where all of it is there already; the key is another one.
    pub(crate) fn on_again(desk: Desk) -> Court {
        Court {
            webhook: client(&desk, true),
            desk,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            images: AtomicU32::new(0),
        }
    }

    /// The same on a server that was stopped and started anew.
    pub(crate) async fn restarted(self) -> Court {
        let Court {
            desk,
            webhook,
            key,
            images,
        } = self;
        drop(webhook);
        let folder = desk.stop().await;
        let flags = flags(folder.path());
        let desk = Desk::with(folder, flags).await;
        Court {
            webhook: client(&desk, true),
            desk,
            key,
            images,
        }
    }

    /// The attestor's resource with somebody else's key.
    pub(crate) fn attestor_of_another(&self) -> Value {
        let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut attestor = self.attestor(true);
        attestor["userOwnedGrafeasNote"]["publicKeys"][0]["pkixPublicKey"]["publicKeyPem"] =
            pem(other.public_key().as_ref()).into();
        attestor
    }

    /// The attestor's resource, with its key or without.
    pub(crate) fn attestor(&self, with_key: bool) -> Value {
        let key = json!({ "id": KEY_ID, "pkixPublicKey": {
            "publicKeyPem": pem(self.key.public_key().as_ref()), "signatureAlgorithm": "ECDSA_P256_SHA256",
        } });
        let keys = if with_key { vec![key] } else { vec![] };
        json!({ "name": ATTESTOR, "userOwnedGrafeasNote": { "noteReference": "projects/p/notes/signed", "publicKeys": keys } })
    }

    /// Sets the default rule; gives the policy as it was stored.
    pub(crate) async fn policy(&self, rule: Value) -> Value {
        self.desk
            .put("/v1/projects/p/policy", json!({ "defaultAdmissionRule": rule }))
            .await
            .ok()
    }

    /// An image nobody has attested yet.
    pub(crate) fn unsigned(&self) -> String {
        let number = self.images.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0xab; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        format!("{REPOSITORY}@{}", Digest::from_bytes(bytes))
    }

    /// An image with an attestation.
    pub(crate) async fn signed(&self) -> String {
        let image = self.unsigned();
        self.attest(&image).await;
        image
    }

    /// A signed statement about an image.
    pub(crate) fn statement(&self, image: &str) -> Value {
        let (repository, digest) = image.split_once('@').unwrap();
        let payload = payload::build(repository, &digest.parse().unwrap());
        let signature = self.key.sign(&SystemRandom::new(), &payload).unwrap();
        json!({
            "serializedPayload": STANDARD.encode(&payload),
            "signatures": [{ "publicKeyId": KEY_ID, "signature": STANDARD.encode(signature.as_ref()) }],
        })
    }

    /// The occurrence that attests an image.
    pub(crate) fn occurrence(&self, image: &str) -> Value {
        json!({
            "noteName": "projects/p/notes/signed",
            "resourceUri": format!("https://{image}"),
            "attestation": self.statement(image),
        })
    }

    /// Attests an image; gives the occurrence's name.
    pub(crate) async fn attest(&self, image: &str) -> String {
        let occurrence = self.occurrence(image);
        let stored = self
            .desk
            .post("/v1/projects/p/occurrences", occurrence)
            .await
            .ok();
        stored["name"].as_str().unwrap().to_owned()
    }

    /// The validating webhook's verdict on a review.
    pub(crate) async fn admit(&self, review: &Value) -> Verdict {
        Verdict(self.ask("admit", review).await)
    }

    /// A Pod with these images, created.
    pub(crate) async fn pod(&self, images: &[&str]) -> Verdict {
        self.admit(&created(pod(images))).await
    }

    /// Posts to a dialect of the webhook, for the registered cluster.
    pub(crate) async fn ask(&self, dialect: &str, body: &Value) -> Value {
        let answer = self
            .raw(
                &format!("/{dialect}/{CLUSTER}?timeout=10s"),
                body.to_string().into_bytes(),
            )
            .await;
        assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
        serde_json::from_str(&answer.1).unwrap()
    }

    /// Posts any bytes to any path of the webhook.
    pub(crate) async fn raw(&self, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        let request = self
            .webhook
            .post(self.url(path))
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.desk.addresses().webhook)
    }

    /// The recorded verdicts, newest first.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let listed = self
            .desk
            .get("/binauthz/v1/projects/p/decisions?pageSize=1000")
            .await
            .ok();
        listed["decisions"].as_array().cloned().unwrap_or_default()
    }

    /// The newest recorded verdict.
    pub(crate) async fn record(&self) -> Value {
        self.records().await.swap_remove(0)
    }
}

impl Verdict {
    pub(crate) fn allowed(&self) -> bool {
        assert_eq!(
            self.0["response"]["uid"], UID,
            "the reply is to the request: {}",
            self.0
        );
        self.0["response"]["allowed"].as_bool().unwrap()
    }

    /// The sentence of a denial.
    #[track_caller]
    pub(crate) fn denial(&self) -> &str {
        assert!(!self.allowed(), "{}", self.0);
        assert_eq!(
            self.0["response"]["status"]["reason"], "VIOLATES_POLICY",
            "{}",
            self.0
        );
        self.0["response"]["status"]["message"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn admitted(&self) {
        assert!(self.allowed(), "{}", self.0);
    }
}

pub(crate) const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

/// A client of the webhook that knows the server's authority.
pub(crate) fn client(desk: &Desk, http2: bool) -> reqwest::Client {
    install_crypto_provider();
    let authority = std::fs::read(desk.folder().join("webhook-ca.pem")).unwrap();
    let builder =
        reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()]);
    if http2 {
        builder.build().unwrap()
    } else {
        builder.http1_only().build().unwrap()
    }
}

pub(crate) fn require_attestation(enforcement: &str) -> Value {
    json!({
        "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": enforcement, "requireAttestationsBy": [ATTESTOR],
    })
}

pub(crate) fn always(mode: &str) -> Value {
    json!({ "evaluationMode": mode, "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" })
}

/// A Pod with one container for each image.
pub(crate) fn pod(images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(index, image)| json!({ "name": format!("c{index}"), "image": image }))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "containers": containers, "serviceAccountName": "default" },
    })
}

/// The review of an object's creation; its kind is what the object says.
pub(crate) fn created(object: Value) -> Value {
    let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), object["apiVersion"].as_str().unwrap().to_owned()),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": { "group": group, "version": version, "kind": object["kind"] },
            "name": object["metadata"]["name"], "namespace": "default", "operation": "CREATE",
            "userInfo": { "username": "alice@example.com", "groups": ["system:authenticated"] },
            "object": object, "oldObject": null, "dryRun": false,
        },
    })
}

/// The review of an object's update.
pub(crate) fn updated(old: Value, new: Value) -> Value {
    let mut review = created(new);
    review["request"]["operation"] = "UPDATE".into();
    review["request"]["oldObject"] = old;
    review
}

/// SubjectPublicKeyInfo of a P-256 point.
fn pem(point: &[u8]) -> String {
    const HEAD: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let encoded = STANDARD.encode([&HEAD, point].concat());
    let (first, second) = encoded.split_at(64);
    format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
}
