//! The health port: alive, ready, and the numbers.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use binauthz_store::Kind;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::admission::LATENCY_BOUNDS;
use crate::app::App;

/// Answers `/livez`, `/readyz` and `/metrics`.
pub(crate) fn answer(
    app: Arc<App>,
    request: Request<Incoming>,
) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>> {
    Box::pin(async move {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            // Reading anything proves that the database answers.
            "/readyz" => match app.store.resource(Kind::Setting, "ready").await {
                Ok(_) => text(StatusCode::OK, "ok\n".to_owned()),
                Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".to_owned()),
            },
            "/metrics" => text(StatusCode::OK, metrics(&app).await),
            _ => text(StatusCode::NOT_FOUND, "expected /livez, /readyz or /metrics\n".to_owned()),
        }
    })
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// The Prometheus text format. Label values are words from fixed sets.
async fn metrics(app: &App) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# TYPE binauthz_decisions_total counter");
    for row in app.counters.verdicts() {
        let verdict = if row.admitted { "allow" } else { "deny" };
        let _ = writeln!(
            out,
            "binauthz_decisions_total{{verdict=\"{verdict}\",reason=\"{}\",effect=\"{}\"}} {}",
            row.reason, row.effect, row.count
        );
    }
    let (buckets, sum) = app.counters.latency();
    let _ = writeln!(out, "# TYPE binauthz_decision_seconds histogram");
    let mut total = 0;
    for (index, count) in buckets.iter().enumerate() {
        total += count;
        let bound = LATENCY_BOUNDS.get(index).map_or("+Inf".to_owned(), ToString::to_string);
        let _ = writeln!(out, "binauthz_decision_seconds_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "binauthz_decision_seconds_sum {sum}\nbinauthz_decision_seconds_count {total}");
    for (name, value) in app.counters.singles() {
        let _ = writeln!(out, "# TYPE binauthz_{name}_total counter\nbinauthz_{name}_total {value}");
    }
    let (proven, unproven) = app.proofs.len();
    let _ = writeln!(out, "# TYPE binauthz_cached_evidence gauge");
    let _ = writeln!(out, "binauthz_cached_evidence{{kind=\"proven\"}} {proven}");
    let _ = writeln!(out, "binauthz_cached_evidence{{kind=\"unproven\"}} {unproven}");
    let _ = writeln!(out, "# TYPE binauthz_journal_syncs_total counter");
    let _ = writeln!(out, "binauthz_journal_syncs_total {}", app.journal.syncs());
    let _ = writeln!(out, "# HELP binauthz_enforcement_state 1 when some policy can refuse something, 0 when nothing is enforced");
    let _ = writeln!(out, "# TYPE binauthz_enforcement_state gauge");
    let _ = writeln!(out, "binauthz_enforcement_state {}", u8::from(crate::admission::enforces_anything(app).await));
    out
}
