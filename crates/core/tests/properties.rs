//! What holds for every input, not only for the ones that came to mind.

mod support;

use binauthz_core::attestation::verify;
use binauthz_core::attestor::Attestor;
use binauthz_core::decide::{decide, plan};
use binauthz_core::decision::Decision;
use binauthz_core::evidence::{Answer, Answers, Evidence};
use binauthz_core::image::{Digest, ImagePattern, ImageRef};
use binauthz_core::key::{PkixKey, SignatureAlgorithm, reduced_id};
use binauthz_core::name::{
    AttestorName, ClusterId, ClusterKey, ClusterName, CryptoKeyName, KeyId, KeyRingName, KeyVersionName,
    LocationId, NoteName, OccurrenceName, ProjectId, ResourceId, VersionNumber,
};
use binauthz_core::payload;
use binauthz_core::policy::{
    AdmissionRule, Attestors, Enforcement, Evaluation, GlobalEvaluation, Policy, PolicyLabel, Rule, Scoped,
    Snapshot, Standing, SystemPolicy,
};
use binauthz_core::signature::pgp::Certificate;
use binauthz_core::workload::{
    BreakGlass, MeshIdentity, Namespace, Request, RequestedImage, ServiceAccount, Subject,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use support::{NOW, Pair, armor, claim, key, verify_with};

/// What parses is written back as it was read.
fn round_trips<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert_eq!(written, text);
        assert!(written.parse::<T>().is_ok_and(|again| again == read), "{text}");
    }
}

/// Text near to what the parsers read, and text that is not.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "projects/",
        "p",
        "/attestors/",
        "/notes/",
        "/occurrences/",
        "a",
        "r.test",
        "/",
        ":",
        "@",
        "sha256:",
        ".",
        "..",
        "*",
        "**",
        "[",
        "]",
        "::1",
        "-",
        "_",
        "__",
        "5000",
        "A",
        " ",
        "\n",
        "\u{430}",
        "%2f",
        "spiffe://",
        "/ns/",
        "/sa/",
        "us-central1",
        "locations/",
        "keyRings/",
        "cryptoKeys/",
        "cryptoKeyVersions/",
        "1",
        "0",
        "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()),
        any::<String>(),
        "[a-z0-9./:@*_-]{0,80}",
    ]
}

/// Names of every kind, most of them good.
fn names() -> impl Strategy<Value = String> {
    let segment = || "[a-z0-9A-Z_.~:-]{0,8}|[a-z][a-z0-9]{0,62}|\\PC{1,3}";
    let collections = prop::sample::select(vec![
        &["projects", "attestors"][..],
        &["projects", "notes"],
        &["projects", "occurrences"],
        &["projects", "locations", "clusters"],
        &["projects", "locations", "keyRings"],
        &["projects", "locations", "keyRings", "cryptoKeys"],
        &[
            "projects",
            "locations",
            "keyRings",
            "cryptoKeys",
            "cryptoKeyVersions",
        ],
    ]);
    let ids = prop::collection::vec(segment(), 5);
    (collections, ids, 0_u32..20, any::<bool>()).prop_map(|(collections, mut ids, version, good)| {
        if good {
            ids = ["p", "l", "r", "k", "v"]
                .map(|id| format!("{id}{version}"))
                .to_vec();
        }
        ids[4] = version.to_string();
        let pairs = collections
            .iter()
            .zip(ids)
            .map(|(collection, id)| format!("{collection}/{id}"));
        pairs.collect::<Vec<_>>().join("/")
    })
}

