//! A kubeconfig, as far as it can be used without running a program: where the cluster is, whom it trusts, who asks.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use binauthz_wire::{json::Limits, yaml};
use reqwest::Url;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    api::Api,
    token::{Secret, Token, UnusableToken, is_private, read_token},
    transport::Credentials,
};

/// Files that `KUBECONFIG` may name; kubectl's own users have a handful.
const FILES_MAX: usize = 32;
/// A kubeconfig with a thousand clusters and certificates of 2 KiB has half of it.
const FILE_BYTES_MAX: u64 = Limits::MANIFEST.bytes as u64;

/// Fields of a user that are credentials this program does not use, and what they are.
const UNUSABLE: [(&str, &str); 3] = [
    ("exec", "a program that is not run here"),
    ("auth-provider", "a plugin that Kubernetes has given up"),
    ("username", "a password, which Kubernetes has given up"),
];

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKubeconfig {
    /// Nothing says where it is.
    #[error("no kubeconfig: neither --kubeconfig nor KUBECONFIG nor HOME is set")]
    Nowhere,
    /// It, or a file that it names, cannot be read.
    #[error("could not read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not YAML.
    #[error("`{}`: {source}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: yaml::InvalidYaml,
    },
    /// It is something else.
    #[error("`{}` is not a kubeconfig: it has neither `clusters` nor `contexts`", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// It has no entry of this name.
    #[error("the kubeconfig has no {kind} `{name}`")]
    Unknown {
        /// Such as `context`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A field that is needed is not there.
    #[error("{what} has no `{field}`")]
    Missing {
        /// The entry.
        what: String,
        /// The field.
        field: &'static str,
    },
    /// A field holds something else.
    #[error("`{field}` of {what} {why}")]
    Field {
        /// The entry.
        what: String,
        /// The field.
        field: String,
        /// What it is, or what was expected.
        why: String,
    },
    /// The connection would not be checked.
    #[error("{what} says `insecure-skip-tls-verify`: whoever is on the way could be the cluster")]
    Unchecked {
        /// The entry.
        what: String,
    },
    /// A way to the cluster that is not followed.
    #[error("{what} has `{field}`, which this program does not follow")]
    Unfollowed {
        /// The entry.
        what: String,
        /// The field.
        field: &'static str,
    },
    /// The token would be readable on the way.
    #[error("`{server}` is plain HTTP: the token could be read on the way")]
    Plain {
        /// The address.
        server: Url,
    },
    /// A file of a token holds none.
    #[error(transparent)]
    Token(#[from] UnusableToken),
    /// Credentials that are not used.
    #[error("{what} gets its credentials by `{field}`: {why}")]
    Credentials {
        /// The entry.
        what: String,
        /// The field.
        field: &'static str,
        /// What that is.
        why: &'static str,
    },
    /// Certificates or keys that cannot be read.
    #[error("context `{context}` cannot be used: {source}")]
    Unreadable {
        /// The context.
        context: String,
        /// What is wrong.
        source: reqwest::Error,
    },
}

impl InvalidKubeconfig {
    /// What to do about it, a line each.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let lines: &[&str] = match self {
            Self::Unknown { known, kind, .. } if known.is_empty() => {
                return vec![format!("it has no {kind} at all")];
            }
            Self::Unknown { known, .. } => return vec![format!("it has {}", known.join(", "))],
            Self::Unchecked { .. } => &["put the cluster's `certificate-authority-data` in its place"],
            Self::Unfollowed { .. } => {
                &["reach the cluster through `kubectl proxy`, with a kubeconfig that names its address"]
            }
            Self::Plain { .. } => &["use https://"],
            Self::Credentials { .. } => &[
                "use a context with a client certificate or a token (`kubectl create token`), or reach the",
                "cluster through `kubectl proxy`, with a kubeconfig that names its address and no user",
            ],
            Self::Unreadable { .. } => &["its certificates and keys must be PEM"],
            _ => &[],
        };
        lines.iter().map(|&line| line.to_owned()).collect()
    }
}

