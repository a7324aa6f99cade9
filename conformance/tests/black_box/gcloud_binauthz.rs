//! The rest of `gcloud container binauthz`: attestors, public keys of both kinds, IAM, policies, attestations.

use binauthz_conformance::Desk;
use binauthz_conformance::desk::IMAGES;
use serde_json::json;

use crate::story;

const ATTESTORS: &str = "gcloud container binauthz attestors";
const POLICY: &str = "gcloud container binauthz policy";

/// A note and an attestor on it, nothing else.
fn with_attestor(programs: &[&str]) -> Option<Desk> {
    let desk = Desk::with(programs)?;
    story::note(&desk);
    story::attestor(&desk);
    Some(desk)
}

#[test]
fn the_switch_of_continuous_validation_is_kept() {
    let Some(desk) = Desk::with(&["gcloud"]) else {
        return;
    };
    const SWITCH: &str = "gcloud alpha container binauthz continuous-validation";
    let state = || {
        desk.ok(&format!(
            "{SWITCH} describe --format='value(enforcementPolicyConfig.enabled)'"
        ))
        .text()
        .to_owned()
    };
    assert_eq!(state(), "False");
    desk.ok(&format!("{SWITCH} enable"));
    assert_eq!(state(), "True");
    desk.ok(&format!("{SWITCH} disable"));
    assert_eq!(state(), "False");
}

#[test]
fn attestors_are_described_listed_updated_and_deleted() {
    let Some(desk) = with_attestor(&["gcloud"]) else {
        return;
    };
    let described = desk
        .ok(&format!(
            "{ATTESTORS} describe image-signing-attestor --format=json"
        ))
        .json();
    assert_eq!(described["name"], story::ATTESTOR);
    assert_eq!(
        described["userOwnedGrafeasNote"]["noteReference"],
        "projects/demo/notes/image-signing-note"
    );
    // The same attestor through the two older API versions, where the note has another name.
    for track in ["beta", "alpha"] {
        let older = desk.ok(&format!(
            "gcloud {track} container binauthz attestors describe image-signing-attestor"
        ));
        older
            .says(&["userOwnedDrydockNote"])
            .never_says("userOwnedGrafeasNote");
    }
    desk.ok(&format!("{ATTESTORS} list"))
        .says(&["image-signing-attestor", "image-signing-note"]);
    desk.ok(&format!(
        "{ATTESTORS} update image-signing-attestor --description='signs images'"
    ));
    desk.ok(&format!("{ATTESTORS} describe image-signing-attestor"))
        .says(&["signs images"]);
    desk.ok(&format!("{ATTESTORS} delete image-signing-attestor"));
    desk.sh(&format!("{ATTESTORS} describe image-signing-attestor"))
        .refused(&["image-signing-attestor"]);
    desk.sh(&format!("{ATTESTORS} delete image-signing-attestor"))
        .refused(&["image-signing-attestor"]);
}

