//! The command line as typed: nothing here touches the system. `settings.rs` says what it means.

use std::path::PathBuf;

use binauthz_kubernetes::Secret;
use clap::{Args, Parser, Subcommand};

use crate::{
    commands::{
        access, attestations, attestors, audit, bench, break_glass, channels, cluster, clusters, completion,
        credentials, decide, doctor, environment, explain, images, incidents, keyrings, keys, locations,
        logs, notes, payload, policy, projects, services, snapshot, tokens,
    },
    demo::DemoFlags,
    output::Format,
};

const AFTER_HELP: &str = "\
Exit codes:
  0  done (decide: admitted)
  1  the server refused the request (decide: denied; policy lint: findings)
  2  wrong usage, an unreadable file, or a server that cannot be reached

Examples:
  binauthz demo
  binauthz serve --dev --data-dir data
  binauthz --data-dir data --project demo policy export
  binauthz --data-dir data --project demo attestations list --attestor image-signing-attestor";

/// Binary Authorization on your own machines: only images that were signed get to run.
#[derive(Debug, Parser)]
#[command(name = "binauthz", version, max_term_width = 100, after_help = AFTER_HELP)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalFlags,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalFlags {
    /// Address of the API, e.g. `http://127.0.0.1:8787`
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_SERVER",
        value_name = "URL",
        help_heading = "Global flags"
    )]
    pub server: Option<String>,
    /// Project that names without one belong to (else CLOUDSDK_CORE_PROJECT)
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_PROJECT",
        value_name = "ID",
        help_heading = "Global flags"
    )]
    pub project: Option<String>,
    /// Bearer token; a file or the environment keeps it out of the process list
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    #[arg(help_heading = "Global flags")]
    pub token: Option<Secret>,
    /// File that holds the bearer token
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Global flags"
    )]
    pub token_file: Option<PathBuf>,
    /// Folder of a server on this machine: its address and its administrator's token are read from it
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_DATA_DIR",
        value_name = "DIR",
        help_heading = "Global flags"
    )]
    pub data_dir: Option<PathBuf>,
    /// PEM certificates to trust for https:// instead of the system's
    #[arg(
        long,
        global = true,
        env = "BINAUTHZ_CA_FILE",
        value_name = "FILE",
        help_heading = "Global flags"
    )]
    pub ca_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine (anybody on the way can read it)
    #[arg(long, global = true, help_heading = "Global flags")]
    pub allow_plain_http: bool,
    /// Ask nothing; as gcloud's flag, though this program never asks
    #[arg(long, short = 'q', global = true, help_heading = "Global flags")]
    pub quiet: bool,
    /// json, yaml, table, table(FIELD, …), value(FIELD, …), csv(FIELD, …), markdown or none
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Global flags")]
    pub format: Option<Format>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the whole story on this machine: unsigned is refused, signed is admitted
    Demo(DemoFlags),
    /// Run the server: API, admission webhook, health
    Serve(ServeFlags),
    /// Where the server keeps what the API makes
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz store migrate-data --data-dir /var/lib/binauthz --store postgres://binauthz@db.example/binauthz"
    )]
    Store(StoreCommand),
    /// Attestors: who may say that an image is good
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz attestors list\n  binauthz attestors create image-signing-attestor --attestation-authority-note=image-signing-note"
    )]
    Attestors(attestors::Command),
    /// The policy: whose word is needed before an image may run
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz policy export > binauthz-policy.yaml\n  binauthz policy import binauthz-policy.yaml"
    )]
    Policy(policy::Command),
    /// Attestations: signed statements about one image digest
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz attestations list --attestor=image-signing-attestor\n  binauthz attestations sign-and-create --artifact-url=IMAGE@sha256:… --attestor=image-signing-attestor \\\n      --keyversion=projects/…/cryptoKeyVersions/1"
    )]
    Attestations(attestations::Command),
    /// Print the bytes an attestation of an image signs
    CreateSignaturePayload(payload::Flags),
    /// Key rings
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz keyrings create image-signing --location=global"
    )]
    Keyrings(keyrings::Command),
    /// Signing keys and their versions
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz keys create image-signer --keyring=image-signing --location=global --default-algorithm=ec-sign-p256-sha256\n  binauthz keys versions list --key=image-signer --keyring=image-signing --location=global"
    )]
    Keys(keys::Command),
    /// Locations of keys
    #[command(subcommand, after_help = "Examples:\n  binauthz locations list")]
    Locations(locations::Command),
    /// Notes: what attestations hang on
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz notes create image-signing-note"
    )]
    Notes(notes::Command),
    /// Notification channels: whom alerts are told to
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz channels list\n  binauthz channels verify 1795422057999679123"
    )]
    Channels(channels::Command),
    /// Incidents: what alert policies found
    #[command(subcommand, after_help = "Examples:\n  binauthz incidents list --state=open")]
    Incidents(incidents::Command),
    /// Guard a Kubernetes cluster: install, look after and remove its webhooks
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz cluster install my-cluster --location=us-central1-a --context=my-cluster \\\n      --webhook-url=https://binauthz.example:8443\n  binauthz cluster status my-cluster --location=us-central1-a --context=my-cluster"
    )]
    Cluster(cluster::Command),
    /// Clusters that may ask for verdicts
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz clusters create my-cluster --location=us-central1-a\n  binauthz clusters list"
    )]
    Clusters(clusters::Command),
    /// Images in registries
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz images describe registry.example/team/app:v1"
    )]
    Images(images::Command),
    /// The APIs of the project
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz services enable binaryauthorization.googleapis.com"
    )]
    Services(services::Command),
    /// Verdicts that were given
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz logs list --verdict=deny --since=24h\n  binauthz logs tail\n  binauthz logs audit --limit=20"
    )]
    Logs(logs::Command),
    /// The verdict log as files: verify it, export it
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz audit verify data/journal\n  binauthz audit export data/journal --as=cef"
    )]
    Audit(audit::Command),
    /// The emergency door: who went through it
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz break-glass report --since=7d"
    )]
    BreakGlass(break_glass::Command),
    /// Who has which permission
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz iam who-can binaryauthorization.policy.update projects/demo/policy"
    )]
    Iam(access::IamCommand),
    /// Separation of duties: nobody both signs and edits the policy
    #[command(subcommand, after_help = "Examples:\n  binauthz sod check")]
    Sod(access::SodCommand),
    /// API tokens
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz tokens create ci --role=viewer --ttl=90d"
    )]
    Tokens(tokens::Command),
    /// Credential files for Google's client libraries
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz --project demo credentials create ci --role=viewer --output=ci.json\n  \
                            eval \"$(binauthz env --data-dir data --googleapis --credentials=ci.json)\""
    )]
    Credentials(credentials::Command),
    /// Projects
    #[command(subcommand, after_help = "Examples:\n  binauthz projects create demo")]
    Projects(projects::Command),
    /// Say whether a manifest would be admitted, and why
    Decide(decide::Flags),
    /// Say what is weak in this installation, and what to do about it
    Doctor(doctor::Flags),
    /// Measure what the webhook adds to the time of an admission
    Bench(bench::Flags),
    /// Show a verdict that was given, by the id in a refusal, and what was tried
    Explain(explain::Flags),
    /// Snapshots: policy, attestors and attestations in one file, for `decide` without a server
    #[command(
        subcommand,
        after_help = "Examples:\n  binauthz snapshot export --output=demo.json"
    )]
    Snapshot(snapshot::Command),
    /// Print shell exports that point gcloud (and this program) at a server
    #[command(
        after_help = "Examples:\n  eval \"$(binauthz env --data-dir data --project demo)\"\n  \
                            gcloud container binauthz policy export"
    )]
    Env(environment::Flags),
    /// Print a completion script for a shell
    Completion(completion::Flags),
}

