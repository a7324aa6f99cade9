//! What every signer passes: a key in memory, and one in a token of SoftHSM.

#![expect(
    clippy::disallowed_methods,
    reason = "SoftHSM is a library with files, and is set up by a program"
)]
#![expect(clippy::print_stderr, reason = "a skipped test has to be seen")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use binauthz_keyring::{
    HashAlgorithm, KeyAlgorithm, MAX_DATA_BYTES, MasterKey, MessageDigest, SignError, Signer, SoftwareKey,
    Token, TokenError,
};

const MESSAGE: &[u8] = b"a statement";
const ALGORITHMS: [KeyAlgorithm; 6] = [
    KeyAlgorithm::EcSignP256Sha256,
    KeyAlgorithm::EcSignP384Sha384,
    KeyAlgorithm::RsaSignPkcs12048Sha256,
    KeyAlgorithm::RsaSignPss2048Sha256,
    KeyAlgorithm::RsaSignPkcs14096Sha512,
    KeyAlgorithm::RsaSignPss4096Sha512,
];
/// Where Debian and others put SoftHSM's module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// Says to this program, when it starts itself, that SoftHSM is set up.
const READY: &str = "BINAUTHZ_TEST_TOKEN";
const DONE: &str = "the token passed";

fn verification(algorithm: KeyAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::EcSignP256Sha256 => &lc::ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::EcSignP384Sha384 => &lc::ECDSA_P384_SHA384_ASN1,
        KeyAlgorithm::RsaSignPkcs12048Sha256 => &lc::RSA_PKCS1_2048_8192_SHA256,
        KeyAlgorithm::RsaSignPss2048Sha256 => &lc::RSA_PSS_2048_8192_SHA256,
        KeyAlgorithm::RsaSignPkcs14096Sha512 => &lc::RSA_PKCS1_2048_8192_SHA512,
        KeyAlgorithm::RsaSignPss4096Sha512 => &lc::RSA_PSS_2048_8192_SHA512,
        other => panic!("no verifier for {other}"),
    }
}

/// What holds of every signer.
fn passes(signer: &dyn Signer, public: &[u8]) {
    let algorithm = signer.algorithm();
    let verifies = |message: &[u8], signature: &[u8]| {
        UnparsedPublicKey::new(verification(algorithm), public)
            .verify(message, signature)
            .is_ok()
    };
    for message in [MESSAGE, b"", &vec![7; MAX_DATA_BYTES]] {
        let signature = signer.sign_data(message).unwrap();
        assert!(verifies(message, &signature), "{algorithm}");
        assert!(!verifies(b"another", &signature), "{algorithm}");
    }
    for hash in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        let signed = signer.sign_digest(&MessageDigest::of(hash, MESSAGE));
        if algorithm.hash() == Some(hash) {
            assert!(verifies(MESSAGE, &signed.unwrap()), "{algorithm}");
        } else {
            assert!(
                matches!(signed, Err(SignError::WrongHash { got, .. }) if got == hash),
                "{algorithm}"
            );
        }
    }
    let length = MAX_DATA_BYTES + 1;
    assert_eq!(
        signer.sign_data(&vec![7; length]),
        Err(SignError::DataTooLong { length }),
        "{algorithm}"
    );
}

#[test]
fn a_key_in_memory_passes() {
    for algorithm in ALGORITHMS {
        let key = SoftwareKey::generate(algorithm).unwrap();
        passes(&key, &key.public_key_der().unwrap());
    }
}

/// The module, unless it is not on this machine.
fn module() -> Option<PathBuf> {
    let found = MODULES.iter().map(PathBuf::from).find(|path| path.is_file());
    let required = std::env::var("BINAUTHZ_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "this test needs SoftHSM and BINAUTHZ_REQUIRE_ALL=1 is set"
    );
    if found.is_none() {
        eprintln!("SKIPPED (needs softhsm2)");
    }
    found
}

/// The module reads its configuration from the environment of the process, so the test proper is a process of its own.
#[test]
fn a_key_in_a_token_passes() {
    let Some(module) = module() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("softhsm2.conf");
    std::fs::write(
        &config,
        format!("directories.tokendir = {}\n", folder.path().display()),
    )
    .unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "keys",
            "--pin",
            "1234",
            "--so-pin",
            "5678",
        ])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_token", "--nocapture"])
        .env("SOFTHSM2_CONF", &config)
        .env(READY, &module)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains(DONE),
        "{said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Does nothing but as a process that [`a_key_in_a_token_passes`] starts, and that one looks that it did something.
