//! `cluster install`: a plan, the steps of the plan in an order in which each state is a safe one, and the way back.
//!
//! Where the server is to run in the cluster, its objects are written and its replicas are waited for. Then the API server
//! must be seen to reach the webhook, which nothing depends on yet. Then the cluster is registered, the mutating
//! configuration is written, and the validating one last: from there on Pods are refused.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use binauthz_core::{image::ImageRef, name::ClusterName};
use binauthz_kubernetes::{
    Api, CANARY_NAMESPACE, Canary, Configuration, Endpoint, Guard, Installed, differences, is_label,
    is_noted_by_install, known_bad_pod_denied,
    last_known_good::{Terms, ask_always, installed_without_terms, put_back, read_terms, remove, return_to},
    prove_reachable, remove_probe,
};
use clap::Args;
use serde_json::{Value, json};

use super::{CustomFlag, Place, last_known_good, must_be_ours, server};
use crate::{
    client::Client,
    commands::{clusters, files},
    failure::{Exit, Failure},
    output,
    settings::Settings,
    snapshot::now,
};

/// How a cluster is judged when nothing else is said.
const MODE: &str = "PROJECT_SINGLETON_POLICY_ENFORCE";
/// Namespaces that may be named; the selector is sent with every configuration, and each is a hole.
const EXEMPT_MAX: usize = 64;
/// A server in the cluster that was passed by is in no Service. It sees the probe within a second and is ready; the
/// kubelet notices within ten seconds by default, and the proxies soon after.
const MENDING_PATIENCE: Duration = Duration::from_secs(60);

/// What to install.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    endpoint: EndpointFlags,
    /// Image of the server with --in-cluster; name it by its digest
    #[arg(long, value_name = "IMAGE", requires = "in_cluster", conflicts_with_all = ["webhook_url", "service"])]
    image: Option<ImageRef>,
    /// How long the replicas of --in-cluster may take to be ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    wait: u64,
    /// PEM certificates that the webhook's certificate is of (else webhook-ca.pem of the data folder)
    #[arg(long, value_name = "FILE", conflicts_with = "in_cluster")]
    webhook_ca: Option<PathBuf>,
    #[command(flatten)]
    custom: CustomFlag,
    /// Certificate of cert-manager whose authority is to be kept in the configurations from then on
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = certificate, conflicts_with = "in_cluster")]
    inject_ca_from: Option<String>,
    /// Leave a namespace unguarded, such as kube-system (repeatable); the server's own always is
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    exempt_namespace: Vec<String>,
    /// Have what runs and is allowed start again while no server answers; the list of it is in NAMESPACE (else the server's own)
    #[arg(long, value_name = "NAMESPACE", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = namespace_or_none)]
    last_known_good: Option<String>,
    /// How the cluster is judged (else as it is; enforcing where it is not registered yet)
    #[arg(long, value_name = "MODE", value_parser = clusters::evaluation_mode, conflicts_with = "in_cluster")]
    binauthz_evaluation_mode: Option<&'static str>,
    /// Print the plan and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where the API server finds the webhook.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct EndpointFlags {
    /// Address of a server outside of the cluster, as the control plane reaches it
    #[arg(long, value_name = "URL", value_parser = Endpoint::url)]
    webhook_url: Option<Endpoint>,
    /// Service of a server inside of the cluster; its namespace is not guarded
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", value_parser = Endpoint::service)]
    service: Option<Endpoint>,
    /// Run the server in the cluster, too: one replica in namespace binauthz, which is not guarded
    #[arg(long, requires = "image")]
    in_cluster: bool,
}

/// Both sides of it.
struct Hands {
    api: Api,
    /// None with `--in-cluster`: nobody reaches the API of that server yet, and it registers the cluster by itself.
    client: Option<Client>,
    cluster: ClusterName,
    /// How long the webhook may take to answer.
    patience: Duration,
}

impl Hands {
    fn client(&self) -> Result<&Client, Failure> {
        self.client
            .as_ref()
            .ok_or_else(|| Failure::usage("the server registers the cluster by itself"))
    }
}

