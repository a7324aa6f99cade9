//! The logs of all servers on one store under one signature.
//!
//! Each server publishes how far its own log is signed for. The one that leads puts what all of them say into one statement,
//! with a number that only grows, and signs it with a key that the servers share. Each server keeps the newest statement
//! beside its journal, and believes none that takes something back. So a journal that is missing, or an older copy of it, is
//! found by whoever has a statement, also when everything on that server's disk is gone or consistent in itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use binauthz_keyring::LogSigner;
use binauthz_store::{
    AuditRow, Change, Commit, CommitError, Found, Kind, Lead, LogCheckpointRow, Logged, MergedRow,
    NewResource, Settlement, Store, Unavailable,
};
use binauthz_wire::tlog::{Checkpoint, Merged, Stated, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::audit;
use crate::listen::Shutdown;

/// How often a server publishes, and how often the one that leads makes a statement: two commits of the store in that time.
const PERIOD: Duration = Duration::from_secs(5);
/// Beside the segments: the newest statement, and the key that it verifies under.
const STATEMENT: &str = "merged";
const VERIFIER: &str = "merged.vkey";
/// The resource that says which key that is.
const SETTING: &str = "binauthz/merged-log";
/// Faults that were told; what comes beyond is told again.
const MOST_TOLD: usize = 1_000;

/// Why there was no statement this time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] Unavailable),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("{0}")]
    Other(String),
}

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

/// What the metrics say of it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    number: AtomicU64,
    faults: AtomicU64,
}

impl Counters {
    /// The number of the newest statement that this server believes.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Logs and statements that went back, as far as this server saw.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

/// Whose signature is under the statements.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    verifier_key: String,
}

/// What this server did and believes.
#[derive(Default)]
struct Round {
    published: Option<String>,
    key: Option<VerifierKey>,
    signer: Option<LogSigner>,
    believed: Option<Merged>,
    told: BTreeSet<String>,
}

/// Publishes and merges until the server stops.
pub(crate) async fn merge(app: Arc<App>, mut shutdown: Shutdown) {
    if !app.store.is_shared() {
        return shutdown.begun().await;
    }
    let mut clock = tokio::time::interval(PERIOD);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = Round::default();
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = clock.tick() => {}
        }
        if let Err(why) = round.run(&app).await {
            tracing::warn!(%why, "no statement over the logs of all servers was made or read");
        }
    }
}

impl Round {
    async fn run(&mut self, app: &App) -> Result<(), Failure> {
        self.publish(app).await?;
        if self.key.is_none() {
            let pinned = read(app, VERIFIER).await?;
            self.key = self.identity(app, pinned).await?;
        }
        let Some(key) = self.key.clone() else {
            // Nobody has led yet.
            return Ok(());
        };
        if self.believed.is_none()
            && let Some(kept) = read(app, STATEMENT).await?
        {
            self.believed = Some(Merged::open(&kept, &key).map_err(other)?);
        }
        self.state(app, &key).await?;
        self.believe(app, &key).await
    }

    /// Says how far the own log is signed for, if that is news.
    async fn publish(&mut self, app: &App) -> Result<(), Failure> {
        let journal = app.journal.clone();
        let note = tokio::task::spawn_blocking(move || journal.checkpoint()).await;
        let Some(note) = note.map_err(other)?.map_err(other)? else {
            return Ok(());
        };
        if self.published.as_ref() == Some(&note) {
            return Ok(());
        }
        let key: VerifierKey = app.journal.verifier_key().parse().map_err(other)?;
        let own = LogCheckpointRow {
            origin: key.name().to_owned(),
            verifier_key: key.to_string(),
            note: note.clone(),
            published: (app.clock)().as_micros(),
        };
        let logged = Logged {
            own: Some(own),
            merged: None,
        };
        settle(app, None, logged).await?;
        self.published = Some(note);
        Ok(())
    }