#[test]
fn pkix_keys_are_added_updated_and_removed() {
    let Some(desk) = with_attestor(&["gcloud", "openssl"]) else {
        return;
    };
    let keys = "gcloud container binauthz attestors public-keys";
    let kinds = [
        (
            "EC -pkeyopt ec_paramgen_curve:P-256",
            "ecdsa-p256-sha256",
            "ECDSA_P256_SHA256",
        ),
        (
            "EC -pkeyopt ec_paramgen_curve:P-521",
            "ecdsa-p521-sha512",
            "ECDSA_P521_SHA512",
        ),
        (
            "RSA -pkeyopt rsa_keygen_bits:2048",
            "rsa-pss-2048-sha256",
            "RSA_PSS_2048_SHA256",
        ),
        (
            "RSA -pkeyopt rsa_keygen_bits:2048",
            "rsa-sign-pkcs1-2048-sha256",
            "RSA_SIGN_PKCS1_2048_SHA256",
        ),
    ];
    for (number, (openssl, flag, stored)) in kinds.iter().enumerate() {
        desk.ok(&format!(
            "openssl genpkey -quiet -algorithm {openssl} -out k{number}.pem 2>/dev/null || \
                          openssl genpkey -algorithm {openssl} -out k{number}.pem
                          openssl pkey -in k{number}.pem -pubout -out p{number}.pem"
        ));
        let add = format!(
            "{keys} add --attestor=image-signing-attestor --pkix-public-key-file=p{number}.pem \
                           --pkix-public-key-algorithm={flag} --format=json"
        );
        let added = desk.ok(&add).json();
        assert_eq!(added["pkixPublicKey"]["signatureAlgorithm"], *stored, "{added:#}");
        // The id the server gives is the name of the key itself.
        let id = added["id"].as_str().unwrap_or_default().to_owned();
        let by_openssl = desk.ok(&format!(
            "openssl pkey -pubin -in p{number}.pem -outform DER | openssl dgst -sha256 -binary | base64 | tr -- '+/' '-_' | tr -d ="
        ));
        assert_eq!(id, format!("ni:///sha-256;{}", by_openssl.text()));
    }
    let list = "--attestor=image-signing-attestor";
    let id = "ni:///sha-256;mine";
    desk.ok(&format!("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out own.pem 2>/dev/null
         openssl pkey -in own.pem -pubout -out own-public.pem
         {keys} add {list} --pkix-public-key-file=own-public.pem --pkix-public-key-algorithm=ecdsa-p384-sha384 \
           --public-key-id-override='{id}' --comment=mine"));
    desk.ok(&format!("{keys} update '{id}' {list} --comment=changed"));
    desk.ok(&format!("{ATTESTORS} describe image-signing-attestor"))
        .says(&["changed", id]);
    desk.ok(&format!("{keys} remove '{id}' {list}"));
    desk.ok(&format!("{ATTESTORS} describe image-signing-attestor"))
        .never_says(id);
    desk.sh(&format!("{keys} remove '{id}' {list}"))
        .refused(&["No matching public key"]);
}

#[test]
fn pgp_keys_are_added_and_removed_by_their_fingerprint() {
    let Some(desk) = with_attestor(&["gcloud", "gpg"]) else {
        return;
    };
    let fingerprint = pgp_key(&desk, "rsa2048");
    let keys = "gcloud container binauthz attestors public-keys";
    let list = "--attestor=image-signing-attestor";
    let added = desk
        .ok(&format!(
            "{keys} add {list} --pgp-public-key-file=pgp.asc --comment=jane --format=json"
        ))
        .json();
    assert_eq!(added["id"], fingerprint.as_str(), "{added:#}");
    desk.sh(&format!("{keys} add {list} --pgp-public-key-file=pgp.asc"))
        .refused(&["already"]);
    desk.ok(&format!(
        "{keys} update {fingerprint} {list} --pgp-public-key-file=pgp.asc --comment=joe"
    ));
    desk.ok(&format!("{ATTESTORS} describe image-signing-attestor"))
        .says(&["joe", &fingerprint]);
    desk.ok(&format!("{keys} remove {fingerprint} {list}"));
    desk.ok(&format!("{ATTESTORS} describe image-signing-attestor"))
        .never_says(&fingerprint);
}

/// Makes a PGP key, exports it to `pgp.asc` and returns its fingerprint.
pub(crate) fn pgp_key(desk: &Desk, algorithm: &str) -> String {
    let line = format!(
        "chmod 700 \"$GNUPGHOME\"
         gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key jane@example.com {algorithm} sign never
         gpg --armor --export jane@example.com >pgp.asc
         gpg --with-colons --fingerprint jane@example.com | awk -F: '/^fpr/ {{ print $10; exit }}'"
    );
    desk.ok(&line).text().to_owned()
}

#[test]
fn iam_policies_are_read_set_and_bound() {
    let Some(desk) = with_attestor(&["gcloud"]) else {
        return;
    };
    let member = "user:jane@example.com";
    let role = "roles/binaryauthorization.attestorsViewer";
    for (noun, verb) in [(ATTESTORS, "image-signing-attestor"), (POLICY, "")] {
        desk.ok(&format!("{noun} get-iam-policy {verb}"));
        desk.ok(&format!(
            "{noun} add-iam-policy-binding {verb} --member={member} --role={role}"
        ));
        desk.ok(&format!("{noun} get-iam-policy {verb} --format=json >iam.json"))
            .never_says("ERROR");
        desk.ok("cat iam.json").says(&[member, role, "etag"]);
        desk.ok(&format!("{noun} set-iam-policy {verb} iam.json"));
        // What was read before the last change is stale now.
        desk.sh(&format!("{noun} set-iam-policy {verb} iam.json"))
            .refused(&["has changed"]);
        desk.ok(&format!(
            "{noun} remove-iam-policy-binding {verb} --member={member} --role={role}"
        ));
        desk.ok(&format!("{noun} get-iam-policy {verb}"))
            .never_says(member);
    }
}

#[test]
fn policies_travel_both_ways_and_a_stale_one_stays_out() {
    let Some(desk) = with_attestor(&["gcloud"]) else {
        return;
    };
    // Nobody has set one yet: everything may run, and that is said in full.
    let default = desk.ok(&format!("{POLICY} export --format=json")).json();
    assert_eq!(
        default["defaultAdmissionRule"]["evaluationMode"], "ALWAYS_ALLOW",
        "{default:#}"
    );

    story::policy(&desk);
    desk.ok(&format!("{POLICY} export >first.yaml"));
    desk.ok("cat first.yaml").says(&[
        "etag: ",
        "requireAttestationsBy:",
        story::ATTESTOR,
        "updateTime: ",
    ]);
    desk.ok("grep -v -e etag: -e updateTime: first.yaml >plain.yaml");
    desk.ok(&format!("{POLICY} import first.yaml"));
    desk.ok(&format!(
        "{POLICY} export | grep -v -e etag: -e updateTime: | cmp - plain.yaml"
    ));
    desk.sh(&format!("{POLICY} import first.yaml"))
        .refused(&["conflict", "policy"]);
    // Without an etag it replaces whatever is there.
    desk.ok(&format!("{POLICY} import plain.yaml"));
    desk.ok("gcloud alpha container binauthz policy export-system-policy")
        .says(&["admissionWhitelistPatterns"]);

    let rules = "clusterAdmissionRules:\n  us-central1-a.my-cluster: {evaluationMode: ALWAYS_DENY, enforcementMode: \
                 ENFORCED_BLOCK_AND_AUDIT_LOG}\ndefaultAdmissionRule: {evaluationMode: ALWAYS_ALLOW, enforcementMode: \
                 ENFORCED_BLOCK_AND_AUDIT_LOG}\n";
    desk.write("clusters.yaml", rules);
    let set = desk
        .ok(&format!("{POLICY} import clusters.yaml --format=json"))
        .json();
    assert_eq!(
        set["clusterAdmissionRules"]["us-central1-a.my-cluster"]["evaluationMode"], "ALWAYS_DENY",
        "{set:#}"
    );
}

#[test]
fn attestations_are_created_validated_and_listed() {
    let Some(desk) = Desk::with(&["gcloud", "openssl", "gpg"]) else {
        return;
    };
    story::key(&desk, "ec-sign-p256-sha256");
    story::note(&desk);
    story::attestor(&desk);
    story::attestor_key(&desk);
    let image = |digit: &str| format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64));
    let attestations = "gcloud beta container binauthz attestations";
    let attestor = "--attestor=image-signing-attestor --attestor-project=demo";

    desk.ok(&format!(
        "{attestations} sign-and-create --artifact-url={} {attestor} --validate {}",
        image("a"),
        story::KEY_VERSION
    ));
    desk.ok(&format!(
        "{attestations} sign-and-create --artifact-url={} {attestor} --validate --pae-encode-payload {}",
        image("b"),
        story::KEY_VERSION
    ))
    .never_says("could not be validated");
    by_hand(&desk, &image("c"));
    let note = "--note=projects/demo/notes/image-signing-note";
    desk.ok(&format!(
        "{attestations} sign-and-create --artifact-url={} {note} {}",
        image("d"),
        story::KEY_VERSION
    ));

    let listed = desk
        .ok("gcloud container binauthz attestations list --attestor=image-signing-attestor --format=json");
    assert_eq!(listed.json().as_array().map(Vec::len), Some(5), "{listed}");
    desk.ok("gcloud container binauthz attestations list --format='value(resourceUri)' --limit=2 | wc -l")
        .says(&["2"]);
    let one = format!(
        "gcloud container binauthz attestations list --artifact-url={} --format='value(kind)'",
        image("c")
    );
    assert_eq!(desk.ok(&one).text(), "ATTESTATION\nATTESTATION");
}

