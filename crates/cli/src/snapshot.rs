//! Policy, attestors and attestations of a project in one file: what a verdict needs, without a server.
//!
//! A snapshot is as trustworthy as the place it is kept in; it previews verdicts and enforces nothing.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use binauthz_core::{
    attestation::Attestation,
    attestor::Attestor,
    decide,
    decision::{Decision, Reason},
    evidence::{Answer, Answers, Examination, Next},
    image::{Digest, ImageRef},
    name::{AttestorName, ClusterName, InvalidName, NoteName, ProjectId},
    payload,
    policy::{Evaluation, Policy, PolicyLabel, Snapshot as Standpoint, Standing, SystemPolicy},
    time::UnixTime,
    workload::{InvalidSubject, Request, Subject},
};
use binauthz_wire::{
    binaryauthorization::{NoteView, read_attestor, read_policy},
    container,
    containeranalysis::read_occurrence,
    custom_resources::{self, CustomResources, InvalidCustomResources},
    json::{self, InvalidField, Limits},
    manifest::Manifest,
    verdict,
    workload::Workload,
};
use serde_json::{Value, json};

use crate::{
    client::{CallError, Client},
    commands::files,
    failure::Failure,
};

/// The form of the file.
const FORMAT: &str = "binauthz.snapshot/v1";
/// 100,000 attestations of about 2 KB each.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Attestations fetched for one snapshot.
const OCCURRENCES_MAX: usize = 100_000;

/// Why a file is not a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidSnapshot {
    #[error("expected a snapshot of the form `{FORMAT}`, as `binauthz snapshot export` writes it")]
    Form,
    #[error("`requirePolicy`: expected true or false, as `binauthz snapshot export` writes it")]
    RequirePolicy,
    #[error(transparent)]
    Json(#[from] json::InvalidJson),
    #[error("{0}")]
    CustomResources(#[from] InvalidCustomResources),
    #[error("{place}: {problem}")]
    Field { place: String, problem: InvalidField },
    #[error("{place}: {problem}")]
    Name { place: String, problem: InvalidName },
    #[error("{place}: {problem}")]
    Attestor {
        place: String,
        problem: binauthz_core::attestor::InvalidAttestor,
    },
}

/// An attestation and when it was created, where the file says so.
type Aged = (Option<UnixTime>, Attestation);

/// A snapshot, read and checked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) project: ProjectId,
    label: Arc<PolicyLabel>,
    policy: Policy,
    /// Whether the server denies everything in a project without a policy.
    require_policy: bool,
    /// The custom resources whose images the server looks at.
    pub(crate) custom: CustomResources,
    attestors: BTreeMap<AttestorName, Arc<Attestor>>,
    clusters: BTreeMap<ClusterName, Cluster>,
    /// In the order of their age, the oldest first.
    attestations: BTreeMap<(NoteName, Digest), Vec<Aged>>,
}

/// What a verdict depends on of a cluster.
#[derive(Debug)]
struct Cluster {
    evaluation: Evaluation,
    trust_domain: String,
}

/// Those of a snapshot, in the form of the file that says where their images stand.
fn custom_resources(file: &Value) -> Result<CustomResources, InvalidSnapshot> {
    match file.get("customResources") {
        None | Some(Value::Null) => Ok(CustomResources::default()),
        Some(Value::Array(listed)) if listed.is_empty() => Ok(CustomResources::default()),
        Some(listed) => {
            let file = json!({ "customResources": listed });
            Ok(custom_resources::read(file.to_string().as_bytes())?)
        }
    }
}

