//! From settings to listeners, and back down in order.

use std::convert::Infallible;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use binauthz_keyring::MasterKey;
use binauthz_kubernetes::{Inside, NotInside};
use binauthz_registry::Registries;
use binauthz_store::{OpenError, Store};
use http::{Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::Service;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, OnceCell, Semaphore};
use tokio::task::JoinHandle;

use crate::access::Policies;
use crate::admission::{self, Counters, Proofs, Snapshots};
use crate::alert::channel::{Mailer, MailerError, Poster};
use crate::alert::{self, Alerts};
use crate::app::{ADMISSIONS, App, BODIES, GENERATIONS, TAILS, system_clock};
use crate::audit::{self, Journal, JournalSettings, OpenJournalError};
use crate::auth::{self, IssuerError, Issuers};
use crate::control::{DeclareError, Source};
use crate::counting::{self, LogMetrics};
use crate::files::{self, FileError};
use crate::guard::{self, Guarded};
use crate::kubernetes::{self, Kubernetes};
use crate::listen::{
    self, Certificates, CertificatesError, ClientAuthorities, Given, Limits, Listener, Peer, Plan, Shutdown,
    TlsError, Trigger,
};
use crate::logs::Reached;
use crate::master::{Kept, KeptError, Master, Wrapping};
use crate::metrics::ControlCounters;
use crate::rates::Rates;
use crate::servers::{self, JoinError, Servers};
use crate::settings::{Settings, WebhookCertificate};
use crate::trace::{self, Tracer};
use crate::turns::Turns;
use crate::{control, googleapis, handed_in, health, logs, merged};

