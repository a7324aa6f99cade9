//! `decide`: the webhook's verdict for a manifest, before anybody deploys it.

use std::path::PathBuf;

use binauthz_core::{
    decide::refuse,
    decision::{Decision, Finding, Reason},
    name::ClusterName,
    policy::Policy,
    workload::Request,
};
use binauthz_wire::{
    manifest::{self, InvalidObject, Manifest},
    workload::InvalidWorkload,
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
    snapshot::{self, Snapshot},
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
    /// Cluster that would ask: LOCATION.CLUSTER or its full name (else the project's only one; with a snapshot,
    /// any that enforces)
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
                None => output::note(&format!("{}: carries no images, not judged", title(manifest))),
            }
        }
        if verdicts.is_empty() {
            let sentence = format_args!("`{}` holds nothing that runs images", self.manifest.display());
            return Err(Failure::usage(sentence));
        }
        output::print(&self.render(&verdicts, judge.policy(), settings));
        let admitted = verdicts.iter().all(Verdict::admitted);
        Ok(if admitted { Exit::Done } else { Exit::Refused })
    }

    /// A file, or the server with the one cluster that is meant.
    async fn judge(&self, settings: &Settings) -> Result<Judge, Failure> {
        if let Some(path) = &self.snapshot {
            let snapshot = Snapshot::read(path)?;
            let project = snapshot.project.as_str();
            let cluster = self
                .cluster
                .as_deref()
                .map(|text| cluster_name(text, project))
                .transpose()?;
            return Ok(Judge::Snapshot {
                snapshot: Box::new(snapshot),
                cluster,
            });
        }
        let client = settings.client()?;
        let project = settings.project()?;
        let cluster = match &self.cluster {
            Some(text) => cluster_name(text, project)?,
            None => only_cluster(&client, project).await?,
        };
        let snapshot = match self.explain {
            true => Some(Box::new(Snapshot::from_server(
                &snapshot::fetch(&client, project).await?,
            )?)),
            false => None,
        };
        Ok(Judge::Server {
            client,
            cluster,
            snapshot,
        })
    }

    /// One object; nothing for one that the webhook would not be asked about.
    async fn verdict(&self, manifest: &Manifest, judge: &Judge) -> Result<Option<Verdict>, Failure> {
        let workload = match manifest.workload() {
            Ok(workload) => workload,
            Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_))) => return Ok(None),
            Err(why) => {
                let decision = refuse(Reason::Unreviewable(why.to_string()), None);
                return Ok(Some(Verdict::local(title(manifest), decision)));
            }
        };
        let namespace = workload.written_namespace().unwrap_or(&self.namespace);
        let title = title(manifest);
        let local = |snapshot: &Snapshot, cluster: Option<&ClusterName>| -> Result<Decision, Failure> {
            let subject = snapshot.subject(cluster, namespace, workload.service_account())?;
            let images = workload.requested_images();
            let request = Request {
                subject,
                images,
                break_glass: workload.break_glass(),
            };
            Ok(snapshot.decide(request, cluster))
        };
        Ok(Some(match judge {
            Judge::Snapshot { snapshot, cluster } => {
                Verdict::local(title, local(snapshot, cluster.as_ref())?)
            }
            Judge::Server {
                client,
                cluster,
                snapshot,
            } => {
                let described = ask(client, cluster, manifest, namespace).await?;
                // The server has the last word; the local walk only shows what it looked at.
                let decision = snapshot
                    .as_ref()
                    .map(|snapshot| local(snapshot, Some(cluster)))
                    .transpose()?;
                Verdict {
                    title,
                    described,
                    decision,
                }
            }
        }))
    }

    fn render(&self, verdicts: &[Verdict], policy: Option<&Policy>, settings: &Settings) -> String {
        if let Some(format) = settings.format.as_ref() {
            let entries: Vec<Value> = verdicts.iter().map(Verdict::entry).collect();
            return output::render_list(Some(format), &entries, "object,verdict,reason,message");
        }
        let lines = verdicts
            .iter()
            .map(|verdict| match (self.explain, &verdict.decision, policy) {
                (true, Some(decision), Some(policy)) => {
                    explain::tree(&verdict.line(), decision, policy).draw()
                }
                _ => output::plain(&verdict.sentence()) + "\n",
            });
        lines.collect()
    }
}

/// Who judges.
#[derive(Debug)]
enum Judge {
    Snapshot {
        snapshot: Box<Snapshot>,
        cluster: Option<ClusterName>,
    },
    Server {
        client: Client,
        cluster: ClusterName,
        snapshot: Option<Box<Snapshot>>,
    },
}

impl Judge {
    fn policy(&self) -> Option<&Policy> {
        match self {
            Judge::Snapshot { snapshot, .. } => Some(snapshot.policy()),
            Judge::Server { snapshot, .. } => snapshot.as_deref().map(Snapshot::policy),
        }
    }
}

/// The server's verdict on one object. No verdict in the answer is an error, never an admission.
async fn ask(
    client: &Client,
    cluster: &ClusterName,
    manifest: &Manifest,
    namespace: &str,
) -> Result<Value, Failure> {
    let object: Value = serde_json::from_str(manifest.json()).map_err(Failure::usage)?;
    let path = format!("/binauthz/v1/{cluster}:decide");
    let mut answer = client.post(&path, &[("namespace", namespace)], &object).await?;
    let decision = answer.pointer_mut("/decisions/0").map(Value::take);
    decision
        .filter(|decision| decision.get("verdict").is_some())
        .ok_or_else(|| Failure::usage("the server answered without a verdict"))
}

/// The cluster of a project that has one.
async fn only_cluster(client: &Client, project: &str) -> Result<ClusterName, Failure> {
    let path = format!("/v1/projects/{project}/locations/-/clusters");
    let clusters = client.list(&path, &[], "clusters", usize::MAX).await?;
    let name = |cluster: &Value| -> Option<String> {
        Some(format!(
            "{}.{}",
            cluster.get("location")?.as_str()?,
            cluster.get("name")?.as_str()?
        ))
    };
    let names: Vec<String> = clusters.iter().filter_map(name).collect();
    match names.as_slice() {
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

/// An object and what was decided about it.
#[derive(Debug)]
struct Verdict {
    title: String,
    /// In the form of the server's log.
    described: Value,
    /// The same, with all that was looked at, where it was judged here.
    decision: Option<Decision>,
}

impl Verdict {
    fn local(title: String, decision: Decision) -> Verdict {
        Verdict {
            title,
            described: describe(&decision),
            decision: Some(decision),
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

/// A decision in the form of the server's log.
fn describe(decision: &Decision) -> Value {
    let word = |good: bool| if good { "ALLOW" } else { "DENY" };
    let image = |finding: &Finding| {
        let reason =
            |reason: &Reason| json!({"code": reason.code(), "message": reason.sentence(finding.image())});
        json!({
            "field": finding.location(),
            "image": finding.image(),
            "verdict": word(finding.conforms()),
            "reasons": finding.reasons().iter().map(reason).collect::<Vec<Value>>(),
        })
    };
    json!({
        "verdict": word(decision.admitted()),
        "conforms": decision.conforms(),
        "reason": decision.reason_code(),
        "effect": decision.effect().code(),
        "message": decision.denial(),
        "images": decision.findings().iter().map(image).collect::<Vec<Value>>(),
    })
}

fn title(manifest: &Manifest) -> String {
    format!("{}/{}", manifest.kind().kind, manifest.name())
}

/// `LOCATION.CLUSTER` as a policy writes it, or the full name.
fn cluster_name(text: &str, project: &str) -> Result<ClusterName, Failure> {
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
