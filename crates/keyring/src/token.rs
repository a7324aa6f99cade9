//! Keys in a PKCS #11 token: an HSM, or a program that stands for one. They are made there and never leave.
//!
//! A key is found by a label that says whose it is, and used only if the signature verifies under the public key that was
//! shown when it was made: a token that was exchanged, or a key that was put there by somebody else, signs nothing.

mod form;
mod wrapping;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use crate::algorithm::{HashAlgorithm, KeyAlgorithm, MessageDigest, Scheme};
use crate::pem;
use crate::signer::Signer;
use crate::software::{MAX_DATA_BYTES, SignError};
use form::Kind;

const SELF_TEST: &[u8] = b"binauthz: a key that cannot verify its own signature is not handed out";

/// Why a token does not do what it is asked. No text holds a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The module cannot be loaded or does not begin.
    #[error("the PKCS #11 module cannot be used: {0}")]
    Module(String),
    /// No token of that label is in any slot.
    #[error("there is no token with the label `{0}`")]
    NoToken(String),
    /// It does not take the PIN.
    #[error("the token `{label}` does not let us in: {why}")]
    Login {
        /// Which token.
        label: String,
        /// What it said.
        why: String,
    },
    /// The algorithm is none that tokens are asked for.
    #[error("keys of `{0}` are not kept in tokens here")]
    Algorithm(KeyAlgorithm),
    /// The key is not there, or there is more than one.
    #[error("the token `{token}` has {found} keys with the label `{label}`, expected one")]
    NotOneKey {
        /// Which token.
        token: String,
        /// The label looked for.
        label: String,
        /// How many there are.
        found: usize,
    },
    /// The token failed.
    #[error("the token failed: {0}")]
    Failed(String),
    /// A key that the token gives out is no protection for another.
    #[error(
        "the key `{label}` of the token `{token}` can be read out of it, expected one that is sensitive and not extractable"
    )]
    Readable {
        /// Which token.
        token: String,
        /// Which key.
        label: String,
    },
    /// What is to be opened was not made with this key.
    #[error(
        "the key `{label}` of the token `{token}` does not open it: it was changed, or the key is another one"
    )]
    Unwrap {
        /// Which token.
        token: String,
        /// Which key.
        label: String,
    },
    /// It signed, and not with the key that was made there.
    #[error("what the token signed does not verify under the key's public half")]
    OtherKey,
}

impl From<Error> for TokenError {
    fn from(error: Error) -> TokenError {
        match error {
            // The first word says which of the standard's codes it is; the rest of the sentence explains the standard.
            Error::Pkcs11(code, function) => TokenError::Failed(format!("{code:?} ({function:?})")),
            other => TokenError::Failed(other.to_string()),
        }
    }
}

/// A token we are logged in to. Its operations come one after the other.
pub struct Token {
    label: String,
    session: Mutex<Session>,
}

/// A key of a token that can be used.
pub struct TokenKey {
    token: Arc<Token>,
    label: String,
    algorithm: KeyAlgorithm,
    public_key_der: Vec<u8>,
}

