//! The server of the demonstration: this program, started again, in a folder of its own.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
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
        let text = webhook_manifest(&self.addresses.webhook, &authority);
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

/// The registration of both webhooks at an address.
fn webhook_manifest(address: &str, authority: &[u8]) -> String {
    let hook = |path: &str| {
        json!({
            "name": "imagepolicywebhook.image-policy.k8s.io",
            "clientConfig": {
                "url": format!("{address}/{path}/{CLUSTER}"),
                "caBundle": STANDARD.encode(authority),
            },
            "rules": rules(),
            "failurePolicy": "Fail",
            "sideEffects": "NoneOnDryRun",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 10,
            // The cluster's own parts must be able to start while this server is away.
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
            ]},
        })
    };
    let registration = |kind: &str, path: &str| {
        yaml::write(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "binauthz"},
            "webhooks": [hook(path)],
        }))
    };
    let mutating = registration("MutatingWebhookConfiguration", "mutate");
    let validating = registration("ValidatingWebhookConfiguration", "admit");
    format!("{mutating}---\n{validating}")
}

/// What a webhook must see: Pods, and everything that makes Pods.
fn rules() -> serde_json::Value {
    let rule = |group: &str, resources: &[&str]| {
        json!({
            "apiGroups": [group],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": resources,
            "scope": "Namespaced",
        })
    };
    json!([
        rule(
            "",
            &[
                "pods",
                "pods/ephemeralcontainers",
                "podtemplates",
                "replicationcontrollers"
            ]
        ),
        rule(
            "apps",
            &["deployments", "replicasets", "statefulsets", "daemonsets"]
        ),
        rule("batch", &["jobs", "cronjobs"]),
    ])
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
    use std::collections::{BTreeMap, BTreeSet};

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

    /// Every group, resource and operation of a registration's rules.
    fn reviewed(hook: &Value) -> BTreeSet<String> {
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            let items = rule[field].as_array().expect(field).iter();
            items.map(|item| item.as_str().expect(field).to_owned()).collect()
        };
        let mut reviewed = BTreeSet::new();
        for rule in hook["rules"].as_array().expect("rules") {
            assert_eq!(texts(rule, "apiVersions"), ["v1"]);
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    for operation in texts(rule, "operations") {
                        reviewed.insert(format!("{group}/{resource} {operation}"));
                    }
                }
            }
        }
        reviewed
    }

    /// Both registrations fail closed, see everything that runs images and nothing else, and cannot be avoided by a label.
    fn check(manifest: &str) {
        let resources = [
            "/pods",
            "/pods/ephemeralcontainers",
            "/podtemplates",
            "/replicationcontrollers",
            "apps/deployments",
            "apps/replicasets",
            "apps/statefulsets",
            "apps/daemonsets",
            "batch/jobs",
            "batch/cronjobs",
        ];
        let expected: BTreeSet<String> = resources
            .iter()
            .flat_map(|resource| ["CREATE", "UPDATE"].map(|operation| format!("{resource} {operation}")))
            .collect();
        let documents = binauthz_wire::yaml::parse_documents(manifest.as_bytes()).expect("YAML");
        let mut paths = BTreeMap::new();
        for document in documents {
            let registration = Value::from(document);
            let kind = registration["kind"].as_str().expect("a kind").to_owned();
            let hooks = registration["webhooks"].as_array().expect("webhooks");
            assert_eq!(hooks.len(), 1, "{kind}");
            let hook = &hooks[0];
            assert_eq!(reviewed(hook), expected, "{kind}");
            assert_eq!(hook["name"], "imagepolicywebhook.image-policy.k8s.io");
            assert_eq!(hook["failurePolicy"], "Fail", "{kind}");
            assert_eq!(hook["sideEffects"], "NoneOnDryRun", "{kind}");
            assert_eq!(hook.get("objectSelector"), None, "{kind}");
            let url = hook["clientConfig"]["url"].as_str().expect("an address");
            let path = url.splitn(4, '/').nth(3).and_then(|path| path.split('/').next());
            paths.insert(kind, path.expect("a path").to_owned());
        }
        let expected = [
            ("MutatingWebhookConfiguration", "mutate"),
            ("ValidatingWebhookConfiguration", "admit"),
        ];
        assert_eq!(
            paths,
            expected
                .map(|(kind, path)| (kind.to_owned(), path.to_owned()))
                .into()
        );
    }

    #[test]
    fn the_registration_of_the_demo_covers_what_runs_images_and_fails_closed() {
        check(&webhook_manifest("https://127.0.0.1:8443", b"PEM"));
    }

    #[test]
    fn so_does_the_registration_of_the_guide() {
        let chapter = include_str!("../../../../docs/guide/5-enforce.md");
        let manifest = chapter
            .split("```yaml\n")
            .filter_map(|part| part.split("```").next())
            .find(|text| text.starts_with("# webhook.yaml"));
        check(manifest.expect("the guide writes the registration out"));
    }

    #[test]
    #[should_panic(expected = "ValidatingWebhookConfiguration")]
    fn a_rule_that_is_missing_is_noticed() {
        let manifest = webhook_manifest("https://127.0.0.1:8443", b"PEM");
        let (mutating, validating) = manifest.split_once("---").expect("two documents");
        check(&format!(
            "{mutating}---{}",
            validating.replace("- cronjobs\n", "- nothing\n")
        ));
    }
}
