//! `break-glass`: who went through the emergency door, for the people who look at it every week.

use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_out;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    duration,
    failure::{Exit, Failure},
    output::{self, Format},
    settings::Settings,
    snapshot::now,
};

/// Columns of a report.
const COLUMNS: &str = "lastTime:label=LAST,count,principal,namespace,kind,name,images[].basename():label=IMAGES,\
                       justifications[]:label=JUSTIFICATION,overriddenVerdict:label=OVERRIDDEN,\
                       reasons[]:label=REASONS,stillViolating:label=STILL_VIOLATING,stillRunning:label=STILL_RUNNING";
/// A week.
const SINCE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What to know of the emergency door.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What was admitted by break-glass: who, what, why, how often, and whether it would be refused today
    #[command(
        after_help = "Examples:\n  binauthz break-glass report\n  binauthz break-glass report --since=30d --format=markdown > review.md\n  \
        binauthz break-glass report --format=json\n\n\
        STILL_VIOLATING is the verdict of today's policy on the same images. STILL_RUNNING is `unknown`: the server\n\
        does not know what a cluster runs."
    )]
    Report(Flags),
}

/// Which uses.
#[derive(Debug, Args)]
pub struct Flags {
    /// Only of the last span of time (a week by default)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let Command::Report(flags) = self;
        let span = flags.since.unwrap_or(SINCE);
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let since = timestamp_out(UnixTime::from_micros(
            now().as_micros().saturating_sub(micros).max(0),
        ));
        let path = format!(
            "/binauthz/v1/projects/{}/decisions:reportBreakGlass",
            settings.project()?
        );
        let report = settings.client()?.get(&path, &[("since", &since)]).await?;
        if report["isComplete"] == false {
            output::note("There is more than one report holds: ask for a shorter time with --since.");
        }
        match &settings.format {
            Some(Format::Json | Format::Yaml) => output::show_one(settings.format.as_ref(), &report)?,
            format => {
                let uses = report["uses"].as_array().map(Vec::as_slice).unwrap_or_default();
                output::show_list(format.as_ref(), uses, COLUMNS)?;
                output::note(&summary(&report));
            }
        }
        Ok(Exit::Done)
    }
}

fn summary(report: &Value) -> String {
    let since = report["since"].as_str().unwrap_or_default();
    match report["count"].as_u64() {
        None | Some(0) => format!("Nobody went through since {since}."),
        Some(1) => format!("Once since {since}."),
        Some(count) => format!("{count} times since {since}."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn uses() -> Vec<Value> {
        vec![json!({
            "lastTime": "2026-11-23T08:18:25Z", "count": 2, "principal": "alice", "namespace": "prod", "kind": "Pod",
            "name": "web", "images": ["r.test/acme/app:v1"], "justifications": ["INC-1 | `x`\n<b>"],
            "overriddenVerdict": "DENY", "reasons": ["NOT_PINNED"], "stillViolating": "yes", "stillRunning": "unknown",
        })]
    }

    #[test]
    fn a_report_is_a_table_or_markdown() {
        let table = output::render_list(None, &uses(), COLUMNS);
        assert!(table.starts_with("LAST "), "{table}");
        assert!(table.contains("alice") && table.contains("NOT_PINNED"), "{table}");
        let markdown = output::render_list(Some(&Format::Markdown), &uses(), COLUMNS);
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines.len(), 3, "{markdown}");
        assert!(lines[0].starts_with("| LAST | COUNT | PRINCIPAL |"), "{markdown}");
        assert!(lines[1].starts_with("|---|---|"), "{markdown}");
        let why = r"| INC-1 \| \`x\`\\n\<b\> |";
        assert!(
            lines[2].contains(why) && lines[2].contains(r"| NOT\_PINNED |"),
            "{markdown}"
        );
    }

    #[test]
    fn the_end_says_how_often() {
        let said = |count: u64| summary(&json!({"count": count, "since": "S"}));
        assert_eq!(said(0), "Nobody went through since S.");
        assert_eq!(said(1), "Once since S.");
        assert_eq!(said(7), "7 times since S.");
    }
}
