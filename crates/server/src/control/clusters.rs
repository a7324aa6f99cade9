//! Kubernetes Engine's clusters and operations, as far as a registered cluster has them: its name, and how Binary
//! Authorization is evaluated on it.

use binauthz_core::name::{ClusterName, LocationId};
use binauthz_core::policy::Evaluation;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::json::{self, EnumRow, InvalidField, Limits, Object, enum_name, timestamp_out};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

/// Clusters of one project shown by a list; Kubernetes Engine's lists have no pages.
const MAX_LISTED: u32 = 1_000;
const MAX_BINDINGS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disabled,
    Singleton,
    Bindings,
    BindingsAndSingleton,
}

const MODES: &[EnumRow<Mode>] = &[
    ("DISABLED", 1, Mode::Disabled),
    ("PROJECT_SINGLETON_POLICY_ENFORCE", 2, Mode::Singleton),
    ("POLICY_BINDINGS", 5, Mode::Bindings),
    ("POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE", 6, Mode::BindingsAndSingleton),
    ("EVALUATION_MODE_UNSPECIFIED", 0, Mode::Disabled),
];

/// What is stored of a cluster.
#[derive(Debug)]
pub(crate) struct ClusterDocument {
    mode: Mode,
    bindings: Vec<(String, String)>,
    /// What the mesh identities of its Pods begin with.
    pub(crate) trust_domain: String,
}

impl ClusterDocument {
    /// Reads a stored document.
    pub(crate) fn read(document: &str) -> Result<Self, String> {
        let value = json::parse(document.as_bytes(), Limits::API).map_err(|why| why.to_string())?;
        Self::from_object(Object::new(value, "").map_err(|why| why.to_string())?).map_err(|why| why.to_string())
    }

    fn from_object(mut object: Object) -> Result<Self, InvalidField> {
        let trust_domain = object.take_string("trustDomain")?;
        let (mode, bindings) = read_binary_authorization(object.take_object("binaryAuthorization")?)?;
        object.finish()?;
        Ok(Self { mode, bindings, trust_domain })
    }

    fn write(&self) -> String {
        json!({ "trustDomain": self.trust_domain, "binaryAuthorization": self.binary_authorization() }).to_string()
    }

    /// Whether the project's policy is enforced on the cluster.
    pub(crate) fn evaluation(&self) -> Evaluation {
        match self.mode {
            Mode::Singleton | Mode::BindingsAndSingleton => Evaluation::Enforced,
            Mode::Disabled | Mode::Bindings => Evaluation::Disabled,
        }
    }

    fn binary_authorization(&self) -> serde_json::Value {
        let mut value = json!({ "evaluationMode": enum_name(MODES, self.mode) });
        if self.mode == Mode::Singleton {
            value["enabled"] = true.into();
        }
        if !self.bindings.is_empty() {
            value["policyBindings"] = self
                .bindings
                .iter()
                .map(|(name, mode)| match mode.as_str() {
                    "" => json!({ "name": name }),
                    mode => json!({ "name": name, "enforcementMode": mode }),
                })
                .collect();
        }
        value
    }
}

/// `BinaryAuthorization`: the mode wins over the deprecated `enabled`.
fn read_binary_authorization(mut object: Object) -> Result<(Mode, Vec<(String, String)>), InvalidField> {
    let enabled = object.take_optional_bool("enabled")?.unwrap_or(false);
    let mode = object.take_optional_enum("evaluationMode", MODES)?;
    let mut bindings = Vec::new();
    for mut binding in object.take_objects("policyBindings")? {
        let name = binding.take_string("name")?;
        let mode = binding.take_optional_string("enforcementMode")?.unwrap_or_default();
        binding.finish()?;
        bindings.push((name, mode));
    }
    if bindings.len() > MAX_BINDINGS {
        return Err(object.refused("policyBindings", format_args!("has more than {MAX_BINDINGS} entries")));
    }
    object.finish()?;
    let otherwise = if enabled { Mode::Singleton } else { Mode::Disabled };
    Ok((mode.unwrap_or(otherwise), bindings))
}

pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::CONTAINER,
        api: Api::Container,
        name,
        permission,
        class,
        handler,
    };
    const CLUSTERS: &str = "/{version}/projects/{project}/locations/{location}/clusters";
    const CLUSTER: &str = "/{version}/projects/{project}/locations/{location}/clusters/{cluster}";
    const OPERATIONS: &str = "/{version}/projects/{project}/locations/{location}/operations";
    const OPERATION: &str = "/{version}/projects/{project}/locations/{location}/operations/{operation}";
    const CONFIG: &str = "/{version}/projects/{project}/locations/{location}/serverConfig";
    const CREATE: &str = "container.clusters.create";
    vec![
        row(Verb::Post, CLUSTERS, "CreateCluster", CREATE, Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, CLUSTERS, "ListClusters", "container.clusters.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, CLUSTER, "GetCluster", "container.clusters.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Put, CLUSTER, "UpdateCluster", "container.clusters.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, CLUSTER, "DeleteCluster", "container.clusters.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
        row(Verb::Get, OPERATIONS, "ListOperations", "container.operations.list", Class::Read, |app, call| Box::pin(operations(app, call))),
        row(Verb::Get, OPERATION, "GetOperation", "container.operations.get", Class::Read, |app, call| Box::pin(operation(app, call))),
        row(Verb::Get, CONFIG, "GetServerConfig", "container.clusters.get", Class::Read, |_, _| {
            Box::pin(async { Ok(Reply::json(json!({ "validImageTypes": [], "channels": [] }))) })
        }),
    ]
}

fn cluster_name(call: &Call) -> Result<ClusterName, ApiError> {
    Ok(ClusterName::new(call.project()?, call.param("location").parse()?, call.param("cluster").parse()?))
}

/// What gcloud sends of a cluster that a registration does not have: nodes, networks, add-ons. Named, so that a
/// misspelt field is still an error.
const NOT_OURS: [&str; 24] = [
    "nodePools",
    "initialNodeCount",
    "nodeConfig",
    "network",
    "subnetwork",
    "locations",
    "loggingService",
    "monitoringService",
    "masterAuth",
    "legacyAbac",
    "addonsConfig",
    "ipAllocationPolicy",
    "autopilot",
    "autoscaling",
    "releaseChannel",
    "shieldedNodes",
    "networkConfig",
    "workloadIdentityConfig",
    "resourceLabels",
    "description",
    "databaseEncryption",
    "securityPostureConfig",
    "controlPlaneEndpointsConfig",
    "nodePoolDefaults",
];

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    let mut body = call.body_object()?;
    body.ignore("parent");
    body.ignore("zone");
    body.ignore("projectId");
    let mut object = body.take_object("cluster")?;
    let name = ClusterName::new(call.project()?, location, object.take_parsed("name")?);
    let trust_domain = object
        .take_optional_string("trustDomain")?
        .unwrap_or_else(|| format!("{}.svc.id.goog", name.project()));
    let (mode, bindings) = match object.take_optional_object("binaryAuthorization")? {
        Some(object) => read_binary_authorization(object)?,
        None => (Mode::Disabled, Vec::new()),
    };
    for field in NOT_OURS {
        object.ignore(field);
    }
    object.finish()?;
    body.finish()?;
    let document = ClusterDocument { mode, bindings, trust_domain }.write();
    let parent = format!("projects/{}", name.project());
    let cluster = NewResource { kind: Kind::Cluster, name: name.to_string(), parent, document };
    finish(app, &call, &name, "CREATE_CLUSTER", Change::Insert(cluster)).await
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = cluster_name(&call)?;
    let mut body = call.body_object()?;
    body.ignore("name");
    let mut update = body.take_object("update")?;
    let change = update.take_object("desiredBinaryAuthorization")?;
    update.finish()?;
    body.finish()?;
    let (mode, bindings) = read_binary_authorization(change)?;
    let row = stored(app, &name).await?;
    let before = ClusterDocument::read(&row.document).map_err(ApiError::failed_precondition)?;
    let document = ClusterDocument { mode, bindings, trust_domain: before.trust_domain }.write();
    let change = Change::Replace { kind: Kind::Cluster, name: row.name, document, expect: Some(row.revision) };
    finish(app, &call, &name, "UPDATE_CLUSTER", change).await
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = cluster_name(&call)?;
    stored(app, &name).await?;
    let change = Change::Delete { kind: Kind::Cluster, name: name.to_string(), expect: None };
    finish(app, &call, &name, "DELETE_CLUSTER", change).await
}

