//! Brings the audit rows of the API into the signed log.
//!
//! A row is written in the transaction of its change, so neither is there without the other. From there a job copies it
//! into the log, once: the newest copy in the log says how far the job has come. Of servers on one store each copies the
//! calls that it answered itself, so all logs together have every call once. Rows that are older than what the log keeps are
//! forgotten in the store, too.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_store::{AuditOrder, AuditQuery, AuditRow, Change, Commit, CommitError};
use binauthz_wire::json::timestamp_out;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::record::{CALL, Call, glance};
use crate::app::App;
use crate::audit::{Direction, Journal, MAXIMUM_RECORD, escape};
use crate::listen::Shutdown;

/// Rows read at a time.
const ROWS: u32 = 256;
/// From one look for rows that are too old to the next.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// Rows forgotten in one commit: some 10 MB of them, within 100 ms on a slow disk.
const PRUNED_AT_ONCE: u32 = 10_000;
/// What the log adds to a record.
const LINK: usize = 256;

/// Copies rows as they come, until the server stops. What is left then is copied at the next start.
pub(crate) async fn record_calls(app: Arc<App>, mut shutdown: Shutdown) {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruning = tokio::time::interval(PRUNE_EVERY);
    let mut place = None;
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = clock.tick() => {}
            _ = pruning.tick() => {
                if let Err(error) = prune(&app).await {
                    tracing::error!(%error, "the oldest rows of the audit log are not forgotten");
                }
            }
            () = app.calls.notified() => {}
        }
        match copy(&app, &mut place).await {
            Ok(()) => {
                let now = (app.clock)().as_micros();
                app.calls_recorded.store(now, Ordering::Relaxed);
            }
            Err(why) => {
                tracing::error!(%why, "calls could not be brought into the signed log");
                // What the log has is to be looked up again.
                place = None;
            }
        }
    }
}

/// Forgets rows of calls from before the time that the log is kept for. That it was done is a row itself.
async fn prune(app: &App) -> Result<(), CommitError> {
    let now = (app.clock)().as_micros();
    let kept = i64::try_from(app.settings.journal_kept.time().as_micros()).unwrap_or(i64::MAX);
    let before = now.saturating_sub(kept);
    let oldest = AuditQuery {
        order: AuditOrder::OldestFirst,
        beyond: None,
        limit: 1,
    };
    while app
        .store
        .audit_rows(&oldest)
        .await?
        .first()
        .is_some_and(|row| row.time < before)
    {
        let audit = AuditRow {
            sequence: 0,
            time: now,
            principal: "system:binauthz".to_owned(),
            method: "binauthz.PruneAudit".to_owned(),
            resource: "binauthz/v1/audit".to_owned(),
            status_code: 0,
            request_id: String::new(),
            detail: json!({ "before": timestamp_out(UnixTime::from_micros(before)) }).to_string(),
        };
        let changes = vec![Change::PruneAudit {
            before,
            most: PRUNED_AT_ONCE,
        }];
        app.store.commit(Commit { audit, changes }).await?;
    }
    Ok(())
}

/// How far the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    /// The newest row that it has.
    sequence: Option<i64>,
    /// Where it has none: rows of before are older than the log.
    since: i64,
}

async fn copy(app: &App, place: &mut Option<Reached>) -> Result<(), String> {
    let mut reached = match *place {
        Some(reached) => reached,
        None => {
            let journal = app.journal.clone();
            let found = tokio::task::spawn_blocking(move || reached_by(&journal)).await;
            found
                .map_err(|why| why.to_string())?
                .map_err(|why| why.to_string())?
        }
    };
    loop {
        let rows = app
            .store
            .own_audit_rows(reached.sequence, ROWS)
            .await
            .map_err(|why| why.to_string())?;
        for row in &rows {
            if row.time >= reached.since {
                // One after the other: a row never stands before an older one, nor without it.
                app.journal
                    .append(line(row))
                    .await
                    .map_err(|why| why.to_string())?;
            }
            reached.sequence = Some(row.sequence);
            *place = Some(reached);
        }
        if rows.is_empty() {
            *place = Some(reached);
            return Ok(());
        }
    }
}

