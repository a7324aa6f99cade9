//! The audit log of the API: who changed what.

use binauthz_core::time::UnixTime;
use binauthz_store::{AuditOrder, AuditQuery, AuditRow};
use binauthz_wire::json::timestamp_out;
use binauthz_wire::status::Code;
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;
use crate::merged;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |template, name, handler| Route {
        verb: Verb::Get,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name,
        permission: "binauthz.audit.list",
        class: Class::Read,
        handler,
    };
    vec![
        row("/binauthz/v1/audit", "ListAuditEntries", |app, call| Box::pin(list(app, call))),
        row("/binauthz/v1/audit/checkpoint", "GetCheckpoint", |app, call| Box::pin(checkpoint(app, call))),
    ]
}

/// The newest signed checkpoint of the verdict log, and the key it verifies under: for whoever keeps one elsewhere. With it the
/// newest statement over the logs of all servers, where there are several.
async fn checkpoint(app: &App, _: Call) -> Result<Reply, ApiError> {
    let journal = app.journal.clone();
    let read = tokio::task::spawn_blocking(move || {
        let checkpoint = journal.checkpoint()?;
        Ok::<_, std::io::Error>((checkpoint, merged::kept(journal.folder())?))
    });
    let Ok(Ok((checkpoint, merged))) = read.await else {
        return Err(ApiError::unavailable("the checkpoint cannot be read; try again"));
    };
    let checkpoint =
        checkpoint.ok_or_else(|| ApiError::not_found("the verdict log has no checkpoint yet"))?;
    let mut reply = json!({ "checkpoint": checkpoint, "verifierKey": app.journal.verifier_key() });
    if let Some((statement, key)) = merged {
        reply["merged"] = json!({ "checkpoint": statement, "verifierKey": key });
    }
    Ok(Reply::json(reply))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let page = Page::of(&call, "audit".to_owned(), 50, 1000)?;
    let beyond = page
        .after()
        .map(|sequence| sequence.parse::<i64>())
        .transpose()
        .map_err(|_| ApiError::invalid_argument("`pageToken` is not one of this list"))?;
    let query = AuditQuery {
        order: AuditOrder::NewestFirst,
        beyond,
        limit: page.fetch(),
    };
    let mut rows = app.store.audit_rows(&query).await?;
    let next = page.cut(&mut rows, |row| row.sequence.to_string());
    Ok(Reply::json(listing::reply(
        "entries",
        rows.iter().map(describe).collect(),
        next,
    )))
}

fn describe(row: &AuditRow) -> serde_json::Value {
    let detail = serde_json::from_str::<serde_json::Value>(&row.detail).unwrap_or_else(|_| json!(row.detail));
    json!({
        "sequence": row.sequence.to_string(),
        "time": timestamp_out(UnixTime::from_micros(row.time)),
        "principal": row.principal,
        "method": row.method,
        "resource": row.resource,
        "status": status_name(row.status_code),
        "requestId": row.request_id,
        "detail": detail,
    })
}

fn status_name(number: i32) -> &'static str {
    const CODES: [Code; 16] = [
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];
    if number == 0 {
        return "OK";
    }
    CODES
        .into_iter()
        .find(|code| code.number() == number)
        .map_or("UNKNOWN", Code::name)
}
