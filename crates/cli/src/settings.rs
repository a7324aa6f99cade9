//! The flags as meant: which server, with which token, for which project.

use std::{
    fs,
    path::{Path, PathBuf},
};

use binauthz_kubernetes::{Secret, is_private, read_token};
use reqwest::Url;

use crate::{args::GlobalFlags, client::Client, failure::Failure, output::Format};

/// What every command needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The server, reached on first use so that offline commands never ask for one.
    flags: GlobalFlags,
    /// How results are printed.
    pub format: Option<Format>,
}

/// The addresses a running server wrote to its data folder, as far as they are used here.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Addresses {
    /// REST.
    pub api: String,
    /// Admission webhook, TLS.
    pub webhook: String,
    /// The proxy to the same server under Google's names, where there is one.
    pub googleapis: Option<String>,
}

impl Addresses {
    /// Reads `addresses.json` of a data folder.
    pub(crate) fn read(data_dir: &Path) -> Result<Addresses, Failure> {
        let path = data_dir.join("addresses.json");
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::file("read", &path, &error)
                .advise("a running server writes it: `binauthz serve --dev --data-dir DIR`")
        })?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::usage(format_args!(
                "`{}` does not hold a server's addresses: {error}",
                path.display()
            ))
        })
    }
}

impl Settings {
    /// Takes over the flags; nothing is read yet.
    pub fn new(flags: GlobalFlags) -> Settings {
        let format = flags.format.clone();
        Settings { flags, format }
    }

    /// The same, with the project that gcloud's environment names where ours names none.
    pub(crate) fn with_environment(mut flags: GlobalFlags) -> Settings {
        flags.project = flags
            .project
            .or_else(|| std::env::var("CLOUDSDK_CORE_PROJECT").ok());
        Settings::new(flags)
    }

    /// What was typed, with the environment beneath it. `typed` says whether a flag stands on the command line: then
    /// what the environment says about the same thing does not count, under whatever name it says it.
    pub(crate) fn of_command_line(mut flags: GlobalFlags, typed: impl Fn(&str) -> bool) -> GlobalFlags {
        // A folder names its server, its administrator's token and its authority.
        if typed("data_dir") && !typed("server") {
            flags.server = None;
            flags.token = flags.token.filter(|_| typed("token"));
            flags.token_file = flags.token_file.filter(|_| typed("token_file"));
            flags.ca_file = flags.ca_file.filter(|_| typed("ca_file"));
        }
        if typed("token") && !typed("token_file") {
            flags.token_file = None;
        }
        flags
    }

    /// The project of `--project`, or what to do about it.
    pub fn project(&self) -> Result<&str, Failure> {
        match self.flags.project.as_deref() {
            Some(project) => Ok(project),
            None => Err(Failure::usage("no project: the command needs one")
                .advise("pass --project ID or set BINAUTHZ_PROJECT (or CLOUDSDK_CORE_PROJECT)")),
        }
    }

    /// The data folder, where one was named.
    pub fn data_dir(&self) -> Option<&Path> {
        self.flags.data_dir.as_deref()
    }

    /// The data folder, or what to do about it.
    pub fn required_data_dir(&self) -> Result<&Path, Failure> {
        self.data_dir().ok_or_else(|| {
            Failure::usage("no data folder: the command needs the one the server was started with")
                .advise("pass --data-dir DIR or set BINAUTHZ_DATA_DIR")
        })
    }

    /// A client for the server that flags, environment and data folder name together.
    pub fn client(&self) -> Result<Client, Failure> {
        let server = self.server()?;
        let token = self.token()?;
        if token.is_some() && !self.flags.allow_plain_http {
            refuse_plain_http(&server)?;
        }
        let authority = self.authority()?;
        Client::new(server, token, authority.as_deref())
            .map_err(|error| Failure::usage(format_args!("could not set up the connection: {error}")))
    }

