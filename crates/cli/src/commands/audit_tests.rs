use std::fs;

use binauthz_keyring::LogSigner;
use binauthz_wire::tlog::{Header, Log, checkpoint_body};
use tempfile::TempDir;

use super::*;

/// A log of three segments in a folder, as the server leaves it.
struct Written {
    folder: TempDir,
    signer: LogSigner,
    key: VerifierKey,
}

impl Written {
    fn new(name: &str) -> Self {
        let signer = LogSigner::generate().expect("a key");
        let key = VerifierKey::new(name, signer.public()).expect("a name");
        let written = Self {
            folder: tempfile::tempdir().expect("a folder"),
            signer,
            key,
        };
        written.put("log.vkey", &written.key.to_string());
        let mut log = Log::new(name);
        for segment in 1..=3 {
            let note = written.segment(&mut log, segment);
            written.put("checkpoint", &note);
        }
        written
    }

    /// Gives the checkpoint it ends with.
    fn segment(&self, log: &mut Log, number: u64) -> String {
        let header = Header {
            segment: number,
            origin: log.origin.clone(),
            tree: log.tree.clone(),
            chain: log.chain,
        };
        let mut bytes = Vec::new();
        assert!(log.append(&mut bytes, &header.body()));
        for record in 0..6 {
            let record = format!(r#"{{"verdict":"DENY","name":"{number}-{record}"}}"#);
            assert!(log.append(&mut bytes, record.as_bytes()));
        }
        let note = self.note(log);
        assert!(log.append(&mut bytes, &checkpoint_body(&note)));
        if number < 3 {
            self.put(&format!("segment-{number:010}.checkpoint"), &note);
        } else {
            // Room for more.
            bytes.extend_from_slice(&[0; 4_096]);
        }
        fs::write(self.segment_path(number), bytes).expect("written");
        note
    }

    fn note(&self, log: &Log) -> String {
        let checkpoint = log.checkpoint();
        let signature = self.signer.sign(&checkpoint.text()).expect("signed");
        checkpoint.note(&self.key, &signature)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("text")
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.folder.path().join(format!("segment-{number:010}.jsonl"))
    }

    fn lines(&self, number: u64) -> Vec<String> {
        let text = fs::read_to_string(self.segment_path(number)).expect("text");
        text.trim_end_matches('\0').lines().map(str::to_owned).collect()
    }

    fn set_lines(&self, number: u64, lines: &[String]) {
        fs::write(self.segment_path(number), lines.join("\n") + "\n").expect("written");
    }

    /// What an outsider finds who was given the key and, at the end, a checkpoint.
    fn verdict(&self, kept: Option<&str>) -> Result<Summary, String> {
        let kept = kept.map(|note| {
            self.put("kept", note);
            self.folder.path().join("kept")
        });
        let flags = VerifyFlags {
            folders: vec![self.folder.path().to_owned()],
            key: Some(self.key.to_string()),
            checkpoint: kept,
            merged: None,
            merged_key: None,
            gone: Vec::new(),
        };
        flags
            .verified(self.folder.path())
            .map(|(summary, _)| summary)
            .map_err(|failure| failure.to_string())
    }
}

/// What is done to the files, and what is said of it.
type Attack = (&'static str, fn(&Written), &'static str);

const ATTACKS: [Attack; 13] = [
    (
        "edit",
        |log| {
            log.put(
                "segment-0000000002.jsonl",
                &log.text("segment-0000000002.jsonl").replacen("2-3", "2-X", 1),
            )
        },
        "segment-0000000002.jsonl`, line 5: record 12 was changed",
    ),
    (
        "delete",
        |log| {
            let mut lines = log.lines(2);
            lines.remove(3);
            log.set_lines(2, &lines)
        },
        "line 4: the record is number 12, expected 11",
    ),
    (
        "delete the last of a segment",
        |log| {
            let mut lines = log.lines(2);
            lines.pop();
            log.set_lines(2, &lines)
        },
        "segment-0000000003.jsonl`, line 1: the first line of the file does not fit",
    ),
    (
        "swap",
        |log| {
            let mut lines = log.lines(1);
            lines.swap(2, 3);
            log.set_lines(1, &lines)
        },
        "line 3: the record is number 3, expected 2",
    ),
    (
        "double",
        |log| {
            let mut lines = log.lines(1);
            lines.insert(2, lines[2].clone());
            log.set_lines(1, &lines)
        },
        "line 4: the record is number 2, expected 3",
    ),
    (
        "truncate",
        |log| {
            let mut lines = log.lines(3);
            lines.truncate(5);
            log.set_lines(3, &lines)
        },
        "the log has 21 records, and a checkpoint was signed over 23: its end is missing",
    ),
    (
        "splice a line of another log",
        |log| {
            let other = Written::new("log/other");
            let mut lines = log.lines(2);
            lines[3] = other.lines(2)[3].clone();
            log.set_lines(2, &lines)
        },
        "line 4: record 11 was changed, or does not follow",
    ),
    (
        "splice a segment of another log",
        |log| {
            let other = Written::new("log/other");
            log.set_lines(2, &other.lines(2))
        },
        "this belongs to the log `log/other`",
    ),
    (
        "remove a middle segment",
        |log| fs::remove_file(log.segment_path(2)).expect("removed"),
        "segment-0000000003.jsonl`, line 1: the first line of the file does not fit",
    ),
    (
        "remove the last segment",
        |log| fs::remove_file(log.segment_path(3)).expect("removed"),
        "the log has 16 records, and a checkpoint was signed over 23",
    ),
    (
        "change a checkpoint in the log",
        |log| {
            let mut lines = log.lines(1);
            lines[7] = lines[7].replacen("\\n7\\n", "\\n6\\n", 1);
            log.set_lines(1, &lines)
        },
        "line 8: record 7 was changed",
    ),
    (
        "change the newest checkpoint",
        |log| {
            log.put(
                "checkpoint",
                &log.text("checkpoint").replacen("\n23\n", "\n22\n", 1),
            )
        },
        "checkpoint`: the checkpoint's signature does not hold",
    ),
    (
        "change a segment's checkpoint",
        |log| {
            log.put(
                "segment-0000000001.checkpoint",
                &log.text("segment-0000000001.checkpoint")
                    .replacen("\n7\n", "\n6\n", 1),
            )
        },
        "segment-0000000001.checkpoint`: the checkpoint's signature does not hold",
    ),
];

#[test]
fn whatever_is_done_to_the_files_is_found_and_named() {
    let written = Written::new("log/ours");
    let kept = written.text("checkpoint");
    let summary = written.verdict(Some(&kept)).expect("nobody touched it");
    assert_eq!((summary.first, summary.size, summary.anchored), (0, 24, true));
    for (attack, perform, finding) in ATTACKS {
        let written = Written::new("log/ours");
        let kept = written.text("checkpoint");
        perform(&written);
        for kept in [None, Some(kept.as_str())] {
            let said = written.verdict(kept).expect_err(attack);
            assert!(said.contains(finding), "{attack}: {said}");
        }
    }
}

/// Whoever has the log's key can sign what is not so; nobody can make two statements fit one log.
#[test]
fn a_checkpoint_that_is_signed_and_says_something_else_is_found() {
    for name in ["checkpoint", "segment-0000000001.checkpoint"] {
        let written = Written::new("log/ours");
        let mut log = Log::new("log/ours");
        let note = written.text(name);
        let size: usize = note
            .lines()
            .nth(1)
            .and_then(|size| size.parse().ok())
            .expect("a size");
        for record in 0..size {
            assert!(log.append(
                &mut Vec::new(),
                format!(r#"{{"verdict":"ALLOW","name":"{record}"}}"#).as_bytes()
            ));
        }
        written.put(name, &written.note(&log));
        let said = written.verdict(None).expect_err(name);
        assert!(
            said.contains(&format!(
                "the records up to {size} are not those that were signed"
            )),
            "{said}"
        );
    }
}

#[test]
fn older_segments_may_be_gone_and_their_checkpoints_stay() {
    let written = Written::new("log/ours");
    fs::remove_file(written.segment_path(1)).expect("removed");
    let summary = written.verdict(None).expect("rotation is no attack");
    assert_eq!((summary.first, summary.size, summary.anchored), (8, 24, true));
}
