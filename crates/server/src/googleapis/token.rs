//! The token endpoint (RFC 6749, RFC 7523): a signed assertion is changed for an access token.
//!
//! The token ends when its assertion ends, so whoever repeats an assertion gets nothing that lasts longer; and an
//! assertion is taken for some minutes only. Each token that is given leaves an audit row, and none is given without it.

use std::sync::Arc;

use binauthz_core::time::UnixTime;
use binauthz_store::{AuditRow, Commit};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::app::App;
use crate::auth::{self, Assertion, Claimed, Credential, MAX_ASSERTION, Purpose, Token};
use crate::control::body;
use crate::control::call;
use crate::control::entry::Entry;
use crate::control::error::ApiError;
use crate::control::query::Query;
use crate::headers::is_no_page;
use crate::metrics::Outcome;

const PATH: &str = "/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// An assertion and the grant's name, percent-encoded threefold at worst, and room to spare.
const MAX_FORM: usize = 4 * MAX_ASSERTION;

/// Why no token is given; RFC 6749 names them.
#[derive(Debug)]
enum Refusal {
    InvalidRequest(String),
    UnsupportedGrantType,
    InvalidGrant(String),
    /// Ours; the client may try again.
    Unavailable,
}

impl Refusal {
    fn answer(&self) -> (StatusCode, &'static str, String) {
        match self {
            Refusal::InvalidRequest(why) => (StatusCode::BAD_REQUEST, "invalid_request", why.clone()),
            Refusal::UnsupportedGrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                format!(
                    "`grant_type` must be `{GRANT}`: a file made by `binauthz credentials create` leads to it"
                ),
            ),
            Refusal::InvalidGrant(why) => (StatusCode::BAD_REQUEST, "invalid_grant", why.clone()),
            Refusal::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "no token can be made now; try again".to_owned(),
            ),
        }
    }
}

/// Answers one request to the name where tokens are made.
pub(super) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_token = request.uri().path() == PATH;
    if !is_token || request.method() != Method::POST {
        let message = "there is nothing here but `POST /token`";
        return call::failure(ApiError::not_found(message));
    }
    let mut entry = Entry::new(app)
        .within(app, request.headers())
        .from(request.extensions());
    entry.is_about("oauth2", "Token");
    if let Err(error) = entry.knock(app) {
        return call::failure(error);
    }
    let outcome = change(app, &entry, request).await;
    if matches!(outcome, Err(Refusal::InvalidGrant(_))) {
        entry.was_wrong(app);
    }
    let response = respond(&outcome, entry.now());
    entry.count(app, Outcome::of(response.status()));
    response
}

async fn change(
    app: &Arc<App>,
    entry: &Entry,
    request: Request<Incoming>,
) -> Result<(Token, Assertion), Refusal> {
    let text = read(request).await?;
    let claimed = Claimed::read(&text).map_err(|error| invalid_grant(&error))?;
    let credential = match claimed.credential_id() {
        Some(id) => Credential::find(&app.store, id).await.map_err(|error| {
            tracing::error!(%error, "the store could not answer");
            Refusal::Unavailable
        })?,
        None => None,
    };
    let assertion = claimed
        .verify(credential.as_ref(), Purpose::Token, entry.now())
        .map_err(|error| invalid_grant(&error))?;
    // Verified against it, so it is there.
    let credential = credential.ok_or(Refusal::Unavailable)?;
    let key = auth::access_key(app).await.map_err(|error| {
        tracing::error!(%error, "there is no key for access tokens");
        Refusal::Unavailable
    })?;
    let token = key.issue(&credential, assertion.expires());
    record(app, entry, &credential).await?;
    Ok((token, assertion))
}

/// The assertion of the form.
async fn read(request: Request<Incoming>) -> Result<String, Refusal> {
    let invalid = |error: ApiError| Refusal::InvalidRequest(error.message().to_owned());
    let (head, incoming) = request.into_parts();
    let form = body::bytes(&head, incoming, MAX_FORM).await.map_err(invalid)?;
    let form = std::str::from_utf8(&form)
        .map_err(|_| Refusal::InvalidRequest("the form is not UTF-8".to_owned()))?;
    let form = Query::parse(Some(form.trim_end())).map_err(invalid)?;
    if form.string("grant_type").map_err(invalid)? != Some(GRANT) {
        return Err(Refusal::UnsupportedGrantType);
    }
    let assertion = form.string("assertion").map_err(invalid)?;
    assertion
        .map(str::to_owned)
        .ok_or_else(|| Refusal::InvalidRequest("`assertion` is missing: expected a signed JWT".to_owned()))
}

fn invalid_grant(error: &auth::InvalidAssertion) -> Refusal {
    Refusal::InvalidGrant(format!("the assertion is refused: {error}"))
}

async fn record(app: &App, entry: &Entry, credential: &Credential) -> Result<(), Refusal> {
    let audit = AuditRow {
        sequence: 0,
        time: entry.now().as_micros(),
        principal: format!("credential:{}", credential.id()),
        method: "binauthz.GenerateAccessToken".to_owned(),
        resource: Credential::name_of(credential.id()),
        status_code: 0,
        request_id: entry.request_id().to_owned(),
        detail: json!({ "keyId": credential.key_id() }).to_string(),
    };
    let changes = Vec::new();
    app.store
        .commit(Commit { audit, changes })
        .await
        .map_err(|error| {
            tracing::error!(%error, "an access token could not be recorded and is not given");
            Refusal::Unavailable
        })?;
    app.calls.notify_one();
    Ok(())
}

fn respond(outcome: &Result<(Token, Assertion), Refusal>, now: UnixTime) -> Response<Full<Bytes>> {
    let (status, body) = match outcome {
        Ok((token, assertion)) => (
            StatusCode::OK,
            json!({
                "access_token": token.reveal(),
                "expires_in": assertion.expires().as_seconds() - now.as_seconds(),
                "token_type": "Bearer",
            }),
        ),
        Err(refusal) => {
            let (status, error, description) = refusal.answer();
            tracing::debug!(error, description, "no access token is given");
            (
                status,
                json!({ "error": error, "error_description": description }),
            )
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    is_no_page(headers);
    response
}
