//! The flags as meant: which server, with which token, for which project.

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use reqwest::Url;

use crate::{args::GlobalFlags, client::Client, failure::Failure, output::Format};

/// A token file holds one line; the longest token is far below this.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// A token that cannot be printed by accident.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token; surrounding white space (a file's last newline) is dropped.
    pub fn new(text: &str) -> Secret {
        Secret(text.trim().to_owned())
    }

    /// The token itself, for the `Authorization` header only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// As clap reads it from `--token` or the environment.
impl std::str::FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        match Secret::new(text) {
            Secret(token) if token.is_empty() || token.contains(char::is_whitespace) => {
                Err("expected a token: one word")
            }
            secret => Ok(secret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

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
            return read_token(path).map(Some);
        }
        if let Some(token) = &self.flags.token {
            return Ok(Some(token.clone()));
        }
        // The administrator's token belongs to the server in the same folder: it is not sent to another one.
        match self.data_dir().map(|folder| folder.join("admin.token")) {
            Some(path) if self.flags.server.is_none() && path.exists() => read_token(&path).map(Some),
            _ => Ok(None),
        }
    }

    fn authority(&self) -> Result<Option<Vec<u8>>, Failure> {
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

pub(crate) fn read_token(path: &Path) -> Result<Secret, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    if text.trim().is_empty() || text.len() > TOKEN_BYTES_MAX || text.trim().contains(char::is_whitespace) {
        return Err(Failure::usage(format_args!(
            "`{}` does not hold a token (one line)",
            path.display()
        )));
    }
    Ok(Secret::new(&text))
}

/// A token on a plain connection can be read by everybody on the way.
pub(crate) fn refuse_plain_http(server: &Url) -> Result<(), Failure> {
    let host = server.host_str().unwrap_or("").trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if server.scheme() == "https" || loopback {
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
    fn a_token_travels_in_clear_only_on_this_machine() {
        let table = [
            ("http://127.0.0.1:1/", true),
            ("http://localhost:1/", true),
            ("http://[::1]:1/", true),
            ("https://binauthz.example/", true),
            ("http://binauthz.example/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.evil.example/", false),
        ];
        for (server, allowed) in table {
            let url = Url::parse(server).expect("a test URL");
            assert_eq!(refuse_plain_http(&url).is_ok(), allowed, "{server}");
        }
    }

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

    #[test]
    fn a_token_file_holds_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        for (text, good) in [
            ("abc\n", true),
            ("", false),
            ("\n", false),
            ("a b", false),
            ("a\nb\n", false),
        ] {
            let path = folder.path().join("token");
            fs::write(&path, text).expect("written");
            assert_eq!(read_token(&path).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