proptest! {
    #[test]
    fn names_are_written_back_as_they_were_read(text in prop_oneof![names(), texts()]) {
        round_trips::<AttestorName>(&text);
        round_trips::<NoteName>(&text);
        round_trips::<OccurrenceName>(&text);
        round_trips::<ClusterName>(&text);
        round_trips::<KeyRingName>(&text);
        round_trips::<CryptoKeyName>(&text);
        round_trips::<KeyVersionName>(&text);
        let read = [
            text.parse::<AttestorName>().is_ok(),
            text.parse::<NoteName>().is_ok(),
            text.parse::<OccurrenceName>().is_ok(),
            text.parse::<ClusterName>().is_ok(),
            text.parse::<KeyRingName>().is_ok(),
            text.parse::<CryptoKeyName>().is_ok(),
            text.parse::<KeyVersionName>().is_ok(),
        ];
        // No text is a name of two kinds.
        prop_assert!(read.iter().filter(|is_read| **is_read).count() <= 1, "{}", text);
        for id in text.split('/') {
            round_trips::<ProjectId>(id);
            round_trips::<ResourceId>(id);
            round_trips::<KeyId>(id);
            round_trips::<LocationId>(id);
            round_trips::<ClusterId>(id);
            round_trips::<VersionNumber>(id);
        }
    }

    /// What is signed for one digest is read as that digest, whatever the repository is called.
    #[test]
    fn a_statement_is_read_as_it_was_built(repository in "\\PC{0,300}|[a-z./]{0,300}", bytes in any::<[u8; 32]>()) {
        let digest = Digest::from_bytes(bytes);
        let statement = payload::build(&repository, &digest);
        prop_assert_eq!(payload::unverified_digest(&statement), Ok(digest));
        prop_assert!(statement.is_ascii());
    }

    /// A damaged statement is refused, or says the same or another digest: it never says two things.
    #[test]
    fn a_damaged_statement_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut statement = support::payload(support::D1);
        let at = at.index(statement.len());
        match how {
            0 => statement[at] = byte,
            1 => { statement.remove(at); }
            _ => statement.insert(at, byte),
        }
        if let Ok(digest) = payload::unverified_digest(&statement) {
            let named = String::from_utf8(statement).unwrap();
            prop_assert!(named.contains(&digest.to_string()), "{}", named);
        }
    }

    #[test]
    fn no_bytes_are_a_statement(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(payload::unverified_digest(&bytes).is_err());
    }

    #[test]
    fn statements_of_json_signs_never_panic(text in "[\\[\\]{}\",:a0.eE+\\\\u-]{0,200}") {
        prop_assert!(payload::unverified_digest(text.as_bytes()).is_err());
    }

    /// A key with one character changed is refused, or it is the same key.
    #[test]
    fn a_damaged_key_is_no_other_key(at in any::<prop::sample::Index>(), byte in 0_u8..128, how in 0..3) {
        let good = own_key();
        let mut text = good.pem().as_bytes().to_vec();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => { text.remove(at); }
            _ => text.insert(at, byte),
        }
        let text = String::from_utf8(text).unwrap();
        if let Ok(key) = PkixKey::from_pem(&text, good.algorithm()) {
            prop_assert_eq!(key.der(), good.der());
        }
    }

    #[test]
    fn parsers_never_panic_and_write_back_what_they_read(text in texts()) {
        round_trips::<ImageRefText>(&text);
        round_trips::<Digest>(&text);
        round_trips::<ImagePattern>(&text);
        round_trips::<ClusterKey>(&text);
        round_trips::<Namespace>(&text);
        round_trips::<ServiceAccount>(&text);
        if let Ok(identity) = text.parse::<MeshIdentity>() {
            prop_assert_eq!(identity.as_str(), text.strip_prefix("spiffe://").unwrap_or(&text));
        }
        let _ = BreakGlass::read(Some(&text), Some(&text));
        prop_assert_eq!(reduced_id(&reduced_id(&text)), reduced_id(&text));
    }

    #[test]
    fn a_reference_is_made_of_its_parts(text in texts()) {
        if let Ok(image) = text.parse::<ImageRef>() {
            prop_assert_eq!(image.as_written(), &text);
            prop_assert!(text.starts_with(image.repository()));
            let whole = match image.host() {
                Some(host) => format!("{host}/{}", image.path()),
                None => image.path().to_owned(),
            };
            prop_assert_eq!(whole, image.repository());
            for bad in ["//", "..", "*", " ", "#", "?", "%"] {
                prop_assert!(!image.repository().contains(bad), "{}", text);
            }
        }
    }

    #[test]
    fn keys_and_signatures_never_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (algorithm, ..) in SignatureAlgorithm::TABLE {
            prop_assert!(PkixKey::from_pem(&text, algorithm).is_err());
            // No random bytes are a key; that they are read at all is the point.
            let _ = PkixKey::from_pem(&support::pem(&bytes), algorithm);
        }
        prop_assert!(Certificate::from_armored(&text).is_err());
        prop_assert!(verify_with(own_key(), &bytes, &bytes).is_err());
    }

    /// Hostile packets in good armor, and hostile messages for a good key.
    #[test]
    fn openpgp_never_panics(bytes in packets(), cut in any::<prop::sample::Index>()) {
        let armored = armor("PUBLIC KEY BLOCK", &bytes);
        let _ = Certificate::from_armored(&armored);
        let attestor = pgp_attestor();
        let id = attestor.keys()[0].id().to_owned();
        let texts = [
            bytes.clone(),
            armor("MESSAGE", &bytes).into_bytes(),
            armor("SIGNATURE", &bytes).into_bytes(),
            cut_fixture(cut),
        ];
        for message in texts {
            prop_assert!(verify(&claim(&support::payload(support::D1), &id, &message), &attestor, NOW).is_err());
        }
    }

    /// A decision conforms exactly if every pair of image and attestor is satisfied.
    #[test]
    fn a_decision_is_the_fold_of_all_its_pairs(
        images in prop::collection::vec(0_u8..4, 1..5),
        attestors in prop::sample::subsequence(vec![0_u8, 1, 2], 1..=3),
        signed in prop::collection::btree_set((0_u8..4, 0_u8..3), 0..12),
        lost in prop::collection::btree_set((0_u8..4, 0_u8..3), 0..3),
    ) {
        let decision = judge(&images, &attestors, &signed, &lost, &[]);
        let all = images.iter().all(|image| {
            attestors.iter().all(|attestor| {
                let pair = (*image, *attestor);
                signed.contains(&pair) && !lost.contains(&pair)
            })
        });
        prop_assert_eq!(decision.conforms(), all);
        prop_assert_eq!(decision.admitted(), all);
        prop_assert_eq!(decision.denial().is_empty(), all);
        prop_assert_eq!(decision.findings().len(), images.len());
    }

    /// A pattern more never takes an exemption away, and never exempts what it does not match.
    #[test]
    fn patterns_only_add(
        image in 0_u8..4,
        patterns in prop::collection::vec(0_usize..PATTERNS.len(), 0..4),
        added in 0_usize..PATTERNS.len(),
    ) {
        let with = |patterns: &[usize]| {
            let patterns: Vec<&str> = patterns.iter().map(|index| PATTERNS[*index]).collect();
            judge(&[image], &[0], &BTreeSet::new(), &BTreeSet::new(), &patterns).conforms()
        };
        let before = with(&patterns);
        let mut more = patterns.clone();
        more.push(added);
        let matched = PATTERNS[added].parse::<ImagePattern>().unwrap().matches(&reference(image).parse().unwrap());
        prop_assert_eq!(with(&more), before || matched);
    }

    /// Whatever is asked: without answers a rule that requires attestations never conforms.
    #[test]
    fn unanswered_questions_deny(written in prop::collection::vec(texts(), 0..4), system in any::<bool>()) {
        let mut snapshot = snapshot(&[0, 1], &[]);
        snapshot.policy.global_evaluation =
            if system { GlobalEvaluation::Enable } else { GlobalEvaluation::Disable };
        let images = written.iter().map(|text| RequestedImage::new("", text.clone())).collect();
        let plan = plan(&Standing::Registered(Arc::new(snapshot)), request(images));
        prop_assert!(!decide(plan, &Answers::new(), NOW).conforms());
    }

    /// The rest of a pattern's alphabet: a match means the text begins with what stands before the wildcard.
    #[test]
    fn a_match_begins_with_the_pattern(pattern in texts(), image in texts()) {
        if let (Ok(pattern), Ok(image)) = (pattern.parse::<ImagePattern>(), image.parse::<ImageRef>())
            && pattern.matches(&image)
        {
            prop_assert!(image.as_written().starts_with(pattern.as_str().trim_end_matches('*')));
        }
    }
}

