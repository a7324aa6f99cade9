//! The key of one log: it signs the checkpoints that say how long the log is and what is in it.

use aws_lc_rs::error::Unspecified;

use crate::algorithm::KeyAlgorithm;
use crate::seal::{MasterKey, OpenError, ResealError, SealFailed};
use crate::software::{GenerateError, SignError, SoftwareKey};

/// Bytes of an Ed25519 public key; they end its SubjectPublicKeyInfo (RFC 8410).
const PUBLIC_BYTES: usize = 32;

/// Signs for the log of one name, with Ed25519.
pub struct LogSigner {
    key: SoftwareKey,
    public: [u8; PUBLIC_BYTES],
}

impl LogSigner {
    /// A signer with a new key.
    ///
    /// # Errors
    /// [`GenerateError`] when the library fails.
    pub fn generate() -> Result<Self, GenerateError> {
        let algorithm = KeyAlgorithm::EcSignEd25519;
        Self::of(SoftwareKey::generate(algorithm)?).map_err(|Unspecified| GenerateError::Failed { algorithm })
    }

    /// The key, sealed for the log of this name and no other.
    ///
    /// # Errors
    /// [`SealFailed`] when the library fails.
    pub fn seal(&self, master: &MasterKey, log: &str) -> Result<Vec<u8>, SealFailed> {
        master.seal(&sealed_as(log), &self.key)
    }

    /// Opens what was sealed for the log of this name.
    ///
    /// # Errors
    /// [`OpenError`]: not what was sealed under this master key for this log.
    pub fn open(master: &MasterKey, log: &str, sealed: &[u8]) -> Result<Self, OpenError> {
        let key = master.open_named(&sealed_as(log), KeyAlgorithm::EcSignEd25519, sealed)?;
        Self::of(key).map_err(|Unspecified| OpenError::NotAuthentic)
    }

    /// Seals anew what the master key before this one sealed for the log of this name; none if this one did.
    ///
    /// # Errors
    /// [`ResealError`]: it opens under neither, or the library fails.
    pub fn reseal(master: &MasterKey, log: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, ResealError> {
        master.reseal(&sealed_as(log), KeyAlgorithm::EcSignEd25519, sealed)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.public
    }

    /// Signs a checkpoint's text.
    ///
    /// # Errors
    /// [`SignError`] when the library fails or the text is longer than any checkpoint.
    pub fn sign(&self, text: &str) -> Result<Vec<u8>, SignError> {
        self.key.sign_data(text.as_bytes())
    }

    fn of(key: SoftwareKey) -> Result<Self, Unspecified> {
        let document = key.public_key_der().map_err(|_| Unspecified)?;
        let public = document.last_chunk().copied().ok_or(Unspecified)?;
        Ok(Self { key, public })
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LogSigner")
    }
}

/// No key version has a name of this form.
fn sealed_as(log: &str) -> String {
    format!("log/{log}")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_sealed_signer_opens_for_its_own_log_and_signs_as_before() {
        let master = MasterKey::new(&[1; 32]).unwrap();
        let signer = LogSigner::generate().unwrap();
        let sealed = signer.seal(&master, "a").unwrap();
        let opened = LogSigner::open(&master, "a", &sealed).unwrap();
        assert_eq!(opened.public(), signer.public());
        let signature = opened.sign("text").unwrap();
        let public = UnparsedPublicKey::new(&ED25519, signer.public());
        assert!(public.verify(b"text", &signature).is_ok());
        assert!(public.verify(b"other", &signature).is_err());
        for (master, log, sealed) in [
            (&master, "b", sealed.as_slice()),
            (&MasterKey::new(&[2; 32]).unwrap(), "a", &sealed),
            (&master, "a", &sealed[..sealed.len() - 1]),
            (&master, "a", &[]),
        ] {
            assert!(LogSigner::open(master, log, sealed).is_err(), "{log}");
        }
    }

    #[test]
    fn a_signer_moves_to_the_next_master_key_and_stays_the_same() {
        let (old, new) = (
            MasterKey::new(&[1; 32]).unwrap(),
            MasterKey::new(&[2; 32]).unwrap(),
        );
        let signer = LogSigner::generate().unwrap();
        let sealed = signer.seal(&old, "a").unwrap();
        let both = new.clone().after(&old);
        let moved = LogSigner::reseal(&both, "a", &sealed).unwrap().unwrap();
        assert_eq!(
            LogSigner::open(&new, "a", &moved).unwrap().public(),
            signer.public()
        );
        assert_eq!(LogSigner::reseal(&both, "a", &moved), Ok(None));
        assert!(LogSigner::reseal(&both, "b", &sealed).is_err());
    }
}
