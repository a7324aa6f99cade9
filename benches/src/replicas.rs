//! Servers on one database, as processes that come and go.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::Outcome;
use crate::process::{SERVE, Server};

/// A replica: its folder outlives its processes.
pub(crate) struct Replica {
    pub(crate) folder: TempDir,
    pub(crate) server: Option<Server>,
}

impl Replica {
    /// One that does not run yet, with this configuration file.
    pub(crate) fn new(configuration: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("binauthz.yaml"), configuration)?;
        Ok(Self { folder, server: None })
    }

    /// Starts it; where its webhook is.
    pub(crate) async fn start(&mut self, store: &str) -> Outcome<SocketAddr> {
        let server = Server::start_with(SERVE, self.folder.path(), &[store]).await?;
        let address = server.url("webhook")?;
        self.server = Some(server);
        Ok(address.trim_start_matches("https://").parse()?)
    }

    pub(crate) async fn stop(&mut self) -> Outcome<()> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        // Dropping it kills it.
        self.server = None;
    }

    /// The server, which runs.
    pub(crate) fn running(&self) -> Outcome<&Server> {
        Ok(self.server.as_ref().ok_or("the server does not run")?)
    }
}

/// What servers on one store share, from the folder of the first to that of another one.
pub(crate) fn share(from: &Path, to: &Path) -> Outcome<()> {
    for name in ["master.key", "admin.token", "webhook-ca.pem"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    std::fs::create_dir(to.join("tls"))?;
    for entry in std::fs::read_dir(from.join("tls"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join("tls").join(entry.file_name()))?;
    }
    Ok(())
}

/// So many of them, which run.
pub(crate) async fn start(count: usize, (store, configuration): (&str, &str)) -> Outcome<Vec<Replica>> {
    let mut replicas: Vec<Replica> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut replica = Replica::new(configuration)?;
        if let Some(first) = replicas.first() {
            share(first.folder.path(), replica.folder.path())?;
        }
        replica.start(store).await?;
        replicas.push(replica);
    }
    Ok(replicas)
}