/// One thing to do.
enum Step {
    Object(server::Change),
    AwaitServer(Duration),
    /// That the policy which judges while no server answers is in force.
    ProvePolicy,
    /// Have the webhook asked about everything, so that that policy can go; it was on these terms.
    AskAlways(Option<Terms>),
    /// What is there of it, with where it is.
    RemovePolicy(Vec<(String, Value)>),
    /// That the API server reaches the webhook.
    ProveReachable,
    Register(&'static str),
    ChangeMode {
        from: Value,
        to: &'static str,
    },
    Create(Configuration, Value),
    Replace {
        which: Configuration,
        from: Value,
        to: Value,
    },
}

impl Flags {
    pub(super) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let api = self.place.api()?;
        let found = Installed::read(&api).await?;
        let is_mending = found.all().next().is_some() && self.endpoint.webhook_url.is_none();
        let hands = Hands {
            api,
            client: match self.endpoint.in_cluster {
                true => None,
                false => Some(settings.client()?),
            },
            cluster: self.place.name(settings)?,
            patience: if is_mending {
                MENDING_PATIENCE
            } else {
                Duration::ZERO
            },
        };
        must_be_ours(&found, &hands.cluster)?;
        let plan = match &self.image {
            Some(image) => Some(server::plan(&hands.api, image, &hands.cluster).await?),
            None => None,
        };
        let registered = match &hands.client {
            Some(client) => clusters::find(client, &hands.cluster).await?,
            None => None,
        };
        let by_install = hands.client.is_some() && (registered.is_none() || found.is_registered_by_install());
        let guard = self.guard(settings, &hands.cluster, plan.as_ref(), by_install)?;
        if settings.format.is_some() {
            let mut objects = plan.as_ref().map_or_else(Vec::new, |plan| plan.manifests.clone());
            objects.extend(last_known_good::manifests(&guard));
            objects.extend(Configuration::ALL.map(|which| guard.configuration(which)));
            output::show_list(settings.format.as_ref(), &objects, "kind,metadata.name")?;
        }
        let mut steps = self.server_steps(plan);
        steps.push(Step::ProveReachable);
        steps.extend(self.registration(&hands, registered.as_ref()));
        steps.extend(guard_steps(&hands.api, &guard, &found).await?);
        self.show_plan(&hands, &guard, &steps);
        if self.dry_run {
            return Ok(Exit::Done);
        }
        let mut begun = 0;
        let outcome = tokio::select! {
            outcome = perform(&hands, &guard, &steps, &mut begun) => outcome,
            _interrupted = tokio::signal::ctrl_c() => Err(Failure::refused("interrupted")),
        };
        match outcome {
            Ok(canary) => report(&hands.cluster, &canary),
            Err(failure) => return Err(undo(&hands, steps.get(..begun).unwrap_or_default(), failure).await),
        }
        Ok(Exit::Done)
    }

    fn guard(
        &self,
        settings: &Settings,
        cluster: &ClusterName,
        plan: Option<&server::Plan>,
        registered_by_install: bool,
    ) -> Result<Guard, Failure> {
        Ok(Guard {
            cluster: cluster.clone(),
            endpoint: self.endpoint.chosen()?,
            ca_bundle: match plan {
                Some(plan) => plan.authority.clone(),
                None => self.ca_bundle(settings)?,
            },
            inject_ca_from: self.inject_ca_from.clone(),
            exempt: self.exempt()?,
            custom: self.custom.rules()?.unwrap_or_default(),
            registered_by_install,
            last_known_good: self.last_known_good()?,
        })
    }

    fn last_known_good(&self) -> Result<Option<String>, Failure> {
        let Some(named) = &self.last_known_good else {
            return Ok(None);
        };
        if !named.is_empty() {
            return Ok(Some(named.clone()));
        }
        match self.endpoint.chosen()?.own_namespace() {
            Some(own) => Ok(Some(own.to_owned())),
            None => Err(Failure::usage(
                "--last-known-good without a namespace: a server outside of the cluster has none of its own",
            )
            .advise("name the one in which the list shall be: --last-known-good=NAMESPACE")),
        }
    }

    fn exempt(&self) -> Result<Vec<String>, Failure> {
        let mut exempt = self.exempt_namespace.clone();
        exempt.extend(self.endpoint.chosen()?.own_namespace().map(str::to_owned));
        exempt.sort_unstable();
        exempt.dedup();
        match exempt.len() {
            0..=EXEMPT_MAX => Ok(exempt),
            _ => Err(Failure::usage(format_args!(
                "more than {EXEMPT_MAX} namespaces would be exempt"
            ))),
        }
    }