/// Signs with openssl and with gpg what `create-signature-payload` prints, and stores both.
fn by_hand(desk: &Desk, image: &str) {
    let keys = "gcloud container binauthz attestors public-keys add --attestor=image-signing-attestor";
    let create = format!(
        "gcloud container binauthz attestations create --attestor=image-signing-attestor --attestor-project=demo \
         --artifact-url={image}"
    );
    desk.ok(&format!(
        "gcloud container binauthz create-signature-payload --artifact-url={image} >payload.json"
    ));
    desk.ok(&format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out hand.pem
         openssl pkey -in hand.pem -pubout -out hand-public.pem
         {keys} --pkix-public-key-file=hand-public.pem --pkix-public-key-algorithm=ecdsa-p256-sha256 --format='value(id)' >id
         openssl dgst -sha256 -sign hand.pem -out hand.sig payload.json"
    ));
    desk.ok(&format!(
        "{create} --signature-file=hand.sig --public-key-id=\"$(cat id)\" --validate"
    ))
    .never_says("could not be validated");
    let fingerprint = pgp_key(desk, "rsa2048");
    desk.ok(&format!(
        "{keys} --pgp-public-key-file=pgp.asc && gpg --batch --armor --sign --output pgp.sig payload.json"
    ));
    desk.ok(&format!(
        "{create} --signature-file=pgp.sig --public-key-id={fingerprint} --validate"
    ))
    .never_says("could not be validated");
    // A signature over something else is called what it is.
    desk.ok("openssl dgst -sha256 -sign hand.pem -out other.sig pgp.asc");
    let warned = desk.sh(&format!(
        "{create} --signature-file=other.sig --public-key-id=\"$(cat id)\" --validate"
    ));
    warned.says(&["could not be validated"]);
    // gcloud stores it all the same: it is removed here, so that what is counted is what was meant.
    let occurrences = desk
        .ok("gcloud container binauthz attestations list --attestor=image-signing-attestor --format=json")
        .json();
    let signature = desk
        .ok("base64 -w0 other.sig")
        .text()
        .replace('+', "-")
        .replace('/', "_");
    for occurrence in occurrences.as_array().into_iter().flatten() {
        let stored = occurrence["attestation"]["signatures"][0]["signature"]
            .as_str()
            .unwrap_or_default();
        if stored.replace('+', "-").replace('/', "_") == signature {
            let name = occurrence["name"].as_str().unwrap_or_default();
            assert_eq!(desk.api("DELETE", &format!("/v1/{name}"), None).ok(), json!({}));
        }
    }
}
