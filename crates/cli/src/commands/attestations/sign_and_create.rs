//! `attestations sign-and-create`: the statement is built, signed and stored in one step.

use std::path::PathBuf;

use binauthz_core::{
    key::{PkixKey, SignatureAlgorithm},
    signature,
};
use binauthz_keyring::KeyAlgorithm;
use clap::Args;

use super::occurrence::{Authority, AuthorityFlags, Draft};
use crate::{
    artifact::ArtifactFlags,
    client::Client,
    failure::{Exit, Failure},
    key_flags::KeyVersionFlags,
    output,
    settings::Settings,
    signing::{self, LocalKey},
};

/// What to sign, for whom, with which key.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("signer").required(true).args(["keyversion", "local_key"])))]
#[command(after_help = "Examples:\n  binauthz attestations sign-and-create \\\n      \
    --artifact-url=us-central1-docker.pkg.dev/demo/app/myservice@sha256:… --attestor=image-signing-attestor \\\n      \
    --keyversion-location=global --keyversion-keyring=image-signing --keyversion-key=image-signer --keyversion=1\n  \
    docker buildx build --push --metadata-file=build.json -t registry.example/app:v1 . &&\n      \
    binauthz attestations sign-and-create --digest-file=build.json --attestor=ci --local-key=ci.pem --validate")]
pub struct Flags {
    #[command(flatten)]
    artifact: ArtifactFlags,
    #[command(flatten)]
    authority: AuthorityFlags,
    #[command(flatten)]
    key: KeyVersionFlags,
    /// Private key in a PEM file, instead of one of the key service
    #[arg(long, value_name = "FILE")]
    local_key: Option<PathBuf>,
    /// Algorithm of the local key, where the attestor does not tell
    #[arg(long, value_name = "ALGORITHM", requires = "local_key", value_parser = crate::commands::public_keys::signature_algorithm)]
    local_key_algorithm: Option<SignatureAlgorithm>,
    /// Id of the key in the attestation, where the attestor's is not wanted
    #[arg(long, value_name = "ID")]
    public_key_id_override: Option<String>,
    /// Sign the payload in DSSE's pre-authentication encoding
    #[arg(long)]
    pae_encode_payload: bool,
    /// Type in that encoding: the server accepts only this one
    #[arg(long, value_name = "TYPE", requires = "pae_encode_payload", value_parser = [signature::PAE_TYPE], default_value = signature::PAE_TYPE)]
    dsse_type: String,
    /// Store it only if the attestor accepts it
    #[arg(long)]
    validate: bool,
}

impl Flags {
    /// Signs and stores.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let artifact = self.artifact.image()?;
        let client = settings.client()?;
        let authority = self.authority.resolve(&client, settings).await?;
        let payload = artifact.payload();
        let message = match self.pae_encode_payload {
            true => signature::pae(&self.dsse_type, &payload),
            false => payload.clone(),
        };
        let (id, bytes) = match &self.local_key {
            Some(path) => self.sign_locally(&LocalKey::read(path)?, &authority, &message)?,
            None => {
                self.sign_with_service(&client, &authority, &message, settings)
                    .await?
            }
        };
        let draft = Draft::new(authority, &artifact, payload, (id, bytes));
        if self.validate {
            draft.validate(&client).await?;
        }
        let stored = draft.store(&client, settings).await?;
        let name = stored
            .get("name")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("");
        let line = format!("Signed {} [{name}].", draft.resource_uri);
        output::show_done(settings.format.as_ref(), &stored, &line)?;
        Ok(Exit::Done)
    }

    async fn sign_with_service(
        &self,
        client: &Client,
        authority: &Authority,
        message: &[u8],
        settings: &Settings,
    ) -> Result<(String, Vec<u8>), Failure> {
        let version = self.key.name(settings)?;
        let derived = client.key_id(&version.to_string());
        let id = match (&self.public_key_id_override, &authority.attestor) {
            (Some(id), _) => id.clone(),
            (None, Some(attestor)) => attestor
                .id_like(&derived)
                .ok_or_else(|| attestor.unknown_key(&derived, &format!("--keyversion={version}")))?,
            (None, None) => derived,
        };
        Ok((
            id,
            signing::with_key_service(client, &version, message, None)
                .await?
                .signature,
        ))
    }

    /// The attestor says under which id and for which algorithm it holds the key; a private key alone does not.
    fn sign_locally(
        &self,
        key: &LocalKey,
        authority: &Authority,
        message: &[u8],
    ) -> Result<(String, Vec<u8>), Failure> {
        let (id, algorithm) = self.identify(key, authority)?;
        Ok((id, key.sign(algorithm, message)?.signature))
    }

    fn identify(&self, key: &LocalKey, authority: &Authority) -> Result<(String, KeyAlgorithm), Failure> {
        let own = Own::of(key)?;
        if let Some(attestor) = &authority.attestor {
            for (id, pem, algorithm) in attestor.pkix() {
                let wanted = SignatureAlgorithm::from_name(algorithm);
                if let Some(algorithm) = own.usable_as(pem, wanted) {
                    return Ok((
                        self.public_key_id_override
                            .clone()
                            .unwrap_or_else(|| id.to_owned()),
                        algorithm,
                    ));
                }
            }
            let add = "--pkix-public-key-file=PUBLIC.pem --pkix-public-key-algorithm=ALGORITHM";
            return Err(attestor.unknown_key(&own.default_id, add));
        }
        let algorithm = match self.local_key_algorithm {
            Some(wanted) => own
                .algorithms
                .iter()
                .find(|(_, name)| *name == wanted)
                .map(|(algorithm, _)| *algorithm),
            None => own.algorithms.first().map(|(algorithm, _)| *algorithm),
        };
        let algorithm = algorithm.ok_or_else(|| {
            let usable: Vec<&str> = own.algorithms.iter().map(|(_, name)| name.name()).collect();
            Failure::usage(format_args!(
                "the local key cannot be used so; it can be used as {}",
                usable.join(", ")
            ))
        })?;
        Ok((
            self.public_key_id_override.clone().unwrap_or(own.default_id),
            algorithm,
        ))
    }
}

