//! `decide`: the webhook's verdict for a manifest, before anybody deploys it.

use std::path::PathBuf;

use binauthz_core::{decide::refuse, decision::Reason, name::ClusterName};
use binauthz_wire::{
    manifest::{self, InvalidObject, Manifest},
    verdict,
    workload::{InvalidWorkload, Workload},
};
use clap::Args;
use serde_json::{Value, json};

use super::files;
use crate::{
    client::Client,
    explain,
    failure::{Exit, Failure},
    output,
    settings::Settings,
    snapshot::Snapshot,
};

/// What to judge, and by what.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  binauthz decide deployment.yaml\n  helm template my-chart | binauthz decide - --explain\n  \
    binauthz decide deployment.yaml --snapshot=demo.json --namespace=prod\n\n\
    Exit codes: 0 every workload would be admitted, 1 one would be denied, 2 nothing was decided"
)]
pub struct Flags {
    /// Manifests, YAML or JSON, several documents and lists; `-` is standard input
    manifest: PathBuf,
    /// Decide by a file of `snapshot export` instead of a server
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Cluster that would ask: LOCATION.CLUSTER or its full name (else the project's only one)
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Namespace of objects that name none
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Show what was tried, and why it did not help
    #[arg(long)]
    explain: bool,
}

impl Flags {
    /// Judges everything in the file.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        // Exit code 1 means "denied" and nothing else.
        self.judge_all(settings).await.map_err(Failure::undecided)
    }

    async fn judge_all(&self, settings: &Settings) -> Result<Exit, Failure> {
        let bytes = files::read(&self.manifest)?;
        let manifests = manifest::read(&bytes)
            .map_err(|error| Failure::usage(format_args!("`{}`: {error}", self.manifest.display())))?;
        let judge = self.judge(settings).await?;
        let mut verdicts = Vec::new();
        for manifest in &manifests {
            match self.verdict(manifest, &judge).await? {
                Some(verdict) => verdicts.push(verdict),
                None => output::note(&format!("{}: not reviewed by the webhook", title(manifest))),
            }
        }
        if verdicts.is_empty() {
            let sentence = format_args!(
                "`{}` holds nothing that the webhook reviews",
                self.manifest.display()
            );
            return Err(Failure::usage(sentence));
        }
        output::print(&self.render(&verdicts, settings))?;
        let admitted = verdicts.iter().all(Verdict::admitted);
        Ok(if admitted { Exit::Done } else { Exit::Refused })
    }

    /// A file or the server, with the one cluster that is meant.
    async fn judge(&self, settings: &Settings) -> Result<Judge, Failure> {
        if let Some(path) = &self.snapshot {
            let snapshot = Snapshot::read(path)?;
            let cluster = self.cluster(snapshot.project.as_str(), &snapshot.clusters())?;
            let snapshot = Box::new(snapshot);
            return Ok(Judge::Snapshot { snapshot, cluster });
        }
        let client = settings.client()?;
        let project = settings.project()?;
        let known = match &self.cluster {
            Some(_) => Vec::new(),
            None => clusters(&client, project).await?,
        };
        let cluster = self.cluster(project, &known)?;
        Ok(Judge::Server { client, cluster })
    }

    /// The cluster that was named, or the only one there is.
    fn cluster(&self, project: &str, known: &[String]) -> Result<ClusterName, Failure> {
        match &self.cluster {
            Some(named) => cluster_name(named, project),
            None => only(project, known),
        }
    }

