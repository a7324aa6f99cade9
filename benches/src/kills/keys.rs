//! The lives of keys, which go one way: what was answered or seen is never taken back.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::facts::{STATES, Version};
use super::random;
use super::workers::{Came, RING, Storm, rest};

/// Versions of one key; it may have 1 000.
const VERSIONS: usize = 200;

/// Makes keys, signs with them, disables and destroys them.
pub(super) async fn keeper(storm: Arc<Storm>) {
    while storm.goes_on() {
        let Some(place) = storm.place() else {
            rest().await;
            continue;
        };
        let key = format!("{RING}/storm/cryptoKeys/k{}", storm.number());
        let id = key.rsplit('/').next().unwrap_or_default();
        let path = format!("{RING}/storm/cryptoKeys?cryptoKeyId={id}&skipInitialVersionCreation=true");
        let body = json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": "EC_SIGN_P256_SHA256" } });
        match storm.change(&place, ("POST", &path), &body).await {
            Came::Good(_) => {}
            Came::Refused(why) => return storm.fault("a key refused", &why),
            Came::Lost => continue,
        }
        for _ in 0..VERSIONS {
            if !storm.goes_on() {
                return;
            }
            live(&storm, &format!("{key}/cryptoKeyVersions")).await;
        }
    }
}

/// The life of a version of a key.
async fn live(storm: &Storm, versions: &str) {
    let Some(place) = storm.place() else {
        return rest().await;
    };
    let Came::Good(made) = storm.change(&place, ("POST", versions), &json!({})).await else {
        return rest().await;
    };
    let name = made["name"].as_str().unwrap_or_default().to_owned();
    let which = {
        let mut facts = storm.known();
        facts.versions.push(Version {
            name: name.clone(),
            least: 0,
            most: 0,
        });
        facts.versions.len() - 1
    };
    sign(storm, (&name, true)).await;
    let patch = format!("/v1/{name}?updateMask=state");
    if advance(storm, (which, 1), ("PATCH", &patch)).await {
        sign(storm, (&name, false)).await;
        if random(2) == 0 {
            let destroy = format!("/v1/{name}:destroy");
            advance(storm, (which, 2), ("POST", &destroy)).await;
        }
    }
}

/// A version that is known to be enabled signs, and one that is known not to be does not, whichever server is asked.
async fn sign(storm: &Storm, (name, is_enabled): (&str, bool)) {
    let Some(place) = storm.place() else { return };
    let body = json!({ "digest": { "sha256": STANDARD.encode([7; 32]) } });
    let path = format!("/v1/{name}:asymmetricSign");
    match (storm.change(&place, ("POST", &path), &body).await, is_enabled) {
        (Came::Good(_), true) => storm.made(name),
        (Came::Good(_), false) => storm.fault("a disabled key signed", name),
        (Came::Refused(why), true) => storm.fault("an enabled key refused to sign", &why),
        (Came::Refused(_), false) | (Came::Lost, _) => {}
    }
}

/// Brings a version into the next state, however often that has to be asked; whether it is there.
async fn advance(storm: &Storm, (which, state): (usize, usize), what: (&str, &str)) -> bool {
    let name = {
        let mut facts = storm.known();
        let Some(version) = facts.versions.get_mut(which) else {
            return false;
        };
        version.most = state;
        version.name.clone()
    };
    let body = match what.0 {
        "PATCH" => json!({ "state": STATES.get(state) }),
        _ => json!({}),
    };
    while storm.goes_on() {
        let Some(place) = storm.place() else {
            rest().await;
            continue;
        };
        if let Came::Good(_) = storm.change(&place, what, &body).await {
            storm.made(&name);
            if let Some(version) = storm.known().versions.get_mut(which) {
                version.least = state;
            }
            return true;
        }
        if storm.look(which).await == Some(state) {
            return true;
        }
        rest().await;
    }
    false
}

impl Storm {
    /// The state of a version as a server shows it, which must be one that it may be in.
    pub(super) async fn look(&self, which: usize) -> Option<usize> {
        let place = self.place()?;
        let before = self.known().versions.get(which)?.clone();
        let path = format!("/v1/{}", before.name);
        let shown = match self.call(&place, ("GET", &path), &Value::Null).await {
            Came::Good(shown) => shown,
            Came::Refused(why) => {
                self.fault("a key that was acknowledged is not there", &why);
                return None;
            }
            Came::Lost => return None,
        };
        let state = STATES.iter().position(|name| shown["state"] == *name);
        let mut facts = self.known();
        let version = facts.versions.get_mut(which)?;
        let most = version.most;
        if let Some(state) = state {
            version.least = version.least.max(state);
        }
        drop(facts);
        match state {
            Some(state) if (before.least..=most).contains(&state) => self.count("key states seen"),
            _ => self.fault(
                "a key went back",
                &format!("{shown}, expected {:?} to {:?}", before.least, most),
            ),
        }
        state
    }
}