    /// The key of the statements. Whoever leads and finds none makes it. One that was pinned here is never changed for another.
    async fn identity(&self, app: &App, pinned: Option<String>) -> Result<Option<VerifierKey>, Failure> {
        let stored = app.store.resource(Kind::Setting, SETTING).await?;
        let stored = match stored {
            Some(row) => row.document,
            None if app.store.lead().is_some() => make(app).await?,
            None => return Ok(None),
        };
        let identity: Identity = serde_json::from_str(&stored).map_err(other)?;
        let key: VerifierKey = identity.verifier_key.parse().map_err(other)?;
        match pinned {
            Some(pinned) if pinned.trim() != key.to_string() => {
                app.merged.faults.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Other(
                    "the store names another key for the statement over all logs than before".to_owned(),
                ))
            }
            Some(_) => Ok(Some(key)),
            None => {
                write(app, VERIFIER, &format!("{key}\n")).await?;
                Ok(Some(key))
            }
        }
    }

    /// Makes the next statement, if this server leads and some log went on.
    async fn state(&mut self, app: &App, key: &VerifierKey) -> Result<(), Failure> {
        let Some(lead) = app.store.lead() else {
            return Ok(());
        };
        let before = match app.store.merged_checkpoint().await? {
            Some(row) => self.believable(app, &row.note, key),
            None => self.believed.clone(),
        };
        let before = before.unwrap_or_else(|| Merged::first(key.name()));
        let mut said = Vec::new();
        for row in app.store.log_checkpoints().await? {
            match row
                .verifier_key
                .parse()
                .map_err(other)
                .and_then(|key| Stated::of(&row.note, key).map_err(other))
            {
                Ok(stated) => said.push(stated),
                Err(why) => self.tell(app, format!("`{}`: {why}", row.origin)),
            }
        }
        let (next, faults) = before.next(&said);
        for fault in faults {
            self.tell(app, fault.to_string());
        }
        let Some(next) = next else { return Ok(()) };
        if self.signer.is_none() {
            let master = app.master.hold().await;
            let sealed = app.store.sealed_key(&sealed_as(key)).await?;
            let sealed = sealed.ok_or_else(|| other("the key of the statement is not in the store"))?;
            self.signer = Some(LogSigner::open(&master, key.name(), &sealed).map_err(other)?);
        }
        let signer = self.signer.as_ref().ok_or_else(|| other("there is no signer"))?;
        let signature = signer.sign(&next.text()).map_err(other)?;
        let merged = MergedRow {
            number: i64::try_from(next.number()).map_err(other)?,
            note: next.note(key, &signature),
        };
        let logged = Logged {
            own: None,
            merged: Some(merged),
        };
        settle(app, Some(lead), logged).await
    }

    /// Keeps the newest statement beside the journal, unless it takes something back.
    async fn believe(&mut self, app: &App, key: &VerifierKey) -> Result<(), Failure> {
        let Some(row) = app.store.merged_checkpoint().await? else {
            return Ok(());
        };
        let before = self.believed.clone();
        let now = self.believable(app, &row.note, key);
        if now != before {
            write(app, STATEMENT, &row.note).await?;
            self.believed = now;
        }
        let number = self.believed.as_ref().map_or(0, Merged::number);
        app.merged.number.store(number, Ordering::Relaxed);
        Ok(())
    }

    /// What this note says, or what was believed before if it takes something of that back.
    fn believable(&mut self, app: &App, note: &str, key: &VerifierKey) -> Option<Merged> {
        let now = match Merged::open(note, key) {
            Ok(now) => now,
            Err(why) => {
                self.tell(app, format!("the statement in the store: {why}"));
                return self.believed.clone();
            }
        };
        match self.believed.as_ref().map(|before| now.follows(before)) {
            None | Some(Ok(())) => Some(now),
            Some(Err(why)) => {
                self.tell(app, format!("the statement in the store: {why}"));
                self.believed.clone()
            }
        }
    }

    /// Something went back. Said once, and counted.
    fn tell(&mut self, app: &App, fault: String) {
        if self.told.len() >= MOST_TOLD {
            self.told.clear();
        }
        if !self.told.contains(&fault) {
            tracing::error!(
                fault,
                "a log of a server, or the statement over all of them, is not what it was"
            );
            app.merged.faults.fetch_add(1, Ordering::Relaxed);
            self.told.insert(fault);
        }
    }
}

