//! The logs of several servers, held against the statements over all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use binauthz_wire::tlog::{Checkpoint, Merged, VerifierKey};

use super::audit::{VerifyFlags, checkpoint_key, describe, given_key, verify_files};
use super::files;
use crate::failure::{Exit, Failure};
use crate::output;

/// Beside the segments of each server: the newest statement that it believed, and the key of it.
const STATEMENT: &str = "merged";
const VERIFIER: &str = "merged.vkey";

/// Statements that were kept, the earliest first: each follows the one before.
pub(super) struct Statements(Vec<Merged>);

impl Statements {
    /// Those of the flags and of the folders; none, if none was asked for and there is none to be found.
    pub(super) fn found(flags: &VerifyFlags) -> Result<Option<Self>, Failure> {
        let mut paths: Vec<PathBuf> = flags.merged.iter().cloned().collect();
        let beside = flags.folders.iter().map(|folder| folder.join(STATEMENT));
        if flags.merged.is_some() || flags.folders.len() > 1 {
            paths.extend(beside.filter(|path| path.exists()));
        }
        if paths.is_empty() {
            return Ok(None);
        }
        let key = key(flags)?;
        let mut statements = Vec::with_capacity(paths.len());
        for path in &paths {
            let statement = Merged::open(&files::read_text(path)?, &key)
                .map_err(|why| Failure::refused(format_args!("`{}`: {why}", path.display())))?;
            statements.push(statement);
        }
        statements.sort_by_key(Merged::number);
        for (earlier, later) in statements.iter().zip(statements.iter().skip(1)) {
            later.follows(earlier).map_err(|why| {
                let (earlier, later) = (earlier.number(), later.number());
                Failure::refused(format_args!(
                    "statement {later} takes back what statement {earlier} said: {why}"
                ))
            })?;
        }
        Ok(Some(Self(statements)))
    }

    /// Every log that was stated is there, once, and is what it was stated to be.
    pub(super) fn hold(&self, flags: &VerifyFlags) -> Result<Exit, Failure> {
        let Some(newest) = self.0.last() else {
            return Ok(Exit::Done);
        };
        let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
        for folder in &flags.folders {
            let own = checkpoint_key(folder)?;
            let origin = own.name().to_owned();
            if let Some(other) = seen.insert(origin.clone(), folder) {
                return Err(Failure::refused(format_args!(
                    "`{}` and `{}` both hold the log {origin}",
                    other.display(),
                    folder.display()
                )));
            }
            let stated = newest.log(&origin);
            // The key that was stated, and not what lies beside the files.
            let key = stated.map_or(own, |stated| stated.key.clone());
            let (summary, _) = verify_files(folder, (key, None), self.said_of(&origin))?;
            output::print(&format!("{}\n", describe(&summary)))?;
            if stated.is_none() {
                output::note(&format!(
                    "No statement speaks of the log {origin}: it is younger, or of somewhere else."
                ));
            }
        }
        for stated in newest.logs() {
            let (origin, size) = (stated.key.name(), stated.checkpoint.size);
            if !seen.contains_key(origin) && !flags.gone.iter().any(|gone| gone == origin) {
                return Err(Failure::refused(format_args!(
                    "the log {origin} is missing: statement {} was signed over {size} records of it",
                    newest.number()
                )));
            }
        }
        output::print(&format!(
            "Together they are what statement {} was signed over.\n",
            newest.number()
        ))?;
        if newest.forgotten() > 0 {
            output::note(&format!(
                "The statement left out {} logs for want of room.",
                newest.forgotten()
            ));
        }
        if flags.merged_key.is_none() {
            output::note(
                "The key came from a folder itself: --merged-key with one that was kept elsewhere proves more.",
            );
        }
        Ok(Exit::Done)
    }