/// What can be done with a store while no server uses it.
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Copy everything from the file of a data folder to an empty database, and prove that both hold the same
    #[command(
        after_help = "Examples:\n  binauthz store migrate-data --data-dir /var/lib/binauthz \\\n      \
        --store 'postgres://binauthz@db.example/binauthz?passwordfile=/run/secrets/database'\n\n\
        No server may run on the data folder (--data-dir, required). The file is left as it is; afterwards the server\n\
        of this folder is started with the same --store. All is copied, or nothing."
    )]
    MigrateData(MigrateDataFlags),
    /// Copy the file of a data folder, also while a server uses it
    #[command(
        after_help = "Examples:\n  binauthz store backup copy.db --data-dir /var/lib/binauthz\n\n\
        To go back to it: stop the server, put the copy in the place of binauthz.db, and remove binauthz.db-wal and\n\
        binauthz.db-shm. The private keys in it need the master.key of the folder, which is not in it. A database that\n\
        servers share is copied by pg_dump."
    )]
    Backup(BackupFlags),
}

/// Whereto.
#[derive(Debug, Clone, Args)]
pub struct BackupFlags {
    /// The copy, a file that is not there yet
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
}

/// Whereto.
#[derive(Debug, Clone, Args)]
pub struct MigrateDataFlags {
    /// The database
    #[arg(
        long,
        value_name = "postgres://USER@HOST/DATABASE",
        env = "BINAUTHZ_STORE",
        hide_env_values = true
    )]
    pub store: String,
    /// Configuration file of the server, where a token opens its master key
    #[arg(long, value_name = "FILE", env = "BINAUTHZ_CONFIG")]
    pub config: Option<PathBuf>,
}

