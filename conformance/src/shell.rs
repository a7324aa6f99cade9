//! Runs what a person would type and keeps what they would see.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A bash in a folder, with an environment.
#[derive(Debug, Clone)]
pub struct Shell {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
}

/// Variables that point tools of the machine at its own certificates or accounts; a test must not see them.
const FOREIGN: &[&str] = &[
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPLIB2_CA_CERTS",
    "KUBECONFIG",
];

impl Shell {
    /// A shell that starts in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            environment: BTreeMap::new(),
        }
    }

    /// Sets a variable for everything run from here on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// The value of a variable that was set here.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Everything that is run from here on has the environment that `script` leaves behind.
    #[track_caller]
    pub fn enter(&mut self, script: &str) {
        let left = self.run(&format!("{script}\nenv -0")).ok();
        self.environment = left
            .stdout
            .split('\0')
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }

    /// Runs `script` with `bash -euo pipefail`.
    pub fn run(&self, script: &str) -> Ran {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if FOREIGN.contains(&&*text) || text.starts_with("CLOUDSDK_") || text.starts_with("BINAUTHZ_") {
                bash.env_remove(&name);
            }
        }
        let output = bash.envs(&self.environment).output().expect("bash starts");
        Ran {
            script: script.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Ran {
    script: String,
    /// The exit status; none after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ran {
    /// It must have ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code == Some(0), "should have ended with 0:\n{self}");
        self
    }

    /// It must have ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "should have ended with {code}:\n{self}");
        self
    }

    /// It must have failed and said every one of `words`, on either stream.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert!(self.code != Some(0), "should have been refused:\n{self}");
        self.says(words)
    }

    /// It must have said every one of `words`, on either stream.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            let said = self.stdout.contains(word) || self.stderr.contains(word);
            assert!(said, "should have said `{word}`:\n{self}");
        }
        self
    }

    /// It must not have said `word`, on either stream.
    #[track_caller]
    pub fn never_says(self, word: &str) -> Self {
        let said = self.stdout.contains(word) || self.stderr.contains(word);
        assert!(!said, "should not have said `{word}`:\n{self}");
        self
    }

    /// What it printed, without the white space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// What it printed, read as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}):\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            script,
            code,
            stdout,
            stderr,
        } = self;
        write!(formatter, "$ {script}\n{stdout}{stderr}exit status {code:?}")
    }
}
