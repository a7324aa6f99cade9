//! Private keys at rest: AES-256-GCM under a master key, bound to the name of the key version.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use crate::algorithm::KeyAlgorithm;
use crate::lifecycle::SigningPermit;
use crate::software::SoftwareKey;

/// First byte of every sealed key, so that another format can follow.
const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;

/// The key that wraps all others. Kept outside the database. Clones share the one copy in memory, which is wiped with the
/// last of them.
#[derive(Clone)]
pub struct MasterKey {
    key: Arc<RandomizedNonceKey>,
    /// The one before it, as long as something may be around that it sealed. It opens, and seals nothing.
    previous: Option<Arc<RandomizedNonceKey>>,
}

impl MasterKey {
    /// Bytes of a master key.
    pub const BYTES: usize = 32;

    /// Takes the master key from its bytes; the caller wipes its own copy.
    ///
    /// # Errors
    /// [`SealFailed`] when the library refuses the key.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Result<Self, SealFailed> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map(|key| Self {
                key: Arc::new(key),
                previous: None,
            })
            .map_err(|Unspecified| SealFailed)
    }

    /// This key, which also opens what `previous` sealed. What `previous` itself took over is not opened any more.
    #[must_use]
    pub fn after(self, previous: &MasterKey) -> Self {
        Self {
            key: self.key,
            previous: Some(Arc::clone(&previous.key)),
        }
    }

    /// Whether a key before it opens, too.
    #[must_use]
    pub const fn has_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// This key alone.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self {
            key: Arc::clone(&self.key),
            previous: None,
        }
    }

    /// Seals anew what the previous key sealed for this version; none if this key sealed it.
    ///
    /// # Errors
    /// [`ResealError`]: it opens under neither, or the library fails.
    pub fn reseal(
        &self,
        version: &str,
        algorithm: KeyAlgorithm,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, ResealError> {
        self.reseal_bytes(sealed, &associated_data(version, algorithm))
    }

    /// The same for a secret that is not a private key.
    ///
    /// # Errors
    /// [`ResealError`]: it opens under neither, or the library fails.
    pub fn reseal_secret(&self, name: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, ResealError> {
        self.reseal_bytes(sealed, &secret_data(name))
    }

    fn reseal_bytes(&self, sealed: &[u8], bound_to: &[u8]) -> Result<Option<Vec<u8>>, ResealError> {
        match open_under(&self.key, sealed, bound_to) {
            Ok(_) => Ok(None),
            Err(OpenError::Format) => Err(OpenError::Format.into()),
            Err(OpenError::NotAuthentic) => {
                let previous = self.previous.as_ref().ok_or(OpenError::NotAuthentic)?;
                let clear = open_under(previous, sealed, bound_to)?;
                Ok(Some(self.seal_bytes(&clear, bound_to)?))
            }
        }
    }

    /// Random bytes for a new master key.
    ///
    /// # Errors
    /// [`SealFailed`] when there is no randomness: never a weak key instead.
    pub fn random_bytes() -> Result<Zeroizing<[u8; Self::BYTES]>, SealFailed> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|Unspecified| SealFailed)?;
        Ok(bytes)
    }

    /// Seals `key` for the key version whose full name is `version`.
    ///
    /// # Errors
    /// [`SealFailed`] when the library fails.
    pub fn seal(&self, version: &str, key: &SoftwareKey) -> Result<Vec<u8>, SealFailed> {
        let document = key.to_pkcs8().map_err(|_| SealFailed)?;
        self.seal_bytes(&document, &associated_data(version, key.algorithm()))
    }

    fn seal_bytes(&self, clear: &[u8], bound_to: &[u8]) -> Result<Vec<u8>, SealFailed> {
        // The exact size up front: growing the buffer would leave copies of the secret behind.
        let mut in_out = Zeroizing::new(Vec::with_capacity(clear.len() + TAG_BYTES));
        in_out.extend_from_slice(clear);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound_to), &mut *in_out)
            .map_err(|Unspecified| SealFailed)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + in_out.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&in_out);
        Ok(sealed)
    }

    /// Opens the sealed key of the version the permit was given for, and of no other.
    ///
    /// # Errors
    /// [`OpenError`]: not what was sealed under this master key for this version and algorithm.
    pub fn open(
        &self,
        permit: &SigningPermit<'_>,
        algorithm: KeyAlgorithm,
        sealed: &[u8],
    ) -> Result<SoftwareKey, OpenError> {
        self.open_named(permit.version(), algorithm, sealed)
    }

    /// Seals a secret that is not a private key, such as a password, for the resource whose full name is `name`.
    ///
    /// # Errors
    /// [`SealFailed`] when the library fails.
    pub fn seal_secret(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, SealFailed> {
        self.seal_bytes(secret, &secret_data(name))
    }

    /// Opens the secret that was sealed for `name`, and no private key.
    ///
    /// # Errors
    /// [`OpenError`]: not what was sealed under this master key for this name as a secret.
    pub fn open_secret(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.open_bytes(sealed, &secret_data(name))
    }

    /// Opens what was sealed under a name: for keys that have no life cycle.
    pub(crate) fn open_named(
        &self,
        name: &str,
        algorithm: KeyAlgorithm,
        sealed: &[u8],
    ) -> Result<SoftwareKey, OpenError> {
        let document = self.open_bytes(sealed, &associated_data(name, algorithm))?;
        SoftwareKey::from_sealed_pkcs8(algorithm, &document).map_err(|_| OpenError::NotAuthentic)
    }

    fn open_bytes(&self, sealed: &[u8], bound_to: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match (open_under(&self.key, sealed, bound_to), &self.previous) {
            (Err(OpenError::NotAuthentic), Some(previous)) => open_under(previous, sealed, bound_to),
            (opened, _) => opened,
        }
    }
}

