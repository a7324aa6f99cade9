//! The one wrapper around every call of the API port: authenticate, match, read, handle, report.
//!
//! A handler runs as a task of its own, so that neither a panic in it nor a client that hangs up between the commit and
//! the invalidation of a cache leaves a half-done call behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_store::{AuditRow, Change, Commit, Committed, Kind};
use binauthz_wire::json::{Object, Value};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use super::entry::Entry;
use super::error::ApiError;
use super::query::Query;
use super::routes::{self, ApiVersion, Class, Guard, Route, Verb};
use super::template::{Captured, Unmatched};
use super::verb_override;
use crate::access::{self, On};
use crate::app::App;
use crate::auth::Caller;
use crate::headers::is_no_page;
use crate::metrics::Outcome;

/// The longest text taken from a request into an audit row: a resource name or a user agent of any client fits.
const MAX_AUDIT_TEXT: usize = 512;

/// What a handler is given.
pub(crate) struct Call {
    pub(crate) version: ApiVersion,
    pub(crate) caller: Caller,
    /// When the call began; the time of everything it writes.
    pub(crate) now: UnixTime,
    pub(crate) request_id: String,
    pub(crate) query: Query,
    /// The row's template: which address was called, whatever its parameters are.
    pub(crate) template: &'static str,
    params: Vec<(&'static str, String)>,
    body: Value,
    audit: Arc<Audit>,
}

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply(serde_json::Value);

impl Reply {
    pub(crate) fn json(body: serde_json::Value) -> Reply {
        Reply(body)
    }

    /// `{}`.
    pub(crate) fn empty() -> Reply {
        Reply(json!({}))
    }

    /// The body.
    pub(crate) fn into_json(self) -> serde_json::Value {
        self.0
    }
}

impl Call {
    /// A captured segment of the path, decoded once. Empty if the template has no such parameter, which no name grammar
    /// accepts.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }

    /// The client's user agent, cut to what an audit row holds of it.
    pub(crate) fn user_agent(&self) -> &str {
        &self.audit.user_agent
    }

    /// The project of the path.
    pub(crate) fn project(&self) -> Result<ProjectId, ApiError> {
        Ok(self.param("project").parse()?)
    }

    /// The reader of the body; an absent body reads as `{}`.
    pub(crate) fn body_object(&mut self) -> Result<Object, ApiError> {
        Ok(Object::new(self.take_body(), "")?)
    }

    /// The body itself, once.
    pub(crate) fn take_body(&mut self) -> Value {
        std::mem::replace(&mut self.body, Value::Null)
    }

    /// A required query parameter.
    pub(crate) fn query_string(&self, name: &str) -> Result<&str, ApiError> {
        self.query.string(name)?.ok_or_else(|| {
            ApiError::invalid_argument(format!(
                "query parameter `{name}` is missing: expected `?{name}=…`"
            ))
        })
    }

    /// The `pageSize` asked for, or `default` when none or 0 is; never more than `most`.
    pub(crate) fn page_size(&self, default: u32, most: u32) -> Result<u32, ApiError> {
        Ok(self
            .query
            .number("pageSize")?
            .filter(|size| *size > 0)
            .unwrap_or(default)
            .min(most))
    }

    /// Refuses a caller who lacks a permission on another resource that the call is about, too.
    pub(crate) async fn require(&self, app: &App, permission: &str, name: &str) -> Result<(), ApiError> {
        access::require(app, &self.caller, permission, On::Resource(name), self.now).await
    }

    /// Whether the caller has a permission on another resource.
    pub(crate) async fn allows(&self, app: &App, permission: &str, name: &str) -> Result<bool, ApiError> {
        Ok(access::allows(app, &self.caller, permission, On::Resource(name), self.now).await?)
    }

    /// The name of a resource, in a sentence; `otherwise` to a caller who lacks the permission to read it.
    pub(crate) async fn named(
        &self,
        app: &App,
        (permission, name): (&str, &str),
        otherwise: &str,
    ) -> Result<String, ApiError> {
        Ok(match self.allows(app, permission, name).await? {
            true => format!("`{name}`"),
            false => otherwise.to_owned(),
        })
    }

