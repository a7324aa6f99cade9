//! Channels as they are kept: what is secret of them is sealed apart from the rest, and opened for one use.

use binauthz_keyring::MasterKey;
use binauthz_store::{Kind, Store, Unavailable};
use binauthz_wire::json::{self, Limits, Value};
use binauthz_wire::monitoring::channel::{NotificationChannel, read_channel};

/// Secret labels and their values.
pub(crate) type Secrets = Vec<(String, String)>;

/// Why a channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// There is none of this name.
    #[error("the channel was deleted")]
    Gone,
    /// Its secrets cannot be opened.
    #[error("the secrets of `{name}`: {why}")]
    Sealed { name: String, why: String },
    /// What is kept of it cannot be read.
    #[error("what is kept of `{name}` cannot be read: {why}")]
    Unreadable { name: String, why: String },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// The secrets that are kept for a channel; none if there are none.
pub(crate) async fn secrets(store: &Store, master: &MasterKey, name: &str) -> Result<Secrets, Unusable> {
    let Some(sealed) = store.sealed_key(name).await? else {
        return Ok(Secrets::new());
    };
    let failed = |why: String| Unusable::Sealed {
        name: name.to_owned(),
        why,
    };
    let clear = master
        .open_secret(name, &sealed)
        .map_err(|why| failed(why.to_string()))?;
    serde_json::from_slice(&clear).map_err(|_| failed("they are not in a known format".to_owned()))
}

/// A channel with its secrets revealed, for one attempt.
pub(crate) async fn channel(
    store: &Store,
    master: &MasterKey,
    name: &str,
) -> Result<NotificationChannel, Unusable> {
    let row = store.resource(Kind::NotificationChannel, name).await?;
    let unreadable = |why: String| Unusable::Unreadable {
        name: name.to_owned(),
        why,
    };
    let document = row.ok_or(Unusable::Gone)?.document;
    let content = content(&document).map_err(unreadable)?;
    let mut channel = read_channel(content).map_err(|why| unreadable(why.to_string()))?;
    let secrets = secrets(store, master, name).await?;
    channel
        .reveal_secrets(&secrets)
        .map_err(|why| unreadable(why.to_string()))?;
    Ok(channel)
}

/// What a client wrote of a document that also says who wrote it.
pub(super) fn content(document: &str) -> Result<Value, String> {
    let document = json::parse(document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
    Ok(document.member("content").cloned().unwrap_or(Value::Null))
}
