//! Signatures over a statement: by a key of the key service, or by a key in a local file.

use std::{fmt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use binauthz_core::name::KeyVersionName;
use binauthz_keyring::{HashAlgorithm, KeyAlgorithm, MessageDigest, SoftwareKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{client::Client, commands::files, failure::Failure, names};

/// A signature and what made it.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) signature: Vec<u8>,
}

/// Asks the key service to sign `message`; only its digest is sent, by the hash of the key's algorithm. `hash` is the one
/// that whoever asks expects it to be.
pub(crate) async fn with_key_service(
    client: &Client,
    version: &KeyVersionName,
    message: &[u8],
    hash: Option<&str>,
) -> Result<Signed, Failure> {
    let path = names::path("v1", version);
    let public_key = client.get(&format!("{path}/publicKey"), &[]).await?;
    let name = public_key.get("algorithm").and_then(Value::as_str).unwrap_or("");
    let algorithm = KeyAlgorithm::cloud_kms()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| {
            Failure::usage(format_args!(
                "the key's algorithm `{name}` is not one this program knows"
            ))
        })?;
    expect_hash(algorithm, hash)?;
    let answer = client
        .post(
            &format!("{path}:asymmetricSign"),
            &[],
            &request(algorithm, message),
        )
        .await?;
    let signed_by = answer.get("name").and_then(Value::as_str).unwrap_or("");
    if signed_by != version.to_string() {
        return Err(Failure::usage(format_args!(
            "the answer was signed by `{signed_by}`, not by `{version}`"
        )));
    }
    let signature = answer
        .get("signature")
        .and_then(Value::as_str)
        .and_then(binauthz_wire::json::bytes_from);
    match signature {
        Some(signature) if !signature.is_empty() => Ok(Signed { signature }),
        _ => Err(Failure::usage("the key service answered without a signature")),
    }
}

/// A digest by another hash than the key's is refused by the service, and would be no signature of the file.
fn expect_hash(algorithm: KeyAlgorithm, expected: Option<&str>) -> Result<(), Failure> {
    let own = algorithm.hash().map_or("no digest", HashAlgorithm::name);
    match expected {
        Some(expected) if expected != own => Err(Failure::usage(format_args!(
            "--digest-algorithm={expected}: the key's algorithm `{}` signs {own}",
            algorithm.name()
        ))),
        _ => Ok(()),
    }
}

/// The body of `asymmetricSign`: a digest, or the data itself for algorithms that hash in their own way.
fn request(algorithm: KeyAlgorithm, message: &[u8]) -> Value {
    match algorithm.hash() {
        Some(hash) => json!({"digest": {hash.name(): STANDARD.encode(digest(hash, message))}}),
        None => json!({"data": STANDARD.encode(message)}),
    }
}

fn digest(hash: HashAlgorithm, message: &[u8]) -> Vec<u8> {
    MessageDigest::of(hash, message).as_bytes().to_vec()
}

/// A private key in a PEM file. It is read, used and wiped; it never leaves this process.
pub(crate) struct LocalKey {
    pem: Zeroizing<String>,
    usable: Vec<KeyAlgorithm>,
    path: String,
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl LocalKey {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<LocalKey, Failure> {
        let pem = Zeroizing::new(files::read_text(path)?);
        let path = path.display().to_string();
        let usable = SoftwareKey::algorithms_of_pem(&pem).map_err(|error| {
            Failure::usage(format_args!("`{path}`: {error}")).advise(
                "expected an unencrypted private key in PEM, e.g. of `openssl genpkey -algorithm EC …`",
            )
        })?;
        if usable.is_empty() {
            return Err(Failure::usage(format_args!(
                "`{path}` holds a key of a kind or size that cannot sign here"
            )));
        }
        Ok(LocalKey { pem, usable, path })
    }

    /// The algorithms the key can be used with, the usual one first.
    pub(crate) fn algorithms(&self) -> &[KeyAlgorithm] {
        &self.usable
    }

    /// The key, bound to one algorithm.
    pub(crate) fn with(&self, algorithm: KeyAlgorithm) -> Result<SoftwareKey, Failure> {
        SoftwareKey::from_pem(algorithm, &self.pem)
            .map_err(|error| Failure::usage(format_args!("`{}`: {error}", self.path)))
    }

    /// The public half as PEM.
    pub(crate) fn public_pem(&self) -> Result<String, Failure> {
        let algorithm = self.usable.first().copied();
        let algorithm =
            algorithm.ok_or_else(|| Failure::usage(format_args!("`{}` cannot sign", self.path)))?;
        self.with(algorithm)?.public_key_pem().map_err(Failure::usage)
    }

    /// Signs with one algorithm.
    pub(crate) fn sign(&self, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Signed, Failure> {
        let signature = self.with(algorithm)?.sign_data(message).map_err(Failure::usage)?;
        Ok(Signed { signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_of_the_algorithm() {
        let table = [
            (KeyAlgorithm::RsaSignPkcs14096Sha512, "sha512", 64),
            (KeyAlgorithm::EcSignP256Sha256, "sha256", 32),
            (KeyAlgorithm::EcSignP384Sha384, "sha384", 48),
        ];
        for (algorithm, field, length) in table {
            let body = request(algorithm, b"message");
            let text = body["digest"][field].as_str().expect(field);
            assert_eq!(STANDARD.decode(text).expect("base64").len(), length);
            assert!(body.get("data").is_none());
        }
        assert_eq!(
            request(KeyAlgorithm::EcSignEd25519, b"m"),
            json!({"data": "bQ=="})
        );
    }

    #[test]
    fn another_hash_than_the_keys_is_refused() {
        let algorithm = KeyAlgorithm::RsaSignPkcs14096Sha512;
        assert!(expect_hash(algorithm, None).is_ok());
        assert!(expect_hash(algorithm, Some("sha512")).is_ok());
        let said = expect_hash(algorithm, Some("sha256"))
            .expect_err("another hash")
            .to_string();
        assert!(said.contains("sha512"), "{said}");
        assert!(expect_hash(KeyAlgorithm::EcSignEd25519, Some("sha512")).is_err());
    }

    #[test]
    fn a_local_key_does_not_print() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let key = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256).expect("a key");
        std::fs::write(&path, key.to_pem().expect("PEM").as_bytes()).expect("written");
        let shown = format!("{:?}", LocalKey::read(&path).expect("a key"));
        assert!(shown.contains("key.pem") && !shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn a_file_that_holds_no_private_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let public = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256)
            .expect("a key")
            .public_key_pem()
            .expect("PEM");
        for text in [
            public.as_str(),
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            std::fs::write(&path, text).expect("written");
            assert!(LocalKey::read(&path).is_err(), "{text}");
        }
    }
}
