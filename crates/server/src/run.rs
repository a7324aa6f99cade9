//! From settings to three listeners, and back down in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use binauthz_registry::Registries;
use binauthz_store::{Kind, ListQuery, OpenError, Store, Unavailable};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::sync::Semaphore;

use crate::admission::{Counters, Proofs, Snapshots};
use crate::app::{ADMISSIONS, App, GENERATIONS, system_clock};
use crate::audit::{Journal, JournalSettings, OpenJournalError};
use crate::files::{self, FileError};
use crate::listen::{self, Certificates, CertificatesError, Limits, Listener, TlsError};
use crate::settings::Settings;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database.
    #[error("cannot open the store: {0}")]
    Store(#[from] OpenError),
    /// The database, once open.
    #[error("cannot read the store: {0}")]
    Read(#[from] Unavailable),
    /// The verdict journal.
    #[error(transparent)]
    Journal(#[from] OpenJournalError),
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The registry client.
    #[error("cannot set up the registry client: {0}")]
    Registry(String),
    /// An address is taken or not ours.
    #[error("cannot listen on {address} for the {what}: {source}")]
    Listen {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The operating system gave no signal handler.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

/// Serves until SIGTERM or SIGINT, then drains. Needs a default TLS provider in the process.
///
/// # Errors
/// [`StartError`]; once started, it ends well.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let (trigger, shutdown) = listen::shutdown();
    warm_randomness();
    let data_dir = settings.data_dir.clone();
    files::prepare(&data_dir)?;
    let certificates = Arc::new(Certificates::open(&data_dir, &settings.server_names, SystemTime::now())?);
    let webhook_tls = match &settings.webhook_client_authorities {
        Some(authorities) => listen::require_client_certificates(certificates.clone(), authorities)?,
        None => listen::server_config(certificates.clone())?,
    };
    let api_tls = if settings.dev { None } else { Some(listen::server_config(certificates.clone())?) };
    let app = Arc::new(build(settings)?);
    let api = bind("API", app.settings.api_listen, api_tls).await?;
    let webhook = bind("webhook", app.settings.webhook_listen, Some(webhook_tls)).await?;
    let health = bind("health", app.settings.health_listen, None).await?;
    announce(&data_dir, &app, [&api, &webhook, &health])?;
    say_what_is_enforced(&app).await?;
    tokio::spawn(Arc::clone(&certificates).keep_fresh(shutdown.clone()));
    let servers = [
        tokio::spawn(listen::serve(api, service(&app, control), shutdown.clone())),
        tokio::spawn(listen::serve(webhook, service(&app, admission), shutdown.clone())),
        tokio::spawn(listen::serve(health, service(&app, crate::health::answer), shutdown)),
    ];
    wait_for_signal().await?;
    tracing::info!("shutting down");
    trigger.begin();
    for server in servers {
        let _ = server.await;
    }
    Ok(())
}

fn build(settings: Settings) -> Result<App, StartError> {
    let folder = settings.data_dir.clone();
    let registries =
        Registries::new(settings.registries.clone()).map_err(|error| StartError::Registry(error.to_string()))?;
    Ok(App {
        store: Store::open(&folder.join("binauthz.db"))?,
        admin_token: files::admin_token(&folder)?,
        master_key: files::master_key(&folder)?,
        registries,
        journal: Journal::open(&folder.join("journal"), JournalSettings::default())?,
        snapshots: Snapshots::new(),
        proofs: Proofs::new(),
        counters: Counters::new(),
        generations: Semaphore::new(GENERATIONS),
        admissions: Semaphore::new(ADMISSIONS),
        clock: system_clock,
        settings,
    })
}

/// The first random bytes of a process cost tens of milliseconds; the first caller shall not wait for them.
fn warm_randomness() {
    std::thread::spawn(|| {
        let _ = aws_lc_rs::rand::fill(&mut [0; 1]);
    });
}

async fn bind(
    what: &'static str,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Listener, StartError> {
    let failed = |source| StartError::Listen { what, address, source };
    Listener::bind(address, tls, Limits::default()).await.map_err(failed)
}

/// Writes `addresses.json`: whoever waits for the server waits for this file.
fn announce(folder: &Path, app: &App, listeners: [&Listener; 3]) -> Result<(), StartError> {
    let mut addresses = serde_json::Map::new();
    let api_scheme = if app.settings.dev { "http" } else { "https" };
    let named = [("api", api_scheme), ("webhook", "https"), ("health", "http")];
    for ((name, scheme), listener) in named.into_iter().zip(listeners) {
        let address = listener.local_address().map_err(|source| StartError::Listen {
            what: name,
            address: app.settings.api_listen,
            source,
        })?;
        tracing::info!(listener = name, %address, "listening");
        addresses.insert(name.to_owned(), format!("{scheme}://{address}").into());
    }
    files::publish(&folder.join("addresses.json"), &serde_json::Value::Object(addresses).to_string())?;
    Ok(())
}

/// A fresh installation protects nothing, and must not look as if it did.
async fn say_what_is_enforced(app: &App) -> Result<(), StartError> {
    let query = ListQuery { kind: Kind::Policy, parent: String::new(), after: None, limit: 1 };
    if app.store.list(&query).await?.is_empty() && !app.settings.require_policy {
        tracing::warn!("nothing is enforced: no project has a policy; import one with `binauthz policy import`");
    }
    Ok(())
}

type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

fn control(app: Arc<App>, request: Request<Incoming>) -> Answer {
    Box::pin(async move { crate::control::handle(&app, request).await })
}

fn admission(app: Arc<App>, request: Request<Incoming>) -> Answer {
    Box::pin(async move { crate::admission::handle(&app, request).await })
}

/// A listener's service: the same function for every connection.
#[derive(Clone)]
struct Answering {
    app: Arc<App>,
    answer: fn(Arc<App>, Request<Incoming>) -> Answer,
}

impl hyper::service::Service<Request<Incoming>> for Answering {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answered = (self.answer)(Arc::clone(&self.app), request);
        Box::pin(async move { Ok(answered.await) })
    }
}

fn service(
    app: &Arc<App>,
    answer: fn(Arc<App>, Request<Incoming>) -> Answer,
) -> impl Fn(&listen::Peer) -> Answering + Clone + Send + 'static {
    let answering = Answering { app: Arc::clone(app), answer };
    move |_peer| answering.clone()
}

async fn wait_for_signal() -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

