//! ID tokens (OpenID Connect) of configured issuers: a pipeline or a service account shows what its platform gave it, and no
//! secret is kept anywhere.
//!
//! Who somebody is are issuer and subject; other claims are attributes that a policy may name. Keys come from the issuer's
//! key set alone, never from a token; or a cluster is asked whether the token is its own, and still good.

mod issuers;
mod keys;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::{Limits, Value};
use binauthz_wire::jwt;

use self::issuers::{Against, Known, NoKey};
pub use issuers::IssuerError;
pub(crate) use issuers::{Issuers, keep_keys};

use super::assertion::{Algorithm, read_header};
use super::{Caller, Role};
use crate::app::App;
use crate::kubernetes;
use crate::settings::{Issuer, PrincipalClaim};

/// A token with the groups of a person in it has some KB.
const MAX_ID_TOKEN: usize = 8 << 10;
/// Claims nest as those of Kubernetes do.
const LIMITS: Limits = Limits {
    bytes: MAX_ID_TOKEN,
    depth: 8,
    values: 500,
};
/// How far an issuer's clock may be ahead, in seconds.
const SKEW: i64 = 60;
/// The longest name of a member, as IAM policies hold it.
const MAX_NAME: usize = 1_024;
/// Values of attributes that are looked at, of a token.
const MAX_ATTRIBUTES: usize = 100;

/// Why a token is not believed. For the log: the caller is told that there is no valid credential, and no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("no key of the issuer has the id of the token's, for its algorithm")]
    UnknownKey,
    #[error("the signature is wrong")]
    Signature,
    #[error("the cluster does not say that it is its subject's")]
    Review,
    /// Nobody's fault who shows one: whoever would know was not heard.
    #[error("whoever could tell whether it is good does not answer")]
    NotAsked,
    #[error("the claim `{0}` is missing or not of its type")]
    Claim(&'static str),
    #[error("it is for somebody else: `aud` is none of the configured audiences")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("the claim `{0}` has not the required value")]
    Required(String),
    #[error("the address in `email` is not verified, not plain, or in no configured domain")]
    Email,
}

/// A token as it is written; nothing of it is checked.
struct Jws<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Value,
}

impl<'a> Jws<'a> {
    fn read(text: &'a str) -> Option<Jws<'a>> {
        let mut read = jwt::read(text, LIMITS).ok()?;
        let (algorithm, key_id) = read_header(&mut read.header).ok()?;
        Some(Jws {
            signed: read.signed,
            signature: read.signature,
            algorithm,
            key_id,
            claims: read.claims.into_value(),
        })
    }
}

/// An issuer or a cluster that would know whose a token is was not heard. That is no wrong token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("whose this token is cannot be asked now: the issuer `{0}` does not answer")]
pub(crate) struct NotAsked(String);

/// Whoever shows an ID token of a configured issuer; `None` if the text is no such token.
pub(super) async fn caller(app: &App, text: &str, now: UnixTime) -> Option<Result<Option<Caller>, NotAsked>> {
    if app.issuers.is_empty() || text.len() > MAX_ID_TOKEN {
        return None;
    }
    let jws = Jws::read(text)?;
    let issuer = jws.claims.member("iss")?.as_str()?;
    let known = app.issuers.named(issuer)?;
    // What its claims rule out is not worth a signature check, or a question to a cluster.
    let outcome = match believed(&known.settings, &jws.claims, now.as_seconds()) {
        Ok(found) => proven(app, known, (text, &jws)).await.map(|()| found),
        Err(error) => Err(error),
    };
    match outcome {
        Ok((principal, names)) => Some(Ok(Some(Caller::new(principal, Role::Member).also(names)))),
        Err(Refused::NotAsked) => Some(Err(NotAsked(issuer.to_owned()))),
        Err(error) => {
            tracing::debug!(issuer, %error, "an ID token is not believed");
            Some(Ok(None))
        }
    }
}

/// Whether a token is of the issuer that it names.
async fn proven(app: &App, known: &Known, (text, jws): (&str, &Jws<'_>)) -> Result<(), Refused> {
    match &known.against {
        Against::Keys(keys) => {
            let key = keys.key(jws).await.map_err(|why| match why {
                NoKey::Unknown => Refused::UnknownKey,
                NoKey::Unreachable => Refused::NotAsked,
            })?;
            key.has_signed(jws).then_some(()).ok_or(Refused::Signature)
        }
        Against::Cluster(cluster) => {
            let user = kubernetes::bearer(app, cluster, text, &known.settings.audiences).await;
            let user = user.map_err(|kubernetes::Unasked| Refused::NotAsked)?;
            // What is read here and what the cluster read are the same.
            let is_subject = user.is_some() && user.as_deref() == text_of(&jws.claims, "sub");
            is_subject.then_some(()).ok_or(Refused::Review)
        }
    }
}

/// Who somebody is by these claims, if they are proven.
fn believed(issuer: &Issuer, claims: &Value, now: i64) -> Result<(String, Vec<String>), Refused> {
    check_audience(issuer, claims)?;
    check_times(claims, now)?;
    for (name, value) in &issuer.required_claims {
        if text_of(claims, name) != Some(value.as_str()) {
            return Err(Refused::Required(name.clone()));
        }
    }
    let subject = text_of(claims, "sub").filter(|subject| is_plain(subject));
    let subject = subject.ok_or(Refused::Claim("sub"))?;
    let own = format!("principal://{}/subject/{subject}", issuer.place());
    let mut names = attributes(issuer, claims);
    match issuer.principal {
        PrincipalClaim::Sub => Ok((own, names)),
        PrincipalClaim::Email => {
            names.push(own);
            Ok((format!("user:{}", email(issuer, claims)?), names))
        }
    }
}

fn text_of<'a>(claims: &'a Value, name: &str) -> Option<&'a str> {
    claims.member(name)?.as_str()
}

