//! Who is calling. Three kinds of proof: a bearer token, either the administrator's (made at the first start) or one made
//! through the API; an ID token of an issuer, or a client certificate of an authority, that the operator chose; and, under Google's names, what the owner of a
//! registered key signed, or an access token it was changed for.

mod access;
mod assertion;
mod authenticate;
pub(crate) mod bootstrap;
mod caller;
mod certificate;
mod credential;
mod grant;
mod oidc;
mod token;

pub(crate) use access::{AccessKey, KEY_NAME as ACCESS_KEY_NAME, access_key};
pub(crate) use assertion::{Assertion, Claimed, InvalidAssertion, MAX_ASSERTION, Purpose, TOKEN_URI};
pub(crate) use authenticate::{Unknowable, authenticate};
pub(crate) use caller::{Caller, Role, Scope};
pub(crate) use certificate::of_certificate;
pub(crate) use credential::Credential;
pub(crate) use grant::Grant;
pub use oidc::IssuerError;
pub(crate) use oidc::{Issuers, keep_keys};
pub(crate) use token::{AdminToken, Token};

/// The longest member of this form.
pub(crate) const MAX_PERSON: usize = 256;

/// Whether a text is `user:NAME@HOST` or `serviceAccount:NAME@HOST` of somebody outside. Nobody can be made to look like the
/// administrator, a token or a credential in the audit log.
pub(crate) fn is_person(member: &str) -> bool {
    let is_plain = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte);
        !part.is_empty() && part.bytes().all(plain)
    };
    let email = member.split_once(':').and_then(|(kind, email)| {
        let is_kind = matches!(kind, "user" | "serviceAccount");
        is_kind.then(|| email.split_once('@')).flatten()
    });
    member.len() <= MAX_PERSON
        && !member.ends_with(Credential::EMAIL_DOMAIN)
        && email.is_some_and(|(name, host)| is_plain(name) && is_plain(host))
}

/// Whether a text is an id of a token or a credential. They are part of the principal in every audit row, so they are
/// plain.
pub(crate) fn is_plain_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}
