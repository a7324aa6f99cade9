//! One person's desk: a folder, a server, a registry if wanted, and a shell that knows them all.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::registry::Registry;
use crate::review::{self, Verdict};
use crate::server::Server;
use crate::shell::{Ran, Shell};
use crate::tools;

/// The project every test works in.
pub const PROJECT: &str = "demo";
/// The cluster that asks for admission, as in the tutorial.
pub const CLUSTER: &str = "projects/demo/locations/us-central1-a/clusters/my-cluster";
/// Where the tutorial's images are said to be.
pub const IMAGES: &str = "us-central1-docker.pkg.dev/demo/app";

const OVERRIDES: &[&str] = &[
    "ARTIFACTREGISTRY",
    "BINARYAUTHORIZATION",
    "CLOUDKMS",
    "CLOUDRESOURCEMANAGER",
    "CONTAINER",
    "CONTAINERANALYSIS",
    "IAM",
    "LOGGING",
    "MONITORING",
    "SERVICEUSAGE",
];

/// Everything a test needs. The server dies before its folder is removed.
pub struct Desk {
    /// The server under test.
    pub server: Server,
    registry: Option<Registry>,
    /// Runs what is typed.
    pub shell: Shell,
    folder: TempDir,
}

/// The answer to one HTTP request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it is not JSON.
    pub json: Value,
    /// The body as it came.
    pub text: String,
}

impl Desk {
    /// A desk with a server; none, with a line that says so, if one of `programs` is not on this machine.
    pub fn with(programs: &[&str]) -> Option<Self> {
        Self::with_options(programs, &[])
    }

    /// The same, and the server has this configuration file.
    pub fn with_configuration(programs: &[&str], configuration: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("binauthz.yaml");
        std::fs::write(&file, configuration).expect("a file can be written");
        // It is read once, at the start.
        Self::with_options(programs, &["--config", &file.display().to_string()])
    }

    /// The same, and `binauthz serve` gets `options` as well.
    pub fn with_options(programs: &[&str], options: &[&str]) -> Option<Self> {
        Self::started(programs, options, Server::start)
    }

    /// The same, and it has variables in its environment.
    pub fn with_environment(
        programs: &[&str],
        options: &[&str],
        environment: &[(&str, String)],
    ) -> Option<Self> {
        Self::started(programs, options, |data, options| {
            Server::start_in(data, options, environment)
        })
    }

    /// The same, and the server logs everything.
    pub fn talkative(programs: &[&str], options: &[&str]) -> Option<Self> {
        Self::started(programs, options, Server::start_talkative)
    }

    fn started(
        programs: &[&str],
        options: &[&str],
        start: impl FnOnce(&Path, &[String]) -> Server,
    ) -> Option<Self> {
        if !tools::needs(&["bash", "curl"]) || !tools::needs(programs) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let registry = programs
            .contains(&"docker-registry")
            .then(|| Registry::start(&folder.path().join("registry")));
        let mut arguments: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        if let Some(registry) = &registry {
            arguments.push("--registry".to_owned());
            arguments.push(format!("us-central1-docker.pkg.dev=http://{}", registry.address));
        }
        let server = start(&folder.path().join("data"), &arguments);
        let shell = shell(folder.path(), &server);
        Some(Self {
            server,
            registry,
            shell,
            folder,
        })
    }

    /// A desk whose server speaks TLS on every port, with the project in it.
    pub fn secure(programs: &[&str]) -> Option<Self> {
        if !tools::needs(&["bash", "curl"]) || !tools::needs(programs) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = Server::start_secure(&folder.path().join("data"));
        let shell = shell(folder.path(), &server);
        let desk = Self {
            server,
            registry: None,
            shell,
            folder,
        };
        desk.api(
            "POST",
            &format!("/binauthz/v1/projects?projectId={PROJECT}"),
            None,
        )
        .ok();
        Some(desk)
    }

    /// A second server on the store of the first one, with the same secrets and the same options.
    pub fn beside(&self, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        for secret in ["master.key", "admin.token"] {
            std::fs::copy(self.server.data.join(secret), data.join(secret)).expect("a file can be copied");
        }
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let server = Server::start(&data, &options);
        let shell = shell(folder.path(), &server);
        Self {
            server,
            registry: None,
            shell,
            folder,
        }
    }

    /// The folder commands run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Types `script` into the shell.
    pub fn sh(&self, script: &str) -> Ran {
        self.shell.run(script)
    }

    /// Types `script`, which must end well.
    #[track_caller]
    pub fn ok(&self, script: &str) -> Ran {
        self.sh(script).ok()
    }

