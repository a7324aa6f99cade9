//! `cluster`: guards a Kubernetes cluster, says whether it is guarded, and takes the guard away.

mod coverage;
mod credentials;
mod found;
mod install;
mod last_known_good;
mod server;
mod status;
mod uninstall;

use std::path::PathBuf;

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{Api, CustomRule};
use binauthz_wire::custom_resources;
use clap::{Args, Subcommand};

use self::found::must_be_ours;
use super::{clusters::ClusterFlags, files};
use crate::{
    failure::{Exit, Failure},
    settings::Settings,
};

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a cluster and have its API server ask before anything runs
    #[command(
        after_help = "Examples:\n  binauthz cluster install my-cluster --location=us-central1-a --context=my-cluster \\\n      \
        --webhook-url=https://binauthz.example:8443 --dry-run\n  \
        binauthz cluster install my-cluster --location=us-central1-a --context=my-cluster \\\n      \
        --service=binauthz/binauthz --exempt-namespace=kube-system\n  \
        binauthz cluster install my-cluster --location=us-central1-a --context=my-cluster \\\n      \
        --in-cluster --image=registry.example/binauthz@sha256:… --last-known-good\n\n\
        The plan is printed first; --dry-run ends there, and with --format=yaml prints every object.\n\
        What is there already and as it should be is left alone. Where a step fails, the ones before it are undone."
    )]
    Install(Box<install::Flags>),
    /// Say what guards a cluster, how it differs from what is shipped, and whether a known-bad Pod is denied
    #[command(
        after_help = "Examples:\n  binauthz cluster status my-cluster --location=us-central1-a --context=my-cluster\n\n\
        Exits with 1 unless everything is as shipped and the Pod is denied."
    )]
    Status(status::Flags),
    /// List every kind that the API server serves and that can start an image, and whether the webhook is asked about it
    #[command(
        after_help = "Examples:\n  binauthz cluster coverage --context=my-cluster\n  \
        binauthz cluster coverage --context=my-cluster --format=json\n\n\
        Exits with 1 when one is not covered. What is covered is taken from the live webhook configuration, and what is\n\
        served from the API server's discovery and OpenAPI v3; namespaces that are exempt are shown by `status`."
    )]
    Coverage(coverage::Flags),
    /// Remove what `install` made, and nothing else
    #[command(
        after_help = "Examples:\n  binauthz cluster uninstall my-cluster --location=us-central1-a --context=my-cluster\n\n\
        Works while the server is away, too: the webhook configurations are removed before it is asked."
    )]
    Uninstall(uninstall::Flags),
    /// Make the secrets of a server inside of a cluster, as a Secret for `kubectl create -f -`
    #[command(
        after_help = "Examples:\n  binauthz cluster credentials --namespace=binauthz | kubectl create -f -\n\n\
        Token, master key and certificate authority are made anew each time. Without the master key, the private keys\n\
        that the server seals with it are lost: keep a copy."
    )]
    Credentials(credentials::Flags),
}

/// Which cluster, under its name here and under that of its kubeconfig.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Context of the kubeconfig; there is no default, so that it is never another cluster than was meant
    #[arg(long)]
    context: String,
    /// Kubeconfig file (else KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Place {
    fn name(&self, settings: &Settings) -> Result<ClusterName, Failure> {
        self.cluster.name(settings)
    }

    fn api(&self) -> Result<Api, Failure> {
        Ok(Api::of_context(self.kubeconfig.as_deref(), &self.context)?)
    }
}

/// The file of custom resources that the server has, too.
#[derive(Debug, Args)]
struct CustomFlag {
    /// File that says where the images of custom resources stand: the one that the server was given
    #[arg(long, value_name = "FILE")]
    custom_resources: Option<PathBuf>,
}

impl CustomFlag {
    /// The rules that the file comes to, if one is named.
    fn rules(&self) -> Result<Option<Vec<CustomRule>>, Failure> {
        let Some(path) = &self.custom_resources else {
            return Ok(None);
        };
        let resources = custom_resources::read(&files::read(path)?)
            .map_err(|error| Failure::usage(format_args!("`{}`: {error}", path.display())))?;
        Ok(Some(resources.all().iter().map(CustomRule::from).collect()))
    }
}

impl Command {
    /// Does it.
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        match self {
            Command::Install(flags) => flags.run(settings).await,
            Command::Status(flags) => flags.run(settings).await,
            Command::Coverage(flags) => flags.run(settings).await,
            Command::Uninstall(flags) => flags.run(settings).await,
            Command::Credentials(flags) => flags.run(settings),
        }
    }
}