/// Collects a snapshot from a server.
pub(crate) async fn fetch(client: &Client, project: &str) -> Result<Value, Failure> {
    let policy = client.get(&format!("/v1/projects/{project}/policy"), &[]).await?;
    let wanted = read_policy(policy.clone().into())
        .map_err(|error| Failure::usage(format_args!("the server's policy cannot be read: {error}")))?
        .policy;
    let settings = client.get("/binauthz/v1/settings", &[]).await?;
    let mut attestors = Vec::new();
    let mut occurrences = Vec::new();
    for name in wanted.attestors().collect::<std::collections::BTreeSet<_>>() {
        let attestor = match client.get(&format!("/v1/{name}"), &[]).await {
            Ok(attestor) => attestor,
            // A policy may name an attestor that is gone: then it denies, here as there.
            Err(CallError::Refused(refusal)) if refusal.http == 404 => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(note) = attestor
            .get("userOwnedGrafeasNote")
            .and_then(|note| note.get("noteReference")?.as_str())
        {
            let limit = OCCURRENCES_MAX.saturating_sub(occurrences.len());
            let path = format!("/v1/{note}/occurrences");
            occurrences.extend(
                client
                    .list(&path, &[("filter", "kind=\"ATTESTATION\"")], "occurrences", limit)
                    .await?,
            );
        }
        attestors.push(attestor);
    }
    if occurrences.len() >= OCCURRENCES_MAX {
        return Err(Failure::usage(format_args!(
            "more than {OCCURRENCES_MAX} attestations do not fit into a snapshot"
        ))
        .advise("decide against the server instead"));
    }
    let clusters = client
        .list(
            &format!("/v1/projects/{project}/locations/-/clusters"),
            &[],
            "clusters",
            usize::MAX,
        )
        .await?;
    Ok(json!({
        "format": FORMAT,
        "project": project,
        "exportTime": json::timestamp_out(now()),
        "requirePolicy": settings.get("requirePolicy"),
        "customResources": settings.get("customResources"),
        "policy": policy,
        "attestors": attestors,
        "occurrences": occurrences,
        "clusters": clusters,
    }))
}

impl Snapshot {
    /// Reads a file that `snapshot export` wrote.
    pub(crate) fn read(path: &Path) -> Result<Snapshot, Failure> {
        let bytes = files::read_at_most(path, FILE_BYTES_MAX)?;
        Snapshot::parse(&bytes).map_err(|error| Failure::usage(format_args!("`{}`: {error}", path.display())))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Snapshot, InvalidSnapshot> {
        let limits = Limits {
            bytes: bytes.len(),
            values: bytes.len(),
            ..Limits::API
        };
        let file = Value::from(json::parse(bytes, limits)?);
        if file.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(InvalidSnapshot::Form);
        }
        let project = parsed::<ProjectId>(&file, "project", "project")?;
        let require_policy = file
            .get("requirePolicy")
            .and_then(Value::as_bool)
            .ok_or(InvalidSnapshot::RequirePolicy)?;
        let policy = file.get("policy").cloned().unwrap_or(Value::Null);
        let etag = policy
            .get("etag")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        let policy = read_policy(policy.into())
            .map_err(|problem| field("policy", problem))?
            .policy;
        let mut snapshot = Snapshot {
            label: Arc::new(PolicyLabel {
                name: format!("projects/{project}/policy"),
                etag,
            }),
            project,
            policy,
            require_policy,
            custom: custom_resources(&file)?,
            attestors: BTreeMap::new(),
            clusters: BTreeMap::new(),
            attestations: BTreeMap::new(),
        };
        for (index, attestor) in array(&file, "attestors").enumerate() {
            snapshot.add_attestor(attestor, &format!("attestors[{index}]"))?;
        }
        for (index, occurrence) in array(&file, "occurrences").enumerate() {
            snapshot.add_occurrence(occurrence, &format!("occurrences[{index}]"))?;
        }
        for claims in snapshot.attestations.values_mut() {
            claims.sort_by_key(|(created, _)| *created);
        }
        for (index, cluster) in array(&file, "clusters").enumerate() {
            snapshot.add_cluster(cluster, &format!("clusters[{index}]"))?;
        }
        Ok(snapshot)
    }

    fn add_attestor(&mut self, value: &Value, place: &str) -> Result<(), InvalidSnapshot> {
        let name: AttestorName = parsed(value, "name", place)?;
        let read = read_attestor(value.clone().into(), NoteView::Grafeas)
            .map_err(|problem| field(place, problem))?;
        let attestor = Attestor::new(name.clone(), read.note, read.keys, 0)
            .map_err(|problem| InvalidSnapshot::Attestor {
                place: place.to_owned(),
                problem,
            })?
            .with_match_identity(read.match_identity.unwrap_or(false));
        self.attestors.insert(name, Arc::new(attestor));
        Ok(())
    }

    fn add_occurrence(&mut self, value: &Value, place: &str) -> Result<(), InvalidSnapshot> {
        let name = parsed(value, "name", place)?;
        let read = read_occurrence(value.clone().into()).map_err(|problem| field(place, problem))?;
        let created = value
            .get("createTime")
            .and_then(Value::as_str)
            .and_then(json::timestamp_from);
        // Filed under the digest of its image, as the server does; what was signed is found out by the check.
        let uri = read.resource_uri.trim_start_matches("https://").to_owned();
        let digest = match uri.parse() {
            Ok(ImageRef::Pinned(image)) => Some(*image.digest()),
            _ => payload::unverified_digest(&read.attestation.payload).ok(),
        };
        if let Some(digest) = digest {
            let claim = Attestation::claimed(
                name,
                read.note.clone(),
                read.attestation.payload,
                read.attestation.signatures,
            );
            let claim = match created {
                Some(time) => claim.received(time),
                None => claim,
            };
            self.attestations
                .entry((read.note, digest))
                .or_default()
                .push((created, claim));
        }
        Ok(())
    }

    fn add_cluster(&mut self, value: &Value, place: &str) -> Result<(), InvalidSnapshot> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
        let name = format!(
            "projects/{}/locations/{}/clusters/{}",
            self.project,
            text("location"),
            text("name")
        );
        let name: ClusterName = name.parse().map_err(|problem| InvalidSnapshot::Name {
            place: place.to_owned(),
            problem,
        })?;
        // The two members a verdict depends on, by the server's own reader; the others are how it is built.
        let judged_by = ["binaryAuthorization", "workloadIdentityConfig"];
        let read: serde_json::Map<String, Value> = judged_by
            .into_iter()
            .filter_map(|field| Some((field.to_owned(), value.get(field)?.clone())))
            .collect();
        let cluster = container::read_stored_cluster(Value::from(read).into())
            .map_err(|problem| field(place, problem))?;
        self.clusters.insert(
            name,
            Cluster {
                evaluation: cluster.binary_authorization.mode.evaluation(),
                trust_domain: cluster.workload_pool.unwrap_or_default(),
            },
        );
        Ok(())
    }

    /// The clusters it knows, as `--cluster` takes them.
    pub(crate) fn clusters(&self) -> Vec<String> {
        let short = |name: &ClusterName| format!("{}.{}", name.location(), name.cluster());
        self.clusters.keys().map(short).collect()
    }

    /// The verdict that the webhook would give for a workload, as the server describes it.
    pub(crate) fn judge(
        &self,
        (manifest, workload): (&Manifest, &Workload<'_>),
        namespace: &str,
        cluster: &ClusterName,
        explain: bool,
    ) -> Value {
        let standing = self.standing(cluster);
        let subject = self.subject(cluster, namespace, workload.service_account());
        let decision = match &subject {
            Ok(subject) => self.decide(&standing, subject.clone(), workload),
            Err(why) => decide::refuse(
                Reason::Unreviewable(why.to_string()),
                workload.break_glass().as_ref(),
            ),
        };
        let mut described = verdict::describe_object(&decision, manifest);
        if explain {
            let snapshot = match &standing {
                Standing::Registered(snapshot) => Some(snapshot.as_ref()),
                Standing::Unregistered | Standing::NoPolicy | Standing::Unavailable(_) => None,
            };
            described["explanation"] = verdict::explain(&decision, snapshot, subject.as_ref().ok());
        }
        described
    }

    /// As the server finds it out.
    fn standing(&self, cluster: &ClusterName) -> Standing {
        let Some(cluster) = self.clusters.get(cluster) else {
            return Standing::Unregistered;
        };
        // A policy that was never set has no etag.
        if self.require_policy && self.label.etag.is_empty() {
            return Standing::NoPolicy;
        }
        Standing::Registered(Arc::new(Standpoint {
            label: Arc::clone(&self.label),
            policy: self.policy.clone(),
            system: SystemPolicy::shipped(),
            attestors: self.attestors.clone(),
            evaluation: cluster.evaluation,
        }))
    }

    fn subject(
        &self,
        cluster: &ClusterName,
        namespace: &str,
        service_account: Option<&str>,
    ) -> Result<Subject, InvalidSubject> {
        let known = self.clusters.get(cluster);
        let trust_domain = known.map_or("", |known| known.trust_domain.as_str());
        Subject::new(cluster.clone(), namespace.parse()?, service_account, trust_domain)
    }

    fn decide(&self, standing: &Standing, subject: Subject, workload: &Workload<'_>) -> Decision {
        let request = Request {
            subject,
            images: workload.requested_images(),
            break_glass: workload.break_glass(),
        };
        let plan = decide::plan(standing, request);
        let mut answers = Answers::new();
        for question in plan.questions() {
            let answer = self.answer(question.attestor, question.image.digest());
            answers.insert(&question, answer);
        }
        decide::decide(plan, &answers, now())
    }

    /// As the server finds it: the newest first, and no more than it checks.
    fn answer(&self, attestor: &Arc<Attestor>, digest: &Digest) -> Answer {
        let mut examination = Examination::new(Arc::clone(attestor), *digest, now());
        let claims = self.attestations.get(&(attestor.note().clone(), *digest));
        for (_, claim) in claims.into_iter().flatten().rev() {
            let next = examination.look_at(claim);
            if next != Next::GoOn {
                return examination.answer(next.gap());
            }
        }
        examination.answer(None)
    }
}

fn array<'a>(file: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    file.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn parsed<T: std::str::FromStr<Err = InvalidName>>(
    value: &Value,
    field: &str,
    place: &str,
) -> Result<T, InvalidSnapshot> {
    let text = value.get(field).and_then(Value::as_str).unwrap_or("");
    text.parse().map_err(|problem| InvalidSnapshot::Name {
        place: place.to_owned(),
        problem,
    })
}

fn field(place: &str, problem: InvalidField) -> InvalidSnapshot {
    InvalidSnapshot::Field {
        place: place.to_owned(),
        problem,
    }
}

/// The time, read once at this rim.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
