//! Several servers on one store: what each knows of what the others wrote, and for how long that is good.
//!
//! What verdicts are decided from is kept in memory. A commit of this server drops what it touches before it is answered; of
//! a commit of another one this job hears within a second, and drops the same. While the store does not answer nobody
//! knows whether what is remembered still holds: decisions go on from memory up to a limit, then everything is denied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use binauthz_core::image::Digest;
use binauthz_core::time::UnixTime;
use binauthz_keyring::{MasterKey, SealFailed};
use binauthz_store::{
    AuditRow, Change, Changed, Commit, CommitError, Kind, NewResource, Store, Touched, Unavailable,
};

use crate::app::App;
use crate::control::call::{is_access, is_watched};
use crate::control::master_key::opens_any;
use crate::files;
use crate::listen::Shutdown;
use crate::run::StartError;
use crate::settings::{Database, Settings};

/// How often it is asked what others committed, should nobody have said so: twice within the second that is promised, and
/// some time for the answer.
const POLL: Duration = Duration::from_millis(400);
/// A look that takes longer has failed: the next one is due.
const LOOK: Duration = Duration::from_secs(4);
/// Seconds after which it is said that the store does not answer: a look is made every [`POLL`] and may take [`LOOK`].
const AGING: u64 = 5;
/// Commits that come in a burst are looked at together. What is promised is a second.
const GATHER: Duration = Duration::from_millis(20);
/// How often the server that leads looks for notices that the others found.
const NOTICES: Duration = Duration::from_secs(1);
/// The file of a data directory whose server shares its store with nobody.
pub(crate) const FILE: &str = "binauthz.db";
/// The sealed text that shows whether a master key is the one that the others have.
pub(crate) const PROOF: &str = "binauthz/master-key";

/// Why a server may not use a store.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It could neither read what the others sealed nor they what it would.
    #[error(
        "the keys in the store are sealed under another `master.key`: give every server on it the same one"
    )]
    OtherKey,
    /// The store does not answer.
    #[error("the store could not be joined: {0}")]
    Store(#[from] CommitError),
    /// There is no randomness.
    #[error("the store could not be joined: {0}")]
    Seal(#[from] SealFailed),
}

impl From<Unavailable> for JoinError {
    fn from(error: Unavailable) -> Self {
        JoinError::Store(error.into())
    }
}

/// Opens what the settings name.
pub(crate) async fn open(settings: &Settings) -> Result<Store, StartError> {
    match &settings.store {
        Database::File => Ok(Store::open(&settings.data_dir.join(FILE))?),
        Database::Shared(address) => {
            let server = files::server_id(&settings.data_dir)?;
            Ok(Store::connect(address, &server).await?)
        }
    }
}

/// What this server knows of the others.
#[derive(Debug)]
pub(crate) struct Servers {
    /// The revision when it started: nothing was remembered before.
    start: i64,
    limit: Duration,
    /// When it last knew of every commit, in microseconds.
    current: AtomicI64,
    is_stale: AtomicBool,
}

/// Where this server stands with the others on its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Whatever is remembered holds, within the second that is promised.
    Current,
    /// It was so many seconds ago that this was known, and decisions go on from memory.
    Aging(u64),
    /// That was too long ago: everything is denied.
    Stale(u64),
}

impl Servers {
    /// Takes a place among them, if there may be others; `now` is the time.
    pub(crate) async fn join(
        store: &Store,
        master: &MasterKey,
        (limit, now): (Duration, UnixTime),
    ) -> Result<Servers, JoinError> {
        let start = if store.is_shared() {
            prove(store, master, now).await?;
            store.news(0).await?.revision
        } else if opens_any(store, master).await? {
            0
        } else {
            return Err(JoinError::OtherKey);
        };
        Ok(Servers {
            start,
            limit,
            current: AtomicI64::new(now.as_micros()),
            is_stale: AtomicBool::new(false),
        })
    }

    /// How fresh what is remembered is.
    pub(crate) fn freshness(&self, now: UnixTime) -> Freshness {
        let current = self.current.load(Ordering::Relaxed);
        let age = u64::try_from(now.as_micros().saturating_sub(current)).unwrap_or(0);
        let seconds = age / 1_000_000;
        if self.is_stale.load(Ordering::Relaxed) {
            Freshness::Stale(seconds)
        } else if seconds >= AGING {
            Freshness::Aging(seconds)
        } else {
            Freshness::Current
        }
    }
}

