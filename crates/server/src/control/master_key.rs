//! The change of the master key while the server runs: everything that is sealed is sealed anew under another key.

use binauthz_core::name::KeyVersionName;
use binauthz_keyring::{LogSigner, MasterKey, ResealError};
use binauthz_store::{AuditRow, Change, Commit, CommitError, Kind, Store, Unavailable};
use binauthz_wire::cloudkms::ProtectionLevel;
use binauthz_wire::json::EnumRow;
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::kms;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;
use crate::master::KeptError;
use crate::{audit, auth, merged, servers};

/// Names read at once: 1 000 of 150 bytes.
const PAGE: u32 = 1_000;
/// How often one is tried that somebody else is changing.
const ATTEMPTS: usize = 5;
/// Names told of things that do not open. There are none but in a damaged database.
const MOST_NAMED: usize = 100;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    vec![Route {
        verb: Verb::Post,
        template: "/binauthz/v1/masterKey:rewrap",
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name: "RewrapMasterKey",
        permission: "binauthz.masterKey.rewrap",
        class: Class::Write,
        handler: |app, call| Box::pin(rewrap(app, call)),
    }]
}

/// What protects the master key in its file: nothing, or a token.
const LEVELS: &[EnumRow<ProtectionLevel>] = &[
    ("SOFTWARE", 1, ProtectionLevel::Software),
    ("HSM", 2, ProtectionLevel::Hsm),
];

/// What came of the things that are sealed.
#[derive(Debug, Default)]
struct Tally {
    resealed: u64,
    unreadable: Vec<String>,
}

/// What came of one of them.
enum Outcome {
    Resealed,
    /// It is under the new key, or gone.
    Nothing,
    Unreadable,
}

async fn rewrap(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    let level = body.take_optional_enum("protectionLevel", LEVELS)?;
    body.finish()?;
    if app.store.is_shared() {
        // The others would open nothing any more, and what they seal would open nowhere else.
        return Err(ApiError::failed_precondition(
            "the servers on this store have a `master.key` each, and only this server's would be changed: nothing was changed",
        ));
    }
    let level = level.unwrap_or_else(|| app.master.level_of_new());
    let _turn = app.master.turn().ok_or_else(|| {
        ApiError::aborted("the master key is being changed by another call; this one changed nothing")
    })?;
    let (mut tally, mut reached) = change(app, &call, level).await?;
    // What was finished is a change that was begun before, and may have been one to the other level.
    if tally.unreadable.is_empty() && reached != level {
        let before = tally.resealed;
        (tally, reached) = change(app, &call, level).await?;
        tally.resealed += before;
    }
    let answer = json!({
        "resealed": tally.resealed,
        "finished": tally.unreadable.is_empty(),
        "unreadable": tally.unreadable,
        "protectionLevel": reached.name(),
    });
    let facts = answer.as_object().cloned().unwrap_or_default();
    call.commit_with(app, Vec::new(), facts).await?;
    Ok(Reply::json(answer))
}

/// Makes a new key of this level, or goes on with a change that was not finished, and says what came of it.
async fn change(
    app: &App,
    call: &Call,
    level: ProtectionLevel,
) -> Result<(Tally, ProtectionLevel), ApiError> {
    let failed = |error: KeptError| not_changed(call, &error);
    app.master.replace(level).await.map_err(failed)?;
    let tally = reseal_all(app, call).await?;
    if tally.unreadable.is_empty() {
        app.master.forget_previous().await.map_err(failed)?;
    }
    Ok((tally, app.master.level().await.map_err(failed)?))
}

fn not_changed(call: &Call, error: &KeptError) -> ApiError {
    match error {
        KeptError::NoLabel => ApiError::failed_precondition(format!("{error}: nothing was changed")),
        KeptError::Token(_) => ApiError::unavailable(format!("{error}; the present key stays")),
        KeptError::File(_) => {
            tracing::error!(%error, request_id = call.request_id, "the master key is not changed");
            ApiError::internal(&call.request_id)
        }
    }
}

/// Seals everything anew that the key before this one sealed. Whoever seals something meanwhile does so under this one.
async fn reseal_all(app: &App, call: &Call) -> Result<Tally, ApiError> {
    let master = app.master.hold().await.clone();
    let mut tally = Tally::default();
    let mut after = String::new();
    loop {
        let names = app.store.sealed_names(&after, PAGE).await?;
        let Some(last) = names.last() else { break };
        after.clone_from(last);
        for name in names {
            match reseal(app, &master, &name).await? {
                Outcome::Resealed => tally.resealed += 1,
                Outcome::Nothing => {}
                Outcome::Unreadable if tally.unreadable.len() < MOST_NAMED => tally.unreadable.push(name),
                Outcome::Unreadable => {}
            }
        }
    }
    let folder = app.settings.data_dir.clone();
    let signers = tokio::task::spawn_blocking(move || audit::reseal_signers(&folder, &master)).await;
    match signers
        .map_err(|error| error.to_string())
        .and_then(|outcome| outcome)
    {
        Ok(count) => tally.resealed += count,
        Err(error) => {
            tracing::error!(error, "the keys of the logs are not sealed anew");
            return Err(ApiError::internal(&call.request_id));
        }
    }
    Ok(tally)
}

