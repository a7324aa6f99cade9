//! Versions of signing keys: made, switched, destroyed.

use std::sync::Arc;
use std::time::Duration;

use binauthz_core::name::VersionNumber;
use binauthz_keyring::{
    IllegalTransition, KeyAlgorithm, Lifecycle, MasterKey, SignError, SoftwareKey, Token, TokenError,
    TokenKey,
};
use binauthz_store::{Change, Kind, NewResource, Resource};
use binauthz_wire::cloudkms::{self, ProtectionLevel, RequestedState};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::status::Code;
use zeroize::Zeroizing;

use super::super::call::{Call, Reply};
use super::super::error::ApiError;
use super::super::listing::{self, Page};
use super::super::routes::{Api, ApiVersion, Class, Route, Verb};
use super::crypto_keys::{self, KeyDocument};
use super::version::{MAX_VERSIONS, Version, VersionDocument, version_name, version_of, versions_of};
use super::{damaged, refuse_filters, row, stored};
use crate::app::App;

/// How long a request waits for its turn to have an RSA key made: one takes up to 2.4 s, so a dozen may be ahead.
const GENERATION_WAIT: Duration = Duration::from_secs(30);

#[rustfmt::skip] // A table: one route a line.
pub(super) fn routes() -> Vec<Route> {
    macro_rules! path {
        ($rest:literal) => {
            concat!("/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions", $rest)
        };
    }
    vec![
        row(
            (Verb::Post, path!("")),
            "CreateCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.create",
            Class::Write,
            |app, call| Box::pin(create(app, call)),
        ),
        row(
            (Verb::Get, path!("")),
            "ListCryptoKeyVersions",
            "cloudkms.cryptoKeyVersions.list",
            Class::Read,
            |app, call| Box::pin(list(app, call)),
        ),
        row(
            (Verb::Get, path!("/{number}")),
            "GetCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.get",
            Class::Read,
            |app, call| Box::pin(read(app, call)),
        ),
        row(
            (Verb::Patch, path!("/{number}")),
            "UpdateCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.update",
            Class::Write,
            |app, call| Box::pin(update(app, call)),
        ),
        row(
            (Verb::Post, path!("/{number}:destroy")),
            "DestroyCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.destroy",
            Class::Write,
            |app, call| Box::pin(destroy(app, call)),
        ),
        row(
            (Verb::Post, path!("/{number}:restore")),
            "RestoreCryptoKeyVersion",
            "cloudkms.cryptoKeyVersions.restore",
            Class::Write,
            |app, call| Box::pin(restore(app, call)),
        ),
    ]
}

/// Not Google's: theirs takes a key that was wrapped for an import job. This one takes it as it is, over TLS.
pub(super) fn import_route() -> Route {
    Route {
        verb: Verb::Post,
        template: "/binauthz/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions:importPem",
        versions: ApiVersion::V1_ONLY,
        api: Api::CloudKms,
        name: "ImportPemCryptoKeyVersion",
        permission: "cloudkms.cryptoKeyVersions.create",
        class: Class::Write,
        handler: |app, call| Box::pin(import(app, call)),
    }
}

/// A new key that no version has yet.
pub(super) struct Generated {
    private: Private,
    algorithm: KeyAlgorithm,
    public_key_pem: String,
    public_key_der: Vec<u8>,
}

/// Where the private half of it is.
enum Private {
    Software(Box<SoftwareKey>),
    Token(Arc<Token>, TokenKey),
}

/// The token that holds keys, if one is configured.
pub(super) fn token_of(app: &App) -> Result<Arc<Token>, ApiError> {
    app.token.clone().ok_or_else(|| {
        ApiError::failed_precondition(
            "keys of the protection level `HSM` need a token: `pkcs11` is missing in the server's configuration file",
        )
    })
}

/// Makes a key where it shall live.
pub(super) async fn generate(
    app: &App,
    call: &Call,
    algorithm: KeyAlgorithm,
    protection: ProtectionLevel,
) -> Result<Generated, ApiError> {
    match protection {
        ProtectionLevel::Software => generate_software(app, call, algorithm).await,
        ProtectionLevel::Hsm => generate_in_token(token_of(app)?, algorithm).await,
    }
}