/// What can be a part of a member's name, and of a line of the audit log.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME / 2 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A text, or one of a list of texts; whatever else is in the list, it is not for us.
fn check_audience(issuer: &Issuer, claims: &Value) -> Result<(), Refused> {
    let is_ours = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| issuer.audiences.iter().any(|known| known == text))
    };
    let found = match claims.member("aud") {
        Some(Value::Array(list)) => list.iter().any(is_ours),
        Some(value) => is_ours(value),
        None => return Err(Refused::Claim("aud")),
    };
    found.then_some(()).ok_or(Refused::Audience)
}

/// A time is a number, and a text that looks like one is none.
fn check_times(claims: &Value, now: i64) -> Result<(), Refused> {
    let time = |name: &'static str| match claims.member(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Refused::Claim(name)),
        },
        Some(_) => Err(Refused::Claim(name)),
    };
    let expires = time("exp")?.ok_or(Refused::Claim("exp"))?;
    let issued = time("iat")?.ok_or(Refused::Claim("iat"))?;
    let begins = time("nbf")?.unwrap_or(issued);
    if expires <= now {
        return Err(Refused::Expired);
    }
    let latest = now.saturating_add(SKEW);
    if issued > latest || begins > latest {
        return Err(Refused::Early);
    }
    Ok(())
}

/// The names by attributes. One that does not fit is left out: it gives nothing.
fn attributes(issuer: &Issuer, claims: &Value) -> Vec<String> {
    let values = |name: &String| -> Vec<String> {
        let texts: Vec<&str> = match claims.member(name) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(value) => value.as_str().into_iter().collect(),
            None => Vec::new(),
        };
        let set = |text: &&str| format!("principalSet://{}/attribute.{name}/{text}", issuer.place());
        texts.iter().filter(|text| is_plain(text)).map(set).collect()
    };
    let all = issuer.attributes.iter().flat_map(values);
    all.filter(|name| name.len() <= MAX_NAME)
        .take(MAX_ATTRIBUTES)
        .collect()
}

/// The address, where the issuer vouches for it: `email_verified`, one `@`, plain letters, and a domain of the issuer's.
fn email(issuer: &Issuer, claims: &Value) -> Result<String, Refused> {
    let is_verified = claims.member("email_verified") == Some(&Value::Bool(true));
    let email = text_of(claims, "email")
        .filter(|_| is_verified)
        .ok_or(Refused::Email)?;
    let plain = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte);
        !part.is_empty() && part.len() <= 128 && part.bytes().all(is_plain)
    };
    match email.split_once('@') {
        Some((name, domain))
            if plain(name) && plain(domain) && issuer.email_domains.iter().any(|known| known == domain) =>
        {
            Ok(email.to_owned())
        }
        _ => Err(Refused::Email),
    }
}

#[cfg(test)]
mod tests;