/// Seals one thing anew, unless somebody changes it at that moment; then what they made of it.
async fn reseal(app: &App, master: &MasterKey, name: &str) -> Result<Outcome, ApiError> {
    for _ in 0..ATTEMPTS {
        // Before what is sealed, so that a change of it between the two is a stale revision.
        let thing = Thing::of(&app.store, name).await?;
        let (Some(thing), Some(sealed)) = (thing, app.store.sealed_key(name).await?) else {
            return Ok(Outcome::Nothing);
        };
        let again = match thing.reseal(master, name, &sealed) {
            Ok(Some(again)) => again,
            Ok(None) => return Ok(Outcome::Nothing),
            Err(error @ ResealError::Open(_)) => {
                tracing::error!(%error, name, "what is sealed here opens under no master key");
                return Ok(Outcome::Unreadable);
            }
            Err(error @ ResealError::Seal(_)) => {
                return Err(ApiError::unavailable(format!(
                    "`{name}`: {error}; repeat the call"
                )));
            }
        };
        let mut changes: Vec<Change> = thing.require(name).into_iter().collect();
        changes.push(Change::PutSealedKey {
            name: name.to_owned(),
            sealed: again,
        });
        match app
            .store
            .commit(Commit {
                audit: audit_row(app, name),
                changes,
            })
            .await
        {
            Ok(_) => return Ok(Outcome::Resealed),
            Err(CommitError::Stale { .. } | CommitError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::aborted(format!(
        "`{name}` is being changed by others: repeat the call, which goes on from here"
    )))
}

fn audit_row(app: &App, name: &str) -> AuditRow {
    AuditRow {
        sequence: 0,
        time: (app.clock)().as_micros(),
        principal: "system:binauthz".to_owned(),
        method: "binauthz.ResealKey".to_owned(),
        resource: name.to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    }
}

/// Whether something that is sealed in the store opens under the key, if there is anything. One damaged thing is not all.
pub(crate) async fn opens_any(store: &Store, master: &MasterKey) -> Result<bool, Unavailable> {
    const TRIED: u32 = 8;
    let mut is_other = false;
    for name in &store.sealed_names("", TRIED).await? {
        let (thing, sealed) = (Thing::of(store, name).await, store.sealed_key(name).await?);
        let (Ok(Some(thing)), Some(sealed)) = (thing, sealed) else {
            continue;
        };
        if !matches!(thing.reseal(master, name, &sealed), Err(ResealError::Open(_))) {
            return Ok(true);
        }
        is_other = true;
    }
    Ok(!is_other)
}

/// Something that is sealed, with the revision of the resource it belongs to: the two change together.
enum Thing {
    Version(binauthz_keyring::KeyAlgorithm, i64),
    ChannelSecrets(i64),
    /// The key of the log of this name.
    Log(String),
    /// Made once and never changed.
    Lasting,
}

impl Thing {
    /// What is sealed under this name; none if its resource is gone, and an error if nobody knows: the key that opens it
    /// must not be forgotten then.
    async fn of(store: &Store, name: &str) -> Result<Option<Thing>, ApiError> {
        if name == auth::ACCESS_KEY_NAME || name == servers::PROOF {
            return Ok(Some(Thing::Lasting));
        }
        if let Some(log) = name.strip_prefix(merged::SEALED) {
            return Ok(Some(Thing::Log(log.to_owned())));
        }
        if name.parse::<KeyVersionName>().is_ok() {
            let row = store.resource(Kind::CryptoKeyVersion, name).await?;
            return row
                .map(|row| Ok(Thing::Version(kms::algorithm_of(&row)?, row.revision)))
                .transpose();
        }
        if name.contains("/notificationChannels/") {
            let row = store.resource(Kind::NotificationChannel, name).await?;
            return Ok(row.map(|row| Thing::ChannelSecrets(row.revision)));
        }
        tracing::error!(name, "what is sealed here is of no known kind");
        Err(ApiError::failed_precondition(format!(
            "`{name}` is sealed and of no kind that is known here: the former master key stays"
        )))
    }

    fn reseal(&self, master: &MasterKey, name: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, ResealError> {
        match self {
            Thing::Version(algorithm, _) => master.reseal(name, *algorithm, sealed),
            Thing::Log(log) => LogSigner::reseal(master, log, sealed),
            Thing::ChannelSecrets(_) | Thing::Lasting => master.reseal_secret(name, sealed),
        }
    }

    fn require(&self, name: &str) -> Option<Change> {
        let (kind, revision) = match self {
            Thing::Version(_, revision) => (Kind::CryptoKeyVersion, *revision),
            Thing::ChannelSecrets(revision) => (Kind::NotificationChannel, *revision),
            Thing::Log(_) | Thing::Lasting => return None,
        };
        Some(Change::Require {
            kind,
            name: name.to_owned(),
            expect: Some(revision),
        })
    }
}
