//! `audit`: the verdict log as files, verified and handed on by somebody who need not trust the server.

use std::path::{Path, PathBuf};

use binauthz_wire::json::timestamp_from;
use binauthz_wire::tlog::{Checkpoint, Summary, Verifier, VerifierKey};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::audit_merged::Statements;
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
        after_help = "Examples:\n  binauthz audit verify data/journal\n  binauthz audit verify copy --key=log.vkey --checkpoint=kept/checkpoint\n  binauthz audit verify one two three --merged=kept/merged --merged-key=merged.vkey"
    )]
    Verify(VerifyFlags),
    /// Print the newest signed checkpoint, to be kept where the server cannot reach it
    #[command(
        after_help = "Examples:\n  binauthz audit checkpoint > kept/checkpoint\n  binauthz audit checkpoint --merged > kept/merged"
    )]
    Checkpoint {
        /// Print the newest statement over the logs of all servers on the store
        #[arg(long)]
        merged: bool,
    },
    /// Write the records of the log for another program
    #[command(
        after_help = "Examples:\n  binauthz audit export data/journal > verdicts.jsonl\n  binauthz audit export data/journal --as=cef"
    )]
    Export(ExportFlags),
}

/// What to check, and against what.
#[derive(Debug, Args)]
pub struct VerifyFlags {
    /// Folder with the log's files, or a copy of it; those of several servers on one store are checked together
    #[arg(required = true, value_name = "FOLDER")]
    pub(super) folders: Vec<PathBuf>,
    /// Verifier key of the log, or a file that holds it; by default the one in the folder, which proves less
    #[arg(long, value_name = "KEY", conflicts_with_all = ["merged", "merged_key", "gone"])]
    pub(super) key: Option<String>,
    /// Checkpoint that was kept elsewhere; by default the one in the folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["merged", "merged_key", "gone"])]
    pub(super) checkpoint: Option<PathBuf>,
    /// Statement over the logs of all servers that was kept elsewhere; with several folders by default those in the folders
    #[arg(long, value_name = "FILE")]
    pub(super) merged: Option<PathBuf>,
    /// Verifier key of the statements, or a file that holds it; by default the one in a folder, which proves less
    #[arg(long, value_name = "KEY")]
    pub(super) merged_key: Option<String>,
    /// Log that is known not to be there any more, by its name
    #[arg(long, value_name = "LOG")]
    pub(super) gone: Vec<String>,
}

/// What to write, and how.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// Folder with the log's files, or a copy of it; the records of several are put together by their time
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Form of the lines
    #[arg(long = "as", value_enum, default_value_t = Form::Jsonl, value_name = "FORM")]
    form: Form,
}

/// Written to the output at a time.
const OUTPUT_BYTES: usize = 1 << 20;

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
            Command::Checkpoint { merged } => {
                let path = "/binauthz/v1/audit/checkpoint";
                let mut answer = settings.client()?.get(path, &[]).await?;
                if *merged {
                    answer = answer["merged"].take();
                    if answer.is_null() {
                        return Err(Failure::refused(
                            "there is no statement over several logs: the server shares its store with nobody, or none was made yet",
                        ));
                    }
                }
                output::print(answer["checkpoint"].as_str().unwrap_or_default())?;
                Ok(Exit::Done)
            }
            Command::Export(flags) => flags.run(),
        }
    }
}

impl VerifyFlags {
    fn run(&self) -> Result<Exit, Failure> {
        if let Some(statements) = Statements::found(self)? {
            return statements.hold(self);
        }
        if self.folders.len() > 1 && (self.key.is_some() || self.checkpoint.is_some()) {
            return Err(Failure::usage(
                "--key and --checkpoint are of one log: expected one FOLDER with them",
            ));
        }
        for folder in &self.folders {
            let (summary, had_anchor) = self.verified(folder)?;
            output::print(&format!("{}\n", describe(&summary)))?;
            if had_anchor && !summary.anchored {
                output::note(
                    "The checkpoint is older than the oldest segment, so nothing was compared with it.",
                );
            }
        }
        if self.key.is_none() {
            output::note(
                "The key came from the folder itself: --key with one that was kept elsewhere proves more.",
            );
        }
        if self.folders.len() > 1 {
            output::note(
                "Nothing says that these are all: --merged with a statement that was kept elsewhere does.",
            );
        }
        Ok(Exit::Done)
    }

    /// What a log comes to, and whether there was a checkpoint to compare it with.
    fn verified(&self, folder: &Path) -> Result<(Summary, bool), Failure> {
        let key = match &self.key {
            Some(given) => given_key(given)?,
            None => checkpoint_key(folder)?,
        };
        let kept = self.checkpoint.as_deref().map(|file| checkpoint(file, &key));
        let kept = kept.transpose()?;
        verify_files(folder, (key, kept), Vec::new())
    }
}

/// A key that a flag gives, as it is or by the file that has it.
pub(super) fn given_key(given: &str) -> Result<VerifierKey, Failure> {
    let parsed = match given.contains('+') {
        true => given.parse(),
        false => files::read_text(Path::new(given))?.parse(),
    };
    parsed.map_err(Failure::usage)
}