    /// What the statements say of a log.
    fn said_of(&self, origin: &str) -> Vec<Checkpoint> {
        let stated = self.0.iter().filter_map(|statement| statement.log(origin));
        stated.map(|stated| stated.checkpoint.clone()).collect()
    }
}

fn key(flags: &VerifyFlags) -> Result<VerifierKey, Failure> {
    if let Some(given) = &flags.merged_key {
        return given_key(given);
    }
    let beside = flags.folders.iter().map(|folder| folder.join(VERIFIER));
    let path = beside.into_iter().find(|path| path.exists()).ok_or_else(|| {
        Failure::usage("no folder has `merged.vkey`: expected --merged-key with the key of the statements")
    })?;
    files::read_text(&path)?.parse().map_err(Failure::usage)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use binauthz_keyring::LogSigner;
    use binauthz_wire::tlog::{Header, Log, Stated};
    use tempfile::TempDir;

    use super::*;

    /// A log with a key of its own that grows.
    struct Server {
        folder: TempDir,
        key: VerifierKey,
        signer: LogSigner,
        log: Log,
        bytes: Vec<u8>,
    }

    impl Server {
        fn new(name: &str) -> Self {
            let signer = LogSigner::generate().expect("a key");
            let key = VerifierKey::new(name, signer.public()).expect("a name");
            let (folder, log) = (tempfile::tempdir().expect("a folder"), Log::new(name));
            let header = Header {
                segment: 1,
                origin: name.to_owned(),
                tree: log.tree.clone(),
                chain: log.chain,
            };
            let mut server = Self {
                folder,
                key,
                signer,
                log,
                bytes: Vec::new(),
            };
            assert!(server.log.append(&mut server.bytes, &header.body()));
            server.put("log.vkey", server.key.to_string().as_bytes());
            server.grow(3);
            server
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join(name), bytes).expect("written");
        }

        /// Its files are consistent in themselves at any time.
        fn grow(&mut self, records: usize) {
            for _ in 0..records {
                assert!(self.log.append(&mut self.bytes, br#"{"verdict":"DENY"}"#));
            }
            self.put("segment-0000000001.jsonl", &self.bytes);
            self.put("checkpoint", self.note().as_bytes());
        }

        fn note(&self) -> String {
            let checkpoint = self.log.checkpoint();
            let signature = self.signer.sign(&checkpoint.text()).expect("signed");
            checkpoint.note(&self.key, &signature)
        }

        fn says(&self) -> Stated {
            Stated::of(&self.note(), self.key.clone()).expect("it is signed")
        }

        fn copy(&self) -> TempDir {
            let copy = tempfile::tempdir().expect("a folder");
            for entry in fs::read_dir(self.folder.path()).expect("read") {
                let entry = entry.expect("read");
                fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
            }
            copy
        }
    }

    struct Leader(LogSigner, VerifierKey);

    impl Leader {
        fn new() -> Self {
            let signer = LogSigner::generate().expect("a key");
            let key = VerifierKey::new("merged", signer.public()).expect("a name");
            Self(signer, key)
        }

        fn first(&self) -> Merged {
            Merged::first(self.1.name())
        }

        fn note(&self, statement: &Merged) -> String {
            statement.note(&self.1, &self.0.sign(&statement.text()).expect("signed"))
        }

        /// What an outsider finds who kept the key and this statement.
        fn verdict(&self, kept: &Merged, folders: &[&TempDir], gone: &[&str]) -> Result<(), String> {
            let other = tempfile::tempdir().expect("a folder");
            let file = other.path().join("kept");
            fs::write(&file, self.note(kept)).expect("written");
            let flags = VerifyFlags {
                folders: folders.iter().map(|folder| folder.path().to_owned()).collect(),
                key: None,
                checkpoint: None,
                merged: Some(file),
                merged_key: Some(self.1.to_string()),
                gone: gone.iter().map(|&origin| origin.to_owned()).collect(),
            };
            let statements = Statements::found(&flags).map_err(|failure| failure.to_string())?;
            let held = statements.expect("one was given").hold(&flags);
            held.map(drop).map_err(|failure| failure.to_string())
        }
    }

    fn next(statement: &Merged, servers: &[&Server]) -> Merged {
        let said: Vec<Stated> = servers.iter().map(|server| server.says()).collect();
        let (next, faults) = statement.next(&said);
        assert_eq!(faults, []);
        next.expect("something is new")
    }

    #[test]
    fn a_log_that_is_missing_older_doubled_or_another_is_found() {
        let leader = Leader::new();
        let (mut one, mut two) = (Server::new("log/one"), Server::new("log/two"));
        let early = next(&leader.first(), &[&one, &two]);
        let older = two.copy();
        one.grow(2);
        two.grow(2);
        let late = next(&early, &[&one, &two]);
        two.grow(1);
        for kept in [&early, &late] {
            leader
                .verdict(kept, &[&one.folder, &two.folder], &[])
                .expect("nobody touched them");
        }
        let swapped = one.copy();
        fs::copy(
            two.folder.path().join("segment-0000000001.jsonl"),
            swapped.path().join("segment-0000000001.jsonl"),
        )
        .expect("copied");
        let impostor = Server::new("log/two");
        let table: [(&str, &[&TempDir], &str); 6] = [
            (
                "a journal is gone",
                &[&one.folder],
                "the log log/two is missing: statement 2 was signed over 6 records",
            ),
            (
                "an older copy",
                &[&one.folder, &older],
                "the log has 4 records, and a checkpoint was signed over 6",
            ),
            (
                "one in place of the other",
                &[&one.folder, &one.copy()],
                "both hold the log log/one",
            ),
            (
                "its files are those of another",
                &[&swapped, &two.folder],
                "expected `log/one`",
            ),
            (
                "one of the same name, with a key of its own",
                &[&one.folder, &impostor.folder],
                "checkpoint",
            ),
            (
                "all are gone but a stranger",
                &[&Server::new("log/x").folder],
                "the log log/one is missing",
            ),
        ];
        for (attack, folders, finding) in table {
            let said = leader.verdict(&late, folders, &[]).expect_err(attack);
            assert!(said.contains(finding), "{attack}: {said}");
        }
        // The early statement knows of less; and a log that somebody knows to be gone may be.
        leader
            .verdict(&early, &[&one.folder, &older], &[])
            .expect("it was so then");
        leader
            .verdict(&late, &[&one.folder], &["log/two"])
            .expect("it is known to be gone");
        leader
            .verdict(&late, &[&one.folder], &["log/one"])
            .expect_err("another one is");
    }

    #[test]
    fn statements_that_contradict_each_other_are_found() {
        let leader = Leader::new();
        let (mut one, two) = (Server::new("log/one"), Server::new("log/two"));
        let kept = next(&leader.first(), &[&one, &two]);
        one.grow(1);
        // Whoever has the key of the statements makes one that has never heard of the second log.
        let (first, _) = leader.first().next(&[]);
        assert!(first.is_none(), "nothing to say");
        let mut lied = next(&leader.first(), &[&one]);
        for _ in 0..3 {
            one.grow(1);
            lied = next(&lied, &[&one]);
        }
        one.put(STATEMENT, leader.note(&lied).as_bytes());
        let said = leader
            .verdict(&kept, &[&one.folder], &[])
            .expect_err("a log vanished");
        assert!(
            said.contains("the log `log/two` was stated and is not any more"),
            "{said}"
        );
        // One that was edited is signed by nobody.
        let edited = leader.note(&lied).replacen("forgotten 0", "forgotten 1", 1);
        one.put(STATEMENT, edited.as_bytes());
        let said = leader
            .verdict(&kept, &[&one.folder, &two.folder], &[])
            .expect_err("edited");
        assert!(said.contains("signature does not hold"), "{said}");
    }
}
