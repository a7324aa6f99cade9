//! The job that carries out scheduled destructions.
//!
//! A version whose time has come is refused at once, whoever asks; this job is what makes its key material go.

use std::sync::Arc;
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_keyring::{Destruction, Token};
use binauthz_store::{AuditRow, Change, Commit, CommitError, Kind, ListQuery, MAX_ROWS, Store};

use super::super::error::ApiError;
use super::version::Version;
use crate::app::App;
use crate::listen::Shutdown;

/// The shortest delay of a destruction is a day; ten minutes later than promised is a hundredth of it.
const INTERVAL: Duration = Duration::from_secs(600);
/// How soon a server that does not lead looks whether it does by now.
const UNTIL_LED: Duration = Duration::from_secs(60);

/// Looks for versions whose time has come, from the start of the server until its shutdown.
pub(crate) async fn destroy_as_scheduled(app: Arc<App>, mut shutdown: Shutdown) {
    loop {
        // One server does it for all; each change says what it has read, so two would do no harm.
        let led = app.store.lead().is_some();
        let destroyed = match led {
            true => destroy_due(&app.store, app.token.as_ref(), (app.clock)()).await,
            false => Ok(0),
        };
        match destroyed {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "key versions were destroyed as scheduled"),
            Err(error) => tracing::error!(
                error = error.message(),
                "scheduled destructions were not carried out"
            ),
        }
        tokio::select! {
            () = shutdown.begun() => return,
            () = tokio::time::sleep(if led { INTERVAL } else { UNTIL_LED }) => {}
        }
    }
}

