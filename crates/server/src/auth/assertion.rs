//! Signed assertions (RFC 7523, RFC 9068's relatives): a JWT by which the owner of a registered key says who it is.
//!
//! Reading one proves nothing; only [`Claimed::verify`] makes an [`Assertion`].

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use binauthz_core::key::SignatureAlgorithm;
use binauthz_core::time::UnixTime;
use binauthz_wire::json::{self, Limits, Object};
use binauthz_wire::jwt::{self, InvalidJwt, Jwt};

use super::credential::Credential;

/// The longest assertion: claims of 1 KB and an RSA-4096 signature are 2.2 KB.
pub(crate) const MAX_ASSERTION: usize = 4 * 1024;
/// The longest life of an assertion in seconds: what Google's libraries ask for and Google allows.
const LONGEST_LIFE: i64 = 3_600;
/// How far a client's clock may be ahead, in seconds.
const SKEW: i64 = 300;
/// How old an assertion may be when it is changed for a token: one that was overheard is soon worth nothing.
const OLDEST: i64 = 600;
/// Who an assertion for a token is addressed to.
pub(crate) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The header and the claims are small and flat.
const LIMITS: Limits = Limits {
    bytes: MAX_ASSERTION,
    depth: 4,
    values: 100,
};

/// What an assertion is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be changed for an access token.
    Token,
    /// In place of an access token, with a call (AIP-4111).
    Call,
}

/// Why an assertion is not believed. A credential that is not there and a signature that is wrong are one answer: nobody
/// learns which credentials exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAssertion {
    #[error("it is not a signed JWT: three parts of unpadded base64url, at most {MAX_ASSERTION} characters")]
    Form,
    #[error("its {part} cannot be read: {why}")]
    Part { part: &'static str, why: String },
    #[error("its `alg` is `{0}`, expected `RS256` or `ES256`")]
    Algorithm(String),
    #[error("its header has `crit`: extensions are not known here")]
    Critical,
    #[error("it is not signed by the key of a credential that was made here and has not ended")]
    Signature,
    #[error("its `sub` is not its `iss`: nobody speaks for somebody else here")]
    Subject,
    #[error("its `aud` is not {expected}")]
    Audience { expected: &'static str },
    #[error("its `exp` must be after its `iat`, and by at most {LONGEST_LIFE} seconds")]
    Life,
    #[error("it was issued in the future: is the clock right?")]
    Early,
    #[error("it was issued more than {OLDEST} seconds ago: is the clock right?")]
    Old,
    #[error("it has expired")]
    Expired,
}

impl From<InvalidJwt> for InvalidAssertion {
    fn from(error: InvalidJwt) -> InvalidAssertion {
        match error {
            InvalidJwt::Form => InvalidAssertion::Form,
            InvalidJwt::Part { part, why } => InvalidAssertion::Part { part, why },
        }
    }
}

/// What somebody says; nothing of it is checked yet.
pub(crate) struct Claimed<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
    subject: Option<String>,
    audience: Option<String>,
    scope: Option<String>,
    issued: i64,
    expires: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

/// A checked assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assertion {
    expires: UnixTime,
}

impl Assertion {
    /// When it stops being good for anything, and whatever it was changed for, too.
    pub(crate) fn expires(self) -> UnixTime {
        self.expires
    }
}