/// Connects to the cluster of a context. `file` is `--kubeconfig`; without it the files are those of kubectl.
pub(crate) fn connect(file: Option<&Path>, context: &str) -> Result<Api, InvalidKubeconfig> {
    let files = file.map_or_else(usual_files, |file| Ok(vec![file.to_owned()]))?;
    Kubeconfig::read(&files)?.connect(context)
}

/// `KUBECONFIG`, which may name several files, or `~/.kube/config`.
fn usual_files() -> Result<Vec<PathBuf>, InvalidKubeconfig> {
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        // As kubectl: of several, those that do not exist are passed over.
        let mut files: Vec<PathBuf> = std::env::split_paths(&list).take(FILES_MAX).collect();
        if files.len() > 1 {
            files.retain(|file| file.exists());
        }
        return Ok(files);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.map(|home| vec![home.join(".kube/config")])
        .ok_or(InvalidKubeconfig::Nowhere)
}

fn read(path: &Path) -> Result<Vec<u8>, InvalidKubeconfig> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too long" from "just fits".
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let failed = |source| InvalidKubeconfig::File {
        path: path.to_owned(),
        source,
    };
    match read.map_err(failed)? {
        length if length as u64 > FILE_BYTES_MAX => Err(failed(io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        )))),
        _ => Ok(bytes),
    }
}

/// One or several files; what stands in an earlier one counts.
struct Kubeconfig {
    files: Vec<(PathBuf, Value)>,
}

/// An entry of `clusters`, `users` or `contexts`, with the file it stands in.
struct Entry<'a> {
    what: String,
    file: &'a Path,
    fields: &'a Value,
}

impl Kubeconfig {
    fn read(paths: &[PathBuf]) -> Result<Kubeconfig, InvalidKubeconfig> {
        let mut files = Vec::new();
        for path in paths {
            let content = yaml::parse(&read(path)?).map_err(|source| InvalidKubeconfig::Yaml {
                path: path.clone(),
                source,
            })?;
            let content = Value::from(content);
            if content.get("clusters").is_none() && content.get("contexts").is_none() {
                return Err(InvalidKubeconfig::Other { path: path.clone() });
            }
            files.push((path.clone(), content));
        }
        Ok(Kubeconfig { files })
    }

    fn connect(&self, name: &str) -> Result<Api, InvalidKubeconfig> {
        let context = self.entry("contexts", "context", name)?;
        let cluster = self.entry("clusters", "cluster", context.required("cluster")?)?;
        let user = match context.text("user") {
            Some(user) => Some(self.entry("users", "user", user)?),
            None => None,
        };
        let server = server(&cluster)?;
        let authority = cluster.bytes("certificate-authority")?;
        let (token, identity) = match &user {
            Some(user) => (token(user)?, identity(user)?),
            None => (None, None),
        };
        if token.is_some() && !is_private(&server) {
            return Err(InvalidKubeconfig::Plain { server });
        }
        let credentials = Credentials {
            authority: authority.as_deref().map(Vec::as_slice),
            token,
            identity: identity.as_deref().map(Vec::as_slice),
        };
        Api::new(server, credentials).map_err(|source| InvalidKubeconfig::Unreadable {
            context: name.to_owned(),
            source,
        })
    }

    fn entry(&self, list: &str, kind: &'static str, name: &str) -> Result<Entry<'_>, InvalidKubeconfig> {
        let entries = self.files.iter().flat_map(|(file, content)| {
            let entries = content.get(list).and_then(Value::as_array).into_iter().flatten();
            entries.map(move |entry| (file.as_path(), entry))
        });
        let mut known = Vec::new();
        for (file, entry) in entries {
            let Some(found) = entry.get("name").and_then(Value::as_str) else {
                continue;
            };
            if found == name {
                return Ok(Entry {
                    what: format!("{kind} `{name}` of `{}`", file.display()),
                    file,
                    fields: entry.get(kind).unwrap_or(&Value::Null),
                });
            }
            known.push(format!("`{found}`"));
        }
        Err(InvalidKubeconfig::Unknown {
            kind,
            name: name.to_owned(),
            known,
        })
    }
}

impl Entry<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        let text = self.fields.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn required(&self, field: &'static str) -> Result<&str, InvalidKubeconfig> {
        self.text(field).ok_or_else(|| self.lacks(field))
    }