    fn ca_bundle(&self, settings: &Settings) -> Result<String, Failure> {
        let beside = || settings.data_dir().map(|folder| folder.join("webhook-ca.pem"));
        let path = self.webhook_ca.clone().or_else(beside).ok_or_else(|| {
            Failure::usage("no --webhook-ca: whom is the API server to trust?")
                .advise("name the file, or the server's folder with --data-dir, where it is webhook-ca.pem")
        })?;
        let pem = files::read(&path)?;
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(STANDARD.encode(&pem)),
            _ => Err(Failure::usage(format_args!(
                "`{}` holds no PEM certificate",
                path.display()
            ))),
        }
    }

    fn server_steps(&self, plan: Option<server::Plan>) -> Vec<Step> {
        let Some(plan) = plan else { return Vec::new() };
        let mut steps: Vec<Step> = plan.changes.into_iter().map(Step::Object).collect();
        steps.push(Step::AwaitServer(Duration::from_secs(self.wait)));
        steps
    }

    fn registration(&self, hands: &Hands, registered: Option<&Value>) -> Option<Step> {
        match (registered, self.binauthz_evaluation_mode) {
            _ if hands.client.is_none() => None,
            (None, mode) => Some(Step::Register(mode.unwrap_or(MODE))),
            (Some(cluster), Some(to)) if mode_of(cluster) != to => Some(Step::ChangeMode {
                from: cluster["binaryAuthorization"].clone(),
                to,
            }),
            (Some(_), _) => None,
        }
    }

    fn show_plan(&self, hands: &Hands, guard: &Guard, steps: &[Step]) {
        output::note(&format!(
            "{} at {} (context `{}`) asks {}",
            hands.cluster,
            hands.api.server(),
            self.place.context,
            guard.endpoint
        ));
        if !guard.exempt.is_empty() {
            output::note(&format!("not guarded: namespace {}", guard.exempt.join(", ")));
        }
        if let Some(namespace) = &guard.last_known_good {
            output::note(&format!(
                "while no server answers: what namespace {namespace} lists"
            ));
        }
        if !guard.custom.is_empty() {
            let custom: Vec<String> = guard.custom.iter().map(ToString::to_string).collect();
            output::note(&format!("custom resources: {}", custom.join(", ")));
        }
        let lines: Vec<String> = steps.iter().flat_map(Step::lines).collect();
        if lines.is_empty() {
            output::note("everything is in its place");
        }
        for line in lines {
            output::note(&line);
        }
    }
}

impl EndpointFlags {
    fn chosen(&self) -> Result<Endpoint, Failure> {
        if self.in_cluster {
            return Endpoint::service(server::WEBHOOK_SERVICE).map_err(Failure::usage);
        }
        // clap sees to it that there is exactly one.
        let endpoint = self.webhook_url.as_ref().or(self.service.as_ref());
        endpoint
            .cloned()
            .ok_or_else(|| Failure::usage("--webhook-url, --service or --in-cluster is missing"))
    }
}

/// At no time is there something about which the webhook is not asked and that the policy does not judge: it is in force
/// before the webhook is told, and goes after it.
async fn guard_steps(api: &Api, guard: &Guard, found: &Installed) -> Result<Vec<Step>, Failure> {
    let step = |which| {
        let found = found.configuration(which);
        let shipped = guard.configuration_beside(which, found);
        match found {
            None => Some(Step::Create(which, shipped)),
            Some(found) if differences(found, &shipped).is_empty() => None,
            Some(found) => Some(Step::Replace {
                which,
                from: found.clone(),
                to: in_place_of(found, shipped),
            }),
        }
    };
    let written = Configuration::ALL.into_iter().filter_map(step);
    if guard.last_known_good.is_some() {
        let objects = last_known_good::changes(api, guard).await?.into_iter();
        let objects = objects.map(Step::Object).chain([Step::ProvePolicy]);
        return Ok(objects.chain(written).collect());
    }
    let had = found
        .guard(&guard.cluster)
        .and_then(|guard| guard.last_known_good);
    Ok(match had {
        None => written.collect(),
        Some(_) => {
            let terms = read_terms(api).await?.map(|(_, terms)| terms);
            let policy = installed_without_terms(api).await?;
            [Step::AskAlways(terms)]
                .into_iter()
                .chain(written)
                .chain([Step::RemovePolicy(policy)])
                .collect()
        }
    })
}