/// The label says nothing: names can be had again once a key is destroyed, labels cannot.
async fn generate_in_token(token: Arc<Token>, algorithm: KeyAlgorithm) -> Result<Generated, ApiError> {
    let label = format!("binauthz/{}", uuid::Uuid::now_v7());
    let work = tokio::task::spawn_blocking(move || {
        let key = token.generate(&label, algorithm)?;
        Ok(Generated {
            algorithm,
            public_key_pem: key.public_key_pem(),
            public_key_der: key.public_key_der().to_vec(),
            private: Private::Token(token, key),
        })
    });
    let outcome = work
        .await
        .unwrap_or_else(|error| Err(TokenError::Failed(error.to_string())));
    outcome.map_err(|error| match error {
        TokenError::Algorithm(_) => ApiError::invalid_argument(error.to_string()),
        error => {
            tracing::error!(%error, "a key could not be made in the token");
            ApiError::unavailable(error.to_string())
        }
    })
}

/// Makes a key on a thread where others do not wait for it; RSA keys one after the other.
async fn generate_software(app: &App, call: &Call, algorithm: KeyAlgorithm) -> Result<Generated, ApiError> {
    let turn = if algorithm.is_slow_to_generate() {
        let busy = |_| {
            ApiError::new(
                Code::ResourceExhausted,
                "too many keys are being generated, repeat the request in a minute",
            )
        };
        let turn = tokio::time::timeout(GENERATION_WAIT, app.generations.acquire())
            .await
            .map_err(busy)?;
        Some(turn.map_err(|_| ApiError::unavailable("the server is shutting down"))?)
    } else {
        None
    };
    let work = tokio::task::spawn_blocking(move || {
        let key = SoftwareKey::generate(algorithm).map_err(|error| error.to_string())?;
        Generated::of(key).map_err(|error| error.to_string())
    });
    let outcome: Result<Generated, String> = work.await.unwrap_or_else(|error| Err(error.to_string()));
    drop(turn);
    outcome.map_err(|error| {
        tracing::error!(
            error,
            request_id = call.request_id,
            "a key could not be generated"
        );
        ApiError::internal(&call.request_id)
    })
}

impl Generated {
    fn of(key: SoftwareKey) -> Result<Generated, SignError> {
        Ok(Generated {
            algorithm: key.algorithm(),
            public_key_pem: key.public_key_pem()?,
            public_key_der: key.public_key_der()?,
            private: Private::Software(Box::new(key)),
        })
    }

    /// Takes a key back that is kept nowhere. One that stays in the token is no version's, and signs nothing.
    pub(super) async fn discard(self) {
        if let Private::Token(token, key) = self.private {
            let destroyed = tokio::task::spawn_blocking(move || token.destroy(key.label())).await;
            if let Ok(Err(error)) = destroyed {
                tracing::error!(%error, "a key that no version has stays in the token");
            }
        }
    }

    /// What stores it as version `number` of `key`.
    pub(super) fn changes(
        &self,
        master: &MasterKey,
        call: &Call,
        key: &str,
        number: u32,
    ) -> Result<Vec<Change>, ApiError> {
        let name = format!("{key}/cryptoKeyVersions/{number}");
        let document =
            VersionDocument::new(self.algorithm, self.public_key_pem.clone(), &self.public_key_der);
        let (document, sealed) = match &self.private {
            Private::Token(_, key) => (document.in_token(key.label()), None),
            Private::Software(key) => {
                let sealed = master.seal(&name, key).map_err(|error| {
                    tracing::error!(%error, request_id = call.request_id, "a key could not be sealed");
                    ApiError::internal(&call.request_id)
                })?;
                let name = name.clone();
                (document, Some(Change::PutSealedKey { name, sealed }))
            }
        };
        let version = NewResource {
            kind: Kind::CryptoKeyVersion,
            document: serde_json::to_string(&document).map_err(|problem| damaged(&name, &problem))?,
            name,
            parent: key.to_owned(),
        };
        Ok([Change::Insert(version)].into_iter().chain(sealed).collect())
    }
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    cloudkms::read_new_version(call.take_body())?;
    let key = crypto_keys::name_of(&call)?;
    let row = stored(app, Kind::CryptoKey, &key).await?;
    let document = KeyDocument::of(&row)?;
    let algorithm = document.algorithm(&row.name)?;
    algorithm
        .check_available()
        .map_err(|why| ApiError::failed_precondition(why.to_string()))?;
    let generated = generate(app, &call, algorithm, document.protection()).await?;
    let kept = keep(app, &call, &row, &generated).await;
    if kept.is_err() {
        generated.discard().await;
    }
    kept
}

