//! Whom a measurement asks: a webhook by its address, or an API server that asks one.

use std::{path::PathBuf, sync::Arc};

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{
    Api, ApiError, Configuration, Guard, Installed,
    transport::{Credentials, Transport},
};
use clap::Args;
use reqwest::Url;

use super::way::{Pod, Way};
use crate::{
    commands::{decide, files},
    failure::Failure,
    settings::{Addresses, Settings},
};

/// What an API server sends by default, in its own words.
const TIMEOUT: &str = "timeout=10s";

/// A webhook.
#[derive(Debug, Args)]
pub(super) struct WebhookFlags {
    /// Address of the webhook (else that of the server in the data folder)
    #[arg(long, value_name = "URL", conflicts_with = "context")]
    webhook_url: Option<String>,
    /// PEM certificate and private key, where the webhook demands them of the API server
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    client_certificate: Option<PathBuf>,
    /// Cluster to ask for: LOCATION.CLUSTER or its full name (else the project's only one)
    #[arg(long, value_name = "CLUSTER", conflicts_with = "context")]
    cluster: Option<String>,
}

/// An API server.
#[derive(Debug, Args)]
pub(super) struct ClusterFlags {
    /// Ask through the API server of this context of the kubeconfig, with Pods in dry run
    #[arg(long)]
    pub(super) context: Option<String>,
    /// Kubeconfig file (else KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// Namespace that the webhook does not guard, to compare with (else the first one `cluster install` left out)
    #[arg(long, value_name = "NAMESPACE", requires = "context")]
    exempt_namespace: Option<String>,
}

impl WebhookFlags {
    /// Without the verdict, and with it.
    pub(super) async fn ways(
        &self,
        settings: &Settings,
        namespace: &str,
        pod: &Pod,
    ) -> Result<(Way, Way), Failure> {
        let server = self.server(settings)?;
        let cluster = self.cluster(settings).await?;
        let identity = self.client_certificate.as_deref().map(files::read).transpose()?;
        let authority = settings.authority()?;
        let credentials = Credentials {
            authority: authority.as_deref(),
            token: None,
            identity: identity.as_deref(),
        };
        let transport = Transport::new(server, credentials)
            .map_err(|error| Failure::usage(format_args!("could not set up the connection: {error}")))?;
        let path = format!("/admit/{cluster}?{TIMEOUT}");
        Ok(Way::webhook(transport, &path, namespace, pod))
    }

    fn server(&self, settings: &Settings) -> Result<Url, Failure> {
        let text = match (&self.webhook_url, settings.data_dir()) {
            (Some(url), _) => url.clone(),
            (None, Some(folder)) => Addresses::read(folder)?.webhook,
            (None, None) => {
                return Err(Failure::usage("no webhook: the command needs one").advise(
                    "pass --data-dir DIR of a server on this machine, --webhook-url URL, or --context CONTEXT of a cluster",
                ));
            }
        };
        match Url::parse(&text) {
            Ok(url) if url.scheme() == "https" && url.has_host() && url.path() == "/" => Ok(url),
            _ => Err(
                Failure::usage(format_args!("`{text}` is not the address of a webhook"))
                    .advise("expected https://HOST:PORT; the cluster's path is added"),
            ),
        }
    }

    async fn cluster(&self, settings: &Settings) -> Result<ClusterName, Failure> {
        match &self.cluster {
            Some(named) if named.contains('/') => named.parse().map_err(Failure::usage),
            Some(named) => decide::cluster_name(named, settings.project()?),
            None => decide::only_cluster(&settings.client()?, settings.project()?).await,
        }
    }
}

impl ClusterFlags {
    /// Past the webhook, and by way of it.
    pub(super) async fn ways(
        &self,
        context: &str,
        namespace: &str,
        pod: &Pod,
    ) -> Result<(Way, Way), Failure> {
        let api = Arc::new(Api::of_context(self.kubeconfig.as_deref(), context)?);
        let left_out = left_out(&api).await?;
        let exempt = exempt((namespace, self.exempt_namespace.as_deref()), left_out.as_deref())?;
        let without = Way::kubernetes(&api, (exempt, false), pod);
        Ok((without, Way::kubernetes(&api, (namespace, true), pod)))
    }
}

/// The namespaces that the installed webhook is not asked about; none where the configurations may not be read.
async fn left_out(api: &Api) -> Result<Option<Vec<String>>, Failure> {
    let installed = match Installed::read(api).await {
        Ok(installed) => installed,
        Err(ApiError::Refused { http: 403, .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = installed
        .configuration(Configuration::Validating)
        .ok_or_else(|| {
            Failure::usage("no webhook is installed in this cluster")
                .advise("`binauthz cluster install` does it, `binauthz cluster status` shows what there is")
        })?;
    let cluster = binauthz_kubernetes::cluster_of(found).and_then(|name| name.parse::<ClusterName>().ok());
    let guard = cluster.and_then(|cluster| Guard::of(&cluster, Configuration::Validating, found));
    Ok(guard.map(|guard| guard.exempt))
}

/// The namespace to compare with. Where the configuration is known, it has to agree.
fn exempt<'a>(
    (guarded, named): (&str, Option<&'a str>),
    left_out: Option<&'a [String]>,
) -> Result<&'a str, Failure> {
    let is_out = |namespace: &str| left_out.map(|all| all.iter().any(|one| one == namespace));
    if is_out(guarded) == Some(true) {
        return Err(
            Failure::usage(format_args!("namespace `{guarded}` is exempt from the webhook"))
                .advise("--namespace names one that is guarded"),
        );
    }
    match (named, left_out) {
        (Some(named), _) if is_out(named) != Some(false) => Ok(named),
        (Some(named), _) => Err(Failure::usage(format_args!(
            "namespace `{named}` is not exempt from the webhook: there would be nothing to compare with"
        ))
        .advise(format_args!(
            "exempt are: {}; `cluster install --exempt-namespace={named}` adds it",
            left_out.unwrap_or_default().join(", ")
        ))),
        (None, Some([first, ..])) => Ok(first.as_str()),
        (None, Some([])) => Err(Failure::usage("no namespace is exempt from the webhook: there is nothing to compare with")
            .advise("make one that nobody may use: kubectl create namespace NAMESPACE, and `cluster install --exempt-namespace=NAMESPACE`")),
        (None, None) => Err(Failure::usage("no namespace to compare with")
            .advise("which ones are exempt could not be read from the webhook configuration: --exempt-namespace=NAMESPACE names one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_to_compare_with_is_exempt_as_far_as_is_known() {
        let known = ["binauthz".to_owned(), "lab".to_owned()];
        let good = |named, left_out| exempt(("default", named), left_out).expect("one");
        assert_eq!(good(None, Some(&known)), "binauthz");
        assert_eq!(good(Some("lab"), Some(&known)), "lab");
        assert_eq!(good(Some("anything"), None), "anything");
        for (guarded, named, left_out, part) in [
            ("default", None, None, "no namespace to compare with"),
            ("default", None, Some([].as_slice()), "no namespace is exempt"),
            ("default", Some("prod"), Some(known.as_slice()), "is not exempt"),
            ("lab", Some("binauthz"), Some(known.as_slice()), "`lab` is exempt"),
        ] {
            let failure = exempt((guarded, named), left_out).expect_err("none");
            assert!(failure.sentence().contains(part), "{failure}");
        }
    }
}
