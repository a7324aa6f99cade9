//! Every available algorithm: made, used, exported, read back, and judged by a verifier that is not ours.

#![expect(
    clippy::disallowed_methods,
    reason = "the other verifier is a program that reads files"
)]
#![expect(clippy::print_stderr, reason = "a skipped test has to be seen")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use binauthz_keyring::{
    GenerateError, HashAlgorithm, ImportError, KeyAlgorithm, MAX_DATA_BYTES, MessageDigest, SignError,
    SoftwareKey,
};

const MESSAGE: &[u8] = b"{\"critical\":{\"image\":{\"docker-manifest-digest\":\"sha256:0\"}}}";

/// RSA keys take a second or two to make, so there is one of each size for all tests.
static KEYS: LazyLock<Vec<SoftwareKey>> = LazyLock::new(|| {
    let mut keys: Vec<SoftwareKey> = Vec::new();
    for algorithm in available() {
        let bits = ["2048", "3072", "4096"]
            .into_iter()
            .find(|bits| algorithm.name().contains(bits));
        let twin = bits.and_then(|bits| keys.iter().find(|key| key.algorithm().name().contains(bits)));
        let key = match twin {
            Some(twin) => SoftwareKey::from_pkcs8(algorithm, &twin.to_pkcs8().unwrap()).unwrap(),
            None => SoftwareKey::generate(algorithm).unwrap(),
        };
        keys.push(key);
    }
    keys
});

fn available() -> impl Iterator<Item = KeyAlgorithm> {
    KeyAlgorithm::ALL
        .into_iter()
        .filter(|algorithm| algorithm.check_available().is_ok())
}

fn verification(algorithm: KeyAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm.name() {
        "RSA_SIGN_PSS_4096_SHA512" => &lc::RSA_PSS_2048_8192_SHA512,
        "RSA_SIGN_PKCS1_4096_SHA512" => &lc::RSA_PKCS1_2048_8192_SHA512,
        name if name.starts_with("RSA_SIGN_PSS") => &lc::RSA_PSS_2048_8192_SHA256,
        name if name.starts_with("RSA_SIGN_PKCS1") => &lc::RSA_PKCS1_2048_8192_SHA256,
        "EC_SIGN_P256_SHA256" => &lc::ECDSA_P256_SHA256_ASN1,
        "EC_SIGN_P384_SHA384" => &lc::ECDSA_P384_SHA384_ASN1,
        "EC_SIGN_P521_SHA512" => &lc::ECDSA_P521_SHA512_ASN1,
        "EC_SIGN_SECP256K1_SHA256" => &lc::ECDSA_P256K1_SHA256_ASN1,
        "EC_SIGN_ED25519" => &lc::ED25519,
        "PQ_SIGN_ML_DSA_65" => &lc::ML_DSA_65,
        other => panic!("no verifier for {other}"),
    }
}

fn verifies(key: &SoftwareKey, message: &[u8], signature: &[u8]) -> bool {
    let public = key.public_key_der().unwrap();
    UnparsedPublicKey::new(verification(key.algorithm()), public)
        .verify(message, signature)
        .is_ok()
}

#[test]
fn a_signature_holds_for_its_message_and_no_other() {
    for key in KEYS.iter() {
        let signature = key.sign_data(MESSAGE).unwrap();
        assert!(verifies(key, MESSAGE, &signature), "{}", key.algorithm());
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[position] ^= 1;
            assert!(
                !verifies(key, MESSAGE, &changed),
                "{} byte {position}",
                key.algorithm()
            );
        }
        let mut changed = MESSAGE.to_vec();
        changed[3] ^= 1;
        assert!(!verifies(key, &changed, &signature), "{}", key.algorithm());
    }
}

#[test]
fn a_digest_signs_like_its_message_and_only_the_right_kind() {
    let hashes = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];
    for key in KEYS.iter() {
        for hash in hashes {
            let result = key.sign_digest(&MessageDigest::of(hash, MESSAGE));
            match key.algorithm().hash() {
                Some(expected) if expected == hash => {
                    assert!(verifies(key, MESSAGE, &result.unwrap()), "{}", key.algorithm());
                }
                Some(expected) => {
                    let algorithm = key.algorithm();
                    assert_eq!(
                        result.unwrap_err(),
                        SignError::WrongHash {
                            algorithm,
                            expected,
                            got: hash
                        }
                    );
                }
                None => assert_eq!(
                    result.unwrap_err(),
                    SignError::NeedsData {
                        algorithm: key.algorithm()
                    }
                ),
            }
        }
    }
}

