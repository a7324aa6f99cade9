//! The health port: alive, ready, and the numbers. It answers anybody, so it tells numbers; of
//! names only those of clusters that are guarded, and of projects and their log-based metrics, which were chosen to be
//! counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use binauthz_store::Kind;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;

use crate::admission::{self, LATENCY_BOUNDS};
use crate::app::App;
use crate::headers::is_no_page;
use crate::logs::Journals;
use crate::metrics::Text;
use crate::servers::Freshness;

/// How long `/metrics` waits for the store. Prometheus gives up after 10 s, and the other numbers need no store.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers `/livez`, `/readyz` and `/metrics`.
pub(crate) async fn answer<B>(app: &Arc<App>, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(app).await,
        "/metrics" => text(StatusCode::OK, metrics(app).await),
        _ => text(
            StatusCode::NOT_FOUND,
            "expected /livez, /readyz or /metrics\n".to_owned(),
        ),
    }
}

/// Ready to be asked, and asked.
async fn ready(app: &App) -> Response<Full<Bytes>> {
    let not = |why: &str| text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    if app.guarded.holds_back() {
        return not("the API server of every guarded cluster admits what is denied here");
    }
    if app.store.is_shared() {
        return ready_by_memory(app);
    }
    // Reading anything proves that the database answers.
    match app.store.resource(Kind::Setting, "ready").await {
        Ok(_) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(error) => {
            tracing::error!(%error, "not ready");
            not("the store does not answer")
        }
    }
}