/// Under what name the key of the statements is sealed.
fn sealed_as(key: &VerifierKey) -> String {
    format!("{SEALED}{}", key.name())
}

/// What the name of a sealed key of a log begins with; the log's name follows.
pub(crate) const SEALED: &str = "log/";

async fn settle(app: &App, lead: Option<Lead>, logged: Logged) -> Result<(), Failure> {
    let settlement = Settlement {
        lead,
        cursor: None,
        found: Found::Logs(logged),
    };
    Ok(app.store.settle(settlement).await?)
}

/// Makes the key of the statements; what the setting says then, by whomever.
async fn make(app: &App) -> Result<String, Failure> {
    let mut name = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut name).map_err(other)?;
    let origin = format!("binauthz/merged/{}", hex::encode(name));
    let signer = LogSigner::generate().map_err(other)?;
    let key = VerifierKey::new(&origin, signer.public()).map_err(other)?;
    let identity = Identity {
        verifier_key: key.to_string(),
    };
    let document = serde_json::to_string(&identity).map_err(other)?;
    let master = app.master.hold().await;
    let changes = vec![
        // Of two that come at once one finds this taken.
        Change::Insert(NewResource {
            kind: Kind::Setting,
            name: SETTING.to_owned(),
            parent: String::new(),
            document: document.clone(),
        }),
        Change::PutSealedKey {
            name: sealed_as(&key),
            sealed: signer.seal(&master, &origin).map_err(other)?,
        },
    ];
    let audit = AuditRow {
        sequence: 0,
        time: (app.clock)().as_micros(),
        principal: "system:binauthz".to_owned(),
        method: "binauthz.MergeLogs".to_owned(),
        resource: SETTING.to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    };
    match app.store.commit(Commit { audit, changes }).await {
        Ok(_) => Ok(document),
        Err(CommitError::AlreadyExists { .. }) => {
            let stored = app.store.resource(Kind::Setting, SETTING).await?;
            stored
                .map(|row| row.document)
                .ok_or_else(|| other("the setting is gone again"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn read(app: &App, name: &'static str) -> Result<Option<String>, Failure> {
    let path = app.journal.folder().join(name);
    let text = tokio::task::spawn_blocking(move || audit::read_text(&path)).await;
    text.map_err(other)?.map_err(other)
}

async fn write(app: &App, name: &'static str, text: &str) -> Result<(), Failure> {
    let (folder, text) = (app.journal.folder().to_owned(), text.to_owned());
    let written = tokio::task::spawn_blocking(move || audit::publish(&folder, name, &text)).await;
    written.map_err(other)?.map_err(other)
}

/// The newest statement that is kept beside the journal, and the key that it verifies under. Blocks on the disk.
pub(crate) fn kept(folder: &Path) -> std::io::Result<Option<(String, String)>> {
    let statement = audit::read_text(&folder.join(STATEMENT))?;
    let key = audit::read_text(&folder.join(VERIFIER))?;
    Ok(statement.zip(key).map(|(statement, key)| (statement + "\n", key)))
}

/// Puts the checkpoint that this server published in the place of one that says less, before its journal is opened: a journal that
/// is an older copy of itself is known by it, and not gone on with.
pub(crate) async fn remember(folder: &Path, store: &Store) -> Result<(), Unavailable> {
    if !store.is_shared() {
        return Ok(());
    }
    let Ok(Some(origin)) = audit::origin(folder) else {
        return Ok(());
    };
    let Some(row) = store.log_checkpoint(&origin).await? else {
        return Ok(());
    };
    let Ok(key) = row.verifier_key.parse::<VerifierKey>() else {
        return Ok(());
    };
    let size = |note: &str| Checkpoint::open(note, &key).map_or(0, |checkpoint| checkpoint.size);
    let own = audit::published(folder).ok().flatten();
    if size(&row.note) > own.as_deref().map_or(0, size)
        && let Err(error) = audit::publish(folder, audit::CHECKPOINT, &row.note)
    {
        tracing::warn!(%error, "the checkpoint that this server published could not be put beside its journal");
    }
    Ok(())
}