    /// Commits the changes of this call with its audit row, in one transaction. The row names the first changed resource;
    /// a call that only has to be reported passes no change and is reported under its path.
    pub(crate) async fn commit(&self, app: &App, changes: Vec<Change>) -> Result<Committed, ApiError> {
        self.commit_with(app, changes, serde_json::Map::new()).await
    }

    /// As [`Call::commit`], with facts for the audit row's detail.
    pub(crate) async fn commit_with(
        &self,
        app: &App,
        changes: Vec<Change>,
        facts: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Committed, ApiError> {
        let resource = changes
            .iter()
            .find_map(changed_name)
            .unwrap_or(&self.audit.resource)
            .to_owned();
        let audit = self.audit.row(&resource, 0, facts);
        let any = |is: fn(Kind) -> bool| changes.iter().any(|change| change.kind().is_some_and(is));
        let (is_watched, changes_access, is_due) = (
            any(is_watched),
            any(is_access),
            changes
                .iter()
                .any(|change| matches!(change, Change::RetryDeadLetter { .. })),
        );
        let committed = app.store.commit(Commit { audit, changes }).await?;
        if changes_access {
            app.policies.invalidate();
        }
        if is_watched {
            app.alerts.changed.tell();
        }
        if is_due {
            app.alerts.due.notify_one();
        }
        self.audit.recorded.store(true, Ordering::Release);
        app.calls.notify_one();
        Ok(committed)
    }
}

/// Whether resources of this kind say who may do what.
pub(crate) fn is_access(kind: Kind) -> bool {
    matches!(kind, Kind::IamPolicy | Kind::Role)
}

/// Whether alerts are told apart by resources of this kind.
pub(crate) fn is_watched(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::AlertPolicy | Kind::LogMetric | Kind::Project | Kind::Cluster
    )
}

/// The resource a change is about. `Require` changes nothing, tokens and sealed keys are named by their own rows.
fn changed_name(change: &Change) -> Option<&str> {
    match change {
        Change::Insert(resource) | Change::Put { resource, .. } => Some(&resource.name),
        Change::Replace { name, .. } | Change::Delete { name, .. } | Change::DeleteOccurrence { name } => {
            Some(name)
        }
        Change::InsertOccurrence(row) | Change::ReplaceOccurrence(row) => Some(&row.name),
        Change::RevokeToken { id }
        | Change::RetryDeadLetter { id, .. }
        | Change::DeleteDeadLetter { id, .. } => Some(id),
        Change::InsertToken(row) => Some(&row.id),
        Change::Clear { .. }
        | Change::Require { .. }
        | Change::PutSealedKey { .. }
        | Change::DeleteSealedKey { .. } => None,
    }
}

/// What the audit row of a call says whatever comes of it.
struct Audit {
    time: UnixTime,
    principal: String,
    method: String,
    resource: String,
    request_id: String,
    permission: &'static str,
    version: ApiVersion,
    user_agent: String,
    recorded: AtomicBool,
}

impl Audit {
    fn row(
        &self,
        resource: &str,
        code: i32,
        mut facts: serde_json::Map<String, serde_json::Value>,
    ) -> AuditRow {
        facts.insert("permission".to_owned(), json!(self.permission));
        facts.insert("version".to_owned(), json!(self.version.as_str()));
        facts.insert("userAgent".to_owned(), json!(self.user_agent));
        AuditRow {
            sequence: 0,
            time: self.time.as_micros(),
            principal: self.principal.clone(),
            method: self.method.clone(),
            resource: cut(resource),
            status_code: code,
            request_id: self.request_id.clone(),
            detail: serde_json::Value::Object(facts).to_string(),
        }
    }
}

/// Cuts a text from outside to what an audit row holds of it.
fn cut(text: &str) -> String {
    text.chars().take(MAX_AUDIT_TEXT).collect()
}

/// What a call asks. `given` is its query and its body, read once the caller may make the call.
pub(crate) struct Asked<'a, G> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The name of the API's method, where the protocol says it.
    pub(crate) name: Option<&'static str>,
    pub(crate) given: G,
}