fn open_under(
    key: &RandomizedNonceKey,
    sealed: &[u8],
    bound_to: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (&format, rest) = sealed.split_first().ok_or(OpenError::Format)?;
    if format != FORMAT {
        return Err(OpenError::Format);
    }
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Format)?;
    let mut in_out = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .open_in_place(Nonce::from(nonce), Aad::from(bound_to), &mut in_out)
        .map_err(|Unspecified| OpenError::NotAuthentic)?
        .len();
    in_out.truncate(length);
    Ok(in_out)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey")
    }
}

/// The full name, so that a sealed key cannot be moved to another version, and the algorithm, so that whoever
/// can write to the database cannot have one RSA key sign under two schemes (CR-09). NUL is in no name.
fn associated_data(version: &str, algorithm: KeyAlgorithm) -> Vec<u8> {
    [version.as_bytes(), b"\0", algorithm.name().as_bytes()].concat()
}

/// A word that is no algorithm's name: a secret does not open as a key, nor a key as a secret.
fn secret_data(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0secret"].concat()
}

/// The library failed to seal, or had no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key or secret could not be sealed")]
pub struct SealFailed;

/// Why a sealed key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not bytes of ours.
    #[error("the sealed key is not in a known format")]
    Format,
    /// Changed, moved from another version, or sealed under another master key.
    #[error(
        "the sealed key does not open: it was changed, belongs to another key version, or the master key is another one"
    )]
    NotAuthentic,
}

