//! A kubeconfig, as far as it can be used without running a program: where the cluster is, whom it trusts, who asks.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Url;
use serde_json::Value;
use zeroize::Zeroizing;

use super::api::Api;
use crate::{
    commands::files,
    failure::Failure,
    settings::{Secret, read_token, refuse_plain_http},
    transport::Credentials,
    yaml,
};

/// Files that `KUBECONFIG` may name; kubectl's own users have a handful.
const FILES_MAX: usize = 32;

/// Fields of a user that are credentials this program does not use, and what they are.
const UNUSABLE: [(&str, &str); 3] = [
    ("exec", "a program that is not run here"),
    ("auth-provider", "a plugin that Kubernetes has given up"),
    ("username", "a password, which Kubernetes has given up"),
];

/// Connects to the cluster of a context. `file` is `--kubeconfig`; without it the files are those of kubectl.
pub(super) fn connect(file: Option<&Path>, context: &str) -> Result<Api, Failure> {
    let files = file.map_or_else(usual_files, |file| Ok(vec![file.to_owned()]))?;
    Kubeconfig::read(&files)?.connect(context)
}

/// `KUBECONFIG`, which may name several files, or `~/.kube/config`.
fn usual_files() -> Result<Vec<PathBuf>, Failure> {
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
        .ok_or_else(|| Failure::usage("no kubeconfig: neither --kubeconfig nor KUBECONFIG nor HOME is set"))
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
    fn read(paths: &[PathBuf]) -> Result<Kubeconfig, Failure> {
        let mut files = Vec::new();
        for path in paths {
            let content = yaml::read(&files::read(path)?, path)?;
            if content.get("clusters").is_none() && content.get("contexts").is_none() {
                return Err(Failure::usage(format_args!(
                    "`{}` is not a kubeconfig: it has neither `clusters` nor `contexts`",
                    path.display()
                )));
            }
            files.push((path.clone(), content));
        }
        Ok(Kubeconfig { files })
    }

    fn connect(&self, name: &str) -> Result<Api, Failure> {
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
        if token.is_some() {
            refuse_plain_http(&server)?;
        }
        let credentials = Credentials {
            authority: authority.as_deref().map(Vec::as_slice),
            token,
            identity: identity.as_deref().map(Vec::as_slice),
        };
        Api::new(server, credentials).map_err(|error| {
            Failure::usage(format_args!("context `{name}` cannot be used: {error}"))
                .advise("its certificates and keys must be PEM")
        })
    }

    fn entry(&self, list: &str, kind: &str, name: &str) -> Result<Entry<'_>, Failure> {
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
        let failure = Failure::usage(format_args!("the kubeconfig has no {kind} `{name}`"));
        Err(match known.is_empty() {
            true => failure.advise(format_args!("it has no `{list}` at all")),
            false => failure.advise(format_args!("it has {}", known.join(", "))),
        })
    }
}

impl Entry<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        let text = self.fields.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn required(&self, field: &str) -> Result<&str, Failure> {
        self.text(field)
            .ok_or_else(|| Failure::usage(format_args!("{} has no `{field}`", self.what)))
    }

    /// `FIELD-data` in base64, or the file that `FIELD` names, relative to the kubeconfig it stands in.
    fn bytes(&self, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let data = format!("{field}-data");
        if let Some(text) = self.text(&data) {
            let bytes = STANDARD.decode(text).map_err(|error| {
                Failure::usage(format_args!("`{data}` of {} is not base64: {error}", self.what))
            })?;
            return Ok(Some(Zeroizing::new(bytes)));
        }
        let Some(path) = self.text(field) else {
            return Ok(None);
        };
        files::read(&self.path(path)).map(|bytes| Some(Zeroizing::new(bytes)))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn server(cluster: &Entry<'_>) -> Result<Url, Failure> {
    if cluster.fields.get("insecure-skip-tls-verify") == Some(&Value::Bool(true)) {
        return Err(Failure::usage(format_args!(
            "{} says `insecure-skip-tls-verify`: whoever is on the way could be the cluster",
            cluster.what
        ))
        .advise("put the cluster's `certificate-authority-data` in its place"));
    }
    for unused in ["proxy-url", "tls-server-name"] {
        if cluster.text(unused).is_some() {
            return Err(Failure::usage(format_args!(
                "{} has `{unused}`, which this program does not follow",
                cluster.what
            ))
            .advise("reach the cluster through `kubectl proxy`, with a kubeconfig that names its address"));
        }
    }
    let text = cluster.required("server")?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Failure::usage(format_args!(
            "`server` of {} is `{text}`, expected an https:// URL",
            cluster.what
        ))),
    }
}

fn token(user: &Entry<'_>) -> Result<Option<Secret>, Failure> {
    // As client-go: the file wins, because it is renewed.
    if let Some(path) = user.text("tokenFile") {
        return read_token(&user.path(path)).map(Some);
    }
    let token = user.text("token").map(str::parse::<Secret>).transpose();
    token.map_err(|error| Failure::usage(format_args!("`token` of {}: {error}", user.what)))
}

fn identity(user: &Entry<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
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
            unusable.map_or(Ok(None), |(field, what)| {
                Err(Failure::usage(format_args!(
                    "{} gets its credentials by `{field}`: {what}",
                    user.what
                ))
                .advise("use a context with a client certificate or a token (`kubectl create token`), or reach the")
                .advise("cluster through `kubectl proxy`, with a kubeconfig that names its address and no user"))
            })
        }
        (Some(_), None) => Err(Failure::usage(format_args!("{} has no `client-key`", user.what))),
        (None, Some(_)) => Err(Failure::usage(format_args!(
            "{} has no `client-certificate`",
            user.what
        ))),
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
                Err(failure) => assert!(failure.to_string().contains(expected), "{expected}: {failure}"),
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (_folder, config) = read(&with("server: 'https://k.example'", "token: t"));
        let failure = config.connect("d").err().map(|failure| failure.to_string());
        assert!(failure.is_some_and(|text| text.contains("no context `d`") && text.contains("`c`")));
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