    /// One object; nothing for one that the webhook would not be asked about.
    async fn verdict(&self, manifest: &Manifest, judge: &Judge) -> Result<Option<Verdict>, Failure> {
        let workload = match judge.workload(manifest) {
            Ok(Some(workload)) => workload,
            Ok(None) => {
                let passes = verdict::describe_no_image(manifest);
                return Ok(Some(Verdict::new(manifest, passes)));
            }
            Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_))) => {
                return self.custom_verdict(manifest, judge).await;
            }
            Err(why @ InvalidObject::Workload(InvalidWorkload::UnknownVersion { .. })) => {
                return Err(Failure::usage(format_args!("{}: {why}", title(manifest))));
            }
            Err(why) => {
                let decision = refuse(Reason::Unreviewable(why.to_string()), None);
                let mut described = verdict::describe_object(&decision, manifest);
                if self.explain {
                    described["explanation"] = verdict::explain(&decision, None, None);
                }
                return Ok(Some(Verdict::new(manifest, described)));
            }
        };
        let namespace = workload.written_namespace().unwrap_or(&self.namespace);
        let described = match judge {
            Judge::Snapshot { snapshot, cluster } => {
                snapshot.judge((manifest, &workload), namespace, cluster, self.explain)
            }
            Judge::Server { client, cluster } => self
                .asked(client, cluster, (manifest, namespace))
                .await?
                .ok_or_else(no_verdict)?,
        };
        Ok(Some(Verdict::new(manifest, described)))
    }

    /// One object of a kind that Kubernetes has not: of which of those the webhook is asked, the server knows.
    async fn custom_verdict(&self, manifest: &Manifest, judge: &Judge) -> Result<Option<Verdict>, Failure> {
        let Judge::Server { client, cluster } = judge else {
            return Ok(None);
        };
        // The groups of definitions have a dot.
        if !manifest.kind().group.contains('.') {
            return Ok(None);
        }
        let described = self
            .asked(
                client,
                cluster,
                (manifest, manifest.namespace().unwrap_or(&self.namespace)),
            )
            .await?;
        Ok(described.map(|described| Verdict::new(manifest, described)))
    }

    async fn asked(
        &self,
        client: &Client,
        cluster: &ClusterName,
        (manifest, namespace): (&Manifest, &str),
    ) -> Result<Option<Value>, Failure> {
        let explain = self.explain.to_string();
        let query = [
            ("namespace", namespace),
            ("explain", explain.as_str()),
            ("asWebhook", "true"),
        ];
        ask(client, cluster, manifest, &query).await
    }

    fn render(&self, verdicts: &[Verdict], settings: &Settings) -> String {
        if let Some(format) = settings.format.as_ref() {
            let entries: Vec<Value> = verdicts.iter().map(Verdict::entry).collect();
            return output::render_list(Some(format), &entries, "object,verdict,reason,message");
        }
        let lines = verdicts.iter().map(|verdict| match self.explain {
            true => explain::tree(&verdict.line(), &verdict.described).draw(),
            false => output::plain(&verdict.sentence()) + "\n",
        });
        lines.collect()
    }
}

/// Who judges.
#[derive(Debug)]
enum Judge {
    Snapshot {
        snapshot: Box<Snapshot>,
        cluster: ClusterName,
    },
    Server {
        client: Client,
        cluster: ClusterName,
    },
}

impl Judge {
    /// What is judged of an object; nothing of one that names no image, as it may. A server's custom resources are not
    /// known here.
    fn workload<'a>(&self, manifest: &'a Manifest) -> Result<Option<Workload<'a>>, InvalidObject> {
        match self {
            Self::Snapshot { snapshot, .. } => manifest.workload_among(&snapshot.custom),
            Self::Server { .. } => manifest.workload().map(Some),
        }
    }
}

/// The server's verdict on one object; nothing for one that it left out. No verdict in an answer about it is an error, never
/// an admission.
async fn ask(
    client: &Client,
    cluster: &ClusterName,
    manifest: &Manifest,
    query: &[(&str, &str)],
) -> Result<Option<Value>, Failure> {
    let object: Value = serde_json::from_str(manifest.json()).map_err(Failure::usage)?;
    let path = format!("/binauthz/v1/{cluster}:decide");
    let mut answer = client.post(&path, query, &object).await?;
    match answer.get_mut("decisions").and_then(Value::as_array_mut) {
        Some(decisions) if decisions.is_empty() => Ok(None),
        Some(decisions) => {
            let decision = decisions.swap_remove(0);
            let has_verdict = decision.get("verdict").is_some();
            has_verdict.then_some(Some(decision)).ok_or_else(no_verdict)
        }
        None => Err(no_verdict()),
    }
}

