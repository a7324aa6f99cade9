//! Who is calling. Two kinds of proof: a bearer token, either the administrator's (made at the first start) or one made
//! through the API; and, under Google's names, what the owner of a registered key signed, or an access token it was
//! changed for.

mod access;
mod assertion;
mod authenticate;
mod caller;
mod credential;
mod token;

pub(crate) use access::{AccessKey, KEY_NAME as ACCESS_KEY_NAME, access_key};
pub(crate) use assertion::{Assertion, Claimed, InvalidAssertion, MAX_ASSERTION, Purpose, TOKEN_URI};
pub(crate) use authenticate::authenticate;
pub(crate) use caller::{Caller, Role};
pub(crate) use credential::Credential;
pub(crate) use token::{AdminToken, Token};

/// Whether a text is an id of a token or a credential. They are part of the principal in every audit row, so they are
/// plain.
pub(crate) fn is_plain_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}
