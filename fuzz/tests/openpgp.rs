//! The second opinion on OpenPGP: GnuPG, which shares no line with what judges here (rPGP's parts and rules of our own). What
//! is taken here GnuPG takes, and gives out the same text. What GnuPG takes and is refused here is in a list, with the reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use binauthz_core::attestation::{Attestation, Rejected, Signature, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::key::PublicKey;
use binauthz_core::signature::pgp::Certificate;
use binauthz_core::time::UnixTime;
use binauthz_fuzz::mutate::{Numbers, input};

/// 2026-09-01T00:00:00Z, as GnuPG is told.
const NOW: i64 = 1_788_220_800;
const CLOCK: &str = "1788220800!";
/// Changed messages of each form. GnuPG is only asked about those that are taken here.
const ROUNDS: usize = 200;

/// What GnuPG takes and is refused here.
#[rustfmt::skip] // A table.
const STRICTER: &[(&str, &str)] = &[
    ("attached-in-a-signature-block", "the armor says what is in it"),
    ("clear-signed-payload-with-crlf", "the text that was signed has other line ends than the payload"),
    ("clear-signed-text-after", "something that nobody signed stands beside the text"),
    ("clear-signed-text-before", "something that nobody signed stands beside the text"),
    ("clear-signed-trailing-space", "the signature does not cover white space at the end of lines, so the payload may have none"),
    ("clear-signed-two-newlines-lost", "the text that was signed ends otherwise than the payload"),
    ("detached-in-a-message-block", "the armor says what is in it"),
    ("dsa-key", "no DSA"),
    ("key-with-text-around", "a key is one block and nothing else"),
    ("leading-text", "a message is one block and nothing else"),
    ("marker-around", "a message is one literal and one signature"),
    ("secp256k1-key", "none of the curves of Binary Authorization"),
    ("secret-key", "a secret key is nobody's to give out"),
    ("sha1-self-signature", "no SHA-1, under a key either"),
    ("sha1-signature", "no SHA-1"),
    ("signature-first", "the old order of packets"),
    ("signature-from-the-future", "a date that has not come"),
    ("text-mode-attached", "the bytes are signed, not a text with any line ends"),
    ("text-mode-detached", "the bytes are signed, not a text with any line ends"),
    ("trailing-packet-byte", "nothing may follow"),
    ("trailing-text", "nothing may follow"),
    ("two-compressions", "one compression is enough for anybody"),
    ("two-key-blocks", "an entry is one key"),
    ("two-keys-in-one-block", "an entry is one key"),
    ("two-messages", "a message is one block and nothing else"),
    ("weak-rsa-1024", "2048 bits at least"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/core/tests/fixtures/pgp")
}

struct Case {
    key: String,
    message: Vec<u8>,
    payload: Vec<u8>,
}

fn cases() -> BTreeMap<String, Case> {
    let folder = fixtures();
    let common = std::fs::read(folder.join("payload.json")).unwrap();
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        let read = |file: &str| std::fs::read(entry.path().join(file));
        let message = read("message.asc").or_else(|_| read("message.bin"));
        if let (Ok(key), Ok(message)) = (read("key.asc"), message) {
            let key = String::from_utf8(key).unwrap();
            let payload = read("payload").unwrap_or_else(|_| common.clone());
            cases.insert(
                entry.file_name().into_string().unwrap(),
                Case {
                    key,
                    message,
                    payload,
                },
            );
        }
    }
    cases
}

/// Whether the message proves here that the payload was signed.
fn ours(key: &str, payload: &[u8], message: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_armored(key) else {
        return false;
    };
    let key = AttestorKey::new("", "", PublicKey::Pgp(Box::new(certificate)));
    let signature = Signature {
        key_id: key.id().to_owned(),
        bytes: message.to_vec(),
    };
    let note = || "projects/p/notes/n".parse().unwrap();
    let occurrence = "projects/p/occurrences/o".parse().unwrap();
    let attestation = Attestation::claimed(occurrence, note(), payload.to_vec(), vec![signature]);
    let attestor = Attestor::new("projects/p/attestors/a".parse().unwrap(), note(), vec![key], 1).unwrap();
    // That it signs no statement is found out after the signature was good.
    matches!(
        verify(&attestation, &attestor, UnixTime::from_seconds(NOW)),
        Ok(_) | Err(Rejected::Payload(_))
    )
}

