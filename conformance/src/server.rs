//! A real `binauthz serve`, started for one test and ended with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::tools;

/// Far more than a start takes on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Base URL of the management API, without a slash at the end.
    pub api: String,
    /// Base URL of the admission webhook.
    pub webhook: String,
    /// Base URL of liveness, readiness and metrics.
    pub health: String,
    /// What `--data-dir` named.
    pub data: PathBuf,
    /// The administrator's token.
    pub token: String,
}

impl Server {
    /// Starts `binauthz serve --dev` on free ports with its data in `data`, and waits until it is ready.
    pub fn start(data: &Path, options: &[String]) -> Self {
        Self::start_in(data, options, &[])
    }

    /// The same, with variables in its environment.
    pub fn start_in(data: &Path, options: &[String], environment: &[(&str, String)]) -> Self {
        Self::launch(data, Some("--dev"), options, ("info", environment))
    }

    /// The same, and it logs everything that any part of it has to say.
    pub fn start_talkative(data: &Path, options: &[String]) -> Self {
        Self::launch(data, Some("--dev"), options, ("trace", &[]))
    }

    /// The same as it would run in earnest: the API over TLS, and no project but those that are created. The administrator's
    /// token stays good: making another one is tested by itself.
    pub fn start_secure(data: &Path) -> Self {
        let config = data.with_extension("yaml");
        std::fs::write(&config, "bootstrapToken: permanent\n").expect("the configuration can be written");
        let options = ["--config".to_owned(), config.display().to_string()];
        Self::launch(data, None, &options, ("info", &[]))
    }

    fn launch(
        data: &Path,
        mode: Option<&str>,
        options: &[String],
        (level, environment): (&str, &[(&str, String)]),
    ) -> Self {
        let log = data.with_extension("log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log can be opened");
        // A former server's addresses are not this one's.
        let _ = std::fs::remove_file(data.join("addresses.json"));
        let mut child = Command::new(tools::binauthz())
            .env("BINAUTHZ_LOG", level)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .arg("serve")
            .args(mode)
            .args(listeners(options))
            .arg("--data-dir")
            .arg(data)
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log can be shared"))
            .stderr(output)
            .spawn()
            .expect("`binauthz serve` starts");
        let addresses = wait_for(&data.join("addresses.json"), &mut child, &log);
        let text = |name: &str| addresses[name].as_str().unwrap_or_default().to_owned();
        let token =
            std::fs::read_to_string(data.join("admin.token")).expect("`admin.token` is there when ready");
        Self {
            child,
            log,
            api: text("api"),
            webhook: text("webhook"),
            health: text("health"),
            data: data.to_owned(),
            token: token.trim().to_owned(),
        }
    }

    /// What it logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is there")
    }

    /// The certificate authority of the webhook's listener.
    pub fn webhook_ca(&self) -> PathBuf {
        self.data.join("webhook-ca.pem")
    }

    /// Kills it without a warning, as a power cut would.
    pub fn kill(mut self) {
        self.end();
    }

    /// The same, for a test that goes on without it.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(30)..)
                .unwrap_or_default()
                .join("\n");
            // The test has failed already: the server's last words belong to its output.
            #[expect(
                clippy::print_stderr,
                reason = "captured by the test harness and shown with the failure"
            )]
            {
                eprintln!("--- the server's log ends with:\n{tail}");
            }
        }
    }
}

/// Free ports on loopback, except where `options` say otherwise.
fn listeners(options: &[String]) -> impl Iterator<Item = &'static str> {
    let flags = ["--api-listen", "--webhook-listen", "--health-listen"];
    let flags = flags
        .into_iter()
        .filter(|flag| !options.iter().any(|option| option == flag));
    flags
        .flat_map(|flag| [flag, "127.0.0.1:0"])
        .collect::<Vec<_>>()
        .into_iter()
}

fn wait_for(file: &Path, child: &mut Child, log: &Path) -> Value {
    poll_until(START_LIMIT, || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("`binauthz serve` ended with {status}:\n{log}");
        }
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
    })
    .unwrap_or_else(|| panic!("no {} within {START_LIMIT:?}", file.display()))
}

/// Asks again and again until there is an answer, or until `limit`.
pub fn poll_until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "another process's file appears: nothing here can be awaited"
        )]
        std::thread::sleep(Duration::from_millis(5));
    }
}