/// Answers one request of the API port.
pub(crate) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut entry = Entry::new(app).within(app, &head.headers).from(&head.extensions);
    let outcome = rest(app, &mut entry, &head, body).await;
    let response = respond(outcome, head.uri.query(), &entry.request_id);
    entry.count(app, Outcome::of(response.status()));
    response
}

async fn rest(app: &Arc<App>, entry: &mut Entry, head: &Parts, body: Incoming) -> Result<Reply, ApiError> {
    let caller = entry.caller(app, &head.headers).await?;
    let method = verb_override::method(head)?;
    let asked = Asked {
        method: method.clone(),
        path: head.uri.path(),
        headers: &head.headers,
        name: None,
        given: verb_override::read(&method, head, body),
    };
    perform(app, entry, caller, asked).await
}

/// The table of contents of a call.
pub(crate) async fn perform<G>(
    app: &Arc<App>,
    entry: &mut Entry,
    caller: Caller,
    asked: Asked<'_, G>,
) -> Result<Reply, ApiError>
where
    G: Future<Output = Result<(Query, Value), ApiError>>,
{
    let (route, captured) = find(&asked.method, asked.path)?;
    if let Some(name) = asked.name.filter(|name| *name != route.name) {
        let path = cut(asked.path);
        return Err(ApiError::invalid_argument(format!(
            "`{path}` names nothing that `{name}` is about"
        )));
    }
    entry.label = (route.api.as_str(), route.name);
    let audit = Arc::new(Audit {
        time: entry.now,
        principal: caller.principal().to_owned(),
        method: format!("{}.{}", route.api.as_str(), route.name),
        resource: cut(asked.path.trim_start_matches('/')),
        request_id: entry.request_id.clone(),
        permission: route.permission,
        version: captured.version,
        user_agent: user_agent(asked.headers),
        recorded: AtomicBool::new(false),
    });
    let outcome = match permitted(app, &caller, route, &captured, entry.now).await {
        Err(error) => {
            if route.class == Class::Write {
                app.rates.refused(caller.principal());
            }
            Err(error)
        }
        Ok(()) => {
            let given = asked.given.await;
            match make(app, given, (route, captured), caller, Arc::clone(&audit)).await {
                Ok(call) => run(app, route, call).await,
                Err(error) => Err(error),
            }
        }
    };
    match route.class {
        Class::Read | Class::Ingest => outcome,
        Class::Write => report(app, &audit, outcome).await,
    }
}

/// Refuses a caller who lacks the permission of the row, as far as the path says what it is about.
async fn permitted(
    app: &App,
    caller: &Caller,
    route: &Route,
    captured: &Captured,
    now: UnixTime,
) -> Result<(), ApiError> {
    let name = access::named(route, &captured.params);
    let on = match route.guard() {
        Guard::Anyone | Guard::Handler => return Ok(()),
        Guard::Installation => On::Installation,
        Guard::Resource => On::Resource(name.as_deref().unwrap_or_default()),
    };
    access::require(app, caller, route.permission, on, now).await
}

fn user_agent(headers: &HeaderMap) -> String {
    headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(cut)
        .unwrap_or_default()
}

/// The row of the route table.
fn find(method: &Method, path: &str) -> Result<(&'static Route, Captured), ApiError> {
    routes::table()
        .find(Verb::of(method), path)
        .map_err(|unmatched| match unmatched {
            Unmatched::Undecodable => {
                ApiError::invalid_argument("the path is not valid percent-encoded UTF-8")
            }
            Unmatched::UnknownPath => ApiError::not_found(format!(
                "`{method} {}` is not an address of this server",
                cut(path)
            )),
            Unmatched::UnknownVerb { given, known } => ApiError::not_found(format!(
                "`:{}` in `{}` is no method of this address{}",
                cut(&given),
                cut(path),
                match known.as_slice() {
                    [] => String::new(),
                    known => format!(", expected none or `:{}`", known.join("`, `:")),
                }
            )),
            Unmatched::OtherMethods(verbs) => {
                let verbs: Vec<&str> = verbs.into_iter().map(Verb::as_str).collect();
                ApiError::not_found(format!(
                    "`{}` is not served for `{method}`, expected {}",
                    cut(path),
                    verbs.join(" or ")
                ))
            }
        })
}

