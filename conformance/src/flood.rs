//! Many requests at once, as no person types them, and what came back of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Requests for one `curl`, each under an id of its own.
pub struct Flood {
    config: String,
    folder: PathBuf,
    at_once: usize,
}

/// Where a request goes.
pub struct Target<'a> {
    /// `POST` and its like.
    pub method: &'a str,
    /// The whole address.
    pub url: String,
    /// The administrator's token, for the management API.
    pub token: Option<&'a str>,
    /// The authority that the server's certificate is of.
    pub authority: &'a Path,
}

impl Flood {
    /// Keeps its files in `folder`, which is made; sends so many at once.
    pub fn new(folder: &Path, at_once: usize) -> Self {
        std::fs::create_dir_all(folder.join("answers")).expect("a folder can be made");
        Self {
            config: String::new(),
            folder: folder.to_owned(),
            at_once,
        }
    }

    /// One request more. Its body is sent once: what is lost with a connection is not repeated on a new server, which
    /// listens elsewhere.
    pub fn add(&mut self, id: &str, target: &Target<'_>, body: &Value) {
        if !self.config.is_empty() {
            self.config.push_str("next\n");
        }
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut option = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(self.config, "{name} = {}", quoted(value));
        };
        option("url", &target.url);
        option("request", target.method);
        option("cacert", &target.authority.display().to_string());
        option("max-time", "20");
        option("header", "Content-Type: application/json");
        if let Some(token) = target.token {
            option("header", &format!("Authorization: Bearer {token}"));
        }
        option("data-raw", &body.to_string());
        option(
            "output",
            &self.folder.join("answers").join(id).display().to_string(),
        );
        self.config.push_str("http1.1\n");
    }

    /// What to type so that they are sent, until all are answered or nobody answers any more.
    pub fn command(&self) -> String {
        let path = self.folder.join("requests");
        std::fs::write(&path, &self.config).expect("a file can be written");
        // One after the other means somebody who changes something often, and not without a pause: an admission is
        // judged by what stays the same for as long as it takes to read it.
        let pace = match self.at_once {
            1 => "--rate 40/s".to_owned(),
            many => format!("--parallel --parallel-immediate --parallel-max {many}"),
        };
        format!(
            "curl --silent {pace} --fail-early --config '{}' || true",
            path.display()
        )
    }

    /// Whether anything was answered yet.
    pub fn has_begun(&self) -> bool {
        std::fs::read_dir(self.folder.join("answers")).is_ok_and(|mut files| files.next().is_some())
    }

    /// What was answered, by id: whole JSON only. Half of an answer is none.
    pub fn answers(&self) -> BTreeMap<String, Value> {
        let files = std::fs::read_dir(self.folder.join("answers")).expect("the folder is there");
        files
            .filter_map(|file| {
                let file = file.expect("the folder can be read");
                let id = file.file_name().into_string().ok()?;
                let text = std::fs::read(file.path()).ok()?;
                Some((id, serde_json::from_slice(&text).ok()?))
            })
            .collect()
    }

    /// Removes its files.
    pub fn remove(self) {
        // Nobody needs them any more.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
