//! The collaborators of the server, built once.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};

use binauthz_core::time::UnixTime;
use binauthz_keyring::Token;
use binauthz_registry::Registries;
use binauthz_store::Store;
use tokio::sync::{Notify, OnceCell, Semaphore};

use crate::access::Policies;
use crate::admission::{Counters, Proofs, Snapshots};
use crate::alert::Alerts;
use crate::alert::channel::Poster;
use crate::audit::Journal;
use crate::auth::{AccessKey, AdminToken, Issuers};
use crate::control::TagMoves;
use crate::counting::LogMetrics;
use crate::guard::Guarded;
use crate::kubernetes::Kubernetes;
use crate::listen::Certificates;
use crate::logs::Index;
use crate::master::Master;
use crate::merged;
use crate::metrics::ControlCounters;
use crate::rates::Rates;
use crate::servers::Servers;
use crate::settings::Settings;
use crate::trace::Tracer;
use crate::turns::Turns;

/// RSA keys generated at once: one core stays for everything else.
pub(crate) const GENERATIONS: usize = 1;
/// Admissions judged at once; one more is denied as overloaded. 1 000 connections of 8 streams each.
pub(crate) const ADMISSIONS: usize = 8_000;
/// Bytes of webhook bodies held at once. One has at most 7 MiB, but 1 000 connections of 128 streams each could send one;
/// what is read of a body points into it, so this bounds both. A usual review has 10 KB: 26 000 fit.
pub(crate) const BODIES: usize = 256 << 20;

/// Sessions that follow log entries at once.
pub(crate) const TAILS: usize = 20;

/// Everything a handler may use.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    /// What is known of the other servers on it.
    pub(crate) servers: Servers,
    pub(crate) admin_token: AdminToken,
    pub(crate) master: Master,
    /// Where private keys of the protection level HSM live, if anywhere.
    pub(crate) token: Option<Arc<Token>>,
    /// What access tokens are made with, once one is wanted.
    pub(crate) access_key: OnceCell<AccessKey>,
    /// IAM policies that were asked about lately.
    pub(crate) policies: Policies,
    pub(crate) registries: Registries,
    /// Whose ID tokens are believed.
    pub(crate) issuers: Issuers,
    /// How often the API was called by whom.
    pub(crate) rates: Rates,
    pub(crate) journal: Journal,
    /// The statement over the logs of all servers.
    pub(crate) merged: merged::Counters,
    /// What others wrote as log entries.
    pub(crate) entries: Journal,
    /// Over the journal of verdicts, and over that of written entries.
    pub(crate) indexes: [Arc<Index>; 2],
    /// The API servers of clusters, where they are asked.
    pub(crate) kubernetes: Kubernetes,
    pub(crate) snapshots: Snapshots,
    pub(crate) proofs: Proofs,
    pub(crate) counters: Counters,
    pub(crate) control_counters: ControlCounters,
    pub(crate) log_metrics: LogMetrics,
    /// How the clusters stand that are looked after.
    pub(crate) guarded: Guarded,
    pub(crate) tag_moves: TagMoves,
    /// A call left an audit row, which is to be brought into the journal.
    pub(crate) calls: Notify,
    /// When the journal last had every audit row, in microseconds; 0 before that.
    pub(crate) calls_recorded: AtomicI64,
    /// What is served with, once something is.
    pub(crate) certificates: OnceLock<Arc<Certificates>>,
    /// Held from the look at the other attestors' keys to the commit.
    pub(crate) attestor_writes: Turns,
    /// Sends notices.
    pub(crate) poster: Poster,
    /// Where traces go, if anywhere.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) alerts: Alerts,
    /// Held from the look at policies and channels to the commit that relies on it.
    pub(crate) alert_writes: Turns,
    /// Places for those who follow log entries; closed when the server is to stop.
    pub(crate) tails: Arc<Semaphore>,
    pub(crate) generations: Semaphore,
    pub(crate) admissions: Semaphore,
    pub(crate) bodies: Semaphore,
    pub(crate) clock: fn() -> UnixTime,
}

/// The system's clock.
pub(crate) fn system_clock() -> UnixTime {
    UnixTime::from_micros(jiff::Timestamp::now().as_microsecond())
}
