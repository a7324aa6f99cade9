//! OpenPGP attestations: folders of good and hostile ones, and GnuPG itself where it is installed.

#![expect(
    clippy::disallowed_methods,
    reason = "the fixtures are files, and GnuPG is a program"
)]

use binauthz_core::attestation::{Attestation, Rejected, Signature, VerifiedAttestation, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::key::{InvalidPublicKey, PublicKey};
use binauthz_core::signature::pgp::{Certificate, Fault};
use binauthz_core::time::UnixTime;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-09-01T00:00:00Z.
const NOW: UnixTime = UnixTime::from_seconds(1_788_220_800);
/// 2026-02-01T00:00:00Z, when the fixtures were signed.
const SIGNED: i64 = 1_769_904_000;
const DAY: i64 = 86_400;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pgp")
}

fn attestor(certificate: Certificate) -> Attestor {
    let key = AttestorKey::new("", "", PublicKey::Pgp(Box::new(certificate)));
    let name = "projects/p/attestors/a".parse().unwrap();
    Attestor::new(name, "projects/p/notes/n".parse().unwrap(), vec![key], 1).unwrap()
}

fn check(
    certificate: &Certificate,
    payload: &[u8],
    message: &[u8],
    now: UnixTime,
) -> Result<VerifiedAttestation, Rejected> {
    let signature = Signature {
        key_id: certificate.fingerprint().to_lowercase(),
        bytes: message.to_vec(),
    };
    let attestation = Attestation::claimed(
        "projects/p/occurrences/o".parse().unwrap(),
        "projects/p/notes/n".parse().unwrap(),
        payload.to_vec(),
        vec![signature],
    );
    verify(&attestation, &attestor(certificate.clone()), now)
}

struct Case {
    key: String,
    message: Vec<u8>,
    payload: Vec<u8>,
}

