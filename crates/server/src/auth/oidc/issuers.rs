//! The key sets of issuers: fetched in the background, kept while they can be fetched again, fetched early for a key that
//! nobody has seen, and that no more than once in ten seconds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use binauthz_core::name::ClusterName;
use binauthz_wire::json::{self, Limits, Value};
use reqwest::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Jws;
use super::keys::{Key, MAX_SET};
use crate::app::App;
use crate::listen::Shutdown;
use crate::settings::{Issuer, Proof};

/// From one fetch to the next; issuers announce a new key a day before its use.
const EVERY: Duration = Duration::from_secs(300);
/// Between fetches at the least, whoever wants one.
const AT_LEAST: Duration = Duration::from_secs(10);
/// How long a fetch may take, each of its two requests.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a caller with an unknown key waits for a fetch.
const WAIT: Duration = Duration::from_secs(6);
/// How long keys are used that could not be fetched again.
const OLDEST: Duration = Duration::from_secs(24 * 3_600);
/// A discovery document has some KB.
const DOCUMENT: Limits = Limits {
    bytes: 64 << 10,
    depth: 8,
    values: 2_000,
};

/// Everybody whose ID tokens are believed.
#[derive(Debug, Default)]
pub(crate) struct Issuers(Vec<Known>);

/// One issuer, and what shows that a token is its own.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) settings: Issuer,
    pub(super) against: Against,
}

/// What a token is held against.
#[derive(Debug)]
pub(super) enum Against {
    /// Keys that are fetched.
    Keys(Arc<KeySet>),
    /// The word of a cluster.
    Cluster(ClusterName),
}

/// Keys of one issuer.
#[derive(Debug)]
pub(super) struct KeySet {
    issuer: String,
    /// Where they are; found by discovery if absent.
    jwks_uri: Option<String>,
    client: Client,
    keys: ArcSwap<Fetched>,
    /// The last fetch.
    last: Mutex<Last>,
    /// How often a fetch has ended; whoever waits is told.
    ended: watch::Sender<u64>,
}

/// When a fetch was begun last, whether it goes on, and whether it was in vain.
#[derive(Debug, Default)]
struct Last {
    begun: Option<Instant>,
    goes_on: bool,
    failed: bool,
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has none of its id and algorithm.
    Unknown,
    /// It may have one: the keys could not be fetched.
    Unreachable,
}

#[derive(Debug, Default)]
struct Fetched {
    keys: Vec<Key>,
    at: Option<Instant>,
}

impl Fetched {
    fn is_fresh(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < OLDEST)
    }
}

/// Why an issuer cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Its authorities cannot be read.
    #[error("authorities of the issuer `{issuer}`: {why}")]
    Authorities {
        /// The issuer.
        issuer: String,
        /// What is wrong.
        why: String,
    },
}

impl Issuers {
    pub(crate) fn new(settings: &[Issuer]) -> Result<Issuers, IssuerError> {
        let known = |settings: &Issuer| {
            let against = match &settings.proof {
                Proof::Review(cluster) => Against::Cluster(cluster.clone()),
                Proof::Keys {
                    jwks_uri,
                    authorities,
                } => Against::Keys(Arc::new(KeySet {
                    issuer: settings.issuer.clone(),
                    jwks_uri: jwks_uri.clone(),
                    client: client(authorities.as_deref()).map_err(|why| IssuerError::Authorities {
                        issuer: settings.issuer.clone(),
                        why,
                    })?,
                    keys: ArcSwap::default(),
                    last: Mutex::default(),
                    ended: watch::Sender::new(0),
                })),
            };
            Ok(Known {
                settings: settings.clone(),
                against,
            })
        };
        settings.iter().map(known).collect::<Result<_, _>>().map(Issuers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn named(&self, issuer: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.settings.issuer == issuer)
    }
}

/// A client that follows nothing and uses no proxy it was not told about.
fn client(authorities: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(PATIENCE)
        .user_agent(concat!("binauthz/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = authorities {
        let pem = std::fs::read(path).map_err(|why| format!("`{}`: {why}", path.display()))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|why| why.to_string())?;
        if roots.is_empty() {
            return Err(format!("`{}` has no certificate", path.display()));
        }
        builder = builder.tls_certs_only(roots);
    }
    builder.build().map_err(|why| why.to_string())
}

impl KeySet {
    /// The key that a token names. For one that is not there the keys are fetched again, if they were not just now.
    pub(super) async fn key(self: &Arc<Self>, jws: &Jws<'_>) -> Result<Key, NoKey> {
        let mut ended = self.ended.subscribe();
        if let Some(key) = self.find(jws) {
            return Ok(key);
        }
        // A task of its own: a caller who goes away does not end it for the others who wait.
        let keys = Arc::clone(self);
        let fetch = tokio::spawn(async move { keys.fetch().await });
        let _ = tokio::time::timeout(WAIT, async {
            if fetch.await.unwrap_or(false) {
                return;
            }
            // Somebody else's may be under way; if none is, there is nothing to wait for.
            if self.last().goes_on {
                let _ = ended.changed().await;
            }
        })
        .await;
        self.find(jws).ok_or_else(|| self.why_none())
    }