/// A server that decides from memory is ready: without it, nobody would decide. One that has to deny everything is not.
fn ready_by_memory(app: &App) -> Response<Full<Bytes>> {
    match app.servers.freshness((app.clock)()) {
        Freshness::Current => text(StatusCode::OK, "ok\n".to_owned()),
        Freshness::Aging(seconds) => {
            let said = format!("ok, from memory: the store has not answered for {seconds} s\n");
            text(StatusCode::OK, said)
        }
        Freshness::Stale(seconds) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("everything is denied: the store has not answered for {seconds} s\n"),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    is_no_page(response.headers_mut());
    response
}

async fn metrics(app: &App) -> String {
    let mut text = Text::default();
    decisions(app, &mut text);
    app.control_counters.write(&mut text);
    app.alerts.counters.write(&mut text, (app.clock)());
    app.log_metrics.write(&mut text);
    app.guarded.write(&mut text);
    text.family(
        "binauthz_cached_evidence",
        "gauge",
        "What is known of images without asking the store",
    );
    let (proven, unproven) = app.proofs.len();
    text.row("binauthz_cached_evidence", &[("kind", "proven")], proven);
    text.row("binauthz_cached_evidence", &[("kind", "unproven")], unproven);
    let syncs = app.journal.syncs();
    text.single(
        "binauthz_journal_syncs_total",
        "counter",
        "How often the verdict journal was synced",
        syncs,
    );
    text.single(
        "binauthz_unrecorded_allows_total",
        "counter",
        "Admissions answered before their record, which the disk then refused; none without `auditAllowsMayWait`",
        app.journal.lost(),
    );
    text.single(
        "binauthz_journal_broken",
        "gauge",
        "1 when a verdict log that was not whole was found at the start and moved aside",
        u8::from(app.journal.is_broken()),
    );
    app.kubernetes.write(&mut text);
    traces(app, &mut text);
    servers(app, &mut text);
    let journals = Journals::of(app);
    let missing = tokio::task::spawn_blocking(move || journals.missing()).await;
    // Else no sample: 0 would say that everything has its place in the index.
    if let Ok(Ok(bytes)) = missing {
        text.single(
            "binauthz_log_unindexed_bytes",
            "gauge",
            "Bytes of log records that queries have to read because the index does not have them yet",
            bytes,
        );
    }
    times(app, &mut text);
    let state = "binauthz_enforcement_state";
    let help =
        "1 when some image can be refused, 0 when nothing is enforced; absent when the store does not say";
    text.family(state, "gauge", help);
    // Else no sample: 0 would say that nothing is enforced, and 1 that something is.
    match timeout(PATIENCE, admission::enforces_anything(app)).await {
        Ok(Ok(enforced)) => text.row(state, &[], u8::from(enforced)),
        Ok(Err(error)) => tracing::error!(%error, "cannot tell whether anything is enforced"),
        Err(_) => tracing::error!("the store takes too long to tell whether anything is enforced"),
    }
    text.finish()
}

fn servers(app: &App, text: &mut Text) {
    text.single(
        "binauthz_merged_log_faults_total",
        "counter",
        "Logs of servers, and statements over them, that took something back, as far as this server saw",
        app.merged.faults(),
    );
    if !app.store.is_shared() {
        return;
    }
    let seconds = match app.servers.freshness((app.clock)()) {
        Freshness::Current => 0,
        Freshness::Aging(seconds) | Freshness::Stale(seconds) => seconds,
    };
    text.single(
        "binauthz_store_staleness_seconds",
        "gauge",
        "For how long decisions were made without knowing what other servers changed; 0 while that is known",
        seconds,
    );
    text.single(
        "binauthz_store_leads",
        "gauge",
        "1 on the server that sends notices and does what one server does for all on its store",
        u8::from(app.store.lead().is_some()),
    );
    text.single(
        "binauthz_merged_log_number",
        "gauge",
        "Number of the newest statement over the logs of all servers on the store that this one believes",
        app.merged.number(),
    );
}

fn traces(app: &App, text: &mut Text) {
    let Some(tracer) = &app.tracer else { return };
    let (exported, dropped) = tracer.counts();
    text.single(
        "binauthz_traces_exported_total",
        "counter",
        "Requests that the collector was told of",
        exported,
    );
    text.single(
        "binauthz_traces_dropped_total",
        "counter",
        "Requests that the collector was not told of, or did not take",
        dropped,
    );
}

/// What has a time of its own. Whoever looks compares with the clock.
fn times(app: &App, text: &mut Text) {
    let recorded = app.calls_recorded.load(Ordering::Relaxed);
    text.single(
        "binauthz_calls_recorded_timestamp_seconds",
        "gauge",
        "When the signed log last had every call of the API; 0 before that",
        Duration::from_micros(u64::try_from(recorded).unwrap_or(0)).as_secs(),
    );
    let ends = app.certificates.get().map(|certificates| certificates.ends());
    if let Some(Ok(ends)) = ends.map(|ends| ends.duration_since(UNIX_EPOCH)) {
        text.single(
            "binauthz_certificate_expires_timestamp_seconds",
            "gauge",
            "When the certificate that is served with ends",
            ends.as_secs(),
        );
    }
}

fn decisions(app: &App, text: &mut Text) {
    let outcomes = "binauthz_outcomes_total";
    text.family(
        outcomes,
        "counter",
        "Verdicts, by what they did; every row is there from the start",
    );
    for (effect, admitted, count) in app.counters.outcomes() {
        let verdict = if admitted { "allow" } else { "deny" };
        text.row(outcomes, &[("verdict", verdict), ("effect", effect)], count);
    }
    text.family(
        "binauthz_decisions_total",
        "counter",
        "Verdicts, by reason and effect",
    );
    for row in app.counters.verdicts() {
        let verdict = if row.admitted { "allow" } else { "deny" };
        let labels = [
            ("verdict", verdict),
            ("reason", row.reason),
            ("effect", row.effect),
        ];
        text.row("binauthz_decisions_total", &labels, row.count);
    }
    let (counts, sum) = app.counters.latency();
    let help = "From the first byte of a request to its verdict";
    text.histogram("binauthz_decision_seconds", help, &LATENCY_BOUNDS, (&counts, sum));
    let phases = "binauthz_decision_phase_seconds";
    let help = "Parts of it: until the request is read, until there is a verdict, until that is on disk";
    text.family(phases, "histogram", help);
    for (phase, (counts, sum)) in app.counters.phase_latencies() {
        text.histogram_rows(phases, Some(("phase", phase)), &LATENCY_BOUNDS, (&counts, sum));
    }
    for (name, value) in app.counters.singles() {
        let (name, help) = single(name);
        text.single(name, "counter", help, value);
    }
}

/// The exported name and the explanation of a counter of [`crate::admission::Counters`].
fn single(name: &'static str) -> (&'static str, &'static str) {
    match name {
        "evidence_warm" => (
            "binauthz_evidence_warm_total",
            "Questions answered from the cache",
        ),
        "evidence_cold" => ("binauthz_evidence_cold_total", "Questions that went to the store"),
        "unrecorded" => (
            "binauthz_unrecorded_total",
            "Denials because the verdict could not be recorded",
        ),
        "unrecorded_break_glass" => (
            "binauthz_unrecorded_break_glass_total",
            "Emergency admissions that could not be recorded",
        ),
        "panics" => (
            "binauthz_panics_total",
            "Denials because of a defect of the server",
        ),
        "refused_requests" => (
            "binauthz_refused_requests_total",
            "Requests of the webhook port that were no reviews",
        ),
        _ => ("binauthz_verdicts_total", "Verdicts given"),
    }
}