impl Step {
    /// As the plan shows it.
    fn lines(&self) -> Vec<String> {
        match self {
            Step::Object(change) => vec![change.line()],
            Step::AwaitServer(_) | Step::ProveReachable | Step::ProvePolicy | Step::AskAlways(_) => {
                Vec::new()
            }
            Step::RemovePolicy(_) => vec!["  remove what was last known to be good".to_owned()],
            Step::Register(mode) => vec![format!("  register the cluster: {mode}")],
            Step::ChangeMode { from, to } => {
                let from = from["evaluationMode"].as_str().unwrap_or("DISABLED");
                vec![format!("  change the evaluation mode: {from} to {to}")]
            }
            Step::Create(which, _) => vec![format!("  create {} binauthz", which.kind())],
            Step::Replace { which, from, to } => {
                let differences = differences(from, to);
                let first = format!("  update {} binauthz", which.kind());
                let others = differences.iter().map(|difference| format!("    {difference}"));
                std::iter::once(first).chain(others).collect()
            }
        }
    }

    async fn perform(&self, hands: &Hands, guard: &Guard) -> Result<(), Failure> {
        let Hands { api, cluster, .. } = hands;
        match self {
            Step::Object(change) => change.perform(api).await,
            Step::AwaitServer(limit) => server::await_available(api, *limit).await,
            Step::ProvePolicy => last_known_good::prove(api).await,
            Step::AskAlways(_) => Ok(ask_always(api, Terms::begun_anew).await?),
            Step::RemovePolicy(_) => {
                remove(api, false).await?;
                Ok(())
            }
            Step::ProveReachable => Ok(prove_reachable(api, guard, hands.patience).await?),
            Step::Register(mode) => clusters::register(hands.client()?, cluster, mode).await,
            Step::ChangeMode { to, .. } => {
                clusters::update(hands.client()?, cluster, &json!({"evaluationMode": to})).await
            }
            Step::Create(which, object) => {
                api.create(which.collection(), object).await?;
                Ok(())
            }
            Step::Replace { which, to, .. } => {
                api.replace(&which.path(), to).await?;
                Ok(())
            }
        }
    }

    /// Also of a step of which nobody knows whether it took effect: what is as it was is left alone.
    async fn undo(&self, hands: &Hands) -> Result<(), Failure> {
        let Hands { api, cluster, .. } = hands;
        match self {
            Step::Object(change) => change.undo(api).await?,
            Step::AwaitServer(_) | Step::ProveReachable | Step::ProvePolicy | Step::AskAlways(None) => {}
            // The last to be undone: until then the webhook is asked about everything, whatever its condition says.
            Step::AskAlways(Some(terms)) => return_to(api, terms, now()).await?,
            Step::RemovePolicy(policy) => put_back(api, policy).await?,
            Step::Register(_) => {
                let client = hands.client()?;
                if clusters::find(client, cluster).await?.is_some() {
                    clusters::forget(client, cluster).await?;
                }
            }
            Step::ChangeMode { from, .. } => {
                let client = hands.client()?;
                let found = clusters::find(client, cluster).await?.unwrap_or_default();
                if found["binaryAuthorization"] != *from {
                    clusters::update(client, cluster, from).await?;
                }
            }
            Step::Create(which, _) => {
                if api.read(&which.path()).await?.is_some() {
                    api.delete(&which.path()).await?;
                }
            }
            Step::Replace { which, from, .. } => match api.read(&which.path()).await? {
                Some(found) if differences(&found, from).is_empty() => {}
                Some(found) => {
                    api.replace(&which.path(), &in_place_of(&found, from.clone()))
                        .await?;
                }
                None => {
                    api.create(which.collection(), &without_version(from.clone()))
                        .await?;
                }
            },
        }
        Ok(())
    }
}

async fn perform(hands: &Hands, guard: &Guard, steps: &[Step], begun: &mut usize) -> Result<Canary, Failure> {
    for step in steps {
        *begun += 1;
        step.perform(hands, guard).await?;
    }
    match known_bad_pod_denied(&hands.api, CANARY_NAMESPACE).await? {
        Canary::Unanswered(why) => Err(Failure::refused(format_args!(
            "the API server gets no answer of the webhook: {why}"
        ))),
        canary => Ok(canary),
    }
}

