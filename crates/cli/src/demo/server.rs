//! The server of the demonstration: this program, started again, in a folder of its own.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use binauthz_kubernetes::{Configuration, Endpoint, Guard};
use tokio::process::{Child, Command};

use super::stage::CLUSTER;
use crate::{failure::Failure, settings::Addresses, yaml};

/// A start takes some tens of milliseconds; a machine under load is given this much.
const START_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether `addresses.json` is there.
const START_LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Lines of the server's log shown when it does not start.
const LOG_LINES_SHOWN: usize = 5;

/// The running server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub(super) struct Server {
    // The order matters: the process goes before the folder it writes to.
    child: Child,
    addresses: Addresses,
    folder: Folder,
}

impl Server {
    /// Starts it and waits until it says where it listens.
    pub(super) async fn start() -> Result<Server, Failure> {
        let folder = Folder::make()?;
        let log = folder.path.join("server.log");
        let log_file = fs::File::create(&log).map_err(|error| Failure::file("write", &log, &error))?;
        let mut command = this_program()?;
        command
            .args([
                "serve",
                "--dev",
                "--api-listen=127.0.0.1:0",
                "--webhook-listen=127.0.0.1:0",
            ])
            .arg("--health-listen=127.0.0.1:0")
            .arg("--data-dir")
            .arg(folder.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| Failure::usage(format_args!("could not start the server: {error}")))?;
        let addresses = wait_for_addresses(&mut child, &folder).await?;
        Ok(Server {
            child,
            addresses,
            folder,
        })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its data folder.
    pub(super) fn data_dir(&self) -> &Path {
        &self.folder.data
    }

    /// The folder commands are run in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The webhook registration for a cluster on this machine.
    pub(super) fn manifest(&self) -> &Path {
        &self.folder.manifest
    }

    /// Writes the registration: both webhooks, failing closed, trusting this server's certificate only.
    pub(super) fn write_webhook_manifest(&self) -> Result<(), Failure> {
        let authority = self.data_dir().join("webhook-ca.pem");
        let authority = fs::read(&authority).map_err(|error| Failure::file("read", &authority, &error))?;
        let text = webhook_manifest(&self.addresses.webhook, &authority)?;
        let path = self.manifest();
        fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
    }

    /// Waits for the server's end, which nobody expects.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        match self.child.wait().await {
            Ok(status) => Err(Failure::usage(format_args!(
                "the server ended by itself ({status})"
            ))),
            Err(error) => Err(Failure::usage(format_args!("the server was lost: {error}"))),
        }
    }

    /// Stops it and waits until it is gone.
    pub(super) async fn stop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _gone = self.child.kill().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.start_kill();
    }
}

/// The registration of both webhooks at an address, as `cluster install` writes it.
fn webhook_manifest(address: &str, authority: &[u8]) -> Result<String, Failure> {
    let guard = Guard {
        cluster: CLUSTER.parse().map_err(Failure::usage)?,
        endpoint: Endpoint::url(address).map_err(Failure::usage)?,
        ca_bundle: STANDARD.encode(authority),
        inject_ca_from: None,
        // The cluster's own parts must be able to start while this server is away.
        exempt: vec!["kube-system".to_owned()],
        custom: Vec::new(),
        registered_by_install: false,
        last_known_good: None,
    };
    let documents = Configuration::ALL.map(|which| yaml::write(&guard.configuration(which)));
    Ok(documents.join("---\n"))
}

/// This program, without the settings of the shell it was started from.
pub(super) fn this_program() -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::usage(format_args!("could not find this program's own file: {error}")))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BINAUTHZ_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

async fn wait_for_addresses(child: &mut Child, folder: &Folder) -> Result<Addresses, Failure> {
    let started = Instant::now();
    loop {
        // The server writes the file in one piece, and last of all.
        if let Ok(addresses) = Addresses::read(folder.data_dir()) {
            return Ok(addresses);
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || started.elapsed() > START_WAIT_MAX {
            let failure = Failure::usage("the server did not start");
            return Err(folder.last_log_lines().iter().fold(failure, Failure::advise));
        }
        tokio::time::sleep(START_LOOK_PAUSE).await;
    }
}

/// A folder nobody else can read, removed with everything in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    data: PathBuf,
    manifest: PathBuf,
}

impl Folder {
    fn make() -> Result<Folder, Failure> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!("binauthz-demo-{}-{:x}", std::process::id(), now.as_nanos());
        let path = std::env::temp_dir().join(name);
        // `create` fails where somebody was there before: nobody can prepare the folder for us.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::file("make the folder", &path, &error))?;
        Ok(Folder {
            data: path.join("data"),
            manifest: path.join("webhook.yaml"),
            path,
        })
    }

    fn data_dir(&self) -> &Path {
        &self.data
    }

    fn last_log_lines(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path.join("server.log")).unwrap_or_default();
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        lines.into_iter().rev().take(LOG_LINES_SHOWN).rev().collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A killed process may still be finishing a write: a folder that is not empty any more is tried again.
        for _ in 0..5 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_folder_is_private_and_goes_with_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::make().expect("a folder");
        let path = folder.path.clone();
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o700
        );
        fs::create_dir(folder.data_dir()).expect("made");
        fs::write(folder.data_dir().join("f"), "x").expect("written");
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_registration_is_that_of_both_webhooks_at_the_address() {
        let manifest = webhook_manifest("https://127.0.0.1:8443", b"PEM").map_err(|error| error.to_string());
        let manifest = manifest.expect("a manifest");
        let documents = binauthz_wire::yaml::parse_documents(manifest.as_bytes()).expect("YAML");
        let urls: Vec<String> = documents
            .into_iter()
            .map(|document| Value::from(document)["webhooks"][0]["clientConfig"]["url"].to_string())
            .collect();
        assert_eq!(
            urls,
            ["mutate", "admit"].map(|route| format!("\"https://127.0.0.1:8443/{route}/{CLUSTER}\""))
        );
        assert!(webhook_manifest("http://127.0.0.1:8443", b"PEM").is_err());
    }
}