/// How long jobs may take to end what they are at. They are in the middle of a look at the log at most.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database.
    #[error("cannot open the store: {0}")]
    Store(#[from] OpenError),
    /// The store is of servers with another key.
    #[error(transparent)]
    Joining(#[from] JoinError),
    /// The verdict journal.
    #[error(transparent)]
    Journal(#[from] OpenJournalError),
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The Secret that replicas share is in a cluster.
    #[error("`webhookSecret` is of the cluster that the server runs in: {0}")]
    NotInside(#[from] NotInside),
    /// The TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The master key, or the token of it and of other keys.
    #[error(transparent)]
    MasterKey(#[from] KeptError),
    /// The registry client.
    #[error("cannot set up the registry client: {0}")]
    Registry(String),
    /// The client that notices are sent with.
    #[error("cannot set up the client of notification channels: {0}")]
    Channels(String),
    /// The mail server's settings.
    #[error("cannot send mail: {0}")]
    Mail(#[from] MailerError),
    /// An issuer of ID tokens.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// An address is taken or not ours.
    #[error("cannot listen on `{address}` for the {what}: {source}")]
    Listen {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The store did not take the clusters of the configuration.
    #[error("cannot register the clusters of the configuration: {0}")]
    Declare(#[from] DeclareError),
    /// The operating system gave no signal handler.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

/// Where a server really listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The API.
    pub api: SocketAddr,
    /// The admission webhook.
    pub webhook: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
    /// The listener under Google's names, where there is one.
    pub googleapis: Option<SocketAddr>,
}

/// A server that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    folder: PathBuf,
    trigger: Trigger,
    ports: Vec<JoinHandle<()>>,
    jobs: [JoinHandle<()>; 14],
    /// Held while the data directory is in use.
    _lock: File,
}

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends the draining. Needs a default TLS provider in the
/// process.
///
/// # Errors
/// [`StartError`]; once started, it ends well.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    // Before anything else: whoever reads `addresses.json` may send a signal at once.
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    let server = Server::start(settings).await?;
    signals.next().await;
    tracing::info!("shutting down");
    tokio::select! {
        () = server.stop() => {}
        () = signals.next() => tracing::warn!("shutting down without waiting for open connections"),
    }
    Ok(())
}

impl Server {
    /// Starts; when it returns, the server is ready and `addresses.json` says where.
    ///
    /// # Errors
    /// [`StartError`], and then nothing is left running.
    pub async fn start(settings: Settings) -> Result<Server, StartError> {
        warm_randomness();
        let folder = settings.data_dir.clone();
        files::prepare(&folder)?;
        let lock = files::lock(&folder)?;
        files::withdraw_addresses(&folder)?;
        if let Some(secrets) = &settings.secrets_dir {
            handed_in::take(secrets, &folder)?;
        }
        let (trigger, shutdown) = listen::shutdown();
        let certificates = Arc::new(own_certificates(&settings).await?);
        let given = given_certificate(&settings)?;
        let app = Arc::new(build(settings).await?);
        app.certificates.get_or_init(|| Arc::clone(&certificates));
        control::register_declared(&app).await?;
        // Before anybody can ask for anything: what comes from now on is watched.
        let ends = Reached::ends(&app);
        let listeners = Listeners::bind(&app.settings, &certificates, given.as_ref()).await?;
        let addresses = listeners.addresses;
        say_what_is_enforced(&app).await;
        say_who_may_ask(&app.settings);
        tokio::spawn(certificates.keep_fresh(shutdown.clone()));
        if let Some(given) = given {
            tokio::spawn(given.keep_fresh(shutdown.clone()));
        }
        let jobs = start_jobs(&app, ends, &shutdown);
        let ports = listeners.open(&app, &shutdown);
        announce(&folder, app.settings.dev, addresses)?;
        Ok(Server {
            addresses,
            folder,
            trigger,
            ports,
            jobs,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Takes no new connections, lets the open ones finish what they began, and stops.
    pub async fn stop(self) {
        // Whoever reads the file from now on would find nobody there.
        if let Err(error) = files::withdraw_addresses(&self.folder) {
            tracing::error!(%error, "the file of addresses stays behind");
        }
        self.trigger.begin();
        for port in self.ports {
            if let Err(error) = port.await {
                tracing::error!(%error, "a listener did not end well");
            }
        }
        let ended = async {
            for job in self.jobs {
                if let Err(error) = job.await {
                    tracing::error!(%error, "a job did not end well");
                }
            }
        };
        if tokio::time::timeout(LAST_ROUND, ended).await.is_err() {
            tracing::error!("a job did not end in time");
        }
    }
}

/// Every socket, bound and not yet served.
struct Listeners {
    addresses: Addresses,
    clients: Vec<Arc<ClientAuthorities>>,
    api: Listener,
    webhook: Listener,
    health: Listener,
    googleapis: Option<Listener>,
}

impl Listeners {
    async fn bind(
        settings: &Settings,
        certificates: &Arc<Certificates>,
        given: Option<&Arc<Given>>,
    ) -> Result<Listeners, StartError> {
        let tls = Some(listen::server_config(certificates.clone())?);
        let own_tls = tls.clone().filter(|_| !settings.dev);
        let clients = [
            &settings.access.client_authorities,
            &settings.webhook_client_authorities,
        ];
        let open = |path: &Option<PathBuf>| path.as_deref().map(ClientAuthorities::open).transpose();
        let [api_clients, webhook_clients] = [open(clients[0])?, open(clients[1])?];
        let webhook_tls = Some(match given {
            Some(given) => tls_for(given.clone(), webhook_clients.as_ref(), true)?,
            None => tls_for(certificates.clone(), webhook_clients.as_ref(), true)?,
        });
        let api_tls = match settings.dev {
            true => None,
            false => Some(tls_for(certificates.clone(), api_clients.as_ref(), false)?),
        };
        let api = bind("API", settings.api_listen, api_tls).await?;
        let webhook = bind("webhook", settings.webhook_listen, webhook_tls).await?;
        let health = bind("health port", settings.health_listen, own_tls).await?;
        let googleapis = if settings.googleapis {
            Some(bind("names of Google", settings.googleapis_listen, tls).await?)
        } else {
            None
        };
        Ok(Listeners {
            addresses: Addresses {
                api: api.1,
                webhook: webhook.1,
                health: health.1,
                googleapis: googleapis.as_ref().map(|(_, address)| *address),
            },
            clients: [&api_clients, &webhook_clients]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            api: api.0.with_clients_of(api_clients),
            webhook: webhook.0.with_clients_of(webhook_clients),
            health: health.0,
            googleapis: googleapis.map(|(listener, _)| listener.reached_by_tunnel(googleapis::is_ours)),
        })
    }

    /// Serves on each.
    fn open(self, app: &Arc<App>, shutdown: &Shutdown) -> Vec<JoinHandle<()>> {
        for authorities in self.clients {
            tokio::spawn(authorities.keep_fresh(shutdown.clone()));
        }
        let api: Handler = |app, peer, request| {
            Box::pin(async move { control::handle(&app, Source::told(&peer, request)).await })
        };
        let webhook: Handler = |app, peer, request| {
            Box::pin(async move { admission::handle(&app, &peer, request).await.map(Either::Left) })
        };
        let health: Handler =
            |app, _, request| Box::pin(async move { health::answer(&app, &request).await.map(Either::Left) });
        let googleapis: Handler = |app, peer, request| {
            Box::pin(async move { googleapis::handle(&app, Source::told(&peer, request)).await })
        };
        [
            (Some(self.api), api),
            (Some(self.webhook), webhook),
            (Some(self.health), health),
            (self.googleapis, googleapis),
        ]
        .into_iter()
        .filter_map(|(listener, handler)| Some(open(app, listener?, handler, shutdown)))
        .collect()
    }
}

/// The collaborators, from what is in the data directory.
pub(crate) async fn build(settings: Settings) -> Result<App, StartError> {
    let folder = settings.data_dir.clone();
    let registries = Registries::new(settings.registries.clone())
        .map_err(|error| StartError::Registry(error.to_string()))?;
    let wrapping = settings.pkcs11.as_ref().map(Wrapping::open).transpose()?;
    let token = wrapping.as_ref().map(|wrapping| Arc::clone(&wrapping.token));
    let kept = Kept::new(&folder, wrapping);
    let master_key = kept.open()?;
    kept.warn_of(&master_key)?;
    let mailer = settings.smtp.as_ref().map(Mailer::new).transpose()?;
    let poster = Poster::new(settings.channels_may_reach.clone())
        .map_err(|error| StartError::Channels(error.to_string()))?;
    // Before the logs: under another key they would seem to be somebody else's.
    let (store, servers) = joined(&settings, &master_key).await?;
    merged::remember(&folder.join(audit::VERDICTS), &store)
        .await
        .map_err(JoinError::from)?;
    let journal = Journal::open(
        &folder.join(audit::VERDICTS),
        JournalSettings::of_verdicts(settings.journal_kept),
        &master_key,
    )?;
    let entries = Journal::open(
        &folder.join(audit::ENTRIES),
        JournalSettings::of_entries(settings.entries_kept),
        &master_key,
    )?;
    Ok(App {
        store,
        servers,
        admin_token: files::admin_token(&folder)?,
        master: Master::new(kept, master_key),
        token,
        access_key: OnceCell::new(),
        policies: Policies::default(),
        rates: Rates::new(settings.access.rate_limits),
        issuers: Issuers::new(&settings.access.issuers)?,
        registries,
        journal,
        merged: merged::Counters::default(),
        entries,
        indexes: Default::default(),
        kubernetes: Kubernetes::new(),
        snapshots: Snapshots::new(),
        proofs: Proofs::new(),
        counters: Counters::new(),
        control_counters: ControlCounters::default(),
        log_metrics: LogMetrics::default(),
        guarded: Guarded::default(),
        tag_moves: control::TagMoves::default(),
        calls: Notify::new(),
        calls_recorded: AtomicI64::new(0),
        certificates: OnceLock::new(),
        attestor_writes: Turns::of("attestors"),
        poster: poster.with_mailer(mailer),
        tracer: settings.otlp_endpoint.as_deref().map(Tracer::new),
        alerts: Alerts::default(),
        alert_writes: Turns::of("alertPolicies"),
        tails: Arc::new(Semaphore::new(TAILS)),
        generations: Semaphore::new(GENERATIONS),
        admissions: Semaphore::new(ADMISSIONS),
        bodies: Semaphore::new(BODIES),
        clock: system_clock,
        settings,
    })
}

/// The store, and what is known of the others on it.
async fn joined(settings: &Settings, master_key: &MasterKey) -> Result<(Store, Servers), StartError> {
    let store = servers::open(settings).await?;
    let staleness = settings.staleness.limit();
    let servers = Servers::join(&store, master_key, (staleness, system_clock())).await?;
    Ok((store, servers))
}

/// What happens though nobody asks for it, until the shutdown.
fn start_jobs(app: &Arc<App>, ends: Reached, shutdown: &Shutdown) -> [JoinHandle<()>; 14] {
    [
        tokio::spawn(servers::follow(Arc::clone(app), shutdown.clone())),
        tokio::spawn(control::destroy_as_scheduled(Arc::clone(app), shutdown.clone())),
        tokio::spawn(logs::record_calls(Arc::clone(app), shutdown.clone())),
        tokio::spawn(alert::watch(Arc::clone(app), ends, shutdown.clone())),
        tokio::spawn(alert::deliver(Arc::clone(app), shutdown.clone())),
        tokio::spawn(counting::count_entries(Arc::clone(app), shutdown.clone())),
        tokio::spawn(end_tails(Arc::clone(app), shutdown.clone())),
        tokio::spawn(logs::keep_indexes(Arc::clone(app), shutdown.clone())),
        tokio::spawn(sign_every_second(Arc::clone(app), shutdown.clone())),
        tokio::spawn(merged::merge(Arc::clone(app), shutdown.clone())),
        tokio::spawn(trace::export(Arc::clone(app), shutdown.clone())),
        tokio::spawn(kubernetes::emit(Arc::clone(app), shutdown.clone())),
        tokio::spawn(guard::guard(Arc::clone(app), shutdown.clone())),
        tokio::spawn(auth::keep_keys(Arc::clone(app), shutdown.clone())),
    ]
}

/// Whoever follows log entries would keep the server from draining.
async fn end_tails(app: Arc<App>, mut shutdown: Shutdown) {
    shutdown.begun().await;
    app.tails.close();
}

/// No record stays longer than a second without a signed checkpoint that speaks for it.
async fn sign_every_second(app: Arc<App>, mut shutdown: Shutdown) {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = clock.tick() => {
                app.journal.sign_soon();
                app.entries.sign_soon();
            }
        }
    }
}

/// The first random bytes of a process cost tens of milliseconds; the first caller shall not wait for them.
fn warm_randomness() {
    std::thread::spawn(|| {
        // Whoever needs randomness finds out by itself that there is none.
        let _ = aws_lc_rs::rand::fill(&mut [0; 1]);
    });
}

/// The certificates of an authority of our own, wherever they are kept.
async fn own_certificates(settings: &Settings) -> Result<Certificates, StartError> {
    let secret = match &settings.webhook_certificate {
        WebhookCertificate::Shared(name) => {
            let inside = Inside::of_environment(settings.guard.service_account.as_deref())?;
            Some((inside, name.clone()))
        }
        WebhookCertificate::Own | WebhookCertificate::Given(_) => None,
    };
    let plan = Plan {
        data_directory: &settings.data_dir,
        secret,
        names: &settings.certificate_names(),
        lifetimes: settings.lifetimes,
    };
    Ok(Certificates::open(plan, SystemTime::now()).await?)
}

/// The certificate that others make for the webhook.
fn given_certificate(settings: &Settings) -> Result<Option<Arc<Given>>, StartError> {
    match &settings.webhook_certificate {
        WebhookCertificate::Given(folder) => Ok(Some(Arc::new(Given::open(folder)?))),
        WebhookCertificate::Own | WebhookCertificate::Shared(_) => Ok(None),
    }
}

/// TLS with or without client certificates.
fn tls_for(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<&Arc<ClientAuthorities>>,
    is_required: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    match clients {
        Some(authorities) => listen::with_client_certificates(resolver, authorities, is_required),
        None => listen::server_config(resolver),
    }
}

async fn bind(
    what: &'static str,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) -> Result<(Listener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        what,
        address,
        source,
    };
    let listener = Listener::bind(address, tls, Limits::default())
        .await
        .map_err(failed)?;
    let local = listener.local_address().map_err(failed)?;
    Ok((listener, local))
}

/// Writes `addresses.json`: whoever waits for the server waits for this file.
fn announce(folder: &Path, dev: bool, addresses: Addresses) -> Result<(), FileError> {
    let (api, webhook) = (reached_at(addresses.api), reached_at(addresses.webhook));
    let health = reached_at(addresses.health);
    let scheme = if dev { "http" } else { "https" };
    let mut text = serde_json::json!({
        "api": format!("{scheme}://{api}"),
        "webhook": format!("https://{webhook}"),
        "health": format!("{scheme}://{health}"),
    });
    if let Some(googleapis) = addresses.googleapis {
        // What the variables of proxies hold: TLS begins behind the CONNECT.
        text["googleapis"] = format!("http://{}", reached_at(googleapis)).into();
    }
    files::publish_addresses(folder, &text.to_string())?;
    tracing::info!(%api, %webhook, %health, dev, "ready");
    Ok(())
}

/// Where a program on this machine reaches a listener: one on every address is there on loopback, and no certificate
/// names "every address".
fn reached_at(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        concrete => concrete,
    };
    SocketAddr::new(ip, listener.port())
}

/// A fresh installation protects nothing, and must not look as if it did.
async fn say_what_is_enforced(app: &App) {
    match admission::enforces_anything(app).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "nothing is enforced: no policy of any project can refuse an image on any cluster; \
             import one with `binauthz policy import`, or start with `--require-policy`"
        ),
        Err(error) => tracing::error!(%error, "cannot tell whether anything is enforced"),
    }
}

/// Whoever reaches the webhook can ask for verdicts, fill the journal and try out what a policy lets through.
fn say_who_may_ask(settings: &Settings) {
    if !settings.dev && settings.webhook_client_authorities.is_none() {
        tracing::warn!(
            address = %settings.webhook_listen,
            "the webhook answers everybody who reaches it: set `webhookClientAuthorities` to require client certificates"
        );
    }
}

type Answering = Pin<Box<dyn Future<Output = Response<control::Answer>> + Send>>;

type Handler = fn(Arc<App>, Arc<Peer>, Request<Incoming>) -> Answering;

/// What one port does with each request of one connection.
struct Port {
    app: Arc<App>,
    peer: Arc<Peer>,
    answer: Handler,
}

impl Service<Request<Incoming>> for Port {
    type Response = Response<control::Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = (self.answer)(Arc::clone(&self.app), Arc::clone(&self.peer), request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn open(app: &Arc<App>, listener: Listener, answer: Handler, shutdown: &Shutdown) -> JoinHandle<()> {
    let app = Arc::clone(app);
    let port = move |peer: &Peer| Port {
        app: Arc::clone(&app),
        peer: Arc::new(peer.clone()),
        answer,
    };
    tokio::spawn(listen::serve(listener, port, shutdown.clone()))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
