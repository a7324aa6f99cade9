//! Access tokens: what an assertion is changed for. They say whose they are and until when, under a MAC; none is kept
//! anywhere, so there is nothing to steal at rest and nothing to clean up. They end with their assertion, and with the
//! credential they were made for.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_core::time::UnixTime;
use binauthz_keyring::MasterKey;
use binauthz_store::{AuditRow, Change, Commit, CommitError, Kind, NewResource};

use super::{Credential, Token};
use crate::app::App;

/// The beginning of every access token, so that secret scanners and people recognise one.
const PREFIX: &str = "binauthz_at_";
/// Under what name the key is sealed.
pub(crate) const KEY_NAME: &str = "settings/accessTokenKey";

/// What makes and checks access tokens.
pub(crate) struct AccessKey(hmac::Key);

/// What a token says under a valid MAC.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) credential: String,
    pub(super) key_id: String,
    pub(super) expires: i64,
}

/// Why there is no key for access tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessKeyError {
    #[error(transparent)]
    Store(#[from] binauthz_store::Unavailable),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the key of access tokens: {0}")]
    Sealed(#[from] binauthz_keyring::OpenError),
    #[error("the key of access tokens was made once and is not in the store any more")]
    Missing,
    #[error("the key of access tokens: {0}")]
    Seal(#[from] binauthz_keyring::SealFailed),
}

impl AccessKey {
    fn new(bytes: &[u8]) -> AccessKey {
        AccessKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A token for the owner of a credential.
    pub(crate) fn issue(&self, credential: &Credential, expires: UnixTime) -> Token {
        let claims = format!(
            "{}.{}.{}",
            credential.id(),
            credential.key_id(),
            expires.as_seconds()
        );
        let said = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(claims));
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, said.as_bytes()));
        Token::from_text(&format!("{said}.{mac}"))
    }

    /// What a token says, if it was made with this key.
    pub(super) fn read(&self, text: &str) -> Option<Claims> {
        let (said, mac) = text.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.0, said.as_bytes(), &mac).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(said.strip_prefix(PREFIX)?).ok()?;
        let claims = String::from_utf8(claims).ok()?;
        let mut parts = claims.split('.');
        let (credential, key_id, expires) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Claims {
            credential: credential.to_owned(),
            key_id: key_id.to_owned(),
            expires: expires.parse().ok()?,
        })
    }
}

/// Whether a text looks like a token of this kind.
pub(super) fn is_access_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The key of this installation; made, sealed under the master key, when it is first wanted.
pub(crate) async fn access_key(app: &App) -> Result<&AccessKey, AccessKeyError> {
    app.access_key
        .get_or_try_init(|| async {
            match stored(app).await? {
                Some(key) => Ok(key),
                None => make(app).await?.ok_or(AccessKeyError::Missing),
            }
        })
        .await
}

/// The same for whoever shows a token; none if no token was ever made here.
pub(super) async fn known_access_key(app: &App) -> Result<Option<&AccessKey>, AccessKeyError> {
    if let Some(key) = app.access_key.get() {
        return Ok(Some(key));
    }
    match stored(app).await? {
        Some(key) => Ok(Some(app.access_key.get_or_init(|| async { key }).await)),
        None => Ok(None),
    }
}

async fn stored(app: &App) -> Result<Option<AccessKey>, AccessKeyError> {
    let master = app.master.hold().await;
    let Some(sealed) = app.store.sealed_key(KEY_NAME).await? else {
        return Ok(None);
    };
    let bytes = master.open_secret(KEY_NAME, &sealed)?;
    Ok(Some(AccessKey::new(&bytes)))
}

/// Makes it, or takes the one that another server made meanwhile.
async fn make(app: &App) -> Result<Option<AccessKey>, AccessKeyError> {
    let bytes = MasterKey::random_bytes()?;
    let master = app.master.hold().await;
    let sealed = master.seal_secret(KEY_NAME, bytes.as_slice())?;
    let audit = AuditRow {
        sequence: 0,
        time: (app.clock)().as_micros(),
        principal: "system:binauthz".to_owned(),
        method: "binauthz.CreateAccessTokenKey".to_owned(),
        resource: KEY_NAME.to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    };
    let changes = vec![
        // Of two servers that make one at once the second finds this taken, and takes the first one's.
        Change::Insert(NewResource {
            kind: Kind::Setting,
            name: KEY_NAME.to_owned(),
            parent: String::new(),
            document: "{}".to_owned(),
        }),
        Change::PutSealedKey {
            name: KEY_NAME.to_owned(),
            sealed,
        },
    ];
    let committed = app.store.commit(Commit { audit, changes }).await;
    drop(master);
    match committed {
        Ok(_) => Ok(Some(AccessKey::new(bytes.as_slice()))),
        Err(CommitError::AlreadyExists { .. }) => stored(app).await,
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    #[test]
    fn a_token_says_what_was_said_and_only_under_its_own_key() {
        let pem = include_str!("testdata/p256.pem");
        let key = Credential::read_key(pem).unwrap();
        let credential = Credential::new("ci".to_owned(), Role::Viewer, key, None);
        let (ours, theirs) = (AccessKey::new(&[1; 32]), AccessKey::new(&[2; 32]));
        let token = ours.issue(&credential, UnixTime::from_seconds(7));
        let text = token.reveal().to_owned();
        assert!(is_access_token(&text), "{text}");
        let claims = Claims {
            credential: "ci".to_owned(),
            key_id: credential.key_id(),
            expires: 7,
        };
        assert_eq!(ours.read(&text), Some(claims));
        assert_eq!(theirs.read(&text), None);
        // Every change of one character ends it.
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ours.read(&changed), None, "{changed}");
        }
        for wrong in ["", ".", "binauthz_at_", "binauthz_at_.", &text[..text.len() - 1]] {
            assert_eq!(ours.read(wrong), None, "{wrong}");
        }
    }
}