/// Commits the change with its operation, which is done by then.
async fn finish(
    app: &App,
    call: &Call,
    cluster: &ClusterName,
    kind: &str,
    change: Change,
) -> Result<Reply, ApiError> {
    let id = format!("operation-{}", uuid::Uuid::now_v7().simple());
    let parent = format!("projects/{}/locations/{}", cluster.project(), cluster.location());
    let time = timestamp_out(call.now);
    let operation = json!({
        "name": id,
        "zone": cluster.location().as_str(),
        "location": cluster.location().as_str(),
        "operationType": kind,
        "status": "DONE",
        "startTime": time,
        "endTime": time,
        "targetLink": cluster.to_string(),
        "selfLink": format!("{parent}/operations/{id}"),
    });
    let record = NewResource {
        kind: Kind::Operation,
        name: format!("{parent}/operations/{id}"),
        parent: format!("projects/{}", cluster.project()),
        document: operation.to_string(),
    };
    call.commit(app, vec![change, Change::Insert(record)]).await?;
    app.snapshots.invalidate();
    Ok(Reply::json(operation))
}

async fn stored(app: &App, name: &ClusterName) -> Result<Resource, ApiError> {
    app.store.resource(Kind::Cluster, &name.to_string()).await?.ok_or_else(|| {
        ApiError::not_found(format!(
            "`{name}` was not found: register it with `binauthz clusters create {}`",
            name.cluster()
        ))
    })
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = cluster_name(&call)?;
    let row = stored(app, &name).await?;
    Ok(Reply::json(describe(&row)?))
}

fn describe(row: &Resource) -> Result<serde_json::Value, ApiError> {
    let name: ClusterName = row.name.parse()?;
    let document = ClusterDocument::read(&row.document).map_err(ApiError::failed_precondition)?;
    Ok(json!({
        "name": name.cluster().as_str(),
        "location": name.location().as_str(),
        "zone": name.location().as_str(),
        "selfLink": row.name,
        "status": "RUNNING",
        "createTime": timestamp_out(UnixTime::from_micros(row.created)),
        "binaryAuthorization": document.binary_authorization(),
        "trustDomain": document.trust_domain,
    }))
}

async fn rows(app: &App, call: &Call, kind: Kind, collection: &str) -> Result<Vec<Resource>, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let mut rows = app.store.list(&ListQuery { kind, parent: parent.clone(), after: None, limit: MAX_LISTED }).await?;
    let location = call.param("location");
    if location != "-" {
        let location: LocationId = location.parse()?;
        let prefix = format!("{parent}/locations/{location}/{collection}/");
        rows.retain(|row| row.name.starts_with(&prefix));
    }
    Ok(rows)
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let rows = rows(app, &call, Kind::Cluster, "clusters").await?;
    let clusters = rows.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::json(json!({ "clusters": clusters })))
}

async fn operations(app: &App, call: Call) -> Result<Reply, ApiError> {
    let rows = rows(app, &call, Kind::Operation, "operations").await?;
    let operations: Vec<serde_json::Value> = rows.iter().filter_map(|row| serde_json::from_str(&row.document).ok()).collect();
    Ok(Reply::json(json!({ "operations": operations })))
}

async fn operation(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, location): (_, LocationId) = (call.project()?, call.param("location").parse()?);
    let name = format!("projects/{project}/locations/{location}/operations/{}", call.param("operation"));
    let row = app.store.resource(Kind::Operation, &name).await?;
    let document = row.and_then(|row| serde_json::from_str(&row.document).ok());
    document.map(Reply::json).ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
}
