//! A server as a process of its own, and what the kernel says about it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Starts the product.
pub(crate) const SERVE: &str = "serve";
/// Starts the bare handler.
pub(crate) const BARE: &str = "bare";

/// The value of a metric that has no labels.
pub(crate) fn metric(metrics: &str, name: &str) -> Outcome<f64> {
    let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(first, _)| *first == name);
    let (_, value) = found.ok_or_else(|| format!("there is no metric `{name}`"))?;
    Ok(value.trim().parse()?)
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    /// From the spawn until `addresses.json` was there.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) async fn start(word: &str, folder: &Path) -> Outcome<Self> {
        Self::launch(None, word, (folder, &[])).await
    }

    /// Starts it with further words behind the folder.
    pub(crate) async fn start_with(word: &str, folder: &Path, rest: &[&str]) -> Outcome<Self> {
        Self::launch(None, word, (folder, rest)).await
    }

    /// Starts it under another program, whose first words these are.
    pub(crate) async fn start_under(above: &[&str], word: &str, folder: &Path) -> Outcome<Self> {
        Self::launch(Some(above), word, (folder, &[])).await
    }

    async fn launch(above: Option<&[&str]>, word: &str, (folder, rest): (&Path, &[&str])) -> Outcome<Self> {
        let addresses = folder.join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let log = std::fs::File::create(folder.join("log"))?;
        let spawned = Instant::now();
        let own = std::env::current_exe()?;
        let mut command = match above {
            Some([program, arguments @ ..]) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own);
                command
            }
            _ => Command::new(own),
        };
        let child = command
            .args([word.as_ref(), folder.as_os_str()])
            .args(rest)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            child,
            folder: folder.to_owned(),
            ready_after: Duration::ZERO,
        };
        while !addresses.exists() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended with {status}: {}", server.log()).into());
            }
            if spawned.elapsed() > Duration::from_secs(60) {
                return Err("the server was not ready within a minute".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = spawned.elapsed();
        Ok(server)
    }

    /// The URL of `api`, `webhook` or `health`.
    pub(crate) fn url(&self, port: &str) -> Outcome<String> {
        let addresses: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.folder.join("addresses.json"))?)?;
        Ok(addresses[port].as_str().ok_or("no such port")?.to_owned())
    }

    pub(crate) fn token(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.folder.join("admin.token"))?
            .trim()
            .to_owned())
    }

    /// A client that trusts this server's authority.
    pub(crate) fn client(&self, http2: bool) -> Outcome<reqwest::Client> {
        let authority = std::fs::read(self.folder.join("webhook-ca.pem"))?;
        let builder =
            reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&authority)?]);
        let builder = if http2 { builder } else { builder.http1_only() };
        Ok(builder.build()?)
    }

    /// CPU time of all threads so far, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(')').next().ok_or("no stat")?;
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// Resident memory in megabytes.
    pub(crate) fn resident_megabytes(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Its metrics, as text.
    pub(crate) async fn metrics(&self) -> Outcome<String> {
        let url = format!("{}/metrics", self.url("health")?);
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > Duration::from_secs(60) {
                return Err(format!("the server did not end: {}", self.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
