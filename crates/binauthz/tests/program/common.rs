//! A server in a folder of its own, and commands run against it as a person runs them.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The program without the settings of the shell that runs the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_binauthz"));
    for (name, _) in std::env::vars() {
        if name.starts_with("BINAUTHZ_") || name.starts_with("CLOUDSDK_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running `serve --dev`.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// With more flags of `serve`.
    pub(crate) fn start_with(flags: &[&str]) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let child = program()
            .args([
                "serve",
                "--dev",
                "--api-listen=127.0.0.1:0",
                "--webhook-listen=127.0.0.1:0",
            ])
            .arg("--health-listen=127.0.0.1:0")
            .args(flags)
            .arg("--data-dir")
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let server = Server { child, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !data.join("addresses.json").exists() {
            assert!(
                Instant::now() < deadline,
                "the server did not say where it listens"
            );
            std::thread::yield_now();
        }
        server
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("read")
    }

    /// A command line as typed: words in single quotes stay together.
    pub(crate) fn command(&self, typed: &str) -> Command {
        let mut command = program();
        command
            .args(words(typed))
            .env("BINAUTHZ_DATA_DIR", self.path().join("data"))
            .env("BINAUTHZ_PROJECT", "demo")
            .current_dir(self.path());
        command
    }

    /// Runs it.
    pub(crate) fn run(&self, typed: &str) -> Run {
        Run::of(&self.command(typed).output().expect("the program starts"))
    }

    /// As [`Server::run`], for a step that must work.
    pub(crate) fn done(&self, typed: &str) -> String {
        let run = self.run(typed);
        assert_eq!(run.code, 0, "{typed}\n{}\n{}", run.out, run.error);
        run.out
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// How a command ended and what it said.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Run {
    pub(crate) fn of(output: &Output) -> Run {
        Run {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn words(typed: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in typed.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