#[test]
fn in_a_token() {
    let Some(module) = std::env::var_os(READY).map(PathBuf::from) else {
        return;
    };
    whoever_is_not_let_in(&module);
    let token = Arc::new(Token::open(&module, "keys", "1234").unwrap());
    for (number, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let label = format!("key/{number}");
        let key = token.generate(&label, algorithm).unwrap();
        passes(&key, key.public_key_der());
        assert!(key.public_key_pem().starts_with("-----BEGIN PUBLIC KEY-----"));
        // Found again by what is kept of it, as after a restart.
        passes(
            &token.key(&label, algorithm, key.public_key_der().to_vec()),
            key.public_key_der(),
        );
        assert!(matches!(
            token.generate(&label, algorithm),
            Err(TokenError::NotOneKey { .. })
        ));
    }
    what_is_not_there_signs_nothing(&token);
    a_master_key_is_wrapped(&token);
    eprintln!("{DONE}");
}

fn whoever_is_not_let_in(module: &Path) {
    let refused = |module: &Path, label: &str, pin: &str| Token::open(module, label, pin).unwrap_err();
    assert!(matches!(
        refused(Path::new("/nowhere.so"), "keys", "1234"),
        TokenError::Module(_)
    ));
    assert_eq!(
        refused(module, "key", "1234"),
        TokenError::NoToken("key".to_owned())
    );
    let wrong = refused(module, "keys", "hushhush");
    assert!(
        matches!(&wrong, TokenError::Login { label, .. } if label == "keys"),
        "{wrong}"
    );
    assert!(!wrong.to_string().contains("hushhush"));
}

fn what_is_not_there_signs_nothing(token: &Arc<Token>) {
    let algorithm = KeyAlgorithm::EcSignP256Sha256;
    let key = token.generate("going", algorithm).unwrap();
    let public = key.public_key_der().to_vec();
    token.destroy("going").unwrap();
    token.destroy("going").unwrap();
    let gone = key.sign_data(MESSAGE).unwrap_err();
    assert!(
        matches!(&gone, SignError::Token(why) if why.contains("0 keys with the label `going`")),
        "{gone}"
    );
    // Somebody else's key under the label.
    token.generate("going", algorithm).unwrap();
    let other = token
        .key("going", algorithm, public)
        .sign_data(MESSAGE)
        .unwrap_err();
    assert_eq!(other, SignError::Token(TokenError::OtherKey.to_string()));
    for algorithm in [KeyAlgorithm::EcSignEd25519, KeyAlgorithm::PqSignMlDsa65] {
        assert_eq!(
            token.generate("no", algorithm).unwrap_err(),
            TokenError::Algorithm(algorithm)
        );
    }
}

fn a_master_key_is_wrapped(token: &Arc<Token>) {
    let key = [7; MasterKey::BYTES];
    // Nothing is made by looking.
    let missing = token.open_wrapped("wrapping", &[0; 60]).unwrap_err();
    let expected = "the token `keys` has 0 keys with the label `wrapping`, expected one";
    assert_eq!(missing.to_string(), expected);
    let wrapped = token.wrap("wrapping", &key).unwrap();
    assert_eq!(*token.open_wrapped("wrapping", &wrapped).unwrap(), key);
    assert!(!wrapped.windows(8).any(|window| window == &key[..8]));
    // The key is made once, and the bytes differ each time.
    let again = token.wrap("wrapping", &key).unwrap();
    assert_ne!(again, wrapped);
    assert_eq!(*token.open_wrapped("wrapping", &again).unwrap(), key);
    let is_other = |error: TokenError| matches!(error, TokenError::Unwrap { label, .. } if label != "keys");
    for position in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[position] ^= 1;
        assert!(
            is_other(token.open_wrapped("wrapping", &changed).unwrap_err()),
            "byte {position}"
        );
        assert!(
            is_other(token.open_wrapped("wrapping", &wrapped[..position]).unwrap_err()),
            "cut {position}"
        );
    }
    let other = token.wrap("another", &key).unwrap();
    assert!(is_other(token.open_wrapped("wrapping", &other).unwrap_err()));
    // A pair of keys of the label is no key to wrap with.
    token.generate("pair", KeyAlgorithm::EcSignP256Sha256).unwrap();
    assert!(matches!(
        token.open_wrapped("pair", &wrapped),
        Err(TokenError::NotOneKey { found: 0, .. })
    ));
}