fn case(name: &str) -> Case {
    let read = |file: &str| std::fs::read(folder().join(name).join(file));
    Case {
        key: String::from_utf8(read("key.asc").unwrap()).unwrap(),
        message: read("message.asc")
            .or_else(|_| read("message.bin"))
            .unwrap_or_else(|error| panic!("{name}: {error}")),
        payload: read("payload").unwrap_or_else(|_| std::fs::read(folder().join("payload.json")).unwrap()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    /// The signature is good; what it signs is not a statement.
    Verified,
    Not(Fault),
    /// The certificate is refused, for a reason that holds this text.
    NoKey(&'static str),
}

use Outcome::{Good, NoKey, Not, Verified};

const CASES: &[(&str, Outcome)] = &[
    ("attached", Good),
    ("attached-binary", Good),
    ("attached-in-parts", Good),
    ("attached-p256", Good),
    ("attached-p384", Good),
    ("attached-p521", Good),
    ("attached-rsa", Good),
    ("attached-rsa2048", Good),
    ("attached-sha512", Good),
    ("attached-uncompressed", Good),
    ("attached-zlib", Good),
    ("clear-signed", Good),
    ("clear-signed-crlf", Good),
    ("clear-signed-dashes", Verified),
    ("clear-signed-empty-last-line", Good),
    ("clear-signed-without-newline", Good),
    ("detached", Good),
    ("detached-binary", Good),
    ("detached-p256", Good),
    ("detached-p384", Good),
    ("detached-p521", Good),
    ("detached-rsa", Good),
    ("detached-rsa2048", Good),
    ("expires-later", Good),
    ("extended-after-signing", Good),
    ("signature-expires-later", Good),
    ("subkey", Good),
    ("subkey-clear-signed", Good),
    ("subkey-detached", Good),
    ("adopted-subkey", Not(Fault::Unbound)),
    ("announced-with-another-hash", Not(Fault::Malformed)),
    ("attached-in-a-signature-block", Not(Fault::NotOneSignature)),
    ("clear-signed-inserted-header", Not(Fault::Malformed)),
    ("clear-signed-inserted-line", Not(Fault::OtherText)),
    ("clear-signed-payload-with-crlf", Not(Fault::OtherText)),
    ("clear-signed-text-after", Not(Fault::Malformed)),
    ("clear-signed-text-before", Not(Fault::Malformed)),
    ("clear-signed-trailing-space", Not(Fault::OtherText)),
    ("clear-signed-two-newlines-lost", Not(Fault::OtherText)),
    ("decompression-bomb", Not(Fault::OtherText)),
    ("detached-in-a-message-block", Not(Fault::NotOneSignature)),
    ("dsa-key", NoKey("too weak or of an unknown kind")),
    ("encrypted", Not(Fault::NotOneSignature)),
    ("expired-key", Not(Fault::Expired)),
    ("expired-subkey", Not(Fault::Expired)),
    (
        "key-with-text-around",
        NoKey("exactly one armored public key block"),
    ),
    ("leading-text", Not(Fault::Malformed)),
    ("literal-replaced", Not(Fault::OtherText)),
    ("literal-without-signature", Not(Fault::NotOneSignature)),
    ("marker-around", Not(Fault::NotOneSignature)),
    ("no-self-signature", NoKey("no valid self-signature")),
    ("other-key", Not(Fault::OtherKey)),
    ("other-text", Not(Fault::OtherText)),
    ("other-text-clear-signed", Not(Fault::OtherText)),
    ("other-text-detached", Not(Fault::Bad)),
    ("revoked-key", Not(Fault::Revoked)),
    ("revoked-subkey", Not(Fault::Revoked)),
    ("secp256k1-key", NoKey("too weak or of an unknown kind")),
    ("secret-key", NoKey("secret key")),
    ("sha1-self-signature", NoKey("no valid self-signature")),
    ("sha1-signature", Not(Fault::Unsound)),
    ("signature-expired", Not(Fault::SignatureExpired)),
    ("signature-first", Not(Fault::NotOneSignature)),
    ("signature-from-the-future", Not(Fault::InFuture)),
    ("subkey-without-back-signature", Not(Fault::Unbound)),
    ("text-mode-attached", Not(Fault::OtherType)),
    ("text-mode-detached", Not(Fault::OtherType)),
    ("trailing-packet-byte", Not(Fault::Malformed)),
    ("trailing-text", Not(Fault::Malformed)),
    ("two-clear-signatures", Not(Fault::NotOneSignature)),
    ("two-compressions", Not(Fault::NotOneSignature)),
    ("two-detached-signatures", Not(Fault::NotOneSignature)),
    ("two-key-blocks", NoKey("exactly one armored public key block")),
    ("two-keys-in-one-block", NoKey("more than one key")),
    ("two-literals", Not(Fault::NotOneSignature)),
    ("two-messages", Not(Fault::Malformed)),
    ("two-signatures", Not(Fault::NotOneSignature)),
    ("unbound-subkey", Not(Fault::Unbound)),
    ("weak-rsa-1024", NoKey("too weak or of an unknown kind")),
];

fn outcome(name: &str) -> Result<Outcome, String> {
    let case = case(name);
    let certificate = match Certificate::from_armored(&case.key) {
        Ok(certificate) => certificate,
        Err(InvalidPublicKey::Pgp(why)) => return Err(why),
        Err(other) => panic!("{name}: {other}"),
    };
    Ok(match check(&certificate, &case.payload, &case.message, NOW) {
        Ok(_) => Good,
        Err(Rejected::Payload(_)) => Verified,
        Err(Rejected::Pgp { fault, .. }) => Not(fault),
        Err(other) => panic!("{name}: {other}"),
    })
}

#[test]
fn every_folder_comes_out_as_its_name_says() {
    let mut wrong = Vec::new();
    for (name, expected) in CASES {
        match (outcome(name), expected) {
            (Err(why), NoKey(part)) if why.contains(part) => {}
            (Ok(found), expected) if found == *expected => {}
            (found, expected) => wrong.push(format!("{name}: {found:?}, expected {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_has_a_row() {
    let rows: BTreeSet<String> = CASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(rows, folders);
}

/// A proof holds as long as key and signature do, and a second longer it does not.
#[test]
fn expiry_ends_the_proof() {
    // The key ends on 2027-01-01, the signature on 2027-02-01.
    for (name, end) in [
        ("expires-later", 1_767_225_600 + 365 * DAY),
        ("signature-expires-later", SIGNED + 365 * DAY),
    ] {
        let case = case(name);
        let certificate = Certificate::from_armored(&case.key).unwrap();
        let at = |now| {
            check(
                &certificate,
                &case.payload,
                &case.message,
                UnixTime::from_seconds(now),
            )
        };
        let image: binauthz_core::image::ImageRef =
            format!("registry.test/app/web@{}", at(end - 1).unwrap().digest())
                .parse()
                .unwrap();
        let binauthz_core::image::ImageRef::Pinned(image) = image else {
            panic!("not pinned")
        };
        let proof = at(SIGNED + 1).unwrap();
        let attestor = attestor(certificate.clone());
        assert!(
            proof.covers(&attestor, &image, UnixTime::from_seconds(end - 1)),
            "{name}"
        );
        assert!(
            !proof.covers(&attestor, &image, UnixTime::from_seconds(end)),
            "{name}"
        );
        assert!(at(end).is_err(), "{name}");
    }
}

#[test]
fn a_signature_counts_from_its_own_second_on() {
    let case = case("attached");
    let certificate = Certificate::from_armored(&case.key).unwrap();
    let at = |now| {
        check(
            &certificate,
            &case.payload,
            &case.message,
            UnixTime::from_seconds(now),
        )
    };
    assert!(at(SIGNED).is_ok());
    for early in [SIGNED - 1, 0, -1, i64::MIN / 1_000_000] {
        assert!(at(early).is_err(), "{early}");
    }
}

/// A flipped byte anywhere in a detached signature, in the certificate or in the payload.
#[test]
fn any_flipped_byte_is_refused() {
    for name in ["detached", "detached-rsa2048", "detached-p256", "clear-signed"] {
        let case = case(name);
        let certificate = Certificate::from_armored(&case.key).unwrap();
        for flip in [0x01_u8, 0x20, 0x80] {
            for index in 0..case.payload.len() {
                let mut payload = case.payload.clone();
                payload[index] ^= flip;
                assert!(
                    check(&certificate, &payload, &case.message, NOW).is_err(),
                    "{name} {index}"
                );
            }
            for index in 0..case.message.trim_ascii_end().len() {
                let mut message = case.message.clone();
                message[index] ^= flip;
                let found = check(&certificate, &case.payload, &message, NOW);
                assert!(found.is_err(), "{name} {index} {flip}");
            }
            for index in 0..case.key.trim_ascii_end().len() {
                let mut key = case.key.clone().into_bytes();
                key[index] ^= flip;
                let Ok(key) = String::from_utf8(key) else { continue };
                let found = Certificate::from_armored(&key)
                    .ok()
                    .and_then(|other| check(&other, &case.payload, &case.message, NOW).ok());
                assert!(found.is_none(), "{name} key {index} {flip}");
            }
        }
    }
}

/// In an attached message everything is checked but what a literal says of its format, name and date.
#[test]
fn a_flipped_byte_in_an_attached_message_is_refused() {
    let case = case("attached-binary");
    let certificate = Certificate::from_armored(&case.key).unwrap();
    let content = case
        .message
        .windows(case.payload.len())
        .position(|window| window == case.payload)
        .unwrap();
    // Format, name length 0, and the date: six bytes before the content.
    let unsigned = content - 6..content;
    for index in (0..case.message.len()).filter(|index| !unsigned.contains(index)) {
        let mut message = case.message.clone();
        message[index] ^= 1;
        assert!(
            check(&certificate, &case.payload, &message, NOW).is_err(),
            "{index}"
        );
    }
    for length in 0..case.message.len() {
        let cut = &case.message[..length];
        assert!(
            check(&certificate, &case.payload, cut, NOW).is_err(),
            "cut at {length}"
        );
    }
}

#[test]
fn the_fingerprint_is_the_id_whatever_id_is_given() {
    let certificate = Certificate::from_armored(&case("attached").key).unwrap();
    let id = certificate.fingerprint().to_owned();
    assert_eq!(id.len(), 40);
    assert_eq!(id, id.to_uppercase());
    let key = AttestorKey::new("something-else", "", PublicKey::Pgp(Box::new(certificate)));
    assert_eq!(key.id(), id);
}

#[test]
fn a_long_certificate_is_refused_unread() {
    let key = case("attached").key;
    let padded = key.replacen("\n\n", &format!("\nComment: {}\n\n", "x".repeat(70_000)), 1);
    let refused = Certificate::from_armored(&padded).unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
}

/// GnuPG as it is installed: a fresh key signs in every form, and every form verifies.
#[test]
fn gnupg_signs_and_we_verify() {
    if Command::new("gpg").arg("--version").output().is_err() {
        println!("skipped: gpg is not installed");
        return;
    }
    let home = std::env::temp_dir().join(format!("binauthz-gpg-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let payload = std::fs::read(folder().join("payload.json")).unwrap();
    let file = home.join("payload");
    std::fs::write(&file, &payload).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(&home)
            .args([
                "--batch",
                "--yes",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let file = file.to_str().unwrap();
    gpg(&["--quick-gen-key", "fresh@pgp.test", "rsa2048", "sign,cert", "1y"]);
    let key = String::from_utf8(gpg(&["--armor", "--export", "fresh@pgp.test"])).unwrap();
    let certificate = Certificate::from_armored(&key).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = UnixTime::from_seconds(i64::try_from(now.as_secs()).unwrap() + 60);
    for form in [
        &["--armor", "--sign"][..],
        &["--clearsign"],
        &["--armor", "--detach-sign"],
        &["--sign"],
        &["--detach-sign"],
        &["--compress-algo", "none", "--armor", "--sign"],
    ] {
        let mut arguments = form.to_vec();
        arguments.splice(form.len() - 1..form.len() - 1, ["--output", "-"]);
        arguments.push(file);
        let message = gpg(&arguments);
        let proof = check(&certificate, &payload, &message, now);
        assert!(proof.is_ok(), "{form:?}: {proof:?}");
        let other = payload.iter().copied().chain([b' ']).collect::<Vec<u8>>();
        assert!(check(&certificate, &other, &message, now).is_err(), "{form:?}");
    }
    // Nothing of the agent outlives the test: it ends when its directory is gone.
    let _ = Command::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"])
        .output();
    std::fs::remove_dir_all(&home).unwrap();
}