/// How `serve` listens and what it answers for.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  binauthz serve --dev --data-dir data\n  \
    binauthz serve --data-dir /var/lib/binauthz --api-listen 0.0.0.0:8787 --webhook-listen 0.0.0.0:8443\n  \
    binauthz serve --dev --data-dir data --registry us-central1-docker.pkg.dev=http://127.0.0.1:5000\n\n\
    The data folder is --data-dir (required). When the server is ready, it holds addresses.json,\n\
    admin.token and webhook-ca.pem.")]
pub struct ServeFlags {
    /// For one machine: plain HTTP on loopback, every project id exists, no client certificates
    #[arg(long)]
    pub dev: bool,
    /// Configuration file (flags win over it)
    #[arg(long, value_name = "FILE", env = "BINAUTHZ_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub api_listen: Option<std::net::SocketAddr>,
    /// Address of the admission webhook (TLS)
    #[arg(long, value_name = "HOST:PORT")]
    pub webhook_listen: Option<std::net::SocketAddr>,
    /// Address of health and metrics
    #[arg(long, value_name = "HOST:PORT")]
    pub health_listen: Option<std::net::SocketAddr>,
    /// Where images of a registry host are asked (repeatable)
    #[arg(long = "registry", value_name = "HOST=URL")]
    pub registries: Vec<String>,
    /// Deny everything in projects that have no policy (else: admit, as Google does)
    #[arg(long)]
    pub require_policy: bool,
    /// Answer under the names of Google's services, too: reached by a proxy that leads to this server alone
    #[arg(long)]
    pub googleapis: bool,
    /// Address of that proxy; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub googleapis_listen: Option<std::net::SocketAddr>,
    /// File that says where the images of custom resources stand; `cluster install` takes the same
    #[arg(long, value_name = "FILE")]
    pub custom_resources: Option<PathBuf>,
    /// Look after a cluster: the one this server runs in, or that of a context of the kubeconfig (repeatable)
    #[arg(long, value_name = "CLUSTER[=CONTEXT]")]
    pub guard: Vec<String>,
    /// What the API makes is kept here: sqlite (a file of the data folder), or a database that several servers share
    #[arg(
        long,
        value_name = "postgres://USER@HOST/DATABASE",
        env = "BINAUTHZ_STORE",
        hide_env_values = true
    )]
    pub store: Option<String>,
    /// Read the configuration, print it as it is in effect, and start nothing
    #[arg(long)]
    pub check: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command a person can type in full.
    fn leaves(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        let below: Vec<&clap::Command> = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .collect();
        if below.is_empty() {
            return vec![(path, command.clone())];
        }
        below.iter().flat_map(|command| leaves(command, &path)).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_and_shows_an_example() {
        let all = leaves(&Arguments::command(), "");
        assert!(all.len() > 50, "only {} commands", all.len());
        for (path, command) in all {
            assert!(command.get_about().is_some(), "{path} has no description");
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(after.contains("Examples:\n  "), "{path} shows no example");
            let noun = path.strip_prefix("binauthz ").unwrap_or(&path);
            assert!(
                after.contains(noun),
                "{path}: its example is of another command: {after}"
            );
        }
    }

    #[test]
    fn every_group_shows_an_example() {
        let command = Arguments::command();
        let mut left: Vec<&clap::Command> = command.get_subcommands().collect();
        let mut groups = 0;
        while let Some(command) = left.pop() {
            if command.get_name() == "help" || !command.has_subcommands() {
                continue;
            }
            groups += 1;
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = format!("{} ", command.get_name());
            assert!(
                after.contains("Examples:\n  ") && after.contains(&example),
                "{example}: {after}"
            );
            left.extend(command.get_subcommands());
        }
        assert!(groups > 14, "{groups}");
    }

    /// The tutorial's commands and the rest of the surface, as a person types them after `binauthz`.
    const TYPED: &[&str] = &[
        "serve --dev --data-dir d --api-listen 127.0.0.1:0 --webhook-listen 127.0.0.1:0 --health-listen 127.0.0.1:0",
        "serve --data-dir d --registry a.example=http://127.0.0.1:5000 --registry b.example=http://127.0.0.1:5001",
        "demo --keep",
        "clusters update my-cluster --zone us-central1-a --binauthz-evaluation-mode=PROJECT_SINGLETON_POLICY_ENFORCE",
        "clusters update my-cluster --zone us-central1-a --binauthz-evaluation-mode=project-singleton-policy-enforce",
        "services enable binaryauthorization.googleapis.com",
        "cluster install c --location l --context k --webhook-url https://b.example:8443 --webhook-ca ca.pem \
         --kubeconfig f --exempt-namespace kube-system --exempt-namespace cni --dry-run",
        "cluster install c --zone z --context k --service binauthz/binauthz:8443 \
         --binauthz-evaluation-mode=policy-bindings",
        "cluster install c --location l --context k --in-cluster --image registry.example/b:1 --wait 60 --dry-run",
        "cluster credentials --namespace ns --name n",
        "cluster status c --location l --context k",
        "cluster coverage --context=my-cluster",
        "cluster uninstall c --location l --context k --dry-run",
        "clusters create my-cluster --location us-central1-a",
        "keyrings create image-signing --location=global",
        "keys create image-signer --keyring=image-signing --location=global --purpose=asymmetric-signing \
         --default-algorithm=rsa-sign-pkcs1-4096-sha512",
        "keys versions destroy 1 --key=k --keyring=r --location=global",
        "keys versions get-public-key 1 --key=k --keyring=r --location=global --output-file f.pem",
        "audit verify data/journal --key=log.vkey --checkpoint=kept",
        "audit verify one two --merged=kept --merged-key=merged.vkey --gone=log/x",
        "audit checkpoint",
        "audit checkpoint --merged",
        "audit export data/journal --as=cef",
        "audit export one/journal two/journal",
        "keys sign --version=1 --key=k --keyring=r --location=global --input-file f --signature-file g",
        "keys rewrap",
        "keys rewrap --protection-level=hsm",
        "keys versions import --key=k --keyring=r --location=global --pem-file f.pem",
        "attestors public-keys update id --attestor=a --compromised-since=2026-11-28T00:00:00Z --keep-earlier-attestations",
        "attestors public-keys update id --attestor=a --not-before=2026-11-28T00:00:00Z --not-after=2027-11-28T00:00:00Z",
        "attestors public-keys update id --attestor=a --always-valid",
        "attestors create image-signing-attestor --attestation-authority-note=image-signing-note \
         --attestation-authority-note-project=P",
        "attestors public-keys add --attestor=a --keyversion-project=P --keyversion-location=global \
         --keyversion-keyring=r --keyversion-key=k --keyversion=1",
        "attestors public-keys add --attestor=a --pkix-public-key-file=f --pkix-public-key-algorithm=ecdsa-p256-sha256",
        "attestors public-keys add --attestor=a --pgp-public-key-file=f --comment hello",
        "attestors public-keys remove ID --attestor=a",
        "attestors add-iam-policy-binding a --member=user:x@example.com --role=roles/viewer",
        "policy import binauthz-policy.yaml",
        "policy lint binauthz-policy.yaml",
        "policy export --format=json",
        "policy export-system-policy --location=global",
        "attestations sign-and-create --artifact-url=h/p@sha256:x --attestor=a --attestor-project=P \
         --keyversion-project=P --keyversion-location=global --keyversion-keyring=r --keyversion-key=k --keyversion=1",
        "attestations sign-and-create --artifact-url=h/p --digest-file=m.json --attestor=a --local-key=key.pem --validate",
        "attestations create --artifact-url=u --attestor=a --signature-file=s --public-key-id=i --payload-file=p",
        "attestations list --attestor=image-signing-attestor --artifact-url=u",
        "attestations list --attestor=a --format=table(name,createTime,resourceUri)",
        "create-signature-payload --artifact-url=u",
        "images describe us-central1-docker.pkg.dev/P/app/myservice:tag --format=value(image_summary.digest)",
        "attestations list --attestor=a --filter=createTime>2026-01-01T00:00:00Z --sort-by=~createTime,name --page-size=50",
        "attestations list --limit=unlimited --uri",
        "attestors list --limit=5 --filter=name:a",
        "attestations create --artifact-url=u --note=n --note-project=p --signature-file=s --public-key-id=i",
        "attestations sign-and-create --artifact-url=u --attestor=a --keyversion=1 --pae-encode-payload \
         --dsse-type=application/vnd.dev.cosign.simplesigning.v1+json",
        "policy import --strict-validation p.yaml --quiet",
        "keys create k --keyring=r --location=global --default-algorithm=ec-sign-p256-sha256 --labels=a=b,c=d \
         --destroy-scheduled-duration=30d",
        "keys update k --keyring=r --location=global --update-labels=a=b --remove-labels=c",
        "keys update k --keyring=r --location=global --clear-labels --default-algorithm=ec-sign-p384-sha384",
        "keys get-iam-policy k --keyring=r --location=global",
        "keys add-iam-policy-binding k --keyring=r --location=global --member=user:x --role=roles/cloudkms.signer",
        "keyrings set-iam-policy r iam.yaml --location=global",
        "keyrings remove-iam-policy-binding r --location=global --member=user:x --role=roles/cloudkms.signer",
        "keys asymmetric-sign --version=1 --key=k --keyring=r --location=global --digest-algorithm=sha512 \
         --input-file f --signature-file g",
        "keys versions get-public-key 1 --key=k --keyring=r --location=global --public-key-format=der -q",
        "locations list",
        "logs list --limit 5",
        "logs tail",
        "logs tail --filter severity=ERROR --effect=break-glass --namespace=prod --since=1h --format=json",
        "break-glass report --since 7d --format markdown",
        "break-glass report",
        "logs list --verdict=deny --namespace=prod --image=app --since=24h --effect=dry-run --reason=NOT_PINNED",
        "incidents list --state=open --limit=5",
        "incidents describe 0198",
        "channels verify 1",
        "channels dead-letters list --filter=reason:404",
        "channels dead-letters retry 0198",
        "channels dead-letters delete projects/p/deadLetters/0198",
        "tokens create ci --role admin --ttl=90d",
        "tokens create jane --role=member --principal=user:jane@example.com --projects=p,q --permissions=binaryauthorization.*",
        "iam who-can binaryauthorization.policy.update",
        "iam who-can binaryauthorization.policy.update projects/p/policy --limit=5",
        "sod check --accept=user:a --accept=user:b",
        "projects create demo",
        "env --data-dir d",
        "env --data-dir d --googleapis --credentials=ci.json",
        "serve --data-dir d --googleapis --googleapis-listen 127.0.0.1:0",
        "credentials create ci --role=viewer --ttl=90d --output=ci.json",
        "credentials delete ci",
        "decide -",
        "doctor",
        "doctor --context=my-cluster --format=json",
        "decide deployment.yaml --snapshot s.json --explain",
        "bench --data-dir d --project p --image=i --expect=admitted --rate=50 --plot=p.svg",
        "bench --webhook-url=https://b.example --cluster=us-central1-a.c --manifest=pod.yaml --client-certificate=c.pem",
        "bench --context=c --kubeconfig=k --namespace=n --exempt-namespace=e --concurrency=16 --duration=1m30s",
        "explain 019b0a5e-3c11-7d62-8f0e-5d1c2b7a9e10",
        "snapshot export --output s.json",
        "completion bash",
    ];

    /// What must not be accepted: a flag missing, two ways at once, an unknown word.
    const REFUSED: &[&str] = &[
        "",
        "attestor list",
        "attestors create a",
        "attestors public-keys add --attestor=a",
        "attestors public-keys add --attestor=a --pgp-public-key-file=f --pkix-public-key-file=g \
         --pkix-public-key-algorithm=ecdsa-p256-sha256",
        "attestors public-keys add --attestor=a --pkix-public-key-file=f",
        "attestations sign-and-create --attestor=a --keyversion=1",
        "attestations sign-and-create --artifact-url=u --attestor=a --local-key=k --keyversion=1",
        "attestations sign-and-create --artifact-url=u --attestor=a",
        "attestations create --artifact-url=u --attestor=a --signature-file=s",
        "clusters update c --zone z --binauthz-evaluation-mode=sometimes",
        "cluster install c --location l --context k",
        "cluster install c --location l --webhook-url https://b.example",
        "cluster install c --location l --context k --webhook-url https://b.example --service ns/b",
        "cluster install c --location l --context k --webhook-url http://b.example",
        "cluster install c --location l --context k --service b",
        "cluster install c --location l --context k --in-cluster",
        "cluster install c --location l --context k --in-cluster --image Registry",
        "cluster install c --location l --context k --in-cluster --image b:1 --wait 0",
        "cluster install c --location l --context k --in-cluster --image b:1 --service ns/b",
        "cluster install c --location l --context k --in-cluster --image b:1 --webhook-ca ca.pem",
        "cluster install c --location l --context k --service ns/b --image b:1",
        "cluster credentials --namespace Ns",
        "cluster install c --location l --context k --service ns/b --exempt-namespace Kube_System",
        "cluster uninstall c --location l",
        "cluster coverage",
        "bench --concurrency=0",
        "bench --duration=2h",
        "bench --rate=0",
        "bench --image=i --manifest=m",
        "bench --expect=maybe",
        "bench --context=c --webhook-url=https://b.example",
        "bench --context=c --cluster=l.c",
        "bench --exempt-namespace=e",
        "explain",
        "keys create k --keyring=r --location=global --purpose=asymmetric-signing --default-algorithm=md5",
        "policy export --format=xml",
        "attestations list --limit=0",
        "attestations list --filter=name",
        "attestations create --artifact-url=u --attestor=a --note-project=p --signature-file=s --public-key-id=i",
        "attestations sign-and-create --artifact-url=u --attestor=a --keyversion=1 --dsse-type=text/plain --pae-encode-payload",
        "keys update k --keyring=r --location=global",
        "keys versions import --key=k --keyring=r --location=global",
        "attestors public-keys update id --attestor=a --always-valid --not-after=2027-11-28T00:00:00Z",
        "keys update k --keyring=r --location=global --clear-labels --update-labels=a=b",
        "keys create k --keyring=r --location=global --default-algorithm=ec-sign-p256-sha256 --labels=a",
        "keys sign --version=1 --key=k --keyring=r --location=global --input-file f --digest-algorithm=md5",
        "tokens create ci --role admin --ttl=90",
        "tokens create ci --role=owner",
        "iam who-can",
        "sod check user:a",
        "credentials create ci --role admin",
        "credentials create ci --output=f",
        "env --data-dir d --credentials=f",
        "incidents list --state=maybe",
        "channels dead-letters retry",
        "logs list --verdict=maybe",
        "logs list --since=yesterday",
        "logs tail --effect=never",
        "logs tail --limit=5",
        "break-glass",
        "break-glass report --since=monday",
        "decide",
        "completion tcsh",
    ];

    #[test]
    fn the_tutorials_commands_parse() {
        for typed in TYPED {
            let words = std::iter::once("binauthz").chain(typed.split_whitespace());
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{typed}\n{error}");
            }
        }
    }

    #[test]
    fn mistakes_are_refused_with_exit_code_2() {
        for typed in REFUSED {
            let words = std::iter::once("binauthz").chain(typed.split_whitespace());
            match Arguments::try_parse_from(words) {
                Ok(_) => panic!("{typed} was accepted"),
                Err(error) => assert_eq!(error.exit_code(), 2, "{typed}"),
            }
        }
    }
}