/// An image reference as text: it has no `FromStr`-to-`Display` pair of its own in one type.
#[derive(PartialEq)]
struct ImageRefText(ImageRef);

impl FromStr for ImageRefText {
    type Err = binauthz_core::image::InvalidImageRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for ImageRefText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

const PATTERNS: [&str; 6] = [
    "registry.test/app0/*",
    "registry.test/app1/**",
    "registry.test/app2/web",
    "registry.test/app*",
    "registry.test/app3/web@*",
    "other.test/**",
];

fn pairs() -> &'static [Pair; 3] {
    static PAIRS: OnceLock<[Pair; 3]> = OnceLock::new();
    PAIRS.get_or_init(|| [(); 3].map(|()| Pair::ec(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING)))
}

fn own_key() -> &'static PkixKey {
    static KEY: OnceLock<PkixKey> = OnceLock::new();
    KEY.get_or_init(|| key(&pairs()[0].pem(), SignatureAlgorithm::EcdsaP256Sha256))
}

fn digest(image: u8) -> Digest {
    Digest::from_bytes([image; 32])
}

fn reference(image: u8) -> String {
    format!("registry.test/app{image}/web@{}", digest(image))
}

fn attestor(index: u8) -> Attestor {
    let own = binauthz_core::attestor::AttestorKey::new(
        "",
        "",
        binauthz_core::key::PublicKey::Pkix(key(
            &pairs()[usize::from(index)].pem(),
            SignatureAlgorithm::EcdsaP256Sha256,
        )),
    );
    let name = format!("projects/p/attestors/a{index}").parse().unwrap();
    Attestor::new(name, support::NOTE.parse().unwrap(), vec![own], 1).unwrap()
}

fn attestors() -> &'static [Arc<Attestor>; 3] {
    static ATTESTORS: OnceLock<[Arc<Attestor>; 3]> = OnceLock::new();
    ATTESTORS.get_or_init(|| [0, 1, 2].map(|index| Arc::new(attestor(index))))
}

