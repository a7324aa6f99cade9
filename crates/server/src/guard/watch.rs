//! The tasks that look, one for each cluster: one that hangs delays no other.

use std::sync::Arc;
use std::time::Duration;

use binauthz_kubernetes::PROBE;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::look::{connect, look};
use super::post::Post;
use super::report::tell;
use crate::app::App;
use crate::listen::Shutdown;
use crate::settings::GuardedCluster;

/// After the start: a Service needs a moment to know that the server is there.
const FIRST_AFTER: Duration = Duration::from_secs(2);
/// The configurations are looked at twice as often as a Pod is tried: with a minute between two Pods, a weakened one is
/// found within half a minute.
const LOOKS_PER_CANARY: u32 = 2;
/// How often it is looked whether somebody mends what holds the server back: `cluster install` waits for a minute.
const MENDED_POLL: Duration = Duration::from_secs(1);
const MENDED_LOOK_MAX: Duration = Duration::from_secs(5);

/// Guards every cluster of the settings until the server stops.
pub(crate) async fn guard(app: Arc<App>, mut shutdown: Shutdown) {
    let mut tasks = JoinSet::new();
    for guarded in app.settings.guard.clusters.clone() {
        // From the start on it is known that this cluster counts.
        app.guarded.set(&guarded.cluster, |_| {});
        tasks.spawn(look_after(Arc::clone(&app), guarded));
    }
    shutdown.begun().await;
    tasks.shutdown().await;
}

async fn look_after(app: Arc<App>, guarded: GuardedCluster) {
    let every = app.settings.guard.every / LOOKS_PER_CANARY;
    let mut post = Post::default();
    let mut next = Instant::now() + FIRST_AFTER.min(every);
    for turn in 0_u32.. {
        wait(&app, &guarded, &post, next).await;
        next = Instant::now() + every;
        let with_canary = turn.is_multiple_of(LOOKS_PER_CANARY) || post.is_in_doubt();
        let looked = look(&app, &guarded, with_canary).await;
        let now = (app.clock)();
        let trust = looked.trust.clone();
        let reports = post.take(looked, now);
        app.guarded.set(&guarded.cluster, |standing| {
            standing.passed_by = post.is_passed_by();
            standing.being_installed &= standing.passed_by;
            standing.denied = post.is_denied();
            standing.findings = post.codes();
            standing.looked = Some(now);
            standing.trust = match &standing.trust {
                (before, looks) if *before == trust => (trust, looks.saturating_add(1)),
                _ => (trust, 1),
            };
        });
        if let (Some(authority), Some(certificates)) =
            (app.guarded.trusted_everywhere(), app.certificates.get())
        {
            certificates.everybody_trusts(authority);
        }
        for report in &reports {
            tell(&app, &guarded.cluster, report).await;
        }
    }
}

/// Waits for the next look. A server that is held back is in no Service, and who mends that has to reach it first: as
/// long as the probe of `cluster install` is there, it is ready.
async fn wait(app: &App, guarded: &GuardedCluster, post: &Post, next: Instant) {
    while post.is_passed_by() {
        let probed = async { connect(app, guarded).ok()?.read(PROBE).await.ok()? };
        let is_there = matches!(timeout(MENDED_LOOK_MAX, probed).await, Ok(Some(_)));
        app.guarded.set(&guarded.cluster, |standing| {
            standing.being_installed = is_there;
        });
        // A look may have taken longer than the time to the next one; once is looked in any case.
        if Instant::now() >= next {
            return;
        }
        sleep_until(next.min(Instant::now() + MENDED_POLL)).await;
    }
    sleep_until(next).await;
}