/// Shows that the master key is that of the store; whoever comes first says which one that is.
pub(crate) async fn prove(store: &Store, master: &MasterKey, now: UnixTime) -> Result<(), JoinError> {
    loop {
        if let Some(sealed) = store.sealed_key(PROOF).await? {
            return match master.open_secret(PROOF, &sealed) {
                Ok(_) => Ok(()),
                Err(_) => Err(JoinError::OtherKey),
            };
        }
        let sealed = master.seal_secret(PROOF, PROOF.as_bytes())?;
        let changes = vec![
            // Of two that come at once one finds this taken.
            Change::Insert(NewResource {
                kind: Kind::Setting,
                name: PROOF.to_owned(),
                parent: String::new(),
                document: "{}".to_owned(),
            }),
            Change::PutSealedKey {
                name: PROOF.to_owned(),
                sealed,
            },
        ];
        let audit = AuditRow {
            sequence: 0,
            time: now.as_micros(),
            principal: "system:binauthz".to_owned(),
            method: "binauthz.JoinStore".to_owned(),
            resource: PROOF.to_owned(),
            status_code: 0,
            request_id: String::new(),
            detail: "{}".to_owned(),
        };
        match store.commit(Commit { audit, changes }).await {
            Ok(_) => return Ok(()),
            Err(CommitError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Follows what others commit, until the server stops.
pub(crate) async fn follow(app: Arc<App>, mut shutdown: Shutdown) {
    if !app.store.is_shared() {
        return shutdown.begun().await;
    }
    let mut seen = app.servers.start;
    let mut current = Instant::now();
    let mut noticed = Instant::now();
    let mut is_reached = true;
    loop {
        let begun = Instant::now();
        let looked = tokio::time::timeout(LOOK, app.store.news(seen)).await;
        match looked.unwrap_or(Err(Unavailable::Slow {
            seconds: LOOK.as_secs(),
        })) {
            Ok(news) => {
                if news.revision < seen {
                    let (was, is) = (seen, news.revision);
                    tracing::error!(
                        was,
                        is,
                        "the store is at an earlier revision than before: it has lost commits"
                    );
                }
                take(&app, &news.changed);
                seen = news.revision;
                current = begun;
                is_current(&app, is_reached);
                is_reached = true;
            }
            Err(why) => {
                if std::mem::take(&mut is_reached) {
                    tracing::warn!(%why, "the store does not answer: decisions are made from memory");
                }
                is_behind(&app, current.elapsed());
            }
        }
        if app.store.lead().is_some() && noticed.elapsed() >= NOTICES {
            app.alerts.due.notify_one();
            noticed = Instant::now();
        }
        tokio::select! {
            () = shutdown.begun() => return,
            () = tokio::time::sleep(POLL) => {}
            () = async { app.store.heard().await; tokio::time::sleep(GATHER).await } => {}
        }
    }
}

/// Drops what is remembered of what others changed.
fn take(app: &App, changed: &Changed) {
    let items = match changed {
        Changed::These(items) => items,
        Changed::Everything => {
            app.snapshots.invalidate();
            app.proofs.forget();
            app.policies.invalidate();
            app.alerts.changed.tell();
            app.log_metrics.changed.tell();
            return;
        }
    };
    for item in items {
        match item {
            Touched::Kind(kind) => take_kind(app, *kind),
            Touched::Occurrences { note, digest } => {
                // No proof is about what is no note.
                if let Ok(note) = note.parse() {
                    app.proofs.invalidate(&note, &Digest::from_bytes(*digest));
                }
            }
        }
    }
}

fn take_kind(app: &App, kind: Kind) {
    if matches!(kind, Kind::Cluster | Kind::Policy | Kind::Attestor) {
        app.snapshots.invalidate();
    }
    if is_access(kind) {
        app.policies.invalidate();
    }
    if kind == Kind::LogMetric {
        app.log_metrics.changed.tell();
    }
    if is_watched(kind) {
        app.alerts.changed.tell();
    }
}

fn is_current(app: &App, was_reached: bool) {
    let now = (app.clock)().as_micros();
    app.servers.current.store(now, Ordering::Relaxed);
    if app.servers.is_stale.swap(false, Ordering::Relaxed) {
        // What others changed meanwhile was dropped just now.
        app.snapshots.unseal();
    }
    if !was_reached {
        tracing::warn!("the store answers again");
    }
}

fn is_behind(app: &App, age: Duration) {
    if age < app.servers.limit || app.servers.is_stale.swap(true, Ordering::Relaxed) {
        return;
    }
    let limit = app.servers.limit.as_secs();
    app.snapshots.seal(format!(
        "the store has not answered for {limit} s, so nobody can say whether the policy still is what it was"
    ));
    tracing::error!(
        limit,
        "the store does not answer for too long: everything is denied"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; MasterKey::BYTES]).unwrap()
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[tokio::test]
    async fn whoever_comes_first_says_which_master_key_it_is() {
        let store = Store::open_in_memory().unwrap();
        let (ours, theirs) = (master(1), master(2));
        let (one, other) = tokio::join!(prove(&store, &ours, at(1)), prove(&store, &ours, at(1)));
        one.unwrap();
        other.unwrap();
        prove(&store, &ours, at(2)).await.unwrap();
        let refused = prove(&store, &theirs, at(3)).await;
        assert!(matches!(refused, Err(JoinError::OtherKey)), "{refused:?}");
        let rows = store.own_audit_rows(None, 9).await.unwrap();
        assert_eq!(rows.len(), 1, "it is reported once");
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_not_joined() {
        let refused = prove(&Store::closed(), &master(1), at(1)).await;
        assert!(matches!(refused, Err(JoinError::Store(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn what_is_remembered_ages_and_is_stale_in_the_end() {
        let store = Store::open_in_memory().unwrap();
        let limit = Duration::from_secs(300);
        let servers = Servers::join(&store, &master(1), (limit, at(1_000)))
            .await
            .unwrap();
        for (now, expected) in [
            (1_000, Freshness::Current),
            (1_004, Freshness::Current),
            (1_005, Freshness::Aging(5)),
            (1_299, Freshness::Aging(299)),
            // A clock that was set back says nothing.
            (0, Freshness::Current),
        ] {
            assert_eq!(servers.freshness(at(now)), expected, "{now}");
        }
        servers.is_stale.store(true, Ordering::Relaxed);
        assert_eq!(servers.freshness(at(1_301)), Freshness::Stale(301));
    }
}