/// How far the log goes, by what is in it. Blocks on the disk.
fn reached_by(journal: &Journal) -> io::Result<Reached> {
    let mut newest = None;
    journal.walk((Direction::Backward, None), &mut |line| {
        if !line.bytes.starts_with(CALL) {
            return ControlFlow::Continue(());
        }
        newest = serde_json::from_slice::<Call<'_>>(line.bytes)
            .ok()
            .map(|call| call.audit_sequence);
        match newest {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    })?;
    // A log of which old segments were removed had rows that it has no longer; they are not copied again.
    let firsts = journal.firsts(glance)?;
    let since = match firsts.first() {
        Some((segment, (_, time))) if *segment > 1 => time.as_micros(),
        _ => i64::MIN,
    };
    Ok(Reached {
        sequence: newest,
        since: if newest.is_some() { i64::MIN } else { since },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    log: &'static str,
    time: String,
    audit_sequence: i64,
    principal: &'a str,
    method: &'a str,
    resource: &'a str,
    code: i32,
    request_id: &'a str,
    detail: Map<String, Value>,
}

/// The row as a record. Where its facts make it too long, they are left out.
fn line(row: &AuditRow) -> Vec<u8> {
    let detail: Map<String, Value> = serde_json::from_str(&row.detail).unwrap_or_default();
    let whole = written(row, detail.clone());
    if whole.len() + LINK <= MAXIMUM_RECORD {
        return whole;
    }
    let mut kept: Map<String, Value> = detail
        .into_iter()
        .filter(|(name, _)| ["permission", "version", "userAgent", "message"].contains(&name.as_str()))
        .collect();
    kept.insert("truncated".to_owned(), true.into());
    written(row, kept)
}

fn written(row: &AuditRow, detail: Map<String, Value>) -> Vec<u8> {
    let line = Line {
        log: "call",
        time: timestamp_out(UnixTime::from_micros(row.time)),
        audit_sequence: row.sequence,
        principal: &row.principal,
        method: &row.method,
        resource: &row.resource,
        code: row.status_code,
        request_id: &row.request_id,
        detail,
    };
    // Strings, numbers and a map with string keys: nothing to fail on.
    escape(serde_json::to_vec(&line).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::record::Kind;
    use super::*;

    fn row(text: &str, fact: &str) -> AuditRow {
        AuditRow {
            sequence: 7,
            time: 1_000_000,
            principal: "token:ci".to_owned(),
            method: "binaryauthorization.UpdatePolicy".to_owned(),
            resource: text.to_owned(),
            status_code: 3,
            request_id: "id".to_owned(),
            detail: json!({"permission": "a.b.c", "message": text, "userAgent": text, "fact": fact})
                .to_string(),
        }
    }

    #[test]
    fn a_row_is_a_record_that_is_recognised() {
        let line = line(&row("projects/p/policy", "x"));
        assert_eq!(glance(&line), Some((Kind::Call, UnixTime::from_seconds(1))));
        let call: Call<'_> = serde_json::from_slice(&line).unwrap();
        assert_eq!((call.audit_sequence, call.code), (7, 3));
        assert_eq!(call.detail["fact"], "x");
        assert_eq!(call.resource, "projects/p/policy");
    }

    #[test]
    fn a_long_row_loses_its_facts_only() {
        for character in ["x", "\"", "\n", "\u{202e}", "💣"] {
            let text = character.repeat(512);
            let line = line(&row(&text, &character.repeat(20_000)));
            assert!(line.len() + LINK <= MAXIMUM_RECORD, "{}", line.len());
            let call: Call<'_> = serde_json::from_slice(&line).unwrap();
            assert_eq!(call.detail["truncated"], true);
            assert_eq!(call.detail["message"], text.as_str());
            assert!(!call.detail.contains_key("fact"));
        }
    }
}
