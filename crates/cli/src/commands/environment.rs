//! `env`: shell exports that point gcloud, and this program, at a server.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    failure::{Exit, Failure},
    output,
    settings::{Addresses, Settings},
};

/// The services of gcloud that this server answers for.
const SERVICES: [&str; 10] = [
    "BINARYAUTHORIZATION",
    "CONTAINERANALYSIS",
    "CLOUDKMS",
    "CONTAINER",
    "SERVICEUSAGE",
    "ARTIFACTREGISTRY",
    "CLOUDRESOURCEMANAGER",
    "IAM",
    "LOGGING",
    "MONITORING",
];

/// Where the tools of a machine look for the authorities they trust: gcloud, curl, Python's requests, OpenSSL and Go, gRPC.
const AUTHORITIES: [&str; 5] = [
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// How tools are pointed at the server.
#[derive(Debug, Args)]
pub struct Flags {
    /// By a proxy that leads to the server under the names of Google's services: nothing is told another address
    #[arg(long)]
    googleapis: bool,
    /// File made by `credentials create`, for gcloud and Google's client libraries
    #[arg(long, value_name = "FILE", requires = "googleapis")]
    credentials: Option<PathBuf>,
}

impl Flags {
    /// Prints the exports for the server of the data folder.
    pub(crate) fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let folder = settings.required_data_dir()?;
        let path = absolute(folder)?;
        let addresses = Addresses::read(folder)?;
        let here = Here {
            folder: path,
            api: addresses.api.trim_end_matches('/').to_owned(),
            project: settings.project().ok().map(str::to_owned),
        };
        let text = if self.googleapis {
            let proxy = addresses.googleapis.ok_or_else(|| {
                Failure::usage("this server does not answer under Google's names")
                    .advise("start it with `binauthz serve --googleapis`")
            })?;
            let credentials = self.credentials.as_deref().map(absolute).transpose()?;
            here.under_googles_names(&proxy, credentials.as_deref())
        } else {
            here.exports()
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

fn absolute(path: &Path) -> Result<String, Failure> {
    path.canonicalize()
        .map(|path| path.display().to_string())
        .map_err(|error| Failure::file("open", path, &error))
}

/// A server of this machine, and the project to work in.
struct Here {
    folder: String,
    api: String,
    project: Option<String>,
}

impl Here {
    /// One export a line. Everything that could hold a blank or a quote is quoted for a POSIX shell.
    fn exports(&self) -> String {
        let mut lines = self.common("# eval \"$(binauthz env --data-dir DIR)\"");
        for service in SERVICES {
            // The slash at the end is mandatory: gcloud refuses an override without it.
            let address = format!("{}/", self.api);
            lines.push(export(
                &format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"),
                &address,
            ));
        }
        lines.push(export(
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
            &self.file("admin.token"),
        ));
        if self.api.starts_with("https://") {
            lines.push(export(
                "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
                &self.file("webhook-ca.pem"),
            ));
            // These two win over gcloud's own setting when they are set.
            lines.push("unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE".to_owned());
        }
        lines.join("\n") + "\n"
    }

    /// The same by a proxy. What was set to lead elsewhere is unset, so that no credential of this server goes to a real
    /// cloud.
    fn under_googles_names(&self, proxy: &str, credentials: Option<&str>) -> String {
        let mut lines = self.common("# eval \"$(binauthz env --data-dir DIR --googleapis)\"");
        for name in ["HTTPS_PROXY", "https_proxy"] {
            lines.push(export(name, proxy));
        }
        for name in ["NO_PROXY", "no_proxy"] {
            lines.push(export(name, &self.near()));
        }
        let overrides = SERVICES.map(|service| format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"));
        lines.push(format!("unset {}", overrides.join(" ")));
        lines.push("unset CLOUDSDK_PROXY_TYPE CLOUDSDK_PROXY_ADDRESS CLOUDSDK_PROXY_PORT".to_owned());
        lines.push("unset grpc_proxy no_grpc_proxy".to_owned());
        for name in AUTHORITIES {
            lines.push(export(name, &self.file("webhook-ca.pem")));
        }
        if let Some(project) = &self.project {
            lines.push(export("GOOGLE_CLOUD_PROJECT", project));
        }
        match credentials {
            Some(file) => {
                lines.push(export("GOOGLE_APPLICATION_CREDENTIALS", file));
                lines.push(export("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", file));
                lines.push("unset CLOUDSDK_AUTH_ACCESS_TOKEN CLOUDSDK_AUTH_ACCESS_TOKEN_FILE".to_owned());
            }
            None => {
                lines.push(export(
                    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
                    &self.file("admin.token"),
                ));
                lines.push(
                    "unset GOOGLE_APPLICATION_CREDENTIALS CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE".to_owned(),
                );
            }
        }
        lines.join("\n") + "\n"
    }

    /// What is reached without the proxy: this machine, and the API where it is on another interface.
    fn near(&self) -> String {
        let authority = self.api.split_once("://").map_or("", |(_, rest)| rest);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let mut near = vec!["localhost", "127.0.0.1", "::1"];
        if !near.contains(&host) {
            near.push(host);
        }
        near.join(",")
    }

    fn common(&self, first: &str) -> Vec<String> {
        let mut lines = vec![first.to_owned(), export("BINAUTHZ_DATA_DIR", &self.folder)];
        if let Some(project) = &self.project {
            lines.push(export("BINAUTHZ_PROJECT", project));
            lines.push(export("CLOUDSDK_CORE_PROJECT", project));
        }
        // A configuration folder of its own keeps the account and the project of a real cloud out of it.
        lines.push(export("CLOUDSDK_CONFIG", &self.file("gcloud")));
        lines.push(
            "export CLOUDSDK_CORE_DISABLE_PROMPTS=1 CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1".to_owned(),
        );
        // gcloud looks for a cloud's metadata server once in ten minutes; here it fails at once instead of waiting.
        lines.push("export GCE_METADATA_ROOT=127.0.0.1:1".to_owned());
        lines
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

fn export(name: &str, value: &str) -> String {
    format!("export {name}={}", quote(value))
}

/// Single quotes: nothing inside them means anything to a shell.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(api: &str, folder: &str, project: Option<&str>) -> Here {
        Here {
            folder: folder.to_owned(),
            api: api.to_owned(),
            project: project.map(str::to_owned),
        }
    }

    fn says(text: &str, line: &str) {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }

    #[test]
    fn gcloud_is_pointed_here_with_a_slash_at_the_end() {
        let text = here("http://127.0.0.1:8787", "/d", Some("demo")).exports();
        for line in [
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_BINARYAUTHORIZATION=http://127.0.0.1:8787/",
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS=http://127.0.0.1:8787/",
            "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=/d/admin.token",
            "export CLOUDSDK_CORE_PROJECT=demo",
            "export BINAUTHZ_DATA_DIR=/d",
        ] {
            says(&text, line);
        }
        assert!(!text.contains("CUSTOM_CA"), "plain HTTP needs no CA");
        says(
            &here("https://127.0.0.1:1", "/d", None).exports(),
            "export CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=/d/webhook-ca.pem",
        );
    }

    #[test]
    fn under_googles_names_nothing_leads_elsewhere() {
        let here = here("https://10.0.0.7:8787", "/d", Some("demo"));
        let text = here.under_googles_names("http://127.0.0.1:8789", Some("/f.json"));
        for line in [
            "export HTTPS_PROXY=http://127.0.0.1:8789",
            "export https_proxy=http://127.0.0.1:8789",
            "export NO_PROXY=localhost,127.0.0.1,::1,10.0.0.7",
            "export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=/d/webhook-ca.pem",
            "export CURL_CA_BUNDLE=/d/webhook-ca.pem",
            "export GOOGLE_APPLICATION_CREDENTIALS=/f.json",
            "export GOOGLE_CLOUD_PROJECT=demo",
            "unset CLOUDSDK_AUTH_ACCESS_TOKEN CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
        ] {
            says(&text, line);
        }
        assert!(!text.contains("export CLOUDSDK_API_ENDPOINT_OVERRIDES"), "{text}");
        let text = here.under_googles_names("http://127.0.0.1:8789", None);
        says(&text, "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=/d/admin.token");
        says(
            &text,
            "unset GOOGLE_APPLICATION_CREDENTIALS CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
        );
    }

    #[test]
    fn a_folder_name_cannot_run_a_command() {
        let text = here("http://127.0.0.1:1", "/d'; touch x; '", None).exports();
        assert!(
            text.contains(r"BINAUTHZ_DATA_DIR='/d'\''; touch x; '\'''"),
            "{text}"
        );
    }
}
