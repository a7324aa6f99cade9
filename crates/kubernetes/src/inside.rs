//! The cluster that a process runs in: where it is, and the service account that the kubelet gave the process.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use reqwest::Url;

use crate::{
    api::Api,
    token::{Token, UnusableToken, read_token},
    transport::Credentials,
};

/// Where the kubelet puts it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A service account's folder (`token`, `ca.crt`, `namespace`), and the address of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    folder: PathBuf,
    host: String,
    port: String,
}

/// Why this process is not inside of a cluster, or cannot act there.
#[derive(Debug, thiserror::Error)]
pub enum NotInside {
    /// The kubelet sets both.
    #[error("this is no Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")]
    NoService,
    /// They do not make an address.
    #[error("KUBERNETES_SERVICE_HOST `{host}` and KUBERNETES_SERVICE_PORT `{port}` are no address")]
    Address {
        /// The host.
        host: String,
        /// The port.
        port: String,
    },
    /// A file of the service account is missing.
    #[error("could not read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] UnusableToken),
    /// The authority's file is not one.
    #[error("`{}` cannot be used: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: reqwest::Error,
    },
}

impl Inside {
    /// As the environment says. Another folder is for a projected volume that is mounted elsewhere.
    ///
    /// # Errors
    /// [`NotInside::NoService`] when the process is no Pod's.
    pub fn of_environment(folder: Option<&Path>) -> Result<Inside, NotInside> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        match (set("KUBERNETES_SERVICE_HOST"), set("KUBERNETES_SERVICE_PORT")) {
            (Some(host), Some(port)) => Ok(Inside {
                folder: folder.unwrap_or(Path::new(SERVICE_ACCOUNT)).to_owned(),
                host,
                port,
            }),
            _ => Err(NotInside::NoService),
        }
    }

    /// The namespace of the process.
    ///
    /// # Errors
    /// [`NotInside::File`] when the service account does not say it.
    pub fn namespace(&self) -> Result<String, NotInside> {
        let path = self.folder.join("namespace");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(NotInside::File { path, source }),
        }
    }

    pub(crate) fn connect(&self) -> Result<Api, NotInside> {
        let path = self.folder.join("ca.crt");
        let authority = match fs::read(&path) {
            Ok(authority) => authority,
            Err(source) => return Err(NotInside::File { path, source }),
        };
        let token = self.folder.join("token");
        // Now, so that a folder without a token is told at once.
        read_token(&token)?;
        let credentials = Credentials {
            authority: Some(&authority),
            token: Some(Token::File(token)),
            identity: None,
        };
        Api::new(self.server()?, credentials).map_err(|source| NotInside::Authority { path, source })
    }

    fn server(&self) -> Result<Url, NotInside> {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let port = self.port.parse::<u16>().ok().filter(|port| *port != 0);
        let url = port.and_then(|port| Url::parse(&format!("https://{host}:{port}")).ok());
        // A host is a host: nothing in it makes another address of it.
        url.filter(|url| url.path() == "/" && url.username().is_empty() && url.query().is_none())
            .ok_or_else(|| NotInside::Address {
                host: self.host.clone(),
                port: self.port.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(folder: &Path, host: &str, port: &str) -> Inside {
        Inside {
            folder: folder.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
        }
    }

    #[test]
    fn the_address_is_that_of_the_environment_and_nothing_else() {
        let server = |host, port| inside(Path::new("/"), host, port).server().ok();
        for (host, expected) in [
            ("10.0.0.1", "https://10.0.0.1:6443/"),
            ("fd00::1", "https://[fd00::1]:6443/"),
        ] {
            assert_eq!(
                server(host, "6443").map(|url| url.to_string()).as_deref(),
                Some(expected)
            );
        }
        for (host, port) in [
            ("10.0.0.1", "x"),
            ("10.0.0.1", "0"),
            ("10.0.0.1/x", "1"),
            ("u@evil", "1"),
            ("", "1"),
        ] {
            assert_eq!(server(host, port), None, "{host} {port}");
        }
    }

    #[test]
    fn every_file_of_the_service_account_is_needed() {
        crate::install_crypto_provider();
        let folder = tempfile::tempdir().expect("a folder");
        let inside = inside(folder.path(), "10.0.0.1", "443");
        assert!(matches!(inside.connect(), Err(NotInside::File { .. })));
        fs::write(folder.path().join("ca.crt"), "no certificate").expect("written");
        assert!(matches!(inside.connect(), Err(NotInside::Token(_))));
        fs::write(folder.path().join("token"), "t\n").expect("written");
        assert!(inside.namespace().is_err());
        fs::write(folder.path().join("namespace"), "binauthz\n").expect("written");
        assert_eq!(inside.namespace().expect("a namespace"), "binauthz");
    }
}