impl<'a> Claimed<'a> {
    /// Reads a compact JWS.
    pub(crate) fn read(text: &'a str) -> Result<Claimed<'a>, InvalidAssertion> {
        let Jwt {
            signed,
            mut header,
            mut claims,
            signature,
        } = jwt::read(text, LIMITS)?;
        let (algorithm, key_id) = read_header(&mut header)?;
        let part = |error: json::InvalidField| unreadable("claims", &error);
        Ok(Claimed {
            signed,
            signature,
            algorithm,
            key_id,
            issuer: claims.take_string("iss").map_err(part)?,
            subject: claims.take_optional_string("sub").map_err(part)?,
            audience: claims.take_optional_string("aud").map_err(part)?,
            scope: claims.take_optional_string("scope").map_err(part)?,
            issued: claims.take_i64("iat").map_err(part)?,
            expires: claims.take_i64("exp").map_err(part)?,
        })
    }

    /// The credential it says it is of.
    pub(crate) fn credential_id(&self) -> Option<&str> {
        Credential::id_of_email(&self.issuer)
    }

    /// Checks it against the credential it says it is of; none if there is no such credential. Nothing that is claimed is
    /// looked at before the signature.
    pub(crate) fn verify(
        &self,
        credential: Option<&Credential>,
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<Assertion, InvalidAssertion> {
        let credential = credential.ok_or(InvalidAssertion::Signature)?;
        let names_key = self.key_id.as_deref().is_none_or(|id| id == credential.key_id());
        let is_its_own = self.credential_id() == Some(credential.id());
        if !names_key || !is_its_own || !self.is_signed_by(credential) || credential.has_ended(now) {
            return Err(InvalidAssertion::Signature);
        }
        if self
            .subject
            .as_ref()
            .is_some_and(|subject| *subject != self.issuer)
        {
            return Err(InvalidAssertion::Subject);
        }
        self.check_audience(purpose)?;
        self.check_time(purpose, now.as_seconds())?;
        Ok(Assertion {
            expires: UnixTime::from_seconds(self.expires),
        })
    }

    /// The key decides how; the header may only agree.
    fn is_signed_by(&self, credential: &Credential) -> bool {
        let key = credential.key();
        let verification: &'static dyn VerificationAlgorithm = match (key.algorithm(), self.algorithm) {
            (SignatureAlgorithm::EcdsaP256Sha256, Algorithm::Es256) => &ECDSA_P256_SHA256_FIXED,
            (
                SignatureAlgorithm::RsaPkcs1_2048Sha256
                | SignatureAlgorithm::RsaPkcs1_3072Sha256
                | SignatureAlgorithm::RsaPkcs1_4096Sha256,
                Algorithm::Rs256,
            ) => &RSA_PKCS1_2048_8192_SHA256,
            _ => return false,
        };
        ParsedPublicKey::new(verification, key.der())
            .is_ok_and(|key| key.verify_sig(self.signed.as_bytes(), &self.signature).is_ok())
    }

    fn check_audience(&self, purpose: Purpose) -> Result<(), InvalidAssertion> {
        let audience = self.audience.as_deref();
        let (is_right, expected) = match purpose {
            Purpose::Token => (
                audience == Some(TOKEN_URI),
                "`https://oauth2.googleapis.com/token`",
            ),
            Purpose::Call => (
                match audience {
                    Some(audience) => is_service(audience),
                    None => self.scope.is_some(),
                },
                "`https://SERVICE.googleapis.com/` of a service that is served here, or absent with a `scope`",
            ),
        };
        is_right
            .then_some(())
            .ok_or(InvalidAssertion::Audience { expected })
    }

    fn check_time(&self, purpose: Purpose, now: i64) -> Result<(), InvalidAssertion> {
        let (issued, expires) = (self.issued, self.expires);
        // No sum below can overflow once the two are within a day of now.
        let near = |time: i64| time.checked_sub(now).is_some_and(|apart| apart.abs() < 86_400);
        if !near(issued) || !near(expires) || expires <= issued || expires - issued > LONGEST_LIFE {
            return Err(if expires <= now {
                InvalidAssertion::Expired
            } else {
                InvalidAssertion::Life
            });
        }
        if issued > now + SKEW {
            Err(InvalidAssertion::Early)
        } else if expires <= now {
            Err(InvalidAssertion::Expired)
        } else if purpose == Purpose::Token && issued + OLDEST < now {
            Err(InvalidAssertion::Old)
        } else {
            Ok(())
        }
    }
}

/// `https://NAME/` with or without the slash.
fn is_service(audience: &str) -> bool {
    audience
        .strip_prefix("https://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .is_some_and(|name| crate::googleapis::SERVICES.contains(&name))
}

pub(super) fn read_header(header: &mut Object) -> Result<(Algorithm, Option<String>), InvalidAssertion> {
    let part = |error: json::InvalidField| unreadable("header", &error);
    let algorithm = header.take_string("alg").map_err(part)?;
    let key_id = header.take_optional_string("kid").map_err(part)?;
    if header.has("crit") {
        return Err(InvalidAssertion::Critical);
    }
    match algorithm.as_str() {
        "RS256" => Ok((Algorithm::Rs256, key_id)),
        "ES256" => Ok((Algorithm::Es256, key_id)),
        other => Err(InvalidAssertion::Algorithm(
            other.chars().take(20).flat_map(char::escape_debug).collect(),
        )),
    }
}

fn unreadable(part: &'static str, why: &impl fmt::Display) -> InvalidAssertion {
    let why = why.to_string().chars().take(200).collect();
    InvalidAssertion::Part { part, why }
}

#[cfg(test)]
mod tests;
