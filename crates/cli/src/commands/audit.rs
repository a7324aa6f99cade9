//! `audit`: the verdict log as files, verified and handed on by somebody who need not trust the server.

use std::path::{Path, PathBuf};

use binauthz_wire::tlog::{Checkpoint, Summary, Verifier, VerifierKey};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{cef, files};
use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// A segment ends at 64 MiB; one batch of records may still follow.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check offline that no record of the log was changed, removed, added or moved
    #[command(
        after_help = "Examples:\n  binauthz audit verify data/journal\n  binauthz audit verify copy --key=log.vkey --checkpoint=kept/checkpoint"
    )]
    Verify(VerifyFlags),
    /// Print the newest signed checkpoint, to be kept where the server cannot reach it
    #[command(after_help = "Examples:\n  binauthz audit checkpoint > kept/checkpoint")]
    Checkpoint,
    /// Write the records of the log for another program
    #[command(
        after_help = "Examples:\n  binauthz audit export data/journal > verdicts.jsonl\n  binauthz audit export data/journal --as=cef"
    )]
    Export(ExportFlags),
}

/// What to check, and against what.
#[derive(Debug, Args)]
pub struct VerifyFlags {
    /// Folder with the log's files, or a copy of it
    folder: PathBuf,
    /// Verifier key of the log, or a file that holds it; by default the one in the folder, which proves less
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Checkpoint that was kept elsewhere; by default the one in the folder
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// What to write, and how.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// Folder with the log's files, or a copy of it
    folder: PathBuf,
    /// Form of the lines
    #[arg(long = "as", value_enum, default_value_t = Form::Jsonl, value_name = "FORM")]
    form: Form,
}

/// A form of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One JSON object a line, as recorded
    Jsonl,
    /// ArcSight's Common Event Format
    Cef,
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        match self {
            Command::Verify(flags) => flags.run(),
            Command::Checkpoint => {
                let answer = settings
                    .client()?
                    .get("/binauthz/v1/audit/checkpoint", &[])
                    .await?;
                output::print(answer["checkpoint"].as_str().unwrap_or_default())?;
                Ok(Exit::Done)
            }
            Command::Export(flags) => flags.run(),
        }
    }
}

impl VerifyFlags {
    fn run(&self) -> Result<Exit, Failure> {
        let (summary, had_anchor) = self.verified()?;
        output::print(&format!("{}\n", describe(&summary)))?;
        if self.key.is_none() {
            output::note(
                "The key came from the folder itself: --key with one that was kept elsewhere proves more.",
            );
        }
        if had_anchor && !summary.anchored {
            output::note("The checkpoint is older than the oldest segment, so nothing was compared with it.");
        }
        Ok(Exit::Done)
    }

    /// What the log comes to, and whether there was a checkpoint to compare it with.
    fn verified(&self) -> Result<(Summary, bool), Failure> {
        let key = self.key()?;
        // Before the lines: a server that is writing makes new ones.
        let newest = self.folder.join("checkpoint");
        let newest = newest.exists().then(|| checkpoint(&newest, &key)).transpose()?;
        let kept = self.checkpoint.as_deref().map(|file| checkpoint(file, &key));
        let anchor = kept.transpose()?.or_else(|| newest.clone());
        let had_anchor = anchor.is_some();
        let mut verifier = Verifier::new(key.clone(), anchor);
        for file in files_named(&self.folder, ".checkpoint")? {
            verifier.agree_with(checkpoint(&file, &key)?);
        }
        if let Some(newest) = newest {
            verifier.agree_with(newest);
        }
        Ok((verify(&self.folder, verifier)?, had_anchor))
    }

    fn key(&self) -> Result<VerifierKey, Failure> {
        let text = match &self.key {
            Some(text) if text.contains('+') => text.clone(),
            Some(file) => files::read_text(Path::new(file))?,
            None => files::read_text(&self.folder.join("log.vkey"))?,
        };
        text.parse().map_err(Failure::usage)
    }
}

fn checkpoint(file: &Path, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    Checkpoint::open(&files::read_text(file)?, key)
        .map_err(|why| Failure::refused(format_args!("`{}`: {why}", file.display())))
}

fn describe(summary: &Summary) -> String {
    let Summary {
        origin,
        first,
        size,
        signed,
        ..
    } = summary;
    let mut text = format!(
        "The log {origin} is whole: records {first} to {}, ",
        size.saturating_sub(1)
    );
    text.push_str(&match size.saturating_sub(*signed) {
        0 => "all of them signed for.".to_owned(),
        unsigned => format!("the last {unsigned} not yet signed for."),
    });
    if summary.unconfirmed > 0 {
        text.push_str(&format!(
            " A failing disk kept {} records that were never confirmed.",
            summary.unconfirmed
        ));
    }
    text
}

fn verify(folder: &Path, mut verifier: Verifier) -> Result<Summary, Failure> {
    for path in files_named(folder, ".jsonl")? {
        verifier.begin_file();
        for (number, line) in lines(&read(&path)?).enumerate() {
            verifier.line(line).map_err(|fault| {
                Failure::refused(format_args!("`{}`, line {}: {fault}", path.display(), number + 1))
            })?;
        }
    }
    verifier
        .finish()
        .map_err(|fault| Failure::refused(format_args!("`{}`: {fault}", folder.display())))
}

impl ExportFlags {
    fn run(&self) -> Result<Exit, Failure> {
        for path in files_named(&self.folder, ".jsonl")? {
            let bytes = read(&path)?;
            let mut text = Vec::with_capacity(bytes.len());
            for line in lines(&bytes).filter(|line| !is_about_the_log(line)) {
                match self.form {
                    Form::Jsonl => text.extend_from_slice(line),
                    Form::Cef => {
                        let record: Value = serde_json::from_slice(line).map_err(|error| {
                            Failure::refused(format_args!(
                                "`{}`: a line is no record: {error}",
                                path.display()
                            ))
                        })?;
                        text.extend_from_slice(cef::line(&record).as_bytes());
                    }
                }
                text.push(b'\n');
            }
            output::print_bytes(&text)?;
        }
        Ok(Exit::Done)
    }
}

/// Whether a line says something of the log only.
fn is_about_the_log(line: &[u8]) -> bool {
    line.starts_with(b"{\"log\":\"segment\"") || line.starts_with(b"{\"log\":\"checkpoint\"")
}

/// The files of the log's segments that end so, oldest first: their names sort as their numbers.
fn files_named(folder: &Path, end: &str) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("segment-") && name.ends_with(end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file up to the room that was made ahead of its records.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = files::read_at_most(path, SEGMENT_BYTES_MAX)?;
    let written = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    bytes.truncate(written);
    Ok(bytes)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