#[test]
fn data_has_a_limit() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256).unwrap();
    let longest = vec![1; MAX_DATA_BYTES];
    assert!(verifies(&key, &longest, &key.sign_data(&longest).unwrap()));
    let error = key.sign_data(&vec![1; MAX_DATA_BYTES + 1]).unwrap_err();
    assert_eq!(
        error,
        SignError::DataTooLong {
            length: MAX_DATA_BYTES + 1
        }
    );
}

#[test]
fn keys_survive_export_and_import() {
    for key in KEYS.iter() {
        let pem = key.to_pem().unwrap();
        let again = SoftwareKey::from_pem(key.algorithm(), &pem).unwrap();
        assert_eq!(
            again.public_key_pem(),
            key.public_key_pem(),
            "{}",
            key.algorithm()
        );
        let algorithms = SoftwareKey::algorithms_of_pem(&pem).unwrap();
        assert!(
            algorithms.contains(&key.algorithm()),
            "{}: {algorithms:?}",
            key.algorithm()
        );
        if !key.algorithm().name().starts_with("RSA") {
            assert_eq!(algorithms, [key.algorithm()]);
        }
        for other in available().filter(|other| !algorithms.contains(other)) {
            assert_eq!(
                SoftwareKey::from_pem(other, &pem).unwrap_err(),
                ImportError::NotThisKind { algorithm: other },
                "{} as {other}",
                key.algorithm()
            );
        }
    }
}

#[test]
fn a_document_with_something_behind_it_is_refused() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcSignEd25519).unwrap();
    let document = key.to_pkcs8().unwrap();
    let longer = [document.as_slice(), b"\0"].concat();
    for (bytes, what) in [
        (longer.as_slice(), "longer"),
        (&document[..document.len() - 1], "shorter"),
        (&[], "empty"),
    ] {
        let error = SoftwareKey::from_pkcs8(key.algorithm(), bytes).unwrap_err();
        assert_eq!(error, ImportError::TrailingBytes, "{what}");
    }
}

/// The document of an EC key holds the public key beside the private one; a flipped bit in either must not
/// make another key, and a cut none at all. (An Ed25519 document holds the seed alone: each is a key.)
#[test]
fn a_damaged_document_is_refused_or_the_same_key() {
    for algorithm in [
        KeyAlgorithm::EcSignP256Sha256,
        KeyAlgorithm::EcSignP384Sha384,
        KeyAlgorithm::EcSignP521Sha512,
    ] {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let document = key.to_pkcs8().unwrap();
        let mut refused = 0;
        for index in 0..document.len() {
            for flip in [0x01, 0x10, 0x80] {
                let mut damaged = document.to_vec();
                damaged[index] ^= flip;
                match SoftwareKey::from_pkcs8(algorithm, &damaged) {
                    Ok(other) => assert_eq!(
                        other.public_key_der(),
                        key.public_key_der(),
                        "{algorithm} {index} {flip}"
                    ),
                    Err(_) => refused += 1,
                }
            }
            assert!(
                SoftwareKey::from_pkcs8(algorithm, &document[..index]).is_err(),
                "{algorithm} cut at {index}"
            );
        }
        assert!(
            refused > document.len() * 2,
            "{algorithm}: {refused} of {}",
            document.len() * 3
        );
    }
}

#[test]
fn what_is_not_available_is_refused_before_anything_is_made() {
    for algorithm in KeyAlgorithm::ALL
        .into_iter()
        .filter(|algorithm| algorithm.check_available().is_err())
    {
        assert!(
            matches!(
                SoftwareKey::generate(algorithm),
                Err(GenerateError::NotAvailable(_))
            ),
            "{algorithm}"
        );
    }
}

/// CR-17: a deterministic scheme repeats itself, a randomised one never does.
#[test]
fn nonces_never_repeat() {
    let ed25519 = SoftwareKey::generate(KeyAlgorithm::EcSignEd25519).unwrap();
    assert_eq!(ed25519.sign_data(MESSAGE), ed25519.sign_data(MESSAGE));

    let ecdsa = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256).unwrap();
    let mut seen = std::collections::HashSet::new();
    for round in 0..10_000_u32 {
        let signature = ecdsa.sign_data(&round.to_be_bytes()).unwrap();
        // SEQUENCE, length, INTEGER, length of r, r.
        let length = usize::from(signature[3]);
        assert!(
            seen.insert(signature[4..4 + length].to_vec()),
            "r repeated in round {round}"
        );
    }
}

