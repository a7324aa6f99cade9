//! OpenPGP signatures made by the real gpg.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers; a skip must be seen"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use binauthz_core::attestation::{Attestation, Signature, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::image::Digest;
use binauthz_core::key::PublicKey;
use binauthz_core::payload;
use binauthz_core::signature::pgp::Certificate;
use binauthz_core::time::UnixTime;

const DIGEST: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

/// A GnuPG home with one key.
struct Gpg {
    home: tempfile::TempDir,
}

impl Gpg {
    fn new(algorithm: &str, expiry: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let gpg = Self { home };
        if Command::new("gpg").arg("--version").output().is_err() {
            let required = std::env::var_os("BINAUTHZ_REQUIRE_ALL").is_some();
            assert!(!required, "gpg is required and not here");
            println!("SKIPPED (needs gpg)");
            return None;
        }
        gpg.run(&[
            "--quick-generate-key",
            "signer@example.test",
            algorithm,
            "sign",
            expiry,
        ]);
        Some(gpg)
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("gpg")
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--homedir",
            ])
            .arg(self.home.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "gpg {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    fn file(&self, bytes: &[u8]) -> String {
        let path = self.home.path().join("payload");
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn attestor(&self) -> Attestor {
        let armored = String::from_utf8(self.run(&["--armor", "--export", "signer@example.test"])).unwrap();
        let certificate = Certificate::from_armored(&armored).unwrap();
        let key = AttestorKey::new("", "", PublicKey::Pgp(Box::new(certificate)));
        Attestor::new(
            "projects/p/attestors/a".parse().unwrap(),
            "projects/p/notes/n".parse().unwrap(),
            vec![key],
            1,
        )
        .unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let socket: &Path = self.home.path();
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(socket)
            .args(["--kill", "all"])
            .output();
    }
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    UnixTime::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

fn accepted(attestor: &Attestor, payload: &[u8], message: &[u8], now: UnixTime) -> bool {
    let signature = Signature {
        key_id: attestor.keys()[0].id().to_ascii_lowercase(),
        bytes: message.to_vec(),
    };
    let attestation = Attestation::claimed(
        "projects/p/occurrences/o".parse().unwrap(),
        "projects/p/notes/n".parse().unwrap(),
        payload.to_vec(),
        vec![signature],
    );
    verify(&attestation, attestor, now).is_ok()
}

fn statement() -> Vec<u8> {
    payload::build("r.test/a", &DIGEST.parse::<Digest>().unwrap())
}

const FORMS: [&[&str]; 5] = [
    &["--armor", "--sign", "--output", "-"],
    &["--armor", "--compress-level", "0", "--sign", "--output", "-"],
    &["--clearsign", "--output", "-"],
    &["--armor", "--detach-sign", "--output", "-"],
    &["--detach-sign", "--output", "-"],
];

#[test]
fn every_form_that_gpg_makes_is_accepted_for_its_own_payload_only() {
    for algorithm in ["rsa3072", "ed25519", "nistp256"] {
        let Some(gpg) = Gpg::new(algorithm, "never") else {
            return;
        };
        let attestor = gpg.attestor();
        let payload = statement();
        let other = payload::build("r.test/b", &DIGEST.parse().unwrap());
        let file = gpg.file(&payload);
        for form in FORMS {
            let message = gpg.run(&[form, &[file.as_str()]].concat());
            assert!(
                accepted(&attestor, &payload, &message, now()),
                "{algorithm} {form:?}"
            );
            assert!(
                !accepted(&attestor, &other, &message, now()),
                "{algorithm} {form:?}: another payload"
            );
            let mut broken = message.clone();
            let middle = broken.len() / 2;
            broken[middle] ^= 1;
            assert!(
                !accepted(&attestor, &payload, &broken, now()),
                "{algorithm} {form:?}: a flipped bit"
            );
            let doubled = [message.clone(), message.clone()].concat();
            assert!(
                !accepted(&attestor, &payload, &doubled, now()),
                "{algorithm} {form:?}: twice"
            );
        }
    }
}

#[test]
fn a_weak_hash_is_refused() {
    let Some(gpg) = Gpg::new("rsa3072", "never") else {
        return;
    };
    let attestor = gpg.attestor();
    let payload = statement();
    let file = gpg.file(&payload);
    for form in FORMS {
        let weak: Vec<&str> = [&["--digest-algo", "SHA1"], form, &[file.as_str()]].concat();
        let message = gpg.run(&weak);
        assert!(!accepted(&attestor, &payload, &message, now()), "{form:?}");
    }
}

#[test]
fn an_expired_key_stops_counting() {
    let Some(gpg) = Gpg::new("ed25519", "1d") else {
        return;
    };
    let attestor = gpg.attestor();
    let payload = statement();
    let message = gpg.run(&["--armor", "--sign", "--output", "-", &gpg.file(&payload)]);
    assert!(accepted(&attestor, &payload, &message, now()));
    let later = UnixTime::from_seconds(now().as_seconds() + 2 * 86_400);
    assert!(!accepted(&attestor, &payload, &message, later));
    let before = UnixTime::from_seconds(now().as_seconds() - 2 * 86_400);
    assert!(
        !accepted(&attestor, &payload, &message, before),
        "a signature from the future"
    );
}

#[test]
fn somebody_elses_signature_is_refused() {
    let (Some(gpg), Some(other)) = (Gpg::new("ed25519", "never"), Gpg::new("ed25519", "never")) else {
        return;
    };
    let payload = statement();
    let message = other.run(&["--armor", "--sign", "--output", "-", &other.file(&payload)]);
    assert!(accepted(&other.attestor(), &payload, &message, now()));
    assert!(!accepted(&gpg.attestor(), &payload, &message, now()));
}
