//! A master key at rest in a file, encrypted by an AES key that never leaves the token.
//!
//! What is in the file opens nothing without the token, and the token holds nothing but a key: neither is enough.

use aws_lc_rs::rand;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::{Token, TokenError, id, named};
use crate::seal::MasterKey;

/// What GCM was made for; longer ones are hashed first.
const IV_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
/// So that nothing else that such a key encrypts is taken for a master key.
const BOUND_TO: &[u8] = b"binauthz master key\0";

impl Token {
    /// Encrypts a master key under the token's key of this label, which is made if there is none.
    ///
    /// # Errors
    /// [`TokenError`]: more than one key has the label, or the token does no AES-GCM.
    pub fn wrap(&self, label: &str, key: &[u8; MasterKey::BYTES]) -> Result<Vec<u8>, TokenError> {
        let session = self.session();
        let wrapping = match self.wrapping_keys(&session, label)?.as_slice() {
            [] => make(&session, label)?,
            [one] => *one,
            several => return Err(self.not_one(label, several.len())),
        };
        let mut iv = [0; IV_BYTES];
        rand::fill(&mut iv).map_err(|_| TokenError::Failed("the system gave no random bytes".to_owned()))?;
        let mut wrapped = iv.to_vec();
        let parameters = GcmParams::new(&mut iv, BOUND_TO, TAG_BITS.into())?;
        wrapped.extend(session.encrypt(&Mechanism::AesGcm(parameters), wrapping, key)?);
        Ok(wrapped)
    }

    /// Decrypts what [`Token::wrap`] made. The key of this label is not made if it is not there.
    ///
    /// # Errors
    /// [`TokenError`]: no key has the label, or it is another key, or the bytes were changed.
    pub fn open_wrapped(
        &self,
        label: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; MasterKey::BYTES]>, TokenError> {
        let other = || TokenError::Unwrap {
            token: self.label.clone(),
            label: label.to_owned(),
        };
        let session = self.session();
        let found = self.wrapping_keys(&session, label)?;
        let [key] = found.as_slice() else {
            return Err(self.not_one(label, found.len()));
        };
        let (iv, encrypted) = wrapped.split_first_chunk::<IV_BYTES>().ok_or_else(other)?;
        let mut iv = *iv;
        let parameters = GcmParams::new(&mut iv, BOUND_TO, TAG_BITS.into())?;
        let clear = session
            .decrypt(&Mechanism::AesGcm(parameters), *key, encrypted)
            .map_err(|_| other())?;
        let clear = Zeroizing::new(clear);
        let bytes = <[u8; MasterKey::BYTES]>::try_from(clear.as_slice()).map_err(|_| other())?;
        Ok(Zeroizing::new(bytes))
    }

    /// The token's AES keys of this label that it never gives out. One that can be read wraps nothing.
    fn wrapping_keys(&self, session: &Session, label: &str) -> Result<Vec<ObjectHandle>, TokenError> {
        let found = session.find_objects(&named(ObjectClass::SECRET_KEY, label))?;
        for key in &found {
            let attributes =
                session.get_attributes(*key, &[AttributeType::Sensitive, AttributeType::Extractable])?;
            if !attributes.contains(&Attribute::Sensitive(true))
                || attributes.contains(&Attribute::Extractable(true))
            {
                return Err(TokenError::Readable {
                    token: self.label.clone(),
                    label: label.to_owned(),
                });
            }
        }
        Ok(found)
    }
}

fn make(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen((MasterKey::BYTES as u64).into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Label(label.into()),
        Attribute::Id(id(label)),
    ];
    Ok(session.generate_key(&Mechanism::AesKeyGen, &template)?)
}