/// Everything a handler is given, read and bounded; about a project that exists, if it is about one.
async fn make(
    app: &Arc<App>,
    given: Result<(Query, Value), ApiError>,
    (route, captured): (&Route, Captured),
    caller: Caller,
    audit: Arc<Audit>,
) -> Result<Call, ApiError> {
    let (query, body) = given?;
    let call = Call {
        version: captured.version,
        caller,
        now: audit.time,
        request_id: audit.request_id.clone(),
        query,
        template: route.template,
        params: captured.params,
        body,
        audit,
    };
    // Whoever may call about any project is not told by an error which ones there are.
    if route.guard() != Guard::Anyone && call.params.iter().any(|(name, _)| *name == "project") {
        require_project(app, &call.project()?).await?;
    }
    Ok(call)
}

/// With `--dev` any project exists; otherwise those that were created.
pub(super) async fn require_project(app: &App, project: &ProjectId) -> Result<(), ApiError> {
    if app.settings.dev
        || app
            .store
            .resource(Kind::Project, &format!("projects/{project}"))
            .await?
            .is_some()
    {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "project `{project}` does not exist: create it with `binauthz projects create {project}`"
    )))
}

/// Runs the handler to its end, whatever the client does meanwhile.
async fn run(app: &Arc<App>, route: &'static Route, call: Call) -> Result<Reply, ApiError> {
    let request_id = call.request_id.clone();
    let task = tokio::spawn({
        let app = Arc::clone(app);
        async move { (route.handler)(&app, call).await }
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, request_id, method = route.name, "a handler did not finish");
        Err(ApiError::internal(&request_id))
    })
}

/// Sees to it that a writing call left its audit row: the handler wrote it with its changes, or it is written here.
async fn report(app: &App, audit: &Audit, outcome: Result<Reply, ApiError>) -> Result<Reply, ApiError> {
    let (code, facts) = match &outcome {
        Ok(_) if audit.recorded.load(Ordering::Acquire) => return outcome,
        Ok(_) => (0, serde_json::Map::new()),
        Err(error) => (
            error.code().number(),
            [("message".to_owned(), json!(cut(error.message())))]
                .into_iter()
                .collect(),
        ),
    };
    let row = audit.row(&audit.resource, code, facts);
    match (
        app.store
            .commit(Commit {
                audit: row,
                changes: Vec::new(),
            })
            .await,
        outcome,
    ) {
        (Ok(_), outcome) => {
            app.calls.notify_one();
            outcome
        }
        // A failure is answered as it is; that it could not be recorded is for the operator to know.
        (Err(error), Err(failure)) => {
            tracing::error!(%error, request_id = audit.request_id, "a failed call could not be recorded");
            Err(failure)
        }
        (Err(error), Ok(_)) => Err(error.into()),
    }
}

/// The answer to a request that is no call of the route table.
pub(crate) fn failure(error: ApiError) -> Response<Full<Bytes>> {
    respond(Err(error), None, "")
}

fn respond(outcome: Result<Reply, ApiError>, query: Option<&str>, request_id: &str) -> Response<Full<Bytes>> {
    let (status, body) = match &outcome {
        Ok(reply) => (StatusCode::OK, &reply.0),
        Err(error) => (error.http_status(), &error.to_json()),
    };
    let pretty = query.is_some_and(|query| query.split('&').any(|pair| pair == "prettyPrint=true"));
    let mut text = if pretty {
        format!("{body:#}")
    } else {
        body.to_string()
    };
    text.push('\n');
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    is_no_page(headers);
    if let Some(value) = HeaderValue::from_str(request_id).ok().filter(|id| !id.is_empty()) {
        headers.insert("x-request-id", value);
    }
    if let Err(error) = &outcome
        && let Some(wait) = error.retry_after()
    {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(wait.0));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"binauthz\""),
        );
    }
    response
}