/// Why something was not sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    /// It opens under neither key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It opened and could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Lifecycle;
    use crate::software::SoftwareKey;

    const NAME: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
    const ALGORITHM: KeyAlgorithm = KeyAlgorithm::EcSignP256Sha256;

    fn permit(name: &str) -> SigningPermit<'_> {
        Lifecycle::Enabled.permit_signing(name).unwrap()
    }

    fn sealed_key() -> (MasterKey, SoftwareKey, Vec<u8>) {
        let master = MasterKey::new(&[7; 32]).unwrap();
        let key = SoftwareKey::generate(ALGORITHM).unwrap();
        let sealed = master.seal(NAME, &key).unwrap();
        (master, key, sealed)
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_key() {
        let (master, key, sealed) = sealed_key();
        let opened = master.open(&permit(NAME), ALGORITHM, &sealed).unwrap();
        assert_eq!(opened.public_key_der(), key.public_key_der());
        let document = key.to_pkcs8().unwrap();
        assert!(
            !sealed
                .windows(16)
                .any(|window| document.windows(16).any(|plain| plain == window))
        );
    }

    #[test]
    fn the_same_key_never_seals_to_the_same_bytes() {
        let (master, key, sealed) = sealed_key();
        assert_ne!(master.seal(NAME, &key).unwrap(), sealed);
    }

    #[test]
    fn a_sealed_key_does_not_open_elsewhere() {
        let (master, _, sealed) = sealed_key();
        for name in [
            &NAME[..NAME.len() - 1],
            &format!("{NAME}0"),
            "",
            &NAME.replace("/p/", "/q/"),
        ] {
            assert_eq!(
                master.open(&permit(name), ALGORITHM, &sealed).unwrap_err(),
                OpenError::NotAuthentic,
                "{name}"
            );
        }
        let other = MasterKey::new(&[8; 32]).unwrap();
        assert_eq!(
            other.open(&permit(NAME), ALGORITHM, &sealed).unwrap_err(),
            OpenError::NotAuthentic
        );
        for algorithm in [
            KeyAlgorithm::EcSignP384Sha384,
            KeyAlgorithm::RsaSignPkcs12048Sha256,
        ] {
            assert_eq!(
                master.open(&permit(NAME), algorithm, &sealed).unwrap_err(),
                OpenError::NotAuthentic
            );
        }
    }

    #[test]
    fn one_rsa_key_does_not_open_under_a_second_scheme() {
        let master = MasterKey::new(&[7; 32]).unwrap();
        let key = SoftwareKey::generate(KeyAlgorithm::RsaSignPkcs12048Sha256).unwrap();
        let sealed = master.seal(NAME, &key).unwrap();
        assert!(
            master
                .open(&permit(NAME), KeyAlgorithm::RsaSignPkcs12048Sha256, &sealed)
                .is_ok()
        );
        let error = master
            .open(&permit(NAME), KeyAlgorithm::RsaSignPss2048Sha256, &sealed)
            .unwrap_err();
        assert_eq!(error, OpenError::NotAuthentic);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (master, _, sealed) = sealed_key();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1 << (position % 8);
            assert!(
                master.open(&permit(NAME), ALGORITHM, &changed).is_err(),
                "byte {position}"
            );
            assert!(
                master
                    .open(&permit(NAME), ALGORITHM, &sealed[..position])
                    .is_err(),
                "cut at {position}"
            );
        }
    }

    #[test]
    fn a_secret_opens_under_its_name_and_nowhere_else() {
        let (master, _, sealed_key) = sealed_key();
        let sealed = master.seal_secret(NAME, b"hush").unwrap();
        assert_eq!(*master.open_secret(NAME, &sealed).unwrap(), b"hush");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(
            master.open_secret("other", &sealed).unwrap_err(),
            OpenError::NotAuthentic
        );
        assert_eq!(
            master.open_secret(NAME, &sealed[1..]).unwrap_err(),
            OpenError::Format
        );
        let other = MasterKey::new(&[8; 32]).unwrap();
        assert_eq!(
            other.open_secret(NAME, &sealed).unwrap_err(),
            OpenError::NotAuthentic
        );
        // Neither is taken for the other.
        assert_eq!(
            master.open_secret(NAME, &sealed_key).unwrap_err(),
            OpenError::NotAuthentic
        );
        assert_eq!(
            master.open(&permit(NAME), ALGORITHM, &sealed).unwrap_err(),
            OpenError::NotAuthentic
        );
        assert!(
            master
                .seal_secret(NAME, b"")
                .is_ok_and(|empty| master.open_secret(NAME, &empty).unwrap().is_empty())
        );
    }

    #[test]
    fn a_key_after_another_opens_what_that_one_sealed_and_seals_by_itself() {
        let (old, key, sealed) = sealed_key();
        let secret = old.seal_secret(NAME, b"hush").unwrap();
        let new = MasterKey::new(&[8; 32]).unwrap();
        let both = new.clone().after(&old);
        assert!(both.has_previous() && !new.has_previous() && !both.alone().has_previous());
        let opened = both.open(&permit(NAME), ALGORITHM, &sealed).unwrap();
        assert_eq!(opened.public_key_der(), key.public_key_der());
        assert_eq!(*both.open_secret(NAME, &secret).unwrap(), b"hush");
        let by_new = both.seal(NAME, &key).unwrap();
        assert!(new.open(&permit(NAME), ALGORITHM, &by_new).is_ok());
        assert!(old.open(&permit(NAME), ALGORITHM, &by_new).is_err());
        // The one before the previous is forgotten.
        let third = MasterKey::new(&[9; 32]).unwrap().after(&both);
        assert!(third.open(&permit(NAME), ALGORITHM, &sealed).is_err());
        assert!(third.open(&permit(NAME), ALGORITHM, &by_new).is_ok());
    }

    #[test]
    fn what_is_sealed_anew_opens_under_the_new_key_alone_and_for_its_name_alone() {
        let (old, key, sealed) = sealed_key();
        let secret = old.seal_secret(NAME, b"hush").unwrap();
        let new = MasterKey::new(&[8; 32]).unwrap();
        let both = new.clone().after(&old);
        let again = both.reseal(NAME, ALGORITHM, &sealed).unwrap().unwrap();
        let opened = new.open(&permit(NAME), ALGORITHM, &again).unwrap();
        assert_eq!(opened.public_key_der(), key.public_key_der());
        assert!(old.open(&permit(NAME), ALGORITHM, &again).is_err());
        assert_eq!(both.reseal(NAME, ALGORITHM, &again), Ok(None), "once is enough");
        let secret_again = both.reseal_secret(NAME, &secret).unwrap().unwrap();
        assert_eq!(*new.open_secret(NAME, &secret_again).unwrap(), b"hush");
        let refused = Err(ResealError::Open(OpenError::NotAuthentic));
        assert_eq!(both.reseal("other", ALGORITHM, &sealed), refused, "another name");
        assert_eq!(
            both.reseal(NAME, KeyAlgorithm::EcSignP384Sha384, &sealed),
            refused
        );
        assert_eq!(both.reseal_secret(NAME, &sealed), refused, "a key is no secret");
        assert_eq!(
            both.reseal(NAME, ALGORITHM, &secret),
            refused,
            "a secret is no key"
        );
        assert_eq!(
            new.reseal(NAME, ALGORITHM, &sealed),
            refused,
            "nothing comes before it"
        );
        let none = Err(ResealError::Open(OpenError::Format));
        assert_eq!(both.reseal(NAME, ALGORITHM, &sealed[1..]), none);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (master, key, _) = sealed_key();
        assert_eq!(format!("{master:?}"), "MasterKey");
        assert_eq!(
            format!("{key:?}"),
            "SoftwareKey { algorithm: EcSignP256Sha256, .. }"
        );
    }

    #[test]
    fn random_master_keys_differ() {
        assert_ne!(
            *MasterKey::random_bytes().unwrap(),
            *MasterKey::random_bytes().unwrap()
        );
    }
}
