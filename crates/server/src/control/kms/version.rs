//! A stored version of a key: its document, its state at a point in time, its JSON.

use binauthz_core::name::{CryptoKeyName, KeyVersionName, VersionNumber};
use binauthz_core::time::UnixTime;
use binauthz_keyring::{Destruction, KeyAlgorithm, Lifecycle};
use binauthz_store::{Change, Kind, ListQuery, Resource};
use binauthz_wire::cloudkms::{self, CryptoKeyVersion, ProtectionLevel};
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::error::ApiError;
use super::{crypto_keys, damaged, stored};
use crate::app::App;

/// Versions of one key. A list reads them all, because their names do not sort like their numbers: 1 000 of 2 KB are 2 MB.
pub(super) const MAX_VERSIONS: u32 = 1_000;

/// What is stored of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct VersionDocument {
    pub(super) algorithm: String,
    state: State,
    pub(super) public_key_pem: String,
    pub(super) public_key_der: String,
    /// The label of the private key in the token, if it lives there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_key: Option<String>,
}

impl VersionDocument {
    /// A version whose key was just made.
    pub(super) fn new(algorithm: KeyAlgorithm, public_key_pem: String, public_key_der: &[u8]) -> Self {
        let (algorithm, public_key_der) = (algorithm.name().to_owned(), hex::encode(public_key_der));
        Self {
            algorithm,
            state: State::Enabled,
            public_key_pem,
            public_key_der,
            token_key: None,
        }
    }

    /// The same, whose private key lives in the token under this label.
    pub(super) fn in_token(self, label: &str) -> Self {
        let token_key = Some(label.to_owned());
        Self { token_key, ..self }
    }

    /// Where the private key lives.
    pub(super) fn protection(&self) -> ProtectionLevel {
        match self.token_key {
            Some(_) => ProtectionLevel::Hsm,
            None => ProtectionLevel::Software,
        }
    }

    /// Whether its time has come although the stored state does not say so yet.
    pub(super) fn destruction(&self, now: UnixTime) -> Destruction {
        self.state.lifecycle().destruction(now.as_micros())
    }
}

/// The stored form of [`Lifecycle`]. A version is stored when its key exists, so generation has no form here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum State {
    Enabled,
    Disabled,
    #[serde(rename_all = "camelCase")]
    DestroyScheduled {
        destroy_time_micros: i64,
    },
    #[serde(rename_all = "camelCase")]
    Destroyed {
        destroyed_micros: i64,
    },
}

impl State {
    fn lifecycle(self) -> Lifecycle {
        match self {
            State::Enabled => Lifecycle::Enabled,
            State::Disabled => Lifecycle::Disabled,
            State::DestroyScheduled { destroy_time_micros } => {
                Lifecycle::DestroyScheduled { destroy_time_micros }
            }
            State::Destroyed { destroyed_micros } => Lifecycle::Destroyed { destroyed_micros },
        }
    }

    /// None for the states before a key exists.
    fn of(lifecycle: Lifecycle) -> Option<State> {
        match lifecycle {
            Lifecycle::Enabled => Some(State::Enabled),
            Lifecycle::Disabled => Some(State::Disabled),
            Lifecycle::DestroyScheduled { destroy_time_micros } => {
                Some(State::DestroyScheduled { destroy_time_micros })
            }
            Lifecycle::Destroyed { destroyed_micros } => Some(State::Destroyed { destroyed_micros }),
            Lifecycle::PendingGeneration | Lifecycle::GenerationFailed => None,
        }
    }
}

/// A stored version, read.
pub(super) struct Version {
    pub(super) row: Resource,
    pub(super) document: VersionDocument,
    pub(super) algorithm: KeyAlgorithm,
}

impl Version {
    pub(super) fn of(row: Resource) -> Result<Version, ApiError> {
        let document: VersionDocument =
            serde_json::from_str(&row.document).map_err(|problem| damaged(&row.name, &problem))?;
        let algorithm = KeyAlgorithm::from_name(&document.algorithm)
            .ok_or_else(|| damaged(&row.name, &document.algorithm))?;
        Ok(Version {
            row,
            document,
            algorithm,
        })
    }

    /// The state as of `now`: a version whose time has come is destroyed, even while its sealed key awaits the job that
    /// deletes it.
    pub(super) fn lifecycle(&self, now: UnixTime) -> Lifecycle {
        match self.document.destruction(now) {
            Destruction::Due(destroyed) => destroyed,
            Destruction::NotDue => self.document.state.lifecycle(),
        }
    }

    pub(super) fn shown(&self, now: UnixTime) -> serde_json::Value {
        let lifecycle = self.lifecycle(now);
        let scheduled = match (self.document.state, lifecycle) {
            (State::DestroyScheduled { destroy_time_micros }, _) => {
                Some(UnixTime::from_micros(destroy_time_micros))
            }
            _ => None,
        };
        let destroyed = match lifecycle {
            Lifecycle::Destroyed { destroyed_micros } => {
                Some(scheduled.unwrap_or(UnixTime::from_micros(destroyed_micros)))
            }
            _ => None,
        };
        cloudkms::write_version(&CryptoKeyVersion {
            name: &self.row.name,
            state: lifecycle.name(),
            algorithm: &self.document.algorithm,
            protection: self.document.protection(),
            created: UnixTime::from_micros(self.row.created),
            generated: Some(UnixTime::from_micros(self.row.created)),
            destroy_time: scheduled,
            destroyed,
        })
    }

    pub(super) fn change_to(&mut self, lifecycle: Lifecycle) -> Result<Change, ApiError> {
        self.document.state =
            State::of(lifecycle).ok_or_else(|| damaged(&self.row.name, &"a state before generation"))?;
        Ok(Change::Replace {
            kind: Kind::CryptoKeyVersion,
            name: self.row.name.clone(),
            document: serde_json::to_string(&self.document)
                .map_err(|problem| damaged(&self.row.name, &problem))?,
            expect: Some(self.row.revision),
        })
    }
}

/// The version of the path.
pub(super) async fn version_of(app: &App, call: &Call) -> Result<Version, ApiError> {
    let key = crypto_keys::name_of(call)?;
    let name = version_name(&key, call.param("number").parse()?);
    Version::of(stored(app, Kind::CryptoKeyVersion, name).await?)
}

pub(super) fn version_name(key: &CryptoKeyName, number: VersionNumber) -> KeyVersionName {
    let (project, location) = (key.project().clone(), key.location().clone());
    KeyVersionName::new(
        project,
        location,
        key.key_ring().clone(),
        key.crypto_key().clone(),
        number,
    )
}

/// All versions of a key, by number.
pub(super) async fn versions_of(app: &App, key: &str) -> Result<Vec<(VersionNumber, Resource)>, ApiError> {
    let query = ListQuery {
        kind: Kind::CryptoKeyVersion,
        parent: key.to_owned(),
        after: None,
        limit: MAX_VERSIONS,
    };
    let mut versions = Vec::new();
    for row in app.store.list(&query).await? {
        let name: KeyVersionName = row.name.parse()?;
        versions.push((*name.version(), row));
    }
    versions.sort_by_key(|(number, _)| *number);
    Ok(versions)
}
