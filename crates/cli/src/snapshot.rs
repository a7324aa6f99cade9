//! Policy, attestors and attestations of a project in one file: what a verdict needs, without a server.
//!
//! A snapshot is as trustworthy as the place it is kept in; it previews verdicts and enforces nothing.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use binauthz_core::{
    attestation::{Attestation, Rejected, verify},
    attestor::Attestor,
    decide,
    decision::Decision,
    evidence::{Answer, Answers, Evidence},
    image::{Digest, ImageRef},
    name::{AttestorName, ClusterName, InvalidName, NoteName, ProjectId},
    payload,
    policy::{Evaluation, Policy, PolicyLabel, Snapshot as Standpoint, Standing, SystemPolicy},
    time::UnixTime,
    workload::{Request, Subject},
};
use binauthz_wire::{
    binaryauthorization::{NoteView, read_attestor, read_policy},
    containeranalysis::read_occurrence,
    json::{self, InvalidField, Limits},
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
/// As the server: attestations of one digest on one note that are looked at.
const ATTESTATIONS_PER_IMAGE_MAX: usize = 200;

/// Why a file is not a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidSnapshot {
    #[error("expected a snapshot of the form `{FORMAT}`, as `binauthz snapshot export` writes it")]
    Form,
    #[error(transparent)]
    Json(#[from] json::InvalidJson),
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

/// A snapshot, read and checked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) project: ProjectId,
    label: Arc<PolicyLabel>,
    policy: Policy,
    attestors: BTreeMap<AttestorName, Arc<Attestor>>,
    clusters: BTreeMap<String, Evaluation>,
    attestations: BTreeMap<(NoteName, Digest), Vec<Attestation>>,
}

/// Collects a snapshot from a server.
pub(crate) async fn fetch(client: &Client, project: &str) -> Result<Value, Failure> {
    let policy = client.get(&format!("/v1/projects/{project}/policy"), &[]).await?;
    let wanted = read_policy(policy.clone().into())
        .map_err(|error| Failure::usage(format_args!("the server's policy cannot be read: {error}")))?
        .policy;
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

    /// The same, fresh from a server.
    pub(crate) fn from_server(live: &Value) -> Result<Snapshot, Failure> {
        Snapshot::parse(live.to_string().as_bytes())
            .map_err(|error| Failure::usage(format_args!("the server's answer: {error}")))
    }

    fn parse(bytes: &[u8]) -> Result<Snapshot, InvalidSnapshot> {
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
        for cluster in array(&file, "clusters") {
            snapshot.add_cluster(cluster);
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
            .with_match_identity(read.match_identity);
        self.attestors.insert(name, Arc::new(attestor));
        Ok(())
    }

    fn add_occurrence(&mut self, value: &Value, place: &str) -> Result<(), InvalidSnapshot> {
        let name = parsed(value, "name", place)?;
        let read = read_occurrence(value.clone().into()).map_err(|problem| field(place, problem))?;
        // Filed under the digest of its image, as the server does; what was signed is found out by `verify`.
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
            self.attestations
                .entry((read.note, digest))
                .or_default()
                .push(claim);
        }
        Ok(())
    }

    fn add_cluster(&mut self, value: &Value) {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
        let mode = value
            .get("binaryAuthorization")
            .and_then(|mode| mode.get("evaluationMode")?.as_str())
            .unwrap_or("");
        let evaluation = match mode {
            "DISABLED" | "POLICY_BINDINGS" => Evaluation::Disabled,
            // Anything else enforces: not knowing a mode is no reason to admit.
            _ => Evaluation::Enforced,
        };
        self.clusters
            .insert(format!("{}.{}", text("location"), text("name")), evaluation);
    }

    /// The patterns that exempt images, for explanations.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The verdict for a workload of `subject`. An unknown cluster is denied, as the webhook does; `None` is any cluster
    /// that enforces.
    pub(crate) fn decide(&self, request: Request, cluster: Option<&ClusterName>) -> Decision {
        let evaluation = match cluster {
            None => Some(Evaluation::Enforced),
            Some(name) => self
                .clusters
                .get(&format!("{}.{}", name.location(), name.cluster()))
                .copied(),
        };
        let standing = match evaluation {
            None => Standing::Unregistered,
            Some(evaluation) => Standing::Registered(Arc::new(Standpoint {
                label: Arc::clone(&self.label),
                policy: self.policy.clone(),
                system: SystemPolicy::shipped(),
                attestors: self.attestors.clone(),
                evaluation,
            })),
        };
        let plan = decide::plan(&standing, request);
        let mut answers = Answers::new();
        for question in plan.questions() {
            let evidence = self.evidence(question.attestor, question.image.digest());
            answers.insert(&question, Answer::Found(Arc::new(evidence)));
        }
        decide::decide(plan, &answers, now())
    }

    /// A subject of the snapshot's project.
    pub(crate) fn subject(
        &self,
        cluster: Option<&ClusterName>,
        namespace: &str,
        service_account: Option<&str>,
    ) -> Result<Subject, Failure> {
        let any = format!("projects/{}/locations/global/clusters/any", self.project);
        let cluster = cluster
            .cloned()
            .map_or_else(|| any.parse().map_err(Failure::usage), Ok)?;
        let namespace = namespace.parse().map_err(Failure::usage)?;
        Subject::new(
            cluster,
            namespace,
            service_account,
            &format!("{}.svc.id.goog", self.project),
        )
        .map_err(Failure::usage)
    }

    fn evidence(&self, attestor: &Attestor, digest: &Digest) -> Evidence {
        let mut evidence = Evidence::default();
        let claims = self.attestations.get(&(attestor.note().clone(), *digest));
        for claim in claims.into_iter().flatten().take(ATTESTATIONS_PER_IMAGE_MAX) {
            match verify(claim, attestor, now()) {
                Ok(proof) if proof.digest() == digest => evidence.proofs.push(proof),
                Ok(proof) => {
                    let other = Rejected::OtherDigest(*proof.digest());
                    evidence.rejected.push((claim.occurrence().clone(), other));
                }
                Err(why) => evidence.rejected.push((claim.occurrence().clone(), why)),
            }
        }
        evidence
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
fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