/// The key that lies beside the files of a log.
pub(super) fn checkpoint_key(folder: &Path) -> Result<VerifierKey, Failure> {
    files::read_text(&folder.join("log.vkey"))?
        .parse()
        .map_err(Failure::usage)
}

/// What the files of a log come to under its key, and whether there was a checkpoint to compare them with: the one that was kept, or
/// else the newest that is among them. `stated` is what others say of it.
pub(super) fn verify_files(
    folder: &Path,
    (key, kept): (VerifierKey, Option<Checkpoint>),
    stated: Vec<Checkpoint>,
) -> Result<(Summary, bool), Failure> {
    // Before the lines: a server that is writing makes new ones.
    let newest = folder.join("checkpoint");
    let newest = newest.exists().then(|| checkpoint(&newest, &key)).transpose()?;
    let anchor = kept.or_else(|| newest.clone());
    let had_anchor = anchor.is_some();
    let mut verifier = Verifier::new(key.clone(), anchor);
    for file in files_named(folder, ".checkpoint")? {
        verifier.agree_with(checkpoint(&file, &key)?);
    }
    for checkpoint in newest.into_iter().chain(stated) {
        verifier.agree_with(checkpoint);
    }
    Ok((verify(folder, verifier)?, had_anchor))
}

fn checkpoint(file: &Path, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    Checkpoint::open(&files::read_text(file)?, key)
        .map_err(|why| Failure::refused(format_args!("`{}`: {why}", file.display())))
}

pub(super) fn describe(summary: &Summary) -> String {
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
        let records = self.folders.iter().map(|folder| Records::of(folder));
        let mut merged = Merging::of(records.collect::<Result<_, _>>()?)?;
        let mut text = Vec::with_capacity(OUTPUT_BYTES);
        while let Some((path, line)) = merged.next()? {
            match self.form {
                Form::Jsonl => text.extend_from_slice(&line),
                Form::Cef => {
                    let record: Value = serde_json::from_slice(&line).map_err(|error| {
                        Failure::refused(format_args!("`{}`: a line is no record: {error}", path.display()))
                    })?;
                    text.extend_from_slice(cef::line(&record).as_bytes());
                }
            }
            text.push(b'\n');
            if text.len() >= OUTPUT_BYTES {
                output::print_bytes(&text)?;
                text.clear();
            }
        }
        output::print_bytes(&text)?;
        Ok(Exit::Done)
    }
}

/// The records of one log, one segment in memory at a time.
struct Records {
    files: std::vec::IntoIter<PathBuf>,
    path: PathBuf,
    lines: std::vec::IntoIter<Vec<u8>>,
}

impl Records {
    fn of(folder: &Path) -> Result<Self, Failure> {
        Ok(Self {
            files: files_named(folder, ".jsonl")?.into_iter(),
            path: PathBuf::new(),
            lines: Vec::new().into_iter(),
        })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            let Some(path) = self.files.next() else {
                return Ok(None);
            };
            let bytes = read(&path)?;
            let records: Vec<Vec<u8>> = lines(&bytes)
                .filter(|line| !is_about_the_log(line))
                .map(<[u8]>::to_vec)
                .collect();
            (self.path, self.lines) = (path, records.into_iter());
        }
    }
}

/// Several logs as one: always the record with the earliest time among the next ones of each, so every log keeps its order.
struct Merging {
    logs: Vec<(Records, Option<Vec<u8>>)>,
    times: Vec<i64>,
}

impl Merging {
    fn of(logs: Vec<Records>) -> Result<Self, Failure> {
        let mut merging = Self {
            times: vec![0; logs.len()],
            logs: logs.into_iter().map(|records| (records, None)).collect(),
        };
        for place in 0..merging.logs.len() {
            merging.advance(place)?;
        }
        Ok(merging)
    }

    /// Takes what came next in the log at this place, and gives what is behind it its time.
    fn advance(&mut self, place: usize) -> Result<Option<Vec<u8>>, Failure> {
        let is_alone = self.logs.len() == 1;
        let Some((records, next)) = self.logs.get_mut(place) else {
            return Ok(None);
        };
        let taken = std::mem::replace(next, records.next()?);
        if let (Some(next), Some(time), false) = (next, self.times.get_mut(place), is_alone) {
            *time = time_of(next).unwrap_or(*time);
        }
        Ok(taken)
    }

    /// The next record, and the file that it is from.
    fn next(&mut self) -> Result<Option<(PathBuf, Vec<u8>)>, Failure> {
        let waiting = self.logs.iter().zip(&self.times).enumerate();
        let earliest = waiting
            .filter(|(_, ((_, next), _))| next.is_some())
            .min_by_key(|(_, (_, time))| **time)
            .map(|(place, ((records, _), _))| (place, records.path.clone()));
        let Some((place, path)) = earliest else {
            return Ok(None);
        };
        Ok(self.advance(place)?.map(|line| (path, line)))
    }
}

/// When a record was made, in microseconds.
fn time_of(line: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct When<'a> {
        #[serde(borrow)]
        time: std::borrow::Cow<'a, str>,
    }
    let when: When<'_> = serde_json::from_slice(line).ok()?;
    Some(timestamp_from(&when.time)?.as_micros())
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
