//! A project with a policy, an attestor with a P-256 key, attestations, and Pods that ask for what they are about.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::image::Digest;
use binauthz_core::payload;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::Outcome;
use crate::process::Server;

pub(crate) const NOTE: &str = "projects/bench/notes/signed";
pub(crate) const ATTESTOR: &str = "projects/bench/attestors/signer";
const KEY_ID: &str = "//binauthz/bench/key";
const REPOSITORY: &str = "us-central1-docker.pkg.dev/bench/app/service";
/// Where attestations are stored several at once.
pub(crate) const BATCH_PATH: &str = "/v1/projects/bench/occurrences:batchCreate";
pub(crate) const WEBHOOK_PATH: &str =
    "/admit/projects/bench/locations/us-central1-a/clusters/bench?timeout=10s";

/// A Pod as the API server sends it for a Deployment, recorded from version 1.36.2.
const RECORDED: &str = include_str!(
    "../../crates/wire/tests/fixtures/kubernetes/v1.36.2-admissionreview-pod-create-by-replicaset-controller.json"
);

/// The one key that signs here.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| "no key")?,
        ))
    }

    /// SubjectPublicKeyInfo: a constant head for P-256, then the point.
    fn public_pem(&self) -> String {
        const HEAD: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let encoded = STANDARD.encode([&HEAD, self.0.public_key().as_ref()].concat());
        let (first, second) = encoded.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// What one check of a signature of this key over a statement takes, in microseconds.
    pub(crate) fn check_micros(&self) -> Outcome<f64> {
        const CHECKS: u32 = 5_000;
        let payload = payload::build(REPOSITORY, &digest(0));
        let signed = self.0.sign(&SystemRandom::new(), &payload);
        let signature = signed.map_err(|_| "cannot sign")?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0.public_key().as_ref());
        let began = std::time::Instant::now();
        for _ in 0..CHECKS {
            key.verify(&payload, signature.as_ref())
                .map_err(|_| "a signature does not hold")?;
        }
        Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKS))
    }

    /// The occurrence that attests image `number`, as the API takes it.
    pub(crate) fn occurrence(&self, number: u32) -> Outcome<Value> {
        let payload = payload::build(REPOSITORY, &digest(number));
        let signature = self
            .0
            .sign(&SystemRandom::new(), &payload)
            .map_err(|_| "cannot sign")?;
        Ok(json!({
            "noteName": NOTE,
            "resourceUri": format!("https://{}", image(number)),
            "attestation": {
                "serializedPayload": STANDARD.encode(&payload),
                "signatures": [{ "publicKeyId": KEY_ID, "signature": STANDARD.encode(signature.as_ref()) }],
            },
        }))
    }
}

pub(crate) fn digest(number: u32) -> Digest {
    let mut bytes = [0x5a; 32];
    // Spread, as real digests are.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

pub(crate) fn image(number: u32) -> String {
    format!("{REPOSITORY}@{}", digest(number))
}

/// The review of a Pod with one container for each image.
pub(crate) fn review(numbers: &[u32]) -> Outcome<Bytes> {
    let mut review: Value = serde_json::from_str(RECORDED)?;
    let containers = &mut review["request"]["object"]["spec"]["containers"];
    let model = containers[0].clone();
    *containers = numbers
        .iter()
        .enumerate()
        .map(|(index, number)| {
            let mut container = model.clone();
            container["name"] = format!("container-{index}").into();
            container["image"] = image(*number).into();
            container["env"] =
                json!([{ "name": "GREETING", "value": "hello" }, { "name": "LEVEL", "value": "info" }]);
            container["resources"] =
                json!({ "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "128Mi" } });
            container["livenessProbe"] = json!({
                "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" },
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
            });
            container
        })
        .collect();
    let managed = &mut review["request"]["object"]["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"];
    let entry = managed
        .as_object()
        .and_then(|map| map.values().next().cloned())
        .unwrap_or_default();
    *managed = numbers
        .iter()
        .enumerate()
        .map(|(index, _)| (format!("k:{{\"name\":\"container-{index}\"}}"), entry.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    Ok(Bytes::from(format!("{review}\n")))
}

/// Cluster, note, attestor and a policy that requires it.
pub(crate) async fn prepare(server: &Server, signer: &Signer) -> Outcome<()> {
    let api = Api::of(server)?;
    let cluster = json!({ "cluster": {
        "name": "bench", "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" },
    } });
    api.send(
        "POST",
        "/v1/projects/bench/locations/us-central1-a/clusters",
        &cluster,
    )
    .await?;
    let note = json!({ "attestation": { "hint": { "humanReadableName": "bench" } } });
    api.send("POST", "/v1/projects/bench/notes?noteId=signed", &note)
        .await?;
    let key = json!({ "id": KEY_ID, "pkixPublicKey": {
        "publicKeyPem": signer.public_pem(), "signatureAlgorithm": "ECDSA_P256_SHA256",
    } });
    let body =
        json!({ "name": ATTESTOR, "userOwnedGrafeasNote": { "noteReference": NOTE, "publicKeys": [key] } });
    api.send("POST", "/v1/projects/bench/attestors?attestorId=signer", &body)
        .await?;
    put_policy(server, &[]).await
}

/// The same, with an attestation for each image of a Pod of three: warm once it was asked about.
pub(crate) async fn prepare_three(server: &Server) -> Outcome<()> {
    let signer = Signer::new()?;
    prepare(server, &signer).await?;
    attest(server, &signer, 0..3).await
}

/// The policy that requires the attestor, except for these patterns.
pub(crate) async fn put_policy(server: &Server, patterns: &[&str]) -> Outcome<()> {
    let patterns: Vec<Value> = patterns
        .iter()
        .map(|pattern| json!({ "namePattern": pattern }))
        .collect();
    let policy = json!({
        "admissionWhitelistPatterns": patterns,
        "defaultAdmissionRule": {
            "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
            "requireAttestationsBy": [ATTESTOR],
        },
    });
    Api::of(server)?
        .send("PUT", "/v1/projects/bench/policy", &policy)
        .await
}

/// Attests the images through the API.
pub(crate) async fn attest(server: &Server, signer: &Signer, numbers: std::ops::Range<u32>) -> Outcome<()> {
    let api = Api::of(server)?;
    for start in numbers.clone().step_by(500) {
        let batch = start..(start + 500).min(numbers.end);
        let occurrences = batch
            .map(|number| signer.occurrence(number))
            .collect::<Outcome<Vec<_>>>()?;
        let body = json!({ "occurrences": occurrences });
        api.send("POST", BATCH_PATH, &body).await?;
    }
    Ok(())
}

/// The management API.
pub(crate) struct Api {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    pub(crate) fn of(server: &Server) -> Outcome<Self> {
        Ok(Self {
            client: reqwest::Client::new(),
            url: server.url("api")?,
            token: server.token()?,
        })
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Outcome<()> {
        self.ask(method, path, Some(body)).await.map(drop)
    }

    /// The answer to a call that goes well.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method.parse()?, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        match answer.status().is_success() {
            true => Ok(answer.json().await?),
            false => Err(format!("{method} {path}: {}", answer.text().await?).into()),
        }
    }
}