fn snapshot(required: &[u8], patterns: &[&str]) -> Snapshot {
    let names = required
        .iter()
        .map(|index| attestors()[usize::from(*index)].name().clone());
    let policy = Policy {
        description: String::new(),
        global_evaluation: GlobalEvaluation::Disable,
        allowlist: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        scoped: Scoped::None,
        default_rule: AdmissionRule {
            rule: Rule::RequireAttestations(Attestors::new(names.collect()).unwrap()),
            enforcement: Enforcement::Block,
        },
    };
    Snapshot {
        label: Arc::new(PolicyLabel {
            name: "projects/p/policy".to_owned(),
            etag: String::new(),
        }),
        policy,
        system: SystemPolicy::shipped(),
        attestors: attestors()
            .iter()
            .map(|one| (one.name().clone(), Arc::clone(one)))
            .collect(),
        evaluation: Evaluation::Enforced,
    }
}

fn request(images: Vec<RequestedImage>) -> Request {
    let cluster = "projects/p/locations/l/clusters/c".parse().unwrap();
    Request {
        subject: Subject::new(cluster, "ns".parse().unwrap(), Some("default"), "p.svc.id.goog").unwrap(),
        images,
        break_glass: None,
    }
}

/// A verdict on `images` where the pairs of `signed` are attested and those of `lost` cannot be read.
fn judge(
    images: &[u8],
    required: &[u8],
    signed: &BTreeSet<(u8, u8)>,
    lost: &BTreeSet<(u8, u8)>,
    patterns: &[&str],
) -> Decision {
    let wanted = images
        .iter()
        .map(|image| RequestedImage::new("", reference(*image)))
        .collect();
    let standing = Standing::Registered(Arc::new(snapshot(required, patterns)));
    let plan = plan(&standing, request(wanted));
    let mut answers = Answers::new();
    for question in plan.questions() {
        let image = question.image.digest().as_bytes()[0];
        let index = u8::try_from(
            attestors()
                .iter()
                .position(|one| one.name() == question.attestor.name())
                .unwrap(),
        );
        let pair = (image, index.unwrap());
        let mut evidence = Evidence::default();
        if signed.contains(&pair) {
            let payload = support::payload(&digest(image).to_string());
            let signature = pairs()[usize::from(pair.1)].sign(&payload);
            let proof = verify(
                &claim(&payload, question.attestor.keys()[0].id(), &signature),
                question.attestor,
                NOW,
            );
            evidence.proofs.push(proof.unwrap());
        }
        let answer = if lost.contains(&pair) {
            Answer::Unavailable("lost".to_owned())
        } else {
            Answer::Found(Arc::new(evidence))
        };
        answers.insert(&question, answer);
    }
    decide(plan, &answers, NOW)
}

const PGP_KEY: &str = include_str!("fixtures/pgp/attached-binary/key.asc");
const PGP_MESSAGE: &[u8] = include_bytes!("fixtures/pgp/attached-binary/message.bin");

fn pgp_attestor() -> Attestor {
    let certificate = Certificate::from_armored(PGP_KEY).unwrap();
    let own = binauthz_core::attestor::AttestorKey::new(
        "",
        "",
        binauthz_core::key::PublicKey::Pgp(Box::new(certificate)),
    );
    let name = "projects/p/attestors/pgp".parse().unwrap();
    Attestor::new(name, support::NOTE.parse().unwrap(), vec![own], 1).unwrap()
}

fn cut_fixture(cut: prop::sample::Index) -> Vec<u8> {
    PGP_MESSAGE[..cut.index(PGP_MESSAGE.len())].to_vec()
}

/// Random packets of the kinds that are read, some with the beginnings of real ones.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let body = (prop::collection::vec(any::<u8>(), 0..80), 0_usize..6).prop_map(|(random, kind)| {
        let start: &[u8] = match kind {
            0 => &[
                4, 0x69, 0x55, 0xb9, 0, 22, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1, 1, 7, 0x40,
            ],
            1 => &[4, 0, 22, 8, 0, 6, 5, 2, 0x69, 0x55, 0xb9, 0],
            2 => &[4, 0x13, 1, 10],
            3 => &[3, 0, 8, 22],
            4 => &[4, 0x69, 0x55, 0xb9, 0, 1, 8, 0],
            _ => &[],
        };
        [start, &random].concat()
    });
    let tag = prop::sample::select(vec![2_u8, 4, 6, 8, 11, 13, 14, 17, 21]);
    prop::collection::vec((tag, body), 0..5).prop_map(|packets| {
        let mut bytes = Vec::new();
        for (tag, body) in packets {
            bytes.extend([0xc0 | tag, u8::try_from(body.len()).unwrap()]);
            bytes.extend(body);
        }
        bytes
    })
}
