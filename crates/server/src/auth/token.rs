//! Bearer tokens: made from 32 random bytes, kept as their SHA-256.
//!
//! A plain hash is enough, because nobody can guess 256 random bits; a slow hash would only make every call slower.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The beginning of every token, so that secret scanners and people recognise one.
const PREFIX: &str = "binauthz_";

/// The random part: 32 bytes are 43 characters of base64.
const RANDOM_BYTES: usize = 32;

/// A token in the clear. Shown once, never stored, never logged.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn generate() -> Result<Token, aws_lc_rs::error::Unspecified> {
        let mut bytes = Zeroizing::new([0_u8; RANDOM_BYTES]);
        rand::fill(bytes.as_mut_slice())?;
        Ok(Token(Zeroizing::new(format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(bytes.as_slice())
        ))))
    }

    /// A token somebody presented or kept in a file.
    pub(crate) fn from_text(text: &str) -> Token {
        Token(Zeroizing::new(text.to_owned()))
    }

    /// The text, for the one who is to have it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and compared.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = [0_u8; 32];
        for (to, from) in hash
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref())
        {
            *to = *from;
        }
        hash
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// The administrator's token, as far as the server keeps it; none if it was used up.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken {
    hash: Option<[u8; 32]>,
}

impl AdminToken {
    pub(crate) fn new(token: &Token) -> AdminToken {
        AdminToken {
            hash: Some(token.hash()),
        }
    }

    /// Nobody's.
    pub(crate) fn used_up() -> AdminToken {
        AdminToken { hash: None }
    }

    /// Whether this is the hash of the administrator's token, in a time that does not depend on the answer.
    pub(super) fn matches(&self, hash: &[u8; 32]) -> bool {
        self.hash.is_some_and(|own| own.ct_eq(hash).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_new_each_time_and_compare_by_hash() {
        let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert!(one.reveal().starts_with(PREFIX) && one.reveal().len() == PREFIX.len() + 43);
        assert_ne!(one.reveal(), two.reveal());
        let admin = AdminToken::new(&one);
        assert!(admin.matches(&Token::from_text(one.reveal()).hash()));
        assert!(!admin.matches(&two.hash()));
        assert!(!admin.matches(&Token::from_text("").hash()));
        assert!(!AdminToken::used_up().matches(&one.hash()));
    }

    #[test]
    fn a_token_does_not_print() {
        let token = Token::generate().unwrap();
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