    fn server(&self) -> Result<Url, Failure> {
        let text = match (&self.flags.server, self.data_dir()) {
            (Some(server), _) => server.clone(),
            (None, Some(folder)) => Addresses::read(folder)?.api,
            (None, None) => {
                return Err(Failure::usage("no server: the command needs one")
                    .advise(
                        "pass --server URL or --data-dir DIR (or set BINAUTHZ_SERVER or BINAUTHZ_DATA_DIR)",
                    )
                    .advise("to start one: binauthz serve --dev --data-dir DIR"));
            }
        };
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
            _ => Err(Failure::usage(format_args!(
                "`{text}` is not an http:// or https:// URL of a server"
            ))),
        }
    }

    fn token(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.flags.token_file {
            return Ok(Some(read_token(path)?));
        }
        if let Some(token) = &self.flags.token {
            return Ok(Some(token.clone()));
        }
        // The administrator's token belongs to the server in the same folder: it is not sent to another one.
        match self.data_dir().map(|folder| folder.join("admin.token")) {
            Some(path) if self.flags.server.is_none() && path.exists() => Ok(Some(read_token(&path)?)),
            _ => Ok(None),
        }
    }

    /// The certificates to trust, of `--ca-file` or beside the server's data.
    pub(crate) fn authority(&self) -> Result<Option<Vec<u8>>, Failure> {
        let beside = self
            .data_dir()
            .map(|folder| folder.join("webhook-ca.pem"))
            .filter(|path| path.exists());
        let path: Option<PathBuf> = match &self.flags.ca_file {
            Some(path) => Some(path.clone()),
            None if self.flags.server.is_none() => beside,
            None => None,
        };
        path.map(|path| fs::read(&path).map_err(|error| Failure::file("read", &path, &error)))
            .transpose()
    }
}

/// A token on a plain connection can be read by everybody on the way.
fn refuse_plain_http(server: &Url) -> Result<(), Failure> {
    if is_private(server) {
        return Ok(());
    }
    Err(Failure::usage(format_args!(
        "`{server}` is plain HTTP: the token could be read on the way"
    ))
    .advise("use https://, or pass --allow-plain-http where the network is trusted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_brings_address_and_token_and_an_explicit_server_gets_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        let addresses =
            r#"{"api":"http://127.0.0.1:9","webhook":"https://127.0.0.1:8","health":"http://127.0.0.1:7"}"#;
        fs::write(folder.path().join("addresses.json"), addresses).expect("written");
        fs::write(folder.path().join("admin.token"), "secret\n").expect("written");
        let mut flags = GlobalFlags {
            data_dir: Some(folder.path().to_owned()),
            ..GlobalFlags::default()
        };
        let settings = Settings::new(flags.clone());
        assert_eq!(
            settings.server().expect("an address").as_str(),
            "http://127.0.0.1:9/"
        );
        assert_eq!(
            settings.token().expect("readable").expect("there").reveal(),
            "secret"
        );
        flags.server = Some("http://127.0.0.1:10".to_owned());
        let settings = Settings::new(flags);
        assert_eq!(
            settings.server().expect("an address").as_str(),
            "http://127.0.0.1:10/"
        );
        assert!(settings.token().expect("readable").is_none());
    }

    #[test]
    fn what_is_typed_beats_what_the_environment_says() {
        let everything = GlobalFlags {
            server: Some("http://127.0.0.1:1".to_owned()),
            token: Some(Secret::new("t")),
            token_file: Some("f".into()),
            data_dir: Some("d".into()),
            ca_file: Some("c".into()),
            ..GlobalFlags::default()
        };
        // What is typed, and what of `everything` counts then.
        let table: &[(&[&str], [bool; 5])] = &[
            (&[], [true, true, true, true, true]),
            (&["data_dir"], [false, false, false, true, false]),
            (&["data_dir", "token"], [false, true, false, true, false]),
            (&["data_dir", "token_file"], [false, false, true, true, false]),
            (&["data_dir", "ca_file"], [false, false, false, true, true]),
            (&["data_dir", "server"], [true, true, true, true, true]),
            (&["server"], [true, true, true, true, true]),
            (&["token"], [true, true, false, true, true]),
            (&["token_file"], [true, true, true, true, true]),
        ];
        for (typed, expected) in table {
            let flags = Settings::of_command_line(everything.clone(), |flag| typed.contains(&flag));
            let counts = [
                flags.server.is_some(),
                flags.token.is_some(),
                flags.token_file.is_some(),
                flags.data_dir.is_some(),
                flags.ca_file.is_some(),
            ];
            assert_eq!(counts, *expected, "{typed:?}");
        }
    }
}