    fn find(&self, jws: &Jws<'_>) -> Option<Key> {
        let fetched = self.keys.load();
        Key::of(&fetched.keys, jws)
            .filter(|_| fetched.is_fresh())
            .cloned()
    }

    /// Whether the issuer was heard, of which nobody who shows a token is to blame.
    fn why_none(&self) -> NoKey {
        let last = self.last();
        match last.failed || last.goes_on || !self.keys.load().is_fresh() {
            true => NoKey::Unreachable,
            false => NoKey::Unknown,
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the keys, if nobody began to in the last seconds, in which any fetch ends; whether it did.
    async fn fetch(&self) -> bool {
        {
            let mut last = self.last();
            if last.begun.is_some_and(|begun| begun.elapsed() < AT_LEAST) {
                return false;
            }
            last.begun = Some(Instant::now());
            last.goes_on = true;
        }
        let issuer = &self.issuer;
        let fetched = self.fetched().await;
        let failed = fetched.is_err();
        match fetched {
            Ok(keys) => {
                let at = Some(Instant::now());
                self.keys.store(Arc::new(Fetched { keys, at }));
            }
            Err(why) => tracing::warn!(
                issuer,
                why,
                "the keys of an issuer of ID tokens cannot be fetched"
            ),
        }
        {
            let mut last = self.last();
            (last.goes_on, last.failed) = (false, failed);
        }
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
        true
    }

    async fn fetched(&self) -> Result<Vec<Key>, String> {
        let address = match &self.jwks_uri {
            Some(address) => address.clone(),
            None => self.discovered().await?,
        };
        let document = self.get(&address, MAX_SET).await?;
        Key::read_set(&document).map_err(|why| why.to_string())
    }

    /// Where the keys are, by the issuer's own word (OpenID Connect Discovery 1.0).
    async fn discovered(&self) -> Result<String, String> {
        let issuer = &self.issuer;
        let base = issuer.trim_end_matches('/');
        let document = self
            .get(
                &format!("{base}/.well-known/openid-configuration"),
                DOCUMENT.bytes,
            )
            .await?;
        let document = json::parse(&document, DOCUMENT).map_err(|why| why.to_string())?;
        let text = |name: &str| document.member(name).and_then(Value::as_str).unwrap_or_default();
        if text("issuer") != issuer {
            return Err("the discovery document is of another issuer".to_owned());
        }
        let address = text("jwks_uri");
        let is_as_safe = address.starts_with("https://") || issuer.starts_with("http://");
        match is_as_safe && !address.is_empty() {
            true => Ok(address.to_owned()),
            false => Err("`jwks_uri` of the discovery document is no `https://` address".to_owned()),
        }
    }

    async fn get(&self, address: &str, most: usize) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let mut response = self.client.get(address).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer was {}", response.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            document.extend_from_slice(&chunk);
            if document.len() > most {
                return Err(format!("the answer has more than {most} bytes"));
            }
        }
        Ok(document)
    }
}

/// Keeps the keys of every issuer, until the shutdown.
pub(crate) async fn keep_keys(app: Arc<App>, mut shutdown: Shutdown) {
    if app.issuers.is_empty() {
        return;
    }
    let mut clock = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = clock.tick() => {}
        }
        for known in &app.issuers.0 {
            if let Against::Keys(keys) = &known.against {
                keys.fetch().await;
            }
        }
    }
}