/// Deletes the sealed keys of the versions whose time has come, each with an audit row. Returns how many there were.
async fn destroy_due(store: &Store, token: Option<&Arc<Token>>, now: UnixTime) -> Result<usize, ApiError> {
    let mut count = 0;
    let mut after = None;
    loop {
        let query = ListQuery {
            kind: Kind::CryptoKeyVersion,
            parent: String::new(),
            after,
            limit: MAX_ROWS,
        };
        let rows = store.list(&query).await?;
        after = rows.last().map(|row| row.name.clone());
        for row in rows {
            let mut version = Version::of(row)?;
            let Destruction::Due(destroyed) = version.document.destruction(now) else {
                continue;
            };
            let name = version.row.name.clone();
            let kept = match version.document.token_key.clone() {
                None => Some(Change::DeleteSealedKey { name: name.clone() }),
                // First, so that a version that is destroyed has no key anywhere. One that cannot be destroyed now is
                // refused all the same, and tried again in the next round.
                Some(label) => match destroy_in_token(token, label).await {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::error!(error, name, "a private key stays in the token beyond its time");
                        continue;
                    }
                },
            };
            let changes = [version.change_to(destroyed)?].into_iter().chain(kept).collect();
            match store
                .commit(Commit {
                    audit: audit_row(&name, now),
                    changes,
                })
                .await
            {
                Ok(_) => count += 1,
                // Restored at the last moment: the next round sees what it is now.
                Err(CommitError::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if after.is_none() {
            return Ok(count);
        }
    }
}

async fn destroy_in_token(token: Option<&Arc<Token>>, label: String) -> Result<(), String> {
    let token = Arc::clone(token.ok_or("there is no token: `pkcs11` is missing in the configuration file")?);
    let destroyed = tokio::task::spawn_blocking(move || token.destroy(&label)).await;
    destroyed
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

fn audit_row(name: &str, now: UnixTime) -> AuditRow {
    AuditRow {
        sequence: 0,
        time: now.as_micros(),
        principal: "system:binauthz".to_owned(),
        method: "cloudkms.ScheduledDestruction".to_owned(),
        resource: name.to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use binauthz_keyring::{DestroyDelay, KeyAlgorithm, Lifecycle};
    use binauthz_store::{AuditOrder, AuditQuery, NewResource};

    use super::super::version::VersionDocument;
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
    const NAME: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/";

    async fn commit(store: &Store, changes: Vec<Change>) {
        store
            .commit(Commit {
                audit: audit_row("set-up", NOW),
                changes,
            })
            .await
            .unwrap();
    }

    /// A stored version in the state that `lifecycle` says, with a sealed key.
    async fn put(store: &Store, number: u32, lifecycle: Lifecycle) -> String {
        let name = format!("{NAME}{number}");
        let document = VersionDocument::new(KeyAlgorithm::EcSignP256Sha256, "pem".to_owned(), b"der");
        let resource = NewResource {
            kind: Kind::CryptoKeyVersion,
            name: name.clone(),
            parent: "parent".to_owned(),
            document: serde_json::to_string(&document).unwrap(),
        };
        let sealed = Change::PutSealedKey {
            name: name.clone(),
            sealed: vec![1; 40],
        };
        commit(store, vec![Change::Insert(resource), sealed]).await;
        let row = store
            .resource(Kind::CryptoKeyVersion, &name)
            .await
            .unwrap()
            .unwrap();
        commit(
            store,
            vec![Version::of(row).unwrap().change_to(lifecycle).unwrap()],
        )
        .await;
        name
    }

    #[tokio::test]
    async fn only_versions_whose_time_has_come_lose_their_keys() {
        let store = Store::open_in_memory().unwrap();
        let scheduled = Lifecycle::Enabled
            .schedule_destruction(NOW.as_micros(), DestroyDelay::MIN)
            .unwrap();
        let enabled = put(&store, 1, Lifecycle::Enabled).await;
        let due = put(&store, 2, scheduled).await;
        let day_later = UnixTime::from_seconds(NOW.as_seconds() + 86_400);
        let almost = UnixTime::from_micros(day_later.as_micros() - 1);

        assert_eq!(destroy_due(&store, None, almost).await.unwrap(), 0);
        assert!(store.sealed_key(&due).await.unwrap().is_some());
        assert_eq!(destroy_due(&store, None, day_later).await.unwrap(), 1);
        assert!(store.sealed_key(&due).await.unwrap().is_none());
        assert!(store.sealed_key(&enabled).await.unwrap().is_some());
        assert_eq!(
            destroy_due(&store, None, day_later).await.unwrap(),
            0,
            "once is enough"
        );

        let row = store
            .resource(Kind::CryptoKeyVersion, &due)
            .await
            .unwrap()
            .unwrap();
        let shown = Version::of(row).unwrap().shown(day_later);
        assert_eq!(shown["state"], "DESTROYED");
        assert_eq!(shown["destroyEventTime"], "2027-01-16T08:00:00Z");
        let audit = store
            .audit_rows(&AuditQuery {
                order: AuditOrder::NewestFirst,
                beyond: None,
                limit: 10,
            })
            .await
            .unwrap();
        assert!(
            audit
                .iter()
                .any(|row| row.method == "cloudkms.ScheduledDestruction" && row.resource == due)
        );
    }

    #[tokio::test]
    async fn a_version_whose_time_has_come_is_destroyed_before_the_job_runs() {
        let store = Store::open_in_memory().unwrap();
        let scheduled = Lifecycle::Disabled
            .schedule_destruction(NOW.as_micros(), DestroyDelay::MIN)
            .unwrap();
        let name = put(&store, 1, scheduled).await;
        let row = store
            .resource(Kind::CryptoKeyVersion, &name)
            .await
            .unwrap()
            .unwrap();
        let version = Version::of(row).unwrap();
        let due = UnixTime::from_seconds(NOW.as_seconds() + 86_400);
        assert_eq!(version.shown(NOW)["state"], "DESTROY_SCHEDULED");
        assert_eq!(version.shown(due)["state"], "DESTROYED");
        assert!(version.lifecycle(due).permit_signing(&name).is_err());
    }
}