/// Takes back what was begun, the last first, and says in the failure what came of it.
async fn undo(hands: &Hands, begun: &[Step], failure: Failure) -> Failure {
    let mut left = Vec::new();
    if let Err(error) = remove_probe(&hands.api).await {
        left.push(format!("remove the probe: {error}"));
    }
    for step in begun.iter().rev() {
        if let Err(error) = step.undo(hands).await {
            let what = step.lines().into_iter().next().unwrap_or_default();
            left.push(format!("{}: {}", what.trim(), error.sentence()));
        }
    }
    if left.is_empty() {
        return failure.advise("nothing was changed, or it was changed back");
    }
    let failure = failure.advise("not all of it could be undone:");
    let failure = left.iter().fold(failure, Failure::advise);
    failure.advise("`binauthz cluster status` says what is there, `binauthz cluster uninstall` removes it")
}

fn report(cluster: &ClusterName, canary: &Canary) {
    match canary {
        Canary::Denied(sentence) => {
            output::note(&format!("a Pod that nobody attested is denied: {sentence}"));
        }
        Canary::Admitted => output::note(
            "WARNING: a Pod that nobody attested is admitted: the policy or the evaluation mode lets it in",
        ),
        Canary::Obstructed(why) | Canary::Unanswered(why) => {
            output::note(&format!("a Pod that nobody attested could not be tried: {why}"));
        }
    }
    output::note(&format!("Installed [{cluster}]."));
}

/// The object as it is to be, in the place of one that was read: it carries the version that was read, and what others
/// noted on it.
fn in_place_of(found: &Value, mut object: Value) -> Value {
    for map in ["labels", "annotations"] {
        let theirs = found["metadata"][map].as_object().into_iter().flatten();
        for (key, value) in theirs {
            let ours = &mut object["metadata"][map];
            // What `install` noted before is no longer so.
            if ours.get(key).is_none() && !is_noted_by_install(key) {
                ours[key] = value.clone();
            }
        }
    }
    object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
    object
}

fn without_version(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("uid");
    }
    object
}

fn mode_of(cluster: &Value) -> &str {
    cluster["binaryAuthorization"]["evaluationMode"]
        .as_str()
        .unwrap_or("DISABLED")
}

/// Of both a name; a Certificate's is a DNS name, of which a label is the usual form.
fn certificate(text: &str) -> Result<String, String> {
    let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_label);
    match text.split_once('/') {
        Some((namespace, name)) if is_label(namespace) && is_name(name) => Ok(text.to_owned()),
        _ => Err("expected NAMESPACE/NAME of a Certificate, such as binauthz/webhook".to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err("expected the name of a namespace, such as kube-system".to_owned()),
    }
}

/// Without a value it is the server's own.
fn namespace_or_none(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        named => namespace(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_a_namespace_and_a_name() {
        for good in ["binauthz/webhook", "b/webhook.example"] {
            assert_eq!(certificate(good).as_deref(), Ok(good));
        }
        for bad in ["", "webhook", "/webhook", "b/", "b/a/c", "B/webhook", "b/a..c"] {
            assert!(certificate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_replacement_keeps_what_others_noted_and_carries_the_version_that_was_read() {
        let found = json!({"metadata": {"resourceVersion": "7", "uid": "u",
            "annotations": {"binauthz/last-known-good": "binauthz", "binauthz.example/note": "b",
                "cert-manager.io/inject-ca-from": "b/webhook"},
            "labels": {"team": "a", "app.kubernetes.io/managed-by": "helm"}}});
        let ours =
            json!({"metadata": {"name": "binauthz", "labels": {"app.kubernetes.io/managed-by": "binauthz"}}});
        let metadata = in_place_of(&found, ours)["metadata"].clone();
        assert_eq!(
            metadata,
            json!({"name": "binauthz", "resourceVersion": "7", "annotations": {"binauthz.example/note": "b"},
                "labels": {"team": "a", "app.kubernetes.io/managed-by": "binauthz"}})
        );
        let kept = without_version(json!({"metadata": {"name": "n", "resourceVersion": "7", "uid": "u"}}));
        assert_eq!(kept, json!({"metadata": {"name": "n"}}));
    }
}