    /// Puts a file into the folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("a file can be written");
    }

    /// Pushes an image whose one file holds `content` as `demo/app/NAME:TAG`; returns its digest.
    pub fn push(&self, name: &str, tag: &str, content: &str) -> String {
        let registry = self
            .registry
            .as_ref()
            .expect("the desk was asked for with `docker-registry`");
        registry.push(&format!("{PROJECT}/app/{name}"), tag, content)
    }

    /// Cuts the server's power and starts it again on the same data, at other ports.
    pub fn restarted_after_kill(self) -> Self {
        self.restarted_with(&[])
    }

    /// The same, with these options.
    pub fn restarted_with(self, options: &[&str]) -> Self {
        let Self {
            server,
            registry,
            folder,
            ..
        } = self;
        let data = server.data.clone();
        server.kill();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let server = Server::start(&data, &options);
        let shell = shell(folder.path(), &server);
        Self {
            server,
            registry,
            shell,
            folder,
        }
    }

    /// Asks the management API as the administrator.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.api_as(Some(&self.server.token), method, path, body)
    }

    /// Asks the management API with another token, or with none.
    pub fn api_as(&self, token: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let credential =
            token.map_or_else(String::new, |token| format!("-H 'Authorization: Bearer {token}'"));
        let options = format!("--cacert '{}' {credential}", self.server.webhook_ca().display());
        let text = body.map(Value::to_string);
        self.curl(
            method,
            &format!("{}{path}", self.server.api),
            &options,
            text.as_deref(),
        )
    }

    /// Asks the webhook of the tutorial's cluster about the creation of `object`.
    pub fn admit(&self, object: &Value) -> Verdict {
        self.review("admit", CLUSTER, &review::create(object))
    }

    /// Sends a whole AdmissionReview to `/PATH/CLUSTER`.
    pub fn review(&self, path: &str, cluster: &str, review: &Value) -> Verdict {
        let reply = self.webhook(&format!("/{path}/{cluster}?timeout=10s"), &review.to_string());
        Verdict {
            http: reply.status,
            response: reply.json["response"].clone(),
        }
    }

    /// Posts any text to any path of the webhook listener, over TLS that is checked.
    pub fn webhook(&self, path: &str, body: &str) -> Reply {
        let header = format!("--cacert '{}'", self.server.webhook_ca().display());
        self.curl(
            "POST",
            &format!("{}{path}", self.server.webhook),
            &header,
            Some(body),
        )
    }

    fn curl(&self, method: &str, url: &str, options: &str, body: Option<&str>) -> Reply {
        let mut shell = self.shell.clone();
        shell.set("URL", url);
        let mut sent = "";
        if let Some(body) = body {
            shell.set("BODY", body);
            sent = "-H 'Content-Type: application/json' --data-binary @-";
        }
        let line = format!(
            "printf '%s' \"${{BODY-}}\" | curl -sS --max-time 60 -X {method} {options} {sent} -w '\\n%{{http_code}}' \"$URL\""
        );
        let ran = shell.run(&line).ok();
        let (text, status) = ran
            .stdout
            .rsplit_once('\n')
            .expect("curl prints the status on a line of its own");
        Reply {
            status: status.parse().expect("an HTTP status is a number"),
            json: serde_json::from_str(text).unwrap_or_default(),
            text: text.to_owned(),
        }
    }
}

impl Reply {
    /// It must have gone well; returns the body.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status == 200, "should have been accepted: {self:#?}");
        self.json
    }

    /// It must have been refused in Google's error form, with this status name and every one of these words.
    #[track_caller]
    pub fn refused(self, status: u16, name: &str, words: &[&str]) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.json["error"]["status"], name, "{self:#?}");
        assert_eq!(self.json["error"]["code"], status, "{self:#?}");
        for word in words {
            assert!(self.text.contains(word), "should have said `{word}`: {self:#?}");
        }
        self.json
    }
}

fn shell(folder: &Path, server: &Server) -> Shell {
    let mut shell = Shell::new(folder);
    let path = |name: &str| folder.join(name).display().to_string();
    for name in OVERRIDES {
        shell.set(
            &format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}"),
            format!("{}/", server.api),
        );
    }
    shell.set("CLOUDSDK_CONFIG", path("gcloud"));
    shell.set("CLOUDSDK_CORE_PROJECT", PROJECT);
    shell.set("CLOUDSDK_CORE_DISABLE_PROMPTS", "1");
    shell.set("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "1");
    shell.set("CLOUDSDK_AUTH_ACCESS_TOKEN", server.token.as_str());
    // Nobody answers there, at once: gcloud need not look for a metadata server.
    shell.set("GCE_METADATA_ROOT", "127.0.0.1:1");
    shell.set("NO_GCE_CHECK", "true");
    shell.set("KUBECONFIG", path("kubeconfig"));
    shell.set("GNUPGHOME", path("gnupg"));
    shell.set("NO_PROXY", "127.0.0.1");
    shell.set("LC_ALL", "C.UTF-8");
    shell.set("API", server.api.as_str());
    shell.set("TOKEN", server.token.as_str());
    shell.set("DATA", server.data.display().to_string());
    let programs = tools::binauthz();
    let programs = programs.parent().unwrap_or(folder).display().to_string();
    shell.set(
        "PATH",
        format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()),
    );
    std::fs::create_dir_all(folder.join("gnupg")).expect("a folder can be made");
    shell
}
