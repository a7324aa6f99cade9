//! `env`: shell exports that point gcloud, and this program, at a server.

use std::path::Path;

use crate::{
    failure::{Exit, Failure},
    output,
    settings::{Addresses, Settings},
};

/// The services of gcloud that this server answers for.
const SERVICES: [&str; 9] = [
    "BINARYAUTHORIZATION",
    "CONTAINERANALYSIS",
    "CLOUDKMS",
    "CONTAINER",
    "SERVICEUSAGE",
    "ARTIFACTREGISTRY",
    "CLOUDRESOURCEMANAGER",
    "LOGGING",
    "MONITORING",
];

/// Prints the exports for the server of the data folder.
pub(crate) fn run(settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.required_data_dir()?;
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::file("open", folder, &error))?;
    let addresses = Addresses::read(&folder)?;
    output::print(&exports(&addresses.api, &folder, settings.project().ok()))?;
    Ok(Exit::Done)
}

/// One export a line. Everything that could hold a blank or a quote is quoted for a POSIX shell.
pub(crate) fn exports(api: &str, folder: &Path, project: Option<&str>) -> String {
    let folder = folder.display().to_string();
    let api = api.trim_end_matches('/');
    let in_folder = |file: &str| quote(&format!("{folder}/{file}"));
    let mut lines = vec![
        "# eval \"$(binauthz env --data-dir DIR)\"".to_owned(),
        format!("export BINAUTHZ_DATA_DIR={}", quote(&folder)),
    ];
    if let Some(project) = project {
        lines.push(format!("export BINAUTHZ_PROJECT={}", quote(project)));
        lines.push(format!("export CLOUDSDK_CORE_PROJECT={}", quote(project)));
    }
    for service in SERVICES {
        // The slash at the end is mandatory: gcloud refuses an override without it.
        lines.push(format!(
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}={}",
            quote(&format!("{api}/"))
        ));
    }
    lines.push(format!(
        "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE={}",
        in_folder("admin.token")
    ));
    if api.starts_with("https://") {
        lines.push(format!(
            "export CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE={}",
            in_folder("webhook-ca.pem")
        ));
        // These two win over gcloud's own setting when they are set.
        lines.push("unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE".to_owned());
    }
    // A configuration folder of its own keeps the account and the project of a real cloud out of it.
    lines.push(format!("export CLOUDSDK_CONFIG={}", in_folder("gcloud")));
    lines.push("export CLOUDSDK_CORE_DISABLE_PROMPTS=1 CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1".to_owned());
    // gcloud looks for a cloud's metadata server once in ten minutes; here it fails at once instead of waiting.
    lines.push("export GCE_METADATA_ROOT=127.0.0.1:1".to_owned());
    lines.join("\n") + "\n"
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

    #[test]
    fn gcloud_is_pointed_here_with_a_slash_at_the_end() {
        let text = exports("http://127.0.0.1:8787", Path::new("/d"), Some("demo"));
        for line in [
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_BINARYAUTHORIZATION=http://127.0.0.1:8787/",
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS=http://127.0.0.1:8787/",
            "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=/d/admin.token",
            "export CLOUDSDK_CORE_PROJECT=demo",
            "export BINAUTHZ_DATA_DIR=/d",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("CUSTOM_CA"), "plain HTTP needs no CA");
        assert!(
            exports("https://127.0.0.1:1", Path::new("/d"), None)
                .contains("CUSTOM_CA_CERTS_FILE=/d/webhook-ca.pem")
        );
    }

    #[test]
    fn a_folder_name_cannot_run_a_command() {
        let text = exports("http://127.0.0.1:1", Path::new("/d'; touch x; '"), None);
        assert!(
            text.contains(r"BINAUTHZ_DATA_DIR='/d'\''; touch x; '\'''"),
            "{text}"
        );
    }
}