/// Runs `openssl`, or says why not. With `BINAUTHZ_REQUIRE_ALL=1` its absence fails the test.
fn with_openssl(test: impl FnOnce(&Path)) {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(
            std::env::var_os("BINAUTHZ_REQUIRE_ALL").is_none(),
            "openssl is required and not on the PATH"
        );
        eprintln!("SKIPPED (needs openssl)");
        return;
    }
    test(tempfile::tempdir().unwrap().path());
}

fn openssl(folder: &Path, arguments: &str) -> bool {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .unwrap();
    output.status.success()
}

/// The arguments with which openssl verifies `sig` over `data` under `pub`; none where openssl 3.0 cannot.
fn openssl_verification(algorithm: KeyAlgorithm) -> Option<String> {
    if algorithm == KeyAlgorithm::PqSignMlDsa65 {
        return None;
    }
    let Some(hash) = algorithm.hash() else {
        return Some("pkeyutl -verify -pubin -inkey pub -rawin -in data -sigfile sig".to_owned());
    };
    let padding = if algorithm.name().starts_with("RSA_SIGN_PSS") {
        "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest "
    } else {
        ""
    };
    Some(format!("dgst -{hash} {padding}-verify pub -signature sig data"))
}

#[test]
fn openssl_accepts_what_was_signed_here_and_nothing_else() {
    with_openssl(|folder| {
        for key in KEYS.iter() {
            let Some(command) = openssl_verification(key.algorithm()) else {
                continue;
            };
            std::fs::write(folder.join("pub"), key.public_key_pem().unwrap()).unwrap();
            std::fs::write(folder.join("sig"), key.sign_data(MESSAGE).unwrap()).unwrap();
            std::fs::write(folder.join("data"), MESSAGE).unwrap();
            assert!(openssl(folder, &command), "{}", key.algorithm());
            std::fs::write(folder.join("data"), [MESSAGE, b" "].concat()).unwrap();
            assert!(!openssl(folder, &command), "{}", key.algorithm());
        }
    });
}

#[test]
fn keys_made_by_openssl_are_read() {
    let cases = [
        ("genpkey -algorithm ED25519 -out key", KeyAlgorithm::EcSignEd25519),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key",
            KeyAlgorithm::EcSignP256Sha256,
        ),
        (
            "ecparam -name secp384r1 -genkey -noout -out key",
            KeyAlgorithm::EcSignP384Sha384,
        ),
        (
            "ecparam -name secp521r1 -genkey -noout -out key",
            KeyAlgorithm::EcSignP521Sha512,
        ),
        (
            "ecparam -name secp256k1 -genkey -noout -out key",
            KeyAlgorithm::EcSignSecp256k1Sha256,
        ),
        (
            "genrsa -traditional -out key 2048",
            KeyAlgorithm::RsaSignPss2048Sha256,
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key",
            KeyAlgorithm::RsaSignPkcs13072Sha256,
        ),
    ];
    with_openssl(|folder| {
        for (command, algorithm) in cases {
            assert!(openssl(folder, command), "{command}");
            let text = std::fs::read_to_string(folder.join("key")).unwrap();
            let key =
                SoftwareKey::from_pem(algorithm, &text).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(openssl(folder, "pkey -in key -pubout -out pub"));
            let public = std::fs::read_to_string(folder.join("pub")).unwrap();
            assert_eq!(key.public_key_pem().unwrap(), public, "{command}");
        }
    });
}

#[test]
fn weak_and_locked_keys_made_by_openssl_are_refused() {
    let wrong = ImportError::NotThisKind {
        algorithm: KeyAlgorithm::RsaSignPkcs12048Sha256,
    };
    let cases = [
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out key",
            wrong.clone(),
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out key",
            wrong.clone(),
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2056 -out key",
            wrong.clone(),
        ),
        (
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out key",
            wrong,
        ),
        (
            "genpkey -algorithm ED25519 -aes256 -pass pass:x -out key",
            ImportError::Encrypted,
        ),
        (
            "pkey -in plain -pubout -out key",
            ImportError::NotAPrivateKey {
                label: "PUBLIC KEY".to_owned(),
            },
        ),
    ];
    with_openssl(|folder| {
        assert!(openssl(folder, "genpkey -algorithm ED25519 -out plain"));
        for (command, expected) in cases {
            assert!(openssl(folder, command), "{command}");
            let text = std::fs::read_to_string(folder.join("key")).unwrap();
            let error = SoftwareKey::from_pem(KeyAlgorithm::RsaSignPkcs12048Sha256, &text).unwrap_err();
            assert_eq!(error, expected, "{command}");
        }
    });
}