    /// `FIELD-data` in base64, or the file that `FIELD` names, relative to the kubeconfig it stands in.
    fn bytes(&self, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>, InvalidKubeconfig> {
        let data = format!("{field}-data");
        if let Some(text) = self.text(&data) {
            let bytes = STANDARD.decode(text);
            let bytes = bytes.map_err(|error| self.wrong(&data, format!("is not base64: {error}")))?;
            return Ok(Some(Zeroizing::new(bytes)));
        }
        let Some(path) = self.text(field) else {
            return Ok(None);
        };
        read(&self.path(path)).map(|bytes| Some(Zeroizing::new(bytes)))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn lacks(&self, field: &'static str) -> InvalidKubeconfig {
        InvalidKubeconfig::Missing {
            what: self.what.clone(),
            field,
        }
    }

    fn wrong(&self, field: &str, why: String) -> InvalidKubeconfig {
        InvalidKubeconfig::Field {
            what: self.what.clone(),
            field: field.to_owned(),
            why,
        }
    }
}

fn server(cluster: &Entry<'_>) -> Result<Url, InvalidKubeconfig> {
    if cluster.fields.get("insecure-skip-tls-verify") == Some(&Value::Bool(true)) {
        return Err(InvalidKubeconfig::Unchecked {
            what: cluster.what.clone(),
        });
    }
    for unused in ["proxy-url", "tls-server-name"] {
        if cluster.text(unused).is_some() {
            return Err(InvalidKubeconfig::Unfollowed {
                what: cluster.what.clone(),
                field: unused,
            });
        }
    }
    let text = cluster.required("server")?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(cluster.wrong("server", format!("is `{text}`, expected an https:// URL"))),
    }
}

fn token(user: &Entry<'_>) -> Result<Option<Token>, InvalidKubeconfig> {
    // As client-go: the file wins, because it is renewed.
    if let Some(path) = user.text("tokenFile") {
        let path = user.path(path);
        // Now, so that a file without a token is told at once.
        read_token(&path)?;
        return Ok(Some(Token::File(path)));
    }
    let token = user.text("token").map(str::parse::<Secret>).transpose();
    let token = token.map_err(|expected| user.wrong("token", format!("cannot be used: {expected}")))?;
    Ok(token.map(Token::Fixed))
}

fn identity(user: &Entry<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, InvalidKubeconfig> {
    let has_token = user.text("token").is_some() || user.text("tokenFile").is_some();
    match (user.bytes("client-certificate")?, user.bytes("client-key")?) {
        (Some(mut certificate), Some(key)) => {
            certificate.push(b'\n');
            certificate.extend_from_slice(&key);
            Ok(Some(certificate))
        }
        (None, None) if has_token => Ok(None),
        (None, None) => {
            let unusable = UNUSABLE
                .iter()
                .find(|(field, _)| user.fields.get(*field).is_some());
            unusable.map_or(Ok(None), |&(field, why)| {
                Err(InvalidKubeconfig::Credentials {
                    what: user.what.clone(),
                    field,
                    why,
                })
            })
        }
        (Some(_), None) => Err(user.lacks("client-key")),
        (None, Some(_)) => Err(user.lacks("client-certificate")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> (tempfile::TempDir, Kubeconfig) {
        crate::install_crypto_provider();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        fs::write(&path, text).expect("written");
        fs::write(folder.path().join("token"), "secret\n").expect("written");
        let config = Kubeconfig::read(&[path]).map_err(|error| error.to_string());
        (folder, config.expect("a kubeconfig"))
    }

    fn with(cluster: &str, user: &str) -> String {
        format!(
            "contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    #[test]
    fn a_token_connects_over_https_or_to_this_machine() {
        let good = [
            ("server: 'https://k.example:6443'", "token: t"),
            ("server: 'https://k.example/k8s/clusters/c-1'", "tokenFile: token"),
            ("server: 'http://127.0.0.1:8001'", ""),
            ("server: 'http://127.0.0.1:8001'", "token: t"),
            ("server: 'https://k.example'", "token: t, exec: {command: x}"),
        ];
        for (cluster, user) in good {
            let (_folder, config) = read(&with(cluster, user));
            if let Err(failure) = config.connect("c") {
                panic!("{cluster} {user}: {failure}");
            }
        }
    }

    #[test]
    fn what_would_be_guessed_is_refused_with_its_field() {
        let server = "server: 'https://k.example'";
        let table: &[(&str, &str, &str)] = &[
            ("server: 'ftp://k.example'", "token: t", "`server`"),
            ("server: ''", "token: t", "has no `server`"),
            ("server: 'http://k.example'", "token: t", "plain HTTP"),
            (
                "server: 'https://k.example', insecure-skip-tls-verify: true",
                "token: t",
                "insecure-skip-tls-verify",
            ),
            (
                "server: 'https://k.example', proxy-url: 'http://p'",
                "token: t",
                "proxy-url",
            ),
            (
                "server: 'https://k.example', certificate-authority-data: '%'",
                "token: t",
                "`certificate-authority-data`",
            ),
            (
                "server: 'https://k.example', certificate-authority: missing.pem",
                "token: t",
                "missing.pem",
            ),
            (server, "exec: {command: aws}", "`exec`"),
            (server, "username: a, password: b", "`username`"),
            (server, "token: 'a b'", "`token`"),
            (server, "tokenFile: nothing", "nothing"),
            (server, "client-key-data: AA==", "has no `client-certificate`"),
            (server, "client-certificate-data: AA==", "has no `client-key`"),
            (
                server,
                "client-certificate-data: AA==, client-key-data: AA==",
                "PEM",
            ),
        ];
        for (cluster, user, expected) in table {
            let (_folder, config) = read(&with(cluster, user));
            match config.connect("c") {
                Ok(_) => panic!("{cluster} {user} was accepted"),
                Err(error) => {
                    let said = format!("{error} {:?}", error.advice());
                    assert!(said.contains(expected), "{expected}: {said}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (_folder, config) = read(&with("server: 'https://k.example'", "token: t"));
        let error = config.connect("d").expect_err("there is no such context");
        assert_eq!(error.to_string(), "the kubeconfig has no context `d`");
        assert_eq!(error.advice(), ["it has `c`"]);
    }

    #[test]
    fn the_earlier_file_counts_and_paths_are_relative_to_their_own() {
        crate::install_crypto_provider();
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("first"), folder.path().join("below/second"));
        fs::create_dir(folder.path().join("below")).expect("made");
        fs::write(folder.path().join("below/token"), "t").expect("written");
        fs::write(&first, "contexts: [{name: c, context: {cluster: k, user: u}}]\n").expect("written");
        fs::write(&second, with("server: 'https://k.example'", "tokenFile: token")).expect("written");
        let both = Kubeconfig::read(&[first.clone(), second]).map_err(|error| error.to_string());
        assert!(both.expect("two files").connect("c").is_ok());
        let one = Kubeconfig::read(&[first]).map_err(|error| error.to_string());
        assert!(one.expect("one file").connect("c").is_err());
    }

    #[test]
    fn another_file_is_no_kubeconfig() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        for text in ["a: 1\n", "- x\n", "", "a: [\n"] {
            fs::write(&path, text).expect("written");
            assert!(Kubeconfig::read(std::slice::from_ref(&path)).is_err(), "{text:?}");
        }
    }
}
