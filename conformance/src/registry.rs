//! A real image registry (Debian's `docker-registry`) and real images in it, put there by `skopeo`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::server::poll_until;
use crate::shell::Shell;

/// Makes an OCI image of one small file and copies it to the registry; prints its digest.
const PUSH: &str = include_str!("../push-image.sh");

/// A running registry. Dropping it kills it.
pub struct Registry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    folder: PathBuf,
}

impl Registry {
    /// Starts an empty registry that keeps its blobs in `folder`.
    pub fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("the registry's folder can be made");
        let settings = folder.join("config.yml");
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        std::fs::write(&settings, text).expect("the registry's settings can be written");
        let log = folder.join("log");
        let output = File::create(&log).expect("the registry's log can be made");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log can be shared"))
            .stderr(output)
            .spawn()
            .expect("docker-registry starts");
        let address = poll_until(Duration::from_secs(30), || {
            listening(&std::fs::read_to_string(&log).ok()?)
        })
        .expect("docker-registry says where it listens");
        Self {
            child,
            address,
            folder: folder.to_owned(),
        }
    }

    /// Pushes an image whose only file holds `content`, and returns its digest (`sha256:…`).
    pub fn push(&self, repository: &str, tag: &str, content: &str) -> String {
        let mut shell = Shell::new(&self.folder);
        shell.set("TARGET", format!("{}/{repository}:{tag}", self.address));
        shell.set("CONTENT", content);
        shell.run(PUSH).ok().text().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the registry's own words: `msg="listening on 127.0.0.1:40911"`.
fn listening(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    let address: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
        .collect();
    // A line that is still being written has no end yet.
    rest.contains('\n').then_some(address)
}
