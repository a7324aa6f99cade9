//! From the `Authorization` header to a [`Caller`].

use binauthz_core::time::UnixTime;
use binauthz_store::{TokenRow, Unavailable};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::oidc::NotAsked;
use super::{Caller, Claimed, Credential, Grant, Purpose, Role, Token, access, bootstrap, oidc};
use crate::app::App;
use crate::settings::BootstrapToken;

/// The longest header looked at; our tokens have 52 characters, ID tokens some thousand. What is longer is hashed for nobody.
const MAX_TOKEN: usize = 8 << 10;

/// Why it is not known who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknowable {
    #[error(transparent)]
    Store(#[from] Unavailable),
    #[error(transparent)]
    Issuer(#[from] NotAsked),
}

/// The caller of a request, or nobody.
///
/// # Errors
/// Whoever would know could not be asked: that is not a wrong token, and the caller may try again.
pub(crate) async fn authenticate(
    headers: &HeaderMap,
    app: &App,
    now: UnixTime,
) -> Result<Option<Caller>, Unknowable> {
    let Some(token) = bearer(headers) else {
        return Ok(None);
    };
    let hash = token.hash();
    if app.admin_token.matches(&hash) {
        return match app.settings.access.bootstrap_token {
            BootstrapToken::Permanent => Ok(Some(Caller::new("admin".to_owned(), Role::Admin))),
            BootstrapToken::Once => Ok(bootstrap::is_left(&app.store).await?.then(bootstrap::caller)),
        };
    }
    if let Some(caller) = oidc::caller(app, token.reveal(), now).await {
        return Ok(caller?);
    }
    if app.settings.googleapis {
        if access::is_access_token(token.reveal()) {
            return Ok(of_access_token(app, token.reveal(), now).await?);
        }
        if let Ok(claimed) = Claimed::read(token.reveal()) {
            return Ok(of_assertion(app, &claimed, now).await?);
        }
    }
    let row = app.store.token_by_hash(&hash).await?;
    Ok(row.filter(|row| valid(row, now)).and_then(caller))
}

/// The owner of a credential that is still there, with the same key.
async fn of_access_token(app: &App, text: &str, now: UnixTime) -> Result<Option<Caller>, Unavailable> {
    let key = match access::known_access_key(app).await {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(None),
        Err(access::AccessKeyError::Store(error)) => return Err(error),
        Err(error) => {
            tracing::error!(%error, "access tokens cannot be checked");
            return Ok(None);
        }
    };
    let Some(claims) = key.read(text).filter(|claims| now.as_seconds() < claims.expires) else {
        return Ok(None);
    };
    let credential = Credential::find(&app.store, &claims.credential).await?;
    Ok(credential
        .filter(|credential| credential.key_id() == claims.key_id && !credential.has_ended(now))
        .map(|credential| owner(&credential)))
}

/// Whoever signed for this call itself.
async fn of_assertion(
    app: &App,
    claimed: &Claimed<'_>,
    now: UnixTime,
) -> Result<Option<Caller>, Unavailable> {
    let credential = match claimed.credential_id() {
        Some(id) => Credential::find(&app.store, id).await?,
        None => None,
    };
    match claimed.verify(credential.as_ref(), Purpose::Call, now) {
        Ok(_) => Ok(credential.as_ref().map(owner)),
        Err(error) => {
            tracing::debug!(%error, "an assertion in place of a token is not believed");
            Ok(None)
        }
    }
}

fn owner(credential: &Credential) -> Caller {
    // As Google's files call it.
    let account = format!("serviceAccount:{}", credential.email());
    Caller::new(format!("credential:{}", credential.id()), credential.role()).also([account])
}

/// A stored token whose rights this release cannot read is nobody's.
fn caller(row: TokenRow) -> Option<Caller> {
    let Grant { role, scope, .. } = Grant::from_document(&row.document)?;
    let names = (row.principal != Grant::own_principal(&row.id)).then(|| Grant::own_principal(&row.id));
    Some(Caller::new(row.principal, role).also(names).within(scope))
}

/// Expired the moment it expires; revoked for good.
fn valid(row: &TokenRow, now: UnixTime) -> bool {
    row.revoked.is_none() && row.expires.is_none_or(|expires| now.as_micros() < expires)
}

/// Exactly one `Authorization: Bearer TOKEN`; the scheme in any case, as RFC 9110 has it.
fn bearer(headers: &HeaderMap) -> Option<Token> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() || value.len() > MAX_TOKEN {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Token::from_text(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_one_bearer_token_counts() {
        for (values, expected) in [
            (vec!["Bearer abc"], Some("abc")),
            (vec!["bearer  abc "], Some("abc")),
            (vec![], None),
            (vec!["abc"], None),
            (vec!["Bearer"], None),
            (vec!["Bearer "], None),
            (vec!["Basic abc"], None),
            (vec!["Bearer abc", "Bearer abc"], None),
        ] {
            assert_eq!(
                bearer(&headers(&values)).as_ref().map(Token::reveal),
                expected,
                "{values:?}"
            );
        }
        assert!(bearer(&headers(&[&format!("Bearer {}", "a".repeat(MAX_TOKEN))])).is_none());
    }

    #[test]
    fn a_stored_role_decides_and_an_unknown_one_is_nobody() {
        let row = |document: &str| TokenRow {
            id: "t".into(),
            hash: [0; 32],
            principal: "token:t".into(),
            document: document.into(),
            created: 0,
            expires: None,
            revoked: None,
        };
        for role in Role::ALL {
            let caller = caller(row(&format!(r#"{{"role":"{}"}}"#, role.as_str()))).unwrap();
            assert_eq!(
                (caller.role(), caller.is_administrator()),
                (role, role == Role::Admin)
            );
        }
        let scoped = caller(row(r#"{"role":"scoped:admin","projects":["p"]}"#)).unwrap();
        assert!(!scoped.is_administrator());
        for document in [
            "{}",
            r#"{"role":"root"}"#,
            r#"{"role":"Admin"}"#,
            r#"{"role":1}"#,
            r#"{"role":"admin","projects":["p"]}"#,
            r#"{"role":"scoped:admin"}"#,
            r#"{"role":"scoped:admin","projects":"p"}"#,
            "",
            "x",
        ] {
            assert_eq!(caller(row(document)), None, "{document}");
        }
    }

    #[test]
    fn expiry_and_revocation_end_a_token() {
        let row = |expires, revoked| TokenRow {
            id: "t".into(),
            hash: [0; 32],
            principal: "token:t".into(),
            document: "{}".into(),
            created: 0,
            expires,
            revoked,
        };
        let now = UnixTime::from_micros(100);
        assert!(valid(&row(None, None), now));
        assert!(valid(&row(Some(101), None), now));
        assert!(!valid(&row(Some(100), None), now));
        assert!(!valid(&row(None, Some(200)), now));
        assert!(!valid(&row(Some(101), Some(1)), now));
    }
}