fn no_verdict() -> Failure {
    Failure::usage("the server answered without a verdict")
}

/// The only cluster that a project has.
fn only(project: &str, known: &[String]) -> Result<ClusterName, Failure> {
    match known {
        [only] => cluster_name(only, project),
        [] => Err(
            Failure::usage(format_args!("project `{project}` has no cluster that could ask"))
                .advise("register one: binauthz clusters create CLUSTER --location=LOCATION"),
        ),
        several => Err(
            Failure::usage(format_args!("project `{project}` has {} clusters", several.len())).advise(
                format_args!("name one: --cluster={}", several.join(", or --cluster=")),
            ),
        ),
    }
}

/// The only cluster that the server knows of a project.
pub(super) async fn only_cluster(client: &Client, project: &str) -> Result<ClusterName, Failure> {
    only(project, &clusters(client, project).await?)
}

/// The clusters of a project, as `--cluster` takes them.
async fn clusters(client: &Client, project: &str) -> Result<Vec<String>, Failure> {
    let path = format!("/v1/projects/{project}/locations/-/clusters");
    let clusters = client.list(&path, &[], "clusters", usize::MAX).await?;
    let name = |cluster: &Value| -> Option<String> {
        Some(format!(
            "{}.{}",
            cluster.get("location")?.as_str()?,
            cluster.get("name")?.as_str()?
        ))
    };
    Ok(clusters.iter().filter_map(name).collect())
}

/// An object and what was decided about it.
#[derive(Debug)]
struct Verdict {
    title: String,
    /// As the server describes it, whoever judged.
    described: Value,
}

impl Verdict {
    fn new(manifest: &Manifest, described: Value) -> Verdict {
        Verdict {
            title: title(manifest),
            described,
        }
    }

    fn text(&self, field: &str) -> &str {
        self.described.get(field).and_then(Value::as_str).unwrap_or("")
    }

    fn admitted(&self) -> bool {
        self.text("verdict") == "ALLOW"
    }

    fn line(&self) -> String {
        let word = if self.admitted() { "ADMITTED" } else { "DENIED  " };
        format!("{word}  {}", self.title)
    }

    fn sentence(&self) -> String {
        let line = self.line();
        let conforms = self
            .described
            .get("conforms")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        match (conforms, self.text("effect")) {
            (true, _) => line,
            (false, "DRY_RUN") => format!("{line} (dry run): {}", self.text("message")),
            (false, "BREAK_GLASS") => format!("{line} (break-glass): {}", self.text("message")),
            (false, _) => format!("{line}: {}", self.text("message")),
        }
    }

    fn entry(&self) -> Value {
        let mut entry = self.described.clone();
        entry["object"] = json!(self.title);
        entry
    }
}

fn title(manifest: &Manifest) -> String {
    format!("{}/{}", manifest.kind().kind, manifest.name())
}

/// `LOCATION.CLUSTER` as a policy writes it, or the full name.
pub(super) fn cluster_name(text: &str, project: &str) -> Result<ClusterName, Failure> {
    if text.contains('/') {
        return text.parse().map_err(Failure::usage);
    }
    match text.split_once('.') {
        Some((location, cluster)) => format!("projects/{project}/locations/{location}/clusters/{cluster}")
            .parse()
            .map_err(Failure::usage),
        None => Err(
            Failure::usage(format_args!("`{text}` does not say where the cluster is"))
                .advise("expected LOCATION.CLUSTER, e.g. us-central1-a.my-cluster"),
        ),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