/// A local key as attestors know keys: its public half, and what it may be used as.
struct Own {
    public: PkixKey,
    default_id: String,
    algorithms: Vec<(KeyAlgorithm, SignatureAlgorithm)>,
}

impl Own {
    fn of(key: &LocalKey) -> Result<Own, Failure> {
        let known =
            |algorithm: &KeyAlgorithm| Some((*algorithm, SignatureAlgorithm::from_name(algorithm.name())?));
        let algorithms: Vec<(KeyAlgorithm, SignatureAlgorithm)> =
            key.algorithms().iter().filter_map(known).collect();
        let first = algorithms.first().ok_or_else(|| {
            Failure::usage("attestors do not know keys of this kind")
                .advise("expected RSA, P-256, P-384 or P-521")
        })?;
        let public = PkixKey::from_pem(&key.public_pem()?, first.1).map_err(Failure::usage)?;
        Ok(Own {
            default_id: public.default_id(),
            public,
            algorithms,
        })
    }

    /// The algorithm to sign with, if the attestor's `pem` is the same key.
    fn usable_as(&self, pem: &str, wanted: Option<SignatureAlgorithm>) -> Option<KeyAlgorithm> {
        let wanted = wanted?;
        let theirs = PkixKey::from_pem(pem, wanted).ok()?;
        let (algorithm, _) = self.algorithms.iter().find(|(_, name)| *name == wanted)?;
        (theirs.der() == self.public.der()).then_some(*algorithm)
    }
}

#[cfg(test)]
mod tests {
    use binauthz_keyring::SoftwareKey;

    use super::*;

    fn local(algorithm: KeyAlgorithm) -> (tempfile::TempDir, LocalKey) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let key = SoftwareKey::generate(algorithm).expect("a key");
        std::fs::write(&path, key.to_pem().expect("PEM").as_bytes()).expect("written");
        let local = LocalKey::read(&path).expect("a usable key");
        (folder, local)
    }

    #[test]
    fn a_local_key_is_recognised_by_its_public_half_and_used_as_the_attestor_says() {
        let (_folder, key) = local(KeyAlgorithm::EcSignP256Sha256);
        let own = Own::of(&key).expect("a key attestors know");
        let pem = key.public_pem().expect("PEM");
        let wanted = Some(SignatureAlgorithm::EcdsaP256Sha256);
        assert_eq!(own.usable_as(&pem, wanted), Some(KeyAlgorithm::EcSignP256Sha256));
        assert_eq!(own.usable_as(&pem, None), None);
        assert_eq!(
            own.usable_as(&pem, Some(SignatureAlgorithm::EcdsaP384Sha384)),
            None
        );
        let (_other_folder, other) = local(KeyAlgorithm::EcSignP256Sha256);
        assert_eq!(
            own.usable_as(&other.public_pem().expect("PEM"), wanted),
            None,
            "another key"
        );
    }

    #[test]
    fn what_a_local_key_signs_is_accepted_by_the_judge() {
        use binauthz_core::{
            attestation::{Attestation, Signature, verify},
            attestor::{Attestor, AttestorKey},
            key::PublicKey,
            time::UnixTime,
        };
        let (_folder, key) = local(KeyAlgorithm::RsaSignPss2048Sha256);
        let digest = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
        let payload = binauthz_core::payload::build("r.example/app", &digest.parse().expect("a digest"));
        for algorithm in [
            KeyAlgorithm::RsaSignPss2048Sha256,
            KeyAlgorithm::RsaSignPkcs12048Sha256,
        ] {
            let name = SignatureAlgorithm::from_name(algorithm.name()).expect("known");
            let public = PkixKey::from_pem(&key.public_pem().expect("PEM"), name).expect("a key");
            let attestor_key = AttestorKey::new("", "", PublicKey::Pkix(public));
            let id = attestor_key.id().to_owned();
            let note: binauthz_core::name::NoteName = "projects/p/notes/n".parse().expect("a name");
            let attestor = Attestor::new(
                "projects/p/attestors/a".parse().expect("a name"),
                note.clone(),
                vec![attestor_key],
                1,
            );
            let attestor = attestor.expect("an attestor");
            let judged = |payload: &[u8], bytes: Vec<u8>| {
                let occurrence = "projects/p/occurrences/o".parse().expect("a name");
                let signature = Signature {
                    key_id: id.clone(),
                    bytes,
                };
                let claim = Attestation::claimed(occurrence, note.clone(), payload.to_vec(), vec![signature]);
                verify(&claim, &attestor, UnixTime::from_micros(0)).is_ok()
            };
            let plain = key.sign(algorithm, &payload).expect("signed").signature;
            assert!(judged(&payload, plain.clone()));
            let encoded = key
                .sign(algorithm, &signature::pae(signature::PAE_TYPE, &payload))
                .expect("signed")
                .signature;
            assert!(judged(&payload, encoded));
            let other = payload
                .iter()
                .map(|byte| if *byte == b'4' { b'5' } else { *byte })
                .collect::<Vec<u8>>();
            assert!(!judged(&other, plain), "another payload under the same signature");
        }
    }
}
