//! Where the story plays: commands that are run as printed, and deployments that are reviewed over TLS.

use std::{fs, path::PathBuf};

use binauthz_keyring::{HashAlgorithm, MessageDigest};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    review::{self, Kind, Reply},
    screen::Screen,
    server::{Server, this_program},
};
use crate::{client::Client, failure::Failure};

pub(super) const PROJECT: &str = "demo";
/// The cluster, as the webhook's path names it.
pub(super) const CLUSTER: &str = "projects/demo/locations/us-central1-a/clusters/my-cluster";
const REPOSITORY: &str = "us-central1-docker.pkg.dev/demo/app";

/// The server, the two ways of talking to it, and the screen.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) screen: &'a mut Screen,
    folder: PathBuf,
    data_dir: PathBuf,
    webhook: Client,
    reviews: u32,
}

impl<'a> Stage<'a> {
    /// The webhook is reached as an API server reaches it: over TLS, trusting the server's own authority only.
    pub(super) fn new(server: &Server, screen: &'a mut Screen) -> Result<Stage<'a>, Failure> {
        let authority = server.data_dir().join("webhook-ca.pem");
        let authority = fs::read(&authority).map_err(|error| Failure::file("read", &authority, &error))?;
        let address = Url::parse(&server.addresses().webhook).map_err(Failure::usage)?;
        let webhook = Client::new(address, None, Some(&authority)).map_err(Failure::usage)?;
        Ok(Stage {
            screen,
            folder: server.folder().to_owned(),
            data_dir: server.data_dir().to_owned(),
            webhook,
            reviews: 0,
        })
    }

    /// Writes a file for the commands to use.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))
    }

    /// Shows a command of this program, runs it, and gives what it printed. It must succeed.
    pub(super) async fn run(&mut self, arguments: &[&str]) -> Result<String, Failure> {
        let words = std::iter::once("binauthz")
            .chain(arguments.iter().copied())
            .map(str::to_owned);
        self.screen.command(&words.collect::<Vec<String>>());
        self.run_unseen(arguments).await
    }

    /// The same, behind the scenes.
    pub(super) async fn run_unseen(&mut self, arguments: &[&str]) -> Result<String, Failure> {
        let ran = this_program()?
            .args(arguments)
            .env("BINAUTHZ_DATA_DIR", &self.data_dir)
            .env("BINAUTHZ_PROJECT", PROJECT)
            .current_dir(&self.folder)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Failure::usage(format_args!("could not run the command: {error}")))?;
        if ran.status.success() {
            return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        Err(Failure::refused(format_args!(
            "`binauthz {}` failed ({})",
            arguments.join(" "),
            ran.status
        ))
        .advise(said.trim()))
    }

    /// Shows `kubectl run` and asks for the Pod it makes.
    pub(super) async fn deploy(&mut self, name: &str, image: &str) -> Result<Reply, Failure> {
        let words = ["kubectl", "run", name, &format!("--image={image}")].map(str::to_owned);
        self.screen.command(&words);
        let reply = self.ask("admit", review::POD, &review::pod(name, image)).await?;
        self.show(&format!("pod/{name}"), &reply);
        Ok(reply)
    }

    /// One review, through the webhook's TLS port.
    pub(super) async fn ask(&mut self, hook: &str, kind: Kind, object: &Value) -> Result<Reply, Failure> {
        self.reviews += 1;
        let path = format!("/{hook}/{CLUSTER}");
        let body = review::review(kind, object, self.reviews);
        let answer = self.webhook.post(&path, &[("timeout", "10s")], &body).await?;
        review::read_reply(&answer, self.reviews)
    }

    /// What kubectl prints for an answer about `object`, such as `pod/NAME`.
    pub(super) fn show(&mut self, object: &str, reply: &Reply) {
        for warning in &reply.warnings {
            self.screen.answer(&format!("Warning: {warning}"));
        }
        if reply.allowed {
            self.screen.answer(&format!("{object} created"));
        } else {
            let hook = "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request:";
            self.screen.refusal(&format!("Error: {hook}"));
            self.screen.refusal(&reply.message);
        }
    }
}

/// An image of the demonstration: a name, and the digest of a real (if small) OCI manifest.
#[derive(Debug, Clone)]
pub(super) struct Image {
    name: &'static str,
    digest: String,
}

impl Image {
    /// Builds the manifest of an image without layers and takes its digest, as a registry does.
    pub(super) fn build(name: &'static str) -> Image {
        let configuration = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": [name]},
                                   "rootfs": {"type": "layers", "diff_ids": []}});
        let configuration = configuration.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": sha256(configuration.as_bytes()),
                "size": configuration.len(),
            },
            "layers": [],
        });
        Image {
            name,
            digest: sha256(manifest.to_string().as_bytes()),
        }
    }

    /// By digest.
    pub(super) fn pinned(&self) -> String {
        format!("{REPOSITORY}/{}@{}", self.name, self.digest)
    }

    /// By the tag of the tutorial.
    pub(super) fn tagged(&self) -> String {
        format!("{REPOSITORY}/{}:latest", self.name)
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = MessageDigest::of(HashAlgorithm::Sha256, bytes);
    let digits: String = digest
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_digests_of_their_own() {
        let (one, other) = (Image::build("one"), Image::build("other"));
        assert!(one.pinned().parse::<binauthz_core::image::ImageRef>().is_ok());
        assert_ne!(one.digest, other.digest);
        assert_eq!(
            sha256(b""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