/// A key that was made elsewhere, as the next version of a key of its algorithm.
async fn import(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    let pem = Zeroizing::new(body.take_string("pem")?);
    body.finish()?;
    let row = stored(app, Kind::CryptoKey, crypto_keys::name_of(&call)?).await?;
    let document = KeyDocument::of(&row)?;
    let algorithm = document.algorithm(&row.name)?;
    if document.protection() == ProtectionLevel::Hsm {
        let message =
            "a key of the protection level `HSM` is made in the token: import into one of `SOFTWARE`";
        return Err(ApiError::failed_precondition(message));
    }
    // Reading one tries it once: RSA-4096 takes 6 ms.
    let read = tokio::task::spawn_blocking(move || {
        let key = SoftwareKey::from_pem(algorithm, &pem).map_err(|why| format!("`pem`: {why}"))?;
        Generated::of(key).map_err(|why| format!("`pem`: {why}"))
    });
    let imported = read.await.unwrap_or_else(|error| {
        tracing::error!(%error, request_id = call.request_id, "a key could not be read");
        Err("`pem`: the key could not be read".to_owned())
    });
    let imported = imported.map_err(ApiError::invalid_argument)?;
    keep(app, &call, &row, &imported).await
}

/// Stores a key as the next version.
async fn keep(app: &App, call: &Call, row: &Resource, generated: &Generated) -> Result<Reply, ApiError> {
    let key = crypto_keys::name_of(call)?;
    // Whoever asked at the same time may get the number first.
    for _ in 0..8 {
        let versions = versions_of(app, &row.name).await?;
        let number = versions
            .last()
            .map_or(1, |last| last.0.as_u32().saturating_add(1));
        if number > MAX_VERSIONS {
            let message = format!("`{key}` has {MAX_VERSIONS} versions, which is as many as a key may have");
            return Err(ApiError::new(Code::ResourceExhausted, message));
        }
        let master = app.master.hold().await;
        let changes = generated.changes(&master, call, &row.name, number)?;
        match call.commit(app, changes).await {
            Ok(_) => {
                let name = version_name(
                    &key,
                    VersionNumber::new(number).ok_or_else(|| damaged(&row.name, &number))?,
                );
                let version = Version::of(stored(app, Kind::CryptoKeyVersion, name).await?)?;
                return Ok(Reply::json(version.shown(call.now)));
            }
            Err(error) if error.code() == Code::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::aborted(format!(
        "`{key}` gets new versions from others, repeat the request"
    )))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filters(&call)?;
    let key = stored(app, Kind::CryptoKey, crypto_keys::name_of(&call)?).await?;
    let page = Page::of(&call, format!("{}/cryptoKeyVersions", key.name), 100, 1000)?;
    let after: u32 = page.after().and_then(|number| number.parse().ok()).unwrap_or(0);
    let mut versions = versions_of(app, &key.name).await?;
    versions.retain(|(number, _)| number.as_u32() > after);
    let next = page.cut(&mut versions, |(number, _)| number.to_string());
    let items = versions
        .into_iter()
        .map(|(_, row)| Ok(Version::of(row)?.shown(call.now)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Reply::json(listing::reply("cryptoKeyVersions", items, next)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::json(version_of(app, &call).await?.shown(call.now)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    FieldMask::parse(call.query_string("updateMask")?, &["state"])?;
    let requested = cloudkms::read_version_patch(call.take_body())?;
    let version = version_of(app, &call).await?;
    let before = version.lifecycle(call.now);
    let after = if requested == RequestedState::Enabled {
        before.enable()
    } else {
        before.disable()
    };
    settle(app, &call, version, after).await
}

/// The body of a verb without fields of its own. That of the path may be repeated in it, and the path counts.
fn nothing_but_the_name(call: &mut Call) -> Result<(), ApiError> {
    let mut body = call.body_object()?;
    body.ignore("name");
    Ok(body.finish()?)
}

async fn destroy(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    nothing_but_the_name(&mut call)?;
    let version = version_of(app, &call).await?;
    let key = stored(app, Kind::CryptoKey, crypto_keys::name_of(&call)?).await?;
    let delay = KeyDocument::of(&key)?.destroy_delay(&key.name)?;
    let after = version
        .lifecycle(call.now)
        .schedule_destruction(call.now.as_micros(), delay);
    settle(app, &call, version, after).await
}

async fn restore(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    nothing_but_the_name(&mut call)?;
    let version = version_of(app, &call).await?;
    let after = version.lifecycle(call.now).restore(call.now.as_micros());
    settle(app, &call, version, after).await
}

/// Commits a change of state, or says why there is none.
async fn settle(
    app: &App,
    call: &Call,
    mut version: Version,
    after: Result<Lifecycle, IllegalTransition>,
) -> Result<Reply, ApiError> {
    let after =
        after.map_err(|why| ApiError::failed_precondition(format!("`{}`: {why}", version.row.name)))?;
    let change = version.change_to(after)?;
    call.commit(app, vec![change]).await?;
    Ok(Reply::json(version.shown(call.now)))
}
