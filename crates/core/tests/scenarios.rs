//! The scenario corpus: what the policy says, who signed what, who asks, and what must come of it.
//!
//! Every file of `scenarios/` is read, every attestation is minted by a key made here, and the
//! verdict comes from `plan`, `Examination` and `decide` alone: no server, no store, no clock.

#![expect(clippy::disallowed_methods, reason = "the scenarios and fixtures are files")]

mod support;

use binauthz_core::attestation::{Attestation, Signature};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::decide::{decide, plan};
use binauthz_core::decision::{Decision, Reason};
use binauthz_core::evidence::{Answer, Answers, Examination, Next, Question};
use binauthz_core::image::Digest;
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::name::AttestorName;
use binauthz_core::payload;
use binauthz_core::policy::{
    AdmissionRule, Attestors, Enforcement, Evaluation, GlobalEvaluation, Policy, PolicyLabel, Rule, Scoped,
    Snapshot, Standing, SystemPolicy,
};
use binauthz_core::signature::pgp::Certificate;
use binauthz_core::signature::{PAE_TYPE, pae};
use binauthz_core::time::UnixTime;
use binauthz_core::workload::{BreakGlass, Request, RequestedImage, Subject};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use support::{NOW, Pair};

/// One file: attestors and a policy that its scenarios share, unless one brings its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    attestors: BTreeMap<String, WrittenAttestor>,
    policy: WrittenPolicy,
    scenarios: Vec<Scenario>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAttestor {
    /// Names of test keys; `pgp:FOLDER` is the key of an OpenPGP fixture.
    keys: Vec<String>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    match_identity: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPolicy {
    #[serde(default)]
    system: bool,
    #[serde(default)]
    allowlist: Vec<String>,
    default: WrittenRule,
    #[serde(default)]
    clusters: BTreeMap<String, WrittenRule>,
    #[serde(default)]
    namespaces: BTreeMap<String, WrittenRule>,
    #[serde(default)]
    service_accounts: BTreeMap<String, WrittenRule>,
    #[serde(default)]
    mesh_identities: BTreeMap<String, WrittenRule>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    mode: Mode,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Allow,
    Deny,
    Attest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(default)]
    policy: Option<WrittenPolicy>,
    #[serde(default)]
    standing: WrittenStanding,
    #[serde(default)]
    request: WrittenRequest,
    #[serde(default)]
    sign: Vec<WrittenAttestation>,
    /// Attestors whose evidence cannot be read, comes too late, or is never asked for.
    #[serde(default)]
    unavailable: Vec<String>,
    #[serde(default)]
    deadline: Vec<String>,
    #[serde(default)]
    unanswered: Vec<String>,
    /// When the verdict falls, in seconds after the usual time.
    #[serde(default)]
    later: i64,
    expect: Expected,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenStanding {
    #[default]
    Registered,
    EvaluationDisabled,
    Unregistered,
    NoPolicy,
    Unavailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRequest {
    cluster: String,
    namespace: String,
    service_account: String,
    /// The dialect that carries no service account.
    image_review: bool,
    label: Option<String>,
    annotation: Option<String>,
    images: Vec<String>,
}

impl Default for WrittenRequest {
    fn default() -> Self {
        Self {
            cluster: "us-central1.prod".to_owned(),
            namespace: "shop".to_owned(),
            service_account: "default".to_owned(),
            image_review: false,
            label: None,
            annotation: None,
            images: vec![format!("registry.test/app/web@{}", support::D1)],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAttestation {
    /// Whose note it hangs on.
    attestor: String,
    /// What is signed.
    #[serde(default = "first_digest")]
    digest: String,
    /// Where it is filed, if not under what is signed.
    #[serde(default)]
    filed_under: Option<String>,
    /// The note it really names, if not the attestor's.
    #[serde(default)]
    note: Option<String>,
    /// Who signs; `pgp:FOLDER` brings that fixture's signature. The attestor's first key by default.
    #[serde(default)]
    key: Option<String>,
    /// The id it names, if not that of the key that signs.
    #[serde(default)]
    key_id: Option<String>,
    #[serde(default = "usual_repository")]
    repository: String,
    #[serde(default)]
    twist: Twist,
}

fn first_digest() -> String {
    support::D1.to_owned()
}

fn usual_repository() -> String {
    "registry.test/app/web".to_owned()
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Twist {
    #[default]
    None,
    FlippedSignature,
    OtherPayloadSigned,
    Encoded,
    CosignType,
    NotJson,
    NoSignature,
    BadSignatureFirst,
    HostInKeyId,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    verdict: Verdict,
    code: String,
    #[serde(default = "enforced")]
    effect: String,
    /// The whole text of the objections, as a person reads it; empty if there are none.
    #[serde(default)]
    says: String,
    /// The rule that applied, where that is the point.
    #[serde(default)]
    rule: Option<String>,
    /// The code of every reason, image by image, where that is the point.
    #[serde(default)]
    reasons: Option<Vec<String>>,
    #[serde(default)]
    justification: Option<String>,
}

fn enforced() -> String {
    "ENFORCED".to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Admit,
    Deny,
    /// Admitted though it does not conform.
    Override,
}

const KEYS: [&str; 6] = ["k1", "k2", "k3", "k4", "k5", "kms"];
const KMS_ID: &str =
    "//cloudkms.googleapis.com/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

fn pair(name: &str) -> &'static Pair {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    let pairs = PAIRS.get_or_init(|| {
        let curve = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        KEYS.iter().map(|_| Pair::ec(curve)).collect()
    });
    let index = KEYS.iter().position(|key| *key == name);
    &pairs[index.unwrap_or_else(|| panic!("no test key `{name}`"))]
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn public_key(name: &str) -> AttestorKey {
    if let Some(fixture) = name.strip_prefix("pgp:") {
        let armored = std::fs::read_to_string(folder("fixtures/pgp").join(fixture).join("key.asc")).unwrap();
        let certificate = Certificate::from_armored(&armored).unwrap();
        return AttestorKey::new("", "", PublicKey::Pgp(Box::new(certificate)));
    }
    let key = PkixKey::from_pem(&pair(name).pem(), SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let id = if name == "kms" { KMS_ID } else { name };
    AttestorKey::new(id, "", PublicKey::Pkix(key))
}

fn attestor_name(short: &str) -> AttestorName {
    format!("projects/p/attestors/{short}").parse().unwrap()
}

impl WrittenAttestor {
    fn build(&self, short: &str) -> Arc<Attestor> {
        let note = self.note.as_deref().unwrap_or(short);
        let note = format!("projects/p/notes/{note}").parse().unwrap();
        let keys = self.keys.iter().map(|key| public_key(key)).collect();
        let attestor = Attestor::new(attestor_name(short), note, keys, 7).unwrap();
        Arc::new(attestor.with_match_identity(self.match_identity))
    }
}

impl WrittenRule {
    fn build(&self) -> AdmissionRule {
        let names = self.by.iter().map(|name| attestor_name(name)).collect();
        let rule = match self.mode {
            Mode::Allow => Rule::AlwaysAllow,
            Mode::Deny => Rule::AlwaysDeny,
            Mode::Attest => Rule::RequireAttestations(Attestors::new(names).unwrap()),
        };
        let enforcement = if self.dry_run {
            Enforcement::DryRun
        } else {
            Enforcement::Block
        };
        AdmissionRule { rule, enforcement }
    }
}

fn rules<K: std::str::FromStr + Ord>(written: &BTreeMap<String, WrittenRule>) -> BTreeMap<K, AdmissionRule>
where
    K::Err: std::fmt::Debug,
{
    written
        .iter()
        .map(|(key, rule)| (key.parse().unwrap(), rule.build()))
        .collect()
}

impl WrittenPolicy {
    fn build(&self) -> Policy {
        let maps = [
            &self.clusters,
            &self.namespaces,
            &self.service_accounts,
            &self.mesh_identities,
        ];
        let filled: Vec<usize> = (0..maps.len()).filter(|map| !maps[*map].is_empty()).collect();
        let scoped = match filled.as_slice() {
            [] => Scoped::None,
            [0] => Scoped::ByCluster(rules(&self.clusters)),
            [1] => Scoped::ByNamespace(rules(&self.namespaces)),
            [2] => Scoped::ByServiceAccount(rules(&self.service_accounts)),
            [3] => Scoped::ByMeshIdentity(rules(&self.mesh_identities)),
            _ => panic!("two rule maps"),
        };
        let allowlist = self.allowlist.iter().map(|text| text.parse().unwrap()).collect();
        Policy {
            description: String::new(),
            global_evaluation: if self.system {
                GlobalEvaluation::Enable
            } else {
                GlobalEvaluation::Disable
            },
            allowlist,
            scoped,
            default_rule: self.default.build(),
        }
    }
}

impl WrittenRequest {
    fn build(&self) -> Request {
        let (location, cluster) = self.cluster.split_once('.').unwrap();
        let cluster = format!("projects/p/locations/{location}/clusters/{cluster}")
            .parse()
            .unwrap();
        let service_account = (!self.image_review).then_some(self.service_account.as_str());
        let namespace = self.namespace.parse().unwrap();
        let images = self.images.iter().enumerate();
        Request {
            subject: Subject::new(cluster, namespace, service_account, "p.svc.id.goog").unwrap(),
            images: images
                .map(|(index, image)| {
                    RequestedImage::new(format!("spec.containers[{index}]"), image.as_str())
                })
                .collect(),
            break_glass: BreakGlass::read(self.label.as_deref(), self.annotation.as_deref()),
        }
    }
}

/// An attestation as a store would hold it: filed under a digest.
struct Filed {
    attestor: String,
    digest: Digest,
    attestation: Attestation,
}

impl WrittenAttestation {
    fn build(&self, index: usize, attestors: &BTreeMap<String, WrittenAttestor>) -> Filed {
        let attestor = &attestors[&self.attestor];
        let note = self
            .note
            .as_deref()
            .or(attestor.note.as_deref())
            .unwrap_or(&self.attestor);
        let key = self.key.as_deref().unwrap_or_else(|| &attestor.keys[0]);
        let payload = self.payload();
        let mut signatures = self.signatures(key, &payload);
        if self.twist == Twist::BadSignatureFirst {
            let mut bad = signatures[0].clone();
            bad.bytes.reverse();
            signatures.insert(0, bad);
        }
        let filed_under = self.filed_under.as_ref().unwrap_or(&self.digest);
        Filed {
            attestor: self.attestor.clone(),
            digest: filed_under.parse().unwrap(),
            attestation: Attestation::claimed(
                format!("projects/p/occurrences/o{}", index + 1).parse().unwrap(),
                format!("projects/p/notes/{note}").parse().unwrap(),
                payload,
                signatures,
            ),
        }
    }

    fn payload(&self) -> Vec<u8> {
        let built = payload::build(&self.repository, &self.digest.parse().unwrap());
        match self.twist {
            Twist::CosignType => String::from_utf8(built)
                .unwrap()
                .replace(payload::PAYLOAD_TYPE, "cosign container image signature")
                .into_bytes(),
            Twist::NotJson => b"I vouch for this image".to_vec(),
            _ => built,
        }
    }

    fn signatures(&self, key: &str, payload: &[u8]) -> Vec<Signature> {
        if self.twist == Twist::NoSignature {
            return Vec::new();
        }
        if let Some(fixture) = key.strip_prefix("pgp:") {
            let bytes = std::fs::read(folder("fixtures/pgp").join(fixture).join("message.asc")).unwrap();
            let key_id = public_key(key).id().to_owned();
            return vec![Signature { key_id, bytes }];
        }
        let signed = match self.twist {
            Twist::OtherPayloadSigned => payload::build("registry.test/other", &self.digest.parse().unwrap()),
            Twist::Encoded => pae(PAE_TYPE, payload),
            _ => payload.to_vec(),
        };
        let mut bytes = pair(key).sign(&signed);
        if self.twist == Twist::FlippedSignature {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        let own = public_key(key).id().to_owned();
        let key_id = match (&self.key_id, self.twist) {
            (Some(id), _) => id.clone(),
            (None, Twist::HostInKeyId) => own.replace("cloudkms.googleapis.com", "binauthz.test:8443"),
            (None, _) => own,
        };
        vec![Signature { key_id, bytes }]
    }
}

fn standing(scenario: &Scenario, file: &File, evaluation: Evaluation) -> Standing {
    let policy = scenario.policy.as_ref().unwrap_or(&file.policy).build();
    let attestors = file
        .attestors
        .iter()
        .map(|(short, written)| (attestor_name(short), written.build(short)));
    Standing::Registered(Arc::new(Snapshot {
        label: Arc::new(PolicyLabel {
            name: "projects/p/policy".to_owned(),
            etag: "\"1\"".to_owned(),
        }),
        policy,
        system: SystemPolicy::shipped(),
        attestors: attestors.collect(),
        evaluation,
    }))
}

/// What a store and a verifier find out for one question.
fn answer(question: &Question<'_>, scenario: &Scenario, filed: &[Filed], now: UnixTime) -> Option<Answer> {
    let short = question.attestor.name().attestor().as_str();
    let named = |list: &[String]| list.iter().any(|name| name == short);
    if named(&scenario.unanswered) {
        return None;
    }
    if named(&scenario.unavailable) {
        return Some(Answer::Unavailable("the store did not answer".to_owned()));
    }
    if named(&scenario.deadline) {
        return Some(Answer::Deadline);
    }
    let attestor = Arc::clone(question.attestor);
    let mut examination = Examination::new(attestor, *question.image.digest(), now);
    let found = filed
        .iter()
        .filter(|filed| filed.attestor == short && filed.digest == *question.image.digest());
    for attestation in found.map(|filed| &filed.attestation) {
        if examination.look_at(attestation) != Next::GoOn {
            break;
        }
    }
    Some(Answer::Found(Arc::new(examination.finish())))
}

fn run(scenario: &Scenario, file: &File) -> Decision {
    let request = scenario.request.build();
    let standing = match scenario.standing {
        WrittenStanding::Registered => standing(scenario, file, Evaluation::Enforced),
        WrittenStanding::EvaluationDisabled => standing(scenario, file, Evaluation::Disabled),
        WrittenStanding::Unregistered => Standing::Unregistered,
        WrittenStanding::NoPolicy => Standing::NoPolicy,
        WrittenStanding::Unavailable => Standing::Unavailable("the store is closed".to_owned()),
    };
    let filed: Vec<Filed> = scenario
        .sign
        .iter()
        .enumerate()
        .map(|(index, written)| written.build(index, &file.attestors))
        .collect();
    let now = UnixTime::from_seconds(NOW.as_seconds() + scenario.later);
    let plan = plan(&standing, request);
    let mut answers = Answers::new();
    for question in plan.questions() {
        if let Some(answer) = answer(&question, scenario, &filed, NOW) {
            answers.insert(&question, answer);
        }
    }
    decide(plan, &answers, now)
}

fn compare(decision: &Decision, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, found: &str, expected: &str| {
        if found != expected {
            wrong.push(format!("{what}: {found}\n   expected: {expected}"));
        }
    };
    let verdict = match (decision.admitted(), decision.conforms()) {
        (true, true) => Verdict::Admit,
        (true, false) => Verdict::Override,
        (false, _) => Verdict::Deny,
    };
    same(
        "verdict",
        &format!("{verdict:?}"),
        &format!("{:?}", expected.verdict),
    );
    same(
        "overridden",
        &decision.overridden().to_string(),
        &(expected.verdict == Verdict::Override).to_string(),
    );
    same("code", decision.reason_code(), &expected.code);
    same("effect", decision.effect().code(), &expected.effect);
    same("says", &decision.denial(), &expected.says);
    if let Some(rule) = &expected.rule {
        same(
            "rule",
            &decision.rule().map(ToString::to_string).unwrap_or_default(),
            rule,
        );
    }
    if let Some(reasons) = &expected.reasons {
        let found: Vec<&str> = decision
            .findings()
            .iter()
            .flat_map(|finding| finding.reasons())
            .map(Reason::code)
            .collect();
        same("reasons", &found.join(" "), &reasons.join(" "));
    }
    if let Some(justification) = &expected.justification {
        let found = match decision.effect() {
            binauthz_core::decision::Effect::BrokenGlass { justification } => justification.as_str(),
            _ => "(no broken glass)",
        };
        same("justification", found, justification);
    }
    wrong
}

fn files() -> Vec<(String, File)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)
                .unwrap()
                .replace("{D1}", support::D1)
                .replace("{D2}", support::D2);
            let file = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, file)
        })
        .collect()
}

#[test]
fn every_scenario_comes_out_as_written() {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut names = BTreeSet::new();
    let mut codes = BTreeSet::new();
    for (name, file) in files() {
        for scenario in &file.scenarios {
            assert!(
                names.insert(scenario.name.clone()),
                "`{}` is there twice",
                scenario.name
            );
            count += 1;
            codes.insert(scenario.expect.code.clone());
            let differences = compare(&run(scenario, &file), &scenario.expect);
            if !differences.is_empty() {
                wrong.push(format!(
                    "{name}: {}\n  {}",
                    scenario.name,
                    differences.join("\n  ")
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} scenarios:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 120, "the corpus shrank to {count}");
    // What only the shell can say: it could not read, record or start at all.
    let of_the_shell = [
        "BREAK_GLASS_CLOSED",
        "UNREVIEWABLE",
        "AUDIT_UNAVAILABLE",
        "OVERLOADED",
        "INTERNAL",
    ];
    for code in Reason::CODES {
        assert_ne!(codes.contains(code), of_the_shell.contains(&code), "{code}");
    }
}
