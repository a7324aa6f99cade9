//! `decide`: the webhook's verdict for a manifest, before anybody deploys it.

use std::path::PathBuf;

use binauthz_core::{
    decide::refuse,
    decision::{Decision, Effect, Reason},
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
    /// Cluster that would ask: LOCATION.CLUSTER or its full name (else: any cluster that enforces)
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
    pub async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        // Exit code 1 means "denied" and nothing else.
        self.judge_all(settings).await.map_err(Failure::undecided)
    }

    async fn judge_all(&self, settings: &Settings) -> Result<Exit, Failure> {
        let bytes = files::read(&self.manifest)?;
        let manifests = manifest::read(&bytes)
            .map_err(|error| Failure::usage(format_args!("`{}`: {error}", self.manifest.display())))?;
        let snapshot = match &self.snapshot {
            Some(path) => Snapshot::read(path)?,
            None => {
                let live = snapshot::fetch(&settings.client()?, settings.project()?).await?;
                Snapshot::from_server(&live)?
            }
        };
        let cluster = self
            .cluster
            .as_deref()
            .map(|text| cluster_name(text, snapshot.project.as_str()))
            .transpose()?;
        let mut verdicts = Vec::new();
        for manifest in &manifests {
            match self.judge(manifest, &snapshot, cluster.as_ref())? {
                Some(verdict) => verdicts.push(verdict),
                None => output::note(&format!("{}: carries no images, not judged", title(manifest))),
            }
        }
        if verdicts.is_empty() {
            return Err(Failure::usage(format_args!(
                "`{}` holds nothing that runs images",
                self.manifest.display()
            )));
        }
        output::print(&self.render(&verdicts, snapshot.policy(), settings));
        let admitted = verdicts.iter().all(|verdict| verdict.decision.admitted());
        Ok(if admitted { Exit::Done } else { Exit::Refused })
    }

    /// One object; nothing for one that the webhook would not be asked about.
    fn judge(
        &self,
        manifest: &Manifest,
        snapshot: &Snapshot,
        cluster: Option<&ClusterName>,
    ) -> Result<Option<Verdict>, Failure> {
        let workload = match manifest.workload() {
            Ok(workload) => workload,
            Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_))) => return Ok(None),
            Err(why) => {
                let decision = refuse(Reason::Unreviewable(why.to_string()), None);
                return Ok(Some(Verdict {
                    title: title(manifest),
                    decision,
                }));
            }
        };
        let namespace = workload.written_namespace().unwrap_or(&self.namespace);
        let subject = snapshot.subject(cluster, namespace, workload.service_account())?;
        let request = Request {
            subject,
            images: workload.requested_images(),
            break_glass: workload.break_glass(),
        };
        Ok(Some(Verdict {
            title: title(manifest),
            decision: snapshot.decide(request, cluster),
        }))
    }

    fn render(&self, verdicts: &[Verdict], policy: &Policy, settings: &Settings) -> String {
        if let Some(format) = settings.format.as_ref() {
            let entries: Vec<Value> = verdicts.iter().map(Verdict::describe).collect();
            return output::render_list(Some(format), &entries, "object,verdict,reason,message");
        }
        let lines = verdicts.iter().map(|verdict| match self.explain {
            true => explain::tree(&verdict.line(), &verdict.decision, policy).draw(),
            false => output::plain(&verdict.sentence()) + "\n",
        });
        lines.collect()
    }
}

/// An object and what was decided about it.
#[derive(Debug)]
struct Verdict {
    title: String,
    decision: Decision,
}

impl Verdict {
    fn line(&self) -> String {
        let word = if self.decision.admitted() {
            "ADMITTED"
        } else {
            "DENIED  "
        };
        format!("{word}  {}", self.title)
    }

    fn sentence(&self) -> String {
        let line = self.line();
        match (self.decision.conforms(), self.decision.effect()) {
            (true, _) => line,
            (false, Effect::Enforced) => format!("{line}: {}", self.decision.denial()),
            (false, Effect::DryRun) => format!("{line} (dry run): {}", self.decision.denial()),
            (false, Effect::BrokenGlass { .. }) => {
                format!("{line} (break-glass): {}", self.decision.denial())
            }
        }
    }

    /// The verdict in the form of the server's log.
    fn describe(&self) -> Value {
        let word = |good: bool| if good { "ALLOW" } else { "DENY" };
        let images: Vec<Value> = self
            .decision
            .findings()
            .iter()
            .map(|finding| {
                let reasons = finding.reasons().iter().map(
                    |reason| json!({"code": reason.code(), "message": reason.sentence(finding.image())}),
                );
                json!({
                    "field": finding.location(),
                    "image": finding.image(),
                    "verdict": word(finding.conforms()),
                    "reasons": reasons.collect::<Vec<Value>>(),
                })
            })
            .collect();
        json!({
            "object": self.title,
            "verdict": word(self.decision.admitted()),
            "conforms": self.decision.conforms(),
            "reason": self.decision.reason_code(),
            "effect": self.decision.effect().code(),
            "message": self.decision.denial(),
            "images": images,
        })
    }
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
