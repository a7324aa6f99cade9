//! `logs`: what was decided, and what was changed.

use std::time::Duration;

use binauthz_core::{decision::Reason, time::UnixTime};
use binauthz_wire::json::timestamp_out;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::tail;
use crate::{
    duration,
    failure::{Exit, Failure},
    listing::limit,
    output,
    settings::Settings,
    snapshot::now,
};

/// Columns of a verdict.
pub(crate) const DECISION_COLUMNS: &str = "time,verdict,effect,reason,cluster.basename(),namespace,kind,name,\
                                           images[].image.basename():label=IMAGES";
const AUDIT_COLUMNS: &str = "time,principal,method,resource,status";

/// Entries shown when nothing is said about it: a screen of them.
const SHOWN: usize = 50;

/// What to read.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verdicts of the admission webhook, newest first
    #[command(
        after_help = "Examples:\n  binauthz logs list --limit=20\n  binauthz logs list --verdict=deny --since=24h --namespace=prod\n  \
        binauthz logs list --effect=break-glass --format=json"
    )]
    List(DecisionFlags),
    /// Verdicts as they are given, one line each, until Ctrl-C
    Tail(tail::Flags),
    /// Changes through the API, newest first
    #[command(after_help = "Examples:\n  binauthz logs audit --limit=20")]
    Audit(ListFlags),
}

/// How much.
#[derive(Debug, Args)]
pub struct ListFlags {
    /// At most so many (50 by default)
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<usize>,
}

impl ListFlags {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(SHOWN)
    }

    /// Shows the entries, and says so where nobody asked for the end of them.
    fn show(&self, entries: &[Value], columns: &str, settings: &Settings) -> Result<(), Failure> {
        output::show_list(settings.format.as_ref(), entries, columns)?;
        if self.limit.is_none() && entries.len() >= SHOWN {
            output::note(&format!(
                "Listed the newest {SHOWN}; --limit=unlimited lists all."
            ));
        }
        Ok(())
    }
}

/// Which verdicts.
#[derive(Debug, Args)]
pub struct DecisionFlags {
    #[command(flatten)]
    list: ListFlags,
    /// Only what was admitted, or only what was refused
    #[arg(long, value_parser = ["allow", "deny"], ignore_case = true)]
    verdict: Option<String>,
    /// Only of this namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only with an image whose reference has this in it
    #[arg(long, value_name = "TEXT")]
    image: Option<String>,
    /// Only of the last span of time, e.g. 24h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Only with this effect
    #[arg(long, value_parser = ["enforced", "dry-run", "break-glass"], ignore_case = true)]
    effect: Option<String>,
    /// Only with this reason code, e.g. NO_ATTESTATIONS
    #[arg(long, value_name = "CODE", value_parser = Reason::CODES, ignore_case = true)]
    reason: Option<String>,
}

impl DecisionFlags {
    /// As the server's list takes them.
    fn query(&self) -> Vec<(&'static str, String)> {
        let word = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.to_ascii_uppercase().replace('-', "_"))
        };
        let since = self.since.map(|span| {
            let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            let begin = now().as_micros().saturating_sub(micros);
            timestamp_out(UnixTime::from_micros(begin.max(0)))
        });
        let all = [
            ("verdict", word(&self.verdict)),
            ("namespace", self.namespace.clone()),
            ("image", self.image.clone()),
            ("since", since),
            ("effect", word(&self.effect)),
            ("reason", word(&self.reason)),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        match self {
            Command::List(flags) => {
                let client = settings.client()?;
                let path = format!("/binauthz/v1/projects/{}/decisions", settings.project()?);
                let query = flags.query();
                let query: Vec<(&str, &str)> = query
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let decisions = client
                    .list(&path, &query, "decisions", flags.list.limit())
                    .await?;
                flags.list.show(&decisions, DECISION_COLUMNS, settings)?;
            }
            Command::Tail(flags) => return flags.run(settings).await,
            Command::Audit(flags) => {
                let client = settings.client()?;
                let entries = client
                    .list("/binauthz/v1/audit", &[], "entries", flags.limit())
                    .await?;
                flags.show(&entries, AUDIT_COLUMNS, settings)?;
            }
        }
        Ok(Exit::Done)
    }
}
