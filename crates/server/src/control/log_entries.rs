//! Log entries that others write, and logs that are deleted.

use std::collections::BTreeSet;

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, MAX_ROWS, NewResource};
use binauthz_wire::json::{self, Limits};
use binauthz_wire::logging::{Defaults, WrittenEntry, read_entry};
use serde_json::json;

use super::call::{Call, Reply, require_project};
use super::error::ApiError;
use super::logging::blocking;
use crate::app::App;
use crate::audit::JournalError;
use crate::logs::{Deleted, names, record};

/// Entries of one call, as at Google.
const MOST_ENTRIES: usize = 1_000;
/// Records on their way to the disk at once for one call: 64 × 256 KiB at the very most.
const AT_ONCE: usize = 64;
/// The logs that this server writes itself.
const OWN: [&str; 2] = ["cloudaudit.googleapis.com", "binaryauthorization.googleapis.com"];

/// All entries, or none and the reason; with `partialSuccess` the good ones, and still the reason.
pub(super) async fn write(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    let defaults = Defaults::take(&mut body)?;
    let partly = body.take_optional_bool("partialSuccess")?.unwrap_or_default();
    let dry_run = body.take_optional_bool("dryRun")?.unwrap_or_default();
    let given = body.take_array("entries")?;
    body.finish()?;
    if given.is_empty() {
        // About no project; whoever may write nowhere is told so all the same.
        call.require(app, "logging.logEntries.create", "projects/_")
            .await?;
    }
    if given.len() > MOST_ENTRIES {
        return Err(ApiError::invalid_argument(format!(
            "`entries` has {} entries, expected at most {MOST_ENTRIES}",
            given.len()
        )));
    }
    let (mut entries, mut refused) = (Vec::with_capacity(given.len()), None);
    for element in given {
        match read_entry(element.value, &element.path, &defaults, call.now) {
            Ok(entry) => entries.push(entry),
            Err(why) => {
                refused.get_or_insert(why);
            }
        }
    }
    if refused.is_some() && !partly {
        entries.clear();
    }
    may_be_written(app, &call, &entries).await?;
    if !dry_run {
        keep(app, entries, call.now).await?;
    }
    match refused {
        Some(why) => Err(why.into()),
        None => Ok(Reply::empty()),
    }
}

/// Nobody else writes what this server says of itself, nor into a project that is not there.
async fn may_be_written(app: &App, call: &Call, entries: &[WrittenEntry]) -> Result<(), ApiError> {
    let projects: BTreeSet<&ProjectId> = entries.iter().map(WrittenEntry::project).collect();
    for project in &projects {
        call.require(app, "logging.logEntries.create", &format!("projects/{project}"))
            .await?;
    }
    for project in projects {
        require_project(app, project).await?;
    }
    for entry in entries {
        let entry = entry.clone().into_entry("", call.now);
        let id = entry.log_name().and_then(|name| name.split_once("/logs/"));
        if let Some((_, id)) = id.filter(|(_, id)| is_own(id)) {
            return Err(ApiError::permission_denied(format!(
                "the log `{id}` is written by this server only"
            )));
        }
    }
    Ok(())
}

fn is_own(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    OWN.iter().any(|own| {
        id.strip_prefix(own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("%2f"))
    })
}

async fn keep(app: &App, entries: Vec<WrittenEntry>, now: UnixTime) -> Result<(), ApiError> {
    let mut left = entries.into_iter().peekable();
    while left.peek().is_some() {
        let waiting: Vec<_> = left
            .by_ref()
            .take(AT_ONCE)
            .map(|entry| app.entries.append(record(&entry.into_entry("", now), now)))
            .collect();
        for durable in waiting {
            durable.await.map_err(|why| match why {
                JournalError::TooLong { .. } => {
                    ApiError::invalid_argument(format!("an entry is too long: {why}"))
                }
                other => {
                    tracing::error!(%other, "log entries could not be kept");
                    ApiError::unavailable("the entries cannot be written; try again")
                }
            })?;
        }
    }
    Ok(())
}

/// Hides what a log has. The entries stay on the disk until their time is over.
pub(super) async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let id = call.param("log").replace('/', "%2F");
    if is_own(&id) {
        return Err(ApiError::failed_precondition(format!(
            "the log `{id}` is the record of this server and cannot be deleted"
        )));
    }
    let name = format!("projects/{project}/logs/{id}");
    let deleted = deleted(app, &project).await?;
    let projects = vec![project.to_string()];
    let known = blocking(app, move |journals| names(journals, &projects, &deleted)).await?;
    if !known.contains(&name) {
        return Err(ApiError::not_found(format!("`{name}` was not found")));
    }
    let resource = NewResource {
        kind: Kind::DeletedLog,
        name,
        parent: format!("projects/{project}"),
        document: json!({ "until": call.now.as_micros() }).to_string(),
    };
    let put = Change::Put {
        resource,
        expect: None,
    };
    call.commit(app, vec![put]).await?;
    Ok(Reply::empty())
}

/// The logs of a project that were deleted.
pub(super) async fn deleted(app: &App, project: &ProjectId) -> Result<Vec<Deleted>, ApiError> {
    let query = ListQuery {
        kind: Kind::DeletedLog,
        parent: format!("projects/{project}"),
        after: None,
        limit: MAX_ROWS,
    };
    let mut deleted = Vec::new();
    for row in app.store.list(&query).await? {
        let document = json::parse(row.document.as_bytes(), Limits::API)?;
        let mut document = json::Object::new(document, "")?;
        deleted.push(Deleted {
            log_name: row.name,
            until: UnixTime::from_micros(document.take_i64("until")?),
        });
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_this_server_are_known_in_any_case() {
        for id in [
            "cloudaudit.googleapis.com%2Factivity",
            "CloudAudit.googleapis.com%2fdata_access",
            "binaryauthorization.googleapis.com%2Fpolicy",
            "cloudaudit.googleapis.com",
        ] {
            assert!(is_own(id), "{id}");
        }
        for id in [
            "mylog",
            "cloudaudit.googleapis.com.evil%2Fx",
            "x%2Fcloudaudit.googleapis.com",
        ] {
            assert!(!is_own(id), "{id}");
        }
    }
}