impl Token {
    /// Logs in to the token of this label, once: a second wrong PIN could lock it.
    ///
    /// # Errors
    /// [`TokenError`]: no such module or token, or it does not take the PIN.
    pub fn open(module: &Path, label: &str, pin: &str) -> Result<Token, TokenError> {
        let unusable = |error: Error| TokenError::Module(error.to_string());
        let library = Pkcs11::new(module).map_err(unusable)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(unusable(error)),
        }
        let is_it = |slot: &cryptoki::slot::Slot| {
            library
                .get_token_info(*slot)
                .is_ok_and(|info| info.label().trim_end() == label)
        };
        let slot = library.get_slots_with_token()?.into_iter().find(is_it);
        let session = library.open_rw_session(slot.ok_or_else(|| TokenError::NoToken(label.to_owned()))?)?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(code, _)) => {
                let (label, why) = (label.to_owned(), format!("{code:?}"));
                return Err(TokenError::Login { label, why });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Token {
            label: label.to_owned(),
            session: Mutex::new(session),
        })
    }

    /// Makes a key that never leaves the token, under a label that nothing there has yet, and proves it by a signature.
    ///
    /// # Errors
    /// [`TokenError`], and then no key of that label stays.
    pub fn generate(self: &Arc<Self>, label: &str, algorithm: KeyAlgorithm) -> Result<TokenKey, TokenError> {
        let kind = form::kind(algorithm).ok_or(TokenError::Algorithm(algorithm))?;
        let made = self.make(label, kind);
        let public_key_der = match made {
            Ok(public_key_der) => public_key_der,
            Err(error) => {
                // What failed says more than what could not be cleaned up after it.
                let _ = self.destroy(label);
                return Err(error);
            }
        };
        let key = self.key(label, algorithm, public_key_der);
        let hash = algorithm.hash().ok_or(TokenError::Algorithm(algorithm))?;
        if let Err(error) = key.sign_checked(&MessageDigest::of(hash, SELF_TEST)) {
            let _ = self.destroy(label);
            return Err(error);
        }
        Ok(key)
    }

    /// The key of this label, whose public half is known from when it was made. That it is there is seen when it is used.
    pub fn key(self: &Arc<Self>, label: &str, algorithm: KeyAlgorithm, public_key_der: Vec<u8>) -> TokenKey {
        TokenKey {
            token: Arc::clone(self),
            label: label.to_owned(),
            algorithm,
            public_key_der,
        }
    }

    /// Destroys what has this label; nothing there is fine.
    ///
    /// # Errors
    /// [`TokenError`]: something may still be there.
    pub fn destroy(&self, label: &str) -> Result<(), TokenError> {
        let session = self.session();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for object in session.find_objects(&named(class, label))? {
                session.destroy_object(object)?;
            }
        }
        Ok(())
    }

    fn make(&self, label: &str, kind: Kind) -> Result<Vec<u8>, TokenError> {
        let session = self.session();
        let found = session
            .find_objects(&named(ObjectClass::PRIVATE_KEY, label))?
            .len();
        if found > 0 {
            return Err(self.not_one(label, found + 1));
        }
        let shared = [
            Attribute::Token(true),
            Attribute::Label(label.into()),
            Attribute::Id(id(label)),
        ];
        let mut public = shared.to_vec();
        public.push(Attribute::Verify(true));
        let mut private = shared.to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        let mechanism = match kind {
            Kind::Pkcs1 { bits } | Kind::Pss { bits } => {
                public.push(Attribute::ModulusBits(bits.into()));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
                Mechanism::RsaPkcsKeyPairGen
            }
            Kind::Ecdsa { curve, .. } => {
                public.push(Attribute::EcParams(curve.to_vec()));
                Mechanism::EccKeyPairGen
            }
        };
        let (public, _) = session.generate_key_pair(&mechanism, &public, &private)?;
        public_key(&session, public, kind)
    }

    fn sign(&self, label: &str, mechanism: &Mechanism<'_>, data: &[u8]) -> Result<Vec<u8>, TokenError> {
        let session = self.session();
        let found = session.find_objects(&named(ObjectClass::PRIVATE_KEY, label))?;
        let [key] = found.as_slice() else {
            return Err(self.not_one(label, found.len()));
        };
        Ok(session.sign(mechanism, *key, data)?)
    }

    fn not_one(&self, label: &str, found: usize) -> TokenError {
        TokenError::NotOneKey {
            token: self.label.clone(),
            label: label.to_owned(),
            found,
        }
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(class: ObjectClass, label: &str) -> [Attribute; 3] {
    [
        Attribute::Class(class),
        Attribute::Label(label.into()),
        Attribute::Id(id(label)),
    ]
}

/// Tokens limit the length of ids, not of labels.
fn id(label: &str) -> Vec<u8> {
    digest(&SHA256, label.as_bytes()).as_ref().to_vec()
}

fn public_key(session: &Session, object: ObjectHandle, kind: Kind) -> Result<Vec<u8>, TokenError> {
    let wanted = [
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::EcPoint,
    ];
    let (mut modulus, mut exponent, mut point) = (None, None, None);
    let wanted = match kind {
        Kind::Ecdsa { .. } => wanted.get(2..),
        Kind::Pkcs1 { .. } | Kind::Pss { .. } => wanted.get(..2),
    };
    for attribute in session.get_attributes(object, wanted.unwrap_or_default())? {
        match attribute {
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    let public = match (kind, modulus, exponent, point) {
        (Kind::Ecdsa { curve, coordinate }, _, _, Some(point)) => {
            form::ec_public_key(curve, coordinate, &point)
        }
        (Kind::Pkcs1 { .. } | Kind::Pss { .. }, Some(modulus), Some(exponent), _) => {
            Some(form::rsa_public_key(&modulus, &exponent))
        }
        _ => None,
    };
    public.ok_or_else(|| TokenError::Failed("it does not show the key's public half".to_owned()))
}

impl TokenKey {
    /// Its label in the token.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The public half: SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    /// The public half as a `PUBLIC KEY` PEM block.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public_key_der).to_string()
    }

    fn sign_checked(&self, digest: &MessageDigest) -> Result<Vec<u8>, TokenError> {
        let bytes = digest.as_bytes();
        let kind = form::kind(self.algorithm).ok_or(TokenError::Algorithm(self.algorithm))?;
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| self.token.sign(&self.label, mechanism, data);
        let signature = match kind {
            Kind::Pkcs1 { .. } => sign(&Mechanism::RsaPkcs, &form::digest_info(digest.hash(), bytes))?,
            Kind::Pss { .. } => sign(&Mechanism::RsaPkcsPss(pss(digest.hash())), bytes)?,
            Kind::Ecdsa { coordinate, .. } => {
                let raw = sign(&Mechanism::Ecdsa, bytes)?;
                form::ecdsa_signature(&raw, coordinate).ok_or(TokenError::OtherKey)?
            }
        };
        let verification: &'static dyn VerificationAlgorithm = match self.algorithm.scheme() {
            Ok(Scheme::Rsa { verification, .. } | Scheme::Ecdsa { verification, .. }) => verification,
            _ => return Err(TokenError::Algorithm(self.algorithm)),
        };
        UnparsedPublicKey::new(verification, &self.public_key_der)
            .verify_digest(digest.value(), &signature)
            .map(|()| signature)
            .map_err(|_| TokenError::OtherKey)
    }
}

fn pss(hash: HashAlgorithm) -> PkcsPssParams {
    let (hash_alg, mgf, length) = match hash {
        HashAlgorithm::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32_u64),
        HashAlgorithm::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        HashAlgorithm::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams {
        hash_alg,
        mgf,
        s_len: length.into(),
    }
}

impl Signer for TokenKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn sign_digest(&self, digest: &MessageDigest) -> Result<Vec<u8>, SignError> {
        let algorithm = self.algorithm;
        let expected = algorithm.hash().ok_or(SignError::NeedsData { algorithm })?;
        if digest.hash() != expected {
            return Err(SignError::WrongHash {
                algorithm,
                expected,
                got: digest.hash(),
            });
        }
        self.sign_checked(digest)
            .map_err(|error| SignError::Token(error.to_string()))
    }

    fn sign_data(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        if data.len() > MAX_DATA_BYTES {
            return Err(SignError::DataTooLong { length: data.len() });
        }
        let algorithm = self.algorithm;
        let hash = algorithm.hash().ok_or(SignError::NeedsData { algorithm })?;
        self.sign_digest(&MessageDigest::of(hash, data))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Token")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenKey")
            .field("label", &self.label)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
