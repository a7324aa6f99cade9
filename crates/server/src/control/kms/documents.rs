//! What is stored of a key and of a version, and how they are shown.

use binauthz_core::time::UnixTime;
use binauthz_keyring::{DestroyDelay, KeyAlgorithm, Lifecycle};
use binauthz_store::Resource;
use binauthz_wire::json::timestamp_out;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

use crate::control::error::ApiError;

/// A crypto key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct KeyDocument {
    pub(super) algorithm: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) destroy_delay_seconds: i64,
    /// The number the next version gets.
    pub(super) next_version: u32,
}

/// A key version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct VersionDocument {
    pub(super) algorithm: String,
    pub(super) public_pem: String,
    state: State,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum State {
    Enabled,
    Disabled,
    DestroyScheduled(i64),
    Destroyed(i64),
}

fn damaged(row: &Resource, why: impl std::fmt::Display) -> ApiError {
    tracing::error!(name = row.name, %why, "a stored key document cannot be read");
    ApiError::failed_precondition(format!("the stored document of `{}` cannot be read", row.name))
}

impl KeyDocument {
    pub(super) fn of(row: &Resource) -> Result<Self, ApiError> {
        serde_json::from_str(&row.document).map_err(|why| damaged(row, why))
    }

    pub(super) fn text(&self) -> String {
        json!(self).to_string()
    }

    pub(super) fn delay(&self) -> DestroyDelay {
        DestroyDelay::from_seconds(self.destroy_delay_seconds).unwrap_or(DestroyDelay::DEFAULT)
    }

    pub(super) fn algorithm(&self) -> Result<KeyAlgorithm, ApiError> {
        algorithm(&self.algorithm)
    }

    pub(super) fn shown(&self, name: &str, created: UnixTime) -> serde_json::Value {
        let mut value = json!({
            "name": name,
            "purpose": "ASYMMETRIC_SIGN",
            "createTime": timestamp_out(created),
            "versionTemplate": { "algorithm": self.algorithm, "protectionLevel": "SOFTWARE" },
            "destroyScheduledDuration": format!("{}s", self.destroy_delay_seconds),
        });
        if !self.labels.is_empty() {
            value["labels"] = json!(self.labels);
        }
        value
    }
}

fn algorithm(name: &str) -> Result<KeyAlgorithm, ApiError> {
    KeyAlgorithm::from_name(name)
        .ok_or_else(|| ApiError::failed_precondition(format!("algorithm `{name}` is not known to this version")))
}

impl VersionDocument {
    pub(super) fn new(algorithm: KeyAlgorithm, public_pem: String) -> Self {
        Self { algorithm: algorithm.name().to_owned(), public_pem, state: State::Enabled }
    }

    pub(super) fn of(row: &Resource) -> Result<Self, ApiError> {
        serde_json::from_str(&row.document).map_err(|why| damaged(row, why))
    }

    pub(super) fn text(&self) -> String {
        json!(self).to_string()
    }

    pub(super) fn algorithm(&self) -> Result<KeyAlgorithm, ApiError> {
        algorithm(&self.algorithm)
    }

    /// The state as the keyring knows it. A destruction that is due has happened, whoever looks.
    pub(super) fn lifecycle(&self, now: UnixTime) -> Lifecycle {
        let stored = match self.state {
            State::Enabled => Lifecycle::Enabled,
            State::Disabled => Lifecycle::Disabled,
            State::DestroyScheduled(destroy_time_micros) => Lifecycle::DestroyScheduled { destroy_time_micros },
            State::Destroyed(destroyed_micros) => Lifecycle::Destroyed { destroyed_micros },
        };
        match stored.destruction(now.as_micros()) {
            binauthz_keyring::Destruction::Due(destroyed) => destroyed,
            binauthz_keyring::Destruction::NotDue => stored,
        }
    }

    /// Whether the key material has to be deleted although the stored state does not say so yet.
    pub(super) fn is_overdue(&self, now: UnixTime) -> bool {
        matches!(self.state, State::DestroyScheduled(_)) && matches!(self.lifecycle(now), Lifecycle::Destroyed { .. })
    }

    pub(super) fn with(mut self, lifecycle: Lifecycle) -> Self {
        self.state = match lifecycle {
            Lifecycle::Enabled => State::Enabled,
            Lifecycle::DestroyScheduled { destroy_time_micros } => State::DestroyScheduled(destroy_time_micros),
            Lifecycle::Destroyed { destroyed_micros } => State::Destroyed(destroyed_micros),
            // A version is stored only once its key exists; anything else is not usable.
            Lifecycle::Disabled | Lifecycle::PendingGeneration | Lifecycle::GenerationFailed => State::Disabled,
        };
        self
    }

    pub(super) fn shown(&self, name: &str, created: UnixTime, now: UnixTime) -> serde_json::Value {
        let lifecycle = self.lifecycle(now);
        let mut value = json!({
            "name": name,
            "state": lifecycle.name(),
            "createTime": timestamp_out(created),
            "generateTime": timestamp_out(created),
            "protectionLevel": "SOFTWARE",
            "algorithm": self.algorithm,
        });
        match lifecycle {
            Lifecycle::DestroyScheduled { destroy_time_micros } => {
                value["destroyTime"] = timestamp_out(UnixTime::from_micros(destroy_time_micros)).into();
            }
            Lifecycle::Destroyed { destroyed_micros } => {
                value["destroyEventTime"] = timestamp_out(UnixTime::from_micros(destroyed_micros)).into();
            }
            _ => {}
        }
        value
    }
}