/// GnuPG with one key in its ring.
struct GnuPg {
    home: tempfile::TempDir,
}

impl GnuPg {
    fn with(key: &str) -> GnuPg {
        let gnupg = GnuPg {
            home: tempfile::tempdir().unwrap(),
        };
        std::fs::write(gnupg.home.path().join("key"), key).unwrap();
        gnupg.run(&["--import", "key"]);
        gnupg
    }

    /// What it says on its status lines.
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("gpg")
            .args([
                "--homedir",
                ".",
                "--batch",
                "--yes",
                "--no-tty",
                "--no-autostart",
                "--quiet",
            ])
            .args(["--faked-system-time", CLOCK, "--status-fd", "1"])
            .args(arguments)
            .current_dir(self.home.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether the message has exactly one signature, which is good, over that payload.
    fn takes(&self, payload: &[u8], message: &[u8]) -> bool {
        let at = |name: &str| self.home.path().join(name);
        std::fs::write(at("message"), message).unwrap();
        std::fs::write(at("payload"), payload).unwrap();
        let _ = std::fs::remove_file(at("text"));
        let said = self.run(&["--output", "text", "--decrypt", "message"]);
        if let Ok(text) = std::fs::read(at("text")) {
            return is_good(&said) && lines(&text) == lines(payload);
        }
        is_good(&self.run(&["--verify", "message", "payload"]))
    }
}

/// Lines as a clear-signed text has them: their ends are not signed, nor what is after the last.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.trim_ascii_end()
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .collect()
}

fn is_good(status: &str) -> bool {
    let count = |word: &str| {
        status
            .lines()
            .filter(|line| line.starts_with(&format!("[GNUPG:] {word} ")))
            .count()
    };
    count("GOODSIG") == 1
        && count("VALIDSIG") == 1
        && count("BADSIG") + count("ERRSIG") + count("EXPKEYSIG") == 0
}

fn is_here() -> bool {
    let found = Command::new("gpg").arg("--version").output().is_ok();
    let required = std::env::var("BINAUTHZ_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(
        found || !required,
        "this test needs `gpg` and BINAUTHZ_REQUIRE_ALL=1 is set"
    );
    found
}

#[test]
fn what_is_taken_here_gnupg_takes_and_the_rest_has_a_reason() {
    if !is_here() {
        return;
    }
    let (mut both, mut differ) = (0, Vec::new());
    for (
        name,
        Case {
            key,
            message,
            payload,
        },
    ) in cases()
    {
        let (here, there) = (
            ours(&key, &payload, &message),
            GnuPg::with(&key).takes(&payload, &message),
        );
        assert!(there || !here, "{name} is taken here and not by GnuPG");
        both += usize::from(here && there);
        if there && !here {
            differ.push(name);
        }
    }
    let listed: Vec<&str> = STRICTER.iter().map(|(name, _)| *name).collect();
    assert_eq!(differ, listed, "what GnuPG takes and is refused here");
    assert!(both > 25, "only {both} are taken by both");
}

/// Whatever is changed about a good message: if it is still taken, GnuPG takes it, too.
#[test]
fn what_is_made_of_good_messages_gnupg_takes_where_it_is_taken_here() {
    if !is_here() {
        return;
    }
    let cases = cases();
    let mut numbers = Numbers::new(3);
    let mut taken = 0;
    for name in ["attached", "attached-binary", "clear-signed", "detached"] {
        let Case {
            key,
            message,
            payload,
        } = &cases[name];
        let gnupg = GnuPg::with(key);
        for _ in 0..ROUNDS {
            let changed = input(std::slice::from_ref(message), &mut numbers);
            if changed != *message && ours(key, payload, &changed) {
                taken += 1;
                assert!(
                    gnupg.takes(payload, &changed),
                    "{name}: {}",
                    String::from_utf8_lossy(&changed)
                );
            }
        }
    }
    // White space around an armored block, for one.
    assert!(taken > 0, "no change was harmless");
}
